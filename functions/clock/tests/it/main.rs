//! The clock over the real table, with the notifier behind its queue.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../../notify/tests/it/world.rs"]
#[expect(
    dead_code,
    reason = "shared with the notifier's tests, which use the rest"
)]
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use clock::{BoxError, EventBridgeEvent, Heartbeat, Recover, Reexamine, TickError, Ticked, Ticker};
use http::StatusCode;
use jiff::SignedDuration;
use lotwire::stack::resources::TABLE;
use shared::bus::{Bus, IntentRef};
use shared::delivery::tell_if_unreached;
use shared::domain::alert::{AlertState, RevisionKind};
use shared::domain::group::{Belongs, Pace};
use shared::domain::watch::{Moment, Watch};
use shared::domain::{AlertKind, Subject};
use shared::http::{Reply, Request, Transport, TransportError};
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::store::alerts::{Decision, Watched};
use shared::store::intents::IntentState;
use shared::store::jobs::{Reexamination, Stage};
use shared::store::received::{KeptBody, Received, ReceivedState};
use shared::store::row::{FORMAT_ATTRIBUTE, VERSION_ATTRIBUTE};
use shared::store::{Expect, Store};

use world::{Answer, QUEUE, World, webhooks};

const HOST: &str = "ops.example.com";

/// What the clock asks of its neighbours, and what they answer.
#[derive(Default)]
struct Neighbours {
    looked: Mutex<Vec<Subject>>,
    recovered: Mutex<Vec<String>>,
    beats: Mutex<usize>,
    broken: Mutex<bool>,
    /// How long it takes to look at a vehicle.
    takes: Mutex<Duration>,
}

#[async_trait]
impl Reexamine for Neighbours {
    async fn look(&self, subject: &Subject) -> Result<(), BoxError> {
        self.looked.lock().unwrap().push(subject.clone());
        if let Subject::Unit { .. } = subject {
            let takes = *self.takes.lock().unwrap();
            tokio::time::sleep(takes).await;
        }
        if *self.broken.lock().unwrap() {
            return Err("the evaluator is broken".into());
        }
        Ok(())
    }
}

#[async_trait]
impl Recover for Neighbours {
    async fn recover(&self, received: &Received) -> Result<(), BoxError> {
        self.recovered.lock().unwrap().push(received.id.clone());
        if *self.broken.lock().unwrap() {
            return Err("this webhook cannot be read any more".into());
        }
        Ok(())
    }
}

/// The outside monitor.
struct Monitor(Arc<Neighbours>);

#[async_trait]
impl Transport for Monitor {
    async fn call(&self, request: Request) -> Result<Reply, TransportError> {
        assert_eq!(request.url.as_str(), "https://monitor.example.com/ping/1");
        *self.0.beats.lock().unwrap() += 1;
        Ok(Reply::new(StatusCode::OK, ""))
    }
}

struct Desk {
    world: World,
    neighbours: Arc<Neighbours>,
    ticker: Arc<Ticker>,
}

impl Desk {
    async fn new(channels: &str) -> Self {
        let world = World::new(channels).await;
        let neighbours = Arc::new(Neighbours::default());
        let ticker = Arc::new(ticker(&world, &neighbours));
        Self {
            world,
            neighbours,
            ticker,
        }
    }

    /// A tick by the sample event.
    async fn tick(&self) -> Result<Ticked, TickError> {
        let event = include_str!("../../../../events/clock/tick.json");
        let event: EventBridgeEvent = serde_json::from_str(event).unwrap();
        let deadline = self.world.clock.now() + SignedDuration::from_secs(50);
        self.ticker.tick(event, deadline).await
    }

    /// A watch over a vehicle that time alone may change then.
    async fn watch(&self, vin: &str, kind: AlertKind, due: SignedDuration) {
        let vin = vin.to_owned();
        self.watch_over(Subject::Unit { vin }, kind, due).await;
    }

    async fn watch_over(&self, subject: Subject, kind: AlertKind, due: SignedDuration) {
        let decision = Decision {
            watched: Watched {
                subject,
                kind,
                watch: Watch::default(),
                due: Some(Moment(self.world.clock.now() + due)),
                tries: 0,
            },
            expect: Expect::Absent,
            retold: Vec::new(),
            announcements: Vec::new(),
        };
        assert!(self.world.store.decide(decision).await.unwrap());
    }
}

fn ticker(world: &World, neighbours: &Arc<Neighbours>) -> Ticker {
    ticker_over(world, world.bus.clone(), neighbours)
}

fn ticker_over(world: &World, bus: Bus, neighbours: &Arc<Neighbours>) -> Ticker {
    let monitor = Arc::new(Monitor(neighbours.clone()));
    let url = "https://monitor.example.com/ping/1".parse().unwrap();
    Ticker::new(
        world.store.clone(),
        Installations::new(world.store.clone()),
        bus,
        neighbours.clone(),
        neighbours.clone(),
        Heartbeat::to(url, monitor),
        Metrics::to(std::io::sink(), world.clock.clone()),
    )
}

async fn minutes(count: u64) {
    tokio::time::sleep(Duration::from_secs(60 * count)).await;
}

#[tokio::test(start_paused = true)]
async fn an_alert_whose_announcement_was_lost_is_delivered_and_not_repeated() {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    let pump = desk.world.notifying();
    // Nobody announces it.
    let which = desk.world.open("a1", &["ops"]).await.remove(0);
    assert_eq!(desk.tick().await.unwrap().redriven, 0, "not overdue yet");
    minutes(2).await;
    assert_eq!(desk.tick().await.unwrap().redriven, 1);
    pump.idle().await;
    assert_eq!(
        desk.world.intent(&which).await.state,
        IntentState::Delivered
    );
    for _ in 0..20 {
        minutes(1).await;
        assert_eq!(desk.tick().await.unwrap().redriven, 0);
        pump.idle().await;
    }
    assert_eq!(desk.world.vendors.seen(HOST).len(), 1);
    pump.stop().await;
}

/// Further ahead than the queue reaches: the clock brings it, as was meant.
#[tokio::test(start_paused = true)]
async fn what_a_vendor_has_put_off_for_long_was_not_forgotten_by_anybody() {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    let pump = desk.world.notifying();
    desk.world.vendors.first(HOST, [Answer::After(503, 960)]);
    let which = desk.world.open("a1", &["ops"]).await.remove(0);
    desk.world.announce(&which).await;
    pump.idle().await;
    for _ in 0..20 {
        minutes(1).await;
        assert_eq!(desk.tick().await.unwrap().redriven, 0);
        pump.idle().await;
    }
    let intent = desk.world.intent(&which).await;
    assert_eq!(intent.state, IntentState::Delivered);
    pump.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_put_back_is_not_put_back_again_the_next_minute() {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    desk.world.open("a1", &["ops"]).await;
    minutes(2).await;
    let mut redriven = Vec::new();
    for _ in 0..7 {
        redriven.push(desk.tick().await.unwrap().redriven);
        minutes(1).await;
    }
    // No notifier runs: after five minutes it is tried again.
    assert_eq!(redriven, [1, 0, 0, 0, 0, 1, 0]);
    assert_eq!(desk.world.messages(QUEUE).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_backlog_that_nobody_works_off_is_put_back_ever_more_seldom() {
    const HOURS: usize = 12;
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    let backlog = 20;
    for alert in 0..backlog {
        desk.world.open(&format!("a{alert}"), &["ops"]).await;
    }
    let mut redriven = 0;
    for _ in 0..HOURS * 60 {
        minutes(1).await;
        redriven += desk.tick().await.unwrap().redriven;
    }
    // Five times in the first hour, and then about once an hour.
    assert!(
        (backlog * HOURS..=backlog * (HOURS + 5)).contains(&redriven),
        "{redriven} messages for {backlog} deliveries"
    );
}

/// The topic may be gone, or the right to publish on it. `StuckWorkAlarm` fires at two quarters of an hour of
/// four.
#[tokio::test(start_paused = true)]
async fn what_the_topic_does_not_take_is_counted_as_stuck_in_each_quarter_of_an_hour() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    let topic = "arn:aws:sns:eu-central-1:123456789012:nowhere";
    let bus = Bus::new(world.aws.sns(), topic);
    let neighbours = Arc::new(Neighbours::default());
    let ticker = Arc::new(ticker_over(&world, bus, &neighbours));
    let desk = Desk {
        world,
        neighbours,
        ticker,
    };
    desk.world.open("a1", &["ops"]).await;
    for _ in 0..2 {
        let mut stuck = 0;
        for _ in 0..15 {
            minutes(1).await;
            let ticked = desk.tick().await.unwrap();
            assert_eq!(ticked.redriven, 0);
            stuck += ticked.stuck;
        }
        assert!(stuck > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_topic_did_not_take_is_announced_with_the_next_tick() {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    let nowhere = "arn:aws:sns:eu-central-1:123456789012:nowhere";
    let broken = Bus::new(desk.world.aws.sns(), nowhere);
    let broken = ticker_over(&desk.world, broken, &desk.neighbours);
    desk.world.open("a1", &["ops"]).await;
    // Long enough for it to be put off by an hour.
    minutes(120).await;
    for _ in 0..3 {
        let event = EventBridgeEvent::default();
        let deadline = desk.world.clock.now() + SignedDuration::from_secs(50);
        let ticked = broken.tick(event, deadline).await.unwrap();
        assert_eq!((ticked.redriven, ticked.stuck), (0, 1));
        minutes(1).await;
    }
    assert_eq!(desk.tick().await.unwrap().redriven, 1);
    minutes(1).await;
    assert_eq!(desk.tick().await.unwrap().redriven, 0);
}

#[tokio::test(start_paused = true)]
async fn ticks_that_overlap_put_an_intent_back_once() {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    for alert in 0..30 {
        desk.world.open(&format!("a{alert}"), &["ops"]).await;
    }
    minutes(2).await;
    let ticks = futures::future::join_all((0..5).map(|_| desk.tick())).await;
    let ticks: Vec<_> = ticks.into_iter().map(Result::unwrap).collect();
    assert_eq!(ticks.iter().map(|tick| tick.redriven).sum::<usize>(), 30);
    assert_eq!(ticks.iter().filter(|tick| tick.beat).count(), 1);
    assert_eq!(*desk.neighbours.beats.lock().unwrap(), 1);
}

/// An outage that outlasts what a queue can hold back.
/// Its circuit is open, so nobody tries it, and a channel that nothing waits for is nobody's news.
#[tokio::test(start_paused = true)]
async fn a_channel_that_takes_nothing_for_half_an_hour_is_told_though_nobody_tries_it() {
    let channels = [
        ("ops", ""),
        ("other", ""),
        ("quiet", "delivery = 'at_most_once'"),
    ];
    let desk = Desk::new(&webhooks(&channels)).await;
    let world = &desk.world;
    world.vendors.always(HOST, Answer::After(503, 3_600));
    world.vendors.always("quiet.example.com", Answer::Lost);
    let mut all = world.open("q", &["quiet"]).await;
    for alert in ["a1", "a2", "a3", "a4", "a5"] {
        all.extend(world.open(alert, &["ops"]).await);
    }
    let deliverer = world.deliverer();
    let looks = all
        .iter()
        .map(|which| deliverer.deliver(which, world.deadline()));
    futures::future::join_all(looks).await;
    let told = async || {
        let page = world.store.alerts(AlertState::Open, None, 100).await;
        let mut alerts = page.unwrap().items;
        alerts.retain(|alert| alert.kind == AlertKind::ChannelDown);
        alerts
    };
    for _ in 0..29 {
        desk.tick().await.unwrap();
        assert_eq!(told().await, []);
        minutes(1).await;
    }
    for _ in 0..15 {
        minutes(1).await;
        desk.tick().await.unwrap();
    }
    let alerts = told().await;
    let [alert] = alerts.as_slice() else {
        panic!("told once: {alerts:?}");
    };
    assert_eq!(alert.message.product, "ops");
    let others: Vec<_> = alert.told.iter().map(ToString::to_string).collect();
    assert_eq!(others, ["other", "quiet"]);
    let notes = alert.message.notes.join(" ");
    assert!(notes.contains("Nothing has arrived since"), "{notes}");
}

/// What is known of another cannot be read, and comes first.
#[tokio::test(start_paused = true)]
async fn a_channel_that_takes_nothing_is_told_whatever_is_wrong_with_what_is_known_of_another() {
    let channels = [("odd", ""), ("ops", ""), ("other", "")];
    let desk = Desk::new(&webhooks(&channels)).await;
    let world = &desk.world;
    for (channel, alert) in [("odd", "a1"), ("odd", "a2"), ("ops", "a3")] {
        let host = format!("{channel}.example.com");
        world.vendors.always(&host, Answer::After(503, 3_600));
        let which = world.open(alert, &[channel]).await.remove(0);
        world.store.hasten_breaker(&which.channel).await.unwrap();
        world.look(&which).await;
    }
    let table = world.aws.dynamodb();
    let rows = table.scan().table_name(TABLE).send().await.unwrap();
    let mut rows = rows.items().iter();
    let of_odd = rows.find(|row| row["pk"].as_s().is_ok_and(|pk| pk == "K#odd"));
    let mut row = of_odd.unwrap().clone();
    // Written as often as no format has a number for.
    let newer = row[VERSION_ATTRIBUTE].clone();
    row.insert(FORMAT_ATTRIBUTE.to_owned(), newer);
    let put = table.put_item().table_name(TABLE).set_item(Some(row));
    put.send().await.unwrap();
    minutes(31).await;
    let ticked = desk.tick().await.unwrap_err().ticked;
    assert_eq!(ticked.failed, 1);
    let page = world.store.alerts(AlertState::Open, None, 100).await;
    let told = page.unwrap().items;
    let told = told.iter().filter(|it| it.kind == AlertKind::ChannelDown);
    assert_eq!(told.count(), 1);
}

/// Something arrives after the clock has read that nothing does, and before it writes that down.
#[tokio::test(start_paused = true)]
async fn a_channel_on_which_something_has_just_arrived_is_not_told_to_take_nothing() {
    let desk = Desk::new(&webhooks(&[("ops", ""), ("other", "")])).await;
    let world = &desk.world;
    world.vendors.always(HOST, Answer::After(503, 3_600));
    let first = world.open("a1", &["ops"]).await.remove(0);
    world.look(&first).await;
    minutes(31).await;
    let ops = "ops".parse().unwrap();
    let read = world.store.destination(&ops).await.unwrap();
    world.store.hasten_breaker(&ops).await.unwrap();
    world.vendors.always(HOST, Answer::Status(200));
    let second = world.open("a2", &["ops"]).await.remove(0);
    world.look(&second).await;
    let installation = Installations::new(world.store.clone());
    let installation = installation.current().await.unwrap();
    tell_if_unreached(&world.store, &installation, &ops, &read)
        .await
        .unwrap();
    assert_eq!(world.destination("ops").await.trouble, None);
}

#[tokio::test(start_paused = true)]
async fn long_waits_are_kept_by_the_clock() {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    let pump = desk.world.notifying();
    desk.world.vendors.always(HOST, Answer::Status(503));
    let which = desk.world.open("a1", &["ops"]).await.remove(0);
    desk.world.announce(&which).await;
    for _ in 0..50 {
        minutes(1).await;
        desk.tick().await.unwrap();
    }
    // 0, 5 s, 30 s, 2 min and 10 min are the queue's; half an hour is the clock's. That its destination is asked
    // in between whether it is back counts as none of them.
    let intent = desk.world.intent(&which).await;
    let counted = intent.attempts - intent.forgiven;
    assert!((5..=6).contains(&counted), "{intent:?}");
    desk.world.vendors.always(HOST, Answer::Status(200));
    for _ in 0..80 {
        minutes(1).await;
        desk.tick().await.unwrap();
    }
    pump.idle().await;
    assert_eq!(
        desk.world.intent(&which).await.state,
        IntentState::Delivered
    );
    let sent = desk.world.vendors.seen(HOST).len();
    assert_eq!(desk.world.attempts(&which).await.len(), sent);
    pump.stop().await;
}

fn gathering(wait: SignedDuration) -> Belongs {
    Belongs {
        route: "all".to_owned(),
        labels: Vec::new(),
        pace: Pace {
            wait,
            interval: SignedDuration::from_mins(5),
            repeat: None,
            most: 10,
        },
    }
}

/// Whoever wrote the alerts ended before their group was told of them.
#[tokio::test(start_paused = true)]
async fn a_group_that_was_never_told_speaks_all_the_same() {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    let pump = desk.world.notifying();
    let belongs = gathering(SignedDuration::from_secs(30));
    let due_at = desk.world.clock.now() + SignedDuration::from_secs(90);
    let mut intents = Vec::new();
    for alert in ["a1", "a2", "a3"] {
        let opened = RevisionKind::Opened;
        let one = desk
            .world
            .write_in(Some(&belongs), alert, 1, opened, &["ops"], due_at);
        intents.extend(one.await);
    }
    minutes(2).await;
    assert_eq!(desk.tick().await.unwrap().redriven, 1, "the group, once");
    minutes(1).await;
    pump.idle().await;
    assert_eq!(desk.world.vendors.seen(HOST).len(), 1);
    for intent in &intents {
        let intent = desk.world.intent(&IntentRef::from(intent)).await;
        assert_eq!(intent.state, IntentState::Delivered);
    }
    for _ in 0..20 {
        assert_eq!(desk.tick().await.unwrap().redriven, 0);
        minutes(1).await;
    }
    assert_eq!(desk.world.vendors.seen(HOST).len(), 1);
    pump.stop().await;
}

/// Beyond what a queue can hold back, the clock hands it over in time.
#[tokio::test(start_paused = true)]
async fn a_group_that_waits_for_hours_is_punctual() {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    let pump = desk.world.notifying();
    let wait = SignedDuration::from_secs(2 * 3_600 + 17);
    let due_at = desk.world.clock.now() + SignedDuration::from_secs(90);
    let (belongs, opened) = (gathering(wait), RevisionKind::Opened);
    let written = desk
        .world
        .write_in(Some(&belongs), "a1", 1, opened, &["ops"], due_at);
    let intents = written.await;
    let due = desk.world.clock.now() + wait;
    let group = desk.world.store.enroll(&intents[0]).await.unwrap().unwrap();
    let message = group.intent(desk.world.clock.now());
    assert_eq!(desk.world.bus.announce(&[message]).await, 1);
    for _ in 0..125 {
        minutes(1).await;
        assert_eq!(desk.tick().await.unwrap().redriven, 0);
    }
    let seen = desk.world.vendors.seen(HOST);
    let late: Vec<_> = seen
        .iter()
        .map(|seen| seen.at.duration_since(due))
        .collect();
    let [late] = late[..] else {
        panic!("one message: {late:?}");
    };
    assert!(
        !late.is_negative() && late <= SignedDuration::from_millis(150),
        "{late}"
    );
    pump.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_overdue_intents_are_worked_through_page_by_page() {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    // An alert's intents share a shard of the index, and a page holds a hundred.
    let names: Vec<String> = (0..60).map(|channel| format!("c{channel}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    desk.world.open("a1", &names).await;
    desk.world.resolve("a1", &names).await;
    minutes(2).await;
    assert_eq!(desk.tick().await.unwrap().redriven, 120);
    assert_eq!(desk.tick().await.unwrap().redriven, 0);
}

#[tokio::test(start_paused = true)]
async fn a_tick_without_time_leaves_the_work_to_the_next() {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    desk.world.open("a1", &["ops"]).await;
    minutes(2).await;
    let now = desk.world.clock.now();
    let ticked = desk
        .ticker
        .tick(EventBridgeEvent::default(), now)
        .await
        .unwrap();
    assert!(ticked.cut_short && ticked.redriven == 0);
    assert_eq!(desk.tick().await.unwrap().redriven, 1);
}

#[tokio::test(start_paused = true)]
async fn a_subject_is_looked_at_once_when_its_watches_fall_due() {
    let desk = Desk::new("").await;
    let vin = "WBA00000000000001";
    for kind in [AlertKind::LowStock, AlertKind::HighDemand] {
        desk.watch(vin, kind, SignedDuration::from_secs(90)).await;
    }
    desk.watch(
        "WBA00000000000002",
        AlertKind::LowStock,
        SignedDuration::from_hours(2),
    )
    .await;
    assert_eq!(desk.tick().await.unwrap().looked, 0);
    minutes(2).await;
    assert_eq!(desk.tick().await.unwrap().looked, 1);
    let looked = desk.neighbours.looked.lock().unwrap().clone();
    assert_eq!(
        looked,
        [Subject::Unit {
            vin: vin.to_owned()
        }]
    );
}

#[tokio::test(start_paused = true)]
async fn a_stale_source_is_looked_at_while_a_backlog_takes_all_of_each_tick() {
    let desk = Desk::new("[connectors.drop]\nkind = 'files'\nurl = 'file:///drop'\n").await;
    *desk.neighbours.takes.lock().unwrap() = Duration::from_secs(20);
    for vehicle in 0..400 {
        let vin = format!("WBA{vehicle:014}");
        desk.watch(&vin, AlertKind::LowStock, SignedDuration::ZERO)
            .await;
    }
    let stale = Subject::Connector {
        connector: "drop".parse().unwrap(),
    };
    for minute in 1..=3 {
        minutes(1).await;
        assert!(desk.tick().await.unwrap().cut_short, "there is a backlog");
        let looked = desk.neighbours.looked.lock().unwrap().clone();
        let times = looked.iter().filter(|subject| **subject == stale).count();
        assert_eq!(times, minute);
    }
}

/// The process was off for a day: reminders fall due with it.
#[tokio::test(start_paused = true)]
async fn a_sender_that_may_be_silent_is_looked_at_before_what_it_has_stated() {
    let desk = Desk::new(
        "[connectors.till]\nkind = 'generic'\nstale_after = '2h'\nwebhook = { secret = 'env:SECRET' }\n",
    )
    .await;
    for vehicle in 0..60 {
        let vin = format!("WBA{vehicle:014}");
        desk.watch(&vin, AlertKind::LowStock, SignedDuration::ZERO)
            .await;
    }
    let silent = Subject::Connector {
        connector: "till".parse().unwrap(),
    };
    let due = SignedDuration::ZERO;
    desk.watch_over(silent.clone(), AlertKind::FeedStale, due)
        .await;
    minutes(1).await;
    desk.tick().await.unwrap();
    let looked = desk.neighbours.looked.lock().unwrap().clone();
    assert_eq!(looked.first(), Some(&silent));
    assert!(looked.len() > 60, "{}", looked.len());
}

#[tokio::test(start_paused = true)]
async fn a_stale_source_that_cannot_be_looked_at_does_not_silence_the_heartbeat() {
    let desk = Desk::new("[connectors.drop]\nkind = 'files'\nurl = 'file:///drop'\n").await;
    *desk.neighbours.broken.lock().unwrap() = true;
    for _ in 0..3 {
        minutes(1).await;
        let ticked = desk.tick().await.unwrap();
        assert_eq!((ticked.looked, ticked.stuck, ticked.beat), (0, 1, true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_begins_when_its_time_has_come() {
    let desk = Desk::new("").await;
    let store: &Store = &desk.world.store;
    let begins = desk.world.clock.now() + SignedDuration::from_secs(90);
    let job = Reexamination::new("season").at(begins);
    assert!(store.start_job(job).await.unwrap());
    assert_eq!(desk.tick().await.unwrap().begun, 0);
    minutes(2).await;
    assert_eq!(desk.tick().await.unwrap().begun, 1);
    assert_eq!(desk.tick().await.unwrap().begun, 0);
    assert_eq!(
        store.job("season").await.unwrap().unwrap().data.not_before,
        None
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_nobody_proceeds_with_is_begun_again_ever_more_seldom() {
    let desk = Desk::new("").await;
    let store: &Store = &desk.world.store;
    assert!(store.start_job(Reexamination::new("lost")).await.unwrap());
    let mut begun = Vec::new();
    for minute in 1..=80 {
        minutes(1).await;
        if desk.tick().await.unwrap().begun > 0 {
            begun.push(minute);
        }
    }
    assert_eq!(begun, [5, 15, 35, 75]);
    // A page that is looked at ends the waiting.
    let next = Some((Stage::Positions, Some("2".to_owned())));
    let stored = store.job("lost").await.unwrap().unwrap();
    assert!(store.advance_job(&stored, 1, next).await.unwrap());
    minutes(5).await;
    assert_eq!(desk.tick().await.unwrap().begun, 1);
    let stored = store.job("lost").await.unwrap().unwrap();
    assert!(store.advance_job(&stored, 0, None).await.unwrap());
    minutes(60).await;
    assert_eq!(desk.tick().await.unwrap().begun, 0);
}

#[tokio::test(start_paused = true)]
async fn raw_webhooks_that_wait_for_over_a_minute_are_recovered() {
    let desk = Desk::new("").await;
    let store = &desk.world.store;
    let kept = async |id: &str| {
        let received = Received {
            id: id.to_owned(),
            connector: "dms".parse().unwrap(),
            at: desk.world.clock.now(),
            method: "POST".to_owned(),
            headers: BTreeMap::new(),
            body: None,
            parts: 1,
            length: 2,
            kept_days: 1,
            state: ReceivedState::Waiting,
            again_at: None,
            tries: 0,
            held: Vec::new(),
        };
        let body = KeptBody::of(b"{}").unwrap();
        store.receive(&received, body).await.unwrap()
    };
    let recovered = || desk.neighbours.recovered.lock().unwrap().clone();
    let (applied, forgotten) = (kept("applied").await, kept("forgotten").await);
    assert!(store.mark_applied(&applied).await.unwrap());
    assert_eq!(desk.tick().await.unwrap().recovered, 0);
    minutes(1).await;
    kept("young").await;
    assert_eq!(desk.tick().await.unwrap().recovered, 1);
    assert_eq!(recovered(), ["forgotten"]);

    // One that cannot be applied does not silence the heartbeat, and is tried again.
    *desk.neighbours.broken.lock().unwrap() = true;
    assert!(store.mark_applied(&forgotten).await.unwrap());
    minutes(1).await;
    for _ in 0..2 {
        let ticked = desk.tick().await.unwrap();
        assert_eq!((ticked.recovered, ticked.beat), (0, true));
        minutes(1).await;
    }
    assert_eq!(recovered(), ["forgotten", "young", "young"]);
}

#[tokio::test(start_paused = true)]
async fn the_heart_beats_each_minute_and_stops_when_something_is_wrong() {
    let desk = Desk::new("").await;
    let beats = || *desk.neighbours.beats.lock().unwrap();
    for minute in 1..=3 {
        desk.tick().await.unwrap();
        assert_eq!(beats(), minute);
        minutes(1).await;
    }
    desk.watch(
        "WBA00000000000001",
        AlertKind::LowStock,
        SignedDuration::ZERO,
    )
    .await;
    *desk.neighbours.broken.lock().unwrap() = true;
    minutes(1).await;
    let error = desk.tick().await.unwrap_err();
    assert_eq!(
        (error.ticked.failed, error.ticked.beat, beats()),
        (1, false, 3)
    );
    *desk.neighbours.broken.lock().unwrap() = false;
    assert!(desk.tick().await.unwrap().beat);
}

/// Whatever it was that arrived first: what failed meanwhile does not wait for hours.
#[tokio::test(start_paused = true)]
async fn what_failed_in_an_outage_is_told_within_two_minutes_of_its_end_the_gravest_first() {
    let desk = Desk::new(&webhooks(&[("ops", "max_per_second = 2")])).await;
    let world = &desk.world;
    let pump = world.notifying();
    world.vendors.always(HOST, Answer::Status(500));
    let mut all = Vec::new();
    for alert in ["a1", "a2", "a3", "grave1", "grave2"] {
        let which = world.open(alert, &["ops"]).await.remove(0);
        world.announce(&which).await;
        all.push(which);
    }
    let passes = async |count: u64| {
        for _ in 0..count {
            minutes(1).await;
            desk.tick().await.unwrap();
        }
    };
    passes(60).await;
    let end = world.resolve("a1", &["ops"]).await.remove(0);
    world.announce(&end).await;
    passes(60).await;
    let before = world.vendors.seen(HOST).len();
    for which in &all {
        let intent = world.intent(which).await;
        // Seven of them by the schedule.
        assert!(intent.attempts - intent.forgiven <= 7, "{intent:?}");
    }
    world.vendors.always(HOST, Answer::Status(200));
    let back = world.clock.now();
    passes(10).await;
    all.push(end);
    let mut arrived = Vec::new();
    for which in &all {
        let intent = world.intent(which).await;
        assert_eq!(intent.state, IntentState::Delivered, "{which:?}");
        arrived.push((intent.delivered_at().unwrap(), which.alert.clone()));
    }
    arrived.sort();
    let (first, last) = (arrived[0].0, arrived[arrived.len() - 1].0);
    let soon = SignedDuration::from_mins(7);
    assert!(first.duration_since(back) <= soon, "{arrived:?}");
    let soon = SignedDuration::from_mins(2);
    assert!(last.duration_since(first) <= soon, "{arrived:?}");
    let rank = |(_, alert): &(jiff::Timestamp, String)| !alert.starts_with("grave");
    assert!(arrived[1..].is_sorted_by_key(rank), "{arrived:?}");
    assert_eq!(world.vendors.seen(HOST).len(), before + all.len());
    assert_eq!(world.destination("ops").await.back, None);
    pump.stop().await;
}

/// A single message waits, and nothing else is ever said.
#[tokio::test(start_paused = true)]
async fn while_a_message_waits_its_destination_is_asked_every_few_minutes_and_it_is_given_up_no_sooner()
 {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    let world = &desk.world;
    let pump = world.notifying();
    world.vendors.always(HOST, Answer::Status(500));
    let which = world.open("a1", &["ops"]).await.remove(0);
    world.announce(&which).await;
    let start = world.clock.now();
    let mut given_up = None;
    for _ in 0..13 * 60 {
        minutes(2).await;
        desk.tick().await.unwrap();
        let is_over = world.intent(&which).await.state == IntentState::Exhausted;
        if is_over {
            given_up = Some(world.clock.now().duration_since(start));
            break;
        }
    }
    let after = given_up.unwrap();
    assert!(after > SignedDuration::from_hours(15), "{after}");
    let at: Vec<_> = world
        .vendors
        .seen(HOST)
        .iter()
        .map(|seen| seen.at)
        .collect();
    for pair in at.windows(2) {
        let apart = pair[1].duration_since(pair[0]);
        assert!(apart <= SignedDuration::from_mins(9), "{apart}");
    }
    pump.stop().await;
}

/// And nothing else is ever said there.
#[tokio::test(start_paused = true)]
async fn what_waits_for_credentials_to_be_accepted_leaves_soon_after_they_are() {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    let world = &desk.world;
    let pump = world.notifying();
    world.vendors.always(HOST, Answer::Status(401));
    let which = world.open("a1", &["ops"]).await.remove(0);
    world.announce(&which).await;
    let passes = async |count: u64| {
        for _ in 0..count {
            minutes(2).await;
            desk.tick().await.unwrap();
        }
    };
    passes(3 * 30).await;
    world.vendors.always(HOST, Answer::Status(200));
    passes(10).await;
    let intent = world.intent(&which).await;
    assert_eq!(intent.state, IntentState::Delivered, "{intent:?}");
    let seen = world.vendors.seen(HOST);
    for pair in seen.windows(2) {
        // A vendor may take many wrong ones for an attack.
        let apart = pair[1].at.duration_since(pair[0].at);
        assert!(apart >= SignedDuration::from_mins(14), "{apart}");
    }
    pump.stop().await;
}

/// The other is over before anybody hears that they do not arrive; and then so is this one.
#[tokio::test(start_paused = true)]
async fn that_nothing_arrives_is_told_with_a_message_that_still_waits() {
    let chat = "[channels.chat]\nkind = 'slack'\ntoken = 'env:SECRET'\n\
        channel = 'C1'\nbase_url = 'https://chat.example.com'\n";
    let desk = Desk::new(&(chat.to_owned() + &webhooks(&[("other", "")]))).await;
    let world = &desk.world;
    let down = Answer::Status(503);
    world.vendors.always("chat.example.com", down);
    let mut all = Vec::new();
    for alert in ["grave/out", "a2"] {
        let which = world.open(alert, &["chat"]).await.remove(0);
        world.look(&which).await;
        all.push(which);
    }
    minutes(10).await;
    world.resolve("grave/out", &["chat"]).await;
    minutes(19).await;
    world.look(&all[1]).await;
    minutes(2).await;
    desk.tick().await.unwrap();
    let open = world.store.alerts(AlertState::Open, None, 9).await.unwrap();
    let mut open = open.items.into_iter();
    let told = open.find(|it| it.kind == AlertKind::ChannelDown).unwrap();
    let notes = told.message.notes.concat();
    assert!(notes.contains("It did not carry: Low stock"), "{notes}");
    world.resolve("a2", &["chat"]).await;
    minutes(1).await;
    let which = world.store.intents_of(&told.id).await.unwrap();
    world.look(&IntentRef::from(&which[0])).await;
    let seen = world.vendors.seen("other.example.com").remove(0).body;
    assert!(seen.contains("Nothing has arrived since"), "{seen}");
    assert!(!seen.contains("It did not carry"), "{seen}");
}

/// There may be very many, and each is read.
#[tokio::test(start_paused = true)]
async fn of_what_waits_on_a_channel_no_more_is_read_at_once_than_one_tick_can() {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    let store = &desk.world.store;
    let ops = "ops".parse().unwrap();
    // What is due of one alert stands in one shard.
    desk.world.open("a1", &["ops"]).await;
    for revision in 2..=70 {
        let due_at = desk.world.clock.now() + SignedDuration::from_mins(1);
        let updated = RevisionKind::Updated;
        let written = desk.world.write("a1", revision, updated, &["ops"], due_at);
        written.await;
        let (_, is_all) = store.waiting(&ops, desk.world.deadline()).await.unwrap();
        assert_eq!(is_all, revision <= 64, "{revision}");
    }
}

/// It may be the message.
#[tokio::test(start_paused = true)]
async fn what_fails_beside_messages_that_arrive_is_not_tried_with_each_of_them() {
    let desk = Desk::new(&webhooks(&[("ops", "")])).await;
    let world = &desk.world;
    let which = world.open("a1", &["ops"]).await.remove(0);
    let tries = async || world.intent(&which).await.attempts;
    let deliverer = world.deliverer();
    for minute in 0..3 * 60 {
        if world.intent(&which).await.not_before <= world.clock.now() {
            world.vendors.first(HOST, [Answer::Status(500)]);
            deliverer.deliver(&which, world.deadline()).await.unwrap();
        }
        minutes(1).await;
        let other = world.open(&format!("b{minute}"), &["ops"]).await.remove(0);
        deliverer.deliver(&other, world.deadline()).await.unwrap();
        desk.tick().await.unwrap();
    }
    let tries = tries().await;
    assert!(tries < 25, "{tries}");
}
