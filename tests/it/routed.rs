//! What a channel hears of alerts that were open before it was asked to tell of them, and of those that
//! ended while it was away.

use http::{HeaderMap, HeaderValue, Method};
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::domain::alert::AlertState;
use shared::store::intents::Lease;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::flow::Running;

/// An installation with these channels at the vendor, and routes for low stock.
fn config(vendor: &str, channels: &[&str], routes: &str) -> String {
    let mut text = r#"
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
[[rules]]
name = "low"
kind = "low_stock"
threshold = 3
"#
    .to_owned();
    for name in channels {
        text.push_str(&match *name {
            // Mail: what is for people is gathered.
            "people" => format!(
                "[channels.people]\nkind = 'sendgrid'\napi_key = 'env:OUT'\nfrom = 'stock@example.com'\n\
                 to = ['parts@example.com']\nbase_url = '{vendor}/people'\n"
            ),
            name => format!(
                "[channels.{name}]\nkind = 'webhook'\nurl = '{vendor}/{name}'\nsecret = 'env:OUT'\n"
            ),
        });
    }
    text + routes
}

async fn vendor() -> MockServer {
    let vendor = MockServer::start().await;
    let taken = Mock::given(any()).respond_with(ResponseTemplate::new(204));
    taken.mount(&vendor).await;
    vendor
}

/// What a channel was told, in order: the product and what of it.
async fn told(vendor: &MockServer, channel: &str) -> Vec<[String; 2]> {
    let requests = vendor.received_requests().await.unwrap();
    let ours = requests
        .iter()
        .filter(|it| it.url.path() == format!("/{channel}"));
    let bodies = ours.map(|it| serde_json::from_slice::<Value>(&it.body).unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let said = |body: Value| {
        let kind = text(&body["type"]);
        let change = kind.rsplit('.').next().unwrap().to_owned();
        [text(&body["data"]["subject"]["product"]), change]
    };
    bodies.map(said).collect()
}

fn said(what: &[[&str; 2]]) -> Vec<[String; 2]> {
    what.iter().map(|it| it.map(str::to_owned)).collect()
}

impl Running {
    async fn asked(&self, method: Method, path: &str, kind: &'static str, body: &str) -> Value {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer token"));
        headers.insert("content-type", HeaderValue::from_static(kind));
        let (status, answer) = self.request(method, path, &headers, body).await;
        assert!(status < 300, "{answer}");
        self.settle().await;
        answer
    }

    /// What `apply` has to say of open alerts.
    async fn applied(&self, text: &str) -> Vec<String> {
        let answer = self.asked(Method::PUT, "/api/v1/config", "application/toml", text);
        let notes = answer.await["notes"].take();
        let mut notes: Vec<String> = serde_json::from_value(notes).unwrap();
        notes.retain(|note| note.contains("open alert"));
        notes
    }

    /// Sends again on a channel, and lets leave what is due.
    async fn resent(&self, channel: &str) -> u64 {
        let path = format!("/api/v1/channels/{channel}/resend");
        let answer = self
            .asked(Method::POST, &path, "application/json", "{}")
            .await;
        assert_eq!(answer["complete"], true, "{answer}");
        self.caught_up().await;
        answer["deliveries"].as_u64().unwrap()
    }

    /// What is due soon is looked at now.
    async fn caught_up(&self) {
        self.stack.announce_pending().await.unwrap();
        self.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_the_routes_lead_to_now_is_told_on_request_what_is_open_and_of_its_end() {
    let vendor = vendor().await;
    let routes = |channels: &str, more: &str| {
        let routes = format!("[[routes]]\nname = 'all'\nchannels = [{channels}]\n{more}");
        config(&vendor.uri(), &["one", "two", "people"], &routes)
    };
    for (two, more) in [
        ("two", ""),
        ("people", "group_by = []\ngroup_wait = '0s'\n"),
    ] {
        vendor.reset().await;
        let taken = Mock::given(any()).respond_with(ResponseTemplate::new(204));
        taken.mount(&vendor).await;
        let running = Running::with(&routes("'one'", "")).await;
        for (id, sku, on_hand) in [("a", "OIL", 2), ("b", "PAD", 3), ("c", "TYRE", 9)] {
            running.level(id, sku, on_hand).await;
        }
        assert_eq!(told(&vendor, "one").await.len(), 2);
        let both = format!("'one', '{two}'");
        let notes = running.applied(&routes(&both, more)).await;
        assert_eq!(
            notes,
            [format!(
                "2 open alerts now routed to channel `{two}` were not told there; to tell them: lotwire resend {two}"
            )]
        );
        let heard = async || {
            let requests = vendor.received_requests().await.unwrap();
            let path = format!("/{two}");
            let ours = requests
                .iter()
                .filter(|it| it.url.path().starts_with(&path));
            ours.count()
        };
        // Nobody is surprised with old alerts.
        running.caught_up().await;
        assert_eq!(heard().await, 0);
        let messages = if more.is_empty() { 2 } else { 1 };
        running.resent(two).await;
        assert_eq!(heard().await, messages, "{more}");
        // Once.
        assert_eq!(running.resent(two).await, 0);
        if !more.is_empty() {
            continue;
        }
        // Its end follows there as anywhere.
        running.level("d", "OIL", 40).await;
        running.caught_up().await;
        let ended = said(&[["OIL", "resolved"]]);
        for channel in ["one", "two"] {
            assert_eq!(told(&vendor, channel).await.split_off(2), ended);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_whose_route_was_away_is_told_on_request_how_what_it_heard_of_stands() {
    let vendor = vendor().await;
    let routes = |channels: &str| {
        let routes = format!("[[routes]]\nname = 'all'\nchannels = [{channels}]\n");
        config(&vendor.uri(), &["one", "two"], &routes)
    };
    let running = Running::with(&routes("'one', 'two'")).await;
    running.level("a", "OIL", 3).await;
    running.applied(&routes("'two'")).await;
    running.level("b", "OIL", 0).await;
    assert_eq!(told(&vendor, "one").await.len(), 1);
    let fell = told(&vendor, "two").await;
    assert_eq!(fell.len(), 2, "{fell:?}");
    running.applied(&routes("'one', 'two'")).await;
    assert_eq!(running.resent("one").await, 1);
    assert_eq!(told(&vendor, "one").await, fell);
    assert_eq!(running.resent("one").await, 0);
    assert_eq!(running.resent("two").await, 0);
}

/// The lease of a process that was killed keeps nobody from sending.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_sent_when_the_process_died_leaves_at_the_next_start() {
    let vendor = vendor().await;
    let route = "[[routes]]\nname = 'all'\nchannels = ['one']\n";
    let on = config(&vendor.uri(), &["one"], route);
    let off = on.replace("[channels.one]", "[channels.one]\nenabled = false");
    let running = Running::with(&off).await;
    running.level("a", "OIL", 2).await;
    let alert = running.alerts(AlertState::Open).await.remove(0);
    let (one, minute) = ("one".parse().unwrap(), SignedDuration::from_mins(1));
    let lease = running.stack.store.lease(&alert.id, 1, &one, minute).await;
    assert!(matches!(lease.unwrap(), Lease::Ours { .. }));
    running.applied(&on).await;
    running.caught_up().await;
    assert_eq!(told(&vendor, "one").await, said(&[["OIL", "opened"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_was_taken_out_and_put_back_is_told_what_ended_meanwhile() {
    let vendor = vendor().await;
    let one = "[[routes]]\nname = 'all'\nchannels = ['one']\n";
    let two = "[[routes]]\nname = 'all'\nchannels = ['two']\n";
    let running = Running::with(&config(&vendor.uri(), &["one"], one)).await;
    running.level("a", "OIL", 2).await;
    assert_eq!(told(&vendor, "one").await, said(&[["OIL", "opened"]]));
    running.applied(&config(&vendor.uri(), &["two"], two)).await;
    running.level("b", "OIL", 40).await;
    // What it never heard of began and ended.
    running.level("c", "PAD", 1).await;
    running.level("d", "PAD", 40).await;
    running
        .applied(&config(&vendor.uri(), &["one", "two"], two))
        .await;
    running.caught_up().await;
    assert_eq!(
        told(&vendor, "one").await,
        said(&[["OIL", "opened"], ["OIL", "resolved"]])
    );
    assert_eq!(
        json!(told(&vendor, "two").await),
        json!([["PAD", "opened"], ["PAD", "resolved"]])
    );
}
