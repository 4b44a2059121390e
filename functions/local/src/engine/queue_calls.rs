//! The SQS API over the queues: JSON 1.0 in, JSON 1.0 out, with SQS's own errors.

use super::queues::{MAXIMUM_MESSAGE_BYTES, Queue, QueueAttributes, QueueError, Queues, Received};
use super::wire::Reply;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// AWS's limit on the entries of a batch, and on the messages of one receive.
const MOST_AT_ONCE: usize = 10;

/// Answers one API call.
pub(crate) async fn answer(queues: &Queues, operation: &str, body: &[u8]) -> Reply {
    let outcome = match operation {
        "CreateQueue" => read(body).and_then(|request| create(queues, request)),
        "GetQueueUrl" => read(body).and_then(|request: GetUrl| {
            let queue = queues.find(&request.queue_name)?;
            Ok(json!({ "QueueUrl": queue.url() }))
        }),
        "ListQueues" => list(queues),
        "GetQueueAttributes" => read(body).and_then(|request| attributes(queues, request)),
        "SendMessage" => read(body).and_then(|request: Addressed<Send>| {
            let queue = queues.find(&request.queue_url)?;
            send(queues, &queue, request.rest)
        }),
        "SendMessageBatch" => read(body).and_then(|request: Addressed<Batch<Send>>| {
            batch_size(&request.rest)?;
            batch(queues, request, send)
        }),
        "ReceiveMessage" => match read(body) {
            Ok(request) => receive(queues, request).await,
            Err(refusal) => Err(refusal),
        },
        "DeleteMessage" => read(body).and_then(|request: Addressed<Receipt>| {
            let queue = queues.find(&request.queue_url)?;
            delete(queues, &queue, request.rest)
        }),
        "DeleteMessageBatch" => {
            read(body).and_then(|request: Addressed<Batch<Receipt>>| batch(queues, request, delete))
        }
        "ChangeMessageVisibility" => read(body).and_then(|request: Addressed<Visibility>| {
            let queue = queues.find(&request.queue_url)?;
            change_visibility(queues, &queue, request.rest)
        }),
        "ChangeMessageVisibilityBatch" => {
            read(body).and_then(|request: Addressed<Batch<Visibility>>| {
                batch(queues, request, change_visibility)
            })
        }
        other => Err(Refusal::Unsupported(other.to_owned())),
    };
    match outcome {
        Ok(answer) => Reply::json(200, answer.to_string().into_bytes()),
        Err(refusal) => {
            let (shape, query) = refusal.names();
            Reply::json_error(shape, query, &refusal.to_string())
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    queue_name: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetUrl {
    queue_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetAttributes {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

/// A request to one queue.
#[derive(Debug, Deserialize)]
struct Addressed<T> {
    #[serde(rename = "QueueUrl")]
    queue_url: String,
    #[serde(flatten)]
    rest: T,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Send {
    message_body: String,
    delay_seconds: Option<u64>,
    #[serde(default)]
    message_attributes: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Receipt {
    receipt_handle: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Visibility {
    receipt_handle: String,
    visibility_timeout: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Receive {
    max_number_of_messages: Option<usize>,
    visibility_timeout: Option<u64>,
    wait_time_seconds: Option<u64>,
    /// The older name of the next field.
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Batch<T> {
    #[serde(rename = "Entries")]
    entries: Vec<Entry<T>>,
}

#[derive(Debug, Deserialize)]
struct Entry<T> {
    #[serde(rename = "Id")]
    id: String,
    #[serde(flatten)]
    rest: T,
}

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("The request cannot be read: {0}")]
    Unreadable(serde_json::Error),
    #[error("The embedded SQS does not offer {0}.")]
    Unsupported(String),
    #[error("There should be at least one entry in the request.")]
    EmptyBatch,
    #[error("Maximum number of entries per request are 10. You have sent {0}.")]
    TooManyEntries(usize),
    #[error("Two or more batch entries in the request have the same Id.")]
    SameIds,
    #[error(
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. \
             It can be at most 80 letters long."
    )]
    InvalidEntryId,
    #[error(
        "Batch requests cannot be longer than {MAXIMUM_MESSAGE_BYTES} bytes. You have sent \
             {0} bytes."
    )]
    BatchTooLong(usize),
}

impl Refusal {
    /// The error's name in the JSON protocol and in the older query protocol.
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::Queue(error) => match error {
                QueueError::NoSuchQueue => (
                    "QueueDoesNotExist",
                    "AWS.SimpleQueueService.NonExistentQueue",
                ),
                QueueError::NameTaken => ("QueueNameExists", "QueueAlreadyExists"),
                QueueError::InvalidParameter { .. } => {
                    ("InvalidParameterValueException", "InvalidParameterValue")
                }
                QueueError::InvalidAttributeValue(_) => {
                    ("InvalidAttributeValue", "InvalidAttributeValue")
                }
                QueueError::UnknownAttribute(_) => ("InvalidAttributeName", "InvalidAttributeName"),
                QueueError::InvalidContents => ("InvalidMessageContents", "InvalidMessageContents"),
                QueueError::InvalidReceipt => ("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid"),
                QueueError::NotInFlight => (
                    "MessageNotInflight",
                    "AWS.SimpleQueueService.MessageNotInflight",
                ),
                QueueError::OverLimit => ("OverLimit", "OverLimit"),
            },
            Self::Unreadable(_) => ("SerializationException", "SerializationException"),
            Self::Unsupported(_) => (
                "UnsupportedOperation",
                "AWS.SimpleQueueService.UnsupportedOperation",
            ),
            Self::EmptyBatch => (
                "EmptyBatchRequest",
                "AWS.SimpleQueueService.EmptyBatchRequest",
            ),
            Self::TooManyEntries(_) => (
                "TooManyEntriesInBatchRequest",
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            ),
            Self::SameIds => (
                "BatchEntryIdsNotDistinct",
                "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            ),
            Self::InvalidEntryId => (
                "InvalidBatchEntryId",
                "AWS.SimpleQueueService.InvalidBatchEntryId",
            ),
            Self::BatchTooLong(_) => (
                "BatchRequestTooLong",
                "AWS.SimpleQueueService.BatchRequestTooLong",
            ),
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(Refusal::Unreadable)
}

fn create(queues: &Queues, request: Create) -> Result<Value, Refusal> {
    let attributes = QueueAttributes::parse(&request.attributes)?;
    let queue = queues.create(&request.queue_name, attributes)?;
    Ok(json!({ "QueueUrl": queue.url() }))
}

fn list(queues: &Queues) -> Result<Value, Refusal> {
    let urls: Result<Vec<_>, QueueError> = queues
        .names()
        .iter()
        .map(|name| Ok(queues.find(name)?.url()))
        .collect();
    Ok(json!({ "QueueUrls": urls? }))
}

fn attributes(queues: &Queues, request: GetAttributes) -> Result<Value, Refusal> {
    let queue = queues.find(&request.queue_url)?;
    let (counts, settings) = (queue.counts(), queue.attributes());
    let mut known = BTreeMap::from([
        ("QueueArn", queue.arn()),
        ("ApproximateNumberOfMessages", counts.visible.to_string()),
        (
            "ApproximateNumberOfMessagesNotVisible",
            counts.in_flight.to_string(),
        ),
        (
            "ApproximateNumberOfMessagesDelayed",
            counts.delayed.to_string(),
        ),
        (
            "VisibilityTimeout",
            settings.visibility_timeout.as_secs().to_string(),
        ),
        ("DelaySeconds", settings.delay.as_secs().to_string()),
        (
            "ReceiveMessageWaitTimeSeconds",
            settings.receive_wait.as_secs().to_string(),
        ),
        (
            "MessageRetentionPeriod",
            settings.retention.as_secs().to_string(),
        ),
        (
            "MaximumMessageSize",
            settings.maximum_message_bytes.to_string(),
        ),
    ]);
    if let Some(redrive) = &settings.redrive {
        known.insert("RedrivePolicy", redrive.policy());
    }
    let names = &request.attribute_names;
    let all = names.iter().any(|name| name == "All");
    if let Some(unknown) = names.iter().find(|name| {
        *name != "All" && *name != "RedrivePolicy" && !known.contains_key(name.as_str())
    }) {
        return Err(QueueError::UnknownAttribute(unknown.clone()).into());
    }
    known.retain(|name, _| all || names.iter().any(|wanted| wanted == name));
    Ok(json!({ "Attributes": known }))
}

fn send(queues: &Queues, queue: &Arc<Queue>, request: Send) -> Result<Value, Refusal> {
    let delay = request.delay_seconds.map(Duration::from_secs);
    let id = queues.send(
        queue,
        request.message_body,
        request.message_attributes,
        delay,
    )?;
    Ok(json!({ "MessageId": id }))
}

fn delete(queues: &Queues, queue: &Arc<Queue>, request: Receipt) -> Result<Value, Refusal> {
    queues.delete(queue, &request.receipt_handle)?;
    Ok(json!({}))
}

fn change_visibility(
    queues: &Queues,
    queue: &Arc<Queue>,
    request: Visibility,
) -> Result<Value, Refusal> {
    let visibility = Duration::from_secs(request.visibility_timeout);
    queues.change_visibility(queue, &request.receipt_handle, visibility)?;
    Ok(json!({}))
}

/// A batch shares the limit of one message.
fn batch_size(batch: &Batch<Send>) -> Result<(), Refusal> {
    let size = |entry: &Entry<Send>| {
        super::queues::size(&entry.rest.message_body, &entry.rest.message_attributes)
    };
    let total = batch.entries.iter().map(size).sum();
    if total > MAXIMUM_MESSAGE_BYTES {
        return Err(Refusal::BatchTooLong(total));
    }
    Ok(())
}

/// Does each entry on its own; one that fails does not touch the others.
fn batch<T>(
    queues: &Queues,
    request: Addressed<Batch<T>>,
    one: fn(&Queues, &Arc<Queue>, T) -> Result<Value, Refusal>,
) -> Result<Value, Refusal> {
    let queue = queues.find(&request.queue_url)?;
    let entries = request.rest.entries;
    match entries.len() {
        0 => return Err(Refusal::EmptyBatch),
        count if count > MOST_AT_ONCE => return Err(Refusal::TooManyEntries(count)),
        _ => {}
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut ids = BTreeSet::new();
    for entry in &entries {
        if entry.id.is_empty() || entry.id.len() > 80 || !entry.id.chars().all(allowed) {
            return Err(Refusal::InvalidEntryId);
        }
        if !ids.insert(&entry.id) {
            return Err(Refusal::SameIds);
        }
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        match one(queues, &queue, entry.rest) {
            Ok(mut answer) => {
                answer["Id"] = entry.id.into();
                successful.push(answer);
            }
            Err(refusal) => failed.push(json!({
                "Id": entry.id,
                "SenderFault": true,
                "Code": refusal.names().1,
                "Message": refusal.to_string(),
            })),
        }
    }
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

async fn receive(queues: &Queues, request: Addressed<Receive>) -> Result<Value, Refusal> {
    let queue = queues.find(&request.queue_url)?;
    let request = request.rest;
    let most = request.max_number_of_messages.unwrap_or(1);
    let out_of_range = |parameter, reason: &str| QueueError::InvalidParameter {
        parameter,
        reason: reason.to_owned(),
    };
    if !(1..=MOST_AT_ONCE).contains(&most) {
        return Err(out_of_range("MaxNumberOfMessages", "Must be between 1 and 10.").into());
    }
    if request.wait_time_seconds.is_some_and(|wait| wait > 20) {
        return Err(out_of_range("WaitTimeSeconds", "Must be >= 0 and <= 20.").into());
    }
    if request.visibility_timeout.is_some_and(|time| time > 43_200) {
        return Err(out_of_range("VisibilityTimeout", "Must be between 0 and 43200.").into());
    }
    let received = queues
        .receive(
            &queue,
            most,
            request.visibility_timeout.map(Duration::from_secs),
            request.wait_time_seconds.map(Duration::from_secs),
        )
        .await?;
    let system = [
        request.attribute_names,
        request.message_system_attribute_names,
    ]
    .concat();
    let messages: Vec<Value> = received
        .iter()
        .map(|received| {
            json!({
                "MessageId": received.message.id,
                "ReceiptHandle": received.receipt,
                "Body": received.message.body,
                "Attributes": asked(system_attributes(received), &system),
                "MessageAttributes":
                    asked(received.message.attributes.clone(), &request.message_attribute_names),
            })
        })
        .collect();
    Ok(match messages.is_empty() {
        true => json!({}),
        false => json!({ "Messages": messages }),
    })
}

/// The attributes SQS itself keeps of a message.
pub(crate) fn system_attributes(received: &Received) -> BTreeMap<String, Value> {
    let message = &received.message;
    let first = message.first_received.unwrap_or(message.sent);
    [
        ("ApproximateReceiveCount", message.receives.to_string()),
        ("SentTimestamp", message.sent.as_millisecond().to_string()),
        (
            "ApproximateFirstReceiveTimestamp",
            first.as_millisecond().to_string(),
        ),
        ("SenderId", "embedded".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value.into()))
    .into()
}

/// Only the attributes asked for: by name, by a prefix that ends in `.*`, or all of them.
fn asked(attributes: BTreeMap<String, Value>, names: &[String]) -> Map<String, Value> {
    let wanted = |attribute: &str| {
        names.iter().any(|name| {
            name == "All"
                || name == attribute
                || name
                    .strip_suffix('*')
                    .is_some_and(|prefix| attribute.starts_with(prefix))
        })
    };
    attributes
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .collect()
}
