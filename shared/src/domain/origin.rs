//! Where a change comes from: one name for a webhook, a file's run or an API call, and for every log
//! line, row and request that follows from it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::event::millis;
use super::id::ConnectorName;
pub use super::id::Correlation;

/// How long after a replay has written an item it may still be going on, or its writes on their way.
const REPLAY: SignedDuration = SignedDuration::from_hours(1);

/// What a change goes back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Names it.
    pub id: Correlation,
    /// When we took it in: what people are told of it is late by the time since then.
    #[serde(with = "millis")]
    pub at: Timestamp,
}

impl Origin {
    /// The origin of what happens at `now` because time has passed, not because of a message: it goes
    /// back to the same thing, but nobody has waited since then.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self { at: now, ..self }
    }
}

/// That an item was written by a replay of webhooks: what it said in between is past and no news.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Whose webhooks were applied again.
    pub connector: ConnectorName,
    /// The item's revision that the replay has written last.
    pub revision: u64,
    /// When.
    #[serde(with = "millis")]
    pub at: Timestamp,
}

impl Replayed {
    /// Whether the replay may still be going on.
    pub fn is_recent(&self, now: Timestamp) -> bool {
        now.duration_since(self.at) < REPLAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correlation_id_can_stand_in_a_header_and_in_a_log_line() {
        for id in ["4a5b", "erp/2026-01-15T09:30:00Z", "JKJaXmPLvHcESHA="] {
            assert_eq!(id.parse::<Correlation>().unwrap().as_str(), id);
        }
        for id in ["", "a b", "a\r\nx-header: 1", "a\"b", &"x".repeat(129)] {
            assert!(id.parse::<Correlation>().is_err(), "{id:?}");
        }
    }
}
