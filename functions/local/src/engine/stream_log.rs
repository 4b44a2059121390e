//! The stream records under the tables: their index, reading, and trimming.
//!
//! dynoxide appends stream records to one SQLite table without an index and never removes any,
//! so each write would scan all earlier ones and the file would grow forever.

use rusqlite::{Connection, Row, params};
use serde_json::{Value, json};

/// Serves both what dynoxide asks, the last number of a table, and what is asked here.
const INDEX: &str = "CREATE INDEX IF NOT EXISTS stream_records_by_sequence
    ON _stream_records (table_name, CAST(sequence_number AS INTEGER))";

const LAST: &str = "SELECT MAX(CAST(sequence_number AS INTEGER))
    FROM _stream_records WHERE table_name = ?1";

const AFTER: &str = "SELECT CAST(sequence_number AS INTEGER), event_name, created_at, keys_json,
        new_image, old_image, user_identity
    FROM _stream_records
    WHERE table_name = ?1 AND CAST(sequence_number AS INTEGER) > ?2
    ORDER BY CAST(sequence_number AS INTEGER) LIMIT ?3";

/// A public sequence number is the stored one plus this.
const PUBLIC_OFFSET: u128 = 100_000_000_000_000_000_000;

/// So many at a time, and a write never waits long for a trim.
pub(crate) const TRIMMED_AT_ONCE: usize = 1_000;

/// A stream record as it is stored: what is JSON is not read yet.
#[derive(Debug)]
pub(crate) struct StoredRecord {
    sequence: i64,
    pub(crate) event_name: String,
    /// In seconds since 1970.
    pub(crate) created: i64,
    keys: String,
    new_image: Option<String>,
    old_image: Option<String>,
    identity: Option<String>,
}

/// Indexes the stream records.
pub(crate) fn index(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(INDEX)
}

/// Up to `limit` records of a table after a public sequence number, or from the oldest kept.
pub(crate) fn after(
    connection: &Connection,
    table: &str,
    sequence: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<StoredRecord>> {
    let after = sequence.and_then(stored).unwrap_or(0);
    let mut statement = connection.prepare_cached(AFTER)?;
    let records = statement.query_map(params![table, after, limit], StoredRecord::read)?;
    records.collect()
}

/// The public number of a table's last record.
pub(crate) fn last(connection: &Connection, table: &str) -> rusqlite::Result<Option<String>> {
    let last: Option<i64> = connection.query_row(LAST, [table], |row| row.get(0))?;
    Ok(last.map(public))
}

/// Removes some of a table's records before `sequence`, a public sequence number; fewer than
/// [`TRIMMED_AT_ONCE`] were the last.
///
/// The record itself stays: the next number is one past the highest kept, so numbers never
/// go back even when the machine's clock does.
pub(crate) fn trim_before(
    connection: &Connection,
    table: &str,
    sequence: &str,
) -> rusqlite::Result<usize> {
    let Some(before) = stored(sequence) else {
        return Ok(0);
    };
    connection.execute(
        "DELETE FROM _stream_records WHERE id IN (
            SELECT id FROM _stream_records
            WHERE table_name = ?1 AND CAST(sequence_number AS INTEGER) < ?2
            LIMIT ?3)",
        params![table, before, TRIMMED_AT_ONCE],
    )
}

impl StoredRecord {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            sequence: row.get(0)?,
            event_name: row.get(1)?,
            created: row.get(2)?,
            keys: row.get(3)?,
            new_image: row.get(4)?,
            old_image: row.get(5)?,
            identity: row.get(6)?,
        })
    }

    /// Its public sequence number.
    pub(crate) fn sequence(&self) -> String {
        public(self.sequence)
    }

    /// What it says of the change, as DynamoDB does.
    pub(crate) fn change(&self) -> serde_json::Result<Value> {
        let images = [&self.new_image, &self.old_image];
        let bytes = images.iter().copied().flatten().map(String::len);
        let mut change = json!({
            "ApproximateCreationDateTime": self.created,
            "Keys": serde_json::from_str::<Value>(&self.keys)?,
            "SequenceNumber": self.sequence(),
            "SizeBytes": self.keys.len() + bytes.sum::<usize>(),
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        });
        for (name, image) in ["NewImage", "OldImage"].into_iter().zip(images) {
            if let Some(image) = image {
                change[name] = serde_json::from_str(image)?;
            }
        }
        Ok(change)
    }

    /// Who has deleted the item, if nobody asked for it.
    pub(crate) fn identity(&self) -> serde_json::Result<Option<Value>> {
        self.identity
            .as_deref()
            .map(serde_json::from_str)
            .transpose()
    }
}

fn public(stored: i64) -> String {
    (PUBLIC_OFFSET + u128::try_from(stored).unwrap_or_default()).to_string()
}

fn stored(public: &str) -> Option<i64> {
    let number: u128 = public.parse().ok()?;
    i64::try_from(number.checked_sub(PUBLIC_OFFSET)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_answered_from_the_index() {
        let storage = dynoxide::storage::Storage::memory().unwrap();
        index(storage.conn()).unwrap();
        let dynoxides = "SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1
             FROM _stream_records WHERE table_name = ?1";
        for question in [dynoxides, LAST, AFTER] {
            let mut statement = storage
                .conn()
                .prepare(&format!("EXPLAIN QUERY PLAN {question}"))
                .unwrap();
            let nothing = vec![rusqlite::types::Null; statement.parameter_count()];
            let plan: Vec<String> = statement
                .query_map(rusqlite::params_from_iter(nothing), |row| row.get(3))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            let plan = plan.join("; ");
            assert!(plan.contains("stream_records_by_sequence"), "{plan}");
            assert!(!plan.contains("SCAN"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }

    #[test]
    fn a_number_is_the_same_when_it_comes_back() {
        assert_eq!(
            stored(&public(1_761_000_000_000_000)),
            Some(1_761_000_000_000_000)
        );
        assert_eq!(stored("5"), None);
    }
}
