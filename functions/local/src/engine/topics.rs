//! SNS topics that deliver to queues, and the SNS query protocol.
//!
//! A publish delivers before it answers, so a publish that succeeded is in every queue whose
//! filter policy took it.

use super::pattern::{Pattern, PatternError};
use super::queues::{Queue, Queues, size};
use super::wire::Reply;
use super::{ACCOUNT, EngineError, Ids, REGION};
use serde_json::{Value, json};
use shared::clock::Clock;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// AWS's limit for one message through a topic.
const MAXIMUM_MESSAGE_BYTES: usize = 256 * 1024;

/// All topics of one engine.
pub struct Topics {
    named: RwLock<BTreeMap<String, Vec<Delivery>>>,
    clock: Clock,
    ids: Arc<Ids>,
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Topics")
    }
}

/// A queue's subscription to a topic.
#[derive(Debug, Clone, Default)]
pub struct Subscription {
    /// Deliver the message as it is, with its attributes, instead of SNS's JSON envelope.
    pub raw: bool,
    /// Matched against the message attributes; without it, every message is delivered.
    pub filter_policy: Option<Pattern>,
}

impl Subscription {
    /// Raw delivery of the messages whose attributes match a filter policy.
    pub fn raw_where(policy: &Value) -> Result<Self, PatternError> {
        Ok(Self {
            raw: true,
            filter_policy: Some(Pattern::parse(policy)?),
        })
    }
}

#[derive(Debug, Clone)]
struct Delivery {
    queue: Arc<Queue>,
    subscription: Subscription,
}

/// A message on its way through a topic.
#[derive(Debug, Default)]
struct Published {
    message: String,
    subject: Option<String>,
    attributes: BTreeMap<String, Value>,
}

/// Why a publish is refused: SNS's code, and words.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

/// The form fields of a request.
type Fields = BTreeMap<String, String>;

impl Topics {
    pub(crate) fn new(clock: Clock, ids: Arc<Ids>) -> Self {
        Self {
            named: RwLock::default(),
            clock,
            ids,
        }
    }

    /// Creates a topic, if there is none of that name, and returns its ARN.
    pub fn create(&self, name: &str) -> String {
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        named.entry(name.to_owned()).or_default();
        arn(name)
    }

    /// Subscribes a queue to a topic; a second subscription of the same queue replaces the first.
    pub fn subscribe(
        &self,
        topic: &str,
        queue: &Arc<Queue>,
        subscription: Subscription,
    ) -> Result<(), EngineError> {
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        let deliveries = named
            .get_mut(name_of(topic))
            .ok_or_else(|| EngineError::Missing {
                wanted_by: format!("subscription of queue {}", queue.name()),
                missing: format!("topic {topic}"),
            })?;
        deliveries.retain(|delivery| delivery.queue.name() != queue.name());
        deliveries.push(Delivery {
            queue: Arc::clone(queue),
            subscription,
        });
        Ok(())
    }

    /// The operation a query-protocol request names.
    pub(crate) fn operation(body: &[u8]) -> String {
        url::form_urlencoded::parse(body)
            .find(|(key, _)| key == "Action")
            .map(|(_, operation)| operation.into_owned())
            .unwrap_or_default()
    }

    /// Answers one API call.
    pub(crate) fn answer(&self, queues: &Queues, operation: &str, body: &[u8]) -> Reply {
        let fields: Fields = url::form_urlencoded::parse(body).into_owned().collect();
        let result = match operation {
            "Publish" => self.publish_one(queues, &fields),
            "PublishBatch" => self.publish_batch(queues, &fields),
            other => Err(Refusal::invalid(format!(
                "The embedded SNS does not offer {other}."
            ))),
        };
        match result {
            Ok(result) => Reply::xml(
                200,
                format!(
                    "<{operation}Response xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
                     <{operation}Result>{result}</{operation}Result><ResponseMetadata>\
                     <RequestId>{}</RequestId></ResponseMetadata></{operation}Response>",
                    self.ids.next()
                ),
            ),
            Err(refusal) => error(refusal.status, refusal.code, &refusal.message),
        }
    }

    fn publish_one(&self, queues: &Queues, fields: &Fields) -> Result<String, Refusal> {
        let deliveries = self.deliveries(fields)?;
        let published = Published::read(fields, "")?;
        let id = self.deliver(queues, &deliveries, fields, &published)?;
        Ok(format!("<MessageId>{id}</MessageId>"))
    }

    fn publish_batch(&self, queues: &Queues, fields: &Fields) -> Result<String, Refusal> {
        let deliveries = self.deliveries(fields)?;
        let entries: Vec<String> = (1..)
            .map(|number| format!("PublishBatchRequestEntries.member.{number}."))
            .take_while(|prefix| fields.contains_key(&format!("{prefix}Id")))
            .collect();
        if entries.is_empty() {
            return Err(Refusal::new(
                "EmptyBatchRequest",
                "The batch request is empty.",
            ));
        }
        if entries.len() > 10 {
            return Err(Refusal::new(
                "TooManyEntriesInBatchRequest",
                "The batch request contains more entries than permissible.",
            ));
        }
        let (mut successful, mut failed) = (String::new(), String::new());
        for prefix in &entries {
            let id = escape(&fields[&format!("{prefix}Id")]);
            let outcome = Published::read(fields, prefix)
                .and_then(|published| self.deliver(queues, &deliveries, fields, &published));
            match outcome {
                Ok(message_id) => successful.push_str(&format!(
                    "<member><Id>{id}</Id><MessageId>{message_id}</MessageId></member>"
                )),
                Err(refusal) => failed.push_str(&format!(
                    "<member><Id>{id}</Id><Code>{}</Code><Message>{}</Message>\
                     <SenderFault>true</SenderFault></member>",
                    refusal.code,
                    escape(&refusal.message)
                )),
            }
        }
        Ok(format!(
            "<Successful>{successful}</Successful><Failed>{failed}</Failed>"
        ))
    }

    fn deliveries(&self, fields: &Fields) -> Result<Vec<Delivery>, Refusal> {
        let topic = fields
            .get("TopicArn")
            .or_else(|| fields.get("TargetArn"))
            .map_or("", String::as_str);
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        let found = named.get(name_of(topic)).cloned();
        found.ok_or_else(|| Refusal {
            status: 404,
            code: "NotFound",
            message: "Topic does not exist".to_owned(),
        })
    }

    fn deliver(
        &self,
        queues: &Queues,
        deliveries: &[Delivery],
        fields: &Fields,
        published: &Published,
    ) -> Result<String, Refusal> {
        if published.message.is_empty() {
            return Err(Refusal::invalid(
                "Invalid parameter: Empty message".to_owned(),
            ));
        }
        if size(&published.message, &published.attributes) > MAXIMUM_MESSAGE_BYTES {
            return Err(Refusal::invalid(
                "Invalid parameter: Message too long".to_owned(),
            ));
        }
        let id = self.ids.next();
        let attributes = published.plain_attributes();
        for Delivery {
            queue,
            subscription,
        } in deliveries
        {
            let policy = subscription.filter_policy.as_ref();
            if !policy.is_none_or(|policy| policy.matches(&attributes)) {
                continue;
            }
            let (body, attributes) = match subscription.raw {
                true => (published.message.clone(), published.attributes.clone()),
                false => {
                    let topic = fields.get("TopicArn").map_or("", String::as_str);
                    let envelope = self.envelope(&id, topic, published);
                    (envelope.to_string(), BTreeMap::new())
                }
            };
            queues
                .send(queue, body, attributes, None)
                .map_err(|error| Refusal::invalid(error.to_string()))?;
        }
        Ok(id)
    }

    /// What a queue without raw delivery gets.
    fn envelope(&self, id: &str, topic: &str, published: &Published) -> Value {
        let attributes: BTreeMap<&String, Value> = published
            .attributes
            .iter()
            .map(|(name, value)| {
                let text = value["StringValue"]
                    .as_str()
                    .or(value["BinaryValue"].as_str());
                (name, json!({ "Type": value["DataType"], "Value": text }))
            })
            .collect();
        let mut envelope = json!({
            "Type": "Notification",
            "MessageId": id,
            "TopicArn": topic,
            "Message": published.message,
            "Timestamp": format!("{:.3}", self.clock.now()),
        });
        if let Some(subject) = &published.subject {
            envelope["Subject"] = subject.as_str().into();
        }
        if !attributes.is_empty() {
            envelope["MessageAttributes"] = json!(attributes);
        }
        envelope
    }
}

impl Published {
    fn read(fields: &Fields, prefix: &str) -> Result<Self, Refusal> {
        let field = |name: &str| fields.get(&format!("{prefix}{name}"));
        let mut attributes = BTreeMap::new();
        for number in 1.. {
            let part = |name: &str| field(&format!("MessageAttributes.entry.{number}.{name}"));
            let Some(name) = part("Name") else { break };
            let kind = part("Value.DataType");
            let (text, binary) = (part("Value.StringValue"), part("Value.BinaryValue"));
            let (Some(kind), true) = (kind, text.is_some() || binary.is_some()) else {
                return Err(Refusal::new(
                    "ParameterValueInvalid",
                    &format!("The message attribute '{name}' must contain a type and a value."),
                ));
            };
            let mut value = json!({ "DataType": kind });
            if let Some(text) = text {
                value["StringValue"] = text.as_str().into();
            }
            if let Some(binary) = binary {
                value["BinaryValue"] = binary.as_str().into();
            }
            attributes.insert(name.clone(), value);
        }
        Ok(Self {
            message: field("Message").cloned().unwrap_or_default(),
            subject: field("Subject").cloned(),
            attributes,
        })
    }

    /// The attributes as a filter policy sees them.
    fn plain_attributes(&self) -> Value {
        let plain = |value: &Value| -> Option<Value> {
            let text = value["StringValue"].as_str()?;
            match value["DataType"].as_str()? {
                "String.Array" | "Number" => serde_json::from_str(text).ok(),
                _ => Some(text.into()),
            }
        };
        self.attributes
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), plain(value)?)))
            .collect()
    }
}

impl Refusal {
    fn new(code: &'static str, message: &str) -> Self {
        Self {
            status: 400,
            code,
            message: message.to_owned(),
        }
    }

    fn invalid(message: String) -> Self {
        Self {
            status: 400,
            code: "InvalidParameter",
            message,
        }
    }
}

/// An error in the query protocol's shape.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::xml(
        status,
        format!(
            "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error>\
             <Type>Sender</Type><Code>{code}</Code><Message>{}</Message></Error></ErrorResponse>",
            escape(message)
        ),
    )
}

fn arn(name: &str) -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}")
}

fn name_of(topic: &str) -> &str {
    topic.rsplit(':').next().unwrap_or(topic)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
