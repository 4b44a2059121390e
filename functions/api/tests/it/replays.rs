//! A replay that takes longer than a caller may wait goes on by its cursor.

use std::sync::Arc;
use std::time::Duration;

use api::ports::{PortError, Replayed, Selection};
use api::{Api, Ports, Replay, Tokens};
use async_trait::async_trait;
use jiff::SignedDuration;
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

#[tokio::test(start_paused = true)]
async fn a_long_replay_answers_in_time_and_goes_on() {
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
        replay: Arc::new(Slow),
        ..Ports::default()
    };
    let tokens = Tokens::known(["correct horse".to_owned().into()]);
    let api = Api::new(
        store.clone(),
        Installations::new(store.clone()),
        tokens,
        ports,
    );
    let scene = Scene { api, store, aws };

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
