//! Batches of which a part fails.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_tests::bench::{Bench, OUT, body, queue_record};
use aws_tests::eventually;
use aws_tests::requests::count;
use aws_tests::stream::{batch, record, sequence};
use aws_tests::vendor::Manner;
use http::StatusCode;
use serde_json::json;
use shared::store::intents::IntentState;

#[tokio::test]
async fn of_five_messages_the_one_that_cannot_be_looked_at_comes_back_and_the_others_are_done_once()
{
    let bench = Bench::new().await;
    let mut records = Vec::new();
    let mut good = Vec::new();
    for number in 0..4 {
        let which = bench.open(&format!("alert-{number}")).await;
        records.push(queue_record(&format!("m{number}"), &body(&which)));
        good.push(which);
    }
    // Its intent is written a moment after the message: an announcement that overtook its table.
    let late = Bench::unwritten("late");
    records.insert(2, queue_record("late", &body(&late)));

    let notify = bench.start("notify").await;
    let failed = notify
        .invoke(json!({ "Records": records }))
        .await
        .handed_back();
    assert_eq!(failed, ["late"]);
    assert_eq!(bench.delivered().len(), 4);
    for which in &good {
        assert_eq!(bench.state(which).await, IntentState::Delivered);
    }

    // Only that one comes again, and by now it can be done.
    bench.open("late").await;
    let again = json!({ "Records": [queue_record("late", &body(&late))] });
    assert!(notify.invoke(again).await.handed_back().is_empty());
    assert_eq!(bench.delivered().len(), 5);
}

#[tokio::test]
async fn a_vendor_that_refuses_one_channel_hands_no_message_back() {
    let bench = Bench::new().await;
    let which = bench.open("refused").await;
    bench
        .vendor
        .behave(OUT, Manner::Status(StatusCode::SERVICE_UNAVAILABLE));
    let notify = bench.start("notify").await;
    let event = json!({ "Records": [queue_record("m", &body(&which))] });
    // The table says when it is tried again, so the queue is done with it.
    assert!(notify.invoke(event).await.handed_back().is_empty());
    assert_eq!(bench.state(&which).await, IntentState::Pending);
    // By the queue's own delay, within a minute.
    bench
        .vendor
        .behave(OUT, Manner::Status(StatusCode::NO_CONTENT));
    eventually("the second attempt", async || {
        bench.drain(&notify).await;
        (bench.state(&which).await == IntentState::Delivered).then_some(())
    })
    .await;
    let keys = bench.delivered();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]), "one key for both");
}

#[tokio::test]
async fn a_poison_record_holds_up_nothing_and_everything_is_looked_at_again() {
    let bench = Bench::new().await;
    let api = bench.start("api").await;
    let mut records = Vec::new();
    let mut poison = None;
    for number in 0..5 {
        let sku = format!("SKU-{number}");
        count(&api, &sku, 1).await;
        let mut row = bench.position(&sku).await;
        if number == 2 {
            // A row that no version of this program has written.
            row.insert(
                "d".to_owned(),
                AttributeValue::S("not a position".to_owned()),
            );
            poison = Some(row.clone());
        }
        records.push(record(&row, number));
    }
    let evaluate = bench.start("evaluate").await;
    // The evaluator gives it up by itself: nothing depends on what the mapping makes of the batch.
    assert!(
        evaluate
            .invoke(batch(&records))
            .await
            .handed_back()
            .is_empty()
    );
    assert_eq!(open(&bench).await, ["SKU-0", "SKU-1", "SKU-3", "SKU-4"]);

    // What the mapping gives up a letter tells of. Soon everything is looked at again, but for that.
    bench.store_row(poison.unwrap()).await;
    count(&api, "SKU-5", 1).await;
    let letter =
        json!({ "DDBStreamBatchInfo": { "startSequenceNumber": sequence(2), "batchSize": 1 } });
    let letters = json!({ "Records": [queue_record("letter", &letter.to_string())] });
    assert!(evaluate.invoke(letters).await.handed_back().is_empty());
    let planned = bench.store.job("given-up").await.unwrap().unwrap();
    assert!(bench.store.begin_job(&planned).await.unwrap());
    let job = bench.rows("J#given-up").await.remove(0);
    let page = batch(&[record(&job, 9)]);
    assert!(evaluate.invoke(page).await.handed_back().is_empty());
    for part in bench.store.parts_under_way().await.unwrap() {
        let job = bench.rows(&format!("J#{}", part.id)).await.remove(0);
        let page = batch(&[record(&job, 9)]);
        assert!(evaluate.invoke(page).await.handed_back().is_empty());
    }
    assert_eq!(
        open(&bench).await,
        ["SKU-0", "SKU-1", "SKU-3", "SKU-4", "SKU-5"]
    );
}

/// The products with an open alert, in order.
async fn open(bench: &Bench) -> Vec<String> {
    let mut products = bench.alerts().await;
    products.sort();
    products
}
