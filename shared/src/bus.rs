//! SNS and SQS: how an intent reaches the notifier of its channel.
//!
//! What travels is only "look at this intent"; the table says what it is and whether it is still to be
//! delivered. So a message that is lost, repeated or late does no harm: the clock announces again
//! whatever is overdue.

use std::collections::BTreeSet;

use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};

use crate::domain::group::FlushId;
use crate::domain::id::ChannelName;
use crate::store::intents::Intent;

/// The message attribute that each channel's subscription filters on.
pub const CHANNEL_ATTRIBUTE: &str = "channel";
/// The most entries that one batch may have.
const BATCH: usize = 10;

/// What travels: which intent to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRef {
    /// The alert.
    pub alert: String,
    /// Its revision.
    pub revision: u32,
    /// The configured channel.
    pub channel: ChannelName,
}

impl From<&Intent> for IntentRef {
    fn from(intent: &Intent) -> Self {
        Self {
            alert: intent.alert.clone(),
            revision: intent.revision,
            channel: intent.channel.clone(),
        }
    }
}

impl IntentRef {
    /// The group's next message, if this is one of a group's.
    pub fn next_message(&self) -> Option<Self> {
        let message: FlushId = self.alert.parse().ok()?;
        Some(Self {
            alert: message.next().to_string(),
            ..self.clone()
        })
    }
}

/// The topic that leads to every channel's queue.
#[derive(Debug, Clone)]
pub struct Bus {
    client: aws_sdk_sns::Client,
    topic: String,
}

impl Bus {
    /// A topic, by its ARN.
    pub fn new(client: aws_sdk_sns::Client, topic: impl Into<String>) -> Self {
        Self {
            client,
            topic: topic.into(),
        }
    }

    /// Connects to the topic, so that the first announcement need not. What is asked for is nothing,
    /// and refused.
    pub async fn connect(&self) {
        let nothing = Vec::new();
        let asked = self
            .client
            .publish_batch()
            .topic_arn(&self.topic)
            .set_publish_batch_request_entries(Some(nothing))
            .send()
            .boxed();
        if let Err(error) = asked.await
            && error.as_service_error().is_none()
        {
            tracing::warn!(%error, "the topic could not be reached yet");
        }
    }

    /// Announces intents to their channels' queues, and says how many got through. The others are
    /// announced again by the clock when they are overdue, so a failure here is only a delay.
    pub async fn announce(&self, intents: &[Intent]) -> usize {
        self.announced(intents).await.len()
    }

    /// The same, and says which of them got through, by their places.
    pub async fn announced(&self, intents: &[Intent]) -> BTreeSet<usize> {
        let mut announced = BTreeSet::new();
        for (number, batch) in intents.chunks(BATCH).enumerate() {
            let entries: Result<Vec<_>, _> = batch
                .iter()
                .enumerate()
                .map(|(index, intent)| entry(index, intent))
                .collect();
            let entries = match entries {
                Ok(entries) => entries,
                Err(error) => {
                    tracing::error!(error, "an intent cannot be announced");
                    continue;
                }
            };
            let sent = self
                .client
                .publish_batch()
                .topic_arn(&self.topic)
                .set_publish_batch_request_entries(Some(entries))
                .send()
                .boxed()
                .await;
            match sent {
                Ok(reply) => {
                    let through = reply.successful().iter();
                    let through = through.filter_map(|it| it.id()?.parse::<usize>().ok());
                    announced.extend(through.map(|index| number * BATCH + index));
                    if !reply.failed().is_empty() {
                        let failed = reply.failed().len();
                        tracing::warn!(failed, "intents were not announced; the clock will");
                    }
                }
                Err(error) => {
                    let error =
                        &aws_sdk_sns::error::DisplayErrorContext(&error) as &dyn std::fmt::Display;
                    tracing::warn!(%error, "intents were not announced; the clock will");
                }
            }
        }
        announced
    }
}

fn entry(index: usize, intent: &Intent) -> Result<PublishBatchRequestEntry, String> {
    let body = serde_json::to_string(&IntentRef::from(intent)).map_err(|e| e.to_string())?;
    let channel = MessageAttributeValue::builder()
        .data_type("String")
        .string_value(&intent.kind)
        .build()
        .map_err(|e| e.to_string())?;
    PublishBatchRequestEntry::builder()
        .id(index.to_string())
        .message(body)
        .message_attributes(CHANNEL_ATTRIBUTE, channel)
        .build()
        .map_err(|e| e.to_string())
}
