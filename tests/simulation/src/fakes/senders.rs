//! Senders of webhooks. They sign as their vendors do, wait for an answer for as long, and send
//! again until they have a good one.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::Value;
use tokio::time::Instant;

use super::Told;
use super::secrets::{of_sender, signature, standard_signature};
use crate::plan::{Message, Sender};
use crate::world::World;

/// How long a sender waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits before it sends again; the last is repeated.
const PAUSES: [u64; 6] = [3, 10, 30, 120, 300, 600];
/// It gives up after so many tries: days, at a real sender's pace.
const TRIES: u32 = 120;

/// Sends a message until it is acknowledged, and perhaps again after that.
pub async fn send(world: &World, message: &Message) {
    let place = world.records.tell(Told {
        name: message.id.clone(),
        sender: Some(message.sender),
        said: message.said.clone(),
        tries: 0,
        acknowledged: None,
        refused: None,
        received: None,
    });
    for pause in (0..TRIES).map(|tried| PAUSES[PAUSES.len().min(tried as usize + 1) - 1]) {
        if attempt(world, message, place).await {
            break;
        }
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
    let done = Instant::now();
    for repeat in &message.repeats {
        tokio::time::sleep_until(done + *repeat).await;
        attempt(world, message, place).await;
    }
}

/// Sends once; true if it is acknowledged.
async fn attempt(world: &World, message: &Message, place: usize) -> bool {
    world.records.change(place, |told| told.tries += 1);
    let body = message.body.to_string();
    let headers = signed(world, message, &body);
    let path = format!("/hooks/{}", message.sender.name());
    let answer = world.ask("POST", &path, &headers, body, PATIENCE).await;
    world.trace.note(|| {
        let answer = answer
            .as_ref()
            .map(|(status, body)| (*status, outcome(body)));
        format!("sent {}: {answer:?}", message.id)
    });
    let Some((status, body)) = answer.filter(|(status, _)| (200..300).contains(status)) else {
        return false;
    };
    let now = world.clock.now();
    world.records.change(place, |told| {
        told.acknowledged.get_or_insert(now);
        if let Some(received) = body["received"].as_str() {
            told.received = Some(received.to_owned());
        }
    });
    status < 300
}

/// The parts of an answer that say what came of it.
fn outcome(body: &Value) -> String {
    ["reason", "duplicate", "applied", "known", "quarantined"]
        .iter()
        .filter_map(|name| Some(format!("{name} {}", body.get(*name)?)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn signed(world: &World, message: &Message, body: &str) -> Vec<(&'static str, String)> {
    let secret = world.keyring.theirs(of_sender(message.sender));
    match message.sender {
        Sender::Shop => {
            let shop = "simulated.myshopify.com".to_owned();
            let signature = signature(secret.as_bytes(), &[body.as_bytes()]);
            let mut headers = vec![
                ("x-shopify-topic", message.topic.to_owned()),
                ("x-shopify-shop-domain", shop),
                ("x-shopify-webhook-id", message.id.clone()),
                ("x-shopify-hmac-sha256", signature),
            ];
            let triggered = message.triggered.map(|at| at.to_string());
            headers.extend(triggered.map(|at| ("x-shopify-triggered-at", at)));
            headers
        }
        Sender::Till | Sender::Rooftop => {
            // Its clock is wrong until somebody sets it.
            let skew = if world.saboteur.is_active() {
                world.plan.skews.get(&message.sender).copied()
            } else {
                None
            };
            let now = world.clock.now() + skew.unwrap_or(SignedDuration::ZERO);
            let timestamp = now.as_second().to_string();
            let signature = standard_signature(&secret, &message.id, &timestamp, body.as_bytes());
            vec![
                ("webhook-id", message.id.clone()),
                ("webhook-timestamp", timestamp),
                ("webhook-signature", signature),
            ]
        }
        Sender::Dms => vec![("x-simulated", secret)],
    }
}
