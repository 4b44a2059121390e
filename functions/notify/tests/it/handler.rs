//! Batches: each record is done or comes back on its own, and a retry fires when it is due.

use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use jiff::{SignedDuration, Timestamp};
use notify::{Settled, each_record};
use shared::bus::IntentRef;
use shared::store::intents::IntentState;

use crate::world::{Answer, FAILURES, QUEUE, World, webhooks};

const HOST: &str = "ops.example.com";

pub(crate) fn batch(bodies: &[&str]) -> SqsEvent {
    let records = bodies.iter().enumerate().map(|(number, body)| {
        let mut record = SqsMessage::default();
        record.message_id = Some(format!("m{number}"));
        record.body = Some((*body).to_owned());
        record
    });
    let mut event = SqsEvent::default();
    event.records = records.collect();
    event
}

pub(crate) fn body(which: &IntentRef) -> String {
    serde_json::to_string(which).unwrap()
}

fn failed(response: &SqsBatchResponse) -> Vec<&str> {
    let failures = response.batch_item_failures.iter();
    failures
        .map(|failure| failure.item_identifier.as_str())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_looked_at_fails_alone() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let notifier = world.notifier();
    let good = world.open("a1", &["ops"]).await.remove(0);
    let unknown = IntentRef {
        alert: "nobody".into(),
        ..good.clone()
    };
    let event = batch(&["{not json", &body(&good), &body(&unknown), ""]);
    let response = notifier.handle(event, world.deadline()).await;
    assert_eq!(failed(&response), ["m0", "m2", "m3"]);
    assert_eq!(world.intent(&good).await.state, IntentState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_would_start_too_late_goes_back_untouched() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let notifier = world.notifier();
    let which = world.open("a1", &["ops"]).await.remove(0);
    let soon = world.clock.now() + SignedDuration::from_secs(5);
    let response = notifier.handle(batch(&[&body(&which)]), soon).await;
    assert_eq!(failed(&response), ["m0"]);
    assert_eq!(
        (world.intent(&which).await.attempts, world.vendors.count()),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_takes_only_its_own_record_along() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let handled = std::sync::Mutex::new(Vec::new());
    let event = batch(&["fine", "boom", "fine too"]);
    let handle = async |record: SqsMessage| {
        let body = record.body.unwrap();
        tokio::task::yield_now().await;
        assert_ne!(body, "boom");
        handled.lock().unwrap().push(body);
        Settled::Done
    };
    let response = each_record(event, &world.clock, Timestamp::MAX, handle).await;
    assert_eq!(failed(&response), ["m1"]);
    assert_eq!(*handled.lock().unwrap(), ["fine", "fine too"]);
}

#[tokio::test(start_paused = true)]
async fn a_short_wait_is_the_queues_and_fires_when_it_is_due() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let pump = world.notifying();
    world
        .vendors
        .first(HOST, [Answer::After(429, 30), Answer::Status(503)]);
    let which = world.open("a1", &["ops"]).await.remove(0);
    world.announce(&which).await;
    // No clock runs here: what comes back, the queue brings.
    tokio::time::sleep(Duration::from_secs(300)).await;
    pump.idle().await;
    let seen = world.vendors.seen(HOST);
    let gaps: Vec<_> = seen
        .windows(2)
        .map(|two| two[1].at.duration_since(two[0].at))
        .collect();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    // What the vendor asked for and up to a fifth more, which counts as no try; then 5 s ± 20 %; each plus the
    // rounding.
    assert!(
        gaps[0] >= SignedDuration::from_secs(30) && gaps[0] <= SignedDuration::from_secs(38),
        "{gaps:?}"
    );
    assert!(
        gaps[1] >= SignedDuration::from_secs(4) && gaps[1] <= SignedDuration::from_secs(8),
        "{gaps:?}"
    );
    assert_eq!(world.intent(&which).await.state, IntentState::Delivered);
    assert!(world.messages(FAILURES).await.is_empty());
    pump.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_is_the_clocks_and_leaves_the_queue_empty() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let notifier = world.notifier();
    world.vendors.first(HOST, [Answer::After(429, 3_600)]);
    let which = world.open("a1", &["ops"]).await.remove(0);
    let response = notifier
        .handle(batch(&[&body(&which)]), world.deadline())
        .await;
    assert!(failed(&response).is_empty());
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert!(world.messages(QUEUE).await.is_empty());
    let intent = world.intent(&which).await;
    assert_eq!(intent.due_at, intent.not_before);
    assert!(intent.due_at > world.clock.now());
}

#[tokio::test(start_paused = true)]
async fn only_poison_ends_in_the_dead_letter_queue() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let pump = world.notifying();
    world.vendors.always(HOST, Answer::Status(410));
    let refused = world.open("a1", &["ops"]).await.remove(0);
    world.announce(&refused).await;
    let url = world.aws.queues().find(QUEUE).unwrap().url();
    world
        .aws
        .sqs()
        .send_message()
        .queue_url(url)
        .message_body("poison")
        .send()
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    pump.idle().await;
    assert_eq!(world.messages(FAILURES).await, ["poison"]);
    assert_eq!(world.intent(&refused).await.state, IntentState::Rejected);
    assert_eq!(world.vendors.seen(HOST).len(), 1);
    pump.stop().await;
}

/// SNS and SQS may repeat a message; each look but the first finds nothing to do.
#[tokio::test(start_paused = true)]
async fn a_message_that_comes_many_times_is_delivered_once() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let pump = world.notifying();
    let which = world.open("a1", &["ops"]).await.remove(0);
    let intent = world.intent(&which).await;
    world.bus.announce(&vec![intent; 30]).await;
    pump.idle().await;
    assert_eq!(world.vendors.count(), 1);
    assert_eq!(world.intent(&which).await.state, IntentState::Delivered);
    pump.stop().await;
}

/// The sample invocations are what the handler takes.
#[tokio::test(start_paused = true)]
async fn the_sample_events_are_handled() {
    let world = World::new(&webhooks(&[("buyers", "")])).await;
    let notifier = world.notifier();
    let alert = "0199b6a1-7c3e-7d52-9d0c-5b1f0c2a4e11";
    let which = world.open(alert, &["buyers"]).await.remove(0);
    let one = include_str!("../../../../events/notify/one-intent.json");
    let event: SqsEvent = serde_json::from_str(one).unwrap();
    let response = notifier.handle(event, world.deadline()).await;
    assert!(failed(&response).is_empty());
    assert_eq!(world.intent(&which).await.state, IntentState::Delivered);
    let poison = include_str!("../../../../events/notify/poison.json");
    let event: SqsEvent = serde_json::from_str(poison).unwrap();
    let id = event.records[0].message_id.clone().unwrap();
    let response = notifier.handle(event, world.deadline()).await;
    assert_eq!(failed(&response), [id]);
}
