//! A table, and an evaluator that looks when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use clock::{BoxError, EventBridgeEvent, Heartbeat, Recover, Ticked, Ticker};
use evaluate::Evaluator;
use jiff::SignedDuration;
use lotwire::engine::{EmbeddedAws, Interference, Settings, Untouched};
use lotwire::stack::resources::{self, TABLE};
use shared::bus::Bus;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::domain::alert::AlertState;
use shared::domain::watch::Withheld;
use shared::domain::{AlertKind, Authority, Subject};
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::store::Store;
use shared::store::alerts::Alert;
use shared::store::received::Received;

use crate::bench::{at, level};

/// Places, their groups, rules and routes; the rest is the same for all.
pub(crate) fn config(places: &[(&str, &str)], rest: &str) -> Config {
    let mut text = r#"
[account]
name = "Test"
zone = "Europe/Rome"
currency = "EUR"
[connectors.generic]
kind = "generic"
[connectors.generic.webhook]
secret = "env:GENERIC"
[channels.phone]
kind = "slack"
url = "env:PHONE"
[channels.buyers]
kind = "slack"
url = "env:BUYERS"
"#
    .to_owned();
    for (place, groups) in places {
        let name = place.to_uppercase();
        text += &format!(
            "[locations.{place}]\nname = \"{name}\"\nkind = \"warehouse\"\ngroups = [{groups}]\n"
        );
    }
    text += rest;
    Config::check(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) const TOGETHER: &[(&str, &str)] = &[("north", "\"all\""), ("south", "\"all\"")];

pub(crate) const EVERYBODY: &str = "[[routes]]\nname = \"all\"\nchannels = [\"phone\"]\n";

pub(crate) const SUM: &str = r#"
[[rules]]
name = "sum"
kind = "low_stock"
group = "all"
over = "sum"
threshold = 3
"#;

pub(crate) const OUT: &str = "[[rules]]\nname = \"out\"\nkind = \"out_of_stock\"\n";

pub(crate) const LOW: &str = "[[rules]]\nname = \"low\"\nkind = \"low_stock\"\nthreshold = 3\n";

/// A table, and an evaluator that looks when it is told to.
pub(crate) struct Desk {
    pub(crate) aws: EmbeddedAws,
    pub(crate) store: Store,
    pub(crate) evaluator: Evaluator,
    bus: Bus,
    minute: AtomicUsize,
}

struct Nothing;

#[async_trait]
impl Recover for Nothing {
    async fn recover(&self, _: &Received) -> Result<(), BoxError> {
        Ok(())
    }
}

impl Desk {
    pub(crate) async fn new(config: &Config) -> Self {
        Self::with(config, Arc::new(Untouched)).await
    }

    pub(crate) async fn with(config: &Config, interference: Arc<dyn Interference>) -> Self {
        let clock = Clock::starting_at(at(0));
        let settings = Settings {
            clock: clock.clone(),
            interference,
            ..Settings::default()
        };
        let aws = EmbeddedAws::in_memory(settings).unwrap();
        let topic = resources::make(&aws).unwrap();
        let store = Store::new(aws.dynamodb(), TABLE, clock.clone(), Chance::seeded(7));
        store.apply_config(config, "test").await.unwrap();
        let bus = Bus::new(aws.sns(), topic);
        let evaluator = Evaluator::new(
            store.clone(),
            bus.clone(),
            Installations::new(store.clone()),
            Metrics::to(std::io::sink(), clock),
        );
        Self {
            aws,
            store,
            evaluator,
            bus,
            minute: AtomicUsize::new(0),
        }
    }

    /// A source states a level, and the change is looked at once it has settled.
    pub(crate) async fn states(&self, place: &str, on_hand: i64) {
        let minute = self.minute.fetch_add(1, Ordering::SeqCst);
        self.state(i64::try_from(minute).unwrap(), "OIL", place, on_hand)
            .await;
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
        self.look(place).await;
    }

    /// A source states a level, at which nobody looks yet.
    pub(crate) async fn state(&self, minute: i64, sku: &str, place: &str, on_hand: i64) {
        let event = level("generic", minute, sku, place, on_hand);
        let applied = self.store.apply(&event, &Authority::default()).await;
        applied.unwrap();
    }

    pub(crate) async fn look(&self, place: &str) {
        let subject = Subject::Position {
            product: "OIL".parse().unwrap(),
            location: place.parse().unwrap(),
        };
        self.evaluator.look(&subject).await.unwrap();
    }

    /// Another configuration applies, and everything is looked at by it.
    pub(crate) async fn apply(&self, config: &Config, places: &[&str]) {
        self.store.apply_config(config, "test").await.unwrap();
        for place in places {
            self.look(place).await;
        }
    }

    pub(crate) async fn alerts(&self, state: AlertState) -> Vec<Alert> {
        self.store.alerts(state, None, 100).await.unwrap().items
    }

    pub(crate) async fn open(&self) -> Vec<(AlertKind, String)> {
        let alerts = self.alerts(AlertState::Open).await.into_iter();
        let mut open: Vec<_> = alerts.map(|it| (it.kind, it.subject.to_string())).collect();
        open.sort();
        open
    }

    /// How many alerts are open and covered by graver ones.
    pub(crate) async fn covered(&self) -> usize {
        self.store
            .withheld_alerts(Withheld::Covered, None, 100)
            .await
            .unwrap()
            .items
            .len()
    }

    /// Who was told what: the channel, the kind of alert, what was said of it and where.
    pub(crate) async fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        for intent in self.store.intents(None, 200).await.unwrap().items {
            let said = self.store.revision(&intent.alert, intent.revision).await;
            let said = said.unwrap().unwrap();
            told.push((
                (intent.alert.clone(), intent.revision),
                format!(
                    "{}: {} {} {}",
                    intent.channel, said.kind, said.change, said.subject
                ),
            ));
        }
        told.sort();
        told.into_iter().map(|(_, told)| told).collect()
    }

    pub(crate) async fn tick(&self) -> Ticked {
        let ticker = Ticker::new(
            self.store.clone(),
            Installations::new(self.store.clone()),
            self.bus.clone(),
            Arc::new(self.evaluator.clone()),
            Arc::new(Nothing),
            Heartbeat::metric_only(),
            Metrics::to(std::io::sink(), self.store.clock().clone()),
        );
        let event = include_str!("../../events/clock/tick.json");
        let event: EventBridgeEvent = serde_json::from_str(event).unwrap();
        let deadline = self.store.clock().now() + SignedDuration::from_secs(50);
        ticker.tick(event, deadline).await.unwrap()
    }
}
