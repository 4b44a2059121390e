//! The messages of one queue: ready, or hidden until an instant.

use super::QueueError;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// AWS's limit on messages in flight in a standard queue.
const MAXIMUM_IN_FLIGHT: usize = 120_000;

/// The messages of one queue.
#[derive(Debug, Default)]
pub(super) struct State {
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
    pub(super) expires: Instant,
}

/// The counts AWS calls approximate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) visible: usize,
    pub(crate) in_flight: usize,
    pub(crate) delayed: usize,
}

/// What a receive takes out of the visible messages.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Now in flight, by key.
    pub(super) live: Vec<(u64, Message)>,
    /// Received too often already, and removed.
    pub(super) dead: Vec<Message>,
}

impl State {
    /// Adds a message.
    pub(super) fn put(&mut self, message: Message, delay: Duration) {
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

    /// Takes up to `most` visible messages and hides them.
    pub(super) fn take(
        &mut self,
        most: usize,
        visibility: Duration,
        maximum_receives: u32,
        received_at: Timestamp,
    ) -> Result<Taken, QueueError> {
        let now = Instant::now();
        self.reveal(now);
        if self.in_flight >= MAXIMUM_IN_FLIGHT {
            return Err(QueueError::OverLimit);
        }
        let mut taken = Taken::default();
        while taken.live.len() < most {
            let Some(key) = self.ready.pop_front() else {
                break;
            };
            let Some(stored) = self.messages.get_mut(&key) else {
                continue; // deleted while visible
            };
            let message = &mut stored.message;
            if message.expires <= now {
                self.messages.remove(&key);
            } else if message.receives >= maximum_receives {
                let removed = self.messages.remove(&key);
                taken.dead.extend(removed.map(|stored| stored.message));
            } else {
                message.receives += 1;
                message.first_received.get_or_insert(received_at);
                taken.live.push((key, message.clone()));
                self.hide(key, now + visibility);
            }
        }
        Ok(taken)
    }

    /// Sets how long from now a message in flight stays hidden.
    pub(super) fn change_visibility(
        &mut self,
        key: u64,
        receives: u32,
        visibility: Duration,
    ) -> Result<(), QueueError> {
        let now = Instant::now();
        self.reveal(now);
        let place = match self.messages.get(&key) {
            Some(stored) if stored.message.receives == receives => stored.place,
            _ => {
                return Err(QueueError::InvalidParameter {
                    parameter: "ReceiptHandle",
                    reason: "Message does not exist or is not available for visibility timeout \
                             change."
                        .to_owned(),
                });
            }
        };
        let Place::InFlight(due) = place else {
            return Err(QueueError::NotInFlight);
        };
        self.hidden.remove(&(due, key));
        self.in_flight -= 1;
        self.hide(key, now + visibility);
        self.reveal(now);
        Ok(())
    }

    /// Removes a message, unless it was received again since.
    pub(super) fn remove(&mut self, key: u64, receives: u32) {
        let Some(stored) = self.messages.get(&key) else {
            return;
        };
        if stored.message.receives != receives {
            return;
        }
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
        self.messages.remove(&key);
    }

    /// When the next hidden message becomes visible.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.hidden.first().map(|(due, _)| *due)
    }

    /// The bodies of all messages, in the order in which they were put.
    pub(super) fn bodies(&self) -> Vec<String> {
        let keys: BTreeSet<u64> = self.messages.keys().copied().collect();
        let body = |key| self.messages.get(key).map(|it| it.message.body.clone());
        keys.iter().filter_map(body).collect()
    }

    pub(super) fn counts(&mut self) -> Counts {
        self.reveal(Instant::now());
        Counts {
            visible: self.messages.len() - self.hidden.len(),
            in_flight: self.in_flight,
            delayed: self.hidden.len() - self.in_flight,
        }
    }
}
