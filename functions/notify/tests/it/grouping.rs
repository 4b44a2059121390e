//! Alerts told together: when a group speaks, what it says, and that nothing is lost on the way.
//!
//! The timelines are those by which Alertmanager's own acceptance suite is known (merge, repeat, retry,
//! batching, resolved, filtered), ten times as long, on a virtual clock. A message may be 150 ms late
//! and never early.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lotwire::engine::Pump;
use serde_json::{Value, json};
use shared::bus::IntentRef;
use shared::delivery::Delivered;
use shared::domain::alert::RevisionKind::{self, Escalated, Opened, Resolved, Updated};
use shared::domain::event::{Change, Level, Version};
use shared::domain::group::{Belongs, Pace, Phase};
use shared::domain::id::ConnectorName;
use shared::domain::unit::{UnitReport, UnitState};
use shared::domain::watch::{self, Moment, Watch};
use shared::domain::{Authority, StockEvent};
use shared::installation::Installations;
use shared::store::groups::Which;
use shared::store::intents::{Intent, IntentState, Lease};
use shared::store::quarantine::Quarantined;
use shared::store::resend::Resend;
use shared::store::spent::Units;

use crate::world::{Answer, FAILURES, QUEUE, World, crash_after, webhooks};

/// How late a message may be.
const TOLERANCE: SignedDuration = SignedDuration::from_millis(150);

fn pace(wait: i64, interval: i64, repeat: Option<i64>) -> Pace {
    Pace {
        wait: SignedDuration::from_secs(wait),
        interval: SignedDuration::from_secs(interval),
        repeat: repeat.map(SignedDuration::from_secs),
        most: 10,
    }
}

fn all(pace: Pace) -> Belongs {
    Belongs {
        route: "all".to_owned(),
        labels: Vec::new(),
        pace,
    }
}

/// Webhooks, and the route whose groups bring to mind on them what is open.
fn reminding(channels: &[(&str, &str)]) -> String {
    let names: Vec<_> = channels.iter().map(|(name, _)| name).collect();
    let route = format!(
        "[[routes]]\nname = 'all'\nchannels = {names:?}\ngroup_by = []\nrepeat_interval = '1h'\n"
    );
    webhooks(channels) + &route
}

/// Alerts that come at their times, and what the channels are told of them.
struct Timeline {
    world: World,
    pump: Pump,
    start: Timestamp,
    belongs: Belongs,
}

/// A message as the vendor got it: when, in milliseconds, and the revisions that it names.
type Told = (i64, Vec<String>);

impl Timeline {
    async fn new(channels: &[(&str, &str)], pace: Pace) -> Self {
        Self::over(World::new(&reminding(channels)).await, pace)
    }

    fn over(world: World, pace: Pace) -> Self {
        let pump = world.notifying();
        Self {
            start: world.clock.now(),
            world,
            pump,
            belongs: all(pace),
        }
    }

    /// Waits until so many seconds after the start.
    async fn until(&self, seconds: i64) {
        let at = self.start + SignedDuration::from_secs(seconds);
        let wait = at.duration_since(self.world.clock.now());
        assert!(!wait.is_negative(), "the timeline goes forward");
        tokio::time::sleep(wait.unsigned_abs()).await;
    }

    /// Writes a revision, and enrolls it, as the evaluator does.
    async fn say(&self, alert: &str, revision: u32, change: RevisionKind, channels: &[&str]) {
        let due_at = self.world.clock.now() + SignedDuration::from_secs(90);
        let belongs = Some(&self.belongs);
        let intents = self
            .world
            .write_in(belongs, alert, revision, change, channels, due_at)
            .await;
        enroll(&self.world, &intents).await;
    }

    /// What a channel was told until now.
    fn told(&self, channel: &str) -> Vec<Told> {
        let seen = self.world.vendors.seen(&format!("{channel}.example.com"));
        let told = seen.iter().map(|seen| {
            let at = seen.at.duration_since(self.start).as_millis();
            (i64::try_from(at).unwrap(), named(&seen.body))
        });
        told.collect()
    }

    /// Insists that a channel was told this, at these seconds, and nothing else until `end`.
    async fn ends(&self, end: i64, channel: &str, expected: &[(i64, &[&str])]) {
        self.until(end).await;
        let told = self.told(channel);
        let what = |told: &[Told]| {
            told.iter()
                .map(|(_, what)| what.clone())
                .collect::<Vec<_>>()
        };
        let wanted: Vec<Told> = expected
            .iter()
            .map(|(at, what)| (at * 1_000, what.iter().map(|&one| one.to_owned()).collect()))
            .collect();
        assert_eq!(what(&told), what(&wanted), "{channel}: {told:?}");
        for ((at, what), (due, _)) in told.iter().zip(&wanted) {
            let late = SignedDuration::from_millis(at - due);
            assert!(
                !late.is_negative() && late <= TOLERANCE,
                "{channel}: {what:?} came at {at} ms instead of {due}"
            );
        }
    }

    /// Insists that every revision that was to be told on this channel was.
    async fn settled(&self, alerts: &[&str]) {
        for alert in alerts {
            let intents = self.world.store.intents_of(alert).await.unwrap();
            assert!(!intents.is_empty());
            for intent in intents {
                assert_eq!(intent.state, IntentState::Delivered, "{intent:?}");
                assert!(intent.carried_by.is_some(), "{intent:?}");
            }
        }
    }

    async fn stop(self) -> World {
        assert!(self.world.messages(FAILURES).await.is_empty());
        self.pump.stop().await;
        self.world
    }
}

async fn enroll(world: &World, intents: &[Intent]) {
    let mut messages = Vec::new();
    for intent in intents {
        let group = world.store.enroll(intent).await.unwrap();
        messages.extend(group.map(|group| group.intent(world.clock.now())));
    }
    assert_eq!(world.bus.announce(&messages).await, messages.len());
}

/// The revisions that a body names: `a1/2 resolved`; with the counts first, if it is about several.
fn named(body: &str) -> Vec<String> {
    let body: Value = serde_json::from_str(body).unwrap();
    let data = &body["data"];
    let one = |message: &Value| {
        let text = |key: &str| message[key].as_str().unwrap().to_owned();
        format!(
            "{}/{} {}",
            text("alert"),
            message["revision"],
            text("change")
        )
    };
    let digest = &data["digest"];
    let Some(alerts) = digest["alerts"].as_array() else {
        return vec![one(data)];
    };
    let number = |key: &str| digest[key].as_u64().unwrap();
    assert_eq!(number("total"), number("open") + number("resolved"));
    let mut names: Vec<String> = alerts.iter().map(one).collect();
    names.sort();
    let still = digest["reminder"].as_bool().unwrap_or_default();
    let lead = if still { "still" } else { "new" };
    names.insert(
        0,
        format!("{lead} {}+{}", number("open"), number("resolved")),
    );
    names
}

/// An alert that is told again before its group speaks is told once, as it stands.
#[tokio::test(start_paused = true)]
async fn revisions_of_one_alert_merge_into_its_last() {
    let line = Timeline::new(&[("ops", "")], pace(10, 10, Some(10))).await;
    line.until(10).await;
    line.say("a1", 1, Opened, &["ops"]).await;
    line.until(12).await;
    line.say("a1", 2, Updated, &["ops"]).await;
    line.until(21).await;
    line.say("a1", 3, Updated, &["ops"]).await;
    line.until(36).await;
    line.say("a1", 4, Updated, &["ops"]).await;
    line.until(46).await;
    line.say("a1", 5, Resolved, &["ops"]).await;
    line.until(53).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    let expected: &[(i64, &[&str])] = &[
        // Nobody had heard of it before.
        (20, &["a1/2 opened"]),
        (30, &["a1/3 updated"]),
        (40, &["a1/4 updated"]),
        (50, &["a1/5 resolved"]),
        // Nothing was left of the group, so the newcomer waits for company anew.
        (63, &["a2/1 opened"]),
        (73, &["still 1+0", "a2/1 opened"]),
    ];
    line.ends(80, "ops", expected).await;
    line.settled(&["a1", "a2"]).await;
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_still_open_is_brought_to_mind_until_it_is_over() {
    let line = Timeline::new(&[("ops", "")], pace(10, 10, Some(10))).await;
    line.until(10).await;
    line.say("a1", 1, Opened, &["ops"]).await;
    line.until(35).await;
    line.say("a1", 2, Resolved, &["ops"]).await;
    let expected: &[(i64, &[&str])] = &[
        (20, &["a1/1 opened"]),
        (30, &["still 1+0", "a1/1 opened"]),
        (40, &["a1/2 resolved"]),
    ];
    line.ends(600, "ops", expected).await;
    line.settled(&["a1"]).await;
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_fails_holds_up_no_other() {
    let line = Timeline::new(&[("well", ""), ("down", "")], pace(10, 20, Some(30))).await;
    let vendors = &line.world.vendors;
    vendors.first("down.example.com", [Answer::Status(503), Answer::Lost]);
    line.until(10).await;
    line.say("a1", 1, Opened, &["well", "down"]).await;
    let expected: &[(i64, &[&str])] =
        &[(20, &["a1/1 opened"]), (60, &["still 1+0", "a1/1 opened"])];
    line.ends(61, "well", expected).await;
    line.until(70).await;
    let down = line.world.vendors.seen("down.example.com");
    let late = down[0].at.duration_since(line.start) - SignedDuration::from_secs(20);
    assert!(!late.is_negative() && late <= TOLERANCE, "{late}");
    let (first, later): (Vec<_>, Vec<_>) = down.iter().partition(|seen| seen.key == down[0].key);
    assert_eq!(first.len(), 3, "two tries in vain, one that arrived");
    assert!(first.iter().all(|seen| seen.body == down[0].body));
    // It had its reminder too, once the first message was through.
    let reminders: Vec<_> = later.iter().map(|seen| named(&seen.body)).collect();
    assert_eq!(reminders, [["still 1+0", "a1/1 opened"]]);
    line.settled(&["a1"]).await;
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn alerts_that_come_together_are_told_together() {
    let line = Timeline::new(&[("ops", "")], pace(10, 10, Some(49))).await;
    for (at, alerts) in [(11, &["a1"][..]), (17, &["a5"]), (33, &["a2", "a3", "a4"])] {
        line.until(at).await;
        for alert in alerts {
            line.say(alert, 1, Opened, &["ops"]).await;
        }
    }
    let expected: &[(i64, &[&str])] = &[
        (21, &["new 2+0", "a1/1 opened", "a5/1 opened"]),
        (
            43,
            &["new 3+0", "a2/1 opened", "a3/1 opened", "a4/1 opened"],
        ),
        // The repeat interval, on the beat of the group's.
        (
            93,
            &[
                "still 5+0",
                "a1/1 opened",
                "a2/1 opened",
                "a3/1 opened",
                "a4/1 opened",
                "a5/1 opened",
            ],
        ),
    ];
    line.ends(130, "ops", expected).await;
    line.settled(&["a1", "a2", "a3", "a4", "a5"]).await;
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ends_are_told_together_and_then_there_is_silence() {
    let line = Timeline::new(&[("ops", "")], pace(10, 50, None)).await;
    for (at, revision, change) in [(10, 1, Opened), (110, 2, Resolved)] {
        line.until(at).await;
        for alert in ["v1", "v2", "v3"] {
            line.say(alert, revision, change, &["ops"]).await;
        }
    }
    let expected: &[(i64, &[&str])] = &[
        (
            20,
            &["new 3+0", "v1/1 opened", "v2/1 opened", "v3/1 opened"],
        ),
        (
            120,
            &["new 0+3", "v1/2 resolved", "v2/2 resolved", "v3/2 resolved"],
        ),
    ];
    line.ends(3_600, "ops", expected).await;
    line.settled(&["v1", "v2", "v3"]).await;
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_what_the_vendor_refused_to_tell_is_not_told() {
    let line = Timeline::new(&[("ops", "")], pace(10, 10, None)).await;
    line.world
        .vendors
        .first("ops.example.com", [Answer::Status(410)]);
    line.say("a1", 1, Opened, &["ops"]).await;
    line.until(30).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    line.until(50).await;
    line.say("a1", 2, Resolved, &["ops"]).await;
    line.say("a2", 2, Resolved, &["ops"]).await;
    let expected: &[(i64, &[&str])] = &[
        // Refused.
        (10, &["a1/1 opened"]),
        (40, &["a2/1 opened"]),
        (60, &["a2/2 resolved"]),
    ];
    line.ends(600, "ops", expected).await;
    let states: Vec<_> = line.world.store.intents_of("a1").await.unwrap();
    let states: Vec<_> = states.into_iter().map(|intent| intent.state).collect();
    assert_eq!(states, [IntentState::Rejected, IntentState::Superseded]);
    line.settled(&["a2"]).await;
    line.stop().await;
}

/// What a group was to say while the vendor was down it says as it is by then.
#[tokio::test(start_paused = true)]
async fn a_group_that_waited_for_its_vendor_says_what_is_so_by_then() {
    let line = Timeline::new(&[("ops", "")], pace(10, 10, None)).await;
    let world = &line.world;
    world.vendors.always("ops.example.com", Answer::Status(503));
    for alert in 0..5 {
        let alert = format!("down{alert}");
        let which = world.open(&alert, &["ops"]).await.remove(0);
        assert!(matches!(world.look(&which).await, Delivered::Again(_)));
    }
    line.say("a1", 1, Opened, &["ops"]).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    line.until(15).await;
    assert_eq!(line.told("ops").len(), 5, "it is put off, not tried");
    line.say("a1", 2, Resolved, &["ops"]).await;
    world.vendors.always("ops.example.com", Answer::Status(200));
    line.until(600).await;
    let told = line.told("ops");
    let named: Vec<_> = told[5..].iter().flat_map(|(_, named)| named).collect();
    assert!(named.iter().any(|name| *name == "a2/1 opened"), "{told:?}");
    assert!(
        !named.iter().any(|name| name.starts_with("a1/")),
        "{told:?}"
    );
    line.stop().await;
}

/// Reminders come of each alert by itself then, as of any that is not gathered.
#[tokio::test(start_paused = true)]
async fn a_group_whose_route_is_gone_brings_nothing_to_mind() {
    let line = Timeline::new(&[("ops", "")], pace(10, 10, Some(30))).await;
    line.say("a1", 1, Opened, &["ops"]).await;
    line.until(20).await;
    line.world.configure(&webhooks(&[("ops", "")])).await;
    line.ends(600, "ops", &[(10, &["a1/1 opened"])]).await;
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_brings_to_mind_again_what_is_open_when_its_route_is_back() {
    let line = Timeline::new(&[("ops", "")], pace(10, 10, Some(30))).await;
    line.say("a1", 1, Opened, &["ops"]).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    line.until(20).await;
    line.world.configure(&webhooks(&[("ops", "")])).await;
    line.until(150).await;
    line.world
        .write("a2", 2, Resolved, &[], line.world.clock.now())
        .await;
    line.until(300).await;
    assert_eq!(line.told("ops").len(), 1, "{:?}", line.told("ops"));
    line.world.configure(&reminding(&[("ops", "")])).await;
    line.until(335).await;
    let told: Vec<_> = line.told("ops").into_iter().map(|(_, what)| what).collect();
    assert_eq!(told[1..], [["still 1+0", "a1/1 opened"]], "{told:?}");
    // Without its route it does not look for ever after what is over.
    line.world.configure(&webhooks(&[("ops", "")])).await;
    line.world
        .write("a1", 2, Resolved, &[], line.world.clock.now())
        .await;
    line.until(500).await;
    let group = line.belongs.id(&"ops".parse().unwrap());
    let group = line.world.store.group(&group).await.unwrap().unwrap().data;
    assert_eq!(group.schedule.phase, Phase::Quiet);
    line.stop().await;
}

/// A channel that does not hear of ends is not reminded of what is over all the same.
#[tokio::test(start_paused = true)]
async fn an_end_that_is_not_told_still_counts() {
    let line = Timeline::new(&[("both", ""), ("open", "")], pace(10, 50, Some(200))).await;
    line.until(10).await;
    line.say("v1", 1, Opened, &["both", "open"]).await;
    line.say("v2", 1, Opened, &["both", "open"]).await;
    line.until(30).await;
    line.say("v1", 2, Resolved, &["both"]).await;
    line.say("v3", 1, Opened, &["both", "open"]).await;
    line.until(110).await;
    line.say("v2", 2, Resolved, &["both"]).await;
    let both: &[(i64, &[&str])] = &[
        (20, &["new 2+0", "v1/1 opened", "v2/1 opened"]),
        (70, &["new 1+1", "v1/2 resolved", "v3/1 opened"]),
        (120, &["v2/2 resolved"]),
        (320, &["still 1+0", "v3/1 opened"]),
    ];
    let open: &[(i64, &[&str])] = &[
        (20, &["new 2+0", "v1/1 opened", "v2/1 opened"]),
        (70, &["v3/1 opened"]),
        (270, &["still 1+0", "v3/1 opened"]),
    ];
    line.until(330).await;
    line.ends(330, "both", both).await;
    line.ends(330, "open", open).await;
    line.settled(&["v1", "v2", "v3"]).await;
    line.stop().await;
}

/// Neither the queue's whole seconds nor a slow vendor puts a group off its beat.
#[tokio::test(start_paused = true)]
async fn fractions_of_a_second_do_not_add_up() {
    let pace = Pace {
        wait: SignedDuration::from_millis(10_370),
        interval: SignedDuration::from_millis(20_730),
        ..pace(0, 0, None)
    };
    let line = Timeline::new(&[("ops", "")], pace).await;
    let mut due = pace.wait;
    line.say("a0", 1, Opened, &["ops"]).await;
    for number in 1..20 {
        let told_at = line.start + due + SignedDuration::from_millis(100);
        let wait = told_at.duration_since(line.world.clock.now());
        tokio::time::sleep(wait.unsigned_abs()).await;
        let told = line.told("ops");
        assert_eq!(told.len(), number);
        let late = i128::from(told[number - 1].0) - due.as_millis();
        assert!(
            (0..=150).contains(&late),
            "message {number} was {late} ms late"
        );
        line.say(&format!("a{number}"), 1, Opened, &["ops"]).await;
        due += pace.interval;
    }
    line.stop().await;
}

/// The intent of the next message of this intent's group.
async fn message_of(world: &World, intent: &Intent) -> Intent {
    let id = intent.group.as_deref().unwrap().id(&intent.channel);
    let group = world.store.group(&id).await.unwrap().unwrap();
    group.data.intent(world.clock.now())
}

async fn opened(world: &World, belongs: &Belongs, alerts: &[&str]) -> Vec<Intent> {
    let due_at = world.clock.now() + SignedDuration::from_secs(90);
    let mut intents = Vec::new();
    for alert in alerts {
        let mut one = world
            .write_in(Some(belongs), alert, 1, Opened, &["ops"], due_at)
            .await;
        intents.append(&mut one);
    }
    for intent in &intents {
        world.store.enroll(intent).await.unwrap();
    }
    intents
}

/// Wherever a notifier ends, the next one says the same under the same key, and everything is settled.
#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_neither_loses_nor_changes_the_message() {
    let mut sent_twice = 0;
    for polls in 0.. {
        let world = World::yielding(&reminding(&[("ops", "")])).await;
        let belongs = all(pace(5, 60, Some(120)));
        let intents = opened(&world, &belongs, &["a1", "a2"]).await;
        let which = IntentRef::from(&message_of(&world, &intents[0]).await);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let deliverer = world.deliverer();
        let deadline = world.deadline();
        let finished = crash_after(polls, deliverer.deliver(&which, deadline))
            .await
            .is_some();
        // Who comes next finds a lease that runs out, and goes on.
        let deliverer = world.deliverer();
        for _ in 0..10 {
            let delivered = deliverer.deliver(&which, world.deadline()).await.unwrap();
            if matches!(delivered, Delivered::Settled | Delivered::Next(_)) {
                break;
            }
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        let seen = world.vendors.seen("ops.example.com");
        let distinct: BTreeSet<_> = seen.iter().map(|seen| (&seen.key, &seen.body)).collect();
        assert_eq!(distinct.len(), 1, "after {polls} polls: {seen:?}");
        assert!(seen.len() <= 2, "after {polls} polls: {seen:?}");
        sent_twice += usize::from(seen.len() == 2);
        for intent in &intents {
            let intent = world.intent(&IntentRef::from(intent)).await;
            assert_eq!(intent.state, IntentState::Delivered, "after {polls} polls");
            assert_eq!(intent.carried_by.as_deref(), Some(which.alert.as_str()));
        }
        let group = belongs.id(&"ops".parse().unwrap());
        assert!(
            !world
                .store
                .has_members(&group, Which::Waiting)
                .await
                .unwrap()
        );
        assert!(world.store.has_members(&group, Which::Told).await.unwrap());
        let schedule = world
            .store
            .group(&group)
            .await
            .unwrap()
            .unwrap()
            .data
            .schedule;
        assert!(
            matches!(schedule.phase, Phase::Reminding(_)),
            "{schedule:?}"
        );
        assert_eq!(schedule.flushes, 1);
        if finished {
            assert!(
                polls > 30 && sent_twice > 0,
                "{polls} polls, {sent_twice} sent twice"
            );
            return;
        }
    }
}

/// Whoever joins while the group speaks or falls quiet is told with the next message.
#[tokio::test(start_paused = true)]
async fn nobody_who_joins_at_a_bad_moment_is_forgotten() {
    for polls in 0.. {
        let world = World::yielding(&webhooks(&[("ops", "")])).await;
        let belongs = all(pace(5, 60, None));
        let first = opened(&world, &belongs, &["a1"]).await;
        let which = IntentRef::from(&message_of(&world, &first[0]).await);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let deliverer = world.deliverer();
        let deadline = world.deadline();
        // The notifier pauses there, the evaluator does its whole work, and the notifier goes on.
        let mut delivery = std::pin::pin!(deliverer.deliver(&which, deadline));
        let paused = crash_after(polls, delivery.as_mut()).await;
        let finished = paused.is_some();
        let due_at = world.clock.now() + SignedDuration::from_secs(90);
        let second = world
            .write_in(Some(&belongs), "a2", 1, Opened, &["ops"], due_at)
            .await;
        let announced = world.store.enroll(&second[0]).await.unwrap().is_some();
        let delivered = match paused {
            Some(delivered) => delivered.unwrap(),
            None => delivery.await.unwrap(),
        };
        let is_told =
            world.intent(&IntentRef::from(&second[0])).await.state == IntentState::Delivered;
        let group = world
            .store
            .group(&belongs.id(&"ops".parse().unwrap()))
            .await
            .unwrap()
            .unwrap();
        let waits = matches!(group.data.schedule.phase, Phase::Waiting(_));
        assert!(
            is_told != waits,
            "after {polls} polls: {:?}",
            group.data.schedule
        );
        // One of the two sees to the next message.
        let seen_to = announced || matches!(delivered, Delivered::Next(_));
        assert!(is_told || seen_to, "after {polls} polls: {delivered:?}");
        if finished {
            assert!(polls > 30);
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_repeated_finds_nothing_to_do() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let pump = world.notifying();
    let intents = opened(&world, &all(pace(30, 60, None)), &["a1", "a2"]).await;
    let message = message_of(&world, &intents[0]).await;
    world.bus.announce(&vec![message; 20]).await;
    // Nor does a member travel on its own, whoever asks.
    world.bus.announce(&intents).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    pump.idle().await;
    assert_eq!(world.vendors.count(), 1);
    assert!(
        world.messages(QUEUE).await.is_empty(),
        "no look is left over"
    );
    pump.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_vendor_refuses_is_refused_for_every_member() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let pump = world.notifying();
    world.vendors.always("ops.example.com", Answer::Status(410));
    let belongs = all(pace(5, 60, None));
    let intents = opened(&world, &belongs, &["a1", "a2"]).await;
    let message = message_of(&world, &intents[0]).await;
    let which = IntentRef::from(&message);
    world.bus.announce(&[message]).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    pump.idle().await;
    for intent in &intents {
        let intent = world.intent(&IntentRef::from(intent)).await;
        assert_eq!(intent.state, IntentState::Rejected);
        let outcome = intent.last_outcome.unwrap();
        assert_eq!(
            outcome,
            "rejected: HTTP 410: the endpoint is gone; switch it off"
        );
    }
    assert_eq!(world.outcomes(&which).await, ["rejected"]);
    pump.stop().await;
}

/// What was put together before a failed try is put together anew if it is no longer so.
#[tokio::test(start_paused = true)]
async fn a_group_says_what_is_true_when_the_vendor_takes_it() {
    let line = Timeline::new(&[("ops", "")], pace(10, 20, None)).await;
    let vendors = &line.world.vendors;
    vendors.first("ops.example.com", [Answer::After(429, 20)]);
    line.until(10).await;
    line.say("a1", 1, Opened, &["ops"]).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    // Refused at 20; due again from 40 on.
    line.until(30).await;
    line.say("a1", 2, Resolved, &["ops"]).await;
    line.until(200).await;
    let seen = line.world.vendors.seen("ops.example.com");
    let told: Vec<_> = seen.iter().map(|seen| named(&seen.body)).collect();
    assert_eq!(told[0], ["new 2+0", "a1/1 opened", "a2/1 opened"]);
    assert_eq!(told[1..], [vec!["a2/1 opened".to_owned()]]);
    let state = async |alert, revision| {
        let channel = "ops".parse().unwrap();
        let stored = line.world.store.intent(alert, revision, &channel).await;
        stored.unwrap().unwrap().data.state
    };
    assert_eq!(state("a2", 1).await, IntentState::Delivered);
    assert_eq!(state("a1", 1).await, IntentState::Superseded);
    assert_eq!(state("a1", 2).await, IntentState::Superseded);
    line.stop().await;
}

/// Also of those that it does not name.
#[tokio::test(start_paused = true)]
async fn a_group_counts_what_is_so_when_its_vendor_takes_it() {
    let one = Pace {
        most: 1,
        ..pace(10, 20, None)
    };
    let line = Timeline::new(&[("ops", "")], one).await;
    let vendors = &line.world.vendors;
    vendors.first("ops.example.com", [Answer::After(429, 20)]);
    line.until(10).await;
    for alert in ["a1", "a2", "a3"] {
        line.say(alert, 1, Opened, &["ops"]).await;
    }
    // Refused at 20; due again from 40 on.
    line.until(30).await;
    line.say("a3", 2, Resolved, &["ops"]).await;
    line.until(200).await;
    let told: Vec<_> = line.told("ops").into_iter().map(|it| it.1).collect();
    assert_eq!(
        told,
        [["new 3+0", "a1/1 opened"], ["new 2+0", "a1/1 opened"]]
    );
    line.stop().await;
}

/// Its vendor did not take it at once, and meanwhile one that it does not name is over: the next one says so.
#[tokio::test(start_paused = true)]
async fn a_reminder_counts_what_is_open_when_it_leaves() {
    let one = Pace {
        most: 1,
        ..pace(10, 10, Some(50))
    };
    let line = Timeline::new(&[("ops", "")], one).await;
    for alert in ["a1", "a2", "a3"] {
        line.say(alert, 1, Opened, &["ops"]).await;
    }
    line.until(40).await;
    let refusals = [503].map(Answer::Status);
    line.world.vendors.first("ops.example.com", refusals);
    line.until(61).await;
    let now = line.world.clock.now();
    line.world.write("a3", 2, Resolved, &[], now).await;
    line.until(130).await;
    let told: Vec<_> = line.told("ops").into_iter().map(|it| it.1).collect();
    let all = [
        ["new 3+0", "a1/1 opened"],
        ["still 3+0", "a1/1 opened"],
        ["still 2+0", "a1/1 opened"],
    ];
    assert_eq!(told, all);
    line.stop().await;
}

/// It was low before, and is still.
#[tokio::test(start_paused = true)]
async fn a_group_says_how_much_is_left_when_its_vendor_takes_it() {
    let line = Timeline::new(&[("ops", "")], pace(10, 20, None)).await;
    let world = &line.world;
    world
        .vendors
        .first("ops.example.com", [Answer::After(429, 20)]);
    states(world, line.start, 2).await;
    line.until(10).await;
    line.say("OIL@north/low", 1, Opened, &["ops"]).await;
    line.until(30).await;
    states(world, world.clock.now(), 1).await;
    line.until(200).await;
    let seen = world.vendors.seen("ops.example.com");
    let left = seen.iter().map(|seen| {
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        body["data"]["after"]["available"].as_i64().unwrap()
    });
    assert_eq!(left.collect::<Vec<_>>(), [2, 1]);
    line.stop().await;
}

/// Has a till state how much oil there is in the north.
async fn states(world: &World, at: Timestamp, on_hand: i64) {
    let stated = StockEvent {
        id: format!("level-{on_hand}").parse().unwrap(),
        source: "till".parse().unwrap(),
        at,
        actor: None,
        change: Change::LevelSet {
            product: "OIL".parse().unwrap(),
            location: "north".parse().unwrap(),
            level: Level {
                on_hand,
                reserved: None,
                incoming: None,
                unavailable: None,
            },
            version: Version::at(at),
            called: None,
        },
    };
    let applied = world.store.apply(&stated, &Authority::default()).await;
    applied.unwrap();
}

/// Nobody is told the end of what nobody was told had begun.
#[tokio::test(start_paused = true)]
async fn what_is_over_before_its_group_speaks_is_not_told() {
    let line = Timeline::new(&[("ops", "")], pace(30, 60, None)).await;
    line.until(10).await;
    line.say("a1", 1, Opened, &["ops"]).await;
    line.until(20).await;
    line.say("a1", 2, Resolved, &["ops"]).await;
    line.until(300).await;
    assert_eq!(line.told("ops"), []);
    for intent in line.world.store.intents_of("a1").await.unwrap() {
        assert_eq!(intent.state, IntentState::Superseded);
    }
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_became_graver_is_opened_in_a_group_that_has_not_told_it() {
    let line = Timeline::new(&[("ops", ""), ("boss", "")], pace(10, 20, None)).await;
    line.say("a1", 1, Opened, &["ops"]).await;
    line.until(30).await;
    line.say("a1", 2, Escalated, &["ops", "boss"]).await;
    line.until(100).await;
    let told = |channel: &str| -> Vec<_> {
        let told = line.told(channel).into_iter();
        told.flat_map(|(_, what)| what).collect()
    };
    assert_eq!(told("ops"), ["a1/1 opened", "a1/2 escalated"]);
    assert_eq!(told("boss"), ["a1/2 opened"]);
    line.stop().await;
}

/// Its route gathers no more, is gone, or carries no ends.
#[tokio::test(start_paused = true)]
async fn what_is_over_by_an_end_that_its_group_is_not_to_tell_is_not_told_as_open() {
    let line = Timeline::new(&[("ops", ""), ("open", "")], pace(30, 60, None)).await;
    line.until(10).await;
    line.say("a1", 1, Opened, &["ops", "open"]).await;
    line.say("a2", 1, Opened, &["ops", "open"]).await;
    line.until(20).await;
    let end = line.world.resolve("a1", &["ops"]).await.remove(0);
    line.world.announce(&end).await;
    line.until(300).await;
    for channel in ["ops", "open"] {
        let told: Vec<_> = line.told(channel).into_iter().map(|it| it.1).collect();
        assert_eq!(told, [["a2/1 opened"]], "{channel}");
    }
    for intent in line.world.store.intents_of("a1").await.unwrap() {
        assert_eq!(intent.state, IntentState::Superseded, "{intent:?}");
    }
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_beside_its_group_is_told_where_the_beginning_was() {
    let line = Timeline::new(&[("ops", "")], pace(10, 60, None)).await;
    line.say("a1", 1, Opened, &["ops"]).await;
    line.until(20).await;
    line.say("a1", 2, Updated, &["ops"]).await;
    line.until(30).await;
    let due_at = line.world.clock.now();
    let end = line
        .world
        .write("a1", 3, Resolved, &["ops"], due_at)
        .await
        .remove(0);
    line.world.announce(&end).await;
    line.until(300).await;
    let told: Vec<_> = line.told("ops").into_iter().map(|it| it.1).collect();
    assert_eq!(told, [["a1/1 opened"], ["a1/3 resolved"]]);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_channel_is_not_live_says_what_is_still_true_once_it_is() {
    let line = Timeline::new(&[("ops", "")], pace(10, 60, None)).await;
    let secret = line.world.environment.lock().unwrap().remove("SECRET");
    line.until(10).await;
    line.say("a1", 1, Opened, &["ops"]).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    line.until(100).await;
    for alert in ["a1", "a2"] {
        let intents = line.world.store.intents_of(alert).await.unwrap();
        assert_eq!(intents[0].state, IntentState::NotSent);
        let words = intents[0].last_outcome.as_deref();
        assert_eq!(words, Some("not_sent: env:SECRET is not set"));
    }
    line.say("a1", 2, Resolved, &["ops"]).await;
    line.world.set("SECRET", secret.as_deref());
    line.until(1_000).await;
    let told: Vec<_> = line.told("ops").into_iter().map(|(_, what)| what).collect();
    assert_eq!(told, [["a2/1 opened"]]);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_speaks_within_a_minute_of_its_channel_being_live_again() {
    for way in ["credentials", "switch"] {
        let ops = [("ops", "")];
        let line = Timeline::new(&ops, pace(10, 60, None)).await;
        let secret = line
            .world
            .environment
            .lock()
            .unwrap()
            .get("SECRET")
            .cloned();
        match way {
            "credentials" => line.world.set("SECRET", None),
            _ => {
                let off = reminding(&[("ops", "enabled = false")]);
                line.world.configure(&off).await;
            }
        }
        line.say("a1", 1, Opened, &["ops"]).await;
        line.say("a2", 1, Opened, &["ops"]).await;
        line.until(100).await;
        assert_eq!(line.told("ops"), []);
        match way {
            "credentials" => line.world.set("SECRET", secret.as_deref()),
            _ => line.world.configure(&reminding(&ops)).await,
        }
        line.until(165).await;
        let told: Vec<_> = line.told("ops").into_iter().map(|(_, what)| what).collect();
        assert_eq!(told, [["new 2+0", "a1/1 opened", "a2/1 opened"]], "{way}");
        line.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_reads_that_some_are_left_after_that_none_is() {
    let line = Timeline::new(&[("ops", "")], pace(30, 60, None)).await;
    line.say("oil/low", 1, Opened, &["ops"]).await;
    line.say("mat/low", 1, Opened, &["ops"]).await;
    line.until(10).await;
    // Another route tells it at once.
    let out = line.world.open("oil/out", &["ops"]).await.remove(0);
    line.world.announce(&out).await;
    line.until(300).await;
    let told: Vec<_> = line.told("ops").into_iter().map(|(_, what)| what).collect();
    assert_eq!(told, [["oil/out/1 opened"], ["mat/low/1 opened"]]);
    let low = line.world.store.intents_of("oil/low").await.unwrap();
    assert_eq!(low[0].state, IntentState::Superseded, "{low:?}");
    // Nobody heard of its beginning, so nobody hears of its end.
    line.say("oil/low", 2, Resolved, &["ops"]).await;
    line.until(600).await;
    assert_eq!(line.told("ops").len(), 2);
    line.stop().await;
}

/// An item was out of stock for a moment, and what was low before that is low after it.
#[tokio::test(start_paused = true)]
async fn what_is_low_is_told_although_it_was_out_of_stock_meanwhile() {
    let line = Timeline::new(&[("ops", "")], pace(30, 60, None)).await;
    line.say("oil/low", 1, Opened, &["ops"]).await;
    line.until(10).await;
    let out = line.world.open("oil/out", &["ops"]).await.remove(0);
    line.world.announce(&out).await;
    line.until(20).await;
    line.world
        .write("oil/out", 2, Resolved, &["ops"], line.world.clock.now())
        .await;
    line.until(300).await;
    let told: Vec<_> = line.told("ops").into_iter().map(|(_, what)| what).collect();
    assert!(
        told.contains(&vec!["oil/low/1 opened".to_owned()]),
        "{told:?}"
    );
    let low = line.world.store.intents_of("oil/low").await.unwrap();
    assert_eq!(low[0].state, IntentState::Delivered, "{low:?}");
    line.stop().await;
}

/// What its vendor refused to carry is nobody's news: then the other is.
#[tokio::test(start_paused = true)]
async fn what_is_low_is_told_where_that_nothing_is_left_did_not_arrive() {
    let line = Timeline::new(&[("ops", "")], pace(30, 60, None)).await;
    line.say("oil/low", 1, Opened, &["ops"]).await;
    line.until(10).await;
    let vendors = &line.world.vendors;
    vendors.first("ops.example.com", [Answer::Status(410)]);
    let out = line.world.open("oil/out", &["ops"]).await.remove(0);
    line.world.announce(&out).await;
    line.until(300).await;
    let told: Vec<_> = line.told("ops").into_iter().map(|(_, what)| what).collect();
    assert_eq!(told, [["oil/out/1 opened"], ["oil/low/1 opened"]]);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_one_item_a_group_says_only_what_is_left_now() {
    let line = Timeline::new(&[("ops", "")], pace(30, 60, None)).await;
    line.say("oil/low", 1, Opened, &["ops"]).await;
    line.say("oil/fast", 1, Opened, &["ops"]).await;
    line.until(10).await;
    line.say("oil/out", 1, Opened, &["ops"]).await;
    line.until(300).await;
    let told = line.told("ops");
    let [(_, told)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(told, &["new 2+0", "oil/fast/1 opened", "oil/out/1 opened"]);
    let body: Value =
        serde_json::from_str(&line.world.vendors.seen("ops.example.com")[0].body).unwrap();
    let alerts = body["data"]["digest"]["alerts"].as_array().unwrap();
    let fast = alerts.iter().find(|it| it["alert"] == "oil/fast").unwrap();
    // Two were left when it was noticed that it sells fast.
    assert_eq!(fast["after"], Value::Null);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reminder_says_nothing_of_what_is_low_while_nothing_is_left() {
    let line = Timeline::new(&[("ops", "")], pace(10, 10, Some(50))).await;
    line.say("oil/low", 1, Opened, &["ops"]).await;
    line.until(20).await;
    let out = line.world.open("oil/out", &["ops"]).await.remove(0);
    line.world.announce(&out).await;
    line.until(80).await;
    assert_eq!(line.told("ops").len(), 2, "{:?}", line.told("ops"));
    line.world
        .write("oil/out", 2, Resolved, &[], line.world.clock.now())
        .await;
    line.until(125).await;
    let last = line.told("ops").pop().unwrap();
    assert_eq!(last.1, ["still 1+0", "oil/low/1 opened"]);
    // How many were left before that is no longer known.
    let seen = line.world.vendors.seen("ops.example.com").pop().unwrap();
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(body["data"]["digest"]["alerts"][0]["after"], Value::Null);
    line.stop().await;
}

/// Who is reminded of it by itself is not either, until it is steady.
#[tokio::test(start_paused = true)]
async fn a_reminder_says_nothing_of_what_is_not_so_when_it_leaves_or_goes_back_and_forth() {
    // Before it is put together, and after, where its vendor did not take it at once.
    for seconds in [40, 61] {
        let line = Timeline::new(&[("ops", "")], pace(10, 10, Some(50))).await;
        for alert in ["back", "flaps", "low"] {
            line.say(alert, 1, Opened, &["ops"]).await;
        }
        line.until(40).await;
        let refusals = [503].map(Answer::Status);
        line.world.vendors.first("ops.example.com", refusals);
        line.until(seconds).await;
        let since = Moment(line.world.clock.now());
        let recovers = |watch: &mut Watch| {
            let episode = watch.episode().unwrap().clone();
            watch.phase = watch::Phase::Recovering { since, episode };
        };
        line.world.alter_watch("back", recovers).await;
        let until = Moment(since.0 + SignedDuration::from_mins(30));
        let flaps = |watch: &mut Watch| watch.damped_until = Some(until);
        line.world.alter_watch("flaps", flaps).await;
        line.until(300).await;
        let told = line.told("ops").into_iter();
        let later = told.filter(|(at, _)| *at >= seconds * 1_000);
        let told: Vec<_> = later.map(|(_, what)| what).collect();
        assert!(told.len() > 1, "{seconds}: {told:?}");
        for reminder in &told {
            assert_eq!(
                *reminder,
                ["still 1+0", "low/1 opened"],
                "{seconds}: {told:?}"
            );
        }
        line.stop().await;
    }
}

/// Nor of what a sender of webhooks has stated that is silent by now, until it is heard again.
#[tokio::test(start_paused = true)]
async fn a_group_reminds_nobody_of_what_a_silent_sender_has_stated() {
    let line = Timeline::new(&[("ops", "")], pace(10, 10, Some(10))).await;
    let world = &line.world;
    let till = "[connectors.till]\nkind = 'generic'\nstale_after = '2h'\nwebhook = { secret = 'env:SECRET' }\n";
    world.configure(&(reminding(&[("ops", "")]) + till)).await;
    states(world, line.start - SignedDuration::from_hours(1), 2).await;
    line.say("OIL@north/low", 1, Opened, &["ops"]).await;
    line.until(15).await;
    world.open("till/stale", &[]).await;
    let since = world.clock.now().as_millisecond();
    world
        .alter_watch("till/stale", |watch| {
            let episode = json!({ "a": "till/stale", "o": since, "n": 1, "s": "critical" });
            watch.phase = watch::Phase::Open(serde_json::from_value(episode).unwrap());
        })
        .await;
    line.until(60).await;
    let told: Vec<_> = line.told("ops").into_iter().map(|it| it.1).collect();
    assert_eq!(told, [["OIL@north/low/1 opened"]]);
    world.resolve("till/stale", &[]).await;
    line.until(120).await;
    assert!(line.told("ops").len() > 2, "{:?}", line.told("ops"));
    line.stop().await;
}

const ROOM: &str = "[channels.ops]\nkind = 'slack'\ntoken = 'env:SECRET'\nchannel = 'C1'\n";
const ACCEPTED: &str = r#"{"ok":true,"channel":"C1","ts":"17.1"}"#;

/// How often people read that an item is all right again.
fn closings(line: &Timeline) -> usize {
    let read = read(line);
    let closes = |text: &str| {
        ["Stock recovered", "No longer out"]
            .iter()
            .any(|it| text.contains(it))
    };
    read.iter().filter(|text| closes(text)).count()
}

/// One is told by itself, and the other by a group whose message is just leaving.
#[tokio::test(start_paused = true)]
async fn an_end_waits_for_a_message_that_tells_another_end_of_the_item() {
    let line = in_a_room(pace(10, 20, None)).await;
    let low = line.world.open("oil/low", &["ops"]).await.remove(0);
    line.world.announce(&low).await;
    line.until(5).await;
    line.say("oil/out", 1, Opened, &["ops"]).await;
    line.until(40).await;
    line.say("oil/out", 2, Resolved, &["ops"]).await;
    let due_at = line.world.clock.now() + SignedDuration::from_mins(5);
    let ends = line.world.write("oil/low", 2, Resolved, &["ops"], due_at);
    let end = ends.await.remove(0);
    // It comes late, when the other has been put in words.
    let told = read(&line).len();
    assert_eq!(told, 2, "{:#?}", read(&line));
    let mut waited = 0;
    while read(&line).len() == told {
        tokio::time::sleep(Duration::from_millis(1)).await;
        waited += 1;
        assert!(waited < 60_000);
    }
    let state = line.world.drive(&end).await;
    assert_eq!((state, closings(&line)), (IntentState::Superseded, 1));
    line.stop().await;
}

/// One is told by a group while the other, by itself, is on its way.
#[tokio::test(start_paused = true)]
async fn a_group_keeps_an_end_while_another_end_of_the_item_is_on_its_way() {
    for arrives in [true, false] {
        let line = in_a_room(pace(10, 20, None)).await;
        line.say("oil/low", 1, Opened, &["ops"]).await;
        line.until(15).await;
        let out = line.world.open("oil/out", &["ops"]).await.remove(0);
        line.world.announce(&out).await;
        line.until(40).await;
        line.say("oil/low", 2, Resolved, &["ops"]).await;
        let due_at = line.world.clock.now() + SignedDuration::from_mins(5);
        let ends = line.world.write("oil/out", 2, Resolved, &["ops"], due_at);
        let end = ends.await.remove(0);
        let ops = "ops".parse().unwrap();
        let span = SignedDuration::from_secs(12);
        let lease = line.world.store.lease("oil/out", 2, &ops, span).await;
        assert!(matches!(lease.unwrap(), Lease::Ours { .. }));
        // The group was to speak at 50, and looks again at 55.
        line.until(53).await;
        assert_eq!(closings(&line), 0, "{:#?}", read(&line));
        if !arrives {
            let refusal = r#"{"ok":false,"error":"invalid_blocks"}"#;
            let vendors = &line.world.vendors;
            vendors.first("slack.com", [Answer::Body(refusal)]);
        }
        line.world.drive(&end).await;
        line.until(300).await;
        let read = read(&line);
        let told = if arrives { 1 } else { 2 };
        assert_eq!(closings(&line), told, "{read:#?}");
        let last = read.last().unwrap();
        assert_eq!(last.contains("No longer out"), arrives, "{read:#?}");
        line.stop().await;
    }
}

/// A group on a channel for people, whose vendor takes what it is sent, unless told otherwise.
async fn in_a_room(pace: Pace) -> Timeline {
    let line = Timeline::new(&[("ops", "")], pace).await;
    line.world.configure(ROOM).await;
    line.world
        .vendors
        .always("slack.com", Answer::Body(ACCEPTED));
    line
}

/// What people read, message by message.
fn read(line: &Timeline) -> Vec<String> {
    let seen = line.world.vendors.seen("slack.com").into_iter();
    let texts = seen.map(|seen| {
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        body["blocks"].to_string()
    });
    texts.collect()
}

#[tokio::test(start_paused = true)]
async fn people_read_what_is_so_now_where_a_message_may_have_been_lost() {
    let line = in_a_room(pace(10, 20, None)).await;
    line.world.vendors.first("slack.com", [Answer::Status(500)]);
    line.say("a1", 1, Opened, &["ops"]).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    line.until(12).await;
    line.say("a1", 2, Resolved, &["ops"]).await;
    line.until(600).await;
    let read = read(&line);
    assert!(read[0].contains("2 new or changed."), "{read:#?}");
    // It may have arrived: so the end is told, and what is open once more.
    assert!(read[1].contains("1 new or changed, 1 over."), "{read:#?}");
    assert_eq!(read.len(), 2, "{read:#?}");
    line.settled(&["a2"]).await;
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_what_may_have_been_told_is_told_after_the_channel_was_off() {
    let line = in_a_room(pace(10, 20, None)).await;
    line.world.vendors.first("slack.com", [Answer::Lost]);
    line.say("a1", 1, Opened, &["ops"]).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    line.until(11).await;
    line.world
        .configure(&format!("{ROOM}enabled = false\n"))
        .await;
    line.until(100).await;
    line.say("a1", 2, Resolved, &["ops"]).await;
    line.world.configure(ROOM).await;
    line.until(900).await;
    let read = read(&line);
    assert_eq!(read.len(), 2, "{read:#?}");
    assert!(read[1].contains("1 new or changed, 1 over."), "{read:#?}");
    line.settled(&["a2"]).await;
    line.stop().await;
}

/// Its route leads there at once, and the other gathers for ten minutes.
#[tokio::test(start_paused = true)]
async fn what_became_graver_does_not_wait_for_a_group_that_was_to_tell_what_it_was() {
    let line = in_a_room(pace(600, 600, None)).await;
    line.say("a1", 1, Opened, &["ops"]).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    line.until(10).await;
    let due_at = line.world.clock.now();
    let graver = line.world.write("a1", 2, Escalated, &["ops"], due_at).await;
    line.world.announce(&graver[0]).await;
    line.until(15).await;
    assert_eq!(read(&line).len(), 1, "{:#?}", read(&line));
    line.until(700).await;
    // The group says the rest, and not once more what was so before.
    assert_eq!(read(&line).len(), 2, "{:#?}", read(&line));
    let first = line.world.store.intents_of("a1").await.unwrap();
    let states: Vec<_> = first.iter().map(|it| it.state).collect();
    assert_eq!(states, [IntentState::Superseded, IntentState::Delivered]);
    let other = line.world.store.intents_of("a2").await.unwrap();
    assert_eq!(other[0].state, IntentState::Delivered);
    line.stop().await;
}

/// The group's message was refused for a while, and is put together anew before it is sent.
#[tokio::test(start_paused = true)]
async fn what_became_graver_is_not_followed_by_a_group_that_says_what_it_was() {
    let line = in_a_room(pace(10, 20, None)).await;
    line.world
        .vendors
        .first("slack.com", [Answer::After(429, 60)]);
    line.say("a1", 1, Opened, &["ops"]).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    line.until(20).await;
    let due_at = line.world.clock.now();
    let graver = line.world.write("a1", 2, Escalated, &["ops"], due_at).await;
    line.world.announce(&graver[0]).await;
    line.until(600).await;
    let read = read(&line);
    assert_eq!(
        read.len(),
        3,
        "refused, what became graver, and the rest: {read:#?}"
    );
    let told = line.world.store.intents_of("a1").await.unwrap();
    let states: Vec<_> = told.iter().map(|it| it.state).collect();
    assert_eq!(states, [IntentState::Superseded, IntentState::Delivered]);
    line.settled(&["a2"]).await;
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_person_who_asks_hears_at_once_what_a_group_could_not_send() {
    let line = Timeline::new(&[("ops", "")], pace(10, 60, None)).await;
    let secret = line.world.environment.lock().unwrap().remove("SECRET");
    line.say("a1", 1, Opened, &["ops"]).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    line.until(100).await;
    line.world.set("SECRET", secret.as_deref());
    let what = Resend {
        channel: "ops".parse().unwrap(),
        alert: None,
        cursor: None,
    };
    let resent = line.world.resend(&what).await;
    // One message, that of the group.
    assert_eq!(resent.deliveries, 1);
    // The clock's next look at what is due.
    let store = &line.world.store;
    let group = line.belongs.id(&what.channel);
    let group = store.group(&group).await.unwrap().unwrap().data;
    let now = line.world.clock.now();
    assert_eq!(group.due_at, Some(Moment(now)));
    line.world.bus.announce(&[group.intent(now)]).await;
    line.until(110).await;
    let told: Vec<_> = line.told("ops").into_iter().map(|(_, what)| what).collect();
    assert_eq!(told, [["new 2+0", "a1/1 opened", "a2/1 opened"]]);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_vendor_refused_of_a_group_is_sent_again_in_one_message() {
    let line = Timeline::new(&[("ops", "")], pace(10, 600, None)).await;
    let vendors = &line.world.vendors;
    vendors.first("ops.example.com", [Answer::Status(410)]);
    line.say("a1", 1, Opened, &["ops"]).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    line.until(100).await;
    let what = Resend {
        channel: "ops".parse().unwrap(),
        alert: None,
        cursor: None,
    };
    assert_eq!(line.world.resend(&what).await.deliveries, 1);
    assert_eq!(line.world.resend(&what).await.deliveries, 0);
    let store = &line.world.store;
    let group = line.belongs.id(&what.channel);
    let group = store.group(&group).await.unwrap().unwrap().data;
    let now = line.world.clock.now();
    assert_eq!(group.due_at, Some(Moment(now)));
    line.world.bus.announce(&[group.intent(now)]).await;
    line.until(110).await;
    let told: Vec<_> = line.told("ops").into_iter().map(|(_, what)| what).collect();
    let both = ["new 2+0", "a1/1 opened", "a2/1 opened"];
    assert_eq!(told, [both, both]);
    line.settled(&["a1", "a2"]).await;
    line.stop().await;
}

/// Two were in one message, and the third in the next.
#[tokio::test(start_paused = true)]
async fn each_message_of_a_group_is_off_the_count_once_wherever_a_process_dies_over_sending_it_again()
 {
    let mut deaths = 0;
    for calls in 1.. {
        let channels = reminding(&[("ops", "")]);
        let (world, fails) = World::with_failures(&channels).await;
        let line = Timeline::over(world, pace(10, 20, None));
        let vendors = &line.world.vendors;
        vendors.first("ops.example.com", [410, 410].map(Answer::Status));
        line.say("a1", 1, Opened, &["ops"]).await;
        line.say("a2", 1, Opened, &["ops"]).await;
        line.until(15).await;
        line.say("a3", 1, Opened, &["ops"]).await;
        line.until(60).await;
        let refused = async |line: &Timeline| line.world.destination("ops").await.refused;
        assert_eq!(refused(&line).await, 2);
        let world = line.stop().await;
        let what = Resend {
            channel: "ops".parse().unwrap(),
            alert: None,
            cursor: None,
        };
        fails.after.store(calls, SeqCst);
        let died = world.tries_to_resend(&what).await.is_err();
        fails.after.store(0, SeqCst);
        world.resend(&what).await;
        assert_eq!(world.destination("ops").await.refused, 0, "call {calls}");
        if !died {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 8, "{deaths}");
}

/// Of a message with two alerts one is sent again, and then the other.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_sent_again_alert_by_alert_is_taken_off_the_count_once() {
    let line = Timeline::new(&[("ops", ""), ("other", "")], pace(10, 600, None)).await;
    let world = &line.world;
    world.vendors.always("ops.example.com", Answer::Status(410));
    let alone = world.open("b1", &["ops"]).await.remove(0);
    world.look(&alone).await;
    line.say("a1", 1, Opened, &["ops"]).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    line.until(100).await;
    let refused = async || world.destination("ops").await.refused;
    assert_eq!(refused().await, 2);
    for (alert, left, until) in [("a1", 1, 110), ("a2", 2, 120)] {
        let what = Resend {
            channel: "ops".parse().unwrap(),
            alert: Some(alert.to_owned()),
            cursor: None,
        };
        assert_eq!(world.resend(&what).await.deliveries, 1, "{alert}");
        assert_eq!(refused().await, left, "{alert}");
        let group = line.belongs.id(&what.channel);
        let group = world.store.group(&group).await.unwrap().unwrap().data;
        let message = group.intent(world.clock.now());
        assert_eq!(world.bus.announce(&[message]).await, 1);
        // Which is refused as well.
        line.until(until).await;
        assert_eq!(refused().await, left + 1, "{alert}");
    }
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_groups_message_links_to_what_it_is_about() {
    let line = Timeline::new(&[("ops", "")], pace(10, 60, None)).await;
    line.say("a1", 1, Opened, &["ops"]).await;
    line.until(30).await;
    line.say("a2", 1, Opened, &["ops"]).await;
    line.say("a3", 1, Opened, &["ops"]).await;
    line.until(200).await;
    let key = line.world.store.link_key().await.unwrap();
    let group = line.belongs.id(&"ops".parse().unwrap());
    let seen = line.world.vendors.seen("ops.example.com");
    let links = seen.iter().map(|seen| {
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        body["data"]["link"].as_str().unwrap().to_owned()
    });
    let wanted = ["a1".to_owned(), format!("{group}-2")].map(|about| {
        let token = key.token(&about);
        format!("https://stock.example.com/api/v1/a/{about}?k={token}")
    });
    assert_eq!(links.collect::<Vec<_>>(), wanted);
    line.stop().await;
}

/// A storm of so many crossings in so many seconds: every one is settled, and people get a handful
/// of messages.
async fn storm(alerts: u32, seconds: u32) {
    let line = Timeline::new(&[("ops", "")], pace(30, 300, None)).await;
    for number in 0..alerts {
        if number % (alerts / seconds) == 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        line.say(&format!("a{number:06}"), 1, Opened, &["ops"])
            .await;
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    let seen = line.world.vendors.seen("ops.example.com");
    assert!((1..=5).contains(&seen.len()), "{} messages", seen.len());
    let mut told = 0;
    for seen in &seen {
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        told += body["data"]["digest"]["total"].as_u64().unwrap();
        assert_eq!(
            body["data"]["digest"]["alerts"].as_array().unwrap().len(),
            10
        );
    }
    assert_eq!(told, u64::from(alerts), "the counts are of all");
    let mut states: BTreeMap<&str, u32> = BTreeMap::new();
    for number in 0..alerts {
        let intents = line
            .world
            .store
            .intents_of(&format!("a{number:06}"))
            .await
            .unwrap();
        *states.entry(intents[0].state.name()).or_default() += 1;
    }
    assert_eq!(states, BTreeMap::from([("delivered", alerts)]));
    line.stop().await;
}

/// More of them in one message than one page of its list holds.
#[tokio::test(start_paused = true)]
async fn a_storm_is_a_handful_of_messages() {
    storm(600, 25).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "50,000 alerts: long; run it with --ignored"]
async fn a_storm_of_fifty_thousand_is_a_handful_of_messages() {
    storm(50_000, 60).await;
}

/// Each look ends in time, and the next goes on where it ended.
#[tokio::test(start_paused = true)]
async fn a_storm_that_one_look_cannot_gather_is_one_message_all_the_same() {
    const ALERTS: usize = 400;
    let (world, slow) = World::with_slowness(&reminding(&[("ops", "")])).await;
    let belongs = all(pace(5, 60, Some(120)));
    let names: Vec<String> = (0..ALERTS).map(|number| format!("a{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let intents = opened(&world, &belongs, &names).await;
    slow.millis.store(250, SeqCst);
    let deliverer = world.deliverer();
    // What is told, and what is brought to mind.
    for message in 1..=2 {
        let which = IntentRef::from(&message_of(&world, &intents[0]).await);
        let mut looks = 0;
        loop {
            let began = world.clock.now();
            let deadline = began + SignedDuration::from_secs(30);
            let delivered = deliverer.deliver(&which, deadline).await.unwrap();
            let is_gathering = world.vendors.count() < message;
            let in_time = world.clock.now() <= deadline;
            assert!(in_time || !is_gathering, "look {looks} took too long");
            match delivered {
                Delivered::Again(wait) => tokio::time::sleep(wait.unsigned_abs()).await,
                _ => break,
            }
            looks += 1;
            assert!(looks < 100);
        }
        assert!(looks > 1, "{looks}");
        let seen = world.vendors.seen("ops.example.com");
        assert_eq!(seen.len(), message);
        let body: Value = serde_json::from_str(&seen[message - 1].body).unwrap();
        let digest = &body["data"]["digest"];
        assert_eq!(digest["total"], ALERTS, "{digest}");
        let reminder = digest["reminder"].as_bool().unwrap_or_default();
        assert_eq!(reminder, message == 2);
    }
    slow.millis.store(0, SeqCst);
    for intent in &intents {
        let intent = world.intent(&IntentRef::from(intent)).await;
        assert_eq!(intent.state, IntentState::Delivered);
    }
}

/// What an alert costs on its way to one channel, alone and in company, as the table counts it. The
/// numbers are those of `docs/capacity.md`.
#[tokio::test(start_paused = true)]
async fn an_alert_in_company_costs_what_the_document_says() {
    const MEMBERS: u32 = 100;
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let spent = |before: Units| {
        let after = world.store.spent();
        (after.write - before.write, after.read - before.read)
    };
    let deliverer = world.deliverer();
    let warm = world.open("warm", &["ops"]).await.remove(0);
    deliverer.deliver(&warm, world.deadline()).await.unwrap();

    let before = world.store.spent();
    let single = world.open("single", &["ops"]).await.remove(0);
    deliverer.deliver(&single, world.deadline()).await.unwrap();
    let alone = spent(before);

    let before = world.store.spent();
    let belongs = all(pace(5, 300, None));
    let names: Vec<String> = (0..MEMBERS).map(|number| format!("a{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let intents = opened(&world, &belongs, &names).await;
    let which = IntentRef::from(&message_of(&world, &intents[0]).await);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let delivered = deliverer.deliver(&which, world.deadline()).await.unwrap();
    assert_eq!(delivered, Delivered::Settled);
    let (write, read) = spent(before);
    let (write, read) = (write / f64::from(MEMBERS), read / f64::from(MEMBERS));

    let document = include_str!("../../../../docs/capacity.md");
    let rows = [
        format!("| on its own | {:.1} | {:.1} |", alone.0, alone.1),
        format!("| with {} others | {write:.1} | {read:.1} |", MEMBERS - 1),
    ];
    let missing: Vec<_> = rows.iter().filter(|row| !document.contains(*row)).collect();
    assert!(
        missing.is_empty(),
        "docs/capacity.md does not say:\n{missing:#?}"
    );
}

/// A person has decided, or the source is heard again, seconds before the group speaks; that the alert is
/// over is written a moment later.
#[tokio::test(start_paused = true)]
async fn what_is_over_at_its_source_is_not_told() {
    let erp: ConnectorName = "erp".parse().unwrap();
    for alert in ["erp/suspect", "erp/stale", "erp/held"] {
        let line = Timeline::new(&[("ops", "")], pace(10, 10, None)).await;
        let store = &line.world.store;
        let now = line.world.clock.now();
        let reason = ("bad_row", "it cannot be read");
        let held = Quarantined::new(&erp, now, "stock.csv:3", "a;b", reason);
        store.quarantine(&held).await.unwrap();
        let suspicion = "7 of 9 are gone.".to_owned();
        let suspects = store.change_feed(&erp, |feed| feed.suspicions = vec![suspicion.clone()]);
        suspects.await.unwrap();
        line.say(alert, 1, Opened, &["ops"]).await;
        line.until(8).await;
        let read = Moment(line.world.clock.now());
        let decided = store.change_feed(&erp, |feed| {
            feed.suspicions.clear();
            feed.succeeded_at = Some(read);
        });
        decided.await.unwrap();
        let dismissed = store.dismiss_quarantined(&held.id, "known", "anna");
        dismissed.await.unwrap();
        line.until(12).await;
        line.say(alert, 2, Resolved, &["ops"]).await;
        line.ends(100, "ops", &[]).await;
        line.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_says_of_a_file_what_was_decided_of_it() {
    let line = Timeline::new(&[("ops", "")], pace(10, 10, None)).await;
    let erp: ConnectorName = "erp".parse().unwrap();
    let says = async |sentence: &str| {
        let suspicions = vec![sentence.to_owned()];
        let store = &line.world.store;
        let change = store.change_feed(&erp, |feed| feed.suspicions.clone_from(&suspicions));
        change.await.unwrap();
    };
    says("7 of 9 are gone. Nobody has decided.").await;
    line.say("erp/suspect", 1, Opened, &["ops"]).await;
    line.until(8).await;
    says("7 of 9 are gone. Anna has approved that.").await;
    line.ends(30, "ops", &[(10, &["erp/suspect/1 opened"])])
        .await;
    let told = line.world.vendors.seen("ops.example.com").remove(0);
    assert!(
        told.body.contains("Anna has approved that."),
        "{}",
        told.body
    );
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_names_what_is_in_quarantine_when_it_speaks() {
    // At once, and when the receiver wanted to be left alone first.
    for put_off in [false, true] {
        let line = Timeline::new(&[("ops", "")], pace(10, 10, None)).await;
        let world = &line.world;
        let erp: ConnectorName = "erp".parse().unwrap();
        let hold = async |row: &str| {
            let now = world.clock.now();
            let reason = ("bad_row", format!("row {row} cannot be read"));
            let held = Quarantined::new(&erp, now, row, row, reason);
            world.store.quarantine(&held).await.unwrap();
            held
        };
        let first = hold("A").await;
        let told = "Row A cannot be read.".to_owned();
        *world.notes.lock().unwrap() =
            vec![told, "What can be done: lotwire quarantine".to_owned()];
        if put_off {
            let answers = [Answer::After(429, 20)];
            world.vendors.first("ops.example.com", answers);
        }
        line.say("erp/held", 1, Opened, &["ops"]).await;
        line.until(if put_off { 15 } else { 8 }).await;
        hold("B").await;
        let dismissed = world.store.dismiss_quarantined(&first.id, "known", "anna");
        dismissed.await.unwrap();
        line.until(100).await;
        let body = world.vendors.seen("ops.example.com").pop().unwrap().body;
        assert!(body.contains("Row B cannot be read."), "{body}");
        assert!(!body.contains("Row A"), "{body}");
        line.stop().await;
    }
}

/// What one system says of a vehicle.
fn vehicle(source: &str, minute: i64, state: UnitState, location: &str) -> StockEvent {
    let at = "2026-01-15T08:00:00Z".parse::<Timestamp>().unwrap();
    let at = at + SignedDuration::from_mins(minute);
    let report = UnitReport {
        called: None,
        source_gone: false,
        vin: "SCBCG2ZG0RC012345".parse().unwrap(),
        version: Version::at(at),
        state: Some(state),
        location: Some(location.parse().unwrap()),
        stock_number: None,
        since: None,
        brought: false,
        undated: false,
        fields: BTreeMap::new(),
    };
    StockEvent {
        id: format!("{source}-{minute}").parse().unwrap(),
        source: source.parse().unwrap(),
        at,
        actor: None,
        change: Change::Unit(Box::new(report)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_says_who_claims_a_vehicle_when_it_speaks() {
    const ALERT: &str = "SCBCG2ZG0RC012345/claimed";
    // What is heard before the group speaks, and what it says then; if anything.
    let sold = "It was sold at South, by the word of till. The sale stands.";
    for (then, says) in [
        (vehicle("till", 9, UnitState::Sold, "south"), Some(sold)),
        (vehicle("dms", 9, UnitState::InStock, "south"), None),
    ] {
        let line = Timeline::new(&[("ops", "")], pace(10, 10, None)).await;
        let world = &line.world;
        let south = "[locations.south]\nname = 'South'\nkind = 'rooftop'\n";
        world
            .configure(&format!("{}{south}", reminding(&[("ops", "")])))
            .await;
        let installation = Installations::new(world.store.clone()).current().await;
        let authority = installation.unwrap().authority();
        for said in [
            vehicle("dms", 0, UnitState::InStock, "north"),
            vehicle("till", 1, UnitState::InStock, "south"),
        ] {
            world.store.apply(&said, &authority).await.unwrap();
        }
        let counted = "It is counted once, at South, by the word of till.".to_owned();
        *world.notes.lock().unwrap() = vec![counted, "dms has it at North, too.".to_owned()];
        line.say(ALERT, 1, Opened, &["ops"]).await;
        line.until(8).await;
        world.store.apply(&then, &authority).await.unwrap();
        line.until(30).await;
        let told = world.vendors.seen("ops.example.com").pop();
        assert_eq!(told.is_some(), says.is_some(), "{told:?}");
        if let (Some(told), Some(says)) = (told, says) {
            assert!(told.body.contains(says), "{}", told.body);
            assert!(
                told.body.contains("dms still lists it at North."),
                "{}",
                told.body
            );
        }
        line.stop().await;
    }
}

/// They hear of it for the first time.
#[tokio::test(start_paused = true)]
async fn what_is_news_to_others_is_told_as_a_beginning_to_who_has_heard_nothing() {
    let line = Timeline::new(&[("ops", "")], pace(10, 10, None)).await;
    *line.world.notes.lock().unwrap() = vec!["It has changed: it was sold at North.".to_owned()];
    line.say("a1/claimed", 2, Updated, &["ops"]).await;
    line.ends(30, "ops", &[(10, &["a1/claimed/2 opened"])])
        .await;
    let told = line.world.vendors.seen("ops.example.com").remove(0);
    assert!(
        told.body.contains("\"It was sold at North.\""),
        "{}",
        told.body
    );
    line.stop().await;
}
