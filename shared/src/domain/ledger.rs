//! The audit trail: who changed what, from what to what, when, because of which event (G8).
//!
//! Each row carries the hash of the row before it, and the position (or unit) carries the hash of its
//! last row, so that a row that was edited, removed or inserted later shows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{EventId, millis};
use super::id::{ConnectorName, Correlation};
use crate::digest::sha256_hex;

/// One change of one position or unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// What changed: `position OIL-5W40 milano`, `unit SCBCG2ZG0RC012345`.
    pub of: String,
    /// The revision that this change made; rows count from 1 without gaps.
    pub revision: u64,
    /// When we wrote it, UTC.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// The connector it came from.
    pub source: ConnectorName,
    /// The event that caused it.
    pub event: EventId,
    /// Who did it, when the source says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Why, in the words of whoever asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it goes back to: the webhook, run or API call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Correlation>,
    /// What kind of change it was: `level_set`, `sold`, `unit`.
    pub change: String,
    /// What stood there before; null before the first change.
    pub before: Value,
    /// What stands there now.
    pub after: Value,
    /// The hash of the row before, in hex; empty for the first.
    pub previous: String,
    /// The hash of this row, in hex.
    #[serde(default)]
    pub hash: String,
}

impl LedgerRow {
    /// The row with its hash set.
    pub fn sealed(mut self) -> Self {
        self.hash = self.computed();
        self
    }

    /// The hash that this row's content and its predecessor's hash give.
    pub fn computed(&self) -> String {
        let unsealed = Self {
            hash: String::new(),
            ..self.clone()
        };
        // Field order is the struct's, and maps inside values are sorted: one row has one spelling.
        let text = serde_json::to_string(&unsealed).unwrap_or_default();
        sha256_hex(text.as_bytes())
    }
}

/// What is wrong with a chain of ledger rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum ChainFault {
    /// A revision is missing, or stands twice.
    #[error("{of}: revision {expected} expected, {found} found")]
    Gap {
        /// Whose chain.
        of: String,
        /// The revision that should stand here.
        expected: u64,
        /// The one that does.
        found: u64,
    },
    /// A row's content does not match its hash.
    #[error("{of}: revision {revision} was altered")]
    Altered {
        /// Whose chain.
        of: String,
        /// The altered row.
        revision: u64,
    },
    /// A row does not continue the one before it.
    #[error("{of}: revision {revision} does not continue the row before it")]
    Broken {
        /// Whose chain.
        of: String,
        /// The row that does not fit.
        revision: u64,
    },
    /// The chain does not end where the position (or unit) says it does.
    #[error("{of}: the ledger ends at revision {found}, the state is at {expected}")]
    End {
        /// Whose chain.
        of: String,
        /// The revision of the state.
        expected: u64,
        /// The last revision in the ledger.
        found: u64,
    },
}

/// Checks a whole chain, oldest row first, against the state it led to.
pub fn check_chain(of: &str, rows: &[LedgerRow], revision: u64, chain: &str) -> Vec<ChainFault> {
    let mut faults = Vec::new();
    let mut previous = "";
    for (expected, row) in (1..).zip(rows) {
        let of = || of.to_owned();
        if row.revision != expected {
            faults.push(ChainFault::Gap {
                of: of(),
                expected,
                found: row.revision,
            });
            return faults;
        }
        if row.hash != row.computed() {
            faults.push(ChainFault::Altered {
                of: of(),
                revision: row.revision,
            });
        }
        if row.previous != previous {
            faults.push(ChainFault::Broken {
                of: of(),
                revision: row.revision,
            });
        }
        previous = &row.hash;
    }
    let last = rows.last().map_or(0, |row| row.revision);
    if faults.is_empty() && (last != revision || previous != chain) {
        faults.push(ChainFault::End {
            of: of.to_owned(),
            expected: revision,
            found: last,
        });
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chain(length: u64) -> Vec<LedgerRow> {
        let mut rows: Vec<LedgerRow> = Vec::new();
        for revision in 1..=length {
            let previous = rows.last().map(|row| row.hash.clone()).unwrap_or_default();
            rows.push(
                LedgerRow {
                    of: "position A milano".into(),
                    revision,
                    at: Timestamp::UNIX_EPOCH,
                    source: "erp".parse().unwrap(),
                    event: format!("e{revision}").parse().unwrap(),
                    actor: None,
                    reason: None,
                    correlation: None,
                    change: "level_set".into(),
                    before: json!({"on_hand": revision - 1}),
                    after: json!({"on_hand": revision}),
                    previous,
                    hash: String::new(),
                }
                .sealed(),
            );
        }
        rows
    }

    fn faults(rows: &[LedgerRow]) -> usize {
        let end = chain(5).pop().unwrap();
        check_chain("position A milano", rows, 5, &end.hash).len()
    }

    #[test]
    fn a_row_from_before_there_were_correlation_ids_keeps_its_hash() {
        let row = chain(1).remove(0);
        let text = serde_json::to_string(&row).unwrap();
        assert!(!text.contains("correlation"));
        let read: LedgerRow = serde_json::from_str(&text).unwrap();
        assert_eq!(read.computed(), row.hash);
        let named = LedgerRow {
            correlation: Some("c1".parse().unwrap()),
            ..row.clone()
        };
        assert_ne!(
            named.computed(),
            row.hash,
            "the id is part of what is sealed"
        );
    }

    #[test]
    fn an_untouched_chain_holds_and_any_edit_shows() {
        assert_eq!(faults(&chain(5)), 0);
        for edited in 0..5 {
            let mut rows = chain(5);
            rows[edited].after = json!({"on_hand": 99});
            assert!(faults(&rows) > 0, "edited row {edited}");
            let resealed = rows[edited].clone().sealed();
            rows[edited] = resealed;
            assert!(faults(&rows) > 0, "edited and resealed row {edited}");
            let mut rows = chain(5);
            rows.remove(edited);
            assert!(faults(&rows) > 0, "removed row {edited}");
        }
    }
}
