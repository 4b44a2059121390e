//! An alert's revisions leave a channel in their order, whatever happens to one of them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::SignedDuration;
use shared::bus::IntentRef;
use shared::delivery::Delivered;
use shared::domain::alert::RevisionKind;
use shared::domain::watch::{Manner, NO_LONGER_OUT, still_low};
use shared::store::intents::{IntentState, Lease};
use shared::store::quarantine::Quarantined;

use crate::world::{Answer, Seen, World, crash_after, webhooks};

const HOST: &str = "ops.example.com";
const SLACK: &str = "[channels.chat]\nkind = 'slack'\ntoken = 'env:TOKEN'\nchannel = 'C1'\n";
const ACCEPTED: &str = r#"{"ok":true,"channel":"C1","ts":"17.1"}"#;

async fn slack() -> World {
    let world = World::new(SLACK).await;
    world.set("TOKEN", Some("xoxb-1"));
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    world
}

/// Looks at both, each when it is due, until both are settled.
async fn drive_both(world: &World, one: &IntentRef, other: &IntentRef) {
    futures::future::join(settle(world, one), settle(world, other)).await;
}

fn settle<'a>(world: &'a World, which: &'a IntentRef) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        loop {
            match world.look(which).await {
                Delivered::Again(wait) => tokio::time::sleep(wait.unsigned_abs()).await,
                Delivered::Waiting => tokio::time::sleep(Duration::from_secs(1)).await,
                _ => return,
            }
        }
    })
}

/// What a webhook was told, by the types of its events, without repetitions of one message.
fn told(seen: &[Seen]) -> Vec<String> {
    let mut keys: Vec<&str> = Vec::new();
    let mut told = Vec::new();
    for request in seen {
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        if keys.last() != Some(&request.key.as_str()) {
            assert!(!keys.contains(&request.key.as_str()), "{seen:?}");
            keys.push(&request.key);
            told.push(body["data"]["change"].as_str().unwrap().to_owned());
        }
    }
    told
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_a_beginning_that_the_vendor_put_off() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    world.vendors.first(HOST, [Answer::After(429, 20)]);
    let opened = world.open("a1", &["ops"]).await.remove(0);
    assert!(matches!(world.look(&opened).await, Delivered::Again(_)));
    tokio::time::sleep(Duration::from_secs(4)).await;
    let resolved = world.resolve("a1", &["ops"]).await.remove(0);
    let Delivered::Again(wait) = world.look(&resolved).await else {
        panic!("its turn comes");
    };
    assert!(wait >= SignedDuration::from_secs(15), "{wait}");
    assert_eq!(world.vendors.seen(HOST).len(), 1);
    assert_eq!(world.intent(&resolved).await.attempts, 0);
    drive_both(&world, &opened, &resolved).await;
    let seen = world.vendors.seen(HOST);
    assert_eq!(told(&seen), ["opened", "resolved"]);
    for which in [&opened, &resolved] {
        assert_eq!(world.intent(which).await.state, IntentState::Delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_word_on_an_item_is_the_last_that_was_said_of_it() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let first = world.open("a1", &["ops"]).await.remove(0);
    settle(&world, &first).await;
    // Its end is put off by the receiver; meanwhile the same item is out again.
    world.vendors.first(HOST, [Answer::After(503, 20)]);
    let over = world.resolve("a1", &["ops"]).await.remove(0);
    assert!(matches!(world.look(&over).await, Delivered::Again(_)));
    let again = world.open_after("a1", "a2", &["ops"]).await.remove(0);
    drive_both(&world, &again, &over).await;
    let seen = world.vendors.seen(HOST);
    assert_eq!(told(&seen), ["opened", "resolved", "opened"]);
}

#[tokio::test(start_paused = true)]
async fn what_takes_the_place_of_a_first_message_waits_as_that_one_would_have() {
    let world = slack().await;
    let first = world.open("a1/fast", &["chat"]).await.remove(0);
    settle(&world, &first).await;
    world.vendors.first("slack.com", [Answer::After(429, 20)]);
    let over = world.resolve("a1/fast", &["chat"]).await.remove(0);
    assert!(matches!(world.look(&over).await, Delivered::Again(_)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = world
        .open_after("a1/fast", "a2/fast", &["chat"])
        .await
        .remove(0);
    let due_at = world.clock.now();
    let worse = world
        .write("a2/fast", 2, RevisionKind::Updated, &["chat"], due_at)
        .await
        .remove(0);
    Box::pin(futures::future::join3(
        settle(&world, &worse),
        settle(&world, &again),
        settle(&world, &over),
    ))
    .await;
    let seen = world.vendors.seen("slack.com");
    let ends: Vec<_> = seen
        .iter()
        .map(|seen| seen.body.contains("· resolved"))
        .collect();
    // Opened; the end, put off and then taken; what is true now.
    assert_eq!(ends, [false, true, true, false]);
}

/// The vendor is well again long before the first is tried again.
#[tokio::test(start_paused = true)]
async fn that_nothing_is_left_does_not_wait_until_it_is_tried_again_to_tell_what_was_left() {
    let world = slack().await;
    world.vendors.first("slack.com", [Answer::Status(503)]);
    world.vendors.first("slack.com", [Answer::Status(503)]);
    world.vendors.first("slack.com", [Answer::Status(503)]);
    let low = world.open("oil/low", &["chat"]).await.remove(0);
    for _ in 0..3 {
        let Delivered::Again(wait) = world.look(&low).await else {
            panic!("it is tried again");
        };
        if wait < SignedDuration::from_mins(1) {
            tokio::time::sleep(wait.unsigned_abs()).await;
        }
    }
    let out = world
        .open_after("oil/low", "oil/out", &["chat"])
        .await
        .remove(0);
    let began = world.clock.now();
    settle(&world, &out).await;
    let took = world.clock.now().duration_since(began);
    assert!(took < SignedDuration::from_secs(5), "{took}");
    settle(&world, &low).await;
    let seen = world.vendors.seen("slack.com").split_off(3);
    assert_eq!(seen.len(), 1, "{seen:#?}");
    assert!(seen[0].body.contains("Out of stock"), "{seen:#?}");
}

/// The vendor is down while the last are sold, so that both wait for it.
async fn low_and_out_that_wait(world: &World, item: &str, channels: [&str; 2]) -> [IntentRef; 2] {
    world.vendors.first("slack.com", [Answer::Status(503)]);
    let low = world.open(&format!("{item}/low"), &channels[..1]).await;
    assert!(matches!(world.look(&low[0]).await, Delivered::Again(_)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let graver = format!("{item}/out");
    let out = world
        .open_after(&low[0].alert, &graver, &channels[1..])
        .await;
    if channels[1] == "chat" {
        world.vendors.first("slack.com", [Answer::Status(503)]);
        assert!(matches!(world.look(&out[0]).await, Delivered::Again(_)));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    [low, out].map(|mut intents| intents.remove(0))
}

/// What a channel took or was asked, without what it was asked before.
fn texts(world: &World, before: usize) -> Vec<String> {
    let seen = world.vendors.seen("slack.com").split_off(before);
    let text = |seen: Seen| match seen.body.contains("Out of stock") {
        true => "out".to_owned(),
        false => "low".to_owned(),
    };
    seen.into_iter().map(text).collect()
}

#[tokio::test(start_paused = true)]
async fn a_low_stock_that_waited_is_not_told_beside_the_out_of_stock_of_the_item() {
    let world = slack().await;
    let [low, out] = low_and_out_that_wait(&world, "oil", ["chat", "chat"]).await;
    let before = world.vendors.count();
    settle(&world, &low).await;
    assert_eq!(texts(&world, before), ["out"], "and it waits no longer");
    settle(&world, &out).await;
    assert_eq!(texts(&world, before), ["out"]);
    let low = world.intent(&low).await;
    assert_eq!(low.state, IntentState::Superseded);
    let reason = low.last_outcome.unwrap();
    assert!(reason.contains("oil/out"), "{reason}");
}

/// No route leads it there.
#[tokio::test(start_paused = true)]
async fn a_low_stock_is_told_where_the_out_of_stock_of_the_item_is_not() {
    let world = World::new(&(SLACK.to_owned() + &webhooks(&[("ops", "")]))).await;
    world.set("TOKEN", Some("xoxb-1"));
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    let [low, _] = low_and_out_that_wait(&world, "oil", ["chat", "ops"]).await;
    let before = world.vendors.seen("slack.com").len();
    settle(&world, &low).await;
    assert_eq!(texts(&world, before), ["low"]);
    assert_eq!(world.intent(&low).await.state, IntentState::Delivered);
}

/// The vendor refuses it, or some is left again before it has left.
#[tokio::test(start_paused = true)]
async fn a_low_stock_is_told_after_all_where_the_out_of_stock_does_not_arrive() {
    const REFUSED: &str = r#"{"ok":false,"error":"msg_too_long"}"#;
    for ends in [false, true] {
        let world = slack().await;
        let [low, out] = low_and_out_that_wait(&world, "oil", ["chat", "chat"]).await;
        let answer = match ends {
            true => Answer::Status(503),
            false => Answer::Body(REFUSED),
        };
        world.vendors.first("slack.com", [answer]);
        let before = world.vendors.count();
        world.look(&low).await;
        assert_eq!(texts(&world, before), ["out"]);
        let state = async || world.intent(&low).await.state;
        if ends {
            assert_eq!(state().await, IntentState::Superseded);
            let end = world.resolve("oil/out", &["chat"]).await.remove(0);
            drive_both(&world, &end, &out).await;
        }
        assert_eq!(state().await, IntentState::Pending, "ends: {ends}");
        settle(&world, &low).await;
        assert_eq!(texts(&world, before), ["out", "low"], "ends: {ends}");
        assert_eq!(state().await, IntentState::Delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_point_loses_neither_of_a_low_and_an_out_of_stock() {
    let world = World::yielding(SLACK).await;
    world.set("TOKEN", Some("xoxb-1"));
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    for polls in 0.. {
        let item = format!("oil{polls}");
        let [low, out] = low_and_out_that_wait(&world, &item, ["chat", "chat"]).await;
        let before = world.vendors.count();
        let crashed = crash_after(polls, Box::pin(world.look(&low))).await;
        drive_both(&world, &low, &out).await;
        let mut told = texts(&world, before);
        told.dedup();
        assert_eq!(told, ["out"], "after {polls} polls");
        assert_eq!(world.intent(&out).await.state, IntentState::Delivered);
        if crashed.is_some() {
            assert!(polls > 5);
            break;
        }
    }
}

/// Each says so where the other is not told.
#[tokio::test(start_paused = true)]
async fn what_is_back_and_still_low_is_not_said_twice() {
    for both in [true, false] {
        let world = World::new(&(SLACK.to_owned() + &webhooks(&[("ops", "")]))).await;
        world.set("TOKEN", Some("xoxb-1"));
        world.vendors.always("slack.com", Answer::Body(ACCEPTED));
        let said = async |note: &str| *world.notes.lock().unwrap() = vec![note.to_owned()];
        let out = world.open("oil/out", &["chat"]).await.remove(0);
        settle(&world, &out).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        said(&still_low(3)).await;
        let end = world.resolve("oil/out", &["chat"]).await.remove(0);
        said(NO_LONGER_OUT).await;
        let hears = if both { "chat" } else { "ops" };
        let low = world.open_after("oil/out", "oil/low", &[hears]).await;
        settle(&world, &end).await;
        settle(&world, &low[0]).await;
        let seen = world.vendors.seen("slack.com").split_off(1);
        assert_eq!(seen.len(), if both { 2 } else { 1 });
        let says = |what: &str| seen.iter().filter(|it| it.body.contains(what)).count();
        assert_eq!(says(NO_LONGER_OUT), 0);
        assert_eq!(says(&still_low(3)), usize::from(!both));
        let ops = world.vendors.seen(HOST);
        assert_eq!(ops.len(), usize::from(!both));
        assert!(ops.iter().all(|it| it.body.contains(NO_LONGER_OUT)));
    }
}

#[tokio::test(start_paused = true)]
async fn two_alerts_on_an_item_that_speak_in_turn_do_not_wait_for_each_other() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let first = world.open("a1", &["ops"]).await.remove(0);
    settle(&world, &first).await;
    world.vendors.first(HOST, [Answer::After(503, 20)]);
    let graver = world.open_after("a1", "a2", &["ops"]).await.remove(0);
    assert!(matches!(world.look(&graver).await, Delivered::Again(_)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let rest = world
        .write_after("a2", "a1", 2, RevisionKind::Updated, &["ops"])
        .await
        .remove(0);
    let both = drive_both(&world, &rest, &graver);
    tokio::time::timeout(Duration::from_secs(600), both)
        .await
        .expect("one of them goes first");
    let seen = world.vendors.seen(HOST);
    assert_eq!(told(&seen), ["opened", "opened", "updated"]);
}

#[tokio::test(start_paused = true)]
async fn people_are_not_told_the_end_of_what_they_never_heard_of() {
    let world = slack().await;
    world.vendors.first("slack.com", [Answer::After(429, 20)]);
    let opened = world.open("a1", &["chat"]).await.remove(0);
    world.look(&opened).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let resolved = world.resolve("a1", &["chat"]).await.remove(0);
    drive_both(&world, &resolved, &opened).await;
    assert_eq!(world.vendors.seen("slack.com").len(), 1);
    for which in [&opened, &resolved] {
        assert_eq!(world.intent(which).await.state, IntentState::Superseded);
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_alert_does_not_wait_for_what_will_never_be_told() {
    let world = slack().await;
    world.vendors.first("slack.com", [Answer::Status(503)]);
    let first = world.open("a1", &["chat"]).await.remove(0);
    assert!(matches!(world.look(&first).await, Delivered::Again(_)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.resolve("a1", &["chat"]).await;
    let again = world.open_after("a1", "a2", &["chat"]).await.remove(0);
    let delivered = Delivered::Done(IntentState::Delivered);
    assert_eq!(world.look(&again).await, delivered);
}

/// Its route asks for graver ones than it was when it opened.
#[tokio::test(start_paused = true)]
async fn an_alert_that_became_graver_is_opened_where_nothing_of_it_was_told() {
    let world = World::new(&webhooks(&[("ops", ""), ("boss", "")])).await;
    let opened = world.open("a1", &["ops"]).await.remove(0);
    settle(&world, &opened).await;
    let due_at = world.clock.now();
    let both = ["ops", "boss"];
    let graver = world
        .write("a1", 2, RevisionKind::Escalated, &both, due_at)
        .await;
    for which in &graver {
        settle(&world, which).await;
    }
    assert_eq!(told(&world.vendors.seen(HOST)), ["opened", "escalated"]);
    assert_eq!(told(&world.vendors.seen("boss.example.com")), ["opened"]);
}

/// They knew of a graver alert when it began, and that is over. Its revision keeps its number.
#[tokio::test(start_paused = true)]
async fn an_alert_is_opened_where_its_beginning_was_spared() {
    let world = World::new(&webhooks(&[("ops", ""), ("late", "")])).await;
    let opened = world.open("a1", &["ops"]).await.remove(0);
    settle(&world, &opened).await;
    let due_at = world.clock.now();
    let rest = world
        .write("a1", 2, RevisionKind::Updated, &["late"], due_at)
        .await
        .remove(0);
    settle(&world, &rest).await;
    let worse = world
        .write("a1", 3, RevisionKind::Updated, &["late"], due_at)
        .await
        .remove(0);
    settle(&world, &worse).await;
    let seen = world.vendors.seen("late.example.com");
    assert_eq!(told(&seen), ["opened", "updated"]);
    let first: serde_json::Value = serde_json::from_str(&seen[0].body).unwrap();
    assert_eq!(first["type"], "stock.low_stock.opened");
    assert_eq!(first["data"]["revision"], 2);
}

/// Whether the later alert leaves is not known while a notifier that died has it in hand.
#[tokio::test(start_paused = true)]
async fn an_end_waits_until_it_is_known_whether_a_later_alert_has_left() {
    let world = slack().await;
    let first = world.open("oil/low", &["chat"]).await.remove(0);
    settle(&world, &first).await;
    world.vendors.first("slack.com", [Answer::After(429, 5)]);
    let over = world.resolve("oil/low", &["chat"]).await.remove(0);
    assert!(matches!(world.look(&over).await, Delivered::Again(_)));
    tokio::time::sleep(Duration::from_secs(6)).await;
    let again = world.open_after("oil/low", "oil/again", &["chat"]).await;
    // Its notifier dies in the middle of the call.
    world.vendors.first("slack.com", [Answer::Silence]);
    let dies = tokio::time::timeout(Duration::from_secs(1), world.look(&again[0]));
    assert!(dies.await.is_err());
    assert!(world.intent(&again[0]).await.in_flight);
    assert!(
        matches!(world.look(&over).await, Delivered::Again(_)),
        "nobody knows yet whether the other leaves"
    );
    settle(&world, &again[0]).await;
    settle(&world, &over).await;
    assert_eq!(world.intent(&again[0]).await.state, IntentState::Delivered);
    assert_eq!(world.intent(&over).await.state, IntentState::Superseded);
}

/// A notifier has the first in hand and dies, when the next has been told already.
#[tokio::test(start_paused = true)]
async fn nobody_reads_the_end_of_an_alert_after_the_beginning_of_the_next_on_the_same() {
    let world = slack().await;
    let first = world.open("oil/fast", &["chat"]).await.remove(0);
    let over = world.resolve("oil/fast", &["chat"]).await.remove(0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = world.open_after("oil/fast", "oil/faster", &["chat"]).await;
    settle(&world, &again[0]).await;
    let span = SignedDuration::from_secs(20);
    let lease = world.store.lease("oil/fast", 1, &first.channel, span).await;
    assert!(matches!(lease.unwrap(), Lease::Ours { .. }));
    drive_both(&world, &first, &over).await;
    assert_eq!(world.vendors.seen("slack.com").len(), 1);
    let over = world.intent(&over).await;
    assert_eq!(over.state, IntentState::Superseded);
    let reason = over.last_outcome.unwrap();
    assert!(reason.contains("oil/faster"), "{reason}");
}

/// A shop renames what is low while the vendor is down, and what is left of it under the new SKU is told first.
#[tokio::test(start_paused = true)]
async fn nobody_reads_that_an_alert_is_closed_after_they_were_told_of_what_it_goes_on_as() {
    for (goes_on, is_written_first) in [
        ("NEW@north/low", false),
        ("NEW@north/low", true),
        ("NEW@north/out", false),
    ] {
        let world = World::new(&(SLACK.to_owned() + &webhooks(&[("ops", "")]))).await;
        world.set("TOKEN", Some("xoxb-1"));
        world.vendors.always("slack.com", Answer::Body(ACCEPTED));
        let both = ["chat", "ops"];
        let all = async |revisions: &[IntentRef]| {
            for which in revisions {
                settle(&world, which).await;
            }
        };
        all(&world.open("OLD@north/low", &both).await).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        let ends = async || {
            *world.renamed_to.lock().unwrap() = Some("NEW");
            let ends = world.resolve("OLD@north/low", &both).await;
            *world.renamed_to.lock().unwrap() = None;
            ends
        };
        let (first, ends) = match is_written_first {
            true => {
                let first = world.open(goes_on, &both).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
                (first, ends().await)
            }
            false => {
                let ends = ends().await;
                world.vendors.first("slack.com", [Answer::Status(503)]);
                assert!(matches!(world.look(&ends[0]).await, Delivered::Again(_)));
                (world.open(goes_on, &both).await, ends)
            }
        };
        all(&first).await;
        all(&ends).await;
        let [told, closed] = [&first[0], &ends[0]];
        let states = [
            world.intent(told).await.state,
            world.intent(closed).await.state,
        ];
        assert_eq!(
            states,
            [IntentState::Delivered, IntentState::Superseded],
            "{goes_on}"
        );
        let reason = world.intent(closed).await.last_outcome.unwrap();
        assert!(reason.contains(goes_on), "{reason}");
        // A system has a state for each alert.
        assert_eq!(world.intent(&ends[1]).await.state, IntentState::Delivered);
    }
}

/// The vendor wants to be left alone, and meanwhile somebody dismisses what it was about.
#[tokio::test(start_paused = true)]
async fn a_late_message_about_quarantine_names_what_is_open_then() {
    let world = slack().await;
    let erp = "erp".parse().unwrap();
    let hold = async |row: &str| {
        let now = world.clock.now();
        let reason = ("bad_row", format!("row {row} cannot be read"));
        let held = Quarantined::new(&erp, now, row, row, reason);
        world.store.quarantine(&held).await.unwrap();
        held
    };
    let first = hold("A").await;
    world.vendors.first("slack.com", [Answer::After(429, 20)]);
    let told = "Row A cannot be read.".to_owned();
    *world.notes.lock().unwrap() = vec![told, "What can be done: lotwire quarantine".to_owned()];
    let opened = world.open("erp/held", &["chat"]).await.remove(0);
    world.look(&opened).await;
    hold("B").await;
    let dismissed = world.store.dismiss_quarantined(&first.id, "known", "anna");
    dismissed.await.unwrap();
    settle(&world, &opened).await;
    let body = world.vendors.seen("slack.com").pop().unwrap().body;
    assert!(body.contains("Row B cannot be read."), "{body}");
    assert!(!body.contains("Row A"), "{body}");
}

/// The vendor wants to be left alone, and meanwhile more is wrong.
#[tokio::test(start_paused = true)]
async fn a_late_message_about_a_source_goes_on_saying_why_it_is_sent() {
    let world = slack().await;
    let reminder = "A reminder: this has been so since 2026-01-14 09:30 GMT.";
    for (source, lead) in [
        ("erp", reminder.to_owned()),
        ("dms", Manner::default().flapping()),
    ] {
        let connector = source.parse().unwrap();
        let suspects = async |suspicion: &str| {
            let suspicions = vec![suspicion.to_owned()];
            let change = world
                .store
                .change_feed(&connector, |feed| feed.suspicions.clone_from(&suspicions));
            change.await.unwrap();
        };
        suspects("7 of 9 are gone.").await;
        *world.notes.lock().unwrap() = vec![lead.clone(), "7 of 9 are gone.".to_owned()];
        world.vendors.first("slack.com", [Answer::After(429, 20)]);
        let alert = format!("{source}/suspect");
        let told = world.open(&alert, &["chat"]).await.remove(0);
        world.look(&told).await;
        suspects("8 of 9 are gone.").await;
        settle(&world, &told).await;
        let body = world.vendors.seen("slack.com").pop().unwrap().body;
        assert!(body.contains("8 of 9 are gone."), "{body}");
        assert!(!body.contains("7 of 9"), "{body}");
        assert!(body.contains(&lead), "{body}");
    }
}

/// What waits because the vendor is down has had no try yet, and is told as it is by then.
#[tokio::test(start_paused = true)]
async fn what_is_over_before_the_vendor_is_back_is_not_told_as_open() {
    let world = slack().await;
    world.vendors.always("slack.com", Answer::Status(503));
    for alert in 0..5 {
        let alert = format!("down{alert}");
        let which = world.open(&alert, &["chat"]).await.remove(0);
        assert!(matches!(world.look(&which).await, Delivered::Again(_)));
    }
    let opened = world.open("a1", &["chat"]).await.remove(0);
    let heard_no_end = world.open("a2", &["chat"]).await.remove(0);
    let fallen = world.open("a3", &["chat"]).await.remove(0);
    for which in [&opened, &heard_no_end, &fallen] {
        assert!(matches!(world.look(which).await, Delivered::Again(_)));
        assert_eq!(world.intent(which).await.attempts, 0, "it was put off");
    }
    let sent = world.vendors.count();
    let resolved = world.resolve("a1", &["chat"]).await.remove(0);
    // A route that carries no ends.
    world.resolve("a2", &[]).await;
    let due_at = world.clock.now();
    let lower = world
        .write("a3", 2, RevisionKind::Updated, &["chat"], due_at)
        .await
        .remove(0);
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    tokio::time::sleep(Duration::from_secs(60)).await;
    for which in [&opened, &heard_no_end, &fallen, &resolved, &lower] {
        settle(&world, which).await;
    }
    for which in [&opened, &heard_no_end, &fallen, &resolved] {
        let intent = world.intent(which).await;
        assert_eq!(intent.state, IntentState::Superseded, "{intent:?}");
    }
    assert_eq!(world.intent(&lower).await.state, IntentState::Delivered);
    assert_eq!(world.vendors.count(), sent + 1, "what is true, once");
}

#[tokio::test(start_paused = true)]
async fn what_may_have_arrived_is_taken_back() {
    let world = slack().await;
    world.vendors.first("slack.com", [Answer::Lost]);
    let opened = world.open("a1", &["chat"]).await.remove(0);
    world.look(&opened).await;
    let resolved = world.resolve("a1", &["chat"]).await.remove(0);
    drive_both(&world, &resolved, &opened).await;
    assert_eq!(world.intent(&opened).await.state, IntentState::Superseded);
    assert_eq!(world.intent(&resolved).await.state, IntentState::Delivered);
    let seen = world.vendors.seen("slack.com");
    assert!(seen[1].body.contains("recovered"), "{}", seen[1].body);
}

#[tokio::test(start_paused = true)]
async fn people_are_told_what_is_true_now_and_not_what_was() {
    let world = slack().await;
    world.vendors.first("slack.com", [Answer::Status(503)]);
    let opened = world.open("a1", &["chat"]).await.remove(0);
    world.look(&opened).await;
    let due_at = world.clock.now();
    let updated = world
        .write("a1", 2, RevisionKind::Updated, &["chat"], due_at)
        .await
        .remove(0);
    drive_both(&world, &opened, &updated).await;
    assert_eq!(world.intent(&opened).await.state, IntentState::Superseded);
    assert_eq!(world.intent(&updated).await.state, IntentState::Delivered);
    assert_eq!(world.vendors.seen("slack.com").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn two_workers_at_once_keep_the_order() {
    for channel in ["ops", "chat"] {
        let channels = format!("{SLACK}{}", webhooks(&[("ops", "")]));
        let world = World::yielding(&channels).await;
        world.set("TOKEN", Some("xoxb-1"));
        world.vendors.always("slack.com", Answer::Body(ACCEPTED));
        for alert in 0..40 {
            let alert = format!("a{alert}");
            let opened = world.open(&alert, &[channel]).await.remove(0);
            let resolved = world.resolve(&alert, &[channel]).await.remove(0);
            let before = world.vendors.count();
            drive_both(&world, &resolved, &opened).await;
            if channel == "ops" {
                let seen = world.vendors.seen(HOST).split_off(before);
                assert_eq!(told(&seen), ["opened", "resolved"], "{alert}");
            } else {
                let seen = world.vendors.seen("slack.com").split_off(before);
                let recovered = |seen: &Seen| seen.body.contains("recovered");
                // Both in their order, or neither.
                match seen.as_slice() {
                    [] => {}
                    [first, last] => assert!(!recovered(first) && recovered(last), "{seen:?}"),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_point_keeps_the_order() {
    let world = Arc::new(World::yielding(&webhooks(&[("ops", "")])).await);
    for polls in 0.. {
        let alert = format!("a{polls}");
        let opened = world.open(&alert, &["ops"]).await.remove(0);
        let resolved = world.resolve(&alert, &["ops"]).await.remove(0);
        let before = world.vendors.count();
        let crashed = crash_after(polls, Box::pin(world.look(&opened))).await;
        drive_both(&world, &resolved, &opened).await;
        let seen = world.vendors.seen(HOST).split_off(before);
        assert_eq!(told(&seen), ["opened", "resolved"], "after {polls} polls");
        if crashed.is_some() {
            assert!(polls > 5);
            break;
        }
    }
}

/// Its turn under `max_per_second` comes within a second, for which it waits where it is.
#[tokio::test(start_paused = true)]
async fn what_is_over_while_it_waits_for_its_turn_is_not_told() {
    let world = World::new(&format!("{SLACK}max_per_second = 1\n")).await;
    world.set("TOKEN", Some("xoxb-1"));
    world.vendors.always("slack.com", Answer::Body(ACCEPTED));
    let deliverer = world.deliverer();
    let first = world.open("a1", &["chat"]).await.remove(0);
    deliverer.deliver(&first, world.deadline()).await.unwrap();
    let second = world.open("a2", &["chat"]).await.remove(0);
    let over = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.resolve("a2", &["chat"]).await.remove(0)
    };
    let look = deliverer.deliver(&second, world.deadline());
    let (_, end) = futures::future::join(look, over).await;
    settle(&world, &second).await;
    settle(&world, &end).await;
    for which in [&second, &end] {
        let state = world.intent(which).await.state;
        assert_eq!(state, IntentState::Superseded, "{which:?}");
    }
    assert_eq!(world.vendors.seen("slack.com").len(), 1);
}

/// Somebody decides while the vendor wants to be left alone, and that it is over is written after that.
#[tokio::test(start_paused = true)]
async fn a_suspicion_that_was_decided_while_its_message_waited_is_not_told() {
    let world = slack().await;
    let erp = "erp".parse().unwrap();
    let suspects = async |suspicions: &[&str]| {
        let suspicions: Vec<_> = suspicions.iter().map(|&it| it.to_owned()).collect();
        let change = world
            .store
            .change_feed(&erp, |feed| feed.suspicions.clone_from(&suspicions));
        change.await.unwrap();
    };
    suspects(&["7 of 9 are gone."]).await;
    world.vendors.first("slack.com", [Answer::After(429, 20)]);
    let opened = world.open("erp/suspect", &["chat"]).await.remove(0);
    world.look(&opened).await;
    suspects(&[]).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(matches!(world.look(&opened).await, Delivered::Again(_)));
    let end = world.resolve("erp/suspect", &["chat"]).await.remove(0);
    drive_both(&world, &opened, &end).await;
    assert_eq!(world.vendors.seen("slack.com").len(), 1);
}
