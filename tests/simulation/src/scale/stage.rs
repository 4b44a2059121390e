//! The product, set up with channels to tell people by; and alerts with intents, announced.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::{EmbeddedAws, Interference, Settings};
use lotwire::stack::{Parts, Stack};
use shared::bus::Bus;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::delivery::Outgoing;
use shared::domain::alert::{AlertState, RevisionKind, Severity};
use shared::domain::message::Message;
use shared::domain::watch::Watch;
use shared::domain::{AlertKind, ChannelName, Subject};
use shared::http::{Reply, Request, Transport, TransportError};
use shared::metrics::Metrics;
use shared::secrets::{EXTENSION, Secrets};
use shared::store::Expect;
use shared::store::alerts::{Alert, Announcement, Decision, Watched};
use shared::store::intents::Intent;

use super::ScaleError;

/// Channels that each alert is told by: one message each.
pub(super) const CHANNELS: usize = 10;
/// What a fresh intent is given before the clock looks after it.
const DUE_IN: SignedDuration = SignedDuration::from_secs(90);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The product, with nobody to tell yet.
pub(super) struct Stage {
    pub(super) aws: EmbeddedAws,
    pub(super) stack: Stack,
    pub(super) clock: Clock,
    bus: Bus,
    channels: Vec<ChannelName>,
}

/// A stage's own difficulties, in words.
fn broken(error: impl std::fmt::Display) -> ScaleError {
    ScaleError::Stage(error.to_string())
}

impl Stage {
    pub(super) async fn new(
        clock: Clock,
        chance: Chance,
        interference: Arc<dyn Interference>,
        outgoing: Arc<dyn Outgoing>,
    ) -> Result<Self, ScaleError> {
        let aws = EmbeddedAws::in_memory(Settings {
            clock: clock.clone(),
            interference,
            ..Settings::default()
        })?;
        let stack = Stack::build(Parts {
            aws: aws.clone(),
            chance,
            secrets: Arc::new(secrets(&clock)?),
            outgoing,
            metrics: Metrics::to(std::io::sink(), clock.clone()),
            token: "nobody asks".into(),
            downloads: reqwest::Client::builder().build().map_err(broken)?.into(),
            scratch: std::env::temp_dir(),
        })?;
        let channels: Result<Vec<_>, _> = (0..CHANNELS)
            .map(|n| format!("channel-{n}").parse())
            .collect();
        let channels = channels.map_err(broken)?;
        let config = Config::check(&document(&channels), "scale.toml").map_err(broken)?;
        stack.store.apply_config(&config, "scale").await?;
        Ok(Self {
            bus: Bus::new(aws.sns(), aws.topics().create("intents")),
            aws,
            stack,
            clock,
            channels,
        })
    }

    /// Writes an alert with so many intents, announces them, and gives their idempotency keys.
    pub(super) async fn alert(&self, id: &str, intents: usize) -> Result<Vec<String>, ScaleError> {
        let now = self.clock.now();
        let intents: Vec<_> = self.channels[..intents]
            .iter()
            .map(|channel| intent(id, channel, now))
            .collect();
        let decision = decision(id, intents.clone(), now);
        if !self.stack.store.decide(decision).await? {
            return Err(ScaleError::Stage(format!("alert {id} was there already")));
        }
        self.bus.announce(&intents).await;
        Ok(intents.iter().map(Intent::key).collect())
    }
}

pub(super) fn secrets(clock: &Clock) -> Result<Secrets, ScaleError> {
    let extension = EXTENSION.parse().map_err(broken)?;
    let environment = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    Ok(Secrets::new(
        Box::new(environment),
        Arc::new(Nowhere),
        extension,
        clock.clone(),
    ))
}

/// The one secret stands in the environment: nothing else is to be asked for.
struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn call(&self, request: Request) -> Result<Reply, TransportError> {
        Err(TransportError::NotSent {
            host: request.host().to_owned(),
            reason: "there is no network here".to_owned(),
        })
    }
}

fn document(channels: &[ChannelName]) -> String {
    let channels = channels.iter().map(|name| {
        format!(
            "[channels.{name}]\nkind = 'webhook'\nurl = 'https://{name}.example.com/hook'\n\
             secret = 'env:SECRET'\n"
        )
    });
    let head = "[account]\nname = 'Northgate'\nzone = 'Europe/London'\ncurrency = 'EUR'\n\
                [locations.north]\nname = 'North'\nkind = 'warehouse'\n";
    std::iter::once(head.to_owned()).chain(channels).collect()
}

fn intent(alert: &str, channel: &ChannelName, now: Timestamp) -> Intent {
    Intent::new(alert, 1, channel.clone(), "webhook", now, now + DUE_IN)
}

fn decision(id: &str, intents: Vec<Intent>, now: Timestamp) -> Decision {
    let subject = Subject::Unit { vin: id.to_owned() };
    let kind = AlertKind::LowStock;
    let alert = Alert {
        id: id.to_owned(),
        kind,
        subject: subject.clone(),
        severity: Severity::Warning,
        state: AlertState::Open,
        revision: 1,
        opened_at: now,
        updated_at: now,
        message: message(id, subject.clone(), now),
        told: Vec::new(),
    };
    Decision {
        watched: Watched {
            subject,
            kind,
            watch: Watch::default(),
            due: None,
            tries: 0,
        },
        expect: Expect::Absent,
        retold: Vec::new(),
        announcements: vec![Announcement {
            alert,
            before: None,
            intents,
        }],
    }
}

fn message(id: &str, subject: Subject, at: Timestamp) -> Message {
    Message {
        alert: id.to_owned(),
        revision: 1,
        change: RevisionKind::Opened,
        kind: AlertKind::LowStock,
        severity: Severity::Warning,
        subject,
        at,
        product: "Oil 5W-40".to_owned(),
        location: Some("North".to_owned()),
        zone: "Europe/London".to_owned(),
        before: None,
        after: None,
        threshold: Some(3),
        basis: None,
        rule: Some("oil".to_owned()),
        why: None,
        days_of_supply: None,
        sold: None,
        notes: Vec::new(),
        link: None,
        correlation: None,
        ending: None,
        renamed_to: None,
        renamed_name: None,
        digest: None,
    }
}
