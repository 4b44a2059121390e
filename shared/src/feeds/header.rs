//! Which header name feeds which column.

use std::collections::BTreeMap;

use super::columns::{KNOWN, normal};
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
        let header = Self { names, columns };
        if header.columns.is_empty() {
            return Err(FeedError::UnknownHeader {
                header: header.shown(),
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

    fn shown(&self) -> String {
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
        assert!(error.to_string().ends_with("positions 2 and 3"), "{error}");
        // Names that feed nothing may repeat.
        Header::map(names("VIN,Note,Note"), &FeedFormat::default()).unwrap();
    }
}
