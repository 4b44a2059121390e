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
    let mut check = ChainCheck::of(of);
    for row in rows {
        check.row(row);
    }
    check.end(revision, chain)
}

/// The check of a chain, row by row, oldest first: nothing of it grows with the chain.
#[derive(Debug, Clone)]
pub struct ChainCheck {
    of: String,
    revision: u64,
    hash: String,
    is_cut: bool,
    faults: Vec<ChainFault>,
}

impl ChainCheck {
    /// From its first row on.
    pub fn of(of: &str) -> Self {
        Self::after(of, 0, "")
    }

    /// From the row on that comes after the one of this revision and hash.
    pub fn after(of: &str, revision: u64, hash: &str) -> Self {
        Self {
            of: of.to_owned(),
            revision,
            hash: hash.to_owned(),
            is_cut: false,
            faults: Vec::new(),
        }
    }

    /// How far it is: revision and hash of the last row.
    pub fn place(&self) -> (u64, &str) {
        (self.revision, &self.hash)
    }

    /// Whether a row is missing: what comes after it says nothing more.
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// What is wrong so far.
    pub fn faults(self) -> Vec<ChainFault> {
        self.faults
    }

    /// The next row.
    pub fn row(&mut self, row: &LedgerRow) {
        if self.is_cut {
            return;
        }
        let (of, revision) = (|| self.of.clone(), row.revision);
        let expected = self.revision + 1;
        if revision != expected {
            self.is_cut = true;
            let fault = ChainFault::Gap {
                of: of(),
                expected,
                found: revision,
            };
            self.faults.push(fault);
            return;
        }
        let altered =
            (row.hash != row.computed()).then(|| ChainFault::Altered { of: of(), revision });
        let broken = (row.previous != self.hash).then(|| ChainFault::Broken { of: of(), revision });
        self.faults.extend(altered.into_iter().chain(broken));
        self.revision = revision;
        self.hash.clone_from(&row.hash);
    }

    /// After the last row: what is wrong with the chain, as the one of this state.
    pub fn end(mut self, revision: u64, chain: &str) -> Vec<ChainFault> {
        if self.faults.is_empty() && (self.revision != revision || self.hash != chain) {
            self.faults.push(ChainFault::End {
                of: self.of,
                expected: revision,
                found: self.revision,
            });
        }
        self.faults
    }
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
