//! A channel that reaches nobody is told on the others, once, and what is still true is sent again.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use jiff::SignedDuration;
use shared::bus::IntentRef;
use shared::delivery::{Delivered, Wire};
use shared::domain::AlertKind;
use shared::domain::alert::{AlertState, RevisionKind};
use shared::http::{Http, HttpSettings};
use shared::installation::Installations;
use shared::store::alerts::Alert;
use shared::store::intents::IntentState;
use shared::store::resend::{Resend, Resent};

use crate::world::{Answer, World, webhooks};

async fn channel_alerts(world: &World, state: AlertState) -> Vec<Alert> {
    let page = world.store.alerts(state, None, 100).await.unwrap();
    let mut alerts = page.items;
    alerts.retain(|alert| alert.kind == AlertKind::ChannelDown);
    alerts
}

async fn intents_of(world: &World, alert: &Alert) -> Vec<IntentRef> {
    let intents = world.store.intents_of(&alert.id).await.unwrap();
    intents.iter().map(IntentRef::from).collect()
}

#[tokio::test(start_paused = true)]
async fn a_revoked_hook_is_told_on_another_channel_with_what_it_did_not_carry() {
    for status in [410, 401] {
        let world = World::new(&webhooks(&[("ops", ""), ("other", "")])).await;
        let refusal = Answer::Status(status);
        world.vendors.always("ops.example.com", refusal);
        for alert in ["a1", "a2", "a3"] {
            let which = world.open(alert, &["ops"]).await.remove(0);
            world.look(&which).await;
        }
        let notes = told_on_the_other(&world).await;
        let why = format!("It refuses what is sent: HTTP {status}");
        assert!(notes.contains(&why), "{notes}");
    }
}

/// An address that was mistyped, or that is not to be called: nothing ever leaves for it.
#[tokio::test(start_paused = true)]
async fn an_address_that_may_not_be_called_is_told_on_another_channel_with_what_it_did_not_carry() {
    for (address, why) in [
        ("http://ops.example.com/hook", "http is not https"),
        ("https://10.0.0.1/hook", "10.0.0.1 is"),
        ("https://169.254.169.254/hook", "169.254.169.254 is"),
    ] {
        let ops =
            format!("[channels.ops]\nkind = 'webhook'\nurl = '{address}'\nsecret = 'env:SECRET'\n");
        let world = World::new(&(ops + &webhooks(&[("other", "")]))).await;
        let wire = Http::new(HttpSettings {
            certificates: false,
            ..HttpSettings::default()
        });
        let deliverer = world.deliverer_over(Arc::new(Wire(Arc::new(wire.unwrap()))));
        for alert in ["a1", "a2", "a3"] {
            let which = world.open(alert, &["ops"]).await.remove(0);
            let done = deliverer.deliver(&which, world.deadline()).await.unwrap();
            assert_eq!(done, Delivered::Done(IntentState::NotSent), "{address}");
        }
        let notes = told_on_the_other(&world).await;
        assert!(notes.contains(why), "{notes}");
        // Once the address is right, it leaves by itself.
        let right = webhooks(&[("ops", ""), ("other", "")]);
        world.configure(&right).await;
        for_seconds(&world, 20 * 60).await;
        assert_eq!(taken(&world).len(), 3, "{address}");
        assert_eq!(world.destination("ops").await.trouble, None);
    }
}

/// The notes of the one message about `ops` that goes out on `other`.
async fn told_on_the_other(world: &World) -> String {
    let alert = channel_alerts(world, AlertState::Open).await;
    let [alert] = alert.as_slice() else {
        panic!("one alert for all of them: {alert:?}");
    };
    let intents = intents_of(world, alert).await;
    let [told] = intents.as_slice() else {
        panic!("{intents:?}");
    };
    assert_eq!(told.channel.as_str(), "other");
    // Nobody announces it: the clock finds it due.
    assert!(world.due().await.contains(told));
    world.look(told).await;
    let seen = world.vendors.seen("other.example.com").remove(0);
    let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(body["type"], "stock.channel_down.opened");
    assert_eq!(body["data"]["text"], "Messages do not arrive: ops.");
    let notes = body["data"]["notes"].to_string();
    assert!(
        notes.contains("It did not carry: Low stock: Oil 5W-40"),
        "{notes}"
    );
    notes
}

/// One write for each channel, where a transaction takes a hundred.
#[tokio::test(start_paused = true)]
async fn a_channels_trouble_and_its_end_are_told_on_more_channels_than_one_transaction_takes_writes()
 {
    const OTHERS: usize = 120;
    let names: Vec<_> = (0..OTHERS).map(|n| format!("other-{n}")).collect();
    let others = names.iter().map(|name| (name.as_str(), ""));
    let channels: Vec<_> = others.chain([("ops", "")]).collect();
    let world = World::new(&webhooks(&channels)).await;
    world
        .vendors
        .first("ops.example.com", [Answer::Status(410)]);
    for (alert, state) in [("a1", AlertState::Open), ("a2", AlertState::Resolved)] {
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.look(&which).await;
        let alerts = channel_alerts(&world, state).await;
        let [alert] = alerts.as_slice() else {
            panic!("{alerts:?}");
        };
        let told = intents_of(&world, alert).await;
        let told: Vec<_> = told
            .iter()
            .filter(|it| it.revision == alert.revision)
            .collect();
        assert_eq!(told.len(), OTHERS);
    }
}

#[tokio::test(start_paused = true)]
async fn channels_that_all_refuse_tell_of_each_other_once_and_no_more() {
    let names = ["one", "two", "three"];
    let channels = names.map(|name| (name, ""));
    let world = World::new(&webhooks(&channels)).await;
    for name in names {
        let host = format!("{name}.example.com");
        world.vendors.always(&host, Answer::Status(410));
    }
    let which = world.open("a1", &["one"]).await.remove(0);
    world.look(&which).await;
    for _ in 0..10 {
        for due in world.due().await {
            world.look(&due).await;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(channel_alerts(&world, AlertState::Open).await.len(), 3);
    // The first alert, and of each channel that fell ill what the still sound ones were told.
    assert_eq!(world.vendors.count(), 1 + 2 + 1);
}

#[tokio::test(start_paused = true)]
async fn after_the_mend_what_is_still_true_is_sent_again_and_the_trouble_is_over() {
    let world = World::new(&webhooks(&[("ops", ""), ("other", "")])).await;
    world.vendors.always("ops.example.com", Answer::Status(410));
    let open = world.open("open", &["ops"]).await.remove(0);
    let over = world.open("over", &["ops"]).await.remove(0);
    for which in [&open, &over] {
        assert_eq!(
            world.look(which).await,
            Delivered::Done(IntentState::Rejected)
        );
    }
    world.resolve("over", &["ops"]).await;
    world.vendors.always("ops.example.com", Answer::Status(200));
    let ops = Resend {
        channel: "ops".parse().unwrap(),
        alert: None,
        cursor: None,
    };
    let resend = async || world.resend(&ops).await;
    let resent = Resent {
        deliveries: 1,
        ..Resent::default()
    };
    assert_eq!(resend().await, resent);
    assert_eq!(
        world.look(&open).await,
        Delivered::Done(IntentState::Delivered)
    );
    assert_eq!(world.intent(&over).await.state, IntentState::Rejected);
    // What arrived is not sent again.
    assert_eq!(resend().await.deliveries, 0);
    assert_eq!(world.destination("ops").await.trouble, None);
    let ended = channel_alerts(&world, AlertState::Resolved).await;
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].revision, 2);
}

/// People were told that it began: without its end they would take it to be so for ever.
#[tokio::test(start_paused = true)]
async fn an_end_that_did_not_arrive_is_sent_again_where_its_beginning_arrived() {
    for by_name in [false, true] {
        let world = World::new(&webhooks(&[("ops", ""), ("other", "")])).await;
        let mut ends = Vec::new();
        for alert in ["over", "again"] {
            world.vendors.always("ops.example.com", Answer::Status(200));
            let opened = world.open(alert, &["ops"]).await.remove(0);
            let delivered = Delivered::Done(IntentState::Delivered);
            assert_eq!(world.look(&opened).await, delivered);
            world.vendors.always("ops.example.com", Answer::Status(410));
            let end = world.resolve(alert, &["ops"]).await.remove(0);
            let rejected = Delivered::Done(IntentState::Rejected);
            assert_eq!(world.look(&end).await, rejected);
            ends.push(end);
        }
        // The one is wrong again: its end would be a lie.
        world.breach("again").await;
        world.vendors.always("ops.example.com", Answer::Status(200));
        let resend = async |alert: &str| {
            let what = Resend {
                channel: "ops".parse().unwrap(),
                alert: by_name.then(|| alert.to_owned()),
                cursor: None,
            };
            let resent = world.resend(&what).await;
            assert_eq!(resent.next, None);
            resent.deliveries
        };
        assert_eq!(resend("over").await, 1);
        assert_eq!(
            world.look(&ends[0]).await,
            Delivered::Done(IntentState::Delivered)
        );
        assert_eq!(resend("over").await + resend("again").await, 0);
        assert_eq!(world.intent(&ends[1]).await.state, IntentState::Rejected);
        let seen = world.vendors.seen("ops.example.com");
        let last = &seen.last().unwrap().body;
        assert!(last.contains("stock.low_stock.resolved"), "{last}");
    }
}

fn again(channel: &str) -> Resend {
    Resend {
        channel: channel.parse().unwrap(),
        alert: None,
        cursor: None,
    }
}

/// What the webhook `ops` took, by what it says and of which alert.
fn taken(world: &World) -> Vec<String> {
    let seen = world.vendors.seen("ops.example.com");
    let said = seen.iter().map(|seen| {
        let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
        let text = |key: &str| body["data"][key].as_str().unwrap().to_owned();
        format!("{} {}", text("alert"), text("change"))
    });
    said.collect()
}

/// Looks at whatever is due, for so long.
async fn for_seconds(world: &World, seconds: u64) {
    // A long time is gone through in larger steps.
    let step = (seconds / 120).max(1);
    for _ in 0..seconds / step {
        for which in world.due().await {
            world.look(&which).await;
        }
        tokio::time::sleep(Duration::from_secs(step)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_open_alert_waits_for_is_sent_again_with_it() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    world
        .vendors
        .first("ops.example.com", [Answer::After(429, 3_600)]);
    let first = world.open("a1", &["ops"]).await.remove(0);
    world.look(&first).await;
    let end = world.resolve("a1", &["ops"]).await.remove(0);
    world.look(&end).await;
    let open = world.open_after("a1", "a2", &["ops"]).await.remove(0);
    let fallen = world
        .write("a2", 2, RevisionKind::Updated, &["ops"], world.clock.now())
        .await
        .remove(0);
    for which in [&open, &fallen] {
        assert!(matches!(world.look(which).await, Delivered::Again(_)));
    }
    assert_eq!(taken(&world), ["a1 opened"], "put off for an hour");
    assert_eq!(world.resend(&again("ops")).await.deliveries, 1);
    // Here the clock alone brings back what waits for its turn; a queue does after a second.
    for_seconds(&world, 180).await;
    assert_eq!(
        taken(&world)[1..],
        ["a1 opened", "a1 resolved", "a2 opened", "a2 updated"]
    );
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_it_again_does_not_wait_for_the_circuit_breaker() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    world.vendors.always("ops.example.com", Answer::Status(503));
    for alert in ["a1", "a2", "a3", "a4", "a5"] {
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.look(&which).await;
    }
    world.vendors.always("ops.example.com", Answer::Status(200));
    world.resend(&again("ops")).await;
    for_seconds(&world, 5).await;
    assert_eq!(taken(&world).len(), 5 + 5);
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_takes_nothing_for_half_an_hour_is_told_on_another_channel() {
    let world = World::new(&webhooks(&[("ops", ""), ("other", "")])).await;
    world.vendors.always("ops.example.com", Answer::Status(503));
    let which = world.open("a1", &["ops"]).await.remove(0);
    let start = world.clock.now();
    let mut told_after = None;
    while told_after.is_none() {
        let Delivered::Again(wait) = world.look(&which).await else {
            panic!("it is tried for a day");
        };
        let open = channel_alerts(&world, AlertState::Open).await;
        let since = world.clock.now().duration_since(start);
        assert!(since < SignedDuration::from_hours(2), "nobody is told");
        told_after = (!open.is_empty()).then_some(since);
        tokio::time::sleep(wait.unsigned_abs()).await;
    }
    assert!(told_after.unwrap() >= SignedDuration::from_mins(30));
    let notes = told_on_the_other(&world).await;
    assert!(notes.contains("Nothing has arrived since"), "{notes}");
    world.vendors.always("ops.example.com", Answer::Status(200));
    assert_eq!(world.drive(&which).await, IntentState::Delivered);
    assert_eq!(channel_alerts(&world, AlertState::Resolved).await.len(), 1);
}

/// Nothing was tried there in between.
#[tokio::test(start_paused = true)]
async fn one_failure_hours_after_another_is_not_told() {
    let world = World::new(&webhooks(&[("ops", ""), ("other", "")])).await;
    world.vendors.always("ops.example.com", Answer::Status(503));
    for alert in ["a1", "a2"] {
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.look(&which).await;
        assert_eq!(channel_alerts(&world, AlertState::Open).await.len(), 0);
        tokio::time::sleep(Duration::from_secs(3 * 60 * 60)).await;
    }
}

/// A page on which nothing is missing is no reason to stop.
#[tokio::test(start_paused = true)]
async fn a_resend_that_runs_out_of_time_goes_on_where_it_ended() {
    let world = World::new(&webhooks(&[("ops", ""), ("other", "")])).await;
    world.vendors.always("ops.example.com", Answer::Status(410));
    let missing = world.open("missing", &["ops"]).await.remove(0);
    let rejected = Delivered::Done(IntentState::Rejected);
    assert_eq!(world.look(&missing).await, rejected);
    world.vendors.always("ops.example.com", Answer::Status(200));
    for number in 0..60 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let alert = format!("a{number}");
        let which = world.open(&alert, &["ops"]).await.remove(0);
        world.look(&which).await;
    }
    let installation = Installations::new(world.store.clone());
    let installation = installation.current().await.unwrap();
    let (mut cursor, mut deliveries, mut asked) = (None, 0, 0);
    loop {
        let what = Resend {
            channel: "ops".parse().unwrap(),
            alert: None,
            cursor,
        };
        // Its time is over before it begins.
        let resent = world.store.resend(&what, &installation, world.clock.now());
        let resent = resent.await.unwrap();
        deliveries += resent.deliveries;
        asked += 1;
        assert!(asked < 50);
        cursor = resent.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(deliveries, 1);
    assert!(asked > 2, "{asked}");
}

const ROOM: &str = "[channels.room]\nkind = 'slack'\ntoken = 'env:SECRET'\nchannel = 'C1'\n";
const ACCEPTED: &str = r#"{"ok":true,"channel":"C1","ts":"17.1"}"#;
const REFUSED: &str = r#"{"ok":false,"error":"invalid_blocks"}"#;

/// One message that its vendor does not take, and the next that it does, before anybody could be told.
#[tokio::test(start_paused = true)]
async fn a_message_that_was_refused_is_told_although_the_next_arrives() {
    let world = World::new(&(webhooks(&[("ops", "")]) + ROOM)).await;
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    world
        .vendors
        .first("ops.example.com", [Answer::Status(410)]);
    for alert in ["a1", "a2"] {
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.look(&which).await;
    }
    for_seconds(&world, 120).await;
    let seen = world.vendors.seen("slack.com");
    let [seen] = seen.as_slice() else {
        panic!("told once: {seen:#?}");
    };
    for words in [
        "Messages arrive again: ops",
        "One message did not arrive.",
        "Low stock: Oil 5W-40",
    ] {
        assert!(seen.body.contains(words), "{words}: {}", seen.body);
    }
}

/// Sent side by side, one is refused and the others arrive: nothing is down.
#[tokio::test(start_paused = true)]
async fn what_is_refused_beside_what_arrives_is_told_as_over_and_the_channel_is_well() {
    // The answer that refuses comes with the others, or after them.
    for (refused, later) in (0..3).flat_map(|one| [(one, 0), (one, 1_500)]) {
        let later = Duration::from_millis(later);
        let other = webhooks(&[("other", "")]);
        let world = World::new(&(webhooks(&[("ops", "")]) + ROOM + &other)).await;
        world.vendors.always("slack.com", Answer::Body(ACCEPTED));
        let deliverer = world.deliverer();
        let mut all = Vec::new();
        for alert in ["a1", "a2", "a3"] {
            all.extend(world.open(alert, &["ops"]).await);
        }
        let answers = (0..3).map(|one| match one == refused {
            true => Answer::Late(410, later),
            false => Answer::Status(200),
        });
        world.vendors.first("ops.example.com", answers);
        let looks = all
            .iter()
            .map(|which| deliverer.deliver(which, world.deadline()));
        futures::future::join_all(looks).await;
        let known = world.destination("ops").await;
        assert_eq!(
            (known.trouble, known.refused),
            (None, 0),
            "{refused} {later:?}"
        );
        for_seconds(&world, 120).await;
        for host in ["slack.com", "other.example.com"] {
            let seen = world.vendors.seen(host);
            let [seen] = seen.as_slice() else {
                panic!("told once: {seen:#?}");
            };
            assert!(
                seen.body.contains("Messages arrive again: ops"),
                "{}",
                seen.body
            );
            assert!(
                seen.body.contains("One message did not arrive."),
                "{}",
                seen.body
            );
        }
    }
}

/// Whatever is noted of the two in between.
#[tokio::test(start_paused = true)]
async fn what_is_refused_while_another_message_arrives_is_told_as_lost() {
    for later in (0..400).step_by(20) {
        let (world, slow) = World::with_slowness(&(webhooks(&[("ops", "")]) + ROOM)).await;
        world.vendors.always("slack.com", Answer::Body(ACCEPTED));
        let later = Answer::Late(200, Duration::from_millis(later));
        let answers = [Answer::Status(503), Answer::Status(410), later.clone()];
        world.vendors.first("ops.example.com", answers);
        let which = world.open("a1", &["ops"]).await.remove(0);
        world.look(&which).await;
        let mut both = world.open("a2", &["ops"]).await;
        both.extend(world.open("a3", &["ops"]).await);
        let deliverer = world.deliverer();
        slow.millis.store(20, SeqCst);
        let looks = both
            .iter()
            .map(|which| deliverer.deliver(which, world.deadline()));
        futures::future::join_all(looks).await;
        slow.millis.store(0, SeqCst);
        assert_eq!(world.destination("ops").await.trouble, None, "{later:?}");
        let over = channel_alerts(&world, AlertState::Resolved).await;
        let [over] = over.as_slice() else {
            panic!("{later:?}: {over:#?}");
        };
        let notes = over.message.notes.join(" ");
        let words = "One message did not arrive. It did not carry: Low stock";
        assert!(notes.contains(words), "{later:?}: {notes}");
    }
}

/// Neither people nor a system that is sent each revision.
#[tokio::test(start_paused = true)]
async fn an_outage_that_is_over_before_anybody_was_told_is_told_to_nobody() {
    let other = webhooks(&[("other", "")]);
    let world = World::new(&(webhooks(&[("ops", "")]) + ROOM + &other)).await;
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    // Its credentials are not accepted, and are a moment later: what it did not take is tried again.
    world.vendors.always("ops.example.com", Answer::Status(401));
    let which = world.open("a1", &["ops"]).await.remove(0);
    world.look(&which).await;
    assert_eq!(channel_alerts(&world, AlertState::Open).await.len(), 1);
    world.vendors.always("ops.example.com", Answer::Status(200));
    let which = world.open("a2", &["ops"]).await.remove(0);
    world.look(&which).await;
    assert_eq!(channel_alerts(&world, AlertState::Open).await.len(), 0);
    for_seconds(&world, 1_200).await;
    assert_eq!(taken(&world).len(), 3);
    for host in ["slack.com", "other.example.com"] {
        assert_eq!(world.vendors.seen(host), [], "{host}");
    }
}

/// The first that was refused is sent again and arrives; the second is what was lost.
#[tokio::test(start_paused = true)]
async fn the_end_of_an_outage_quotes_nothing_that_has_arrived() {
    let world = World::new(&(webhooks(&[("ops", "")]) + ROOM)).await;
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    world.vendors.always("ops.example.com", Answer::Status(410));
    for alert in ["a1", "a2/out"] {
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.look(&which).await;
    }
    for_seconds(&world, 60).await;
    world.vendors.always("ops.example.com", Answer::Status(200));
    let only = Resend {
        alert: Some("a1".to_owned()),
        ..again("ops")
    };
    assert_eq!(world.resend(&only).await.deliveries, 1);
    for_seconds(&world, 120).await;
    let seen = world.vendors.seen("slack.com");
    let [begun, ended] = seen.as_slice() else {
        panic!("{seen:#?}");
    };
    assert!(
        begun.body.contains("It did not carry: Low stock"),
        "{}",
        begun.body
    );
    assert!(
        ended.body.contains("One message did not arrive."),
        "{}",
        ended.body
    );
    assert!(!ended.body.contains("Low stock"), "{}", ended.body);
}

#[tokio::test(start_paused = true)]
async fn the_only_channel_there_is_says_itself_what_it_has_refused() {
    let world = World::new(ROOM).await;
    let refused = [REFUSED, REFUSED].map(Answer::Body);
    world.vendors.first("slack.com", refused);
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    for alert in ["a1", "a2", "a3"] {
        let which = world.open(alert, &["room"]).await.remove(0);
        world.look(&which).await;
    }
    for_seconds(&world, 120).await;
    let seen = world.vendors.seen("slack.com");
    assert_eq!(seen.len(), 4, "{seen:#?}");
    let last = &seen[3].body;
    for words in [
        "Messages arrive again: room",
        "2 messages did not arrive.",
        "lotwire resend room",
    ] {
        assert!(last.contains(words), "{words}: {last}");
    }
    // What arrives now has nothing to add.
    let which = world.open("a4", &["room"]).await.remove(0);
    world.look(&which).await;
    for_seconds(&world, 120).await;
    assert_eq!(world.vendors.seen("slack.com").len(), 5);
}

#[tokio::test(start_paused = true)]
async fn of_two_channels_that_are_down_the_second_is_told_when_the_first_is_mended() {
    let world = World::new(&webhooks(&[("one", ""), ("two", "")])).await;
    let opened = async |alert: &str, channel: &str| {
        let which = world.open(alert, &[channel]).await.remove(0);
        world.look(&which).await;
        for_seconds(&world, 90).await;
    };
    world.vendors.always("one.example.com", Answer::Status(410));
    opened("a1", "one").await;
    world.vendors.always("two.example.com", Answer::Status(410));
    opened("a2", "two").await;
    world.vendors.always("one.example.com", Answer::Status(200));
    opened("a3", "one").await;
    let seen = world.vendors.seen("one.example.com");
    let told = seen
        .iter()
        .filter(|seen| seen.body.contains("Messages do not arrive: two"));
    assert_eq!(told.count(), 1, "{seen:#?}");
    opened("a4", "one").await;
    let seen = world.vendors.seen("one.example.com");
    let told = seen
        .iter()
        .filter(|seen| seen.body.contains("Messages do not arrive: two"));
    assert_eq!(told.count(), 1, "and once only: {seen:#?}");
}

/// It has no credentials yet, and what is to be told there waits until it has.
#[tokio::test(start_paused = true)]
async fn that_a_channel_is_down_is_told_as_soon_as_another_is_live() {
    let room = ROOM.replace("env:SECRET", "env:ROOM");
    let world = World::new(&(webhooks(&[("ops", "")]) + &room)).await;
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    let which = world.open("a1", &["room"]).await.remove(0);
    world.look(&which).await;
    world.resolve("a1", &[]).await;
    for_seconds(&world, 60).await;
    world.vendors.always("ops.example.com", Answer::Status(410));
    let which = world.open("a2", &["ops"]).await.remove(0);
    world.look(&which).await;
    for_seconds(&world, 60).await;
    assert_eq!(world.vendors.seen("slack.com"), []);
    world.set("ROOM", Some("xoxb-1"));
    for_seconds(&world, 200).await;
    let seen = world.vendors.seen("slack.com");
    let [seen] = seen.as_slice() else {
        panic!("told once: {seen:#?}");
    };
    let words = "Messages do not arrive: ops";
    assert!(seen.body.contains(words), "{}", seen.body);
}

/// The other channel cannot take that they arrive again when it is so.
#[tokio::test(start_paused = true)]
async fn that_messages_arrive_again_is_not_told_after_that_they_do_not() {
    let world = World::new(&(webhooks(&[("ops", "")]) + ROOM)).await;
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    let opened = async |alert: &str, status: u16| {
        world
            .vendors
            .always("ops.example.com", Answer::Status(status));
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.look(&which).await;
    };
    opened("a1", 410).await;
    for_seconds(&world, 60).await;
    world.vendors.first("slack.com", [Answer::After(429, 30)]);
    opened("a2", 200).await;
    for_seconds(&world, 2).await;
    opened("a3", 410).await;
    for_seconds(&world, 400).await;
    let said = |body: &str| {
        let again = body.contains("Messages arrive again: ops");
        let never = body.contains("Messages do not arrive: ops");
        assert!(again != never, "{body}");
        again
    };
    let seen = world.vendors.seen("slack.com");
    let again: Vec<_> = seen.iter().map(|seen| said(&seen.body)).collect();
    // Put off, and then taken.
    assert_eq!(again, [false, true, true, false]);
}

/// What the other channel was to be told first has not left by the time that it is over.
#[tokio::test(start_paused = true)]
async fn that_messages_arrive_again_is_told_in_its_place_where_nobody_heard_that_they_did_not() {
    let world = World::new(&(webhooks(&[("ops", "")]) + ROOM)).await;
    world.vendors.first("slack.com", [Answer::After(429, 60)]);
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    for (alert, status) in [("a1", 410), ("a2", 200), ("a3", 410)] {
        let answer = Answer::Status(status);
        world.vendors.always("ops.example.com", answer);
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.look(&which).await;
        for_seconds(&world, 5).await;
    }
    for_seconds(&world, 600).await;
    let seen = world.vendors.seen("slack.com").split_off(1);
    let texts = ["Messages arrive again: ops", "Messages do not arrive: ops"];
    let said = |body: &str| texts.iter().position(|text| body.contains(text));
    let order: Vec<_> = seen.iter().map(|seen| said(&seen.body)).collect();
    assert_eq!(order, [Some(0), Some(1)], "{seen:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_again_is_not_said_to_have_been_lost() {
    let world = World::new(&(webhooks(&[("ops", "")]) + ROOM)).await;
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    let refused = [410, 410].map(Answer::Status);
    world.vendors.first("ops.example.com", refused);
    for alert in ["a1", "a2"] {
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.look(&which).await;
    }
    for_seconds(&world, 60).await;
    assert_eq!(world.resend(&again("ops")).await.deliveries, 2);
    for_seconds(&world, 120).await;
    assert_eq!(taken(&world).len(), 4);
    let seen = world.vendors.seen("slack.com");
    assert_eq!(seen.len(), 2, "{seen:#?}");
    let last = &seen[1].body;
    assert!(last.contains("Messages arrive again: ops"), "{last}");
    assert!(!last.contains("did not arrive"), "{last}");
}

/// What is sent again that was not refused leaves the count of what was.
#[tokio::test(start_paused = true)]
async fn what_was_refused_is_counted_until_it_is_sent_again_itself() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let opened = async |alert: &str| {
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.look(&which).await;
    };
    world.set("SECRET", None);
    opened("unsent").await;
    world.set("SECRET", Some(crate::world::SECRET));
    world.vendors.always("ops.example.com", Answer::Status(410));
    for alert in ["a1", "a2", "a3"] {
        opened(alert).await;
    }
    let refused = async || world.destination("ops").await.refused;
    assert_eq!(refused().await, 3);
    for (alert, left) in [("unsent", 3), ("a1", 2), ("a1", 2), ("a3", 1)] {
        let only = Resend {
            alert: Some(alert.to_owned()),
            ..again("ops")
        };
        world.resend(&only).await;
        assert_eq!(refused().await, left, "{alert}");
    }
    world.resend(&again("ops")).await;
    assert_eq!(refused().await, 0);
}

/// Whoever asks once more has all of it sent again, and what is counted then is what nobody is sent: of a
/// webhook the revisions before the last.
#[tokio::test(start_paused = true)]
async fn what_is_sent_again_is_off_the_count_once_wherever_a_process_dies_over_it() {
    for (channel, left) in [("ops", 1), ("room", 0)] {
        let mut deaths = 0;
        for calls in 1.. {
            let (world, fails) = World::with_failures(&(webhooks(&[("ops", "")]) + ROOM)).await;
            world.vendors.always("slack.com", Answer::Body(REFUSED));
            world.vendors.always("ops.example.com", Answer::Status(410));
            let said = [
                ("a1", 1),
                ("a2", 1),
                ("a2", 2),
                ("oil/low", 1),
                ("oil/out", 1),
            ];
            for (alert, revision) in said {
                let change = match revision {
                    1 => RevisionKind::Opened,
                    _ => RevisionKind::Updated,
                };
                let due_at = world.clock.now();
                let intents = match alert {
                    "oil/out" => {
                        world
                            .write_after("oil/low", alert, revision, change, &[channel])
                            .await
                    }
                    _ => {
                        world
                            .write(alert, revision, change, &[channel], due_at)
                            .await
                    }
                };
                world.look(&intents[0]).await;
            }
            let refused = async || world.destination(channel).await.refused;
            assert_eq!(refused().await, 5);
            fails.after.store(calls, SeqCst);
            let died = world.tries_to_resend(&again(channel)).await.is_err();
            fails.after.store(0, SeqCst);
            world.resend(&again(channel)).await;
            assert_eq!(refused().await, left, "{channel}, call {calls}");
            if !died {
                break;
            }
            deaths += 1;
        }
        assert!(deaths > 8, "{deaths}");
    }
}

/// Both were refused, and the graver one is what is so.
#[tokio::test(start_paused = true)]
async fn what_is_sent_again_of_an_item_is_what_is_left_now() {
    let world = World::new(ROOM).await;
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    let refused = [REFUSED, REFUSED].map(Answer::Body);
    world.vendors.first("slack.com", refused);
    let low = world.open("oil/low", &["room"]).await.remove(0);
    world.look(&low).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let out = world.open_after("oil/low", "oil/out", &["room"]).await;
    world.look(&out[0]).await;
    assert_eq!(world.resend(&again("room")).await.deliveries, 1);
    for_seconds(&world, 120).await;
    let sent: Vec<_> = world.vendors.seen("slack.com").split_off(2);
    assert!(sent[0].body.contains("Out of stock"), "{sent:#?}");
    // That the channel works again says what it had refused.
    let low = |seen: &crate::world::Seen| {
        seen.body.contains("Low stock") && !seen.body.contains("Channel alert")
    };
    assert!(!sent.iter().any(low), "{sent:#?}");
    // Nothing is missing while nothing is left.
    assert_eq!(world.resend(&again("room")).await.deliveries, 0);
    world
        .write(
            "oil/out",
            2,
            RevisionKind::Resolved,
            &["room"],
            world.clock.now(),
        )
        .await;
    world.resend(&again("room")).await;
    for_seconds(&world, 120).await;
    let sent: Vec<_> = world.vendors.seen("slack.com").split_off(2);
    assert_eq!(sent.iter().filter(|seen| low(seen)).count(), 1, "{sent:#?}");
}

/// The clock hands it to the other channel within a minute, and by then more is lost.
#[tokio::test(start_paused = true)]
async fn that_a_channel_is_down_is_told_with_how_much_was_lost_by_then_and_the_gravest_of_it() {
    // Given up, or tried again later by itself.
    for (status, count) in [(410, Some("4 messages did not arrive.")), (401, None)] {
        let world = World::new(&(webhooks(&[("ops", "")]) + ROOM)).await;
        world.vendors.always("slack.com", Answer::Body(ACCEPTED));
        world
            .vendors
            .always("ops.example.com", Answer::Status(status));
        for alert in ["a1", "a2", "grave/out", "a3"] {
            let which = world.open(alert, &["ops"]).await.remove(0);
            world.look(&which).await;
        }
        tokio::time::sleep(Duration::from_secs(50)).await;
        for_seconds(&world, 5).await;
        let seen = world.vendors.seen("slack.com");
        let [seen] = seen.as_slice() else {
            panic!("told once: {seen:#?}");
        };
        assert!(
            seen.body.contains(&format!("HTTP {status}")),
            "{}",
            seen.body
        );
        assert!(
            seen.body.contains("Out of stock: Oil 5W-40"),
            "{}",
            seen.body
        );
        assert!(!seen.body.contains("Low stock"), "{}", seen.body);
        assert!(seen.body.contains("lotwire resend ops"), "{}", seen.body);
        let counted = "messages did not arrive";
        assert_eq!(
            seen.body.contains(count.unwrap_or(counted)),
            count.is_some(),
            "{}",
            seen.body
        );
    }
}

/// Six were refused and five are over. Somebody has them sent again before the channel is mended, or after.
#[tokio::test(start_paused = true)]
async fn whoever_has_the_rest_sent_again_hears_how_much_never_arrived() {
    for is_mended in [false, true] {
        let world = World::new(&(webhooks(&[("ops", "")]) + ROOM)).await;
        world.vendors.always("slack.com", Answer::Body(ACCEPTED));
        world.vendors.always("ops.example.com", Answer::Status(410));
        for number in 1..=6 {
            let which = world.open(&format!("a{number}"), &["ops"]).await.remove(0);
            world.look(&which).await;
        }
        for number in 1..=5 {
            world.resolve(&format!("a{number}"), &[]).await;
        }
        for_seconds(&world, 60).await;
        let mend = || world.vendors.always("ops.example.com", Answer::Status(200));
        if is_mended {
            mend();
        }
        assert_eq!(world.resend(&again("ops")).await.deliveries, 1);
        for_seconds(&world, 60).await;
        mend();
        let which = world.open("b1", &["ops"]).await.remove(0);
        world.look(&which).await;
        for_seconds(&world, 60).await;
        let last = world.vendors.seen("slack.com").pop().unwrap().body;
        assert!(last.contains("Messages arrive again: ops"), "{last}");
        let lost = if is_mended { 5 } else { 6 };
        assert!(
            last.contains(&format!("{lost} messages did not arrive.")),
            "{last}"
        );
        // Of what was refused again something is still true.
        assert_eq!(last.contains("lotwire resend"), !is_mended, "{last}");
    }
}

/// Of three that were refused two are of one alert. Sent again twice, of which the first is refused as well.
#[tokio::test(start_paused = true)]
async fn what_is_sent_again_twice_is_taken_off_the_count_once() {
    let chat = "[channels.chat]\nkind = 'slack'\ntoken = 'env:SECRET'\n\
        channel = 'C1'\nbase_url = 'https://chat.example.com'\n";
    let world = World::new(&(chat.to_owned() + ROOM)).await;
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    let answers = |body| {
        world.vendors.always("chat.example.com", Answer::Body(body));
    };
    answers(REFUSED);
    for alert in ["a1", "a2"] {
        let which = world.open(alert, &["chat"]).await.remove(0);
        world.look(&which).await;
        for_seconds(&world, 60).await;
    }
    let due = world.clock.now() + SignedDuration::from_mins(1);
    let further = world.write("a1", 2, RevisionKind::Escalated, &["chat"], due);
    let further = further.await.remove(0);
    world.look(&further).await;
    for_seconds(&world, 60).await;
    assert_eq!(world.destination("chat").await.refused, 3);
    world.resolve("a2", &[]).await;
    for _ in 0..2 {
        world.resend(&again("chat")).await;
        for_seconds(&world, 120).await;
        assert_eq!(world.destination("chat").await.refused, 2);
    }
    answers(ACCEPTED);
    world.resend(&again("chat")).await;
    for_seconds(&world, 120).await;
    let last = world.vendors.seen("slack.com").pop().unwrap().body;
    assert!(last.contains("Messages arrive again: chat"), "{last}");
    assert!(last.contains("One message did not arrive."), "{last}");
}

/// It is sent again, and over before it leaves.
#[tokio::test(start_paused = true)]
async fn what_was_to_be_sent_again_and_is_over_before_it_leaves_never_arrived() {
    let world = World::new(
        &("[channels.chat]\nkind = 'slack'\ntoken = 'env:SECRET'\n\
         channel = 'C1'\nbase_url = 'https://chat.example.com'\n"
            .to_owned()
            + ROOM),
    )
    .await;
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    world
        .vendors
        .always("chat.example.com", Answer::Body(REFUSED));
    for alert in ["a1", "a2"] {
        let which = world.open(alert, &["chat"]).await.remove(0);
        world.look(&which).await;
    }
    for_seconds(&world, 60).await;
    assert_eq!(world.resend(&again("chat")).await.deliveries, 2);
    for alert in ["a1", "a2"] {
        world.resolve(alert, &["chat"]).await;
    }
    for_seconds(&world, 120).await;
    assert_eq!(world.destination("chat").await.refused, 2);
}

/// One is lost and told as such; what was lost later is told, too, when the first is sent again.
#[tokio::test(start_paused = true)]
async fn what_is_sent_again_of_an_earlier_outage_is_not_taken_for_what_a_later_one_has_cost() {
    let world = World::new(&(webhooks(&[("ops", "")]) + ROOM)).await;
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    let opened = async |alert: &str, status: u16| {
        world
            .vendors
            .always("ops.example.com", Answer::Status(status));
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.look(&which).await;
        for_seconds(&world, 60).await;
    };
    for (alert, status) in [("a1", 410), ("a2", 200), ("a3", 410)] {
        opened(alert, status).await;
    }
    world.resolve("a3", &[]).await;
    world.vendors.always("ops.example.com", Answer::Status(200));
    assert_eq!(world.resend(&again("ops")).await.deliveries, 1);
    for_seconds(&world, 120).await;
    let last = world.vendors.seen("slack.com").pop().unwrap().body;
    assert!(last.contains("Messages arrive again: ops"), "{last}");
    assert!(last.contains("One message did not arrive."), "{last}");
}

/// Two were refused, and of one there is nothing to tell any more when somebody has them sent again.
#[tokio::test(start_paused = true)]
async fn who_has_had_it_all_sent_again_is_not_asked_to() {
    let world = World::new(&(webhooks(&[("ops", "")]) + ROOM)).await;
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    let refused = [410, 410].map(Answer::Status);
    world.vendors.first("ops.example.com", refused);
    for alert in ["a1", "a2"] {
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.look(&which).await;
    }
    for_seconds(&world, 60).await;
    world.resolve("a1", &[]).await;
    assert_eq!(world.resend(&again("ops")).await.deliveries, 1);
    for_seconds(&world, 120).await;
    let seen = world.vendors.seen("slack.com");
    let last = &seen.last().unwrap().body;
    assert!(last.contains("Messages arrive again: ops"), "{last}");
    assert!(!last.contains("lotwire resend"), "{last}");
}

/// The other channel refuses that messages do not arrive, and that they do again.
#[tokio::test(start_paused = true)]
async fn what_an_outage_has_cost_is_sent_again_where_its_beginning_was_refused() {
    let world = World::new(&(webhooks(&[("ops", "")]) + ROOM)).await;
    world.vendors.always("slack.com", Answer::Body(REFUSED));
    world
        .vendors
        .first("ops.example.com", [Answer::Status(410)]);
    for alert in ["a1", "a2"] {
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.look(&which).await;
        for_seconds(&world, 60).await;
    }
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    let before = world.vendors.seen("slack.com").len();
    world.resend(&again("room")).await;
    for_seconds(&world, 120).await;
    let seen = world.vendors.seen("slack.com").split_off(before);
    let said = seen.iter().filter(|it| {
        let again = it.body.contains("Messages arrive again: ops");
        again && it.body.contains("One message did not arrive.")
    });
    assert_eq!(said.count(), 1, "{seen:#?}");
}

/// A secret that is there and may not be read, or nobody who reads it.
#[tokio::test(start_paused = true)]
async fn a_channel_whose_secret_cannot_be_read_is_told_on_another_one_with_the_secrets_name() {
    const NAME: &str = "ssm:/lotwire/channels/ops";
    for answer in [Answer::Status(400), Answer::Lost] {
        let ops = webhooks(&[("ops", "")]).replace("env:SECRET", NAME);
        let world = World::new(&(ops + &webhooks(&[("other", "")]))).await;
        world.set("AWS_SESSION_TOKEN", Some("session"));
        world.vendors.always("localhost", answer);
        let which = world.open("a1", &["ops"]).await.remove(0);
        let start = world.clock.now();
        while channel_alerts(&world, AlertState::Open).await.is_empty() {
            let since = world.clock.now().duration_since(start);
            assert!(since < SignedDuration::from_hours(1), "nobody is told");
            let Delivered::Again(wait) = world.look(&which).await else {
                panic!("it is tried for a day");
            };
            tokio::time::sleep(wait.unsigned_abs()).await;
        }
        assert_eq!(world.vendors.seen("ops.example.com"), []);
        for attempt in world.attempts(&which).await {
            let detail = attempt.detail.unwrap();
            assert!(detail.contains(NAME), "{detail}");
        }
        let notes = told_on_the_other(&world).await;
        assert!(notes.contains(NAME), "{notes}");
        // What waits is sent once it may be read, and the trouble is over.
        let secret = crate::world::SECRET;
        let readable = format!(r#"{{"Parameter":{{"Value":"{secret}"}}}}"#);
        world
            .vendors
            .always("localhost", Answer::Body(readable.leak()));
        assert_eq!(world.drive(&which).await, IntentState::Delivered);
        assert_eq!(channel_alerts(&world, AlertState::Open).await.len(), 0);
    }
}

/// For a day nobody could read it: what was lost is told as what a vendor has not taken is.
#[tokio::test(start_paused = true)]
async fn what_is_given_up_for_a_secret_that_cannot_be_read_is_counted_as_lost() {
    let ops = webhooks(&[("ops", "")]).replace("env:SECRET", "ssm:/lotwire/channels/ops");
    let world = World::new(&(ops + &webhooks(&[("other", "")]))).await;
    let which = world.open("a1", &["ops"]).await.remove(0);
    assert_eq!(world.drive(&which).await, IntentState::Exhausted);
    let known = world.destination("ops").await;
    assert_eq!(known.refused, 1);
    assert!(known.lost.unwrap().text.contains("Low stock: Oil 5W-40"));
}
