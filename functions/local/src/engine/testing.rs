//! What the engine's tests share: services on a virtual clock, one table, and recording handlers.

use super::{
    Attribute, BoxError, EmbeddedAws, Function, Interference, Keys, Settings, TableDefinition,
};
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use aws_lambda_events::event::streams::DynamoDbEventResponse;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::retry::RetryConfig;
use shared::clock::Clock;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) const TABLE: &str = "items";

/// In memory, on tokio's (paused) time, with the table of these tests.
pub(super) fn aws() -> EmbeddedAws {
    aws_with(Settings {
        clock: virtual_clock(),
        ..Settings::default()
    })
}

/// As [`aws`], where each call passes `interference` and the SDK does not retry.
pub(super) fn interfered(interference: impl Interference + 'static) -> EmbeddedAws {
    aws_with(Settings {
        clock: virtual_clock(),
        interference: Arc::new(interference),
        retries: RetryConfig::disabled(),
    })
}

pub(super) fn aws_with(settings: Settings) -> EmbeddedAws {
    let aws = EmbeddedAws::in_memory(settings).unwrap();
    aws.tables().ensure_table(&table()).unwrap();
    aws
}

pub(super) fn virtual_clock() -> Clock {
    Clock::starting_at("2026-01-15T09:30:00Z".parse().unwrap())
}

pub(super) fn table() -> TableDefinition {
    TableDefinition {
        name: TABLE.to_owned(),
        keys: Keys {
            partition: Attribute::Text("pk".to_owned()),
            sort: None,
        },
        indexes: Vec::new(),
        stream: true,
        expiry: Some("expires".to_owned()),
    }
}

/// Writes an item through the SDK.
pub(super) async fn put(aws: &EmbeddedAws, pk: &str, value: &str) {
    aws.dynamodb()
        .put_item()
        .table_name(TABLE)
        .item("pk", AttributeValue::S(pk.to_owned()))
        .item("value", AttributeValue::S(value.to_owned()))
        .send()
        .await
        .unwrap();
}

/// What a handler has seen, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub(super) fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn count(&self, what: &str) -> usize {
        self.all().iter().filter(|seen| *seen == what).count()
    }
}

/// The `value` of a record's new image.
pub(super) fn value_of(record: &EventRecord) -> String {
    match record.change.new_image.get("value") {
        Some(serde_dynamo::AttributeValue::S(text)) => text.clone(),
        _ => String::new(),
    }
}

/// A stream function that answers for the whole batch at once.
pub(super) fn on_records<H>(handle: H) -> Function<Event, DynamoDbEventResponse>
where
    H: Fn(&[EventRecord]) -> Result<DynamoDbEventResponse, BoxError> + Send + Sync + 'static,
{
    Function::new(
        "evaluate",
        Duration::from_secs(10),
        move |event: Event, _| {
            let answer = handle(&event.records);
            async move { answer }
        },
    )
}

/// A queue function that answers for the whole batch at once.
pub(super) fn on_messages<H>(handle: H) -> Function<SqsEvent, SqsBatchResponse>
where
    H: Fn(&[SqsMessage]) -> Result<SqsBatchResponse, BoxError> + Send + Sync + 'static,
{
    Function::new(
        "notify",
        Duration::from_secs(10),
        move |event: SqsEvent, _| {
            let answer = handle(&event.records);
            async move { answer }
        },
    )
}
