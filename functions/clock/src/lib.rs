//! The clock: once a minute, whatever time alone sets off.
//!
//! Deliveries that nobody settled in time go back on their queues, so SNS and SQS may lose a message
//! without harm; watches whose answer time may have changed are looked at again; jobs begin; raw
//! webhooks that a crash left unapplied are applied. Last comes the heartbeat, and only if all of
//! that went well: its silence is how somebody outside learns that alerting has stopped.
//!
//! A tick that ends early is continued by the next, and ticks that overlap do no harm: each step is a
//! conditional write, or may be repeated.

mod forward;
mod heartbeat;
mod sweep;

use std::sync::Arc;

use async_trait::async_trait;
pub use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use jiff::{SignedDuration, Timestamp};
use shared::bus::Bus;
use shared::config::connector::ConnectorSettings;
use shared::delivery::tell_if_unreached;
use shared::domain::Subject;
use shared::domain::id::ChannelName;
use shared::domain::watch::Moment;
use shared::installation::{Installation, InstallationError, Installations};
use shared::metrics::{Metric, Metrics};
use shared::store::received::Received;
use shared::store::{Store, StoreError, Stored};

pub use heartbeat::Heartbeat;

/// Any error of a part that is plugged in.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Time to finish what has been begun.
const MARGIN: SignedDuration = SignedDuration::from_secs(3);

/// Looks at a subject again, because time has passed.
#[async_trait]
pub trait Reexamine: Send + Sync {
    /// Decides anew what its watches say. May be asked for nothing, and more than once.
    async fn look(&self, subject: &Subject) -> Result<(), BoxError>;
}

/// Applies what was kept and never applied.
#[async_trait]
pub trait Recover: Send + Sync {
    /// Applies a webhook. May be asked more than once.
    async fn recover(&self, received: &Received) -> Result<(), BoxError>;
}

#[async_trait]
impl Reexamine for evaluate::Evaluator {
    async fn look(&self, subject: &Subject) -> Result<(), BoxError> {
        Ok(Self::look(self, subject).await?)
    }
}

#[async_trait]
impl Recover for ingest::Ingest {
    async fn recover(&self, received: &Received) -> Result<(), BoxError> {
        Box::pin(self.catch_up(received)).await?;
        Ok(())
    }
}

/// Ticks.
pub struct Ticker {
    store: Store,
    installations: Installations,
    bus: Bus,
    reexamine: Arc<dyn Reexamine>,
    recover: Arc<dyn Recover>,
    heartbeat: Heartbeat,
    metrics: Metrics,
}

/// What one tick did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Deliveries put back on their queues.
    pub redriven: usize,
    /// Subjects looked at again.
    pub looked: usize,
    /// Jobs begun.
    pub begun: usize,
    /// Raw webhooks applied.
    pub recovered: usize,
    /// What was due and could not be done, and is tried again ever later.
    pub stuck: usize,
    /// Steps that failed; each is in the log, and the next tick repeats it.
    pub failed: usize,
    /// Whether time ran out before the work did.
    pub cut_short: bool,
    /// Whether this tick gave the minute's heartbeat.
    pub beat: bool,
}

/// A tick of which something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} steps of the tick failed; the next tick repeats them", .ticked.failed)]
pub struct TickError {
    /// What it did all the same.
    pub ticked: Ticked,
}

impl std::ops::AddAssign for Ticked {
    fn add_assign(&mut self, other: Self) {
        self.redriven += other.redriven;
        self.looked += other.looked;
        self.begun += other.begun;
        self.recovered += other.recovered;
        self.stuck += other.stuck;
        self.failed += other.failed;
        self.cut_short |= other.cut_short;
        self.beat |= other.beat;
    }
}

impl Ticker {
    /// A clock over this table.
    pub fn new(
        store: Store,
        installations: Installations,
        bus: Bus,
        reexamine: Arc<dyn Reexamine>,
        recover: Arc<dyn Recover>,
        heartbeat: Heartbeat,
        metrics: Metrics,
    ) -> Self {
        Self {
            store,
            installations,
            bus,
            reexamine,
            recover,
            heartbeat,
            metrics,
        }
    }

    /// Does what fell due by now, until `deadline` at the latest.
    #[tracing::instrument(name = "tick", skip_all, fields(event = event.id))]
    pub async fn tick(
        &self,
        event: EventBridgeEvent,
        deadline: Timestamp,
    ) -> Result<Ticked, TickError> {
        tracing::debug!(event = event.id, "tick");
        let now = self.store.clock().now();
        let stop_at = deadline.checked_sub(MARGIN).unwrap_or(Timestamp::MIN);
        // First: nobody is reminded of what a sender has stated that is silent by now.
        let mut ticked = self.look_at(self.silent_senders(now).await, stop_at).await;
        // Side by side: a backlog that takes the whole tick must not hide that a source is stale.
        let swept = Box::pin(self.sweep(now, stop_at));
        let feeds = Box::pin(self.look_at_feeds(now, stop_at));
        let (swept, feeds) = futures::join!(swept, feeds);
        ticked += swept;
        ticked += feeds;
        ticked += self.look_at_channels(stop_at).await;
        if ticked.failed == 0 {
            match self.heartbeat.beat(&self.store, &self.metrics).await {
                Ok(beat) => ticked.beat = beat,
                Err(error) => ticked.failed += failed("the heartbeat was not given", &error),
            }
        }
        let Ticked {
            redriven, looked, ..
        } = ticked;
        if redriven > 0 {
            tracing::warn!(redriven, "overdue deliveries were put back on their queues");
            #[expect(clippy::cast_precision_loss, reason = "a count of one tick's work")]
            let count = redriven as f64;
            self.metrics.record(Metric::DeliveriesRedriven, count, &[]);
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of one tick's work")]
        self.metrics
            .record(Metric::StuckWork, ticked.stuck as f64, &[]);
        tracing::debug!(redriven, looked, "ticked");
        if ticked.failed > 0 {
            return Err(TickError { ticked });
        }
        Ok(ticked)
    }

    /// Looks at each source that was not read for too long.
    async fn look_at_feeds(&self, now: Timestamp, stop_at: Timestamp) -> Ticked {
        self.look_at(self.stale_feeds(now).await, stop_at).await
    }

    /// Looks at sources of which it is not known that they are heard.
    async fn look_at(
        &self,
        sources: Result<Vec<Subject>, InstallationError>,
        stop_at: Timestamp,
    ) -> Ticked {
        let mut ticked = Ticked::default();
        let sources = match sources {
            Ok(sources) => sources,
            Err(error) => {
                ticked.failed += failed("the feeds' age is unknown", &error);
                return ticked;
            }
        };
        for subject in sources {
            if self.store.clock().now() >= stop_at {
                ticked.cut_short = true;
                break;
            }
            let looked = self.look(&subject).await;
            // It is stale for as long as nobody mends it: were it a failure of the clock, it would silence
            // the heartbeat for as long.
            ticked.looked += looked.looked;
            ticked.stuck += looked.failed;
        }
        ticked
    }

    /// Looks at each channel's destination.
    async fn look_at_channels(&self, stop_at: Timestamp) -> Ticked {
        let mut ticked = Ticked::default();
        let installation = match self.installations.current().await {
            Err(InstallationError::NotConfigured) => return ticked,
            Err(error) => {
                ticked.failed += failed("the channels are unknown", &error);
                return ticked;
            }
            Ok(installation) => installation,
        };
        for channel in installation.config.channels.keys() {
            let looked = self.look_at_destination(&installation, channel, stop_at);
            if let Err(error) = Box::pin(looked).await.map(|done| ticked += done) {
                let error = &error as &(dyn std::error::Error + 'static);
                tracing::error!(error, %channel, "a channel's destination is unknown");
                ticked.failed += 1;
            }
        }
        ticked
    }

    /// Says of a destination that is left alone that it still is: whoever sends only says when that begins
    /// and ends, and an alarm has to last in between. People hear of one that takes nothing for long, and what
    /// waits for one that is back, or may be, is brought forward.
    async fn look_at_destination(
        &self,
        installation: &Installation,
        channel: &ChannelName,
        stop_at: Timestamp,
    ) -> Result<Ticked, StoreError> {
        let now = self.store.clock().now();
        let destination = self.store.destination(channel).await?;
        if destination.breaker.has_failed() && destination.is_waited_for(now) {
            let dimensions = [("Channel", channel.as_str())];
            self.metrics.record(Metric::BreakerState, 2.0, &dimensions);
        }
        let told = tell_if_unreached(&self.store, installation, channel, &destination).await;
        let forward = self.bring_forward(channel, &destination, stop_at).await;
        told.and(forward)
    }

    /// The senders of webhooks that may be silent for too long by now.
    async fn silent_senders(&self, now: Timestamp) -> Result<Vec<Subject>, InstallationError> {
        let installation = match self.installations.current().await {
            Err(InstallationError::NotConfigured) => return Ok(Vec::new()),
            current => current?,
        };
        let mut silent = Vec::new();
        for name in installation.config.connectors.keys() {
            if !installation.bounds_silence_of(name) {
                continue;
            }
            let connector = name.clone();
            let subject = Subject::Connector { connector };
            let watches = self.store.watches(&subject).await?;
            let is_due = |due: Moment| due.0 <= now;
            if watches.iter().any(|it| it.data.due.is_some_and(is_due)) {
                silent.push(subject);
            }
        }
        Ok(silent)
    }

    async fn stale_feeds(&self, now: Timestamp) -> Result<Vec<Subject>, InstallationError> {
        let installation = match self.installations.current().await {
            Err(InstallationError::NotConfigured) => return Ok(Vec::new()),
            current => current?,
        };
        let mut stale = Vec::new();
        for name in installation.pulled() {
            let Some(connector) = installation.config.connectors.get(name) else {
                continue;
            };
            let ConnectorSettings::Files(files) = &connector.settings else {
                continue;
            };
            let feed = self.store.feed_health(name).await?;
            let succeeded = feed.and_then(|feed| feed.data.succeeded_at);
            if let Some(at) = succeeded {
                let age = now.duration_since(at.0).as_secs_f64();
                let dimensions = [("Connector", name.as_str())];
                self.metrics
                    .record(Metric::FeedAgeSeconds, age, &dimensions);
            }
            // A source that was never read has no age; whether that is stale is the evaluator's to say.
            if succeeded.is_none_or(|at| now.duration_since(at.0) >= files.stale_after) {
                stale.push(Subject::Connector {
                    connector: name.clone(),
                });
            }
        }
        Ok(stale)
    }

    /// Applies a kept webhook. One that cannot be applied is put off, and is no failure of the clock:
    /// it would silence the heartbeat for as long as it is kept.
    async fn recover(&self, stored: &Stored<Received>) -> Ticked {
        let mut ticked = Ticked::default();
        let received = &stored.data;
        let Err(error) = self.recover.recover(received).await else {
            ticked.recovered = 1;
            return ticked;
        };
        tracing::error!(
            connector = %received.connector,
            received.id = received.id,
            error = &*error as &dyn std::error::Error,
            "a kept webhook cannot be applied"
        );
        ticked.stuck = 1;
        if let Err(error) = self.store.put_off_webhook(stored).await {
            ticked.failed += failed("a webhook was not put off", &error);
        }
        ticked
    }

    async fn look(&self, subject: &Subject) -> Ticked {
        let mut ticked = Ticked::default();
        match self.reexamine.look(subject).await {
            Ok(()) => ticked.looked = 1,
            Err(error) => {
                tracing::error!(%subject, error = &*error as &dyn std::error::Error, "a subject was not looked at");
                ticked.failed = 1;
            }
        }
        ticked
    }
}

/// Logs a failed step, and counts it.
fn failed(what: &'static str, error: &(dyn std::error::Error + 'static)) -> usize {
    tracing::error!(error, "{what}");
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_add_up() {
        let one = Ticked {
            redriven: 1,
            failed: 2,
            cut_short: true,
            ..Ticked::default()
        };
        let mut sum = one;
        sum += Ticked {
            looked: 3,
            ..Ticked::default()
        };
        assert_eq!(
            (sum.redriven, sum.failed, sum.looked, sum.cut_short),
            (1, 2, 3, true)
        );
    }
}
