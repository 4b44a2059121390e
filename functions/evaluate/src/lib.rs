//! `evaluate`: reads the table's stream and decides what people are to be told.
//!
//! Because it reads the stream, every write path is evaluated, whoever wrote. Each record is
//! looked at in order. One that no try will mend is given up here and passed over, so that a poison
//! record holds up nothing, whatever the mapping does with a batch. The first that fails for
//! another reason is handed back with everything after it; if the mapping at last gives that up, it
//! tells a queue, and that queue tells us. Either way everything is looked at again.
//!
//! | file | looks at |
//! |---|---|
//! | [`stock`] | positions, and sums over groups |
//! | [`judge`] | what the rules say of them |
//! | [`words`] | what a message says of them |
//! | [`sources`] | feeds: stale, suspect |
//! | [`vehicles`] | one VIN, two owners |
//! | [`announce`] | the step from a verdict to an alert revision and its intents |
//! | [`surroundings`] | the configuration in force and the sources' health, read once a batch |
//! | [`jobs`] | looking again at everything a change of configuration may concern |
//! | [`ended`] | what sources state that are no longer there |
//! | [`given_up`] | what the stream gave up, and having it looked at after all |
//! | [`patience`] | waiting for a table that is busy |

mod announce;
mod ended;
mod given_up;
mod jobs;
mod judge;
mod patience;
mod record;
mod sources;
mod stock;
mod surroundings;
mod vehicles;
mod words;

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use shared::bus::Bus;
use shared::domain::{Origin, Replayed, Subject};
use shared::installation::{Installation, InstallationError, Installations};
use shared::metrics::{Metric, Metrics};
use shared::store::{Store, StoreError};
use tracing::field::Empty;
use tracing::{Instrument, Span};

pub use judge::verdicts;
pub use record::{Changed, Health, UnreadableRecord, changed};

use patience::Patience;
use surroundings::Surroundings;

/// Why a look at something failed. All of these are worth trying again but the unreadable ones.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The stream record is not what this version writes.
    #[error(transparent)]
    Record(#[from] UnreadableRecord),
    /// There is no configuration to evaluate by.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EvaluateError {
    /// Whether the same look may succeed a little later.
    fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) | Self::Installation(InstallationError::Store(error)) => {
                error.is_transient()
            }
            Self::Record(error) => error.is_newer,
            Self::Installation(_) => false,
        }
    }

    /// Whether a newer version has written what was to be looked at.
    fn is_newer(&self) -> bool {
        matches!(self, Self::Store(StoreError::Newer { .. }))
    }
}

/// What the function is invoked with: its stream and its queue share its address.
#[derive(Debug, Clone)]
pub enum Invocation {
    /// Changes of the table.
    Changes(Event),
    /// Letters about changes that were given up.
    GivenUp(SqsEvent),
}

impl<'de> Deserialize<'de> for Invocation {
    fn deserialize<D: Deserializer<'de>>(event: D) -> Result<Self, D::Error> {
        // Not by trying one after the other: any record passes for a message without a body.
        let event = Value::deserialize(event)?;
        if event["Records"][0]["eventSource"] == "aws:sqs" {
            serde_json::from_value(event).map(Self::GivenUp)
        } else {
            serde_json::from_value(event).map(Self::Changes)
        }
        .map_err(D::Error::custom)
    }
}

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To changes: the first that is not done.
    Changes(DynamoDbEventResponse),
    /// To letters: those that are to come again.
    GivenUp(SqsBatchResponse),
}

/// A record's number in its stream, and what it says.
type Numbered = (Option<String>, Result<Changed, UnreadableRecord>);

/// Decides what people are to be told.
#[derive(Debug, Clone)]
pub struct Evaluator {
    store: Store,
    bus: Bus,
    installations: Installations,
    metrics: Metrics,
    healths: Arc<surroundings::Healths>,
}

impl Evaluator {
    /// An evaluator of this table that announces on this bus.
    pub fn new(store: Store, bus: Bus, installations: Installations, metrics: Metrics) -> Self {
        Self {
            store,
            bus,
            installations,
            metrics,
            healths: Arc::default(),
        }
    }

    /// The same evaluator; what it writes goes back to this.
    fn on_behalf_of(&self, origin: Option<Origin>) -> Cow<'_, Self> {
        let Some(origin) = origin else {
            return Cow::Borrowed(self);
        };
        Span::current().record("correlation", origin.id.as_str());
        Cow::Owned(Self {
            store: self.store.on_behalf_of(origin.id, Some(origin.at)),
            ..self.clone()
        })
    }

    /// On behalf of what last changed a thing, but now: time alone has brought us here.
    fn because_of_time(&self, origin: Option<Origin>) -> Cow<'_, Self> {
        let now = self.store.clock().now();
        self.on_behalf_of(origin.map(|origin| origin.at(now)))
    }

    /// Handles whichever it is.
    pub async fn invoked(&self, invocation: Invocation, deadline: Timestamp) -> Answer {
        match invocation {
            Invocation::Changes(event) => Answer::Changes(self.handle(event, deadline).await),
            Invocation::GivenUp(event) => Answer::GivenUp(self.given_up(event, deadline).await),
        }
    }

    /// Handles a batch of stream records: all done, or everything from the first failure on is
    /// handed back.
    pub async fn handle(&self, event: Event, deadline: Timestamp) -> DynamoDbEventResponse {
        self.measure_age(&event);
        let records: Vec<_> = event
            .records
            .into_iter()
            .map(|record| (record.change.sequence_number.clone(), changed(record)))
            .collect();
        let mut response = DynamoDbEventResponse::default();
        let patience = Patience::new(self.store.clock().now(), deadline);
        if let Err(sequence) = self.look_at_all(&records, patience).await {
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = sequence;
            response.batch_item_failures.push(failure);
        }
        response
    }

    /// Looks at a batch's records in order; the number of the first that is not done.
    async fn look_at_all(
        &self,
        records: &[Numbered],
        patience: Patience,
    ) -> Result<(), Option<String>> {
        let mut around = None;
        for (sequence, changed) in records {
            self.guarded(sequence, changed, &mut around, patience)
                .await?;
        }
        while let Some(read) = around.take() {
            let first = || records.first().and_then(|(sequence, _)| sequence.clone());
            let holds = self.still_holds_patiently(&read, patience).await;
            let holds = holds.map_err(|error| {
                let cause = &error as &(dyn std::error::Error + 'static);
                tracing::warn!(error = cause, "a batch is handed back");
                first()
            })?;
            if holds {
                break;
            }
            for (sequence, changed) in records {
                if changed.as_ref().is_ok_and(Changed::depends_on_surroundings) {
                    self.guarded(sequence, changed, &mut around, patience)
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn still_holds_patiently(
        &self,
        around: &Surroundings,
        mut patience: Patience,
    ) -> Result<bool, EvaluateError> {
        loop {
            match self.still_holds(around).await {
                Err(error) if error.is_transient() && patience.wait(&self.store).await => {}
                read => return read,
            }
        }
    }

    /// Looks at a record until it is done, or cannot be done now; then the record's number.
    async fn guarded(
        &self,
        sequence: &Option<String>,
        changed: &Result<Changed, UnreadableRecord>,
        around: &mut Option<Surroundings>,
        mut patience: Patience,
    ) -> Result<(), Option<String>> {
        loop {
            if patience.is_over(self.store.clock().now()) {
                tracing::warn!(sequence, "no time is left for a stream record");
                return Err(sequence.clone());
            }
            let span = tracing::info_span!("record", sequence, correlation = Empty);
            let look = Box::pin(self.look_at(changed, around)).instrument(span);
            match AssertUnwindSafe(look).catch_unwind().await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if error.is_transient() => {
                    let again = patience.wait(&self.store).await;
                    let cause = &error as &(dyn std::error::Error + 'static);
                    if again {
                        tracing::info!(error = cause, sequence, "a stream record is tried again");
                        continue;
                    }
                    tracing::warn!(error = cause, sequence, "a stream record is handed back");
                    return Err(sequence.clone());
                }
                Ok(Err(error)) => {
                    let cause = &error as &(dyn std::error::Error + 'static);
                    tracing::error!(error = cause, sequence, "a stream record is given up");
                }
                // The panic hook has said why.
                Err(_) => tracing::error!(
                    sequence,
                    "a stream record made the evaluator panic, and is given up"
                ),
            }
            return self.give_up(patience).await.map_err(|()| sequence.clone());
        }
    }

    async fn look_at(
        &self,
        changed: &Result<Changed, UnreadableRecord>,
        around: &mut Option<Surroundings>,
    ) -> Result<(), EvaluateError> {
        let changed = changed.as_ref().map_err(Clone::clone)?;
        match changed {
            Changed::Configuration(_) => return self.configuration_changed().await,
            Changed::Job(id) => return self.proceed(id).await,
            Changed::Nothing => return Ok(()),
            Changed::Position { .. }
            | Changed::Unit(_)
            | Changed::Feed(..)
            | Changed::Sender(_)
            | Changed::Held(_)
            | Changed::Rules(..)
            | Changed::Product(..) => {}
        }
        let around = match around {
            Some(around) => around,
            None => around.insert(self.surroundings().await?),
        };
        match changed {
            Changed::Position { before, after } => {
                // A run that was under way when its connector was removed has written this.
                if self
                    .end_statements(&around.installation.config, after)
                    .await?
                {
                    return Ok(());
                }
                let this = self.on_behalf_of(after.origin.clone());
                if was_replayed(after.replayed.as_ref(), after.revision) {
                    // Past with the replay's next write: what counts is what is there in the end.
                    let (product, location) = (&after.product, &after.location);
                    return match self.store.position(product, location).await? {
                        Some(now) => this.look_at_position(around, None, &now).await,
                        None => Ok(()),
                    };
                }
                this.look_at_position(around, before.as_deref(), after)
                    .await
            }
            Changed::Unit(unit) => {
                if self.end_claims(&around.installation, unit).await? {
                    return Ok(());
                }
                let this = self.on_behalf_of(unit.origin.clone());
                if was_replayed(unit.replayed.as_ref(), unit.revision) {
                    return match self.store.unit(unit.vin.as_str()).await? {
                        Some(now) => this.look_at_unit(&around.installation, &now).await,
                        None => Ok(()),
                    };
                }
                this.look_at_unit(&around.installation, unit).await
            }
            Changed::Feed(connector, health) => {
                self.forget_health(connector);
                let this = self.on_behalf_of(health.after.origin.clone());
                this.look_where_believed_again(&around.installation, connector, health)
                    .await?;
                this.look_at_source(&around.installation, connector).await
            }
            Changed::Sender(connector) => {
                self.look_at_source(&around.installation, connector).await
            }
            Changed::Rules(product, rules) => {
                for rule in rules {
                    self.look_where(around, product, rule).await?;
                }
                Ok(())
            }
            Changed::Product(product, both) if around.installation.may_name_categories() => {
                let sources = &around.authority.quantities;
                let [before, after] = both.each_ref().map(|it| it.category(sources));
                if before == after {
                    return Ok(());
                }
                self.look_at_product(around, product, |_| true).await
            }
            Changed::Held(held) => {
                self.on_behalf_of(held.origin.clone())
                    .look_at_quarantine(&around.installation, &held.source, &held.reason)
                    .await
            }
            Changed::Product(..)
            | Changed::Configuration(_)
            | Changed::Job(_)
            | Changed::Nothing => Ok(()),
        }
    }

    /// How old the oldest record of a batch is: how far we are behind.
    fn measure_age(&self, event: &Event) {
        let written = |record: &EventRecord| record.change.approximate_creation_date_time;
        let Some(oldest) = event.records.iter().map(written).min() else {
            return;
        };
        let Ok(oldest) = Timestamp::from_millisecond(oldest.timestamp_millis()) else {
            return;
        };
        let age = self.store.clock().now().duration_since(oldest);
        // The table's clock may be ahead of ours, by less than anybody asks about.
        let age = age.max(SignedDuration::ZERO).as_secs_f64() * 1_000.0;
        self.metrics.record(Metric::StreamIteratorAgeMs, age, &[]);
    }

    /// Looks again at one subject because time has passed.
    #[tracing::instrument(name = "look", skip_all, fields(%subject, correlation))]
    pub async fn look(&self, subject: &Subject) -> Result<(), EvaluateError> {
        let around = self.surroundings().await?;
        match subject {
            Subject::Position { product, location } => {
                if let Some(position) = self.store.position(product, location).await? {
                    self.because_of_time(position.origin.clone())
                        .look_at_position(&around, None, &position)
                        .await?;
                }
                Ok(())
            }
            Subject::Group { product, group } => self.look_at_group(&around, product, group).await,
            Subject::Unit { vin } => match self.store.unit(vin).await? {
                Some(unit) => {
                    self.because_of_time(unit.origin.clone())
                        .look_at_unit(&around.installation, &unit)
                        .await
                }
                None => Ok(()),
            },
            Subject::Connector { connector } => {
                let feed = self.store.feed_health(connector).await?;
                self.because_of_time(feed.and_then(|feed| feed.data.origin))
                    .look_at_source(&around.installation, connector)
                    .await
            }
            // Nothing watches a channel: who sends there finds out.
            Subject::Channel { .. } => Ok(()),
            Subject::Quarantine { connector, reason } => {
                let held = self.store.held_kind(connector, reason).await?;
                self.because_of_time(held.and_then(|held| held.data.origin))
                    .look_at_quarantine(&around.installation, connector, reason)
                    .await
            }
        }
    }

    /// Whether webhooks that say something of an item are being applied again. It is looked at when that is
    /// over.
    pub(crate) async fn is_being_replayed(
        &self,
        replayed: Option<&Replayed>,
    ) -> Result<bool, EvaluateError> {
        let now = self.store.clock().now();
        match replayed.filter(|replayed| replayed.is_recent(now)) {
            Some(replayed) => Ok(self.store.is_being_replayed(&replayed.connector).await?),
            None => Ok(false),
        }
    }

    /// The configuration in force.
    pub(crate) async fn installation(&self) -> Result<Arc<Installation>, EvaluateError> {
        Ok(self.installations.newest().await?)
    }
}

/// Whether a replay has written this revision.
fn was_replayed(replayed: Option<&Replayed>, revision: u64) -> bool {
    replayed.is_some_and(|replayed| replayed.revision == revision)
}
