//! A destination that does not answer delays no other of its kind.

use std::time::Duration;

use jiff::SignedDuration;
use shared::bus::IntentRef;
use shared::delivery::Delivered;
use shared::store::intents::IntentState;

use crate::handler::{batch, body};
use crate::world::{Answer, SLOWEST, World, webhooks};

const HANGS: &str = "hangs.example.com";
const WELL: &str = "well.example.com";

async fn burst(world: &World, from: usize) -> (Vec<IntentRef>, Vec<IntentRef>) {
    let mut hanging = Vec::new();
    let mut well = Vec::new();
    for alert in from..from + 5 {
        let mut both = world.open(&format!("a{alert}"), &["hangs", "well"]).await;
        well.extend(both.pop());
        hanging.extend(both.pop());
    }
    (hanging, well)
}

fn messages(hanging: &[IntentRef], well: &[IntentRef]) -> Vec<String> {
    hanging.iter().chain(well).map(body).collect()
}

#[tokio::test(start_paused = true)]
async fn a_well_destination_is_served_at_once_while_another_hangs() {
    let world = World::new(&webhooks(&[("hangs", ""), ("well", "")])).await;
    world.vendors.always(HANGS, Answer::Silence);
    let notifier = world.notifier();
    let start = world.clock.now();
    // Those that hang come first in the batch.
    let (hanging, well) = burst(&world, 0).await;
    let bodies = messages(&hanging, &well);
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let response = notifier.handle(batch(&bodies), world.deadline()).await;
    assert!(response.batch_item_failures.is_empty());
    let seen = world.vendors.seen(WELL);
    assert_eq!(seen.len(), 5);
    for request in seen {
        assert!(request.at.duration_since(start) < SignedDuration::from_secs(1));
    }

    // After its first slowness nobody waits for the other again, in no batch of the burst.
    let tried = world.vendors.seen(HANGS).len();
    for round in 1..5 {
        let before = world.clock.now();
        let (hanging, well) = burst(&world, 5 * round).await;
        let bodies = messages(&hanging, &well);
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        notifier.handle(batch(&bodies), world.deadline()).await;
        let took = world.clock.now().duration_since(before);
        assert!(took < SignedDuration::from_secs(1), "{took}");
        for which in &well {
            assert_eq!(world.intent(which).await.state, IntentState::Delivered);
        }
    }
    assert_eq!(world.vendors.seen(HANGS).len(), tried);
}

#[tokio::test(start_paused = true)]
async fn one_slow_attempt_sets_a_destination_aside_and_a_quick_failure_does_not() {
    let world = World::new(&webhooks(&[("hangs", ""), ("well", "")])).await;
    world.vendors.first(HANGS, [Answer::Silence]);
    world.vendors.first(WELL, [Answer::Status(500)]);
    for which in world.open("a1", &["hangs", "well"]).await {
        world.look(&which).await;
    }
    assert!(!world.destination("hangs").await.breaker.is_closed());
    assert!(world.destination("well").await.breaker.is_closed());
    // It is asked again before long, and is back with its first answer.
    tokio::time::sleep(SLOWEST + Duration::from_secs(40)).await;
    let again = world.open("a2", &["hangs"]).await.remove(0);
    world.drive(&again).await;
    assert!(world.destination("hangs").await.breaker.is_closed());
}

/// One answer that did not come: what follows waits for some seconds, not for half a minute.
#[tokio::test(start_paused = true)]
async fn what_follows_one_answer_that_hangs_is_soon_sent() {
    let world = World::new(&webhooks(&[("hangs", "")])).await;
    world.vendors.first(HANGS, [Answer::Silence]);
    let first = world.open("a1", &["hangs"]).await.remove(0);
    world.look(&first).await;
    let start = world.clock.now();
    let mut waiting = Vec::new();
    for alert in 2..12 {
        waiting.extend(world.open(&format!("a{alert}"), &["hangs"]).await);
    }
    let sent = waiting.iter().map(|which| world.drive(which));
    futures::future::join_all(sent).await;
    let took = world.clock.now().duration_since(start);
    assert!(took < SignedDuration::from_secs(12), "{took}");
}

#[tokio::test(start_paused = true)]
async fn one_answer_that_never_came_is_forgotten_where_nothing_waits_for_it() {
    let once = "delivery = 'at_most_once'";
    let world = World::new(&webhooks(&[("hangs", once), ("well", "")])).await;
    world.vendors.always(HANGS, Answer::Silence);
    let first = world.open("a1", &["hangs"]).await.remove(0);
    world.drive(&first).await;
    for hour in 0..3 {
        let destination = world.destination("hangs").await;
        assert!(destination.is_waited_for(world.clock.now()));
        assert!(!destination.breaker.has_failed());
        tokio::time::sleep(Duration::from_secs(5 * 60)).await;
        let destination = world.destination("hangs").await;
        assert!(!destination.is_waited_for(world.clock.now()));
        // An hour later another is not answered: that is no run of failures.
        tokio::time::sleep(Duration::from_secs(55 * 60)).await;
        let next = world.open(&format!("b{hour}"), &["hangs"]).await.remove(0);
        world.drive(&next).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_down_is_said_to_be_for_as_long_as_a_message_waits() {
    let world = World::new(&webhooks(&[("hangs", "")])).await;
    world.vendors.always(HANGS, Answer::Silence);
    let which = world.open("a1", &["hangs"]).await.remove(0);
    let mut attempt = 0;
    while let Delivered::Again(wait) = world.look(&which).await {
        attempt += 1;
        let waited = world.clock.now() + wait;
        let destination = world.destination("hangs").await;
        assert!(destination.is_waited_for(waited), "after attempt {attempt}");
        assert_eq!(destination.breaker.has_failed(), attempt > 1);
        tokio::time::sleep(wait.unsigned_abs()).await;
    }
    assert!(attempt > 8, "{attempt}");
    tokio::time::sleep(Duration::from_secs(30 * 60)).await;
    let destination = world.destination("hangs").await;
    assert!(!destination.is_waited_for(world.clock.now()));
}
