//! What a file feed remembers between runs.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::feeds::complete::{AcceptedRead, Habit};
use shared::feeds::drift::SchemaDrift;
use shared::feeds::pickup::Watch;
use shared::feeds::samples::Samples;
use shared::feeds::transport::Entry;
use shared::store::feeds::FeedState;

/// Accepted reads that the next one is measured against.
const READS: usize = 10;
/// Deliveries remembered, to know one that comes again.
const DELIVERIES: usize = 50;

/// Names of places remembered.
const PLACES: usize = 1_000;

/// Good files in a row without a column that only describes, after which it is not expected any more.
pub(crate) const GIVEN_UP: usize = 3;

/// What a file feed remembers between runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    /// Since when each listed file has looked as it does.
    pub(crate) watch: Watch,
    /// The latest accepted reads.
    pub(crate) reads: Vec<AcceptedRead>,
    /// The header that files are expected to have: of the last file that had every column we used, or
    /// did without some that only describe for long enough.
    pub(crate) header: Vec<String>,
    /// What stood in the columns of that file.
    pub(crate) samples: Samples,
    /// Our columns that files have had and that never held a value: they may go.
    pub(crate) blank: BTreeSet<String>,
    /// What the last believed file said of its products, as a number.
    pub(crate) descriptions: u64,
    /// The names of places that believed files had usable rows of.
    pub(crate) places: BTreeSet<String>,
    /// The header that the latest files have had instead, and how many of them in a row.
    pub(crate) instead: Option<(Vec<String>, usize)>,
    /// What was applied, oldest first.
    pub(crate) deliveries: Vec<Delivery>,
    /// The inbox entry that the latest withheld removals wait under.
    pub(crate) held: Option<String>,
    /// How the latest reads ended that were whole but for their ending.
    pub(crate) habit: Option<Habit>,
    /// The content that counted for it last: however often it is read or sent, it counts once.
    pub(crate) habit_of: Option<String>,
    /// Rows of the last believed file that may have been about anything.
    pub(crate) nameless: u64,
    /// Our columns of which people were told that the latest files lack them.
    pub(crate) lost: Vec<String>,
    /// A person has said that the columns of the next file may be others.
    #[serde(skip)]
    pub(crate) columns_may_change: bool,
}

/// One file as it was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    /// Lower-case hex SHA-256 of its content.
    pub(crate) sha256: String,
    /// How it was listed.
    pub(crate) entry: Entry,
    /// When it was written, as far as that is believed: never after it was read.
    pub(crate) written_at: Timestamp,
}

impl Delivery {
    /// Names it. The same file has the same name however often it is read, whatever our clock says by then:
    /// what lacks in it counts once.
    pub(crate) fn name(&self) -> String {
        let Entry { modified, tag, .. } = &self.entry;
        let written = modified.map(|at| at.as_millisecond().to_string());
        let parts = [Some(self.sha256.clone()), written, tag.clone()];
        parts.into_iter().flatten().collect::<Vec<_>>().join("@")
    }
}

impl Memory {
    /// What the feed's state holds; nothing if it holds what another version wrote.
    pub(crate) fn of(state: &FeedState) -> Self {
        Self {
            columns_may_change: state.columns_may_change,
            ..serde_json::from_value(state.memory.clone()).unwrap_or_default()
        }
    }

    /// Puts it back.
    pub(crate) fn keep(&self, state: &mut FeedState) {
        state.memory = serde_json::to_value(self).unwrap_or_default();
    }

    /// Whether this delivery was applied before. The same content under a later time is another
    /// delivery: it says that the stock is as it was then. Where nothing says when a file was written,
    /// only what was applied last is known again: what was in force before then may have come back.
    pub(crate) fn has(&self, delivery: &Delivery) -> bool {
        let Entry { modified, tag, .. } = &delivery.entry;
        self.comparable(&delivery.entry).iter().any(|known| {
            known.sha256 == delivery.sha256
                && known.entry.tag == *tag
                && known.entry.modified >= *modified
        })
    }

    /// Whether a file that cannot be moved away still lies there as it was applied.
    pub(crate) fn has_listed(&self, entry: &Entry) -> bool {
        let datable = entry.tag.is_some() || entry.modified.is_some();
        let mut comparable = self.comparable(entry).iter();
        datable && comparable.any(|known| known.entry == *entry)
    }

    fn comparable(&self, entry: &Entry) -> &[Delivery] {
        match entry.modified {
            Some(_) => &self.deliveries,
            None => self.deliveries.last_chunk::<1>().map_or(&[], |last| last),
        }
    }

    /// When the latest file that was applied had been written.
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        self.deliveries.iter().map(|known| known.written_at).max()
    }

    /// Remembers what was applied.
    pub(crate) fn applied(&mut self, delivery: Delivery) {
        self.deliveries.push(delivery);
        drop_oldest(&mut self.deliveries, DELIVERIES);
    }

    /// Remembers the header of an accepted file. A lost column that stock is known by is waited for; one
    /// that only describes counts as given up when [`GIVEN_UP`] files in a row have come without it.
    pub(crate) fn had(&mut self, header: &[String], drift: &SchemaDrift) {
        let before = self.instead.take();
        if !self.header.is_empty() && !drift.lost.is_empty() {
            if drift.loses_stock() {
                return;
            }
            let same = before.filter(|(known, _)| known == header);
            let files = same.map_or(1, |(_, files)| files + 1);
            if files < GIVEN_UP {
                self.instead = Some((header.to_vec(), files));
                return;
            }
        }
        self.header = header.to_vec();
    }

    /// Remembers the places of a believed file.
    pub(crate) fn had_places(&mut self, places: BTreeSet<String>) {
        self.places.extend(places);
        while self.places.len() > PLACES {
            self.places.pop_last();
        }
    }

    /// Remembers an accepted read.
    pub(crate) fn accepted(&mut self, read: AcceptedRead) {
        self.reads.push(read);
        drop_oldest(&mut self.reads, READS);
    }
}

fn drop_oldest<T>(list: &mut Vec<T>, most: usize) {
    let excess = list.len().saturating_sub(most);
    list.drain(..excess);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(sha256: &str, second: i64) -> Delivery {
        Delivery {
            sha256: sha256.to_owned(),
            entry: Entry {
                name: "stock.csv".to_owned(),
                size: Some(1),
                modified: Timestamp::from_second(second).ok(),
                tag: None,
            },
            written_at: Timestamp::from_second(second).unwrap(),
        }
    }

    #[test]
    fn the_same_content_later_is_another_delivery() {
        let mut memory = Memory::default();
        memory.applied(delivery("a", 10));
        assert!(memory.has(&delivery("a", 10)));
        assert!(memory.has(&delivery("a", 9)));
        assert!(!memory.has(&delivery("a", 11)));
        assert!(!memory.has(&delivery("b", 10)));
    }

    #[test]
    fn without_a_time_what_was_in_force_before_is_another_delivery() {
        for tag in [None, Some("v1")] {
            let undated = |sha256: &str| {
                let mut delivery = delivery(sha256, 10);
                delivery.entry.modified = None;
                delivery.entry.tag = tag.map(|tag| format!("{tag} of {sha256}"));
                delivery
            };
            let mut memory = Memory::default();
            for sha256 in ["five", "four"] {
                memory.applied(undated(sha256));
                assert!(memory.has(&undated(sha256)), "{sha256} {tag:?}");
            }
            assert!(!memory.has(&undated("five")), "{tag:?}");
            assert!(!memory.has_listed(&undated("five").entry), "{tag:?}");
            assert_eq!(memory.has_listed(&undated("four").entry), tag.is_some());
        }
    }

    #[test]
    fn it_survives_storage_and_stays_small() {
        let mut memory = Memory::default();
        for second in 0..200 {
            memory.applied(delivery("a", second));
        }
        assert_eq!(memory.deliveries.len(), DELIVERIES);
        assert_eq!(memory.latest(), Timestamp::from_second(199).ok());
        let mut state = FeedState::default();
        memory.keep(&mut state);
        assert_eq!(Memory::of(&state), memory);
    }
}
