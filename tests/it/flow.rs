//! From a webhook to the vendor's request, through every function and queue, in one process.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method};
use lotwire::engine::{EmbeddedAws, Pump, Settings};
use lotwire::outbox::Outbox;
use lotwire::stack::{Parts, Stack};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::domain::alert::AlertState;
use shared::http::{Guard, Http, HttpSettings};
use shared::metrics::Metrics;
use shared::secrets::{EXTENSION, Secrets};
use shared::store::alerts::Alert;
use shared::store::intents::{Intent, IntentState};
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::bench::{SECRET, event_signed};

/// A whole stack in memory, with vendors at these addresses.
pub(crate) struct Running {
    pub(crate) stack: Stack,
    pump: Pump,
    outbox: Outbox,
    _scratch: tempfile::TempDir,
}

impl Running {
    pub(crate) async fn with(config: &str) -> Self {
        let aws = EmbeddedAws::in_memory(Settings::default()).unwrap();
        let clock = Clock::system();
        let allowed = vec!["127.0.0.1".parse().unwrap()];
        let http = Arc::new(
            Http::new(HttpSettings {
                guard: Guard::new(allowed),
                ..HttpSettings::default()
            })
            .unwrap(),
        );
        let environment = |name: &str| match name {
            "GENERIC" | "OUT" => Some(SECRET.to_owned()),
            _ => None,
        };
        let secrets = Secrets::new(
            Box::new(environment),
            Arc::clone(&http) as _,
            EXTENSION.parse().unwrap(),
            clock.clone(),
        );
        let outbox = Outbox::in_memory(http, clock.clone());
        let scratch = tempfile::tempdir().unwrap();
        let stack = Stack::build(Parts {
            aws,
            chance: Chance::seeded(11),
            secrets: Arc::new(secrets),
            outgoing: Arc::new(outbox.clone()),
            metrics: Metrics::to(std::io::sink(), clock),
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
            _scratch: scratch,
        }
    }

    /// Has this done while no function runs.
    pub(crate) async fn while_stopped(self, work: impl AsyncFnOnce(&Stack)) -> Self {
        self.pump.stop().await;
        work(&self.stack).await;
        let pump = self.stack.start().unwrap();
        Self { pump, ..self }
    }

    /// Posts a signed event of the generic connector, and waits until everything is done with it.
    pub(crate) async fn post(&self, id: &str, kind: &str, data: Value) -> (u16, Value) {
        self.post_to("generic", id, kind, data).await
    }

    /// As [`Running::post`], of another connector with the same secret.
    pub(crate) async fn post_to(
        &self,
        connector: &str,
        id: &str,
        kind: &str,
        data: Value,
    ) -> (u16, Value) {
        let now = Clock::system().now();
        let (signed, body) = event_signed(SECRET, id, now, kind, &data);
        let mut headers = HeaderMap::new();
        for (name, value) in signed {
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
        }
        let hook = format!("/hooks/{connector}");
        let answer = self.send(&hook, &headers, &body).await;
        self.settle().await;
        answer
    }

    /// What the API answers whoever has the token.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer token"));
        self.request(Method::GET, path, &headers, "").await.1
    }

    pub(crate) async fn send(&self, path: &str, headers: &HeaderMap, body: &str) -> (u16, Value) {
        self.request(Method::POST, path, headers, body).await
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        body: &str,
    ) -> (u16, Value) {
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .unwrap();
        *request.headers_mut() = headers.clone();
        let (parts, ()) = request.into_parts();
        let gateway = self.stack.gateway().unwrap();
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        let response = gateway.answer(parts, address, body.to_owned().into()).await;
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    pub(crate) async fn settle(&self) {
        tokio::time::timeout(Duration::from_secs(60), self.pump.idle())
            .await
            .expect("the stack comes to rest");
    }

    pub(crate) async fn level(&self, id: &str, sku: &str, on_hand: i64) {
        let data = json!({ "sku": sku, "location": "milano", "on_hand": on_hand });
        let (status, answer) = self.post(id, "stock.level", data).await;
        assert_eq!(status, 200, "{answer}");
    }

    pub(crate) async fn alerts(&self, state: AlertState) -> Vec<Alert> {
        self.stack
            .store
            .alerts(state, None, 100)
            .await
            .unwrap()
            .items
    }

    async fn deliveries(&self) -> Vec<Intent> {
        self.stack.store.intents(None, 200).await.unwrap().items
    }
}

fn config(vendor: &str) -> String {
    format!(
        r#"
[account]
name = "Test"
zone = "Europe/Rome"
currency = "EUR"
[locations.milano]
name = "Milano"
kind = "warehouse"
[connectors.generic]
kind = "generic"
[connectors.generic.webhook]
secret = "env:GENERIC"
[channels.room]
kind = "slack"
url = "env:NOT_SET"
[channels.out]
kind = "webhook"
url = "{vendor}/out"
secret = "env:OUT"
[[routes]]
name = "all"
channels = ["room", "out"]
[[rules]]
name = "low"
kind = "low_stock"
threshold = 3
[[rules]]
name = "gone"
kind = "out_of_stock"
[[rules]]
name = "fast"
kind = "high_demand"
at_least = 3
days = 7
"#
    )
}

async fn vendor(status: u16) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(status))
        .mount(&server)
        .await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_at_its_threshold_becomes_a_request_to_every_channel_and_its_end_too() {
    let vendor = vendor(204).await;
    let running = Running::with(&config(&vendor.uri())).await;
    running.level("l1", "OIL", 10).await;
    assert!(running.outbox.entries().is_empty(), "ten are enough");
    running.level("l2", "OIL", 3).await;

    let open = running.alerts(AlertState::Open).await;
    assert_eq!(open.len(), 1);
    let message = &open[0].message;
    let (before, after) = (message.before.unwrap(), message.after.unwrap());
    assert_eq!((before.on_hand, after.on_hand, after.available), (10, 3, 3));
    assert_eq!(
        (message.threshold, message.rule.as_deref()),
        (Some(3), Some("low"))
    );
    assert!(
        message
            .why
            .as_deref()
            .unwrap()
            .contains("fires at 3 or fewer")
    );

    let received = vendor.received_requests().await.unwrap();
    assert_eq!(received.len(), 1, "the webhook really left");
    let body: Value = serde_json::from_slice(&received[0].body).unwrap();
    assert_eq!(body["type"], "stock.low_stock.opened");
    let slack: Vec<_> = running
        .outbox
        .entries()
        .into_iter()
        .filter(|entry| entry.kind == "slack")
        .collect();
    assert_eq!(slack.len(), 1, "Slack has no credentials: shown, not sent");
    assert!(
        slack[0]
            .request
            .body
            .contains("Low stock: OIL – just 3 units left."),
        "{}",
        slack[0].request.body
    );

    running.level("l3", "OIL", 50).await;
    assert!(running.alerts(AlertState::Open).await.is_empty());
    let deliveries = running.deliveries().await;
    assert_eq!(deliveries.len(), 4, "two channels, opened and resolved");
    for delivery in &deliveries {
        // Slack has no credentials, so there is nothing to take back there either.
        let state = match delivery.channel.as_str() {
            "room" => IntentState::Superseded,
            _ => IntentState::Delivered,
        };
        assert_eq!(delivery.state, state, "{delivery:?}");
    }
    let received = vendor.received_requests().await.unwrap();
    let ids: Vec<_> = received
        .iter()
        .map(|r| r.headers["webhook-id"].clone())
        .collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1], "each revision has its own key");
}

/// A debug build keeps each future several times on the stack of whoever polls it: what grows here ends
/// the process sooner or later.
#[test]
fn a_webhook_its_alert_and_a_new_configuration_need_half_of_a_workers_stack() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(1 << 20)
        .enable_all()
        .build()
        .unwrap();
    let on_a_worker = async {
        let vendor = vendor(204).await;
        let running = Running::with(&config(&vendor.uri())).await;
        running.level("l1", "OIL", 4).await;
        running.level("l2", "OIL", 3).await;
        let lower = config(&vendor.uri()).replace("threshold = 3", "threshold = 1");
        let lower = Config::check(&lower, "lower.toml").unwrap();
        running
            .stack
            .store
            .apply_config(&lower, "test")
            .await
            .unwrap();
        running.settle().await;
        assert!(running.alerts(AlertState::Open).await.is_empty());
        assert_eq!(running.deliveries().await.len(), 4);
    };
    runtime.block_on(async { tokio::spawn(on_a_worker).await.unwrap() });
}

#[tokio::test(flavor = "multi_thread")]
async fn low_then_well_then_low_is_two_alerts_and_a_repeat_is_none() {
    let vendor = vendor(204).await;
    let running = Running::with(&config(&vendor.uri())).await;
    for (id, on_hand) in [("a", 2), ("b", 40), ("c", 3), ("d", 2)] {
        running.level(id, "OIL", on_hand).await;
    }
    assert_eq!(running.alerts(AlertState::Resolved).await.len(), 1);
    assert_eq!(
        running.alerts(AlertState::Open).await.len(),
        1,
        "still low is no news"
    );
    assert_eq!(vendor.received_requests().await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_webhook_twice_has_one_effect() {
    let vendor = vendor(204).await;
    let running = Running::with(&config(&vendor.uri())).await;
    running.level("base", "OIL", 10).await;
    let sale = json!({ "sku": "OIL", "location": "milano", "quantity": 1 });
    let (first, second) = (
        running.post("order-1", "stock.sold", sale.clone()).await,
        running.post("order-1", "stock.sold", sale).await,
    );
    assert_eq!((first.0, second.0), (200, 200));
    let position = running
        .stack
        .store
        .position(&"OIL".parse().unwrap(), &"milano".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(position.sold.values().sum::<i64>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_sold_in_a_week_is_high_demand() {
    let vendor = vendor(204).await;
    let running = Running::with(&config(&vendor.uri())).await;
    running.level("base", "OIL", 100).await;
    for order in ["o1", "o2", "o3"] {
        let sale = json!({ "sku": "OIL", "location": "milano", "quantity": 1 });
        running.post(order, "stock.sold", sale).await;
    }
    let open = running.alerts(AlertState::Open).await;
    let kinds: Vec<_> = open.iter().map(|alert| alert.kind.name()).collect();
    assert_eq!(kinds, ["high_demand"]);
    assert_eq!(open[0].message.sold, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failing_channel_does_not_repeat_the_other() {
    let server = MockServer::start().await;
    Mock::given(path("/out"))
        .respond_with(ResponseTemplate::new(503))
        .mount(&server)
        .await;
    let running = Running::with(&config(&server.uri())).await;
    let data = json!({ "sku": "OIL", "location": "milano", "on_hand": 1 });
    // A failed delivery is put back with a delay, so the stack does not come to rest: wait for what
    // is asked about instead.
    let now = Clock::system().now();
    let _sent = tokio::time::timeout(
        Duration::from_secs(2),
        running.post("l1", "stock.level", data),
    )
    .await;
    let deadline = now + jiff::SignedDuration::from_secs(30);
    loop {
        let deliveries = running.deliveries().await;
        let room = deliveries.iter().find(|d| d.channel.as_str() == "room");
        let out = deliveries.iter().find(|d| d.channel.as_str() == "out");
        if let (Some(room), Some(out)) = (room, out)
            && room.state == IntentState::NotSent
            && out.attempts >= 2
        {
            assert_eq!(out.state, IntentState::Pending);
            break;
        }
        assert!(Clock::system().now() < deadline, "{deliveries:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let keys: std::collections::BTreeSet<_> = server
        .received_requests()
        .await
        .unwrap()
        .iter()
        .map(|request| request.headers["webhook-id"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 1, "every attempt carries the same key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_webhook_writes_nothing() {
    let vendor = vendor(204).await;
    let running = Running::with(&config(&vendor.uri())).await;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("webhook-id", "forged".to_owned()),
        (
            "webhook-timestamp",
            Clock::system().now().as_second().to_string(),
        ),
        (
            "webhook-signature",
            format!("v1,{}", STANDARD.encode([7; 32])),
        ),
    ] {
        headers.insert(name, HeaderValue::from_str(&value).unwrap());
    }
    let body = json!({ "type": "stock.level", "timestamp": Clock::system().now().to_string(),
        "data": { "sku": "OIL", "location": "milano", "on_hand": 0 } });
    let (status, problem) = running
        .send("/hooks/generic", &headers, &body.to_string())
        .await;
    assert_eq!(
        (status, problem["reason"].as_str()),
        (401, Some("signature_mismatch"))
    );
    running.settle().await;
    let generic = "generic".parse().unwrap();
    let kept = running
        .stack
        .store
        .received_between(&generic, None, None, None, 10)
        .await
        .unwrap();
    assert!(kept.items.is_empty());
    assert!(
        running
            .stack
            .store
            .positions(None, 10)
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_replayed_twice_has_no_second_effect() {
    let vendor = vendor(204).await;
    let running = Running::with(&config(&vendor.uri())).await;
    running.level("base", "OIL", 10).await;
    for order in ["o1", "o2"] {
        let sale = json!({ "sku": "OIL", "location": "milano", "quantity": 1 });
        running.post(order, "stock.sold", sale).await;
    }
    let read = async || {
        running
            .stack
            .store
            .position(&"OIL".parse().unwrap(), &"milano".parse().unwrap())
            .await
            .unwrap()
            .unwrap()
    };
    let before = read().await;
    let all = ingest::Selection::Between {
        from: None,
        until: None,
    };
    for _ in 0..2 {
        let replayed = running
            .stack
            .ingest
            .replay(&"generic".parse().unwrap(), &all, None)
            .await
            .unwrap();
        assert_eq!((replayed.webhooks, replayed.outcome.applied), (3, 0));
    }
    assert_eq!(read().await, before);
}

/// What lay in between is past: people heard of it when it was so.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_tells_what_is_true_after_it_and_nothing_of_what_was_in_between() {
    let vendor = vendor(204).await;
    let text = config(&vendor.uri());
    let running = Running::with(&text).await;
    for (at, oil, pads) in [(1, 10, 10), (2, 2, 9), (3, 0, 0), (4, 12, 2)] {
        running.level(&format!("oil{at}"), "OIL", oil).await;
        running.level(&format!("pads{at}"), "PADS", pads).await;
    }
    // What the connector stated ends with it, so that its webhooks say something when they are replayed.
    let begins = text.find("[connectors.generic]").unwrap();
    let ends = text.find("[channels.room]").unwrap();
    for text in [text.replace(&text[begins..ends], ""), text.clone()] {
        let config = Config::check(&text, "test.toml").unwrap();
        running
            .stack
            .store
            .apply_config(&config, "test")
            .await
            .unwrap();
        running.settle().await;
    }
    assert!(running.alerts(AlertState::Open).await.is_empty());
    let before = running.deliveries().await.len();
    let body = json!({ "connector": "generic" }).to_string();
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer token"));
    let (status, answer) = running.send("/api/v1/replays", &headers, &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["received"], &answer["changed"]),
        (&json!(8), &json!(8))
    );
    running.settle().await;
    let open = running.alerts(AlertState::Open).await;
    let said: Vec<_> = open
        .iter()
        .map(|alert| {
            (
                alert.message.product.as_str(),
                alert.message.after.unwrap().available,
            )
        })
        .collect();
    assert_eq!(said, [("PADS", 2)]);
    assert_eq!(open[0].revision, 1);
    let told = running.deliveries().await.len() - before;
    assert_eq!(told, 2, "one alert, on two channels");
    // A later word is news again.
    running.level("oil5", "OIL", 1).await;
    assert_eq!(running.alerts(AlertState::Open).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_threshold_is_looked_at_at_once() {
    let vendor = vendor(204).await;
    let running = Running::with(&config(&vendor.uri())).await;
    for sku in ["A", "B", "C"] {
        running.level(sku, sku, 8).await;
    }
    assert!(running.alerts(AlertState::Open).await.is_empty());
    let stricter = config(&vendor.uri()).replace("threshold = 3", "threshold = 8");
    let config = Config::check(&stricter, "test.toml").unwrap();
    running
        .stack
        .store
        .apply_config(&config, "test")
        .await
        .unwrap();
    running.settle().await;
    assert_eq!(running.alerts(AlertState::Open).await.len(), 3);
}
