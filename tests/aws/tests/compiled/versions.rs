//! Two versions of one function at once, as there are while a deployment is under way.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_tests::bench::{Bench, body, queue_record};
use aws_tests::requests::{count, positions};
use aws_tests::stream::{Item, batch, record};
use serde_json::{Value, json};
use shared::store::intents::IntentState;

const PRODUCTS: usize = 30;

#[tokio::test]
async fn two_versions_of_the_evaluator_on_the_same_records_tell_everything_once() {
    let bench = Bench::new().await;
    let records = fallen(&bench).await;
    let (old, new) = (
        bench.version("evaluate", "41").await,
        bench.version("evaluate", "42").await,
    );
    let (one, other) = tokio::join!(old.invoke(batch(&records)), new.invoke(batch(&records)));
    assert!(one.handed_back().is_empty() && other.handed_back().is_empty());
    assert_eq!(bench.alerts().await.len(), PRODUCTS);
    assert_eq!(bench.intents().await.len(), PRODUCTS);
}

#[tokio::test]
async fn two_versions_of_the_notifier_on_one_queue_deliver_everything_once() {
    let bench = Bench::new().await;
    let mut bodies = Vec::new();
    let mut whiches = Vec::new();
    for number in 0..PRODUCTS {
        let which = bench.open(&format!("alert-{number:02}")).await;
        // Twice, as SQS may deliver it.
        bodies.extend([body(&which), body(&which)]);
        whiches.push(which);
    }
    bench.queue(&bodies).await;
    let (old, new) = (
        bench.version("notify", "41").await,
        bench.version("notify", "42").await,
    );
    tokio::join!(bench.drain(&old), bench.drain(&new));
    for which in &whiches {
        assert_eq!(bench.state(which).await, IntentState::Delivered);
    }
    let keys = bench.delivered();
    let once: BTreeSet<_> = keys.iter().collect();
    assert_eq!((keys.len(), once.len()), (PRODUCTS, PRODUCTS));
}

#[tokio::test]
async fn rows_with_fields_of_a_later_version_are_read_well() {
    let bench = Bench::new().await;
    let api = bench.start("api").await;
    count(&api, "OIL", 9).await;
    let which = bench.open("from-the-future").await;
    for partition in ["CONFIG", "P#OIL", "A#from-the-future"] {
        let rows = bench.rows(partition).await;
        assert!(!rows.is_empty(), "{partition}");
        for mut row in rows {
            add_fields(&mut row);
            bench.store_row(row).await;
        }
    }

    // What was written before is read, and what follows is written.
    let position = &positions(&api, "OIL").await[0];
    assert_eq!(position["on_hand"], 9);
    count(&api, "OIL", 2).await;
    let row = bench.position("OIL").await;
    let evaluate = bench.start("evaluate").await;
    let changed = batch(&[record(&row, 0)]);
    assert!(evaluate.invoke(changed).await.handed_back().is_empty());
    assert!(bench.alerts().await.contains(&"OIL".to_owned()));
    let notify = bench.start("notify").await;
    let event = json!({ "Records": [queue_record("m", &body(&which))] });
    assert!(notify.invoke(event).await.handed_back().is_empty());
    assert_eq!(bench.state(&which).await, IntentState::Delivered);
}

/// What a later version might add: to the row itself, and to what it says.
fn add_fields(row: &mut Item) {
    let nested = AttributeValue::M(HashMap::from([(
        "colour".to_owned(),
        AttributeValue::S("green".to_owned()),
    )]));
    row.insert("later".to_owned(), nested.clone());
    if let Some(AttributeValue::M(said)) = row.get_mut("d") {
        said.insert("later".to_owned(), nested);
    }
}

/// Positions that are low, as their stream records.
async fn fallen(bench: &Bench) -> Vec<Value> {
    let api = bench.start("api").await;
    let mut records = Vec::new();
    for number in 0..PRODUCTS {
        let sku = format!("SKU-{number:02}");
        count(&api, &sku, 1).await;
        records.push(record(&bench.position(&sku).await, number));
    }
    records
}
