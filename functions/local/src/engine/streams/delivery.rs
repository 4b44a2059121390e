//! Delivery of one batch: cutting, retrying and giving up by Lambda's rules.

use super::{Change, Ended, StreamReader, pause};
use crate::engine::interference::Service;
use aws_lambda_events::event::dynamodb::Event;
use aws_lambda_events::event::streams::DynamoDbEventResponse;
use jiff::SignedDuration;
use serde_json::json;
use std::collections::BTreeMap;

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

impl StreamReader {
    /// Delivers changes in order, until each is done or given up.
    pub(super) async fn deliver(&mut self, changes: Vec<Change>) -> Ended {
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
