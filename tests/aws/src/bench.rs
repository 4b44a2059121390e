//! A table, a topic and a queue of a test's own on the engine, and the functions over them.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{Message, SendMessageBatchRequestEntry};
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::bus::IntentRef;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::domain::alert::AlertState;
use shared::store::Store;
use shared::store::intents::IntentState;
use url::Url;

mod resources;

use self::resources::{create_table, transport};
use crate::process::Process;
use crate::stream::Item;
use crate::vendor::Vendor;
use crate::{alerts, aws};

/// The bearer token of `events/api`, and the secrets that signed `events/ingest`.
const SECRETS: [(&str, &str); 5] = [
    ("TOKEN", "correct horse"),
    ("SHOPIFY", "shopify-test-client-secret"),
    ("DEALERTRACK", "dealertrack-test-secret"),
    ("GENERIC", SIGNING),
    ("OUT", SIGNING),
];
/// A signing secret.
pub const SIGNING: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
/// Where the vendor's stand-in is told.
pub const OUT: &str = "/out";
/// How long the notifiers here let a vendor take. Their lease is that and 18 s.
const SEND_TIMEOUT_MS: &str = "2000";

/// What a test of single functions works with.
pub struct Bench {
    /// The table, as the functions see it.
    pub store: Store,
    /// The vendor that the channel `out` tells.
    pub vendor: Vendor,
    /// The queue that announced intents reach.
    pub queue: Url,
    table: String,
    topic: String,
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
}

impl Bench {
    /// One with the configuration `compiled.toml`.
    pub async fn new() -> Self {
        Self::with(|text| text).await
    }

    /// One with that configuration, edited.
    pub async fn with(edit: impl FnOnce(String) -> String) -> Self {
        let aws = aws();
        let name = format!("test-{}", uuid::Uuid::new_v4().simple());
        let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
        create_table(&dynamodb, &name).await;
        let (topic, queue) = transport(&aws, &name).await;
        let store = Store::new(
            dynamodb.clone(),
            name.as_str(),
            Clock::system(),
            Chance::from_system(),
        );
        let vendor = Vendor::start().await;
        let text = include_str!("../compiled.toml").replace("{vendor}", &vendor.url(""));
        let config = Config::check(&edit(text), "compiled.toml").unwrap_or_else(|e| panic!("{e}"));
        assert!(store.apply_config(&config, "test").await.unwrap());
        Self {
            store,
            vendor,
            queue,
            table: name,
            topic,
            dynamodb,
            sqs: aws_sdk_sqs::Client::new(&aws),
        }
    }

    /// Starts a function over the table.
    pub async fn start(&self, function: &str) -> Process {
        self.version(function, "$LATEST").await
    }

    /// Starts this version of a function over the table.
    pub async fn version(&self, function: &str, version: &str) -> Process {
        self.start_with(function, version, &[]).await
    }

    /// Starts a version of a function with further variables.
    pub async fn start_with(
        &self,
        function: &str,
        version: &str,
        more: &[(&str, &str)],
    ) -> Process {
        let mut environment = vec![
            ("STACK_NAME", "lotwire-test"),
            ("TABLE_NAME", self.table.as_str()),
            ("TOPIC_ARN", &self.topic),
            ("QUEUE_URL", self.queue.as_str()),
            ("SYNC_QUEUE_URL", self.queue.as_str()),
            ("CHANNEL", "webhook"),
            ("SEND_TIMEOUT_MS", SEND_TIMEOUT_MS),
            ("ALLOWED_HOSTS", "127.0.0.1"),
            ("API_TOKEN", "env:TOKEN"),
        ];
        environment.extend(SECRETS);
        environment.extend(more);
        Process::version(function, version, &environment).await
    }

    /// Opens an alert that the channel `out` is to carry, and says nothing of it to anybody.
    pub async fn open(&self, alert: &str) -> IntentRef {
        let due_at = self.store.clock().now() + SignedDuration::from_hours(1);
        alerts::open(&self.store, alert, "out", "webhook", due_at).await
    }

    /// The intent that [`Bench::open`] would write.
    pub fn unwritten(alert: &str) -> IntentRef {
        IntentRef {
            alert: alert.to_owned(),
            revision: 1,
            channel: "out".parse().unwrap(),
        }
    }

    /// The row of the stock in the north, as it is stored.
    pub async fn position(&self, sku: &str) -> Item {
        let rows = self.rows(&format!("P#{sku}")).await;
        let kind = AttributeValue::S("position".to_owned());
        let mut positions = rows.into_iter().filter(|row| row.get("t") == Some(&kind));
        positions.next().expect("the position is stored")
    }

    /// What has an open alert: a product for each.
    pub async fn alerts(&self) -> Vec<String> {
        let open = self
            .store
            .alerts(AlertState::Open, None, 200)
            .await
            .unwrap();
        let products = open.items.into_iter().map(|alert| alert.message.product);
        products.collect()
    }

    /// What is to be delivered, or was: an alert for each intent.
    pub async fn intents(&self) -> Vec<String> {
        let intents = self.store.intents(None, 200).await.unwrap();
        let alerts = intents.items.into_iter().map(|intent| intent.alert);
        alerts.collect()
    }

    /// Where the delivery of an intent stands.
    pub async fn state(&self, which: &IntentRef) -> IntentState {
        let intents = self.store.intents_of(&which.alert).await.unwrap();
        let intent = intents.iter().find(|i| IntentRef::from(*i) == *which);
        intent.expect("the intent is there").state
    }

    /// The keys of the requests that reached the vendor, in order.
    pub fn delivered(&self) -> Vec<String> {
        let seen = self.vendor.seen(OUT);
        seen.iter()
            .map(|request| request.header("webhook-id").to_owned())
            .collect()
    }

    /// The rows of a partition, as they are stored.
    pub async fn rows(&self, partition: &str) -> Vec<Item> {
        let found = self
            .dynamodb
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(partition.to_owned()))
            .consistent_read(true);
        found.send().await.unwrap().items.unwrap_or_default()
    }

    /// Stores a row as it stands.
    pub async fn store_row(&self, row: Item) {
        let put = self.dynamodb.put_item().table_name(&self.table);
        put.set_item(Some(row)).send().await.unwrap();
    }

    /// Puts messages on the queue, in batches as large as SQS takes.
    pub async fn queue(&self, bodies: &[String]) {
        for batch in bodies.chunks(10) {
            let entries = batch.iter().enumerate().map(|(index, body)| {
                SendMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .message_body(body)
                    .build()
                    .unwrap()
            });
            let send = self.sqs.send_message_batch().queue_url(self.queue.as_str());
            let sent = send.set_entries(Some(entries.collect())).send().await;
            assert!(sent.unwrap().failed.is_empty());
        }
    }

    /// Takes up to five messages from the queue.
    pub async fn receive(&self) -> Vec<Message> {
        let received = self
            .sqs
            .receive_message()
            .queue_url(self.queue.as_str())
            .max_number_of_messages(5);
        received.send().await.unwrap().messages.unwrap_or_default()
    }

    /// Has a function work on the queue as an event-source mapping does, until it is empty.
    pub async fn drain(&self, process: &Process) {
        loop {
            let messages = self.receive().await;
            if messages.is_empty() {
                return;
            }
            let failed = process.invoke(queued(&messages)).await.handed_back();
            let done = messages
                .iter()
                .filter(|m| !failed.iter().any(|id| m.message_id() == Some(id)));
            for message in done {
                let delete = self.sqs.delete_message().queue_url(self.queue.as_str());
                let handle = message.receipt_handle().unwrap();
                delete.receipt_handle(handle).send().await.unwrap();
            }
        }
    }
}

/// A batch of these messages as a function gets it.
pub fn queued(messages: &[Message]) -> Value {
    let records = messages.iter().map(|message| {
        queue_record(
            message.message_id().unwrap(),
            message.body().unwrap_or_default(),
        )
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

/// A message of a batch.
pub fn queue_record(id: &str, body: &str) -> Value {
    json!({
        "messageId": id,
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": body,
        "attributes": { "ApproximateReceiveCount": "1" },
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-south-1:000000000000:queue",
        "awsRegion": "eu-south-1",
    })
}

/// What travels of an intent.
pub fn body(which: &IntentRef) -> String {
    serde_json::to_string(which).unwrap()
}
