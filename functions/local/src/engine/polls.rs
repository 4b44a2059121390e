//! Queue mappings: a queue's messages to a function, in concurrent batches.
//!
//! What succeeded is deleted; what failed comes back when its visibility timeout ends, and goes
//! to the dead-letter queue when it was received too often.

use super::EngineError;
use super::REGION;
use super::function::Function;
use super::interference::Service;
use super::pump::Line;
use super::queue_calls::system_attributes;
use super::queues::{Queue, Received};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage, SqsMessageAttribute};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A wait without end, near enough; it is cut short by a message or a stop.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A queue, mapped to a function. [`QueueMapping::new`] has AWS's defaults.
#[derive(Debug, Clone)]
pub struct QueueMapping {
    /// The queue's name.
    pub queue: String,
    /// Who gets the messages.
    pub function: Function<SqsEvent, SqsBatchResponse>,
    /// The most messages of one run.
    pub batch_size: usize,
    /// How long to gather messages for a fuller batch.
    pub batching_window: Duration,
    /// How many runs may overlap.
    pub maximum_concurrency: usize,
    /// Whether the answer names the messages that failed.
    pub report_batch_item_failures: bool,
}

impl QueueMapping {
    /// A mapping as AWS creates it when told nothing else, five runs at a time.
    pub fn new(queue: impl Into<String>, function: Function<SqsEvent, SqsBatchResponse>) -> Self {
        Self {
            queue: queue.into(),
            function,
            batch_size: 10,
            batching_window: Duration::ZERO,
            maximum_concurrency: 5,
            report_batch_item_failures: false,
        }
    }
}

pub(crate) struct QueuePoller {
    mapping: QueueMapping,
    queue: Arc<Queue>,
    line: Arc<Line>,
}

impl QueuePoller {
    pub(crate) fn open(mapping: QueueMapping, line: Arc<Line>) -> Result<Self, EngineError> {
        let queue = line.aws.queues().find(&mapping.queue);
        let queue = queue.map_err(|_| EngineError::Missing {
            wanted_by: format!("mapping of function {}", mapping.function.name),
            missing: format!("queue {}", mapping.queue),
        })?;
        let visibility_timeout = queue.attributes().visibility_timeout;
        // AWS refuses this too: a message would come back while it is still being worked on.
        if visibility_timeout < mapping.function.timeout {
            return Err(EngineError::VisibilityTooShort {
                queue: mapping.queue,
                function: mapping.function.name,
            });
        }
        Ok(Self {
            mapping,
            queue,
            line,
        })
    }

    pub(crate) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    pub(crate) async fn run(self) {
        let poller = Arc::new(self);
        let slots = Arc::new(Semaphore::new(poller.mapping.maximum_concurrency.max(1)));
        let mut runs = JoinSet::new();
        loop {
            let turn = async {
                let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
                Some((slot, poller.gather().await))
            };
            let Some(Some((slot, batch))) = poller.line.unless_stopped(turn).await else {
                break;
            };
            let poller = Arc::clone(&poller);
            runs.spawn(async move {
                poller.deliver(batch).await;
                drop(slot);
            });
            while runs.try_join_next().is_some() {}
        }
        while runs.join_next().await.is_some() {}
    }

    /// Waits for a first message, then as long as the window allows for a full batch.
    async fn gather(&self) -> Vec<Received> {
        let full = self.mapping.batch_size.max(1);
        let mut batch = self.receive(full, A_YEAR).await;
        let until = Instant::now() + self.mapping.batching_window;
        while batch.len() < full && !self.mapping.batching_window.is_zero() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            batch.extend(self.receive(full - batch.len(), left).await);
        }
        batch
    }

    async fn receive(&self, most: usize, wait: Duration) -> Vec<Received> {
        let queues = self.line.aws.queues();
        match queues.receive(&self.queue, most, None, Some(wait)).await {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, queue = self.queue.name(), "receiving failed");
                tokio::time::sleep(Duration::from_secs(1).min(wait)).await;
                Vec::new()
            }
        }
    }

    async fn deliver(&self, batch: Vec<Received>) {
        if batch.is_empty() {
            return;
        }
        let _active = self.line.active();
        let mut event = SqsEvent::default();
        event.records = batch
            .iter()
            .map(|received| self.message(received))
            .collect();
        let run = self.mapping.function.run(&self.line.aws, event).await;
        let failed = match run.result {
            Ok(answer) if self.mapping.report_batch_item_failures => failed(&batch, &answer),
            Ok(_) => Ok(HashSet::new()),
            Err(failure) => Err(failure.to_string()),
        };
        let failed = match failed {
            Ok(failed) => failed,
            Err(reason) => {
                let function = &self.mapping.function.name;
                tracing::warn!(function, reason, messages = batch.len(), "a batch failed");
                return;
            }
        };
        let queues = self.line.aws.queues();
        let delete = async {
            let done = |received: &&Received| !failed.contains(received.message.id.as_str());
            for received in batch.iter().filter(done) {
                if let Err(error) = queues.delete(&self.queue, &received.receipt) {
                    tracing::error!(%error, "a message that is done was not deleted");
                }
            }
        };
        let deleted = self
            .line
            .aws
            .call(Service::Mapping, "DeleteMessages", delete)
            .await;
        if let Err(interruption) = deleted {
            tracing::warn!(?interruption, "messages that are done come again");
        }
    }

    fn message(&self, received: &Received) -> SqsMessage {
        let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let mut message = SqsMessage::default();
        message.message_id = Some(received.message.id.clone());
        message.receipt_handle = Some(received.receipt.clone());
        message.body = Some(received.message.body.clone());
        message.attributes = system_attributes(received)
            .into_iter()
            .map(|(name, value)| (name, text(value)))
            .collect();
        message.message_attributes = received
            .message
            .attributes
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), attribute(value)?)))
            .collect();
        message.event_source = Some("aws:sqs".to_owned());
        message.event_source_arn = Some(self.queue.arn());
        message.aws_region = Some(REGION.to_owned());
        message
    }
}

/// A message attribute from the API's spelling to the event's.
fn attribute(value: &Value) -> Option<SqsMessageAttribute> {
    let event = serde_json::json!({
        "stringValue": value["StringValue"],
        "binaryValue": value["BinaryValue"],
        "dataType": value["DataType"],
    });
    serde_json::from_value(event).ok()
}

/// The messages the answer names. One it cannot mean fails the whole batch, as on AWS.
fn failed<'a>(
    batch: &'a [Received],
    answer: &SqsBatchResponse,
) -> Result<HashSet<&'a str>, String> {
    answer
        .batch_item_failures
        .iter()
        .map(|failure| {
            batch
                .iter()
                .map(|received| received.message.id.as_str())
                .find(|id| *id == failure.item_identifier)
                .ok_or_else(|| {
                    let unknown = &failure.item_identifier;
                    format!("no message has the reported identifier {unknown:?}")
                })
        })
        .collect()
}

#[cfg(test)]
mod tests;
