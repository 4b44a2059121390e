//! Functions whose time is over in the middle of their work.

use std::collections::BTreeSet;

use aws_tests::bench::{Bench, OUT, body, queue_record};
use aws_tests::eventually;
use aws_tests::process::Answer;
use aws_tests::requests::count;
use aws_tests::stream::{batch, record};
use aws_tests::vendor::Manner;
use http::StatusCode;
use serde_json::json;
use shared::store::intents::IntentState;

#[tokio::test]
async fn a_notifier_killed_in_the_middle_of_a_batch_loses_nothing_and_doubles_only_under_the_same_key()
 {
    let bench = Bench::new().await;
    let mut whiches = Vec::new();
    let mut records = Vec::new();
    for number in 0..4 {
        let which = bench.open(&format!("alert-{number}")).await;
        records.push(queue_record(&format!("m{number}"), &body(&which)));
        whiches.push(which);
    }
    // They are sent side by side. The vendor takes them and says nothing; the function's time is over
    // while it waits.
    bench.vendor.behave(OUT, Manner::Silence);
    let event = json!({ "Records": records });
    let first = bench.start("notify").await;
    let (answer, ()) = tokio::join!(first.invoke(event.clone()), async {
        eventually("the vendor has it", async || {
            (!bench.delivered().is_empty()).then_some(())
        })
        .await;
        first.kill().await;
    });
    assert_eq!(answer, Answer::Died);
    let cut_off = bench.delivered();
    assert!(!cut_off.is_empty());

    // The queue brings the whole batch again, and what another still has in hand the clock brings
    // when that one's lease is over.
    bench
        .vendor
        .behave(OUT, Manner::Status(StatusCode::NO_CONTENT));
    let second = bench.start("notify").await;
    eventually("every alert is delivered", async || {
        assert!(second.invoke(event.clone()).await.handed_back().is_empty());
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
    assert_eq!(keys.len(), 4, "each of them, and under its own key");
    let doubled: Vec<_> = keys
        .into_iter()
        .filter(|key| sent.iter().filter(|sent| sent == key).count() == 2)
        .collect();
    assert_eq!(
        doubled,
        cut_off
            .iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>(),
        "only what was cut off was sent twice"
    );
    assert_eq!(sent.len(), 4 + cut_off.len());
}

#[tokio::test]
async fn an_evaluator_killed_before_it_answered_says_nothing_twice() {
    let bench = Bench::new().await;
    let api = bench.start("api").await;
    let mut records = Vec::new();
    for number in 0..40 {
        let sku = format!("SKU-{number:02}");
        count(&api, &sku, 1).await;
        let row = bench.position(&sku).await;
        records.push(record(&row, number));
    }
    let event = batch(&records);
    let first = bench.start("evaluate").await;
    let (answer, ()) = tokio::join!(first.invoke(event.clone()), async {
        eventually("it has begun", async || {
            (!bench.intents().await.is_empty()).then_some(())
        })
        .await;
        first.kill().await;
    });
    let begun = bench.intents().await.len();
    assert_eq!(answer, Answer::Died, "killed after {begun} of 40");
    assert!(begun < 40, "killed in the middle");

    let second = bench.start("evaluate").await;
    assert!(second.invoke(event).await.handed_back().is_empty());
    let alerts: BTreeSet<_> = bench.intents().await.into_iter().collect();
    assert_eq!(alerts.len(), 40);
    let announced = bench.alerts().await;
    assert_eq!(announced.len(), 40, "one alert for each");
}
