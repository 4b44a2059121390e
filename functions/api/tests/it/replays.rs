//! A replay that takes longer than a caller may wait goes on by its cursor.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::ports::{PortError, Replayed, Selection};
use api::{Api, Ports, Replay, Tokens};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::{EmbeddedAws, Settings};
use lotwire::stack::resources;
use serde_json::json;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::installation::Installations;
use shared::store::Store;

use crate::scene::{DOCUMENT, Scene, TABLE};

/// Forty pages of ten webhooks, each of which takes three seconds.
struct Slow;

const PAGES: usize = 40;

#[async_trait]
impl Replay for Slow {
    async fn replay(&self, _: &Selection, cursor: Option<&str>) -> Result<Replayed, PortError> {
        tokio::time::advance(Duration::from_secs(3)).await;
        let page: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        Ok(Replayed {
            received: 10,
            next: (page + 1 < PAGES).then(|| (page + 1).to_string()),
            ..Replayed::default()
        })
    }
}

/// Keeps what it is asked for.
#[derive(Default)]
struct Asked(Mutex<Vec<(Option<Timestamp>, Option<Timestamp>)>>);

#[async_trait]
impl Replay for Asked {
    async fn replay(&self, selection: &Selection, _: Option<&str>) -> Result<Replayed, PortError> {
        let asked = (selection.from, selection.to);
        self.0.lock().unwrap().push(asked);
        Ok(Replayed::default())
    }
}

/// What was received can be applied again by this; and the clock by which it is.
async fn scene(replay: Arc<dyn Replay>) -> (Scene, Clock) {
    let clock = Clock::starting_at("2026-01-15T09:30:00Z".parse().unwrap());
    let settings = Settings {
        clock: clock.clone(),
        ..Settings::default()
    };
    let aws = EmbeddedAws::in_memory(settings).unwrap();
    resources::make(&aws).unwrap();
    let store = Store::new(aws.dynamodb(), TABLE, clock.clone(), Chance::seeded(7));
    let config = Config::check(DOCUMENT, "lotwire.toml").unwrap();
    store.apply_config(&config, "test").await.unwrap();
    let ports = Ports {
        replay,
        ..Ports::default()
    };
    let tokens = Tokens::known(["correct horse".to_owned().into()]);
    let api = Api::new(
        store.clone(),
        Installations::new(store.clone()),
        tokens,
        ports,
    );
    (Scene { api, store, aws }, clock)
}

/// Who says a day means that of the account's calendar.
#[tokio::test(start_paused = true)]
async fn a_span_is_given_in_times_or_in_days_of_the_accounts_zone() {
    let asked = Arc::new(Asked::default());
    let (scene, _) = scene(asked.clone()).await;
    let replay = async |from: &str, to: Option<&str>| {
        let body = json!({ "connector": "erp", "from": from, "to": to });
        scene
            .ask("POST", "/api/v1/replays")
            .json(&body)
            .send()
            .await
    };
    for (from, to, right) in [
        (
            "2025-07-15",
            Some("2025-07-16"),
            ("2025-07-14T23:00:00Z", Some("2025-07-15T23:00:00Z")),
        ),
        ("2025-12-15", None, ("2025-12-15T00:00:00Z", None)),
        ("2025-07-15T09:30", None, ("2025-07-15T08:30:00Z", None)),
        ("2025-07-15T09:30:00Z", None, ("2025-07-15T09:30:00Z", None)),
        (
            "2025-07-15T09:30:00+02:00",
            None,
            ("2025-07-15T07:30:00Z", None),
        ),
    ] {
        let answer = replay(from, to).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let (from, to) = right;
        let asked = asked.0.lock().unwrap().pop();
        assert_eq!(asked, Some((Some(time(from)), to.map(time))));
    }
    for wrong in ["yesterday", "15.01.2026", "2026-13-01", "9:30"] {
        let answer = replay(wrong, None).await;
        assert_eq!(answer.status, 422, "{}", answer.body);
        let told = answer.body["errors"].to_string();
        assert!(told.contains("nor a day such as 2026-01-15"), "{told}");
    }
    let answer = replay("2025-07-15", Some("2025-07-15")).await;
    assert!(
        answer.body.to_string().contains("is not after `from`"),
        "{}",
        answer.body
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_replay_answers_in_time_and_goes_on() {
    let (scene, clock) = scene(Arc::new(Slow)).await;
    let (mut received, mut calls, mut cursor) = (0, 0, json!(null));
    loop {
        let asked = clock.now();
        let answer = scene
            .ask("POST", "/api/v1/replays")
            .json(&json!({ "connector": "erp", "cursor": cursor }))
            .send()
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let waited = clock.now().duration_since(asked);
        assert!(waited <= SignedDuration::from_secs(15), "{waited:#}");
        received += answer.body["received"].as_u64().unwrap();
        calls += 1;
        cursor = answer.body["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(received, 400, "each once");
    assert!(calls > 5, "{calls}");
}
