//! What no try will mend is passed over: it holds up nothing that comes after it, and everything is
//! looked at again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use lotwire::engine::{Call, Interference, Service, Verdict};
use lotwire::stack::resources::TABLE;
use shared::domain::AlertKind;
use shared::store::Store;
use shared::store::jobs::Reexamination;

use crate::desk::{Desk, EVERYBODY, LOW, TOGETHER, config};

/// Once armed, panics in whoever next writes a transaction, as a fault of ours would.
#[derive(Default)]
struct Panics(AtomicBool);

#[async_trait]
impl Interference for Panics {
    async fn before(&self, call: &Call) -> Verdict {
        let writes = call.service == Service::DynamoDb && call.operation == "TransactWriteItems";
        assert!(!(writes && self.0.swap(false, Ordering::SeqCst)), "armed");
        Verdict::Proceed
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

async fn row(desk: &Desk, sku: &str) -> HashMap<String, AttributeValue> {
    let get = desk.aws.dynamodb().get_item().table_name(TABLE);
    let get = get
        .key("pk", text(&format!("P#{sku}")))
        .key("sk", text("L#north#position"));
    get.send().await.unwrap().item.unwrap()
}

/// The records of these rows, as the stream hands them over.
fn batch(rows: impl IntoIterator<Item = HashMap<String, AttributeValue>>) -> Event {
    let mut batch = Event::default();
    for (sequence, image) in rows.into_iter().enumerate() {
        let mut record = EventRecord::default();
        record.change.new_image = image.into();
        record.change.sequence_number = Some(sequence.to_string());
        batch.records.push(record);
    }
    batch
}

/// Goes on with a job until it is done.
async fn finish(desk: &Desk, job: &str) {
    while desk.store.job(job).await.unwrap().is_some() {
        desk.evaluator.proceed(job).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_passed_over_and_everything_is_looked_at_again() {
    let desk = Desk::new(&config(TOGETHER, &(EVERYBODY.to_owned() + LOW))).await;
    desk.state(0, "OIL", "north", 1).await;
    let good = row(&desk, "OIL").await;
    let mut poison = good.clone();
    poison.insert("d".to_owned(), text("not what it was"));
    let answer = desk.evaluator.handle(batch([poison, good]), Timestamp::MAX);
    assert!(
        answer.await.batch_item_failures.is_empty(),
        "nothing depends on the mapping"
    );
    assert_eq!(
        desk.open().await.len(),
        1,
        "the record behind it was looked at"
    );
    assert!(desk.store.job("given-up").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_makes_the_evaluator_panic_is_passed_over_and_everything_is_looked_at_again()
{
    let panics = Arc::new(Panics::default());
    let rules = config(TOGETHER, &(EVERYBODY.to_owned() + LOW));
    let desk = Desk::with(&rules, Arc::clone(&panics) as _).await;
    for sku in ["FIRST", "SECOND"] {
        desk.state(0, sku, "north", 1).await;
    }
    let records = batch([row(&desk, "FIRST").await, row(&desk, "SECOND").await]);
    panics.0.store(true, Ordering::SeqCst);
    let answer = desk.evaluator.handle(records, Timestamp::MAX).await;
    assert!(answer.batch_item_failures.is_empty(), "{answer:?}");
    assert!(!panics.0.load(Ordering::SeqCst), "it has panicked");
    let low = |sku: &str| (AlertKind::LowStock, format!("{sku} at north"));
    assert_eq!(desk.open().await, [low("SECOND")]);

    // What the record was about is looked at after all.
    assert!(desk.store.job("given-up").await.unwrap().is_some());
    tokio::time::sleep(Duration::from_secs(180)).await;
    finish(&desk, "given-up").await;
    for part in Store::parts() {
        finish(&desk, &format!("everything.{part}")).await;
    }
    assert_eq!(desk.open().await, [low("FIRST"), low("SECOND")]);
}

#[tokio::test(start_paused = true)]
async fn a_job_passes_over_what_makes_the_evaluator_panic() {
    let panics = Arc::new(Panics::default());
    let rules = config(TOGETHER, &(EVERYBODY.to_owned() + LOW));
    let desk = Desk::with(&rules, Arc::clone(&panics) as _).await;
    for sku in ["FIRST", "SECOND", "THIRD"] {
        desk.state(0, sku, "north", 1).await;
    }
    let job = Reexamination::new("again").of(["generic".parse().unwrap()].into());
    assert!(desk.store.start_job(job).await.unwrap());
    panics.0.store(true, Ordering::SeqCst);
    finish(&desk, "again").await;
    assert!(!panics.0.load(Ordering::SeqCst), "it has panicked");
    assert_eq!(desk.open().await.len(), 2, "of the others it is told");
}
