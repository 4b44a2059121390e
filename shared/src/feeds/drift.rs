//! How a feed's header changed since it was last accepted.
//!
//! A column that vanished is [`Cell::Absent`](super::row::Cell::Absent) in every row, so nothing
//! is wiped; this tells people that it happened.

use std::collections::BTreeSet;

use super::columns::normal;
use super::format::FeedFormat;
use super::header::Header;

/// The differences between two headers. Order and spelling (case, blanks, signs) are not
/// differences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaDrift {
    /// A column we used went, and one we do not know came: most likely its new name.
    pub renamed: Vec<Renamed>,
    /// Names of columns we used that went and were not renamed.
    pub dropped: Vec<String>,
    /// Names of columns we use that came.
    pub added: Vec<String>,
    /// Canonical columns that were fed and no longer are.
    pub lost: Vec<String>,
}

/// What looks like a renaming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// The old name.
    pub from: String,
    /// The new name.
    pub to: String,
    /// The canonical column it fed.
    pub column: String,
}

/// The columns that stock is known or believed by.
const STOCK: [&str; 12] = [
    "sku",
    "vin",
    "location",
    "dealer_id",
    "status",
    "on_hand",
    "reserved",
    "available",
    "unavailable",
    "incoming",
    "updated_at",
    "version",
];

impl SchemaDrift {
    /// Compares the last accepted header with the one just read. What is not read may come and go, and so
    /// may a `blank` column, one that never held a value.
    pub fn between(
        before: &[String],
        after: &[String],
        format: &FeedFormat,
        blank: &BTreeSet<String>,
    ) -> Self {
        let (old, new) = (mapped(before, format), mapped(after, format));
        let feeds = |header: &Option<Header>, column: &str| {
            header
                .as_ref()
                .is_some_and(|header| header.position(column).is_some())
        };
        let fed_from = |header: &Option<Header>, position: usize| {
            let header = header.as_ref()?;
            let mut columns = header.columns();
            columns
                .find(|column| header.position(column) == Some(position))
                .map(str::to_owned)
        };
        let gone = missing(before, after);
        let mut came = missing(after, before);
        let mut drift = Self::default();
        for position in gone {
            let Some(fed) = fed_from(&old, position).filter(|column| !blank.contains(column))
            else {
                continue;
            };
            let column = Some(fed).filter(|column| !feeds(&new, column));
            // A new name is one we cannot place; known ones explain themselves.
            let unknown = |index: &usize| fed_from(&new, *index).is_none();
            let successor = column.as_ref().and_then(|_| {
                let in_place = came.iter().position(|at| *at == position && unknown(at));
                in_place.or_else(|| came.iter().position(unknown))
            });
            match (column, successor) {
                (Some(column), Some(index)) => drift.renamed.push(Renamed {
                    from: before[position].clone(),
                    to: after[came.remove(index)].clone(),
                    column,
                }),
                _ => drift.dropped.push(before[position].clone()),
            }
        }
        let read = came.into_iter().filter(|at| fed_from(&new, *at).is_some());
        drift.added = read.map(|at| after[at].clone()).collect();
        if let Some(header) = &old {
            let lost = header.columns();
            let lost = lost.filter(|column| !feeds(&new, column) && !blank.contains(*column));
            drift.lost = lost.map(str::to_owned).collect();
        }
        drift
    }

    /// Whether a column is lost that stock is known or believed by: a key, a place, a state, a quantity,
    /// a time. The others only describe.
    pub fn loses_stock(&self) -> bool {
        self.lost
            .iter()
            .any(|column| STOCK.contains(&column.as_str()))
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// One sentence per difference.
    pub fn sentences(&self) -> Vec<String> {
        let renamed = self.renamed.iter().map(|it| {
            format!(
                "Column {:?} ({}) went and {:?} came: probably renamed; map it under columns.",
                it.from, it.column, it.to
            )
        });
        let dropped = self
            .dropped
            .iter()
            .map(|name| format!("Column {name:?} is gone."));
        let added = self
            .added
            .iter()
            .map(|name| format!("Column {name:?} is new."));
        renamed.chain(dropped).chain(added).collect()
    }
}

/// The canonical columns that these names feed.
pub fn columns_fed(names: &[String], format: &FeedFormat) -> BTreeSet<String> {
    let header = mapped(names, format);
    let columns = header.iter().flat_map(Header::columns);
    columns.map(str::to_owned).collect()
}

fn mapped(names: &[String], format: &FeedFormat) -> Option<Header> {
    let lenient = FeedFormat {
        required: Vec::new(),
        ..format.clone()
    };
    Header::map(names.to_vec(), &lenient).ok()
}

/// Positions in `of` whose names `from` does not have.
fn missing(of: &[String], from: &[String]) -> Vec<usize> {
    let known: Vec<String> = from.iter().map(|name| normal(name)).collect();
    (0..of.len())
        .filter(|index| !known.contains(&normal(&of[*index])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[&str] = &["Stock #", "VIN", "Price", "Colour", "Web Note"];

    fn drift(after: &[&str]) -> SchemaDrift {
        let owned = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let format = FeedFormat::default();
        SchemaDrift::between(&owned(HEADER), &owned(after), &format, &BTreeSet::new())
    }

    #[test]
    fn order_and_spelling_are_not_drift() {
        assert!(drift(&["vin", "STOCK", "colour", "price", "web_note"]).is_empty());
    }

    #[test]
    fn every_column_that_is_read_is_noticed_when_it_is_renamed_dropped_or_added() {
        for index in 0..HEADER.len() {
            let mut renamed = HEADER.to_vec();
            renamed[index] = "Feld 7";
            let found = drift(&renamed);
            if HEADER[index] == "Web Note" {
                assert!(found.is_empty(), "{found:?}");
            } else {
                assert_eq!(found.renamed.len(), 1, "{found:?}");
                assert_eq!(found.renamed[0].from, HEADER[index]);
                assert_eq!(found.lost, [found.renamed[0].column.clone()]);
            }
            let mut dropped = HEADER.to_vec();
            dropped.remove(index);
            let found = drift(&dropped);
            let read = (HEADER[index] != "Web Note").then_some(HEADER[index]);
            assert_eq!(found.dropped, Vec::from_iter(read));
            assert!(found.renamed.is_empty() && found.added.is_empty());
            let mut added = HEADER.to_vec();
            added.insert(index, "Feld 7");
            assert!(drift(&added).is_empty());
            added[index] = "Year";
            let found = drift(&added);
            assert_eq!(found.added, ["Year"]);
            assert!(found.lost.is_empty() && found.dropped.is_empty());
        }
    }

    #[test]
    fn another_known_name_for_the_same_column_loses_nothing() {
        let found = drift(&["Stock #", "VIN", "Selling Price", "Colour", "Web Note"]);
        assert!(found.lost.is_empty() && found.renamed.is_empty());
        assert_eq!(found.dropped, ["Price"]);
        assert_eq!(found.added, ["Selling Price"]);
    }

    #[test]
    fn a_renaming_is_said_in_words() {
        let found = drift(&["Stock #", "VIN", "Preis", "Colour", "Web Note"]);
        assert_eq!(
            found.sentences(),
            [
                "Column \"Price\" (price) went and \"Preis\" came: probably renamed; map it under columns."
            ]
        );
    }
}
