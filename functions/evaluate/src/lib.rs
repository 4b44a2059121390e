//! `evaluate`: reads the table's stream and decides what people are to be told.
//!
//! Because it reads the stream, every write path is evaluated, whoever wrote (F27). Each record is
//! looked at in order; the first that fails is handed back with everything after it, and the
//! event-source mapping retries, bisects and finally parks it, so that one poison record does not
//! hold the rest for long (F16).
//!
//! | file | looks at |
//! |---|---|
//! | [`stock`] | positions, and sums over groups |
//! | [`sources`] | feeds: stale, suspect |
//! | [`vehicles`] | one VIN, two owners |
//! | [`announce`] | the step from a verdict to an alert revision and its intents |
//! | [`jobs`] | looking again at everything a change of configuration may concern |

mod announce;
mod jobs;
mod record;
mod sources;
mod stock;
mod vehicles;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use aws_lambda_events::event::dynamodb::Event;
use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use futures::FutureExt;
use jiff::Timestamp;
use shared::bus::Bus;
use shared::domain::Subject;
use shared::installation::{Installation, InstallationError, Installations};
use shared::store::{Store, StoreError};

pub use record::{Changed, UnreadableRecord, changed};

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

/// Decides what people are to be told.
#[derive(Debug, Clone)]
pub struct Evaluator {
    store: Store,
    bus: Bus,
    installations: Installations,
}

impl Evaluator {
    /// An evaluator of this table that announces on this bus.
    pub fn new(store: Store, bus: Bus, installations: Installations) -> Self {
        Self {
            store,
            bus,
            installations,
        }
    }

    /// Handles a batch of stream records: all done, or everything from the first failure on is
    /// handed back.
    pub async fn handle(&self, event: Event, deadline: Timestamp) -> DynamoDbEventResponse {
        let mut response = DynamoDbEventResponse::default();
        for record in event.records {
            let sequence = record.change.sequence_number.clone();
            let in_time = self.store.clock().now() < deadline;
            let looked = if in_time {
                AssertUnwindSafe(self.look_at(changed(record)))
                    .catch_unwind()
                    .await
            } else {
                Ok(Err(None))
            };
            match looked {
                Ok(Ok(())) => continue,
                Ok(Err(Some(error))) => {
                    let cause = &error as &(dyn std::error::Error + 'static);
                    tracing::warn!(error = cause, sequence, "a stream record is handed back");
                }
                Ok(Err(None)) => tracing::warn!(sequence, "no time is left for a stream record"),
                // The panic hook has said why.
                Err(_) => tracing::error!(sequence, "a stream record made the evaluator panic"),
            }
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = sequence;
            response.batch_item_failures.push(failure);
            break;
        }
        response
    }

    async fn look_at(
        &self,
        changed: Result<Changed, UnreadableRecord>,
    ) -> Result<(), Option<EvaluateError>> {
        let looked = async {
            match changed? {
                Changed::Position { before, after } => {
                    let installation = self.installations.current().await?;
                    self.look_at_position(&installation, before.as_deref(), &after)
                        .await
                }
                Changed::Unit(unit) => {
                    let installation = self.installations.current().await?;
                    self.look_at_unit(&installation, &unit).await
                }
                Changed::Feed(connector) => {
                    let installation = self.installations.current().await?;
                    self.look_at_source(&installation, &connector).await
                }
                Changed::Configuration(version) => self.configuration_changed(version).await,
                Changed::Job(id) => self.proceed(&id).await,
                Changed::Nothing => Ok(()),
            }
        };
        looked.await.map_err(Some)
    }

    /// Looks again at one subject because time has passed.
    pub async fn look(&self, subject: &Subject) -> Result<(), EvaluateError> {
        let installation = self.installations.current().await?;
        match subject {
            Subject::Position { product, location } => {
                if let Some(position) = self.store.position(product, location).await? {
                    self.look_at_position(&installation, None, &position)
                        .await?;
                }
                Ok(())
            }
            Subject::Group { product, group } => {
                self.look_at_group(&installation, product, group).await
            }
            Subject::Unit { vin } => match self.store.unit(vin).await? {
                Some(unit) => self.look_at_unit(&installation, &unit).await,
                None => Ok(()),
            },
            Subject::Connector { connector } => self.look_at_source(&installation, connector).await,
        }
    }

    /// The configuration in force.
    pub(crate) async fn installation(&self) -> Result<Arc<Installation>, EvaluateError> {
        Ok(self.installations.current().await?)
    }
}
