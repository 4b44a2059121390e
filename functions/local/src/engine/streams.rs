//! Stream mappings: a table's changes to a function, in order, at least once.
//!
//! The rules are Lambda's. A batch that fails is retried in place and holds up what follows it,
//! until it succeeds, its retries are used up, or its records are too old.

mod delivery;

use super::function::Function;
use super::interference::Service;
use super::pattern::Pattern;
use super::pump::Line;
use super::queues::Queue;
use super::stream_log::StoredRecord;
use super::tables::StreamName;
use super::{EngineError, REGION};
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::event::streams::DynamoDbEventResponse;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The most records one read of a stream returns.
const MOST_PER_READ: usize = 1_000;
/// How many records that nobody wants may pass before the position after them is kept.
const PASSED_MOST: usize = 500;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A table's stream, mapped to a function. [`StreamMapping::new`] has AWS's defaults.
#[derive(Debug, Clone)]
pub struct StreamMapping {
    /// The table whose stream is read.
    pub table: String,
    /// Who gets the records.
    pub function: Function<Event, DynamoDbEventResponse>,
    /// The most records of one run.
    pub batch_size: usize,
    /// How long to gather records for a fuller batch.
    pub batching_window: Duration,
    /// Where to begin when there is no checkpoint yet.
    pub starting_position: StartingPosition,
    /// A record is delivered when any of these matches, or when there are none.
    pub filters: Vec<Pattern>,
    /// Whether the answer names the records that failed.
    pub report_batch_item_failures: bool,
    /// Whether a failed batch is halved before it is retried.
    pub bisect_batch_on_function_error: bool,
    /// How often a batch is retried; `None` is without end.
    pub maximum_retry_attempts: Option<u32>,
    /// Records older than this are given up; `None` keeps them.
    pub maximum_record_age: Option<Duration>,
    /// The queue that is told of records given up.
    pub on_failure: Option<String>,
    /// Which of several shards this mapping reads, as `(shard, of)`. A table of some size has more
    /// than one; changes of one partition are in one of them, and nothing orders one shard's changes
    /// against another's. `None` reads all of it.
    pub shard: Option<(u32, u32)>,
    /// What this mapping is called beside others of the same function, which have other filters.
    pub lane: Option<&'static str>,
}

/// Where a mapping without a checkpoint begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartingPosition {
    /// With the oldest record kept.
    TrimHorizon,
    /// With what is written from now on.
    Latest,
}

impl StreamMapping {
    /// A mapping as AWS creates it when told nothing else, from the oldest record kept.
    pub fn new(table: impl Into<String>, function: Function<Event, DynamoDbEventResponse>) -> Self {
        Self {
            table: table.into(),
            function,
            batch_size: 100,
            batching_window: Duration::ZERO,
            starting_position: StartingPosition::TrimHorizon,
            filters: Vec::new(),
            report_batch_item_failures: false,
            bisect_batch_on_function_error: false,
            maximum_retry_attempts: None,
            maximum_record_age: None,
            on_failure: None,
            shard: None,
            lane: None,
        }
    }

    /// Its checkpoint's name.
    fn name(&self) -> String {
        let mut whole = format!("{} <- {}", self.function.name, self.table);
        if let Some(lane) = self.lane {
            whole = format!("{whole} {lane}");
        }
        match self.shard {
            Some((shard, of)) => format!("{whole} {shard}/{of}"),
            None => whole,
        }
    }

    fn wants(&self, record: &Value) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| filter.matches(record))
    }
}

/// How far a mapping has got, for idleness and trimming.
#[derive(Debug)]
pub(crate) struct StreamProgress {
    table: String,
    /// The count of writes at which the stream was last seen read to its end.
    read_at: AtomicU64,
    checkpoint: Mutex<Option<String>>,
}

impl StreamProgress {
    pub(crate) fn has_read(&self, writes: u64) -> bool {
        self.read_at.load(Ordering::SeqCst) == writes
    }

    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Where a restart would resume.
    pub(crate) fn checkpoint(&self) -> Option<String> {
        let checkpoint = self.checkpoint.lock();
        checkpoint.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A change on its way to the function.
#[derive(Debug, Clone)]
struct Change {
    sequence: String,
    created: Timestamp,
    record: EventRecord,
}

/// How a batch ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Done,
    /// The checkpoint could not be kept: read again from the last one.
    Unsure,
    Stopped,
}

pub(crate) struct StreamReader {
    mapping: StreamMapping,
    stream: StreamName,
    /// The table's partition key, which decides on a change's shard.
    partition: String,
    on_failure: Option<Arc<Queue>>,
    position: Option<String>,
    /// Records that were passed over since the position was last kept.
    passed: usize,
    progress: Arc<StreamProgress>,
    line: Arc<Line>,
}

impl StreamReader {
    pub(crate) fn open(mapping: StreamMapping, line: Arc<Line>) -> Result<Self, EngineError> {
        let missing = |missing: String| EngineError::Missing {
            wanted_by: format!("mapping {}", mapping.name()),
            missing,
        };
        let tables = line.aws.tables();
        let table = &mapping.table;
        let label = tables.stream_label(table)?;
        let label = label.ok_or_else(|| missing(format!("table {table} with a stream")))?;
        let partition = tables.partition_key(table)?;
        let on_failure = match &mapping.on_failure {
            None => None,
            Some(name) => Some(
                line.aws
                    .queues()
                    .find(name)
                    .map_err(|_| missing(format!("queue {name}")))?,
            ),
        };
        let stream = StreamName {
            table: table.clone(),
            label,
        };
        let mut position = tables.checkpoint(&mapping.name())?;
        if position.is_none() && mapping.starting_position == StartingPosition::Latest {
            position = tables.last_sequence(&stream.table)?;
        }
        Ok(Self {
            progress: Arc::new(StreamProgress {
                table: table.clone(),
                read_at: AtomicU64::new(u64::MAX),
                checkpoint: Mutex::new(position.clone()),
            }),
            stream,
            partition,
            on_failure,
            position,
            passed: 0,
            mapping,
            line,
        })
    }

    pub(crate) fn progress(&self) -> Arc<StreamProgress> {
        Arc::clone(&self.progress)
    }

    pub(crate) async fn run(mut self) {
        let line = Arc::clone(&self.line);
        let mut writes = line.aws.tables().writes();
        let mut refusals = 0;
        while !line.is_stopping() {
            let seen = writes.see();
            let ended = match self.read() {
                Ok(records) if records.is_empty() => {
                    self.rest(seen).await;
                    if line.unless_stopped(writes.changed()).await.is_none() {
                        return;
                    }
                    continue;
                }
                Ok(records) => self.gather_and_deliver(records).await,
                Err(error) => {
                    tracing::error!(%error, table = self.mapping.table, "reading a stream failed");
                    Ended::Unsure
                }
            };
            match ended {
                Ended::Done => refusals = 0,
                Ended::Stopped => return,
                Ended::Unsure => {
                    refusals += 1;
                    if line.unless_stopped(pause(refusals)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    fn read(&self) -> Result<Vec<StoredRecord>, EngineError> {
        let limit = self.mapping.batch_size.clamp(1, MOST_PER_READ);
        let tables = self.line.aws.tables();
        tables.records_after(&self.stream.table, self.position.as_deref(), limit)
    }

    /// The stream is read to its end: says so, and keeps a position that only filtered-out
    /// records have moved.
    async fn rest(&mut self, seen: u64) {
        // Not each time: lost, it only means filtering the same records again.
        if self.passed >= PASSED_MOST
            && let Some(position) = self.position.clone()
        {
            self.keep(&position).await;
        }
        self.progress.read_at.store(seen, Ordering::SeqCst);
        self.line.progressed();
    }

    async fn gather_and_deliver(&mut self, mut records: Vec<StoredRecord>) -> Ended {
        if !self.mapping.batching_window.is_zero() {
            let full = self.mapping.batch_size.clamp(1, MOST_PER_READ);
            let until = Instant::now() + self.mapping.batching_window;
            let mut writes = self.line.aws.tables().writes();
            while records.len() < full && Instant::now() < until {
                let more = tokio::time::timeout_at(until, writes.changed());
                match self.line.unless_stopped(more).await {
                    None => return Ended::Stopped,
                    Some(_changed_or_elapsed) => match self.read() {
                        Ok(read) => records = read,
                        Err(_) => break, // what is there is enough to go on
                    },
                }
            }
        }
        let last = records.last().map(StoredRecord::sequence);
        let read = records.len();
        let changes = match self.changes(records) {
            Ok(changes) => changes,
            Err(error) => {
                tracing::error!(%error, table = self.mapping.table, "a stream record is malformed");
                return Ended::Unsure;
            }
        };
        let ended = self.deliver(changes).await;
        if ended == Ended::Done {
            self.position = last;
            self.passed += read;
        }
        ended
    }

    fn changes(&self, records: Vec<StoredRecord>) -> Result<Vec<Change>, serde_json::Error> {
        let mut changes = Vec::with_capacity(records.len());
        for record in records {
            let change = record.change()?;
            if !self.is_of_our_shard(&change["Keys"]) {
                continue;
            }
            let json = self.event_record(&record, change)?;
            if self.mapping.wants(&json) {
                changes.push(Change {
                    created: Timestamp::from_second(record.created).unwrap_or_default(),
                    sequence: record.sequence(),
                    record: serde_json::from_value(json)?,
                });
            }
        }
        Ok(changes)
    }

    fn is_of_our_shard(&self, keys: &Value) -> bool {
        let Some((shard, of)) = self.mapping.shard else {
            return true;
        };
        fingerprint(&keys[&self.partition].to_string()) % of.max(1) == shard
    }

    /// The record as Lambda delivers it.
    fn event_record(
        &self,
        record: &StoredRecord,
        change: Value,
    ) -> Result<Value, serde_json::Error> {
        // dynoxide draws event ids at random; ours repeat under a virtual clock.
        let sequence: u128 = record.sequence().parse().unwrap_or_default();
        let mut json = json!({
            "awsRegion": REGION,
            "dynamodb": change,
            "eventID": format!("{:08x}{sequence:024x}", fingerprint(&self.mapping.table)),
            "eventName": record.event_name,
            "eventSource": "aws:dynamodb",
            "eventSourceARN": self.stream.arn(),
            "eventVersion": "1.1",
        });
        if let Some(identity) = record.identity()? {
            json["userIdentity"] = identity;
        }
        Ok(json)
    }

    /// Moves on past a record, durably. False when that could not be made sure.
    async fn keep(&mut self, sequence: &str) -> bool {
        let tables = self.line.aws.tables();
        let name = self.mapping.name();
        let write = tables.set_checkpoint(&name, sequence);
        match self
            .line
            .aws
            .call(Service::Mapping, "Checkpoint", write)
            .await
        {
            Ok(Ok(())) => {
                let checkpoint = self.progress.checkpoint.lock();
                *checkpoint.unwrap_or_else(PoisonError::into_inner) = Some(sequence.to_owned());
                self.position = Some(sequence.to_owned());
                self.passed = 0;
                true
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a checkpoint was not kept");
                false
            }
            Err(_interruption) => false,
        }
    }
}

/// Grows with each failure.
async fn pause(failures: u32) {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    tokio::time::sleep(doubled.min(LONGEST_PAUSE)).await;
}

/// FNV-1a: tells tables apart in event ids.
fn fingerprint(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests;
