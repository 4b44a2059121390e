//! One intent: told once, whatever happens around the call.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use jiff::SignedDuration;
use shared::delivery::{Delivered, Wire, backoff};
use shared::http::{Guard, Http, HttpSettings};
use shared::store::intents::IntentState;
use wiremock::matchers::{header_exists, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::world::{Answer, SECRET, World, crash_after, webhooks};

/// Over real connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_parallel_workers_send_one_message() {
    let vendor = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/hook"))
        .and(header_exists("webhook-signature"))
        .respond_with(ResponseTemplate::new(204).set_delay(Duration::from_millis(50)))
        .expect(1)
        .mount(&vendor)
        .await;
    let channel = format!(
        "[channels.ops]\nkind = 'webhook'\nurl = '{}/hook'\nsecret = 'env:SECRET'\n",
        vendor.uri()
    );
    let world = Arc::new(World::new(&channel).await);
    let which = world.open("a1", &["ops"]).await.remove(0);
    let guard = Guard::new(vec!["127.0.0.1".parse().unwrap()]);
    let http = Http::new(HttpSettings {
        guard,
        ..HttpSettings::default()
    })
    .unwrap();

    let workers: Vec<_> = (0..50)
        .map(|_| {
            let (world, which, http) = (world.clone(), which.clone(), http.clone());
            tokio::spawn(async move {
                let deliverer = world.deliverer_over(Arc::new(Wire(Arc::new(http))));
                deliverer.deliver(&which, world.deadline()).await.unwrap()
            })
        })
        .collect();
    let mut delivered = 0;
    for worker in workers {
        match worker.await.unwrap() {
            Delivered::Done(IntentState::Delivered) => delivered += 1,
            Delivered::Waiting | Delivered::Settled => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(delivered, 1);
    assert_eq!(world.outcomes(&which).await, ["delivered"]);
    assert_eq!(world.look(&which).await, Delivered::Settled);
}

/// A process may end at any await, before, during or after the call.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_point_costs_at_most_one_extra_message_under_the_same_key() {
    let world = World::yielding(&webhooks(&[("ops", "")])).await;
    let (mut without_call, mut with_extra) = (0, 0);
    for polls in 0.. {
        let alert = format!("a{polls}");
        let which = world.open(&alert, &["ops"]).await.remove(0);
        let before = world.vendors.seen("ops.example.com").len();
        let deliverer = world.deliverer();
        let crashed = crash_after(polls, deliverer.deliver(&which, world.deadline())).await;
        let at_crash = world.vendors.seen("ops.example.com").len() - before;

        // What the crash left behind runs out; whoever comes next finishes the work.
        tokio::time::sleep(Duration::from_secs(120)).await;
        let again = world.look(&which).await;
        let seen = world.vendors.seen("ops.example.com").split_off(before);
        assert!(
            matches!(
                again,
                Delivered::Done(IntentState::Delivered) | Delivered::Settled
            ),
            "after {polls} polls: {again:?}"
        );
        assert_eq!(world.intent(&which).await.state, IntentState::Delivered);
        assert!(seen.len() <= 2, "after {polls} polls: {seen:?}");
        assert!(seen.iter().all(|request| request.key == seen[0].key));
        let outcomes = world.outcomes(&which).await;
        if seen.len() == 2 {
            // The lost one is on record: the ledger counts what the vendor counts.
            assert_eq!(outcomes, ["unknown", "delivered"], "after {polls} polls");
        }
        assert_eq!(outcomes.last().unwrap(), "delivered");
        without_call += usize::from(at_crash == 0);
        with_extra += usize::from(seen.len() == 2);
        if crashed.is_some() {
            break;
        }
    }
    // The points of crashing did lie on both sides of the call.
    assert!(
        without_call > 5 && with_extra >= 2,
        "{without_call} {with_extra}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_fails_neither_repeats_nor_delays_the_others() {
    let names = ["one", "two", "three", "four"];
    let channels: Vec<_> = names.iter().map(|name| (*name, "")).collect();
    let world = World::new(&webhooks(&channels)).await;
    world
        .vendors
        .first("two.example.com", vec![Answer::Status(503); 5]);
    let intents = world.open("a1", &names).await;
    let start = world.clock.now();
    let states = futures::future::join_all(intents.iter().map(|which| world.drive(which))).await;
    assert_eq!(states, [IntentState::Delivered; 4]);
    for name in names {
        let seen = world.vendors.seen(&format!("{name}.example.com"));
        assert_eq!(seen.len(), if name == "two" { 6 } else { 1 }, "{name}");
        if name != "two" {
            assert!(seen[0].at.duration_since(start) < SignedDuration::from_secs(1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_vendors_retry_after_is_a_floor() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    world
        .vendors
        .first("ops.example.com", [Answer::After(429, 7)]);
    let which = world.open("a1", &["ops"]).await.remove(0);
    let Delivered::Again(wait) = world.look(&which).await else {
        panic!("a 429 is tried again");
    };
    assert!(wait >= SignedDuration::from_secs(7), "{wait}");
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    assert_eq!(world.look(&which).await, Delivered::Waiting, "not yet");
    assert_eq!(world.vendors.count(), 1);
    tokio::time::sleep(wait.unsigned_abs() - Duration::from_millis(4_500)).await;
    assert_eq!(
        world.look(&which).await,
        Delivered::Done(IntentState::Delivered)
    );
    let seen = world.vendors.seen("ops.example.com");
    assert!(seen[1].at.duration_since(seen[0].at) >= SignedDuration::from_secs(7));
    assert_eq!(world.outcomes(&which).await, ["retry", "delivered"]);
}

#[tokio::test(start_paused = true)]
async fn the_whole_schedule_ends_within_a_day_and_the_ledger_counts_what_the_vendor_counts() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    world.vendors.always("ops.example.com", Answer::Status(503));
    let which = world.open("a1", &["ops"]).await.remove(0);
    let start = world.clock.now();
    assert_eq!(world.drive(&which).await, IntentState::Exhausted);
    let took = world.clock.now().duration_since(start);
    assert!(
        took > SignedDuration::from_hours(14) && took < SignedDuration::from_hours(25),
        "{took}"
    );

    let seen = world.vendors.seen("ops.example.com");
    let attempts = world.attempts(&which).await;
    assert_eq!(seen.len(), backoff::attempts());
    assert_eq!(attempts.len(), seen.len());
    for (attempt, (number, request)) in attempts.iter().zip((1..).zip(&seen)) {
        assert_eq!((attempt.number, attempt.status), (number, Some(503)));
        assert_eq!(attempt.at, request.at);
        assert!(attempt.duration_ms >= 40);
        assert_eq!(request.key, seen[0].key);
    }
    let gaps: Vec<_> = seen
        .windows(2)
        .map(|two| two[1].at.duration_since(two[0].at))
        .collect();
    assert!(gaps.is_sorted(), "{gaps:?}");
    assert_eq!(world.look(&which).await, Delivered::Settled);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_repeated_unless_the_channel_is_at_most_once() {
    let channels = webhooks(&[("often", ""), ("once", "delivery = 'at_most_once'")]);
    let world = World::new(&channels).await;
    for host in ["often.example.com", "once.example.com"] {
        world.vendors.first(host, [Answer::Lost]);
    }
    let intents = world.open("a1", &["often", "once"]).await;
    assert_eq!(world.drive(&intents[0]).await, IntentState::Delivered);
    assert_eq!(world.outcomes(&intents[0]).await, ["unknown", "delivered"]);
    assert_eq!(world.drive(&intents[1]).await, IntentState::Rejected);
    assert_eq!(world.outcomes(&intents[1]).await, ["unknown"]);
    assert_eq!(world.vendors.seen("once.example.com").len(), 1);
    let words = world.intent(&intents[1]).await.last_outcome.unwrap();
    assert!(
        words.starts_with("unknown: no answer from once.example.com"),
        "{words}"
    );
}

/// The crash may have come after the vendor took the message, so it is not sent again.
#[tokio::test(start_paused = true)]
async fn a_channel_that_is_at_most_once_stays_so_across_a_crash_at_any_point() {
    let world = World::yielding(&webhooks(&[("once", "delivery = 'at_most_once'")])).await;
    let mut given_up = 0;
    for polls in 0.. {
        let which = world.open(&format!("a{polls}"), &["once"]).await.remove(0);
        let before = world.vendors.count();
        let deliverer = world.deliverer();
        let crashed = crash_after(polls, deliverer.deliver(&which, world.deadline())).await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        world.look(&which).await;
        assert!(world.vendors.count() - before <= 1, "after {polls} polls");
        let state = world.intent(&which).await.state;
        assert_ne!(state, IntentState::Pending, "after {polls} polls");
        given_up += usize::from(state == IntentState::Rejected);
        if crashed.is_some() {
            break;
        }
    }
    assert!(given_up > 2, "{given_up}");
}

/// A later look at a channel that is at most once would take it for sent, and never send it.
#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_not_said_to_be_on_its_way_whichever_call_to_the_table_fails() {
    for (secret, end) in [
        (Some(SECRET), IntentState::Delivered),
        (None, IntentState::NotSent),
    ] {
        let channels = webhooks(&[("once", "delivery = 'at_most_once'"), ("other", "")]);
        let (world, fails) = World::with_failures(&channels).await;
        world.set("SECRET", secret);
        for call in 1.. {
            let which = world.open(&format!("a{call}"), &["once"]).await.remove(0);
            let before = world.vendors.count();
            let deliverer = world.deliverer();
            fails.after.store(call, SeqCst);
            let looked = deliverer.deliver(&which, world.deadline()).await;
            let never_came = fails.after.swap(0, SeqCst) > 0;
            let intent = world.intent(&which).await;
            if never_came {
                assert_eq!(looked.unwrap(), Delivered::Done(end));
                assert!(call > 4, "{call}");
                break;
            }
            let sent = world.vendors.count() > before;
            assert!(sent || !intent.in_flight, "call {call}: {intent:?}");
            if !sent {
                assert_eq!(world.drive(&which).await, end, "call {call}");
            }
        }
    }
}

/// Whoever finds that the one before may have sent it must not forget that when it fails itself.
#[tokio::test(start_paused = true)]
async fn a_message_that_may_have_left_stays_so_whichever_call_of_the_next_look_fails() {
    let (world, fails) =
        World::with_failures(&webhooks(&[("once", "delivery = 'at_most_once'")])).await;
    for call in 1..8 {
        let which = world.open(&format!("a{call}"), &["once"]).await.remove(0);
        // Somebody took it, and was never heard of again.
        let (alert, revision) = (which.alert.as_str(), which.revision);
        let span = SignedDuration::from_secs(60);
        let lease = world.store.lease(alert, revision, &which.channel, span);
        lease.await.unwrap();
        tokio::time::sleep(Duration::from_secs(120)).await;
        fails.after.store(call, SeqCst);
        drop(world.deliverer().deliver(&which, world.deadline()).await);
        fails.after.store(0, SeqCst);
        tokio::time::sleep(Duration::from_secs(120)).await;
        world.look(&which).await;
        let state = world.intent(&which).await.state;
        assert_eq!(state, IntentState::Rejected, "{call}");
    }
    assert_eq!(world.vendors.count(), 0);
}

/// Its lease is over, and by then somebody else may have sent it.
#[tokio::test(start_paused = true)]
async fn who_was_held_up_past_its_lease_does_not_send() {
    let (world, held_up) = World::with_hold_ups(&webhooks(&[("ops", "")])).await;
    let which = world.open("a1", &["ops"]).await.remove(0);
    let (late, other) = (world.deliverer(), world.deliverer());
    let deadline = world.clock.now() + SignedDuration::from_mins(15);
    held_up.after_next_lease.store(true, SeqCst);
    let (late, other) = tokio::join!(late.deliver(&which, deadline), async {
        tokio::time::sleep(Duration::from_secs(120)).await;
        other.deliver(&which, deadline).await
    });
    assert_eq!(other.unwrap(), Delivered::Done(IntentState::Delivered));
    assert_eq!(late.unwrap(), Delivered::Waiting);
    assert_eq!(world.vendors.count(), 1);
    // A lease that ran out may have been a send.
    assert_eq!(world.outcomes(&which).await, ["unknown", "delivered"]);
}

/// With nobody else at it, it is only late.
#[tokio::test(start_paused = true)]
async fn what_was_held_up_alone_is_sent_at_the_next_look() {
    let (world, held_up) = World::with_hold_ups(&webhooks(&[("ops", "")])).await;
    let which = world.open("a1", &["ops"]).await.remove(0);
    held_up.after_next_lease.store(true, SeqCst);
    let deadline = world.clock.now() + SignedDuration::from_mins(15);
    let looked = world.deliverer().deliver(&which, deadline).await.unwrap();
    assert_eq!(looked, Delivered::Again(SignedDuration::ZERO));
    assert_eq!(world.vendors.count(), 0);
    assert_eq!(world.drive(&which).await, IntentState::Delivered);
    assert_eq!(world.outcomes(&which).await, ["delivered"]);
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_never_answers_is_given_up_in_time() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    world.vendors.first("ops.example.com", [Answer::Silence]);
    let which = world.open("a1", &["ops"]).await.remove(0);
    let start = world.clock.now();
    assert!(matches!(world.look(&which).await, Delivered::Again(_)));
    let took = world.clock.now().duration_since(start);
    assert!(took <= SignedDuration::from_secs(9), "{took}");
    assert_eq!(
        world.attempts(&which).await[0].detail.as_deref(),
        Some("no answer within 8 s")
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_for_a_channel_that_is_switched_off_or_gone_waits_and_nobody_is_alarmed() {
    let world = World::new(&webhooks(&[("off", "enabled = false"), ("on", "")])).await;
    let intents = world.open("a1", &["off", "gone"]).await;
    for (which, reason) in intents.iter().zip([
        "not_sent: channel `off` is switched off",
        "not_sent: channel `gone` is no longer in the configuration",
    ]) {
        assert_eq!(
            world.look(which).await,
            Delivered::Done(IntentState::NotSent)
        );
        let words = world.intent(which).await.last_outcome;
        assert_eq!(words.as_deref(), Some(reason));
        assert_eq!(
            world.destination(which.channel.as_str()).await.trouble,
            None
        );
    }
    assert_eq!(world.vendors.count(), 0);
    world
        .configure(&webhooks(&[("off", ""), ("gone", "")]))
        .await;
    for which in &intents {
        assert_eq!(world.drive(which).await, IntentState::Delivered);
    }
}

/// Its people would see the alert as open for ever.
#[tokio::test(start_paused = true)]
async fn an_end_that_came_while_its_channel_was_away_is_told_when_it_is_back() {
    for away in [
        webhooks(&[("ops", "enabled = false")]),
        webhooks(&[("other", "")]),
    ] {
        let world = World::new(&webhooks(&[("ops", "")])).await;
        let opened = world.open("heard", &["ops"]).await.remove(0);
        assert_eq!(world.drive(&opened).await, IntentState::Delivered);
        world.configure(&away).await;
        let end = world.resolve("heard", &["ops"]).await.remove(0);
        // What began and ended meanwhile a program is told, too, in its order.
        let unheard = world.open("unheard", &["ops"]).await.remove(0);
        world.look(&unheard).await;
        let unheard_end = world.resolve("unheard", &["ops"]).await.remove(0);
        for which in [&end, &unheard_end] {
            world.look(which).await;
        }
        world.configure(&webhooks(&[("ops", "")])).await;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(5 * 60)).await;
            for due in world.due().await {
                world.look(&due).await;
            }
        }
        assert_eq!(world.intent(&end).await.state, IntentState::Delivered);
        for which in [&unheard, &unheard_end] {
            assert_eq!(world.intent(which).await.state, IntentState::Delivered);
        }
        let seen = world.vendors.seen("ops.example.com");
        let told = |alert: &str| -> Vec<_> {
            let named = format!("\"alert\":\"{alert}\"");
            let ours = seen.iter().filter(|seen| seen.body.contains(&named));
            ours.map(|seen| seen.body.contains("stock.low_stock.resolved"))
                .collect()
        };
        assert_eq!(told("heard"), [false, true], "{away}");
        assert_eq!(told("unheard"), [false, true], "{away}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_permanent_refusal_is_final() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    world.vendors.always("ops.example.com", Answer::Status(410));
    let which = world.open("a1", &["ops"]).await.remove(0);
    assert_eq!(
        world.look(&which).await,
        Delivered::Done(IntentState::Rejected)
    );
    assert_eq!(world.look(&which).await, Delivered::Settled);
    assert_eq!(world.vendors.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_users_words_are_sent_and_the_end_is_told_in_the_same_thread() {
    let channels = "[channels.ops]\nkind = 'slack'\ntoken = 'env:TOKEN'\nchannel = 'C1'\n\
                    [templates.low_stock]\ntext = 'Order {{ product }} now'\n";
    let world = World::new(channels).await;
    world
        .environment
        .lock()
        .unwrap()
        .insert("TOKEN".into(), "xoxb-1".into());
    let accepted = r#"{"ok":true,"channel":"C1","ts":"17.1"}"#;
    world.vendors.always("slack.com", Answer::Body(accepted));
    let opened = world.open("a1", &["ops"]).await.remove(0);
    assert_eq!(world.drive(&opened).await, IntentState::Delivered);
    assert_eq!(
        world.intent(&opened).await.receipt.as_deref(),
        Some("C1/17.1")
    );
    let resolved = world.resolve("a1", &["ops"]).await.remove(0);
    assert_eq!(world.drive(&resolved).await, IntentState::Delivered);

    let seen = world.vendors.seen("slack.com");
    assert!(
        seen[0].body.contains("Order Oil 5W-40 now"),
        "{}",
        seen[0].body
    );
    assert!(!seen[0].body.contains("thread_ts"));
    assert!(
        seen[1].body.contains(r#""thread_ts":"17.1""#),
        "{}",
        seen[1].body
    );
}

#[tokio::test(start_paused = true)]
async fn a_channels_pace_is_kept_within_one_instance() {
    let world = World::new(&webhooks(&[("ops", "max_per_second = 2")])).await;
    let deliverer = world.deliverer();
    let mut intents = Vec::new();
    for alert in 0..16 {
        intents.extend(world.open(&format!("a{alert}"), &["ops"]).await);
    }
    let looks = intents
        .iter()
        .map(|which| deliverer.deliver(which, world.deadline()));
    let looks = futures::future::join_all(looks).await;
    let times: Vec<_> = world
        .vendors
        .seen("ops.example.com")
        .iter()
        .map(|s| s.at)
        .collect();
    for three in times.windows(3) {
        assert!(three[2].duration_since(three[0]) >= SignedDuration::from_millis(999));
    }
    // Who would have waited too long was put off, and no try counted.
    let put_off = intents
        .iter()
        .zip(looks)
        .filter(|(_, look)| matches!(look.as_ref().unwrap(), Delivered::Again(_)));
    let put_off: Vec<_> = put_off.map(|(which, _)| which).collect();
    assert_eq!(times.len() + put_off.len(), 16);
    assert!(!put_off.is_empty());
    assert_eq!(world.intent(put_off[0]).await.attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_graver_does_not_wait_behind_the_rest_for_its_turn() {
    let world = World::new(&webhooks(&[("ops", "max_per_second = 1")])).await;
    let pump = world.notifying();
    for alert in 0..30 {
        let which = world.open(&format!("a{alert}"), &["ops"]).await.remove(0);
        world.announce(&which).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for alert in ["grave-1", "grave-2"] {
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.announce(&which).await;
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    let seen = world.vendors.seen("ops.example.com");
    assert_eq!(seen.len(), 32);
    for grave in ["grave-1", "grave-2"] {
        let place = seen.iter().position(|seen| seen.key.contains(grave));
        let order: Vec<_> = seen.iter().map(|it| (&it.key, it.at)).collect();
        assert!(place.is_some_and(|place| place < 8), "{order:#?}");
    }
    pump.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_turn_comes_back_turn_by_turn() {
    let world = World::new(&webhooks(&[("ops", "max_per_second = 1")])).await;
    let deliverer = world.deliverer();
    let mut intents = Vec::new();
    for alert in 0..60 {
        intents.extend(world.open(&format!("a{alert}"), &["ops"]).await);
    }
    let looks = intents
        .iter()
        .map(|which| deliverer.deliver(which, world.deadline()));
    let looks = futures::future::join_all(looks).await.into_iter();
    let put_off = looks.filter_map(|look| match look.unwrap() {
        Delivered::Again(wait) => Some(wait),
        _ => None,
    });
    let mut waits: Vec<_> = put_off.collect();
    assert!(waits.len() > 50, "{waits:?}");
    waits.sort_unstable();
    for pair in waits.windows(2) {
        let apart = pair[1] - pair[0];
        let late = (apart - SignedDuration::from_secs(1)).abs();
        assert!(late < SignedDuration::from_millis(100), "{waits:?}");
    }
}
