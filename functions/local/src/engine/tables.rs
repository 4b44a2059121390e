//! DynamoDB, embedded: items, transactions, indexes, streams and expiry, from dynoxide.
//!
//! | file | its job |
//! |---|---|
//! | `requests` | what is asked and answered, from JSON and to JSON |
//! | `turns` | one at a time, and in a directory many at once |
//! | `database`, `redo`, `standing` | SQLite, and what makes a write durable |
//! | `tokens` | a transaction is done once under its token |
//! | `definition` | tables as the program wants them |
//! | `expiry` | items whose time has come |

mod database;
mod definition;
mod expiry;
mod redo;
mod requests;
mod standing;
mod tokens;
mod turns;

pub use definition::{Attribute, Index, Keys, Projection, TableDefinition};

use super::counter::{Counter, Watcher};
use super::stream_log::{self, StoredRecord};
use super::usage::{Consumption, Usage};
use super::{ACCOUNT, EngineError, REGION};
use database::{Database, OpenError, is_full};
use dynoxide::actions::import_items;
use dynoxide::{DynoxideError, ImportOptions};
use expiry::Sweep;
use requests::{Call, at_once};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::store::INSUFFICIENT_STORAGE;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::{Handle, RuntimeFlavor};
use turns::Turns;

/// Where each stream mapping has got to; in the same file, so a restart resumes.
const CHECKPOINTS: &str = "embedded-checkpoints";

/// Stream records read at once.
const AT_ONCE: usize = 1_000;

/// The embedded DynamoDB.
pub struct Tables {
    turns: Turns,
    /// In memory nothing is trimmed: the process ends first.
    trims: bool,
    grown: Counter,
    full: Arc<AtomicBool>,
    /// Counts successful writes; the pump waits on it instead of polling.
    writes: Counter,
    usage: Usage,
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tables")
    }
}

/// The answer to one call, in DynamoDB's own JSON.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Tables {
    /// Tables that end with the process.
    pub(crate) fn in_memory(clock: Clock) -> Result<Self, EngineError> {
        Self::over(Database::in_memory(clock), false)
    }

    /// Tables kept in `directory`. A killed process loses nothing that was answered; a power cut can
    /// lose the last writes.
    pub(crate) fn in_directory(directory: &Path, clock: Clock) -> Result<Self, EngineError> {
        Self::over(Database::in_directory(directory, clock), true)
    }

    fn over(
        database: Result<Database, OpenError>,
        in_directory: bool,
    ) -> Result<Self, EngineError> {
        let database = database.map_err(|source| EngineError::Opening {
            source: Box::new(source),
        })?;
        let tables = Self {
            grown: database.grown(),
            full: database.full(),
            turns: Turns::over(database, in_directory),
            trims: in_directory,
            writes: Counter::default(),
            usage: Usage::default(),
        };
        tables.ensure_table(&TableDefinition {
            name: CHECKPOINTS.to_owned(),
            keys: Keys {
                partition: Attribute::Text("mapping".to_owned()),
                sort: None,
            },
            indexes: Vec::new(),
            stream: false,
            expiry: None,
        })?;
        Ok(tables)
    }

    /// Answers one API call.
    pub(crate) async fn answer(&self, operation: &str, body: &[u8]) -> Answer {
        let counted = self.usage.before(self, operation, body);
        let result = self.answer_json(operation, body).await;
        if let Some(counted) = counted {
            counted.after(self, &result);
        }
        match result {
            Ok(body) => Answer { status: 200, body },
            // Not 500, which the SDK would try again for seconds: it stays so until there is room.
            Err(error) if is_full(&error) => Answer {
                status: 507,
                body: json!({ "__type": INSUFFICIENT_STORAGE, "message": error.to_string() })
                    .to_string()
                    .into_bytes(),
            },
            Err(error) => Answer {
                status: error.status_code(),
                body: error.to_json().into_bytes(),
            },
        }
    }

    async fn answer_json(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, DynoxideError> {
        let call = Call::read(operation, body)?;
        let writes = call.request.writes();
        let answer = self.turns.ask(call).await?;
        if writes {
            self.wrote();
        }
        answer.json()
    }

    fn wrote(&self) {
        self.writes.increment();
    }

    /// Changes with every successful write.
    pub(crate) fn writes(&self) -> Watcher {
        self.writes.watch()
    }

    fn describe(&self, name: &str) -> Result<Value, DynoxideError> {
        self.ask("DescribeTable", &json!({ "TableName": name }))
            .map(|mut described| described["Table"].take())
    }

    /// One operation with JSON on both sides, as soon as the tables are free.
    pub(crate) fn ask(&self, operation: &str, request: &Value) -> Result<Value, DynoxideError> {
        let call = Call::read(operation, request.to_string().as_bytes())?;
        let answer = self.turns.ask_now(call)?.json()?;
        serde_json::from_slice(&answer).map_err(unreadable)
    }

    /// The stream's label, where the table has a stream.
    pub(crate) fn stream_label(&self, table: &str) -> Result<Option<String>, EngineError> {
        match self.describe(table) {
            Ok(found) => Ok(found["LatestStreamLabel"].as_str().map(str::to_owned)),
            Err(DynoxideError::ResourceNotFoundException(_)) => Ok(None),
            Err(error) => Err(during(format!("describe table {table}"))(error)),
        }
    }

    /// The name of a table's partition key.
    pub(crate) fn partition_key(&self, table: &str) -> Result<String, EngineError> {
        let found = self
            .describe(table)
            .map_err(during(format!("describe table {table}")))?;
        let name = found["KeySchema"][0]["AttributeName"].as_str();
        Ok(name.unwrap_or_default().to_owned())
    }

    /// Up to `limit` stream records of a table after a sequence number, or from the oldest kept.
    pub(crate) fn records_after(
        &self,
        table: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredRecord>, EngineError> {
        self.turns
            .take(|database| stream_log::after(database.storage().conn(), table, after, limit))
            .map_err(|source| EngineError::StreamLog {
                doing: "read the stream records",
                source,
            })
    }

    /// Every change of a table that its stream still holds, oldest first, as the stream has it: what
    /// stood there before and after. In memory, that is every change there ever was.
    pub fn changes(&self, table: &str, after: Option<&str>) -> Result<Vec<Value>, EngineError> {
        let mut changes = Vec::new();
        let mut last = after.map(str::to_owned);
        loop {
            let records = self.records_after(table, last.as_deref(), AT_ONCE)?;
            let Some(newest) = records.last() else {
                return Ok(changes);
            };
            last = Some(newest.sequence());
            for record in records {
                let change = record.change().map_err(unreadable);
                changes.push(change.map_err(during(format!("read the stream of {table}")))?);
            }
        }
    }

    /// The number of the last record of a table's stream, if it has any.
    pub(crate) fn last_sequence(&self, table: &str) -> Result<Option<String>, EngineError> {
        self.turns
            .take(|database| stream_log::last(database.storage().conn(), table))
            .map_err(|source| EngineError::StreamLog {
                doing: "look up the last stream record",
                source,
            })
    }

    /// Where a mapping has got to.
    pub(crate) fn checkpoint(&self, mapping: &str) -> Result<Option<String>, EngineError> {
        let request = json!({ "TableName": CHECKPOINTS, "Key": { "mapping": { "S": mapping } } });
        let found = self
            .ask("GetItem", &request)
            .map_err(during(format!("read the checkpoint of {mapping}")))?;
        Ok(found["Item"]["sequence"]["S"].as_str().map(str::to_owned))
    }

    /// Keeps where a mapping has got to.
    pub(crate) async fn set_checkpoint(
        &self,
        mapping: &str,
        sequence: &str,
    ) -> Result<(), EngineError> {
        let item = json!({ "mapping": { "S": mapping }, "sequence": { "S": sequence } });
        let request = json!({ "TableName": CHECKPOINTS, "Item": item }).to_string();
        let doing = || during(format!("write the checkpoint of {mapping}"));
        let call = Call::read("PutItem", request.as_bytes()).map_err(doing())?;
        self.turns.ask(call).await.map(drop).map_err(doing())
    }

    /// Puts many items into a table at once, in DynamoDB's own JSON: without conditions, and unseen
    /// by the stream. For filling a table before anybody looks at it.
    pub fn load(&self, table: &str, items: Vec<Value>) -> Result<usize, EngineError> {
        let doing = || during(format!("load items into table {table}"));
        let items = serde_json::from_value(items.into())
            .map_err(|error| doing()(DynoxideError::SerializationException(error.to_string())))?;
        let loaded = self.turns.take(|database| {
            database.change(|storage| {
                let options = ImportOptions::default();
                at_once(import_items::execute(storage, table, items, &options))
            })
        });
        Ok(loaded.map_err(doing())?.items_imported)
    }

    /// Counts from now on what each partition key consumes.
    pub fn count_usage(&self) {
        self.usage.begin();
    }

    /// What each partition key has consumed since this was last asked, or since counting began.
    pub fn take_usage(&self) -> Consumption {
        self.usage.take()
    }

    /// Deletes the items whose time has come; each removal goes to the stream.
    pub fn sweep_expired(&self) -> Result<usize, EngineError> {
        let swept = blocking(|| self.sweep()).map_err(during("sweep expired items"))?;
        if swept > 0 {
            self.wrote();
        }
        Ok(swept)
    }

    fn sweep(&self) -> Result<usize, DynoxideError> {
        let sweeps = |database: &mut Database| Sweep::all(database.storage(), database.now());
        let mut swept = 0;
        for mut sweep in self.turns.take(sweeps)? {
            while let Some(expired) = self.turns.take(|database| sweep.next(database.storage()))? {
                if !expired.is_empty() {
                    swept += self.turns.take(|database| {
                        database.change(|storage| sweep.delete(storage, &expired))
                    })?;
                }
            }
        }
        Ok(swept)
    }

    /// Whether the last write found the disk full.
    pub fn disk_is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Counts up as more and more is written. Stream records that are trimmed by then never get to the disk.
    pub(crate) fn grown(&self) -> Watcher {
        self.grown.watch()
    }

    /// Has SQLite commit what there is.
    pub(crate) fn commit(&self) -> Result<(), EngineError> {
        self.turns
            .take(|database| database.change(|_| Ok(())))
            .map_err(during("commit"))
    }

    /// Forgets a table's stream records before the given one, once every reader is past them.
    ///
    /// AWS forgets them after 24 hours, read or not; a laptop that slept a weekend keeps them.
    pub(crate) fn trim_stream(&self, table: &str, sequence: &str) -> Result<usize, EngineError> {
        let mut trimmed = 0;
        if !self.trims {
            return Ok(trimmed);
        }
        loop {
            let removed = self
                .turns
                .take(|database| database.trim(table, sequence))
                .map_err(during(format!("trim the stream of {table}")))?;
            trimmed += removed;
            if removed < stream_log::TRIMMED_AT_ONCE {
                return Ok(trimmed);
            }
        }
    }
}

/// Which stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamName {
    pub(crate) table: String,
    pub(crate) label: String,
}

impl StreamName {
    /// The name AWS would give it.
    pub(crate) fn arn(&self) -> String {
        let (table, label) = (&self.table, &self.label);
        format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}/stream/{label}")
    }

    pub(crate) fn shard(&self) -> String {
        dynoxide::streams::shard_id(&self.table)
    }
}

fn unreadable(error: serde_json::Error) -> DynoxideError {
    DynoxideError::InternalServerError(error.to_string())
}

fn during(doing: impl Into<String>) -> impl FnOnce(DynoxideError) -> EngineError {
    let doing = doing.into();
    move |source| EngineError::Tables { doing, source }
}

/// Lets other tasks move to another worker while this one works.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests;
