//! What the suites share: a table in memory, and stock to move.

use jiff::Timestamp;
use lotwire::engine::{EmbeddedAws, Settings};
use lotwire::stack::resources;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::domain::event::{Change, Level, StockEvent, Version};
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
    };
    event(id, source, minute, change)
}
