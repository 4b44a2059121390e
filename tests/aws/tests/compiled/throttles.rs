//! A table that has enough in the middle of a batch.

use std::collections::BTreeSet;

use aws_tests::bench::{Bench, body, queue_record};
use aws_tests::eventually;
use aws_tests::requests::count;
use aws_tests::stream::{batch, record, sequence};
use aws_tests::throttle::{Exception, Throttle};
use jiff::SignedDuration;
use serde_json::json;
use shared::store::intents::IntentState;

#[tokio::test]
async fn a_stream_record_whose_alert_the_table_refused_comes_back_with_what_follows_and_nothing_is_lost()
 {
    let bench = Bench::new().await;
    let api = bench.start("api").await;
    let mut records = Vec::new();
    for number in 0..5 {
        let sku = format!("SKU-{number}");
        count(&api, &sku, 1).await;
        records.push(record(&bench.position(&sku).await, number));
    }
    let table = Throttle::start().await;
    let aws = table.url();
    let evaluate = bench
        .start_with("evaluate", "$LATEST", &[("AWS_ENDPOINT_URL", aws.as_str())])
        .await;
    // Read it still was; from the write of its alert on the table takes nothing.
    let exception = Exception::ProvisionedThroughputExceededException;
    table.begin_at("TransactWriteItems", &["SKU-2"], exception);
    // It waits for the table for three quarters of its time.
    let time = SignedDuration::from_secs(8);
    let failed = evaluate.invoke_within(batch(&records), time).await;
    assert_eq!(failed.handed_back(), [sequence(2)]);
    let refused = table.calm();
    let writes = refused.iter().filter(|call| *call == "TransactWriteItems");
    assert!(writes.count() > 1, "it was tried again: {refused:?}");
    assert_eq!(products(&bench).await, ["SKU-0", "SKU-1"]);

    // As the mapping goes on: from that record on, again. This time the table comes round meanwhile.
    table.begin_at("TransactWriteItems", &["SKU-3"], exception);
    let (again, ()) = tokio::join!(evaluate.invoke(batch(&records[2..])), async {
        eventually("the table has enough", async || {
            table.refuses().then_some(())
        })
        .await;
        table.calm();
    });
    assert!(again.handed_back().is_empty());
    assert_eq!(
        products(&bench).await,
        ["SKU-0", "SKU-1", "SKU-2", "SKU-3", "SKU-4"]
    );
    assert_eq!(bench.intents().await.len(), 5, "each is told once");
}

#[tokio::test]
async fn a_message_whose_attempt_the_table_did_not_record_comes_back_and_is_sent_under_the_same_key()
 {
    let bench = Bench::new().await;
    let mut whiches = Vec::new();
    let mut records = Vec::new();
    for number in 0..4 {
        let which = bench.open(&format!("alert-{number}")).await;
        records.push(queue_record(&format!("m{number}"), &body(&which)));
        whiches.push(which);
    }
    let table = Throttle::start().await;
    let aws = table.url();
    let notify = bench
        .start_with("notify", "$LATEST", &[("AWS_ENDPOINT_URL", aws.as_str())])
        .await;
    // They are sent side by side. From the write on that would say that the vendor took the second, the
    // table takes nothing.
    let attempt = ["A#alert-1", "duration_ms"];
    table.begin_at("PutItem", &attempt, Exception::ThrottlingException);
    let event = json!({ "Records": records });
    let failed = notify.invoke(event).await.handed_back();
    assert!(failed.iter().any(|id| id == "m1"), "{failed:?}");
    let first = bench.delivered();
    assert!(!table.calm().is_empty());

    // The queue brings those again; each that was sent when its lease is over.
    let again = records.iter().zip(["m0", "m1", "m2", "m3"]);
    let again: Vec<_> = again
        .filter(|(_, id)| failed.iter().any(|failed| failed == id))
        .map(|(record, _)| record)
        .collect();
    let event = json!({ "Records": again });
    eventually("every alert is delivered", async || {
        assert!(notify.invoke(event.clone()).await.handed_back().is_empty());
        for which in &whiches {
            if bench.state(which).await != IntentState::Delivered {
                return None;
            }
        }
        Some(())
    })
    .await;
    let sent = bench.delivered();
    let keys: BTreeSet<_> = sent.iter().collect();
    assert_eq!(keys.len(), 4, "{sent:?}");
    for key in keys {
        let times = sent.iter().filter(|sent| *sent == key).count();
        assert!(
            times <= 2 && (times == 1 || first.contains(key)),
            "{sent:?}"
        );
    }
}

/// The products with an open alert, in order.
async fn products(bench: &Bench) -> Vec<String> {
    let mut products = bench.alerts().await;
    products.sort();
    products
}
