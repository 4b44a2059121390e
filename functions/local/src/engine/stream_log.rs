//! Upkeep of the stream records under the tables: an index, and trimming.
//!
//! dynoxide appends stream records to one SQLite table without an index and never removes any,
//! so each write would scan all earlier ones and the file would grow forever. Upkeep is a second
//! connection to the same file; SQLite orders the two.

use super::EngineError;
use rusqlite::{Connection, params};
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Serves both what dynoxide asks: the last number of a table, and the records after a number.
const INDEX: &str = "CREATE INDEX IF NOT EXISTS stream_records_by_sequence
    ON _stream_records (table_name, CAST(sequence_number AS INTEGER))";

/// A public sequence number is the stored one plus this.
const PUBLIC_OFFSET: u128 = 100_000_000_000_000_000_000;

/// Short transactions, so that a write never waits long for a trim.
const TRIMMED_AT_ONCE: usize = 1_000;

pub(crate) struct StreamLog(Mutex<Connection>);

impl fmt::Debug for StreamLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamLog")
    }
}

impl StreamLog {
    /// Opens the file dynoxide has created, and indexes its stream records.
    pub(crate) fn open(path: &Path) -> Result<Self, EngineError> {
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute_batch(INDEX)?;
            Ok(connection)
        };
        open()
            .map(|connection| Self(Mutex::new(connection)))
            .map_err(|source| EngineError::StreamLog {
                doing: "index the stream records",
                source,
            })
    }

    /// Removes a table's records before `sequence`, a public sequence number.
    ///
    /// The record itself stays: the next number is one past the highest kept, so numbers never
    /// go back even when the machine's clock does.
    pub(crate) fn trim_before(&self, table: &str, sequence: &str) -> Result<usize, EngineError> {
        let Some(before) = stored(sequence) else {
            return Ok(0);
        };
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut trimmed = 0;
        loop {
            let removed = connection
                .execute(
                    "DELETE FROM _stream_records WHERE id IN (
                        SELECT id FROM _stream_records
                        WHERE table_name = ?1 AND CAST(sequence_number AS INTEGER) < ?2
                        LIMIT ?3)",
                    params![table, before, TRIMMED_AT_ONCE],
                )
                .map_err(|source| EngineError::StreamLog {
                    doing: "trim the stream records",
                    source,
                })?;
            trimmed += removed;
            if removed < TRIMMED_AT_ONCE {
                return Ok(trimmed);
            }
        }
    }
}

fn stored(public: &str) -> Option<i64> {
    let number: u128 = public.parse().ok()?;
    i64::try_from(number.checked_sub(PUBLIC_OFFSET)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_questions_dynoxide_asks_are_answered_from_the_index() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tables.db");
        let _database = dynoxide::Database::new(path.to_str().unwrap()).unwrap();
        let log = StreamLog::open(&path).unwrap();
        let connection = log.0.lock().unwrap();
        for question in [
            "SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1
             FROM _stream_records WHERE table_name = 'stock'",
            "SELECT event_name FROM _stream_records WHERE table_name = 'stock'
             AND shard_id = 'one' AND CAST(sequence_number AS INTEGER) > 5
             ORDER BY CAST(sequence_number AS INTEGER) ASC LIMIT 10",
        ] {
            let plan: Vec<String> = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {question}"))
                .unwrap()
                .query_map([], |row| row.get(3))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            let plan = plan.join("; ");
            assert!(plan.contains("stream_records_by_sequence"), "{plan}");
            assert!(!plan.contains("SCAN"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
