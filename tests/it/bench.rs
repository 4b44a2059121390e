//! What the suites share: a table in memory, stock to move, and a sender that signs.

use jiff::Timestamp;
use lotwire::engine::{EmbeddedAws, Settings};
use lotwire::stack::resources;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::chance::Chance;
use shared::clock::Clock;
use shared::domain::event::{Change, Level, ProductDescription, StockEvent, Version};
use shared::signature::{LiveSecrets, standard};
use shared::store::Store;

/// A table in memory and the engine it lives in.
pub(crate) struct Bench {
    _aws: EmbeddedAws,
    pub(crate) store: Store,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::at(Clock::system())
    }

    pub(crate) fn at(clock: Clock) -> Self {
        let settings = Settings {
            clock: clock.clone(),
            ..Settings::default()
        };
        let aws = EmbeddedAws::in_memory(settings).unwrap();
        resources::make(&aws).unwrap();
        let store = Store::new(aws.dynamodb(), resources::TABLE, clock, Chance::seeded(7));
        Self { _aws: aws, store }
    }
}

/// Minutes after an arbitrary instant.
pub(crate) fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_768_469_400 + minute * 60).unwrap()
}

pub(crate) fn event(id: &str, source: &str, minute: i64, change: Change) -> StockEvent {
    StockEvent {
        id: id.parse().unwrap(),
        source: source.parse().unwrap(),
        at: at(minute),
        actor: None,
        change,
    }
}

pub(crate) fn level(
    source: &str,
    minute: i64,
    product: &str,
    location: &str,
    on_hand: i64,
) -> StockEvent {
    let change = Change::LevelSet {
        called: None,
        product: product.parse().unwrap(),
        location: location.parse().unwrap(),
        level: Level {
            on_hand,
            ..Level::default()
        },
        version: Version::at(at(minute)),
    };
    event(
        &format!("level-{product}-{location}-{minute}"),
        source,
        minute,
        change,
    )
}

pub(crate) fn described(source: &str, minute: i64, product: &str, category: &str) -> StockEvent {
    let change = Change::Described(ProductDescription {
        sku: product.parse().unwrap(),
        version: Version::at(at(minute)),
        title: None,
        category: Some(category.to_owned()),
        external: Default::default(),
    });
    event(
        &format!("described-{product}-{minute}"),
        source,
        minute,
        change,
    )
}

pub(crate) fn sold(
    id: &str,
    source: &str,
    minute: i64,
    product: &str,
    location: &str,
    quantity: i64,
) -> StockEvent {
    let change = Change::Sold {
        product: product.parse().unwrap(),
        location: location.parse().unwrap(),
        quantity,
        deducts: true,
        called: None,
    };
    event(id, source, minute, change)
}

/// The Standard Webhooks secret of the tests' senders.
pub(crate) const SECRET: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

/// An event of the generic connector of this moment, as its sender signs it: headers and body.
pub(crate) fn event_signed(
    secret: &str,
    id: &str,
    now: Timestamp,
    kind: &str,
    data: &Value,
) -> ([(&'static str, String); 4], String) {
    let event = json!({ "type": kind, "timestamp": now.to_string(), "data": data });
    signed(secret, id, now, &event)
}

/// An event of the generic connector as its sender signs it at `now`: headers and body.
pub(crate) fn signed(
    secret: &str,
    id: &str,
    now: Timestamp,
    event: &Value,
) -> ([(&'static str, String); 4], String) {
    let body = event.to_string();
    let secrets: LiveSecrets = standard::secrets(&[SecretString::from(secret)]).unwrap();
    let headers = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", now.as_second().to_string()),
        (
            "webhook-signature",
            standard::sign(id, now, body.as_bytes(), &secrets),
        ),
        ("content-type", "application/json".to_owned()),
    ];
    (headers, body)
}
