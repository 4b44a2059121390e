//! Alerts that a route gathers, through the whole stack: from stock to one request for many alerts,
//! on a virtual clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use jiff::SignedDuration;
use lotwire::engine::{EmbeddedAws, Pump, Settings};
use lotwire::outbox::{Outbox, OutboxEntry};
use lotwire::stack::{Parts, Stack};
use secrecy::SecretString;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::http::{Http, HttpSettings, Reply, Request, Transport, TransportError};
use shared::metrics::Metrics;
use shared::secrets::{EXTENSION, Secrets};
use shared::store::intents::{Intent, IntentState};
use shared::store::resend::Resend;

use crate::bench::{at, level, sold};

const CONFIG: &str = r#"
[account]
name = "Test"
zone = "Europe/Rome"
currency = "EUR"
[locations.milano]
name = "Milano"
kind = "warehouse"
[locations.roma]
name = "Roma"
kind = "warehouse"
[connectors.generic]
kind = "generic"
[connectors.generic.webhook]
secret = "env:GENERIC"
[channels.room]
kind = "slack"
url = "env:SLACK"
[channels.pager]
kind = "slack"
url = "env:SLACK"
[[routes]]
name = "by-place"
channels = ["room"]
group_by = ["location"]
max_alerts = 3
[[routes]]
name = "everything"
channels = ["pager"]
group_by = []
[[routes]]
name = "urgent"
channels = ["pager"]
kinds = ["out_of_stock"]
[[rules]]
name = "low"
kind = "low_stock"
threshold = 3
[[rules]]
name = "gone"
kind = "out_of_stock"
"#;

/// A vendor that takes what it is sent.
struct Takes;

#[async_trait]
impl Transport for Takes {
    async fn call(&self, _: Request) -> Result<Reply, TransportError> {
        Ok(Reply::new(StatusCode::OK, "ok"))
    }
}

/// What a vendor makes of a text so many seconds after the start, and how long that takes it.
type Answer = fn(i64, &str) -> (u16, Duration);

/// A vendor that has its troubles.
struct Moody {
    answer: Answer,
    clock: Clock,
    took: Mutex<Vec<String>>,
}

#[async_trait]
impl Transport for Moody {
    async fn call(&self, request: Request) -> Result<Reply, TransportError> {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let text = body["blocks"].to_string();
        let seconds = self.clock.now().duration_since(at(0)).as_secs();
        let (status, takes) = (self.answer)(seconds, &text);
        tokio::time::sleep(takes).await;
        if status == 200 {
            self.took.lock().unwrap().push(text);
        }
        let status = StatusCode::from_u16(status).unwrap();
        Ok(Reply::new(status, if status == 200 { "ok" } else { "no" }))
    }
}

/// A whole stack in memory, on a virtual clock, whose requests end in the outbox.
struct Running {
    stack: Stack,
    pump: Pump,
    outbox: Outbox,
    clock: Clock,
    _scratch: tempfile::TempDir,
}

impl Running {
    async fn new() -> Self {
        Self::with(CONFIG).await
    }

    async fn with(config: &str) -> Self {
        Self::calling(config, Clock::starting_at(at(0)), Arc::new(Takes)).await
    }

    async fn calling(config: &str, clock: Clock, vendor: Arc<dyn Transport>) -> Self {
        let aws = EmbeddedAws::in_memory(Settings {
            clock: clock.clone(),
            ..Settings::default()
        })
        .unwrap();
        let http = Arc::new(Http::new(HttpSettings::default()).unwrap());
        let secrets = Secrets::new(
            Box::new(|name: &str| {
                let value = match name {
                    "SLACK" => "https://hooks.slack.com/services/T1/B1/x",
                    "HOOK" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                    _ => return None,
                };
                Some(value.to_owned())
            }),
            Arc::clone(&http) as _,
            EXTENSION.parse().unwrap(),
            clock.clone(),
        );
        let outbox = Outbox::in_memory(vendor, clock.clone());
        let scratch = tempfile::tempdir().unwrap();
        let stack = Stack::build(Parts {
            aws,
            chance: Chance::seeded(11),
            secrets: Arc::new(secrets),
            outgoing: Arc::new(outbox.clone()),
            metrics: Metrics::to(std::io::sink(), clock.clone()),
            token: SecretString::from("token"),
            downloads: reqwest::Client::builder().build().unwrap().into(),
            scratch: scratch.path().to_owned(),
        })
        .unwrap();
        let config = Config::check(config, "test.toml").unwrap_or_else(|error| panic!("{error}"));
        stack.store.apply_config(&config, "test").await.unwrap();
        let pump = stack.start().unwrap();
        Self {
            stack,
            pump,
            outbox,
            clock,
            _scratch: scratch,
        }
    }

    async fn configure(&self, config: &str) {
        let config = Config::check(config, "test.toml").unwrap_or_else(|error| panic!("{error}"));
        let store = &self.stack.store;
        assert!(store.apply_config(&config, "test").await.unwrap());
    }

    /// What a channel was told so far: the words, in their order.
    fn texts(&self, channel: &str) -> Vec<String> {
        let bodies = self.bodies(channel).into_iter();
        let text = |(_, body): (i64, serde_json::Value)| body["blocks"].to_string();
        bodies.map(text).collect()
    }

    async fn level(&self, minute: i64, product: &str, location: &str, on_hand: i64) {
        let installation = self.stack.installations.current().await.unwrap();
        let authority = installation.authority();
        let event = level("generic", minute, product, location, on_hand);
        self.stack.store.apply(&event, &authority).await.unwrap();
    }

    async fn until(&self, seconds: i64) {
        let at = at(0) + SignedDuration::from_secs(seconds);
        let wait = at.duration_since(self.clock.now());
        tokio::time::sleep(wait.unsigned_abs()).await;
    }

    /// The bodies that a channel was sent so far, and when, in whole seconds.
    fn bodies(&self, channel: &str) -> Vec<(i64, serde_json::Value)> {
        let entries = self.outbox.entries().into_iter();
        let ours = entries.filter(|entry| entry.whose.name() == channel);
        let mut ours: Vec<OutboxEntry> = ours.collect();
        // It lists the newest first.
        ours.reverse();
        ours.sort_by_key(|entry| entry.at);
        let sent = ours.into_iter().map(|entry| {
            let seconds = entry.at.duration_since(at(0)).as_secs();
            (seconds, serde_json::from_str(&entry.request.body).unwrap())
        });
        sent.collect()
    }

    /// The titles of what a channel was sent so far, and when, in whole seconds.
    fn sent(&self, channel: &str) -> Vec<(i64, String)> {
        let bodies = self.bodies(channel).into_iter();
        let title = |body: serde_json::Value| {
            let title = &body["blocks"][0]["text"]["text"];
            title.as_str().unwrap().to_owned()
        };
        let mut sent: Vec<_> = bodies.map(|(at, body)| (at, title(body))).collect();
        sent.sort();
        sent
    }

    async fn deliveries(&self) -> Vec<Intent> {
        self.stack.store.intents(None, 200).await.unwrap().items
    }
}

/// Insists on these titles, none before its second and none much later.
fn punctual(sent: &[(i64, String)], expected: &[(i64, &str)]) {
    let titles: Vec<_> = sent.iter().map(|(_, title)| title.as_str()).collect();
    let wanted: Vec<_> = expected.iter().map(|(_, title)| *title).collect();
    assert_eq!(titles, wanted, "{sent:?}");
    for ((at, title), (due, _)) in sent.iter().zip(expected) {
        assert!(
            (*due..=due + 2).contains(at),
            "{title} at {at} s, due at {due} s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_morning_is_a_message_for_each_place() {
    let running = Running::new().await;
    for product in ["A", "B", "C", "D", "E"] {
        running.level(0, product, "milano", 2).await;
    }
    running.level(0, "A", "roma", 1).await;
    running.until(45).await;
    running.level(1, "B", "roma", 0).await;
    running.until(600).await;
    let room = [
        (30, "5 inventory alerts at Milano: 5 new or changed"),
        (30, "Inventory alert for A at Roma"),
        // Not before five minutes are over: nothing is left and almost nothing, in one message.
        (330, "Inventory alert for B at Roma"),
    ];
    punctual(&running.sent("room"), &room);
    let pager = running.sent("pager");
    punctual(&pager[..1], &[(30, "6 inventory alerts: 6 new or changed")]);
    assert!(
        (45..=47).contains(&pager[1].0),
        "one of its routes wants it at once: {pager:?}"
    );

    for product in ["A", "B", "C", "D", "E"] {
        running.level(20, product, "milano", 50).await;
    }
    running.until(700).await;
    let last = running.sent("room").pop().unwrap();
    punctual(&[last], &[(630, "5 inventory alerts at Milano: 5 over")]);
    tokio::time::timeout(Duration::from_secs(3_600), running.pump.idle())
        .await
        .unwrap();
    let deliveries = running.deliveries().await;
    let pending: Vec<_> = deliveries
        .iter()
        .filter(|delivery| delivery.state != IntentState::Delivered)
        .collect();
    assert!(pending.is_empty(), "{pending:#?}");
    let carried: Vec<_> = deliveries
        .iter()
        .filter(|delivery| delivery.group.is_some())
        .collect();
    assert!(carried.len() >= 20, "{}", carried.len());
    for delivery in carried {
        let carrier = delivery.carried_by.as_ref().unwrap();
        let carrier = deliveries.iter().find(|other| other.alert == *carrier);
        assert_eq!(carrier.unwrap().receipt, delivery.receipt);
    }
}

/// One of two routes to a channel gathers, and the other is faster.
#[tokio::test(start_paused = true)]
async fn what_is_left_is_not_told_after_that_nothing_is() {
    let running = Running::new().await;
    running.level(0, "A", "roma", 2).await;
    running.level(0, "B", "roma", 2).await;
    running.until(10).await;
    running.level(1, "A", "roma", 0).await;
    running.until(600).await;
    let pager = running.bodies("pager");
    let texts: Vec<_> = pager
        .iter()
        .map(|(at, body)| (*at, body["blocks"].to_string()))
        .collect();
    assert_eq!(texts.len(), 2, "{texts:#?}");
    assert!(texts[0].1.contains("Out of stock: A"), "{texts:#?}");
    assert!((30..=32).contains(&texts[1].0), "{texts:#?}");
    assert!(texts[1].1.contains("Low stock: B"), "{texts:#?}");
    assert!(!texts[1].1.contains("Low stock: A"), "{texts:#?}");
}

/// Insists that a channel was told this, in this order.
fn in_order(texts: &[String], expected: &[&str]) {
    let as_expected = texts.iter().zip(expected).all(|(it, of)| it.contains(of));
    assert!(
        as_expected && texts.len() == expected.len(),
        "{texts:#?} instead of {expected:#?}"
    );
}

/// It was low all the time, and is what people have to know once it is not out any more.
#[tokio::test(start_paused = true)]
async fn what_was_low_before_nothing_was_left_is_told_when_some_is_left_again() {
    let running = Running::new().await;
    running.level(0, "A", "roma", 2).await;
    running.until(10).await;
    running.level(1, "A", "roma", 0).await;
    running.until(600).await;
    in_order(&running.texts("pager"), &["Out of stock: A"]);
    running.level(20, "A", "roma", 2).await;
    running.until(1_500).await;
    let all = [
        "Out of stock: A",
        "No longer out of stock: A",
        "Low stock: A",
    ];
    in_order(&running.texts("pager"), &all);
    running.level(40, "A", "roma", 50).await;
    running.until(3_000).await;
    let texts = running.texts("pager").split_off(3);
    in_order(&texts, &["Stock recovered: A"]);
}

/// Everything goes to one channel at once.
fn at_once(channel: &str) -> String {
    let (head, _) = CONFIG.split_once("[channels.room]").unwrap();
    let (_, rules) = CONFIG.split_once("[[rules]]").unwrap();
    format!("{head}{channel}[[routes]]\nname = \"all\"\nchannels = [\"one\"]\n[[rules]]{rules}")
}

const ONE: &str = "[channels.one]\nkind = \"slack\"\nurl = \"env:SLACK\"\n";
const SYSTEM: &str = "[channels.one]\nkind = \"webhook\"\nurl = \"https://one.example.com/hook\"\n\
                      secret = \"env:HOOK\"\n";
const OFF: &str = "enabled = false\n";

#[tokio::test(start_paused = true)]
async fn the_last_that_a_channel_is_told_is_so_also_after_it_was_off() {
    let running = Running::with(&at_once(ONE)).await;
    running.level(0, "A", "roma", 2).await;
    running.until(10).await;
    running.configure(&at_once(&format!("{ONE}{OFF}"))).await;
    running.until(20).await;
    running.level(1, "A", "roma", 50).await;
    running.until(30).await;
    running.configure(&at_once(ONE)).await;
    running.until(32).await;
    running.level(2, "A", "roma", 1).await;
    running.until(2_000).await;
    let all = [
        "Low stock: A at Roma – just 2 units left",
        "Stock recovered: A at Roma – 50 units",
        "Low stock: A at Roma – just 1 unit left",
    ];
    in_order(&running.texts("one"), &all);
}

/// A program is sent each end, and for people the last word on what is left is enough.
#[tokio::test(start_paused = true)]
async fn that_there_is_plenty_again_is_one_message() {
    let told = async |channel: &str| {
        let running = Running::with(&at_once(channel)).await;
        for (step, on_hand) in [(1, 2), (2, 0), (3, 20)] {
            running.until(60 * step).await;
            running.level(step, "A", "roma", on_hand).await;
        }
        running.until(600).await;
        running
    };
    assert_eq!(told(SYSTEM).await.bodies("one").len(), 4);
    let all = [
        "Low stock: A at Roma – just 2 units left",
        "Out of stock: A at Roma – none left",
        "No longer out of stock: A at Roma – 20 units",
    ];
    in_order(&told(ONE).await.texts("one"), &all);
}

/// What a vendor took within an hour, where A had so much at these seconds.
async fn taken(config: &str, answer: Answer, levels: &[(i64, i64)]) -> Vec<String> {
    let clock = Clock::starting_at(at(0));
    let vendor = Arc::new(Moody {
        answer,
        clock: clock.clone(),
        took: Mutex::default(),
    });
    let running = Running::calling(config, clock, Arc::clone(&vendor) as _).await;
    for (minute, (seconds, on_hand)) in levels.iter().enumerate() {
        running.until(*seconds).await;
        let minute = i64::try_from(minute).unwrap();
        running.level(minute, "A", "roma", *on_hand).await;
    }
    running.until(3_600).await;
    let took = vendor.took.lock().unwrap();
    took.clone()
}

fn below_six() -> String {
    at_once(ONE).replace("threshold = 3", "threshold = 5")
}

const fn at_ease(status: u16) -> (u16, Duration) {
    (status, Duration::ZERO)
}

/// Whichever of the two was to say so does not arrive.
#[tokio::test(start_paused = true)]
async fn that_low_stock_is_over_is_told_where_the_end_of_out_of_stock_is_not() {
    let refused_at_length: Answer = |_, text| match text.contains("Out of stock") {
        true => (404, Duration::from_millis(3_500)),
        false => at_ease(200),
    };
    let end_refused: Answer = |_, text| match text.contains("No longer out of stock") {
        true => at_ease(404),
        false => at_ease(200),
    };
    let end_put_off: Answer = |_, text| match text.contains("No longer out of stock") {
        true => at_ease(429),
        false => at_ease(200),
    };
    let low = "Low stock: A at Roma – just 3 units left";
    let out = "Out of stock: A at Roma – none left";
    let over = "Stock recovered: A at Roma – 50 units";
    for (answer, back, expected) in [
        (refused_at_length, 121, &[low, over][..]),
        (end_refused, 180, &[low, out, over]),
        (end_put_off, 180, &[low, out, over]),
    ] {
        let took = taken(&below_six(), answer, &[(60, 3), (120, 0), (back, 50)]).await;
        in_order(&took, expected);
    }
}

/// The other is gathered with what comes within ten minutes.
#[tokio::test(start_paused = true)]
async fn that_low_stock_is_over_does_not_wait_for_a_group() {
    let gathers = "[[routes]]\nname = \"slow\"\nchannels = [\"one\"]\n\
                   kinds = [\"out_of_stock\"]\ngroup_by = []\ngroup_wait = \"10m\"\n[[routes]]";
    let config = below_six().replacen("[[routes]]", gathers, 1);
    let config = config.replace("name = \"all\"", "name = \"all\"\nkinds = [\"low_stock\"]");
    let took = taken(
        &config,
        |_, _| at_ease(200),
        &[(60, 3), (120, 0), (1_000, 50)],
    )
    .await;
    let all = [
        "Low stock: A at Roma – just 3 units left",
        "Out of stock: A at Roma – none left",
        "Stock recovered: A at Roma – 50 units",
    ];
    in_order(&took, &all);
}

/// It was tried before the item was out of stock again.
#[tokio::test(start_paused = true)]
async fn an_end_is_not_told_after_what_is_newer() {
    let down: Answer = |at, _| at_ease(if (120..128).contains(&at) { 500 } else { 200 });
    let levels = [(60, 0), (120, 40), (130, 0), (135, 40), (140, 5)];
    let took = taken(&below_six(), down, &levels).await;
    let all = [
        "Out of stock: A at Roma – none left",
        "Out of stock: A at Roma – none left",
        "No longer out of stock: A at Roma – 40 units",
        "Low stock: A at Roma – just 5 units left",
        "It has been steady for 30 minutes",
    ];
    in_order(&took, &all);
}

#[tokio::test(start_paused = true)]
async fn of_one_item_one_end_is_told() {
    let down: Answer = |at, _| at_ease(if at < 100 { 500 } else { 200 });
    let levels = [(60, 5), (62, 0), (64, 4), (66, 40)];
    let took = taken(&below_six(), down, &levels).await;
    in_order(&took, &["– 40 units"]);

    let gathers = "channels = [\"one\"]\ngroup_by = []\ngroup_wait = \"5s\"\n\
                   group_interval = \"10s\"";
    let config = below_six().replace("channels = [\"one\"]", gathers);
    let levels = [(60, 5), (120, 0), (180, 4), (182, 40)];
    let took = taken(&config, |_, _| at_ease(200), &levels).await;
    let all = [
        "Low stock: A at Roma – just 5 units left",
        "Out of stock: A at Roma – none left",
        "No longer out of stock: A at Roma – 40 units",
    ];
    in_order(&took, &all);
}

/// Nobody watches any more, which is said once.
#[tokio::test(start_paused = true)]
async fn that_nobody_watches_an_item_any_more_is_one_message() {
    let running = Running::with(&below_six()).await;
    for (step, on_hand) in [(1, 3), (2, 0)] {
        running.until(60 * step).await;
        running.level(step, "A", "roma", on_hand).await;
    }
    running.until(180).await;
    let config = below_six();
    let (without_rules, _) = config.split_once("[[rules]]").unwrap();
    running.configure(without_rules).await;
    running.until(1_200).await;
    in_order(
        &running.texts("one"),
        &["Low stock", "Out of stock", "A at Roma"],
    );
}

/// What its people read once a channel is back, of an item that had so much before and while it was away.
async fn read_after(route: &str, before: &[i64], away: &[i64]) -> Vec<String> {
    let config = |channel: &str| {
        let config = at_once(channel).replace("threshold = 3", "threshold = 5\nrecovery = 8");
        config.replace(
            "channels = [\"one\"]",
            &format!("channels = [\"one\"]\n{route}"),
        )
    };
    let running = Running::with(&config(ONE)).await;
    running.level(0, "A", "roma", 50).await;
    let mut step = 0;
    let mut levels = async |levels: &[i64]| {
        for on_hand in levels {
            step += 1;
            running.until(10 * step).await;
            running.level(step, "A", "roma", *on_hand).await;
        }
        step += 4;
        running.until(10 * step).await;
        10 * step
    };
    levels(before).await;
    let known = running.texts("one").len();
    running.configure(&config(&format!("{ONE}{OFF}"))).await;
    let back = levels(away).await;
    assert_eq!(running.texts("one").len(), known, "it is away");
    running.configure(&config(ONE)).await;
    running.until(back + 20).await;
    let at_once = running.texts("one").len();
    running.until(back + 300).await;
    let texts = running.texts("one").split_off(known);
    assert_eq!(at_once, known + texts.len(), "at once: {texts:#?}");
    texts
}

#[tokio::test(start_paused = true)]
async fn what_is_read_after_a_channel_was_away_is_so_now() {
    let cases: &[(&[i64], &[i64], &[&str])] = &[
        (&[], &[4], &["Low stock: A at Roma – just 4 units left"]),
        (&[], &[4, 3], &["Low stock: A at Roma – just 3 units left"]),
        (&[], &[4, 1], &["Low stock: A at Roma – just 1 unit left"]),
        (&[], &[4, 50], &[]),
        // Short of its recovery level it is open, and not what it was.
        (&[], &[4, 6], &["Low stock: A at Roma."]),
        (&[], &[4, 0], &["Out of stock: A at Roma – none left"]),
        (&[], &[0, 4], &["Low stock: A at Roma – just 4 units left"]),
        (&[4], &[0], &["Out of stock: A at Roma – none left"]),
        (&[4], &[0, 50], &["Stock recovered: A at Roma – 50 units"]),
        (&[4], &[50], &["Stock recovered: A at Roma – 50 units"]),
        (&[4], &[50, 20], &["Stock recovered: A at Roma – 20 units"]),
        (&[4], &[50, 1], &["Low stock: A at Roma – just 1 unit left"]),
        (&[4], &[1], &["Low stock: A at Roma – just 1 unit left"]),
        (&[4], &[6], &[]),
        (
            &[0],
            &[50],
            &["No longer out of stock: A at Roma – 50 units"],
        ),
        (&[0], &[50, 0], &["Out of stock: A at Roma – none left"]),
        (
            &[0],
            &[4],
            &[
                "No longer out of stock: A at Roma – 4 units",
                "Low stock: A at Roma – just 4 units left",
            ],
        ),
        (
            &[0],
            &[4, 1],
            &[
                "No longer out of stock: A at Roma – 1 unit",
                "Low stock: A at Roma – just 1 unit left",
            ],
        ),
        (
            &[0],
            &[4, 50],
            &["No longer out of stock: A at Roma – 50 units"],
        ),
    ];
    for (before, away, expected) in cases {
        let texts = read_after("", before, away).await;
        let as_expected = texts.iter().zip(*expected).all(|(it, of)| it.contains(of));
        assert!(
            as_expected && texts.len() == expected.len(),
            "{before:?} {away:?}: {texts:#?} instead of {expected:#?}"
        );
    }
}

/// Gathered, there is one message, whose last word is so.
#[tokio::test(start_paused = true)]
async fn what_a_group_says_after_its_channel_was_away_is_so_now() {
    let cases: &[(&[i64], &[i64], &[&str])] = &[
        (&[], &[4, 3], &["Low stock: A at Roma – just 3 units left"]),
        (&[], &[4, 50], &[]),
        (&[], &[4, 0], &["Out of stock: A at Roma – none left"]),
        (&[4], &[0, 50], &["Stock recovered: A at Roma – 50 units"]),
        (&[4], &[50, 1], &["Low stock: A at Roma – just 1 unit left"]),
        (
            &[0],
            &[4, 50],
            &["No longer out of stock: A at Roma – 50 units"],
        ),
    ];
    for (before, away, expected) in cases {
        let route = "group_by = []\ngroup_wait = \"5s\"\ngroup_interval = \"10s\"";
        let texts = read_after(route, before, away).await;
        let as_expected = texts.iter().zip(*expected).all(|(it, of)| it.contains(of));
        assert!(
            as_expected && texts.len() == expected.len(),
            "{before:?} {away:?}: {texts:#?} instead of {expected:#?}"
        );
    }
}

/// It is low again, or about to be, where people know that it is low.
#[tokio::test(start_paused = true)]
async fn that_stock_has_recovered_is_not_told_while_it_is_about_to_be_low_again() {
    let config = |channel: &str| {
        at_once(channel).replace("threshold = 3", "threshold = 3\npending = \"30m\"")
    };
    for (then, told) in [
        (50, "Stock recovered: A at Roma – 50"),
        (1, "Low stock: A at Roma – just 1"),
    ] {
        let running = Running::with(&config(ONE)).await;
        running.level(0, "A", "roma", 2).await;
        running.until(2_000).await;
        in_order(&running.texts("one"), &["Low stock: A at Roma – just 2"]);
        running.configure(&config(&format!("{ONE}{OFF}"))).await;
        running.until(2_010).await;
        running.level(40, "A", "roma", 50).await;
        running.until(2_100).await;
        running.level(41, "A", "roma", 1).await;
        running.until(2_200).await;
        running.configure(&config(ONE)).await;
        running.until(3_000).await;
        assert_eq!(running.texts("one").len(), 1, "{:#?}", running.texts("one"));
        running.level(60, "A", "roma", then).await;
        running.until(9_000).await;
        in_order(&running.texts("one").split_off(1), &[told]);
    }
}

/// A sum says what there is together now.
#[tokio::test(start_paused = true)]
async fn what_is_left_at_several_places_is_what_there_is_when_it_is_told() {
    let together = "kind = \"low_stock\"\ngroup = \"all\"\nover = \"sum\"\nthreshold = 9";
    let config = |channel: &str| {
        let config = at_once(channel).replace("kind = \"low_stock\"\nthreshold = 3", together);
        config.replace(
            "kind = \"warehouse\"",
            "kind = \"warehouse\"\ngroups = [\"all\"]",
        )
    };
    let running = Running::with(&config(&format!("{ONE}{OFF}"))).await;
    running.level(0, "A", "roma", 20).await;
    running.level(0, "A", "milano", 5).await;
    running.until(10).await;
    running.level(1, "A", "roma", 3).await;
    running.until(20).await;
    running.level(2, "A", "milano", 4).await;
    running.until(30).await;
    running.configure(&config(ONE)).await;
    running.until(600).await;
    in_order(&running.texts("one"), &["just 7 units left"]);
}

/// What is gravest is read first, and nobody waits for the clock.
#[tokio::test(start_paused = true)]
async fn a_channel_that_is_switched_on_is_told_at_once_the_gravest_first() {
    let config = |channel: &str| {
        let grave = "kind = \"out_of_stock\"\nseverity = \"critical\"";
        at_once(channel).replace("kind = \"out_of_stock\"", grave)
    };
    let running = Running::with(&config(&format!("{ONE}{OFF}"))).await;
    for minute in 0..8 {
        let on_hand = if minute == 7 { 0 } else { 2 };
        let product = format!("P{minute}");
        running.level(minute, &product, "roma", on_hand).await;
        running.until(60 * minute).await;
    }
    // Long enough that the clock would not look for a quarter of an hour.
    running.until(7_200).await;
    running.configure(&config(ONE)).await;
    running.until(7_206).await;
    let texts = running.texts("one");
    assert_eq!(texts.len(), 8, "{texts:#?}");
    let gravest = |text: &String| text.contains("Out of stock: P7");
    assert!(texts[..5].iter().any(gravest), "{texts:#?}");
}

/// The people are the same.
#[tokio::test(start_paused = true)]
async fn a_channel_that_gets_another_name_hears_the_ends_of_what_it_was_told() {
    let named = |name: &str| {
        let config = at_once(ONE).replace("[channels.one]", &format!("[channels.{name}]"));
        config.replace("[\"one\"]", &format!("[\"{name}\"]"))
    };
    let running = Running::with(&named("one")).await;
    running.level(0, "A", "roma", 2).await;
    running.level(0, "B", "roma", 2).await;
    running.until(10).await;
    in_order(&running.texts("one"), &["Low stock", "Low stock"]);
    for (minute, name, product) in [(1, "two", "A"), (2, "three", "B")] {
        running.configure(&named(name)).await;
        running.until(60 * minute).await;
        running.level(minute, product, "roma", 50).await;
        running.until(60 * minute + 10).await;
        let recovered = format!("Stock recovered: {product}");
        in_order(&running.texts(name), &[&recovered]);
    }
    // Another place under the old name is another channel.
    let elsewhere = ONE.replace("env:SLACK", "env:ELSEWHERE");
    running.level(3, "A", "roma", 2).await;
    running.until(200).await;
    running.configure(&at_once(&elsewhere)).await;
    running.until(210).await;
    running.level(4, "A", "roma", 50).await;
    running.until(2_000).await;
    assert_eq!(running.texts("one").len(), 2);
}

/// The people are the same, and know it.
#[tokio::test(start_paused = true)]
async fn a_channel_that_gets_another_name_is_sent_nothing_again_that_it_was_told() {
    let named = |name: &str| {
        let config = at_once(ONE).replace("[channels.one]", &format!("[channels.{name}]"));
        config.replace("[\"one\"]", &format!("[\"{name}\"]"))
    };
    let running = Running::with(&named("one")).await;
    running.level(0, "A", "roma", 2).await;
    running.until(10).await;
    running.configure(&named("two")).await;
    running.until(60).await;
    let installation = running.stack.installations.current().await.unwrap();
    let what = Resend {
        channel: "two".parse().unwrap(),
        alert: None,
        cursor: None,
    };
    let until = running.clock.now() + SignedDuration::from_secs(60);
    let resent = running.stack.store.resend(&what, &installation, until);
    assert_eq!(resent.await.unwrap().deliveries, 0);
    running.until(400).await;
    in_order(&running.texts("one"), &["Low stock"]);
    assert_eq!(running.texts("two"), [""; 0]);
}

/// It keeps books: of what it was not sent it would never hear.
#[tokio::test(start_paused = true)]
async fn a_system_that_was_off_is_sent_every_revision_in_order() {
    let running = Running::with(&at_once(&format!("{SYSTEM}{OFF}"))).await;
    for (minute, on_hand) in [(0, 2), (1, 50), (2, 1), (3, 0), (4, 50)] {
        running.level(minute, "A", "roma", on_hand).await;
        running.until(10 + minute).await;
    }
    running.configure(&at_once(SYSTEM)).await;
    running.until(3_600).await;
    let bodies = running.bodies("one").into_iter();
    let said = |(_, body): (i64, serde_json::Value)| body["type"].as_str().unwrap().to_owned();
    let said: Vec<_> = bodies.map(said).collect();
    let of = |kind: &str| -> Vec<_> {
        let ours = said.iter().filter(|it| it.contains(kind));
        ours.map(|it| it.rsplit('.').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        of("low_stock"),
        ["opened", "resolved", "opened", "resolved"]
    );
    assert_eq!(of("out_of_stock"), ["opened", "resolved"]);
    let unsettled = running.deliveries().await;
    assert!(
        unsettled
            .iter()
            .all(|it| it.state == IntentState::Delivered),
        "{unsettled:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn that_stock_is_back_is_told_where_it_still_is_once_the_channel_is_on() {
    let back = "kinds = [\"back_in_stock\"]\n[[rules]]";
    for (then, told) in [(9, &["Back in stock: A"][..]), (0, &[])] {
        let with = |channel: &str| at_once(channel).replacen("[[rules]]", back, 1);
        let running = Running::with(&with(&format!("{ONE}{OFF}"))).await;
        running.level(0, "A", "roma", 9).await;
        running.level(1, "A", "roma", 0).await;
        running.until(10).await;
        running.level(2, "A", "roma", 9).await;
        running.until(20).await;
        running.level(3, "A", "roma", then).await;
        running.until(30).await;
        running.configure(&with(ONE)).await;
        running.until(2_000).await;
        in_order(&running.texts("one"), told);
    }
}

/// People are told the number of what is not named; a program would never hear of it.
#[tokio::test(start_paused = true)]
async fn a_system_hears_of_each_alert_although_its_route_gathers() {
    let system = "[channels.system]\nkind = \"webhook\"\nurl = \"https://system.example.com/hook\"\n\
                  secret = \"env:HOOK\"\n[channels.pager]";
    let config = CONFIG
        .replace("[channels.pager]", system)
        .replace("channels = [\"room\"]", "channels = [\"room\", \"system\"]")
        .replace("max_alerts = 3", "max_alerts = 3\nrepeat_interval = \"4h\"");
    let running = Running::with(&config).await;
    let products: Vec<String> = (0..12).map(|number| format!("P{number:02}")).collect();
    for product in &products {
        running.level(0, product, "milano", 2).await;
    }
    running.until(600).await;
    punctual(
        &running.sent("room"),
        &[(30, "12 inventory alerts at Milano: 12 new or changed")],
    );
    let named = |change: &str| -> Vec<String> {
        let bodies = running.bodies("system").into_iter();
        let ours = bodies.filter(|(_, body)| body["data"]["change"] == change);
        let mut named: Vec<_> = ours
            .map(|(_, body)| body["data"]["product"].as_str().unwrap().to_owned())
            .collect();
        named.sort();
        named
    };
    assert_eq!(named("opened"), products);
    for product in &products {
        running.level(20, product, "milano", 50).await;
    }
    running.until(2_000).await;
    assert_eq!(named("resolved"), products);
}

/// Neither what waits in its groups nor the ends of what they told.
#[tokio::test(start_paused = true)]
async fn a_gathering_route_that_is_taken_out_leaves_no_flood() {
    let (head, rest) = CONFIG
        .split_once("[[routes]]\nname = \"by-place\"")
        .unwrap();
    let (_, rest) = rest.split_once("max_alerts = 3\n").unwrap();
    let without = format!("{head}{rest}");
    let running = Running::new().await;
    let products = ["A", "B", "C", "D", "E"];
    for product in products {
        running.level(0, product, "milano", 2).await;
    }
    running.until(10).await;
    let config = Config::check(&without, "test.toml").unwrap();
    running
        .stack
        .store
        .apply_config(&config, "test")
        .await
        .unwrap();
    running.until(20).await;
    running.level(1, "A", "milano", 50).await;
    running.until(60).await;
    let room = [(30, "4 inventory alerts at Milano: 4 new or changed")];
    punctual(&running.sent("room"), &room);
    for product in &products[1..] {
        running.level(2, product, "milano", 50).await;
    }
    running.until(700).await;
    let last = running.sent("room").split_off(1);
    punctual(&last, &[(330, "4 inventory alerts at Milano: 4 over")]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_reaches_more_gathering_channels_than_one_transaction_takes_writes() {
    use std::fmt::Write as _;
    /// Two writes each, where a transaction takes a hundred.
    const CHANNELS: usize = 60;
    let (head, rest) = CONFIG.split_once("[channels.room]").unwrap();
    let (_, rules) = rest.split_once("[[rules]]").unwrap();
    let mut config = format!("{head}[[rules]]{rules}");
    let names: Vec<_> = (0..CHANNELS)
        .map(|number| format!("room-{number}"))
        .collect();
    for name in &names {
        writeln!(
            config,
            "[channels.{name}]\nkind = \"slack\"\nurl = \"env:SLACK\""
        )
        .unwrap();
    }
    writeln!(
        config,
        "[[routes]]\nname = \"all\"\nchannels = {names:?}\ngroup_by = [\"location\"]"
    )
    .unwrap();
    let running = Running::with(&config).await;
    running.level(0, "A", "milano", 2).await;
    running.until(60).await;
    for name in &names {
        punctual(
            &running.sent(name),
            &[(30, "Inventory alert for A at Milano")],
        );
    }
    running.level(20, "A", "milano", 50).await;
    running.until(700).await;
    let ended = |name: &String| running.sent(name).len() == 2;
    assert!(names.iter().all(ended));
    let pending = running
        .stack
        .store
        .intents(None, 1_000)
        .await
        .unwrap()
        .items;
    assert!(pending.len() >= 2 * CHANNELS);
    let settled = |intent: &Intent| intent.state == IntentState::Delivered;
    assert!(pending.iter().all(settled));
}

/// A channel with a route that gathers, and one that leads there at once what is critical.
fn two_ways(severity: &str) -> String {
    let routes = "channels = [\"one\"]\ngroup_by = []\nrepeat_interval = \"1h\"\n\
                  [[routes]]\nname = \"urgent\"\nchannels = [\"one\"]\nmin_severity = \"critical\"\n";
    let rule = format!("threshold = 3\nseverity = \"{severity}\"\nremind_every = \"1h\"");
    at_once(ONE)
        .replace("channels = [\"one\"]\n", routes)
        .replace("threshold = 3", &rule)
}

#[tokio::test(start_paused = true)]
async fn people_are_reminded_once_an_hour_by_whichever_of_two_routes_told_them() {
    for (first, then) in [("warning", "critical"), ("critical", "warning")] {
        let running = Running::with(&two_ways(first)).await;
        running.level(0, "A", "roma", 2).await;
        running.until(900).await;
        running.configure(&two_ways(then)).await;
        running.until(1_800).await;
        let before = running.sent("one").len();
        running.until(1_800 + 3 * 3_600).await;
        let reminders = running.sent("one").split_off(before);
        assert!(
            (2..=3).contains(&reminders.len()),
            "{first}, then {then}: {reminders:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_reminds_by_the_name_that_a_place_has_now() {
    let config = CONFIG
        .replace("max_alerts = 3", "max_alerts = 3\nrepeat_interval = \"1h\"")
        .replace("group_by = []", "group_by = []\nrepeat_interval = \"1h\"");
    let running = Running::with(&config).await;
    for product in ["A", "B"] {
        running.level(0, product, "milano", 2).await;
    }
    running.until(600).await;
    let renamed = config.replace("name = \"Milano\"", "name = \"Centro\"");
    running.configure(&renamed).await;
    running.until(4_500).await;
    for channel in ["room", "pager"] {
        let last = running.texts(channel).pop().unwrap();
        assert!(last.contains("still open"), "{last}");
        assert!(
            last.contains("Centro") && !last.contains("Milano"),
            "{last}"
        );
    }
}

/// What says it first does not leave where something follows soon: it is fewer, or nothing.
#[tokio::test(start_paused = true)]
async fn that_demand_is_high_is_told_also_where_the_message_that_began_with_it_is_left_out() {
    for (second, title) in [(1, "Low stock: A"), (2, "Out of stock: A")] {
        let running = Running::with(&format!("{CONFIG}{FAST}")).await;
        running.level(0, "A", "roma", 8).await;
        running.until(60).await;
        let installation = running.stack.installations.current().await.unwrap();
        let authority = installation.authority();
        for (minute, units) in [(1, 6), (2, second)] {
            let id = format!("sale-{minute}");
            let sale = sold(&id, "generic", minute, "A", "roma", units);
            running.stack.store.apply(&sale, &authority).await.unwrap();
            running.until(60 + 5 * minute).await;
        }
        running.until(600).await;
        for channel in ["room", "pager"] {
            let texts = running.texts(channel);
            in_order(&texts, &[title]);
            let all = format!("{} sold within 7 days", 6 + second);
            assert!(texts[0].contains(&all), "{channel}: {texts:?}");
        }
    }
}

/// One sale is one message, which says both; how fast it sells is told of itself once stock is there again.
#[tokio::test(start_paused = true)]
async fn a_sale_that_makes_stock_low_and_demand_high_is_one_message() {
    let running = Running::with(&format!("{}{FAST}", at_once(ONE))).await;
    running.level(0, "A", "roma", 8).await;
    running.until(60).await;
    let installation = running.stack.installations.current().await.unwrap();
    let sale = sold("sale", "generic", 1, "A", "roma", 6);
    let authority = installation.authority();
    running.stack.store.apply(&sale, &authority).await.unwrap();
    running.until(300).await;
    in_order(&running.texts("one"), &["Low stock: A"]);
    let text = running.texts("one").remove(0);
    assert!(text.contains("6 sold within 7 days"), "{text}");
    running.level(10, "A", "roma", 50).await;
    running.until(900).await;
    let all = ["Low stock: A", "Stock recovered: A", "High demand: A"];
    in_order(&running.texts("one"), &all);
}

const FAST: &str = "[[rules]]\nname = \"fast\"\nkind = \"high_demand\"\nat_least = 5\ndays = 7\n";

/// A reminder, and what its vendor did not take at first.
#[tokio::test(start_paused = true)]
async fn high_demand_is_told_with_what_is_sold_when_it_is_told() {
    let sells = async |running: &Running, minute: i64, units: i64| {
        let id = format!("sale-{minute}");
        let sale = sold(&id, "generic", minute, "A", "roma", units);
        let installation = running.stack.installations.current().await.unwrap();
        let authority = installation.authority();
        running.stack.store.apply(&sale, &authority).await.unwrap();
    };
    let reminds = "max_alerts = 3\nrepeat_interval = \"1h\"";
    let config = CONFIG.replace("max_alerts = 3", reminds);
    let running = Running::with(&format!("{config}{FAST}")).await;
    running.level(0, "A", "roma", 100).await;
    running.until(60).await;
    sells(&running, 1, 6).await;
    running.until(600).await;
    sells(&running, 10, 4).await;
    running.until(4_800).await;
    let texts = running.texts("room");
    assert!(texts[0].contains("6 sold, 94 left"), "{texts:#?}");
    let last = texts.last().unwrap();
    assert!(last.contains("still open"), "{texts:#?}");
    assert!(last.contains("10 sold, 90 left"), "{texts:#?}");

    let clock = Clock::starting_at(at(0));
    let vendor = Arc::new(Moody {
        answer: |at, _| at_ease(if at < 300 { 500 } else { 200 }),
        clock: clock.clone(),
        took: Mutex::default(),
    });
    let config = format!("{}{FAST}", at_once(ONE));
    let running = Running::calling(&config, clock, Arc::clone(&vendor) as _).await;
    running.level(0, "A", "roma", 100).await;
    running.until(60).await;
    sells(&running, 1, 6).await;
    running.until(200).await;
    sells(&running, 3, 4).await;
    running.until(2_000).await;
    let took = vendor.took.lock().unwrap().clone();
    assert!(took[0].contains("10 sold, 90 left"), "{took:#?}");
}

/// Its place is taken out, and with it all that is watched of it there.
#[tokio::test(start_paused = true)]
async fn that_an_item_is_closed_is_told_once_whatever_was_told_of_it() {
    let gathers = "channels = [\"one\"]\ngroup_by = []\ngroup_wait = \"5s\"\n\
                   group_interval = \"10s\"";
    let at_once = format!("{}{FAST}", at_once(ONE));
    let gathered = at_once.replace("channels = [\"one\"]", gathers);
    for config in [at_once, gathered] {
        let running = Running::with(&config).await;
        running.level(0, "A", "roma", 100).await;
        running.until(60).await;
        let sale = sold("sale", "generic", 1, "A", "roma", 6);
        let installation = running.stack.installations.current().await.unwrap();
        let authority = installation.authority();
        running.stack.store.apply(&sale, &authority).await.unwrap();
        running.until(300).await;
        running.level(5, "A", "roma", 2).await;
        running.until(600).await;
        in_order(&running.texts("one"), &["High demand", "Low stock"]);
        let roma = "[locations.roma]\nname = \"Roma\"\nkind = \"warehouse\"\n";
        running.configure(&config.replace(roma, "")).await;
        running.until(3_600).await;
        let texts = running.texts("one").concat();
        let closings = texts.matches("Alert closed").count();
        assert_eq!(closings, 1, "{texts}");
    }
}

/// A sentence on how far it had fallen is no news once there is more again.
#[tokio::test(start_paused = true)]
async fn a_group_that_waited_says_nothing_of_how_much_was_left_before() {
    let config = CONFIG.replacen("threshold = 3", "threshold = 10", 1);
    for (then, fell) in [(4, true), (9, false)] {
        let running = Running::with(&config).await;
        for product in ["A", "B"] {
            running.level(0, product, "roma", 10).await;
        }
        running.until(45).await;
        for product in ["A", "B"] {
            running.level(1, product, "roma", 5).await;
        }
        running.until(100).await;
        for product in ["A", "B"] {
            running.level(2, product, "roma", then).await;
        }
        running.until(900).await;
        let texts = running.texts("room");
        let [first, second] = &texts[..] else {
            panic!("{then}: {texts:#?}")
        };
        assert!(!first.contains("fallen"), "{first}");
        assert_eq!(second.contains("fallen further"), fell, "{second}");
        assert!(second.contains(&format!("{then} units")), "{second}");
    }
}
