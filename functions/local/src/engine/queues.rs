//! SQS standard queues in memory, on tokio's time.
//!
//! A message is ready, or hidden until an instant (delayed, or in flight). Sending, receiving and
//! deleting cost O(log n) at most, so a backlog of a hundred thousand changes nothing.

use super::{ACCOUNT, Ids, REGION};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::clock::Clock;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
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
/// AWS's limit on messages in flight in a standard queue.
const MAXIMUM_IN_FLIGHT: usize = 120_000;

/// What a queue is created with; the defaults are AWS's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueAttributes {
    /// How long a received message stays hidden.
    pub visibility_timeout: Duration,
    /// How long a sent message stays hidden.
    pub delay: Duration,
    /// How long a receive waits for a message.
    pub receive_wait: Duration,
    /// How long a message is kept at all.
    pub retention: Duration,
    /// The largest message taken, in bytes.
    pub maximum_message_bytes: usize,
    /// Where messages go that were received too often.
    pub redrive: Option<Redrive>,
}

/// When a message goes to the dead-letter queue, and to which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The dead-letter queue's ARN.
    pub dead_letter_arn: String,
    /// How often a message may be received before.
    pub maximum_receives: u32,
}

impl Default for QueueAttributes {
    fn default() -> Self {
        Self {
            visibility_timeout: Duration::from_secs(30),
            delay: Duration::ZERO,
            receive_wait: Duration::ZERO,
            retention: Duration::from_secs(4 * 24 * 3600),
            maximum_message_bytes: MAXIMUM_MESSAGE_BYTES,
            redrive: None,
        }
    }
}

/// Why a queue refused, in the terms of its API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// No such queue.
    #[error("The specified queue does not exist.")]
    NoSuchQueue,
    /// The name is taken, with other attributes.
    #[error("A queue already exists with the same name and a different value for an attribute.")]
    NameTaken,
    /// A parameter is out of its range.
    #[error("Value for parameter {parameter} is invalid. Reason: {reason}")]
    InvalidParameter {
        /// Which one.
        parameter: &'static str,
        /// Why.
        reason: String,
    },
    /// An attribute of a queue is out of its range.
    #[error("Invalid value for the parameter {0}.")]
    InvalidAttributeValue(String),
    /// There is no such attribute.
    #[error("Unknown Attribute {0}.")]
    UnknownAttribute(String),
    /// The body holds a character that XML 1.0 does not.
    #[error("Invalid characters found in the message body.")]
    InvalidContents,
    /// The receipt handle was never given out by this queue.
    #[error("The input receipt handle is invalid.")]
    InvalidReceipt,
    /// The message is visible, so its visibility cannot change.
    #[error("The specified message isn't in flight.")]
    NotInFlight,
    /// Too many messages are in flight.
    #[error("Too many messages are in flight.")]
    OverLimit,
}

/// All queues of one engine.
pub struct Queues {
    named: RwLock<BTreeMap<String, Arc<Queue>>>,
    clock: Clock,
    ids: Arc<Ids>,
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

#[derive(Debug, Default)]
struct State {
    messages: HashMap<u64, Stored>,
    /// Visible messages, oldest first; entries of deleted ones are skipped.
    ready: VecDeque<u64>,
    /// Invisible messages by the instant they come back.
    hidden: BTreeSet<(Instant, u64)>,
    in_flight: usize,
    next: u64,
}

#[derive(Debug)]
struct Stored {
    message: Message,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Ready,
    Delayed(Instant),
    InFlight(Instant),
}

/// A message and its history.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) body: String,
    /// Message attributes, in the API's own JSON.
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) sent: Timestamp,
    pub(crate) first_received: Option<Timestamp>,
    pub(crate) receives: u32,
    /// When its retention ends.
    expires: Instant,
}

/// A message as handed out.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) message: Message,
    pub(crate) receipt: String,
}

/// The counts AWS calls approximate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) visible: usize,
    pub(crate) in_flight: usize,
    pub(crate) delayed: usize,
}

impl Queues {
    pub(crate) fn new(clock: Clock, ids: Arc<Ids>) -> Self {
        Self {
            named: RwLock::default(),
            clock,
            ids,
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
        queue.state().put(message, delay);
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
            let due = queue.state().hidden.first().map(|(instant, _)| *instant);
            let wake = due.map_or(until, |due| due.min(until));
            tokio::select! {
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
        let mut dead = Vec::new();
        let mut received = Vec::new();
        {
            let mut state = queue.state();
            let now = Instant::now();
            state.reveal(now);
            if state.in_flight >= MAXIMUM_IN_FLIGHT {
                return Err(QueueError::OverLimit);
            }
            while received.len() < most {
                let Some(key) = state.ready.pop_front() else {
                    break;
                };
                let Some(stored) = state.messages.get_mut(&key) else {
                    continue; // deleted while visible
                };
                if stored.message.expires <= now {
                    state.messages.remove(&key);
                    continue;
                }
                if stored.message.receives >= receives {
                    dead.extend(state.messages.remove(&key).map(|stored| stored.message));
                    continue;
                }
                stored.message.receives += 1;
                stored
                    .message
                    .first_received
                    .get_or_insert_with(|| self.clock.now());
                let message = stored.message.clone();
                state.hide(key, now + visibility);
                received.push(Received {
                    receipt: self.receipt(key, message.receives),
                    message,
                });
            }
        }
        if let Some(dead_letters) = dead_letters.filter(|_| !dead.is_empty()) {
            for message in dead {
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
        let mut state = queue.state();
        let latest = state
            .messages
            .get(&key)
            .is_some_and(|stored| stored.message.receives == receives);
        if latest {
            state.remove(key);
        }
        drop(state);
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
        let mut state = queue.state();
        let now = Instant::now();
        state.reveal(now);
        match state.messages.get(&key) {
            Some(stored) if stored.message.receives == receives => {
                let Place::InFlight(due) = stored.place else {
                    return Err(QueueError::NotInFlight);
                };
                state.hidden.remove(&(due, key));
                state.in_flight -= 1;
                state.hide(key, now + visibility);
                state.reveal(now);
            }
            _ => {
                return Err(QueueError::InvalidParameter {
                    parameter: "ReceiptHandle",
                    reason: "Message does not exist or is not available for visibility timeout \
                             change."
                        .to_owned(),
                });
            }
        }
        drop(state);
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

    pub(crate) fn attributes(&self) -> &QueueAttributes {
        &self.attributes
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut state = self.state();
        state.reveal(Instant::now());
        Counts {
            visible: state.messages.len() - state.hidden.len(),
            in_flight: state.in_flight,
            delayed: state.hidden.len() - state.in_flight,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, message: Message, delay: Duration) {
        let key = self.next;
        self.next += 1;
        let place = if delay.is_zero() {
            self.ready.push_back(key);
            Place::Ready
        } else {
            let due = Instant::now() + delay;
            self.hidden.insert((due, key));
            Place::Delayed(due)
        };
        self.messages.insert(key, Stored { message, place });
    }

    /// Marks a message as in flight until `due`.
    fn hide(&mut self, key: u64, due: Instant) {
        if let Some(stored) = self.messages.get_mut(&key) {
            stored.place = Place::InFlight(due);
            self.hidden.insert((due, key));
            self.in_flight += 1;
        }
    }

    /// Makes visible what is due.
    fn reveal(&mut self, now: Instant) {
        while let Some(&(due, key)) = self.hidden.first() {
            if due > now {
                break;
            }
            self.hidden.pop_first();
            if let Some(stored) = self.messages.get_mut(&key) {
                if matches!(stored.place, Place::InFlight(_)) {
                    self.in_flight -= 1;
                }
                stored.place = Place::Ready;
                self.ready.push_back(key);
            }
        }
    }

    fn remove(&mut self, key: u64) {
        let Some(stored) = self.messages.remove(&key) else {
            return;
        };
        match stored.place {
            Place::Ready => {} // its entry in `ready` is skipped when it is reached
            Place::Delayed(due) => {
                self.hidden.remove(&(due, key));
            }
            Place::InFlight(due) => {
                self.hidden.remove(&(due, key));
                self.in_flight -= 1;
            }
        }
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

impl QueueAttributes {
    /// Reads the attributes of `CreateQueue`.
    pub(crate) fn parse(given: &BTreeMap<String, String>) -> Result<Self, QueueError> {
        let mut attributes = Self::default();
        for (name, text) in given {
            let invalid = || QueueError::InvalidAttributeValue(name.clone());
            let number = |least: u64, most: u64| {
                let number = text.parse().map_err(|_| invalid())?;
                (least..=most)
                    .contains(&number)
                    .then_some(number)
                    .ok_or_else(invalid)
            };
            let seconds = |least, most| number(least, most).map(Duration::from_secs);
            match name.as_str() {
                "VisibilityTimeout" => attributes.visibility_timeout = seconds(0, 43_200)?,
                "DelaySeconds" => attributes.delay = seconds(0, 900)?,
                "ReceiveMessageWaitTimeSeconds" => attributes.receive_wait = seconds(0, 20)?,
                "MessageRetentionPeriod" => attributes.retention = seconds(60, 1_209_600)?,
                "MaximumMessageSize" => {
                    let bytes = number(1_024, 1_048_576)?;
                    attributes.maximum_message_bytes =
                        usize::try_from(bytes).map_err(|_| invalid())?;
                }
                "RedrivePolicy" => {
                    let policy: Value = serde_json::from_str(text).map_err(|_| invalid())?;
                    attributes.redrive = Some(Redrive::parse(&policy).ok_or_else(invalid)?);
                }
                _ => return Err(QueueError::UnknownAttribute(name.clone())),
            }
        }
        Ok(attributes)
    }
}

impl Redrive {
    /// The count may be written as a number or as text.
    fn parse(policy: &Value) -> Option<Self> {
        let count = &policy["maxReceiveCount"];
        let count = match count.as_str() {
            Some(text) => text.parse().ok()?,
            None => u32::try_from(count.as_u64()?).ok()?,
        };
        (1..=1_000).contains(&count).then_some(())?;
        Some(Self {
            dead_letter_arn: policy["deadLetterTargetArn"].as_str()?.to_owned(),
            maximum_receives: count,
        })
    }

    pub(crate) fn policy(&self) -> String {
        json!({
            "deadLetterTargetArn": self.dead_letter_arn,
            "maxReceiveCount": self.maximum_receives,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests;
