//! SQS standard queues in memory, on tokio's time.
//!
//! A message is ready, or hidden until an instant (delayed, or in flight). Sending, receiving and
//! deleting cost O(log n) at most, so a backlog of a hundred thousand changes nothing.

mod attributes;
mod state;

pub use attributes::{QueueAttributes, QueueError, Redrive};
use state::State;
pub(crate) use state::{Counts, Message};

use super::interference::{Fate, Interference};
use super::{ACCOUNT, Ids, REGION};
use serde_json::Value;
use shared::clock::Clock;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// AWS's limit for one message, and for one batch.
pub(crate) const MAXIMUM_MESSAGE_BYTES: usize = 1024 * 1024;
/// AWS's limit on the time a message stays hidden.
pub(crate) const MAXIMUM_VISIBILITY: Duration = Duration::from_secs(12 * 3600);
/// AWS's limit on a message's delay.
pub(crate) const MAXIMUM_DELAY: Duration = Duration::from_secs(900);

/// All queues of one engine.
pub struct Queues {
    named: RwLock<BTreeMap<String, Arc<Queue>>>,
    clock: Clock,
    ids: Arc<Ids>,
    interference: Arc<dyn Interference>,
    /// Changes with every change in any queue.
    changes: watch::Sender<u64>,
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queues")
    }
}

/// One queue.
#[derive(Debug)]
pub struct Queue {
    name: String,
    attributes: QueueAttributes,
    state: Mutex<State>,
    arrived: Notify,
}

/// A message as handed out.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) message: Message,
    pub(crate) receipt: String,
}

impl Queues {
    pub(crate) fn new(clock: Clock, ids: Arc<Ids>, interference: Arc<dyn Interference>) -> Self {
        Self {
            named: RwLock::default(),
            clock,
            ids,
            interference,
            changes: watch::Sender::new(0),
        }
    }

    /// Creates a queue; again with the same attributes changes nothing.
    pub fn create(
        &self,
        name: &str,
        attributes: QueueAttributes,
    ) -> Result<Arc<Queue>, QueueError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 80 || !name.chars().all(allowed) {
            return Err(QueueError::InvalidParameter {
                parameter: "QueueName",
                reason: "Can only include alphanumeric characters, hyphens, or underscores. 1 to \
                         80 in length"
                    .to_owned(),
            });
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(existing) = named.get(name) {
            return if existing.attributes == attributes {
                Ok(Arc::clone(existing))
            } else {
                Err(QueueError::NameTaken)
            };
        }
        let queue = Arc::new(Queue {
            name: name.to_owned(),
            attributes,
            state: Mutex::default(),
            arrived: Notify::new(),
        });
        named.insert(name.to_owned(), Arc::clone(&queue));
        Ok(queue)
    }

    /// Finds a queue by its name, URL or ARN.
    pub fn find(&self, reference: &str) -> Result<Arc<Queue>, QueueError> {
        let name = reference.rsplit(['/', ':']).next().unwrap_or(reference);
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        named.get(name).cloned().ok_or(QueueError::NoSuchQueue)
    }

    /// The names of all queues.
    pub(crate) fn names(&self) -> Vec<String> {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        named.keys().cloned().collect()
    }

    /// Changes with every change in any queue.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self, queue: &Queue) {
        queue.arrived.notify_waiters();
        self.changes.send_modify(|count| *count += 1);
    }

    /// Puts a message into a queue and returns its id.
    pub(crate) fn send(
        &self,
        queue: &Queue,
        body: String,
        attributes: BTreeMap<String, Value>,
        delay: Option<Duration>,
    ) -> Result<String, QueueError> {
        if size(&body, &attributes) > queue.attributes.maximum_message_bytes {
            return Err(QueueError::InvalidParameter {
                parameter: "MessageBody",
                reason: format!(
                    "Message must be shorter than {} bytes.",
                    queue.attributes.maximum_message_bytes
                ),
            });
        }
        let delay = delay.unwrap_or(queue.attributes.delay);
        if delay > MAXIMUM_DELAY {
            return Err(QueueError::InvalidParameter {
                parameter: "DelaySeconds",
                reason: "DelaySeconds must be >= 0 and <= 900.".to_owned(),
            });
        }
        if body.is_empty() {
            return Err(QueueError::InvalidParameter {
                parameter: "MessageBody",
                reason: "The message must contain at least one character.".to_owned(),
            });
        }
        if !body.chars().all(allowed_in_a_body) {
            return Err(QueueError::InvalidContents);
        }
        let id = self.ids.next();
        let message = Message {
            id: id.clone(),
            body,
            attributes,
            sent: self.clock.now(),
            first_received: None,
            receives: 0,
            expires: Instant::now() + queue.attributes.retention,
        };
        match self.interference.message(&queue.name) {
            Fate::Arrives => queue.state().put(message, delay),
            Fate::Lost => return Ok(id),
            Fate::Twice(later) => {
                queue.state().put(message.clone(), delay);
                queue.state().put(message, delay + later);
            }
            Fate::Late(by) => queue.state().put(message, delay + by),
        }
        self.changed(queue);
        Ok(id)
    }

    /// Takes up to `most` messages, waiting up to `wait` for the first.
    pub(crate) async fn receive(
        &self,
        queue: &Queue,
        most: usize,
        visibility: Option<Duration>,
        wait: Option<Duration>,
    ) -> Result<Vec<Received>, QueueError> {
        let until = Instant::now() + wait.unwrap_or(queue.attributes.receive_wait);
        loop {
            let arrived = queue.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let received = self.take(queue, most, visibility)?;
            if !received.is_empty() || Instant::now() >= until {
                return Ok(received);
            }
            let due = queue.state().next_due();
            let wake = due.map_or(until, |due| due.min(until));
            tokio::select! {
                biased;
                () = arrived => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Takes what is visible now; what was received too often moves to the dead-letter queue.
    pub(crate) fn take(
        &self,
        queue: &Queue,
        most: usize,
        visibility: Option<Duration>,
    ) -> Result<Vec<Received>, QueueError> {
        let redrive = queue.attributes.redrive.as_ref();
        let dead_letters = redrive.and_then(|redrive| self.find(&redrive.dead_letter_arn).ok());
        let receives = match (&dead_letters, redrive) {
            (Some(_), Some(redrive)) => redrive.maximum_receives,
            // As long as the dead-letter queue does not exist, nothing is lost to it.
            _ => u32::MAX,
        };
        let visibility = visibility.unwrap_or(queue.attributes.visibility_timeout);
        let first_received = self.clock.now();
        let taken = queue
            .state()
            .take(most, visibility, receives, first_received)?;
        let received: Vec<Received> = taken
            .live
            .into_iter()
            .map(|(key, message)| Received {
                receipt: self.receipt(key, message.receives),
                message,
            })
            .collect();
        if let Some(dead_letters) = dead_letters.filter(|_| !taken.dead.is_empty()) {
            for message in taken.dead {
                dead_letters.state().put(message, Duration::ZERO);
            }
            self.changed(&dead_letters);
        }
        // Receivers that wait learn of new due times; a receive of nothing changes nothing.
        if !received.is_empty() {
            self.changed(queue);
        }
        Ok(received)
    }

    /// Deletes a message. A receipt that a later receive replaced deletes nothing, as on AWS.
    pub(crate) fn delete(&self, queue: &Queue, receipt: &str) -> Result<(), QueueError> {
        let (key, receives) = self.read_receipt(receipt)?;
        queue.state().remove(key, receives);
        self.changed(queue);
        Ok(())
    }

    /// Sets how long from now a message in flight stays hidden.
    pub(crate) fn change_visibility(
        &self,
        queue: &Queue,
        receipt: &str,
        visibility: Duration,
    ) -> Result<(), QueueError> {
        if visibility > MAXIMUM_VISIBILITY {
            return Err(QueueError::InvalidParameter {
                parameter: "VisibilityTimeout",
                reason: "VisibilityTimeout must be between 0 and 43200.".to_owned(),
            });
        }
        let (key, receives) = self.read_receipt(receipt)?;
        queue.state().change_visibility(key, receives, visibility)?;
        self.changed(queue);
        Ok(())
    }

    /// Unreadable across restarts, as the messages themselves are gone.
    fn receipt(&self, key: u64, receives: u32) -> String {
        format!("{:x}.{key:x}.{receives:x}", self.ids.epoch())
    }

    fn read_receipt(&self, receipt: &str) -> Result<(u64, u32), QueueError> {
        let mut parts = receipt.split('.');
        let mut number = || {
            parts
                .next()
                .and_then(|part| u64::from_str_radix(part, 16).ok())
        };
        match (number(), number(), number()) {
            (Some(epoch), Some(key), Some(receives)) if epoch == self.ids.epoch() => {
                let receives = u32::try_from(receives).map_err(|_| QueueError::InvalidReceipt)?;
                Ok((key, receives))
            }
            _ => Err(QueueError::InvalidReceipt),
        }
    }
}

impl Queue {
    /// Its URL, as `GetQueueUrl` answers it.
    pub fn url(&self) -> String {
        format!("https://sqs.{REGION}.localhost/{ACCOUNT}/{}", self.name)
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}", self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bodies of all its messages, oldest first. None is received by it.
    pub fn bodies(&self) -> Vec<String> {
        self.state().bodies()
    }

    pub(crate) fn attributes(&self) -> &QueueAttributes {
        &self.attributes
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts against the limit: the body, and each attribute's name, type and value.
pub(crate) fn size(body: &str, attributes: &BTreeMap<String, Value>) -> usize {
    let attribute = |(name, value): (&String, &Value)| {
        let part = |key: &str| value[key].as_str().map_or(0, str::len);
        name.len() + part("DataType") + part("StringValue") + part("BinaryValue") * 3 / 4
    };
    body.len() + attributes.iter().map(attribute).sum::<usize>()
}

/// The characters of XML 1.0.
fn allowed_in_a_body(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests;
