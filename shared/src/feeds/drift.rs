//! How a feed's header changed since it was last accepted.
//!
//! A column that vanished is [`Cell::Absent`](super::row::Cell::Absent) in every row, so nothing
//! is wiped; this tells people that it happened.

use std::collections::BTreeSet;

use super::columns::normal;
use super::format::FeedFormat;
use super::header::Header;
use super::row::shorten;

/// The differences between two headers. Order and spelling (case, blanks, signs) are not
/// differences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaDrift {
    /// A column we used went, and one we do not know came with what it held: most likely its new name.
    pub renamed: Vec<Renamed>,
    /// Names of columns we used that went and were not renamed.
    pub dropped: Vec<String>,
    /// Names of columns we use that came.
    pub added: Vec<String>,
    /// Names of columns we do not know that came while others are lost, one of which they may be.
    pub unplaced: Vec<String>,
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
    /// may a `blank` column, one that never held a value. `are_alike`: whether an old column and a new one
    /// hold the same.
    pub fn between(
        before: &[String],
        after: &[String],
        format: &FeedFormat,
        blank: &BTreeSet<String>,
        are_alike: impl Fn(&str, &str) -> bool,
    ) -> Self {
        let are_alike = &are_alike;
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
        let (gone, came) = (missing(before, after), missing(after, before));
        let used = gone.into_iter().filter_map(|position| {
            let fed = fed_from(&old, position)?;
            (!blank.contains(&fed)).then_some((position, fed))
        });
        let mut used: Vec<_> = used.collect();
        // A new name is one we cannot place; known ones explain themselves.
        let (mut known, unknown): (Vec<usize>, Vec<usize>) = came
            .into_iter()
            .partition(|at| fed_from(&new, *at).is_some());
        // And what one of these holds as before has only changed its name.
        used.retain(|(position, column)| {
            let goes_on = |at: &usize| {
                fed_from(&new, *at).as_ref() == Some(column)
                    && are_alike(&before[*position], &after[*at])
            };
            let successor = known.iter().position(goes_on);
            successor.map(|at| known.remove(at)).is_none()
        });
        let is_lost = |column: &String| !feeds(&new, column);
        let lost: Vec<_> = used.iter().filter(|(_, column)| is_lost(column)).collect();
        let names = |at: &usize| after[*at].clone();
        let mut drift = Self {
            added: known.iter().map(names).collect(),
            ..Self::default()
        };
        let mut paired = BTreeSet::new();
        for (position, column) in &used {
            let like = |old: usize| {
                unknown
                    .iter()
                    .filter(move |at| are_alike(&before[old], &after[**at]))
            };
            let mut candidates = like(*position).filter(|_| is_lost(column));
            let successor = candidates.next().filter(|_| candidates.next().is_none());
            // One that may be two of them is neither.
            let is_one_of_two = |at: &&usize| {
                let mut others = lost.iter().filter(|(other, _)| other != position);
                others.any(|(other, _)| like(*other).any(|it| it == *at))
            };
            match successor.filter(|at| !is_one_of_two(at)) {
                Some(at) => {
                    paired.insert(*at);
                    drift.renamed.push(Renamed {
                        from: before[*position].clone(),
                        to: after[*at].clone(),
                        column: column.clone(),
                    });
                }
                None => drift.dropped.push(before[*position].clone()),
            }
        }
        if drift.renamed.len() < lost.len() {
            let unpaired = unknown.iter().filter(|at| !paired.contains(*at));
            drift.unplaced = unpaired.map(names).collect();
        }
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
        let unplaced = (!self.unplaced.is_empty()).then(|| {
            let names: Vec<_> = self
                .unplaced
                .iter()
                .map(|name| format!("{name:?}"))
                .collect();
            format!(
                "New and not read: {}; if one of them is what is gone, map it under columns.",
                shorten(&names.join(", "), 200)
            )
        });
        renamed
            .chain(dropped)
            .chain(added)
            .chain(unplaced)
            .collect()
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
        // By their sounds: what a renamed column holds stays.
        let alike = |old: &str, new: &str| match new {
            "Preis" => old == "Price",
            "Zahl" => ["Price", "Stock #"].contains(&old),
            new => new == format!("new {old}"),
        };
        let format = FeedFormat::default();
        SchemaDrift::between(
            &owned(HEADER),
            &owned(after),
            &format,
            &BTreeSet::new(),
            alike,
        )
    }

    #[test]
    fn order_and_spelling_are_not_drift() {
        assert!(drift(&["vin", "STOCK", "colour", "price", "web_note"]).is_empty());
    }

    #[test]
    fn every_column_that_is_read_is_noticed_when_it_is_renamed_dropped_or_added() {
        for index in 0..HEADER.len() {
            let mut renamed = HEADER.to_vec();
            let new = format!("new {}", HEADER[index]);
            renamed[index] = &new;
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
    fn another_known_name_for_a_column_that_holds_the_same_is_no_difference() {
        let names = |names: &str| names.split(';').map(str::to_owned).collect::<Vec<_>>();
        let (before, after) = (names("SKU;Lagerort;Bestand"), names("SKU;Menge;Lager"));
        let alike = |old: &str, new: &str| (old == "Lagerort") == (new == "Lager");
        let (format, blank) = (FeedFormat::default(), BTreeSet::new());
        let found = SchemaDrift::between(&before, &after, &format, &blank, alike);
        assert!(found.is_empty(), "{found:?}");
        // What holds something else may be another thing.
        let found = SchemaDrift::between(&before, &after, &format, &blank, |_, _| false);
        assert_eq!(found.dropped, ["Lagerort", "Bestand"]);
    }

    #[test]
    fn only_a_pair_that_holds_the_same_is_named() {
        // Something else came, in the very place.
        let found = drift(&["Stock #", "VIN", "Buyer", "Colour", "Web Note"]);
        assert!(found.renamed.is_empty(), "{found:?}");
        assert_eq!(
            found.sentences(),
            [
                "Column \"Price\" is gone.",
                "New and not read: \"Buyer\"; if one of them is what is gone, map it under columns.",
            ]
        );
        // Whatever else came, and in whichever order.
        let found = drift(&["Buyer", "Stock #", "Colour", "VIN", "Web Note", "Preis"]);
        let pairs: Vec<_> = found
            .renamed
            .iter()
            .map(|it| (&*it.from, &*it.to))
            .collect();
        assert_eq!(pairs, [("Price", "Preis")]);
        assert!(
            found.dropped.is_empty() && found.unplaced.is_empty(),
            "{found:?}"
        );
        // One that may be either of two.
        let found = drift(&["Zahl", "VIN", "Colour", "Web Note"]);
        assert!(found.renamed.is_empty(), "{found:?}");
        assert_eq!(
            (found.dropped.len(), found.unplaced),
            (2, vec!["Zahl".to_owned()])
        );
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
