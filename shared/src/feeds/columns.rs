//! The canonical columns of vehicle and stock files, and the header names each goes by.
//!
//! Names are compared without case, blanks, `_`, `-` and `#`. The order of aliases is the order
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
        ],
    ),
    (
        "on_hand",
        &[
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
        ],
    ),
    (
        "reserved",
        &[
            "quantity reserved",
            "qty reserved",
            "allocated",
            "committed",
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
    ("title", &["name", "product name", "item name", "product"]),
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
        ],
    ),
    ("stock_number", &["stock", "stock no", "stock num"]),
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
    ("odometer_unit", &["mileage.unit", "mileage unit"]),
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
        .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-' | '#' | '\u{feff}'))
        .flat_map(char::to_lowercase)
        .collect()
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
