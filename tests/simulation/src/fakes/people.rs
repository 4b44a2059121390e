//! People and programs that ask the API, and the operator. They repeat a request, under the same
//! key, until they know what came of it.

use std::time::Duration;

use super::Told;
use crate::places::{Rules, configuration};
use crate::plan::Request;
use crate::world::{TOKEN, World};

const PATIENCE: Duration = Duration::from_secs(35);
const PAUSE: Duration = Duration::from_secs(7);
const TRIES: u32 = 3_000;

/// Asks for a source of files to be read, once: the schedule would have it read anyway.
pub async fn have_read(world: &World, source: &str) {
    let headers = [("authorization", format!("Bearer {TOKEN}"))];
    let path = format!("/api/v1/sync/{source}");
    let answer = world.ask("POST", &path, &headers, String::new(), PATIENCE);
    let status = answer.await.map(|(status, _)| status);
    world.trace.note(|| format!("asked to read: {status:?}"));
}

/// Asks for a movement until it is accepted or refused.
pub async fn ask(world: &World, request: &Request) {
    let place = world.records.tell(Told {
        name: request.key.clone(),
        sender: None,
        said: request.said.clone(),
        tries: 0,
        acknowledged: None,
        refused: None,
        received: None,
    });
    let headers = [
        ("authorization", format!("Bearer {TOKEN}")),
        ("idempotency-key", request.key.clone()),
        ("content-type", "application/json".to_owned()),
    ];
    for _ in 0..TRIES {
        world.records.change(place, |told| told.tries += 1);
        let body = request.body.to_string();
        let answer = world.ask("POST", "/api/v1/movements", &headers, body, PATIENCE);
        let answer = answer.await;
        world.trace.note(|| {
            let answer = answer
                .as_ref()
                .map(|(status, body)| (*status, &body["reason"]));
            format!("asked {}: {answer:?}", request.key)
        });
        let now = world.clock.now();
        match answer {
            Some((201, _)) => {
                world
                    .records
                    .change(place, |told| told.acknowledged = Some(now));
                return;
            }
            Some((status @ 400..=499, body)) if status != 429 => {
                let refused = (
                    status,
                    body["reason"].as_str().unwrap_or_default().to_owned(),
                );
                world
                    .records
                    .change(place, |told| told.refused = Some(refused));
                return;
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Applies a configuration until that has succeeded.
pub async fn configure(world: &World, rules: Rules) {
    let lists = world.plan.has_lists() && !world.are_lists_dropped();
    let text = configuration(rules, &world.folder(), lists, world.plan.deducts);
    let Ok(config) = shared::config::Config::check(&text, "simulated.toml") else {
        return;
    };
    for _ in 0..TRIES {
        let applied = world.stack.store.apply_config(&config, "operator").await;
        let note = applied.as_ref().map_err(|_| "failed");
        world
            .trace
            .note(|| format!("configured {rules:?}: {note:?}"));
        if applied.is_ok() {
            world.rules(rules);
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
