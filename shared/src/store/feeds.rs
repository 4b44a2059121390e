//! A source's health, and when its last complete snapshot was read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::keys::{self, Key};
use super::row::{Expect, Row, Stored};
use super::{Store, StoreError};
use crate::domain::Origin;
use crate::domain::id::ConnectorName;
pub use crate::domain::watch::Moment;
use crate::domain::watch::Topics;
use crate::feeds::columns::ALIASES;

/// What is known of a source that is read on a schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedState {
    /// When the last complete snapshot that was applied had been read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_at: Option<Moment>,
    /// When a read last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded_at: Option<Moment>,
    /// When a read was last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Moment>,
    /// Why the last read was not believed, a sentence each; empty when all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspicions: Vec<String>,
    /// Which of these waits for somebody to approve or reject what the inbox asks; rows of before do not
    /// say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undecided: Option<String>,
    /// What the last whole file lacks and stays all the same, because somebody has said so, or goes with the
    /// next one: a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// While the latest file is not believed, when the last one that was had been written: what the
    /// source has said since has data, the rest has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distrusted_after: Option<Moment>,
    /// What people should mend although the last file was believed: a sentence for each kind of
    /// remark. A remark holds nothing back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remarks: BTreeMap<String, String>,
    /// The columns of the last file that are not read, as people are told of them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unread: String,
    /// What the last file that had anything new had, as people are told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// Our columns that the last file lacks and its source had before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// A person has said that the next good file may have other columns than those before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub columns_may_change: bool,
    /// Why the last try failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What the last change goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What the source's own module remembers between runs. It stands in a row of its own.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub memory: serde_json::Value,
}

fn memory_key(connector: &ConnectorName) -> Key {
    Key::new(keys::connector(connector), "memory")
}

/// The kind of remark that is about files set aside for their names, not about a file's content.
pub const FILE_NAMES: &str = "file_names";

/// The kinds of remark. An alert remembers by their places here which of them people were told of: new
/// ones come last. Any other kind counts as one.
pub const REMARKS: [&str; 19] = [
    "columns",
    "unread_state",
    "nameless",
    FILE_NAMES,
    "no_data",
    "unreadable",
    "unknown_status",
    "unknown_location",
    "from_the_future",
    "conflict",
    "held_for_review",
    "bad_row",
    "no_key",
    "bad_vin",
    "refused",
    "too_large",
    "unplaced",
    "no_location",
    "unread_place",
];

/// The kind of a remark as a topic of an alert.
pub fn topic(kind: &str) -> Topics {
    let place = REMARKS.iter().position(|known| *known == kind);
    Topics::of([place.unwrap_or(usize::MAX)])
}

/// The topic of each lost column: people are told of each. There are fewer bits than columns, so two that
/// stand far apart in the list of columns may share one.
pub fn topics_of_columns(lost: &[String]) -> Topics {
    const FIRST: usize = 32;
    const BITS: usize = 31;
    let place = |column: &String| ALIASES.iter().position(|(known, _)| known == column);
    Topics::of(
        lost.iter()
            .filter_map(place)
            .map(|place| FIRST + place % BITS),
    )
}

/// What a source that is not believed means for its stock.
const HELD_BACK: &str = "What it does not state stays as it was, and nothing is told of that until a good file is read.";

impl FeedState {
    /// What people are told while its last file is not believed, a sentence each.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = self.suspicions.clone();
        if !doubts.is_empty() && self.distrusted_after.is_some() {
            doubts.push(HELD_BACK.to_owned());
        }
        doubts
    }

    /// What is wrong with its last file, whichever file that is and however many it is of; and what somebody
    /// is to decide, which is another thing where it is about other items.
    pub fn kinds_of_doubt(&self) -> impl Iterator<Item = String> {
        self.suspicions.iter().map(|sentence| {
            if self.undecided.as_ref() == Some(sentence) {
                let lacks = &sentence[sentence.find(" lacks ").unwrap_or_default()..];
                // Of how many the same items are is no other thing to decide.
                return match lacks.split_once(" of ") {
                    Some((count, all)) => {
                        let which = all.trim_start_matches(|one: char| one.is_ascii_digit());
                        format!("{count}{which}")
                    }
                    None => lacks.to_owned(),
                };
            }
            let said = sentence
                .split_once(": ")
                .map_or(sentence.as_str(), |it| it.1);
            said.replace(|one: char| one.is_ascii_digit(), "")
        })
    }

    /// Whether this says what another does but for when its source was last tried.
    pub fn only_tried_since(&self, other: &Self) -> bool {
        let known = Self {
            tried_at: self.tried_at,
            ..other.clone()
        };
        *self == known
    }

    /// Notes that a file was believed, or not.
    pub fn believe(&mut self, believed: bool) {
        let epoch = Moment(Timestamp::UNIX_EPOCH);
        self.distrusted_after = (!believed).then(|| self.snapshot_at.unwrap_or(epoch));
    }

    /// Puts a file's remarks in the place of the last file's.
    pub fn remark(&mut self, remarks: &BTreeMap<String, String>) {
        self.remarks.retain(|kind, _| kind == FILE_NAMES);
        self.remarks.extend(remarks.clone());
    }
}

pub(crate) fn feed_key(connector: &ConnectorName) -> Key {
    Key::new(keys::connector(connector), "feed")
}

impl Store {
    /// A source's health, and what its module remembers.
    pub async fn feed(
        &self,
        connector: &ConnectorName,
    ) -> Result<Option<Stored<FeedState>>, StoreError> {
        let Some(mut feed) = self.feed_health(connector).await? else {
            return Ok(None);
        };
        let memory = self
            .get("read what a feed remembers", &memory_key(connector))
            .await?;
        feed.data.memory = memory.map(|stored| stored.data).unwrap_or_default();
        Ok(Some(feed))
    }

    /// A source's health alone: a small row, for those who ask often.
    pub async fn feed_health(
        &self,
        connector: &ConnectorName,
    ) -> Result<Option<Stored<FeedState>>, StoreError> {
        self.get("read a feed's state", &feed_key(connector)).await
    }

    /// Writes a source's health: `false` if somebody else did since it was read.
    pub async fn save_feed(
        &self,
        connector: &ConnectorName,
        state: &FeedState,
        expect: Expect,
    ) -> Result<bool, StoreError> {
        let mut health = state.clone();
        let memory = health.memory.take();
        if !self.save_health(connector, &health, expect).await? {
            return Ok(false);
        }
        // Second: a file that is not remembered is read once more, and says nothing new.
        let row = Row::new(memory_key(connector), "memory", &memory)?;
        self.put("write what a feed remembers", row, Expect::Anything)
            .await
    }

    async fn save_health(
        &self,
        connector: &ConnectorName,
        health: &FeedState,
        expect: Expect,
    ) -> Result<bool, StoreError> {
        let row = Row::new(feed_key(connector), "feed", health)?;
        self.put("write a feed's state", row, expect).await
    }

    /// Notes that a source was tried, and nothing else: one small row.
    pub async fn note_tried(&self, connector: &ConnectorName) -> Result<(), StoreError> {
        const OPERATION: &str = "note that a feed was tried";
        for attempt in 0.. {
            let stored = self.feed_health(connector).await?;
            let mut health = stored
                .as_ref()
                .map(|it| it.data.clone())
                .unwrap_or_default();
            health.tried_at = Some(Moment(self.clock.now()));
            let expect = Expect::from_read(stored.as_ref());
            if self.save_health(connector, &health, expect).await? {
                return Ok(());
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// Changes a source's health, whoever else does so at the same time.
    pub async fn change_feed(
        &self,
        connector: &ConnectorName,
        change: impl Fn(&mut FeedState),
    ) -> Result<FeedState, StoreError> {
        const OPERATION: &str = "change a feed's state";
        for attempt in 0.. {
            let stored = self.feed(connector).await?;
            let mut state = stored
                .as_ref()
                .map_or_else(FeedState::default, |stored| stored.data.clone());
            change(&mut state);
            if stored.as_ref().is_some_and(|stored| stored.data == state) {
                return Ok(state);
            }
            state.origin = self.origin();
            let expect = Expect::from_read(stored.as_ref());
            if self.save_feed(connector, &state, expect).await? {
                return Ok(state);
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::FeedState;

    #[test]
    fn the_same_items_are_no_other_thing_to_decide_where_a_file_has_fewer_others() {
        let kinds = |sentence: &str| {
            let state = FeedState {
                suspicions: vec![sentence.to_owned()],
                undecided: Some(sentence.to_owned()),
                ..FeedState::default()
            };
            state.kinds_of_doubt().collect::<Vec<_>>()
        };
        let one = kinds("a.csv lacks 12 of 60 items, such as A, B; nobody has decided.");
        let fewer = kinds("b.csv lacks 12 of 57 items, such as A, B; nobody has decided.");
        let others = kinds("b.csv lacks 12 of 57 items, such as A, C; nobody has decided.");
        assert_eq!(one, fewer);
        assert_ne!(one, others);
    }
}
