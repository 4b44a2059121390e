//! Rows and events that could not be applied, held with the reason until a person has looked (F15).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::keys::{self, Listed};
use super::row::{Expect, Page, Row};
use super::{Store, StoreError};
use crate::digest::sha256_hex;
use crate::domain::event::millis;
use crate::domain::id::{ConnectorName, EventId};

/// How long an entry is kept.
pub const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How much of a row or body is shown.
const EXCERPT: usize = 400;
const LIST: &str = "quarantine";
/// The reason of an entry that stands for a vehicle to be looked up.
pub const LOOKUP: &str = "lookup";

/// Something that was not applied, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The same for the same content at the same place, so that a repeat is no second entry.
    pub id: String,
    /// When it was held.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// The connector it came from.
    pub source: ConnectorName,
    /// The event's name, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventId>,
    /// Why, as a short code that does not change: `no_data`, `unknown_location`.
    pub reason: String,
    /// Why, for people.
    pub sentence: String,
    /// Where it stands: `stock.csv:17`, or a JSON pointer into a webhook's body.
    #[serde(rename = "where")]
    pub place: String,
    /// The beginning of the row or event.
    pub row: String,
}

impl Quarantined {
    /// Holds `content`, found at `place` in what `source` sent.
    pub fn new(
        source: &ConnectorName,
        at: Timestamp,
        place: impl Into<String>,
        content: &str,
        (reason, sentence): (&str, impl Into<String>),
    ) -> Self {
        let place = place.into();
        let identity = [source.as_str(), &place, content].join("\u{1f}");
        Self {
            id: sha256_hex(identity.as_bytes())[..32].to_owned(),
            at,
            source: source.clone(),
            event: None,
            reason: reason.to_owned(),
            sentence: sentence.into(),
            place,
            row: content.chars().take(EXCERPT).collect(),
        }
    }

    /// Knows it by what it says and why it is held, wherever it stands: the same row in the next file
    /// is no second entry.
    pub fn known_by(mut self, content: &str) -> Self {
        let identity = [self.source.as_str(), &self.reason, content].join("\u{1f}");
        self.id = sha256_hex(identity.as_bytes())[..32].to_owned();
        self
    }

    /// Names the event.
    pub fn event(mut self, event: EventId) -> Self {
        self.event = Some(event);
        self
    }
}

impl Store {
    /// Holds it; `false` if it is held already.
    pub async fn quarantine(&self, held: &Quarantined) -> Result<bool, StoreError> {
        let expires = held.at.checked_add(KEPT).unwrap_or(Timestamp::MAX);
        let row = Row::new(keys::quarantined(&held.id), "quarantine", held)?
            .listed(Listed::spread(LIST, held.at, &held.id));
        // Work is kept until it is done, however long that takes.
        let row = if held.reason == LOOKUP {
            row
        } else {
            row.expires(expires)
        };
        self.put("hold a row in quarantine", row, Expect::Absent)
            .await
    }

    /// A page of what is held, newest first.
    pub async fn quarantined(
        &self,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Quarantined>, StoreError> {
        let page = self
            .spread(
                "list the quarantine",
                LIST,
                (None, None),
                true,
                cursor,
                limit,
            )
            .await?;
        Ok(page.map(|stored| stored.data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_at_the_same_place_is_the_same_entry() {
        let source: ConnectorName = "erp".parse().unwrap();
        let held = |second, place: &str, content: &str| {
            let at = Timestamp::from_second(second).unwrap();
            Quarantined::new(&source, at, place, content, ("no_data", "No quantity.")).id
        };
        assert_eq!(held(1, "a.csv:2", "OIL,"), held(2, "a.csv:2", "OIL,"));
        assert_ne!(held(1, "a.csv:2", "OIL,"), held(1, "a.csv:3", "OIL,"));
        assert_ne!(held(1, "a.csv:2", "OIL,"), held(1, "a.csv:2", "GAS,"));
        // The parts are told apart, not only their concatenation.
        assert_ne!(held(1, "a.csv:2", "1"), held(1, "a.csv:21", ""));
    }

    #[test]
    fn a_row_of_a_file_is_known_by_what_it_says() {
        let source: ConnectorName = "erp".parse().unwrap();
        let held = |place: &str, content: &str, reason: &str| {
            let at = Timestamp::UNIX_EPOCH;
            let held = Quarantined::new(&source, at, place, content, (reason, "No quantity."));
            held.known_by(content).id
        };
        let first = held("monday.csv:2", "OIL,", "no_data");
        assert_eq!(first, held("tuesday.csv:7", "OIL,", "no_data"));
        assert_ne!(first, held("monday.csv:2", "GAS,", "no_data"));
        assert_ne!(first, held("monday.csv:2", "OIL,", "held"));
    }

    #[test]
    fn an_excerpt_is_bounded() {
        let source: ConnectorName = "erp".parse().unwrap();
        let long = "é".repeat(5_000);
        let held = Quarantined::new(&source, Timestamp::UNIX_EPOCH, "a:1", &long, ("x", "y"));
        assert_eq!(held.row.chars().count(), EXCERPT);
    }
}
