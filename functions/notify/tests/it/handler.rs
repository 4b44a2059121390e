//! Batches: each record is done or comes back on its own, and a retry fires when it is due.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::{Function, Pump, QueueAttributes, QueueMapping, Redrive, Subscription};
use notify::{Notifier, Settled, each_record};
use shared::bus::{Bus, IntentRef};
use shared::store::intents::IntentState;

use crate::world::{Answer, World, webhooks};

const HOST: &str = "ops.example.com";

fn batch(bodies: &[&str]) -> SqsEvent {
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

fn body(which: &IntentRef) -> String {
    serde_json::to_string(which).unwrap()
}

fn failed(response: &SqsBatchResponse) -> Vec<&str> {
    let failures = response.batch_item_failures.iter();
    failures
        .map(|failure| failure.item_identifier.as_str())
        .collect()
}

/// The queue of the channels, with a dead-letter queue, and its notifier.
fn notifier(world: &World) -> Notifier {
    let queues = world.aws.queues();
    let dead = queues.create("dead", QueueAttributes::default()).unwrap();
    let attributes = QueueAttributes {
        visibility_timeout: Duration::from_secs(60),
        redrive: Some(Redrive {
            dead_letter_arn: dead.arn(),
            maximum_receives: 3,
        }),
        ..QueueAttributes::default()
    };
    let queue = queues.create("webhook", attributes).unwrap();
    let url = queue.url().parse().unwrap();
    Notifier::new(world.deliverer(), world.clock.clone(), world.aws.sqs(), url)
}

/// The notifier behind its queue, and the topic that leads there.
fn running(world: &World) -> (Pump, Bus) {
    let notifier = Arc::new(notifier(world));
    let topic = world.aws.topics().create("alerts");
    let queue = world.aws.queues().find("webhook").unwrap();
    let policy = serde_json::json!({ "channel": ["webhook"] });
    let subscription = Subscription::raw_where(&policy).unwrap();
    world
        .aws
        .topics()
        .subscribe("alerts", &queue, subscription)
        .unwrap();
    let function = Function::new(
        "notify",
        Duration::from_secs(30),
        move |event, invocation: lotwire::engine::Invocation| {
            let notifier = notifier.clone();
            async move { Ok(notifier.handle(event, invocation.deadline).await) }
        },
    );
    let mut mapping = QueueMapping::new("webhook", function);
    mapping.report_batch_item_failures = true;
    let pump = Pump::builder(&world.aws).queue(mapping).start().unwrap();
    (pump, Bus::new(world.aws.sns(), topic))
}

async fn messages(world: &World, queue: &str) -> Vec<String> {
    let url = world.aws.queues().find(queue).unwrap().url();
    let received = world
        .aws
        .sqs()
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(10);
    let received = received.send().await.unwrap().messages.unwrap_or_default();
    received
        .into_iter()
        .filter_map(|message| message.body)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_looked_at_fails_alone() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let notifier = notifier(&world);
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
    let notifier = notifier(&world);
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
    let (pump, bus) = running(&world);
    world
        .vendors
        .first(HOST, [Answer::After(429, 30), Answer::Status(503)]);
    let which = world.open("a1", &["ops"]).await.remove(0);
    assert_eq!(bus.announce(&[world.intent(&which).await]).await, 1);
    // No clock runs here: what comes back, the queue brings.
    tokio::time::sleep(Duration::from_secs(300)).await;
    pump.idle().await;
    let seen = world.vendors.seen(HOST);
    let gaps: Vec<_> = seen
        .windows(2)
        .map(|two| two[1].at.duration_since(two[0].at))
        .collect();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    // What the vendor asked for and up to a fifth more; then 30 s ± 20 %; each plus the rounding.
    assert!(
        gaps[0] >= SignedDuration::from_secs(30) && gaps[0] <= SignedDuration::from_secs(38),
        "{gaps:?}"
    );
    assert!(
        gaps[1] >= SignedDuration::from_secs(24) && gaps[1] <= SignedDuration::from_secs(38),
        "{gaps:?}"
    );
    assert_eq!(world.intent(&which).await.state, IntentState::Delivered);
    assert!(messages(&world, "dead").await.is_empty());
    pump.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_is_the_clocks_and_leaves_the_queue_empty() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let notifier = notifier(&world);
    world.vendors.first(HOST, [Answer::After(429, 3_600)]);
    let which = world.open("a1", &["ops"]).await.remove(0);
    let response = notifier
        .handle(batch(&[&body(&which)]), world.deadline())
        .await;
    assert!(failed(&response).is_empty());
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert!(messages(&world, "webhook").await.is_empty());
    let intent = world.intent(&which).await;
    assert_eq!(intent.due_at, intent.not_before);
    assert!(intent.due_at > world.clock.now());
}

#[tokio::test(start_paused = true)]
async fn only_poison_ends_in_the_dead_letter_queue() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let (pump, bus) = running(&world);
    world.vendors.always(HOST, Answer::Status(410));
    let refused = world.open("a1", &["ops"]).await.remove(0);
    bus.announce(&[world.intent(&refused).await]).await;
    let url = world.aws.queues().find("webhook").unwrap().url();
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
    assert_eq!(messages(&world, "dead").await, ["poison"]);
    assert_eq!(world.intent(&refused).await.state, IntentState::Rejected);
    assert_eq!(world.vendors.seen(HOST).len(), 1);
    pump.stop().await;
}

/// SNS and SQS may repeat a message; each look but the first finds nothing to do.
#[tokio::test(start_paused = true)]
async fn a_message_that_comes_many_times_is_delivered_once() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let (pump, bus) = running(&world);
    let which = world.open("a1", &["ops"]).await.remove(0);
    let intent = world.intent(&which).await;
    bus.announce(&vec![intent; 30]).await;
    pump.idle().await;
    assert_eq!(world.vendors.count(), 1);
    assert_eq!(world.intent(&which).await.state, IntentState::Delivered);
    pump.stop().await;
}
