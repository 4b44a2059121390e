//! Stream mappings: a table's changes to a function, in order, at least once.
//!
//! The rules are Lambda's. A batch that fails is retried in place and holds up what follows it,
//! until it succeeds, its retries are used up, or its records are too old.

use super::function::Function;
use super::interference::Service;
use super::pattern::Pattern;
use super::pump::Line;
use super::queues::Queue;
use super::tables::StreamName;
use super::{EngineError, REGION};
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::event::streams::DynamoDbEventResponse;
use dynoxide::actions::get_records::Record;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The most records one read of a stream returns.
const MOST_PER_READ: usize = 1_000;
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
        }
    }

    /// Its checkpoint's name.
    fn name(&self) -> String {
        format!("{} <- {}", self.function.name, self.table)
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

/// Consecutive changes that are delivered together.
#[derive(Debug)]
struct Segment {
    changes: Vec<Change>,
    /// Failed runs that count against the cap.
    failures: u32,
    /// All runs the first change has been in.
    runs: u32,
}

/// What came of a run, for the records in it.
enum Settled {
    All,
    /// The records from this one on failed.
    From(usize),
    /// All of them failed.
    None(String),
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
    on_failure: Option<Arc<Queue>>,
    position: Option<String>,
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
            position = tables.last_sequence(&stream)?;
        }
        Ok(Self {
            progress: Arc::new(StreamProgress {
                table: table.clone(),
                read_at: AtomicU64::new(u64::MAX),
                checkpoint: Mutex::new(position.clone()),
            }),
            stream,
            on_failure,
            position,
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
            let seen = *writes.borrow_and_update();
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

    fn read(&self) -> Result<Vec<Record>, EngineError> {
        let limit = self.mapping.batch_size.clamp(1, MOST_PER_READ);
        let tables = self.line.aws.tables();
        tables.records_after(&self.stream, self.position.as_deref(), limit)
    }

    /// The stream is read to its end: says so, and keeps a position that only filtered-out
    /// records have moved.
    async fn rest(&mut self, seen: u64) {
        if self.position != self.progress.checkpoint()
            && let Some(position) = self.position.clone()
        {
            // Lost, it only means filtering the same records again.
            self.keep(&position).await;
        }
        self.progress.read_at.store(seen, Ordering::SeqCst);
        self.line.progressed();
    }

    async fn gather_and_deliver(&mut self, mut records: Vec<Record>) -> Ended {
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
        let last = records
            .last()
            .map(|last| last.dynamodb.sequence_number.clone());
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
        }
        ended
    }

    fn changes(&self, records: Vec<Record>) -> Result<Vec<Change>, serde_json::Error> {
        let mut changes = Vec::with_capacity(records.len());
        for record in records {
            let json = self.event_record(&record)?;
            if self.mapping.wants(&json) {
                changes.push(Change {
                    created: created(&record),
                    sequence: record.dynamodb.sequence_number,
                    record: serde_json::from_value(json)?,
                });
            }
        }
        Ok(changes)
    }

    /// The record as Lambda delivers it.
    fn event_record(&self, record: &Record) -> Result<Value, serde_json::Error> {
        // dynoxide draws event ids at random; ours repeat under a virtual clock.
        let sequence: u128 = record.dynamodb.sequence_number.parse().unwrap_or_default();
        let mut json = json!({
            "awsRegion": REGION,
            "dynamodb": serde_json::to_value(&record.dynamodb)?,
            "eventID": format!("{:08x}{sequence:024x}", fingerprint(&self.mapping.table)),
            "eventName": record.event_name,
            "eventSource": record.event_source,
            "eventSourceARN": self.stream.arn(),
            "eventVersion": record.event_version,
        });
        if let Some(identity) = &record.user_identity {
            json["userIdentity"] = serde_json::to_value(identity)?;
        }
        Ok(json)
    }

    /// Delivers changes in order, until each is done or given up.
    async fn deliver(&mut self, changes: Vec<Change>) -> Ended {
        let mut segments = vec![Segment {
            changes,
            failures: 0,
            runs: 0,
        }];
        while let Some(mut segment) = segments.pop() {
            if !self.give_up_old(&mut segment).await {
                return Ended::Unsure;
            }
            let Some(last) = segment.changes.last() else {
                continue;
            };
            let last = last.sequence.clone();
            if self.line.is_stopping() {
                return Ended::Stopped;
            }
            segment.runs += 1;
            let (request_id, settled) = self.run_once(&segment.changes).await;
            let done = match settled {
                Settled::All => {
                    if !self.keep(&last).await {
                        return Ended::Unsure;
                    }
                    continue;
                }
                Settled::From(first_failed) => first_failed,
                Settled::None(reason) => {
                    let function = &self.mapping.function.name;
                    tracing::warn!(
                        function,
                        reason,
                        records = segment.changes.len(),
                        "a batch failed"
                    );
                    0
                }
            };
            let halve = self.mapping.bisect_batch_on_function_error;
            if done > 0 {
                let rest = segment.changes.split_off(done);
                if !self.keep(&segment.changes[done - 1].sequence).await {
                    return Ended::Unsure;
                }
                segment = Segment {
                    changes: rest,
                    failures: 0,
                    runs: 1,
                };
                if halve {
                    // Cut at the failed record, which does not count as a retry.
                    segments.push(segment);
                    continue;
                }
            } else if halve && segment.changes.len() > 1 {
                // Nor does cutting in half.
                let second = segment.changes.split_off(segment.changes.len() / 2);
                segments.push(Segment {
                    changes: second,
                    failures: segment.failures,
                    runs: segment.runs,
                });
                segments.push(segment);
                continue;
            }
            segment.failures += 1;
            let cap = self.mapping.maximum_retry_attempts;
            if cap.is_some_and(|cap| segment.failures > cap) {
                let told = self
                    .give_up(
                        &segment.changes,
                        segment.runs,
                        &request_id,
                        "RetryAttemptsExhausted",
                    )
                    .await;
                if !told || !self.keep(&last).await {
                    return Ended::Unsure;
                }
                continue;
            }
            let wait = pause(segment.failures);
            segments.push(segment);
            if self.line.unless_stopped(wait).await.is_none() {
                return Ended::Stopped;
            }
        }
        Ended::Done
    }

    async fn run_once(&self, changes: &[Change]) -> (String, Settled) {
        let _active = self.line.active();
        let mut event = Event::default();
        event.records = changes.iter().map(|change| change.record.clone()).collect();
        let run = self.mapping.function.run(&self.line.aws, event).await;
        let settled = match run.result {
            Ok(answer) if self.mapping.report_batch_item_failures => settle(changes, &answer),
            Ok(_) => Settled::All,
            Err(failure) => Settled::None(failure.to_string()),
        };
        (run.request_id, settled)
    }

    /// Gives up the records at the head that are older than the mapping allows.
    async fn give_up_old(&mut self, segment: &mut Segment) -> bool {
        let Some(oldest) = self
            .mapping
            .maximum_record_age
            .and_then(|age| SignedDuration::try_from(age).ok())
            .and_then(|age| self.line.aws.clock().now().checked_sub(age).ok())
        else {
            return true;
        };
        let young = |change: &Change| change.created >= oldest;
        let keep_from = segment.changes.iter().position(young);
        let rest = segment
            .changes
            .split_off(keep_from.unwrap_or(segment.changes.len()));
        let old = std::mem::replace(&mut segment.changes, rest);
        let Some(last) = old.last() else {
            return true;
        };
        let request_id = self.line.aws.request_id();
        self.give_up(&old, segment.runs, &request_id, "RecordAgeExceeded")
            .await
            && self.keep(&last.sequence).await
    }

    /// Tells the failure queue which records were given up, and why.
    async fn give_up(
        &self,
        changes: &[Change],
        runs: u32,
        request_id: &str,
        condition: &str,
    ) -> bool {
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else {
            return true;
        };
        let function = &self.mapping.function;
        tracing::error!(
            function = function.name,
            condition,
            first = first.sequence,
            last = last.sequence,
            records = changes.len(),
            "stream records given up"
        );
        let Some(queue) = &self.on_failure else {
            return true;
        };
        let letter = json!({
            "requestContext": {
                "requestId": request_id,
                "functionArn": function.arn(),
                "condition": condition,
                "approximateInvokeCount": runs,
            },
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            },
            "version": "1.0",
            "timestamp": format!("{:.3}", self.line.aws.clock().now()),
            "DDBStreamBatchInfo": {
                "shardId": self.stream.shard(),
                "startSequenceNumber": first.sequence,
                "endSequenceNumber": last.sequence,
                "approximateArrivalOfFirstRecord": first.created.to_string(),
                "approximateArrivalOfLastRecord": last.created.to_string(),
                "batchSize": changes.len(),
                "streamArn": self.stream.arn(),
            },
        });
        let queues = self.line.aws.queues();
        let send = async { queues.send(queue, letter.to_string(), BTreeMap::new(), None) };
        let sent = self
            .line
            .aws
            .call(Service::Mapping, "OnFailure", send)
            .await;
        matches!(sent, Ok(Ok(_)))
    }

    /// Moves on past a record, durably. False when that could not be made sure.
    async fn keep(&mut self, sequence: &str) -> bool {
        let tables = self.line.aws.tables();
        let name = self.mapping.name();
        let write = async { tables.set_checkpoint(&name, sequence) };
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

/// Reads a partial-failure answer: everything from the lowest failed record on is retried.
fn settle(changes: &[Change], answer: &DynamoDbEventResponse) -> Settled {
    let mut lowest = None;
    for failure in &answer.batch_item_failures {
        let failed = failure.item_identifier.as_deref();
        let index = changes
            .iter()
            .position(|change| Some(change.sequence.as_str()) == failed);
        let Some(index) = index else {
            return Settled::None(format!("no record has the reported identifier {failed:?}"));
        };
        lowest = Some(lowest.map_or(index, |lowest: usize| lowest.min(index)));
    }
    lowest.map_or(Settled::All, Settled::From)
}

/// Grows with each failure.
async fn pause(failures: u32) {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    tokio::time::sleep(doubled.min(LONGEST_PAUSE)).await;
}

/// dynoxide keeps whole seconds.
fn created(record: &Record) -> Timestamp {
    let seconds = record.dynamodb.approximate_creation_date_time;
    SignedDuration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|since| Timestamp::from_duration(since).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// FNV-1a: tells tables apart in event ids.
fn fingerprint(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests;
