//! DynamoDB, embedded: items, transactions, indexes, streams and expiry, from dynoxide.
//!
//! Calls run where they are made. One takes a fraction of a millisecond to two, less than handing
//! it to another thread and back would cost under load, and a virtual-time runtime stays
//! deterministic. Only sweeps, which can be long, tell a multi-thread runtime that they block.

mod definition;
mod tokens;

pub use definition::{Attribute, Index, Keys, Projection, TableDefinition};

use super::counter::{Counter, Watcher};
use super::stream_log::StreamLog;
use super::usage::{Consumption, Usage};
use super::{ACCOUNT, EngineError, REGION};
use dynoxide::actions::get_records::{GetRecordsRequest, Record};
use dynoxide::actions::get_shard_iterator::GetShardIteratorRequest;
use dynoxide::actions::transact_write_items::{
    TransactWriteItemsRequest, TransactWriteItemsResponse,
};
use dynoxide::storage_backend::Clock as TableClock;
use dynoxide::{Database, DynoxideError, ImportOptions};
use serde_json::{Value, json};
use shared::clock::Clock;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokens::{Before, Tokens};
use tokio::runtime::{Handle, RuntimeFlavor};

/// Where each stream mapping has got to; in the same file, so a restart resumes.
const CHECKPOINTS: &str = "embedded-checkpoints";

/// In characters.
const LONGEST_TOKEN: usize = 36;

/// Stream records read at once.
const AT_ONCE: usize = 1_000;

/// The embedded DynamoDB.
pub struct Tables {
    database: Database,
    /// In memory there is nothing to trim: the process ends first.
    log: Option<StreamLog>,
    /// Counts successful writes; the pump waits on it instead of polling.
    writes: Counter,
    tokens: Mutex<Tokens>,
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

/// Runs one operation: JSON in, JSON out.
macro_rules! operations {
    ($database:expr, $name:expr, $body:expr, $($operation:literal => $method:ident),* $(,)?) => {
        match $name {
            $($operation => serde_json::from_slice($body)
                .map_err(|error| DynoxideError::SerializationException(error.to_string()))
                .and_then(|request| $database.$method(request))
                .and_then(|response| serde_json::to_vec(&response)
                    .map_err(|error| DynoxideError::InternalServerError(error.to_string()))),)*
            other => Err(DynoxideError::ValidationException(
                format!("the embedded DynamoDB does not offer {other}"))),
        }
    };
}

impl Tables {
    /// Tables that end with the process, on the given clock.
    pub(crate) fn in_memory(clock: Clock) -> Result<Self, EngineError> {
        let database = Database::memory_with_clock(Arc::new(Following(clock)))
            .map_err(during("open tables in memory"))?;
        index_in_memory(&database)?;
        Self::over(database, None)
    }

    /// Tables kept in `directory`.
    ///
    /// dynoxide takes only the machine's clock here. Under WAL, `synchronous = NORMAL` loses
    /// nothing when the process is killed; a power cut can lose the last commits.
    pub(crate) fn in_directory(directory: &Path) -> Result<Self, EngineError> {
        let path = directory.join("tables.db");
        let name = path.to_str().ok_or_else(|| EngineError::Directory {
            directory: directory.to_owned(),
            source: std::io::Error::other("the path is not valid UTF-8"),
        })?;
        let database = Database::new(name).map_err(during("open the tables"))?;
        database
            .disable_bulk_loading()
            .map_err(during("set synchronous = NORMAL"))?;
        let log = StreamLog::open(&path)?;
        Self::over(database, Some(log))
    }

    fn over(database: Database, log: Option<StreamLog>) -> Result<Self, EngineError> {
        let tables = Self {
            database,
            log,
            writes: Counter::default(),
            tokens: Mutex::default(),
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
    pub(crate) fn answer(&self, operation: &str, body: &[u8]) -> Answer {
        let counted = self.usage.before(&self.database, operation, body);
        let result = if operation == "TransactWriteItems" {
            self.transact(body)
        } else {
            self.operate(operation, body)
        };
        if let Some(counted) = counted {
            counted.after(&self.database, &result);
        }
        match result {
            Ok(body) => {
                if writes(operation) {
                    self.wrote();
                }
                Answer { status: 200, body }
            }
            Err(error) => Answer {
                status: error.status_code(),
                body: error.to_json().into_bytes(),
            },
        }
    }

    fn operate(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, DynoxideError> {
        operations!(self.database, operation, body,
            "CreateTable" => create_table,
            "DescribeTable" => describe_table,
            "UpdateTable" => update_table,
            "DeleteTable" => delete_table,
            "ListTables" => list_tables,
            "PutItem" => put_item,
            "GetItem" => get_item,
            "UpdateItem" => update_item,
            "DeleteItem" => delete_item,
            "Query" => query,
            "Scan" => scan,
            "BatchGetItem" => batch_get_item,
            "BatchWriteItem" => batch_write_item,
            "TransactGetItems" => transact_get_items,
            "UpdateTimeToLive" => update_time_to_live,
            "DescribeTimeToLive" => describe_time_to_live,
            "ListStreams" => list_streams,
            "DescribeStream" => describe_stream,
            "GetShardIterator" => get_shard_iterator,
            "GetRecords" => get_records,
        )
    }

    /// Writes all of it or nothing, and once under one token.
    fn transact(&self, body: &[u8]) -> Result<Vec<u8>, DynoxideError> {
        let unreadable =
            |error: serde_json::Error| DynoxideError::SerializationException(error.to_string());
        let request: Value = serde_json::from_slice(body).map_err(unreadable)?;
        let items = tokens::digest(&request["TransactItems"]);
        let mut request: TransactWriteItemsRequest =
            serde_json::from_value(request).map_err(unreadable)?;
        // One that is too long is dynoxide's to refuse.
        let token = request
            .client_request_token
            .take_if(|token| token.len() <= LONGEST_TOKEN);
        // Held until it is done: the same request may come twice at a time.
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let response = match token.as_ref().map(|token| tokens.before(token, items)) {
            Some(Before::Same) => TransactWriteItemsResponse::default(),
            Some(Before::Other) => {
                let words = "the token was used for another request";
                return Err(DynoxideError::IdempotentParameterMismatchException(
                    words.to_owned(),
                ));
            }
            Some(Before::Nothing) | None => {
                let response = self.database.transact_write_items(request)?;
                if let Some(token) = &token {
                    tokens.remember(token, items);
                }
                response
            }
        };
        serde_json::to_vec(&response)
            .map_err(|error| DynoxideError::InternalServerError(error.to_string()))
    }

    fn wrote(&self) {
        self.writes.increment();
    }

    /// Changes with every successful write.
    pub(crate) fn writes(&self) -> Watcher {
        self.writes.watch()
    }

    fn describe(&self, name: &str) -> Result<Value, DynoxideError> {
        self.read(json!({ "TableName": name }), Database::describe_table)
            .map(|mut described| described["Table"].take())
    }

    /// One operation with JSON on both sides.
    fn read<Q, A>(
        &self,
        request: Value,
        operation: impl Fn(&Database, Q) -> Result<A, DynoxideError>,
    ) -> Result<Value, DynoxideError>
    where
        Q: serde::de::DeserializeOwned,
        A: serde::Serialize,
    {
        let internal = |error: serde_json::Error| {
            DynoxideError::InternalServerError(format!("translate a request: {error}"))
        };
        let request = serde_json::from_value(request).map_err(internal)?;
        serde_json::to_value(operation(&self.database, request)?).map_err(internal)
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

    /// Up to `limit` stream records after a sequence number, or from the oldest kept.
    pub(crate) fn records_after(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, EngineError> {
        let doing = || during(format!("read the stream of {}", stream.table));
        let request = GetShardIteratorRequest {
            stream_arn: dynoxide::streams::stream_arn(&stream.table, &stream.label),
            shard_id: stream.shard(),
            shard_iterator_type: match after {
                Some(_) => "AFTER_SEQUENCE_NUMBER".to_owned(),
                None => "TRIM_HORIZON".to_owned(),
            },
            sequence_number: after.map(str::to_owned),
        };
        let iterator = self.database.get_shard_iterator(request).map_err(doing())?;
        let request = GetRecordsRequest {
            shard_iterator: iterator.shard_iterator.unwrap_or_default(),
            limit: Some(limit),
        };
        let answer = self.database.get_records(request).map_err(doing())?;
        Ok(answer.records)
    }

    /// Every change of a table that its stream still holds, oldest first, as the stream has it: what
    /// stood there before and after. In memory, that is every change there ever was.
    pub fn changes(&self, table: &str, after: Option<&str>) -> Result<Vec<Value>, EngineError> {
        let label = self.stream_label(table)?;
        let stream = StreamName {
            table: table.to_owned(),
            label: label.ok_or_else(|| EngineError::Missing {
                wanted_by: "reading changes".to_owned(),
                missing: format!("stream of table {table}"),
            })?,
        };
        let mut changes = Vec::new();
        let mut last = after.map(str::to_owned);
        loop {
            let records = self.records_after(&stream, last.as_deref(), AT_ONCE)?;
            let Some(newest) = records.last() else {
                return Ok(changes);
            };
            last = Some(newest.dynamodb.sequence_number.clone());
            for record in records {
                let change = serde_json::to_value(&record.dynamodb);
                changes.push(change.map_err(|error| EngineError::Tables {
                    doing: format!("read the stream of {table}"),
                    source: DynoxideError::InternalServerError(error.to_string()),
                })?);
            }
        }
    }

    /// The number of the stream's last record, if it has any.
    pub(crate) fn last_sequence(&self, stream: &StreamName) -> Result<Option<String>, EngineError> {
        let request = json!({
            "StreamArn": dynoxide::streams::stream_arn(&stream.table, &stream.label),
        });
        let described = self
            .read(request, Database::describe_stream)
            .map_err(during(format!("describe the stream of {}", stream.table)))?;
        let range = &described["StreamDescription"]["Shards"][0]["SequenceNumberRange"];
        let last = range["EndingSequenceNumber"].as_str();
        Ok(last.map(str::to_owned))
    }

    /// Where a mapping has got to.
    pub(crate) fn checkpoint(&self, mapping: &str) -> Result<Option<String>, EngineError> {
        let request = json!({ "TableName": CHECKPOINTS, "Key": { "mapping": { "S": mapping } } });
        let found = self
            .read(request, Database::get_item)
            .map_err(during(format!("read the checkpoint of {mapping}")))?;
        Ok(found["Item"]["sequence"]["S"].as_str().map(str::to_owned))
    }

    /// Keeps where a mapping has got to.
    pub(crate) fn set_checkpoint(&self, mapping: &str, sequence: &str) -> Result<(), EngineError> {
        let item = json!({ "mapping": { "S": mapping }, "sequence": { "S": sequence } });
        self.read(
            json!({ "TableName": CHECKPOINTS, "Item": item }),
            Database::put_item,
        )
        .map(drop)
        .map_err(during(format!("write the checkpoint of {mapping}")))
    }

    /// Puts many items into a table at once, in DynamoDB's own JSON: without conditions, and unseen
    /// by the stream. For filling a table before anybody looks at it.
    pub fn load(&self, table: &str, items: Vec<Value>) -> Result<usize, EngineError> {
        let doing = || during(format!("load items into table {table}"));
        let items = serde_json::from_value(items.into())
            .map_err(|error| doing()(DynoxideError::SerializationException(error.to_string())))?;
        let loaded = self
            .database
            .import_items(table, items, ImportOptions::default())
            .map_err(doing())?;
        Ok(loaded.items_imported)
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
        let swept =
            blocking(|| self.database.sweep_ttl()).map_err(during("sweep expired items"))?;
        if swept > 0 {
            self.wrote();
        }
        Ok(swept)
    }

    /// Forgets a table's stream records before the given one, once every reader is past them.
    ///
    /// AWS forgets them after 24 hours, read or not; a laptop that slept a weekend keeps them.
    pub(crate) fn trim_stream(&self, table: &str, sequence: &str) -> Result<usize, EngineError> {
        match &self.log {
            Some(log) => blocking(|| log.trim_before(table, sequence)),
            None => Ok(0),
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

fn writes(operation: &str) -> bool {
    matches!(
        operation,
        "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems"
    )
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

/// Adds the stream index to a database in memory, which no second connection can reach: out to a
/// file, index it there, and back in.
fn index_in_memory(database: &Database) -> Result<(), EngineError> {
    let directory = std::env::temp_dir();
    let path = directory.join(format!("embedded-tables-{}.db", unique()));
    let name = path.to_string_lossy();
    let indexed = database
        .vacuum_into(&name)
        .map_err(during("copy the empty tables out"))
        .and_then(|()| StreamLog::open(&path))
        .map(drop)
        .and_then(|()| {
            database
                .restore_from(&name)
                .map_err(during("copy the indexed tables in"))
        });
    let removed = std::fs::remove_file(&path);
    indexed?;
    removed.map_err(|source| EngineError::Directory { directory, source })
}

/// Distinct per process and per call.
fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(
        "{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// dynoxide's clock, following ours.
struct Following(Clock);

impl TableClock for Following {
    fn now_unix_secs(&self) -> u64 {
        u64::try_from(self.0.now().as_second()).unwrap_or_default()
    }

    fn now_unix_secs_f64(&self) -> f64 {
        self.0.now().as_duration().as_secs_f64()
    }
}

#[cfg(test)]
mod tests;
