//! What a queue is created with, and why one refuses.

use super::MAXIMUM_MESSAGE_BYTES;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

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
