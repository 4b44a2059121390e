//! What of a file cannot be taken, row by row, and the remarks that people read about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::domain::id::Sku;
use shared::feeds::row::Invalid;
use shared::store::stated::Item;

/// A quantity that is not there.
pub(crate) const NO_DATA: &str = "no_data";
/// A place that does not keep the product, as some exports say of every one.
pub(crate) const NOT_STOCKED: &str = "not_stocked";
/// A cell that is not what its column holds.
pub(crate) const UNREADABLE: &str = "unreadable";
/// A word for a vehicle's state that nobody has explained.
pub(crate) const UNKNOWN_STATUS: &str = "unknown_status";
/// A place that is not in the connector's list.
pub(crate) const UNKNOWN_LOCATION: &str = "unknown_location";
/// A row dated after its file.
pub(crate) const FROM_THE_FUTURE: &str = "from_the_future";
/// Several rows for one item that say different things.
pub(crate) const CONFLICT: &str = "conflict";
/// A value that is not believed.
pub(crate) const HELD: &str = "held_for_review";
/// A row that cannot be split.
pub(crate) const BAD_ROW: &str = "bad_row";

/// A row that adds up those above it. Nobody has to mend that.
pub(crate) const TOTAL: &str = "total";

/// Examples kept of each kind.
const EXAMPLES: usize = 3;
/// Flaws of one kind in one file whose rows have an entry each; one more stands for the rest.
const EACH: u64 = 20;

/// What makes several rows one entry in quarantine, however many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Common {
    /// The word or name that is to blame, and what is said of it, for machines, where that may become
    /// something else.
    Word(Box<str>, Option<Box<str>>),
    /// What rows of one item say that contradict each other: where they say something else, it is another.
    Said(Box<str>),
}

/// Why a row, or a cell of it, cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// What the row is about, if that much could be read.
    pub(crate) item: Option<Item>,
    /// The SKU of a row that does not tell what it is about, as its place is not known.
    sku: Option<Box<Sku>>,
    /// A short code that does not change.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) sentence: String,
    /// The same without the cell's words, where there are any: it goes to channels, and where columns are
    /// mixed up a cell may hold anything, a customer's name too.
    brief: Option<Box<str>>,
    /// What makes several rows one entry.
    common: Option<Box<Common>>,
}

impl Flaw {
    pub(crate) fn new(
        item: Option<&Item>,
        reason: &'static str,
        sentence: impl Into<String>,
    ) -> Self {
        Self {
            item: item.cloned(),
            sku: None,
            reason,
            brief: None,
            sentence: sentence.into(),
            common: None,
        }
    }

    pub(crate) fn about(self, item: &Item) -> Self {
        Self {
            item: Some(item.clone()),
            ..self
        }
    }

    pub(crate) fn of_sku(self, sku: &Sku) -> Self {
        Self {
            sku: Some(Box::new(sku.clone())),
            ..self
        }
    }

    /// The SKU or VIN of its row, as far as that could be read.
    pub(crate) fn key(&self) -> Option<&str> {
        match &self.item {
            Some(Item::Position { product, .. }) => Some(product.as_str()),
            Some(Item::Unit { vin }) => Some(vin.as_str()),
            None => self.sku.as_ref().map(|sku| sku.as_str()),
        }
    }

    /// The word or name that is to blame.
    pub(crate) fn word(&self) -> Option<&str> {
        match self.common.as_deref()? {
            Common::Word(word, _) => Some(word),
            Common::Said(_) => None,
        }
    }

    /// What is said of that, where it may become something else.
    pub(crate) fn says(&self) -> Option<&str> {
        match self.common.as_deref()? {
            Common::Word(_, says) => says.as_deref(),
            Common::Said(_) => None,
        }
    }

    pub(crate) fn of_rows(self, said: &str) -> Self {
        Self {
            common: Some(Box::new(Common::Said(said.into()))),
            ..self
        }
    }

    /// By what it is known, where that is not the text of its row.
    pub(crate) fn known_by(&self) -> Option<String> {
        match (self.common.as_deref()?, &self.item) {
            (Common::Said(said), Some(item)) => Some(format!("{item}\u{1f}{said}")),
            _ => None,
        }
    }

    pub(crate) fn of_word(self, word: &str) -> Self {
        self.of_word_that_says(word, None)
    }

    pub(crate) fn of_word_that_says(self, word: &str, says: Option<String>) -> Self {
        Self {
            common: Some(Box::new(Common::Word(word.into(), says.map(Into::into)))),
            brief: Some(self.sentence.replace(&format!("{word:?} "), "").into()),
            ..self
        }
    }

    pub(crate) fn cell(item: Option<&Item>, column: &str, invalid: &Invalid) -> Self {
        let Invalid { found, why } = invalid;
        let sentence = format!("The {column} {found:?} cannot be read: {why}.");
        Self {
            brief: Some(format!("The {column} cannot be read: {why}.").into()),
            ..Self::new(item, UNREADABLE, sentence)
        }
    }
}

/// How often each kind of flaw was met in a file, with examples.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Tally(BTreeMap<String, Kind>);

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Kind {
    count: u64,
    examples: Vec<String>,
    /// What is wrong with the first row that has no entry of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rest: Option<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, line: u64, flaw: &Flaw) {
        let kind = self.0.entry(flaw.reason.to_owned()).or_default();
        kind.count += 1;
        if kind.examples.len() < EXAMPLES {
            kind.examples.push(format!(
                "line {line}: {}",
                flaw.brief.as_deref().unwrap_or(&flaw.sentence)
            ));
        }
    }

    /// What the entry says that stands for this row and the rest of its kind, if enough of those have one
    /// of their own. It says what is wrong with the first of the rest.
    pub(crate) fn rest(&mut self, reason: &str, sentence: &str) -> Option<String> {
        let kind = self.0.get_mut(reason).filter(|kind| kind.count >= EACH)?;
        let first = kind.rest.get_or_insert_with(|| sentence.to_owned());
        Some(format!(
            "{first} More rows of the file have a fault of this kind: this entry stands for all of them."
        ))
    }

    /// A remark for each kind of flaw.
    pub(crate) fn remarks(&self) -> BTreeMap<String, String> {
        let kinds = self.0.iter().filter(|(reason, _)| *reason != TOTAL);
        let remarks = kinds.map(|(reason, kind)| {
            let rows = match kind.count {
                1 => "1 row".to_owned(),
                count => format!("{count} rows"),
            };
            let what = match reason.as_str() {
                NO_DATA => "without a quantity, which is not zero; left as known before".to_owned(),
                UNREADABLE => "with cells that cannot be read; those were left out".to_owned(),
                UNKNOWN_STATUS => {
                    "with words for the state that are not known; the quarantine names \
                     them, map them under `statuses`"
                        .to_owned()
                }
                UNKNOWN_LOCATION => {
                    "at places that are not known; the quarantine names them, map them \
                     under `locations`"
                        .to_owned()
                }
                FROM_THE_FUTURE => {
                    "dated after the file was written; the file's own time was taken. \
                     If they are local times, see that `time_zone` is set and right"
                        .to_owned()
                }
                CONFLICT => {
                    "of items that have several rows which differ; neither was believed".to_owned()
                }
                HELD => "with values that cannot be believed; those were held back".to_owned(),
                BAD_ROW => "that cannot be split into the header's columns".to_owned(),
                "no_key" | "bad_vin" if kind.count == 1 => "that does not name an item".to_owned(),
                "no_key" | "bad_vin" => "that do not name an item".to_owned(),
                _ => "that could not be applied".to_owned(),
            };
            let examples = kind.examples.join(" ");
            (
                reason.clone(),
                format!("{rows} {what}. For example {examples}"),
            )
        });
        remarks.collect()
    }
}
