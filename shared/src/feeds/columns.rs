//! The canonical columns of vehicle and stock files, and the header names each goes by.
//!
//! Names are compared without case, blanks, `_`, `-`, `#`, `.` and `:`. The order of aliases is the order
//! of preference. A settings file can map any column, these or its own, by name.

use std::sync::LazyLock;

/// Canonical column → header names accepted for it, beside its own.
pub const ALIASES: &[(&str, &[&str])] = &[
    // One merchant's stock.
    (
        "sku",
        &[
            "variant sku",
            "item code",
            "item number",
            "product code",
            "article number",
            "part number",
            "part no",
            "item no",
            "artikelnummer",
            "artikelnr",
        ],
    ),
    (
        "location",
        &[
            "location name",
            "location code",
            "warehouse",
            "warehouse code",
            "site",
            "branch",
            "lager",
            "lagerort",
            "filiale",
        ],
    ),
    (
        "on_hand",
        &[
            "on hand (current)",
            "quantity on hand",
            "qty on hand",
            "qoh",
            "quantity",
            "qty",
            "stock level",
            "stock quantity",
            "stock qty",
            "inventory quantity",
            "variant inventory qty",
            "bestand",
            "lagerbestand",
            "menge",
        ],
    ),
    (
        "reserved",
        &[
            "quantity reserved",
            "qty reserved",
            "allocated",
            "committed",
            "committed (not editable)",
        ],
    ),
    (
        "available",
        &[
            "available (not editable)",
            "quantity available",
            "qty available",
            "available quantity",
            "available qty",
            "available stock",
        ],
    ),
    (
        "unavailable",
        &[
            "unavailable (not editable)",
            "quantity unavailable",
            "qty unavailable",
            "not sellable",
        ],
    ),
    (
        "incoming",
        &[
            "quantity incoming",
            "qty incoming",
            "on order",
            "quantity on order",
            "qty on order",
            "incoming (not editable)",
        ],
    ),
    (
        "threshold",
        &[
            "reorder level",
            "reorder point",
            "minimum stock",
            "min stock",
            "low stock threshold",
        ],
    ),
    (
        "title",
        &[
            "name",
            "product name",
            "item name",
            "product",
            "bezeichnung",
        ],
    ),
    (
        "category",
        &["product category", "product type", "department"],
    ),
    (
        "updated_at",
        &[
            "last updated",
            "last modified",
            "modified at",
            "updated",
            "timestamp",
        ],
    ),
    ("version", &["sequence", "revision"]),
    ("currency", &["currency code"]),
    // One vehicle.
    (
        "vin",
        &[
            "vehicle identification number",
            "chassis number",
            "chassis no",
            "fahrgestellnummer",
        ],
    ),
    ("stock_number", &["stock no", "stock num"]),
    (
        "status",
        &[
            "vehicle status",
            "inventory status",
            "stock status",
            "sale status",
            "sales status",
            "lot status",
            "unit status",
            "state",
            "vehicle state",
            "stock state",
            "availability",
            "availability status",
        ],
    ),
    (
        "dealer_id",
        &["dealership id", "rooftop", "rooftop id", "store code"],
    ),
    (
        "condition",
        &["new/used", "state of vehicle", "type", "is new"],
    ),
    ("certified", &["certified pre owned", "cpo"]),
    ("year", &["model year", "manu year"]),
    ("make", &["brand", "manufacturer"]),
    ("model", &[]),
    ("trim", &["series", "badge", "trim level"]),
    ("body", &["body style", "body type"]),
    ("doors", &["door count"]),
    ("seats", &["seat count"]),
    (
        "exterior_colour",
        &[
            "exterior color",
            "ext color",
            "ext colour",
            "colour",
            "color",
            "body colour",
            "body color",
        ],
    ),
    (
        "interior_colour",
        &[
            "interior color",
            "int color",
            "int colour",
            "trim colour",
            "trim color",
        ],
    ),
    ("odometer", &["mileage", "mileage.value", "kms"]),
    ("odometer_unit", &["mileage unit"]),
    (
        "price",
        &["selling price", "advertised price", "asking price"],
    ),
    ("msrp", &["list price", "vehicle msrp"]),
    ("engine", &["engine description"]),
    ("transmission", &["gearbox", "transmission type"]),
    ("drivetrain", &["drive type"]),
    ("fuel", &["fuel type"]),
    ("options", &["installed options", "vehicle option"]),
    ("description", &["comments", "dealer comments"]),
    (
        "image_urls",
        &[
            "photo url list",
            "image list",
            "images",
            "image[0].url",
            "image link",
        ],
    ),
    ("link", &["vehicle detail link", "url"]),
    ("date_in_stock", &["entry date", "date first on lot"]),
];

/// What [`ALIASES`] cannot say: a header "Stock" is `stock_number` beside a VIN, else `on_hand`.
pub(crate) const STOCK: &str = "stock";

/// [`ALIASES`] as compared, each column's own name first.
pub(super) static KNOWN: LazyLock<Vec<(&str, Vec<String>)>> = LazyLock::new(|| {
    let columns = ALIASES.iter().map(|(column, aliases)| {
        let names = std::iter::once(column).chain(*aliases);
        (*column, names.map(|name| normal(name)).collect())
    });
    columns.collect()
});

/// A name as it is compared.
pub(crate) fn normal(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-' | '#' | '.' | ':' | '\u{feff}'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whether two header names are one as they are compared.
pub fn same_column(one: &str, other: &str) -> bool {
    normal(one) == normal(other)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_name_means_two_columns() {
        let mut owners = BTreeMap::new();
        for (column, aliases) in ALIASES {
            for name in aliases.iter().chain([column]) {
                let before = owners.insert(normal(name), *column);
                assert!(before.is_none(), "{name:?}: {before:?} and {column}");
            }
        }
    }
}
