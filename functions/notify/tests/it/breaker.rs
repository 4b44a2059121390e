//! The circuit breaker, shared by notifiers that share only the table.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use shared::bus::IntentRef;
use shared::delivery::Delivered;
use shared::store::intents::IntentState;

use crate::world::{Answer, World, webhooks};

const HOST: &str = "ops.example.com";

/// Fails five messages, which opens the circuit.
async fn tripped() -> Arc<World> {
    let world = World::new(&webhooks(&[("ops", ""), ("other", "")])).await;
    world.vendors.always(HOST, Answer::Status(503));
    for alert in 0..5 {
        let which = world
            .open(&format!("down{alert}"), &["ops"])
            .await
            .remove(0);
        assert!(matches!(world.look(&which).await, Delivered::Again(_)));
    }
    assert_eq!(world.vendors.count(), 5);
    Arc::new(world)
}

async fn waiting(world: &World, count: usize) -> Vec<IntentRef> {
    let mut intents = Vec::new();
    for alert in 0..count {
        intents.extend(world.open(&format!("new{alert}"), &["ops"]).await);
    }
    intents
}

/// Twenty notifiers at once, each with an intent of its own.
async fn all_look(world: &Arc<World>, intents: &[IntentRef]) -> Vec<Delivered> {
    let looks: Vec<_> = intents
        .iter()
        .map(|which| {
            let (world, which) = (world.clone(), which.clone());
            tokio::spawn(async move { world.look(&which).await })
        })
        .collect();
    let mut results = Vec::new();
    for look in looks {
        results.push(look.await.unwrap());
    }
    results
}

#[tokio::test(start_paused = true)]
async fn while_a_destination_is_down_messages_wait_without_counting_a_try() {
    let world = tripped().await;
    let intents = waiting(&world, 20).await;
    for look in all_look(&world, &intents).await {
        let Delivered::Again(wait) = look else {
            panic!("{look:?}");
        };
        assert!(wait >= SignedDuration::from_secs(29) && wait <= SignedDuration::from_secs(33));
    }
    assert_eq!(world.vendors.seen(HOST).len(), 5, "nothing was sent");
    for which in &intents {
        assert_eq!(world.intent(which).await.attempts, 0);
        assert!(world.attempts(which).await.is_empty());
    }
    // Another destination knows nothing of it.
    let other = world.open("other", &["other"]).await.remove(0);
    assert_eq!(
        world.look(&other).await,
        Delivered::Done(IntentState::Delivered)
    );
}

#[tokio::test(start_paused = true)]
async fn twenty_parallel_workers_send_one_probe_and_its_success_lets_all_through() {
    let world = tripped().await;
    let intents = waiting(&world, 20).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    world.vendors.always(HOST, Answer::Status(200));
    let looks = all_look(&world, &intents).await;
    assert_eq!(world.vendors.seen(HOST).len(), 6, "one probe");
    let delivered = |look: &&Delivered| **look == Delivered::Done(IntentState::Delivered);
    assert_eq!(looks.iter().filter(delivered).count(), 1);

    // The others come back when their wait is over, and none is lost.
    let states = intents
        .iter()
        .zip(&looks)
        .map(async |(which, look)| match look {
            Delivered::Again(wait) => {
                tokio::time::sleep(wait.unsigned_abs()).await;
                world.drive(which).await
            }
            _ => IntentState::Delivered,
        });
    let states = futures::future::join_all(states).await;
    assert_eq!(states, [IntentState::Delivered; 20]);
    assert_eq!(world.vendors.seen(HOST).len(), 25);
    assert!(
        world
            .store
            .breaker(&"ops".parse().unwrap())
            .await
            .unwrap()
            .is_closed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_keeps_the_others_away_for_longer() {
    let world = tripped().await;
    let intents = waiting(&world, 3).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(matches!(world.look(&intents[0]).await, Delivered::Again(_)));
    assert_eq!(world.vendors.seen(HOST).len(), 6);
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert!(matches!(world.look(&intents[1]).await, Delivered::Again(_)));
    assert_eq!(
        world.vendors.seen(HOST).len(),
        6,
        "a minute, not half of one"
    );
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(matches!(world.look(&intents[2]).await, Delivered::Again(_)));
    assert_eq!(world.vendors.seen(HOST).len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_notifier_died_is_followed_by_another() {
    let world = tripped().await;
    let intents = waiting(&world, 2).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    world.vendors.first(HOST, [Answer::Silence]);
    let dying = tokio::time::timeout(Duration::from_secs(1), world.look(&intents[0])).await;
    assert!(dying.is_err());
    assert!(matches!(world.look(&intents[1]).await, Delivered::Again(_)));
    assert_eq!(
        world.vendors.seen(HOST).len(),
        6,
        "the lost probe, and no other yet"
    );
    world.vendors.always(HOST, Answer::Status(200));
    tokio::time::sleep(Duration::from_secs(150)).await;
    assert_eq!(world.drive(&intents[1]).await, IntentState::Delivered);
    assert_eq!(world.drive(&intents[0]).await, IntentState::Delivered);
}

/// A vendor's limit is for all that is sent there.
#[tokio::test(start_paused = true)]
async fn what_a_vendor_puts_off_puts_off_what_comes_after_it_too() {
    let world = World::new(&webhooks(&[("ops", ""), ("other", "")])).await;
    world
        .vendors
        .first("ops.example.com", [Answer::After(429, 60)]);
    let start = world.clock.now();
    let first = world.open("a1", &["ops", "other"]).await;
    let mut waiting = first.clone();
    for which in &first {
        world.look(which).await;
    }
    for alert in ["a2", "a3"] {
        let which = world.open(alert, &["ops"]).await.remove(0);
        assert!(matches!(world.look(&which).await, Delivered::Again(_)));
        waiting.push(which);
    }
    assert_eq!(world.vendors.seen("ops.example.com").len(), 1);
    assert_eq!(world.vendors.seen("other.example.com").len(), 1);
    tokio::time::sleep(Duration::from_secs(75)).await;
    for which in &waiting {
        if which.channel.as_str() == "ops" {
            assert_eq!(world.drive(which).await, IntentState::Delivered);
        }
    }
    for seen in &world.vendors.seen("ops.example.com")[1..] {
        let since = seen.at.duration_since(start);
        assert!(since >= SignedDuration::from_secs(60), "{since}");
    }
}

/// A vendor may ask for a day, with the message that opens the circuit or with any other.
#[tokio::test(start_paused = true)]
async fn a_destination_that_asks_for_a_day_is_left_alone_for_an_hour() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let mut intents = Vec::new();
    // At once: none is held back by what another was answered.
    for alert in 0..8 {
        intents.extend(world.open(&format!("a{alert}"), &["ops"]).await);
    }
    let world = Arc::new(world);
    world
        .vendors
        .first(HOST, vec![Answer::After(503, 86_400); 8]);
    for look in all_look(&world, &intents).await {
        assert!(matches!(look, Delivered::Again(_)), "{look:?}");
    }
    assert_eq!(world.vendors.count(), 8);
    tokio::time::sleep(Duration::from_secs(50 * 60)).await;
    world.look(&intents[0]).await;
    assert_eq!(world.vendors.count(), 8, "it is left alone");
    tokio::time::sleep(Duration::from_secs(25 * 60)).await;
    let delivered = Delivered::Done(IntentState::Delivered);
    assert_eq!(world.look(&intents[0]).await, delivered);
}

/// Too much at once is no outage: what it asks for is enough.
#[tokio::test(start_paused = true)]
async fn a_storm_to_a_vendor_that_takes_one_a_second_arrives_at_that_rate_the_gravest_first() {
    for asks in [Some(1), None] {
        let world = World::new(&webhooks(&[("ops", "")])).await;
        world
            .vendors
            .always(HOST, Answer::OneASecond { burst: 3, asks });
        let start = world.clock.now();
        let mut all = Vec::new();
        for n in 0..200 {
            let alert = match n % 10 {
                0 => format!("grave{n}"),
                _ => format!("a{n}"),
            };
            all.extend(world.open(&alert, &["ops"]).await);
        }
        for which in &all {
            world.announce(which).await;
        }
        let pump = world.notifying();
        tokio::time::sleep(Duration::from_secs(2 * 200)).await;
        let destination = world.destination("ops").await;
        assert!(destination.breaker.is_closed(), "{asks:?}");
        let seen = world.vendors.seen(HOST);
        for which in &all {
            let intent = world.intent(which).await;
            assert_eq!(intent.state, IntentState::Delivered, "{asks:?} {which:?}");
            let tried = seen.iter().filter(|seen| seen.key == intent.key()).count();
            assert_eq!(usize::try_from(intent.attempts), Ok(tried), "{which:?}");
            assert_eq!(intent.attempts - intent.forgiven, 1, "{which:?}");
            if which.alert.starts_with("grave") {
                let took = intent.delivered_at().unwrap().duration_since(start);
                assert!(
                    took < SignedDuration::from_secs(60),
                    "{asks:?} {which:?}: {took}"
                );
            }
        }
        pump.stop().await;
    }
}

/// Nobody is told of a failure, and nobody waits for longer than a minute after the limit ends.
#[tokio::test(start_paused = true)]
async fn a_vendor_that_takes_nothing_and_does_not_say_for_how_long_is_asked_each_minute() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    world.vendors.always(HOST, Answer::Status(429));
    let which = world.open("a1", &["ops"]).await.remove(0);
    let deliverer = world.deliverer();
    let start = world.clock.now();
    let look = async || match deliverer.deliver(&which, world.deadline()).await.unwrap() {
        Delivered::Again(wait) => tokio::time::sleep(wait.unsigned_abs()).await,
        other => panic!("{other:?}"),
    };
    while world.clock.now().duration_since(start) < SignedDuration::from_mins(20) {
        look().await;
    }
    let at: Vec<_> = world
        .vendors
        .seen(HOST)
        .iter()
        .map(|seen| seen.at)
        .collect();
    let apart = |pair: &[jiff::Timestamp]| pair[1].duration_since(pair[0]).as_secs();
    let apart: Vec<_> = at.windows(2).map(apart).collect();
    assert!((15..30).contains(&at.len()), "{apart:?}");
    assert!(apart.iter().all(|apart| *apart < 75), "{apart:?}");
    assert!(apart[0] < 3, "{apart:?}");
    let destination = world.destination("ops").await;
    assert!(destination.is_limited(world.clock.now()));
    assert!(destination.breaker.is_closed());
    assert_eq!(world.intent(&which).await.state, IntentState::Pending);
}
