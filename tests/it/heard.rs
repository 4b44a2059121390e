//! A sender of webhooks that is refused again and again, or falls silent, is told of.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use serde_json::json;
use shared::domain::alert::AlertState;
use shared::domain::{AlertKind, Subject};
use shared::store::alerts::Alert;

use crate::bench::event_signed;
use crate::observed::{Observed, secret};

const TILL: &str = r#"
[connectors.till]
kind = "generic"
stale_after = "2h"
[connectors.till.webhook]
secret = "env:GENERIC"
"#;

/// Sends a level, signed with the right secret or with another one; the status of the answer.
async fn sends(observed: &Observed, connector: &str, id: &str, fits: bool) -> u16 {
    let of = if fits { "GENERIC" } else { "OUT" };
    sends_by(observed, connector, id, (of, "OIL")).await
}

/// Sends a level of this item with the right secret.
async fn sends_of(observed: &Observed, connector: &str, id: &str, sku: &str) -> u16 {
    sends_by(observed, connector, id, ("GENERIC", sku)).await
}

async fn sends_by(
    observed: &Observed,
    connector: &str,
    id: &str,
    (secret_of, sku): (&str, &str),
) -> u16 {
    let key = secret(secret_of).unwrap();
    let data = json!({ "sku": sku, "location": "milano", "on_hand": 90 });
    let now = observed.clock.now();
    let (headers, body) = event_signed(&key, id, now, "stock.level", &data);
    let headers = headers
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let path = format!("/hooks/{connector}");
    let (status, _) = observed.request(Method::POST, &path, &headers, &body).await;
    status
}

/// What people are told of a sender now.
async fn open(observed: &Observed, connector: &str) -> Vec<Alert> {
    let page = observed.stack.store.alerts(AlertState::Open, None, 100);
    let subject = Subject::Connector {
        connector: connector.parse().unwrap(),
    };
    let mut alerts = page.await.unwrap().items;
    alerts.retain(|it| it.kind == AlertKind::FeedStale && it.subject == subject);
    alerts
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_refused_again_and_again_is_told_of_until_it_is_taken() {
    let mut observed = Observed::start("").await;
    // One that is taken in between has only sometimes the wrong secret.
    for number in 0..12 {
        let fits = number % 4 == 3;
        let status = sends(&observed, "generic", &format!("a{number}"), fits).await;
        assert_eq!(status, if fits { 200 } else { 401 });
        observed.pass(1).await;
    }
    assert_eq!(open(&observed, "generic").await, []);
    for number in 0..5 {
        assert_eq!(open(&observed, "generic").await, []);
        // However often it tries within a minute.
        for attempt in 0..3 {
            let id = format!("b{number}-{attempt}");
            assert_eq!(sends(&observed, "generic", &id, false).await, 401);
        }
        observed.pass(1).await;
    }
    let told = open(&observed, "generic").await;
    let [alert] = told.as_slice() else {
        panic!("{told:?}");
    };
    let notes = alert.message.notes.join(" ");
    assert!(
        notes.contains("refused") && notes.contains("signature"),
        "{notes}"
    );
    observed.pass(30).await;
    assert_eq!(open(&observed, "generic").await.len(), 1);
    assert_eq!(sends(&observed, "generic", "c", true).await, 200);
    observed.pass(2).await;
    assert_eq!(open(&observed, "generic").await, []);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_silent_for_longer_than_its_patience_is_told_of() {
    let mut observed = Observed::start(TILL).await;
    observed.pass(110).await;
    assert_eq!(open(&observed, "till").await, []);
    observed.pass(20).await;
    assert_eq!(open(&observed, "till").await.len(), 1, "never heard of");
    assert_eq!(sends(&observed, "till", "a", true).await, 200);
    observed.pass(2).await;
    assert_eq!(open(&observed, "till").await, []);
    observed.pass(60).await;
    assert_eq!(sends(&observed, "till", "b", true).await, 200);
    observed.pass(110).await;
    assert_eq!(open(&observed, "till").await, []);
    observed.pass(20).await;
    let told = open(&observed, "till").await;
    let [alert] = told.as_slice() else {
        panic!("{told:?}");
    };
    let notes = alert.message.notes.join(" ");
    assert!(
        notes.contains("taken at 2026-01-15 13:12 CET."),
        "by the clocks of Rome: {notes}"
    );
    // The other has no such setting.
    assert_eq!(open(&observed, "generic").await, []);
}

/// Whoever knows the address can send what is signed with anything.
#[tokio::test(start_paused = true)]
async fn what_somebody_forges_while_good_webhooks_come_is_not_told() {
    let mut observed = Observed::start(TILL).await;
    for hour in 0..3 {
        assert_eq!(
            sends(&observed, "till", &format!("g{hour}"), true).await,
            200
        );
        for minute in 0..60 {
            let id = format!("f{hour}-{minute}");
            assert_eq!(sends(&observed, "till", &id, false).await, 401);
            observed.pass(1).await;
            assert_eq!(open(&observed, "till").await, []);
        }
    }
    // Nothing good comes any more: now it may be so.
    for minute in 0..70 {
        let id = format!("l{minute}");
        assert_eq!(sends(&observed, "till", &id, false).await, 401);
        observed.pass(1).await;
    }
    assert_eq!(open(&observed, "till").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn that_a_sender_is_refused_is_told_as_that_and_not_as_silence() {
    let mut observed = Observed::start("").await;
    for number in 0..6 {
        let id = format!("b{number}");
        assert_eq!(sends(&observed, "generic", &id, false).await, 401);
        observed.pass(1).await;
    }
    observed.pass(1).await;
    let texts = told(&observed, "feed_stale");
    let [text] = texts.as_slice() else {
        panic!("{texts:?}");
    };
    assert!(text.contains("refused"), "{text}");
    assert!(!text.contains("nothing new for too long"), "{text}");
    let notes = notes(&observed).join(" ");
    assert!(notes.contains("signature does not match"), "{notes}");
    assert!(notes.contains("secret"), "what to do: {notes}");
}

/// As documented: the secret is changed here, then the sender begins to sign with it.
#[tokio::test(start_paused = true)]
async fn a_webhook_that_is_signed_with_a_new_secret_is_taken_at_once() {
    let observed = Observed::start("").await;
    assert_eq!(sends(&observed, "generic", "old", true).await, 200);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let new = secret("OUT").unwrap();
    observed
        .vault
        .changed
        .lock()
        .unwrap()
        .insert("GENERIC", new.leak());
    // `false`: signed with that one.
    assert_eq!(sends(&observed, "generic", "new", false).await, 200);
    let reads = || {
        let read = observed.vault.read.lock().unwrap();
        read.iter().filter(|name| *name == "GENERIC").count()
    };
    // A flood of forged requests costs a look in some seconds.
    let before = reads();
    for number in 0..200 {
        let id = format!("f{number}");
        assert_eq!(sends(&observed, "generic", &id, true).await, 401);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let looks = reads() - before;
    assert!((1..=4).contains(&looks), "{looks} looks in 20 seconds");
}

const ONE_PLACE: &str = r#"
[connectors.yard]
kind = "generic"
locations = { MIL = "milano" }
[connectors.yard.webhook]
secret = "env:GENERIC"
[channels.milano]
kind = "webhook"
url = "https://milano.example.com/hook"
secret = "env:OUT"
[[routes]]
name = "milano"
channels = ["milano"]
locations = ["milano"]
"#;

#[tokio::test(start_paused = true)]
async fn an_alert_about_a_source_of_one_place_goes_where_that_places_alerts_go() {
    let mut observed = Observed::start(ONE_PLACE).await;
    for number in 0..6 {
        for connector in ["yard", "generic"] {
            let id = format!("{connector}{number}");
            assert_eq!(sends(&observed, connector, &id, false).await, 401);
        }
        observed.pass(1).await;
    }
    for (connector, channels) in [("yard", &["out", "milano"][..]), ("generic", &["out"][..])] {
        let alert = open(&observed, connector).await.remove(0);
        let told: Vec<_> = alert.told.iter().map(ToString::to_string).collect();
        assert_eq!(told, channels, "{connector}");
    }
}

const LOST: &str = r#"
[connectors.lost]
kind = "generic"
[connectors.lost.webhook]
secret = "env:NOWHERE"
"#;

#[tokio::test(start_paused = true)]
async fn a_sender_whose_secret_we_cannot_read_is_told_of_with_the_secrets_name() {
    let mut observed = Observed::start(LOST).await;
    for number in 0..6 {
        let id = format!("b{number}");
        assert_eq!(sends(&observed, "lost", &id, false).await, 503);
        observed.pass(1).await;
    }
    let told = open(&observed, "lost").await;
    let [alert] = told.as_slice() else {
        panic!("{told:?}");
    };
    let notes = alert.message.notes.join(" ");
    assert!(notes.contains("env:NOWHERE is not set"), "{notes}");
    let (_, status) = observed.call(Method::GET, "/api/v1/status", "").await;
    let connectors = status["connectors"].as_array().unwrap();
    let lost = connectors.iter().find(|it| it["name"] == "lost").unwrap();
    assert_eq!(lost["refused"]["reason"], "secret_unavailable", "{lost}");
}

const REMINDED: &str = r#"
[[rules]]
name = "oil"
kind = "low_stock"
product = "OIL"
threshold = 3
remind_every = "2h"
"#;

/// The last notes that people were told beside the text.
fn notes(observed: &Observed) -> Vec<String> {
    let last = observed.vendor.requests().pop().unwrap();
    let body: serde_json::Value = serde_json::from_slice(&last.body).unwrap();
    let notes = body["data"]["notes"].as_array().unwrap().iter();
    notes
        .map(|note| note.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn who_is_reminded_hears_how_old_it_is_and_that_its_sender_is_silent() {
    let mut observed = Observed::start(REMINDED).await;
    observed.level("low", "OIL", 2).await;
    observed.pass(122).await;
    assert_eq!(
        notes(&observed),
        [
            "A reminder: nothing newer is known.",
            "It last changed at 2026-01-15 10:00 CET.",
            "generic has not been heard from since 2026-01-15 10:00 CET.",
        ]
    );
    // It has something to say of another product.
    observed.level("other", "PADS", 90).await;
    observed.pass(122).await;
    assert_eq!(
        notes(&observed),
        [
            "A reminder: this is still so.",
            "It last changed at 2026-01-15 10:00 CET.",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_reminded_hears_when_the_number_changed_and_not_when_it_was_repeated() {
    let mut observed = Observed::start(REMINDED).await;
    observed.level("low", "OIL", 2).await;
    observed.pass(30).await;
    observed.level("again", "OIL", 2).await;
    observed.pass(92).await;
    assert_eq!(
        notes(&observed),
        [
            "A reminder: this is still so.",
            "It last changed at 2026-01-15 10:00 CET.",
        ]
    );
}

/// The texts of what people were told of a kind of alert.
fn told(observed: &Observed, kind: &str) -> Vec<String> {
    let requests = observed.vendor.requests();
    let bodies = requests
        .iter()
        .filter_map(|it| serde_json::from_slice::<serde_json::Value>(&it.body).ok());
    bodies
        .filter(|body| body["data"]["kind"] == kind)
        .map(|body| body["data"]["text"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn while_a_sender_is_told_to_be_silent_nobody_is_told_what_its_old_numbers_say() {
    let mut observed = Observed::start(TILL).await;
    assert_eq!(sends(&observed, "till", "a", true).await, 200);
    observed.pass(125).await;
    assert_eq!(open(&observed, "till").await.len(), 1);
    // By the rule as it is now, 90 is little.
    let rule = json!({ "rows": [{ "product": "OIL", "threshold": 100 }] }).to_string();
    let path = "/api/v1/imports?name=rows&dry_run=false";
    let (status, answer) = observed.call(Method::POST, path, &rule).await;
    assert_eq!(status, 200, "{answer}");
    observed.pass(3).await;
    assert_eq!(told(&observed, "low_stock"), [""; 0]);
    let explain = "/api/v1/explain?product=OIL&location=milano";
    let (_, explained) = observed.call(Method::GET, explain, "").await;
    assert_eq!(explained["feed"]["down"], true, "{explained}");
    assert_eq!(
        explained["kinds"][0]["watch"]["withheld"], "source_down",
        "{explained}"
    );
    // It is heard of this item.
    assert_eq!(sends(&observed, "till", "b", true).await, 200);
    observed.pass(3).await;
    assert_eq!(told(&observed, "low_stock").len(), 1);
    let (_, explained) = observed.call(Method::GET, explain, "").await;
    assert_eq!(explained["feed"]["down"], json!(null), "{explained}");
}

#[tokio::test(start_paused = true)]
async fn what_a_silent_senders_old_numbers_say_is_told_once_it_is_heard_of_anything() {
    let mut observed = Observed::start(TILL).await;
    assert_eq!(sends(&observed, "till", "a", true).await, 200);
    observed.pass(125).await;
    let rule = json!({ "rows": [{ "product": "OIL", "threshold": 100 }] }).to_string();
    let path = "/api/v1/imports?name=rows&dry_run=false";
    let (status, answer) = observed.call(Method::POST, path, &rule).await;
    assert_eq!(status, 200, "{answer}");
    observed.pass(3).await;
    assert_eq!(told(&observed, "low_stock"), [""; 0]);
    assert_eq!(sends_of(&observed, "till", "b", "PADS").await, 200);
    observed.pass(4).await;
    assert_eq!(open(&observed, "till").await, []);
    assert_eq!(told(&observed, "low_stock").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rule_on_what_is_there_tells_what_is_there_and_not_what_is_available() {
    const ON_SITE: &str = r#"
[[rules]]
name = "oil"
kind = "low_stock"
product = "OIL"
threshold = 5
basis = "on_hand"
"#;
    let mut observed = Observed::start(ON_SITE).await;
    for (id, on_hand, reserved) in [("a", 5, 5), ("b", 12, 12)] {
        let data = json!({
            "sku": "OIL", "location": "milano", "on_hand": on_hand, "reserved": reserved,
        });
        let (status, answer) = observed.post(id, "stock.level", data).await;
        assert_eq!(status, 200, "{answer}");
        observed.pass(1).await;
    }
    let told = told(&observed, "low_stock");
    assert!(
        told[0].ends_with("just 5 units on site, 5 reserved."),
        "{told:?}"
    );
    assert!(
        told[1].ends_with("12 units on site, 12 reserved."),
        "{told:?}"
    );
}

/// A sender that is told of a failure sends it all again, or gives up.
#[tokio::test(start_paused = true)]
async fn a_webhook_that_there_is_no_time_to_apply_whole_is_taken_and_applied() {
    let mut observed = Observed::start("").await;
    let rows = 0..250;
    let changes: Vec<_> = rows
        .clone()
        .map(|row| json!({ "sku": format!("S-{row}"), "location": "milano", "on_hand": 100 + row }))
        .collect();
    let changes = json!({ "changes": changes });
    observed.faults.webhooks_wait.store(500, Ordering::SeqCst);
    let began = observed.clock.now();
    let (status, answer) = observed.post("many", "stock.level", changes).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["duplicate"], false, "{answer}");
    let took = observed.clock.now().duration_since(began);
    assert!(took.as_secs() < 10, "{took}");
    observed.faults.webhooks_wait.store(0, Ordering::SeqCst);
    observed.pass(4).await;
    for row in rows {
        let path = format!("/api/v1/positions?product=S-{row}&location=milano");
        let (_, found) = observed.call(Method::GET, &path, "").await;
        assert_eq!(found["items"][0]["on_hand"], 100 + row, "{found}");
    }
}
