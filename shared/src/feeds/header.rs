//! Which header name feeds which column.

use std::collections::BTreeMap;

use super::columns::{KNOWN, STOCK, normal};
use super::evidence::FeedError;
use super::format::FeedFormat;

/// A file's header, mapped to columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    names: Vec<String>,
    columns: BTreeMap<String, usize>,
}

impl Header {
    /// Maps header names as found. A column the settings name is taken from those names or not
    /// at all: falling back to an alias could feed it from a column that means something else.
    pub fn map(names: Vec<String>, format: &FeedFormat) -> Result<Self, FeedError> {
        let normals: Vec<String> = names.iter().map(|name| normal(name)).collect();
        let mut columns = BTreeMap::new();
        for (column, wanted) in &format.columns {
            let wanted: Vec<_> = wanted.as_slice().iter().map(|name| normal(name)).collect();
            if let Some(index) = find(column, &wanted, &names, &normals, &[])? {
                columns.insert(column.clone(), index);
            }
        }
        let taken: Vec<usize> = columns.values().copied().collect();
        for (column, wanted) in KNOWN.iter() {
            if format.columns.contains_key(*column) {
                continue;
            }
            if let Some(index) = find(column, wanted, &names, &normals, &taken)? {
                columns.insert((*column).to_owned(), index);
            }
        }
        let mut header = Self { names, columns };
        header.settle_stock(format)?;
        header.settle_state(format);
        if header.columns.is_empty() {
            return Err(FeedError::UnknownHeader {
                header: header.shown(),
                hint: match header.names.len() {
                    1 => {
                        "it is one field: set `format.delimiter`, or map it under `format.columns`"
                    }
                    _ => "map its names under `format.columns`",
                },
            });
        }
        let required = format.required.iter().map(String::as_str);
        let missing: Vec<&str> = required
            .filter(|column| !header.columns.contains_key(*column))
            .collect();
        if missing.is_empty() {
            return Ok(header);
        }
        Err(FeedError::MissingColumns {
            missing: missing.join(", "),
            header: header.shown(),
        })
    }

    /// "Stock" is a vehicle's stock number beside a VIN, and a quantity elsewhere. "Stock #" is a number
    /// anywhere.
    fn settle_stock(&mut self, format: &FeedFormat) -> Result<(), FeedError> {
        let taken: Vec<usize> = self.columns.values().copied().collect();
        let free = (0..self.names.len()).filter(|index| !taken.contains(index));
        let (numbered, plain): (Vec<usize>, Vec<usize>) = free
            .filter(|index| normal(&self.names[*index]) == STOCK)
            .partition(|index| self.names[*index].contains('#'));
        let plain_column = match self.columns.contains_key("vin") {
            true => "stock_number",
            false => "on_hand",
        };
        for (column, found) in [("stock_number", numbered), (plain_column, plain)] {
            if self.columns.contains_key(column) || format.columns.contains_key(column) {
                continue;
            }
            match found[..] {
                [] => {}
                [index] => {
                    self.columns.insert(column.to_owned(), index);
                }
                [first, second, ..] => {
                    return Err(FeedError::AmbiguousColumn {
                        column: column.to_owned(),
                        name: self.names[first].clone(),
                        first: first + 1,
                        second: second + 1,
                    });
                }
            }
        }
        Ok(())
    }

    /// "State" beside a town or a postal code is a part of an address.
    fn settle_state(&mut self, format: &FeedFormat) {
        let is_state = self.source_of("status").map(normal).as_deref() == Some("state");
        if is_state && self.has_address() && !format.columns.contains_key("status") {
            self.columns.remove("status");
        }
    }

    fn has_address(&self) -> bool {
        let parts = ["city", "zip", "postal", "address"];
        let mut names = self.names.iter().map(|name| normal(name));
        names.any(|name| parts.iter().any(|part| name.contains(part)))
    }

    /// A column of a vehicle file that looks like its state and feeds nothing.
    pub fn unread_state(&self) -> Option<&str> {
        if self.position("vin").is_none() || self.position("status").is_some() {
            return None;
        }
        let marks = ["status", "state", "availab", "disposition", "sold"];
        let fed: Vec<usize> = self.columns.values().copied().collect();
        let mut unread = (0..self.names.len()).filter(|index| !fed.contains(index));
        let looks = |index: &usize| {
            let name = normal(&self.names[*index]);
            let of_address = name.ends_with("state") && self.has_address();
            // The title of an American car is clean or salvaged.
            !of_address
                && !name.starts_with("title")
                && marks.iter().any(|mark| name.contains(mark))
        };
        unread.find(looks).map(|index| self.names[index].as_str())
    }

    /// The names of the columns that feed nothing.
    pub fn unread(&self) -> impl Iterator<Item = &str> {
        let names = self.names.iter().enumerate();
        let unread = names.filter(|(index, name)| {
            !name.trim().is_empty() && !self.columns.values().any(|fed| fed == index)
        });
        unread.map(|(_, name)| name.as_str())
    }

    /// Names as the file has them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Where a canonical column stands, counted from 0.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.get(column).copied()
    }

    /// The header name that feeds a canonical column.
    pub fn source_of(&self, column: &str) -> Option<&str> {
        Some(&self.names[self.position(column)?])
    }

    /// The canonical column fed from this position, or the header name where none is.
    pub(crate) fn label(&self, position: usize) -> Option<&str> {
        let mapped = self.columns.iter().find(|(_, index)| **index == position);
        mapped
            .map(|(column, _)| column.as_str())
            .or_else(|| self.names.get(position).map(String::as_str))
    }

    /// The canonical columns that are fed.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.keys().map(String::as_str)
    }

    /// The names as people are told them: not all of very many.
    pub fn shown(&self) -> String {
        super::row::shorten(&self.names.join(", "), 200)
    }
}

/// How many canonical columns these names would feed; chooses a delimiter.
pub(super) fn known_columns(names: &[String], format: &FeedFormat) -> usize {
    let lenient = FeedFormat {
        columns: format.columns.clone(),
        ..FeedFormat::default()
    };
    match Header::map(names.to_vec(), &lenient) {
        Ok(header) => header.columns.len(),
        // An ambiguous header is still one that was split rightly.
        Err(FeedError::AmbiguousColumn { .. }) => names.len(),
        Err(_) => 0,
    }
}

fn find(
    column: &str,
    wanted: &[String],
    names: &[String],
    normals: &[String],
    taken: &[usize],
) -> Result<Option<usize>, FeedError> {
    for name in wanted {
        let mut found =
            (0..normals.len()).filter(|index| normals[*index] == *name && !taken.contains(index));
        match (found.next(), found.next()) {
            (None, _) => {}
            (Some(index), None) => return Ok(Some(index)),
            (Some(first), Some(second)) => {
                return Err(FeedError::AmbiguousColumn {
                    column: column.to_owned(),
                    name: names[first].clone(),
                    first: first + 1,
                    second: second + 1,
                });
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn aliases_ignore_case_blanks_and_signs() {
        let format = FeedFormat::default();
        let header = Header::map(names("STOCK #,vIn,Ext_Color,Qty-On-Hand"), &format).unwrap();
        let columns: Vec<_> = header.columns().collect();
        assert_eq!(
            columns,
            ["exterior_colour", "on_hand", "stock_number", "vin"]
        );
        assert_eq!(header.source_of("exterior_colour"), Some("Ext_Color"));
    }

    #[test]
    fn an_abbreviation_may_end_with_its_point() {
        let format = FeedFormat::default();
        let header = Header::map(names("Item No.,Qty.,Location Code:,Stock No."), &format).unwrap();
        assert_eq!(header.source_of("sku"), Some("Item No."));
        assert_eq!(header.source_of("on_hand"), Some("Qty."));
        assert_eq!(header.source_of("location"), Some("Location Code:"));
        assert_eq!(header.source_of("stock_number"), Some("Stock No."));
    }

    #[test]
    fn settings_win_and_do_not_fall_back() {
        let format: FeedFormat = toml::from_str("columns.price = 'Web Price'").unwrap();
        let header = Header::map(names("vin,price,Web Price"), &format).unwrap();
        assert_eq!(header.position("price"), Some(2));
        let header = Header::map(names("vin,price"), &format).unwrap();
        assert_eq!(header.position("price"), None);
    }

    #[test]
    fn missing_required_columns_are_all_named() {
        let format: FeedFormat = toml::from_str("required = ['vin', 'price', 'make']").unwrap();
        let error = Header::map(names("Make,Odometer"), &format).unwrap_err();
        assert!(
            error.to_string().contains("missing: vin, price;"),
            "{error}"
        );
    }

    #[test]
    fn the_same_name_twice_is_not_guessed_about() {
        let error = Header::map(names("VIN,Price,price"), &FeedFormat::default()).unwrap_err();
        assert!(error.to_string().contains("positions 2 and 3"), "{error}");
        let none: FeedFormat = toml::from_str("columns.price = []").unwrap();
        Header::map(names("VIN,Price,price"), &none).unwrap();
        // Names that feed nothing may repeat.
        Header::map(names("VIN,Note,Note"), &FeedFormat::default()).unwrap();
    }

    #[test]
    fn stock_is_a_number_beside_a_vin_and_a_quantity_elsewhere() {
        let map = |text| Header::map(names(text), &FeedFormat::default()).unwrap();
        assert_eq!(map("SKU,Name,Stock").source_of("on_hand"), Some("Stock"));
        let vehicles = map("VIN,Stock,Price");
        assert_eq!(vehicles.source_of("stock_number"), Some("Stock"));
        assert_eq!(vehicles.position("on_hand"), None);
        assert_eq!(
            map("VIN,Stock #").source_of("stock_number"),
            Some("Stock #")
        );
        assert_eq!(map("SKU,Stock #,Qty").source_of("on_hand"), Some("Qty"));
        assert_eq!(map("SKU,Stock #").position("on_hand"), None);
        // A quantity under its own name comes first.
        assert_eq!(
            map("SKU,Stock,On Hand").source_of("on_hand"),
            Some("On Hand")
        );
    }

    #[test]
    fn a_state_is_read_unless_it_is_part_of_an_address() {
        let map = |text: &str| Header::map(names(text), &FeedFormat::default()).unwrap();
        for name in [
            "Status",
            "state",
            "Availability",
            "Vehicle Status",
            "Inventory Status",
        ] {
            let text = format!("VIN,{name}");
            let header = map(&text);
            assert_eq!(header.source_of("status"), Some(name));
            assert_eq!(header.unread_state(), None);
        }
        let address = map("VIN,City,State,Zip");
        assert_eq!(
            (address.position("status"), address.unread_state()),
            (None, None)
        );
        let both = map("VIN,Status,City,State");
        assert_eq!(both.source_of("status"), Some("Status"));
        let unknown = map("VIN,Deal Status Text");
        assert_eq!(unknown.unread_state(), Some("Deal Status Text"));
        assert_eq!(map("SKU,Qty,Deal Status Text").unread_state(), None);
        assert_eq!(map("VIN,Title Status").unread_state(), None);
    }

    #[test]
    fn a_header_that_is_not_split_says_what_to_set() {
        let format: FeedFormat = toml::from_str("delimiter = ','").unwrap();
        let error = Header::map(vec!["Teil;Bestand".into()], &format).unwrap_err();
        assert!(error.to_string().contains("delimiter"), "{error}");
    }
}
