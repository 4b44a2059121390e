//! A batch of stream records is looked at by one reading of the configuration and the sources' health.
//! What changes meanwhile must not be missed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_sdk_dynamodb::types::AttributeValue;
use evaluate::Evaluator;
use jiff::Timestamp;
use lotwire::engine::{Call, EmbeddedAws, Interference, Settings, Verdict};
use lotwire::stack::resources::{self, TABLE};
use shared::bus::Bus;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::domain::Authority;
use shared::domain::alert::AlertState;
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::store::Store;

use crate::bench::level;

fn config(threshold: i64) -> Config {
    let text = format!(
        r#"
[account]
name = "Test"
zone = "Europe/Rome"
currency = "EUR"
[locations.north]
name = "North"
kind = "warehouse"
[connectors.generic]
kind = "generic"
[connectors.generic.webhook]
secret = "env:GENERIC"
[channels.room]
kind = "slack"
url = "env:ROOM"
[[routes]]
name = "all"
channels = ["room"]
[[rules]]
name = "low"
kind = "low_stock"
threshold = {threshold}
"#
    );
    Config::check(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"))
}

/// Raises the threshold as soon as a first alert is written, once.
#[derive(Default)]
struct RaisesThreshold {
    store: OnceLock<Store>,
    done: AtomicBool,
}

#[async_trait]
impl Interference for RaisesThreshold {
    async fn after(&self, call: &Call) -> Verdict {
        if call.operation == "TransactWriteItems"
            && let Some(store) = self.store.get()
            && !self.done.swap(true, Ordering::SeqCst)
        {
            assert!(store.apply_config(&config(20), "test").await.unwrap());
        }
        Verdict::Proceed
    }
}

/// What the stream says of a position that was just written.
async fn record(aws: &EmbeddedAws, product: &str, sequence: &str) -> EventRecord {
    let text = |value: String| AttributeValue::S(value);
    let reply = aws
        .dynamodb()
        .get_item()
        .table_name(TABLE)
        .key("pk", text(format!("P#{product}")))
        .key("sk", text("L#north#position".to_owned()))
        .send()
        .await
        .unwrap();
    let mut record = EventRecord::default();
    record.change.new_image = reply.item.unwrap().into();
    record.change.sequence_number = Some(sequence.to_owned());
    record
}

#[tokio::test]
async fn a_rule_that_changes_within_a_batch_applies_to_all_of_it() {
    let meanwhile = Arc::new(RaisesThreshold::default());
    let clock = Clock::system();
    let settings = Settings {
        clock: clock.clone(),
        interference: Arc::clone(&meanwhile) as _,
        ..Settings::default()
    };
    let aws = EmbeddedAws::in_memory(settings).unwrap();
    let topic = resources::make(&aws).unwrap();
    let store = Store::new(aws.dynamodb(), TABLE, clock.clone(), Chance::seeded(7));
    store.apply_config(&config(3), "test").await.unwrap();
    for (product, on_hand) in [("FEW", 2), ("SOME", 15), ("MANY", 40)] {
        let event = level("generic", 0, product, "north", on_hand);
        store.apply(&event, &Authority::default()).await.unwrap();
    }
    let mut event = Event::default();
    for (number, product) in ["FEW", "SOME", "MANY"].into_iter().enumerate() {
        let sequence = number.to_string();
        event.records.push(record(&aws, product, &sequence).await);
    }
    let evaluator = Evaluator::new(
        store.clone(),
        Bus::new(aws.sns(), topic),
        Installations::new(store.clone()),
        Metrics::to(std::io::sink(), clock),
    );
    meanwhile.store.set(store.clone()).unwrap();
    let response = evaluator.handle(event, Timestamp::MAX).await;
    assert!(response.batch_item_failures.is_empty());
    assert!(meanwhile.done.load(Ordering::SeqCst));
    let open = store.alerts(AlertState::Open, None, 10).await.unwrap();
    let mut low: Vec<_> = open.items.iter().map(|a| &*a.message.product).collect();
    low.sort_unstable();
    assert_eq!(low, ["FEW", "SOME"]);
}
