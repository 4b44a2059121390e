//! `sync`: reads each source on a schedule, proves what it read, and applies the difference.
//!
//! A tick queues one job per source, which first looks whether there is anything new; if there is, it is a
//! run. It goes on until it is done or its time is up, and is then queued again from its checkpoint. A source
//! is run by one worker at a time, and once per slot.
//!
//! | file | its job |
//! |---|---|
//! | [`run`] | one run: its record, and the lease that only one worker has |
//! | [`place`] | where the files are: which are ready, which were claimed |
//! | [`punctual`] | gives a place up, with the reason, before the time is over |
//! | [`file`](mod@file) | one file, from its download to the archive |
//! | [`examine`] | the first reading: counts, proof, what the file says |
//! | [`pass`] | the second reading: the rows that differ, and the removals |
//! | [`rows`], [`said`], [`snapshot`] | a row in our terms, as a number, and a whole file in a few bytes a row |
//! | [`repeated`], [`flaw`] | several rows for one item; what cannot be taken, and the remarks on it |
//! | [`apply`], [`batch`] | what one row asks for, or one removal; and many of them at once |
//! | [`absence`] | what a file no longer has: grace, guard, inbox |
//! | [`listing`] | how far what a source has stated is compared, kept while a run pauses |
//! | [`conclude`] | what came of a file, and where it goes |
//! | [`memory`] | what a feed remembers between runs |
//! | [`rehearsal`] | what a file would change, without changing it |

mod absence;
mod apply;
mod batch;
mod conclude;
mod examine;
mod file;
mod flaw;
mod listing;
mod memory;
mod pass;
mod place;
mod punctual;
mod rehearsal;
mod repeated;
mod rows;
mod run;
mod said;
mod snapshot;
#[cfg(test)]
mod tests;
mod totals;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use futures::FutureExt;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use shared::domain::Correlation;
use shared::domain::id::ConnectorName;
use shared::http::Downloads;
use shared::installation::{InstallationError, Installations};
use shared::metrics::Metrics;
use shared::run_queue::{Job, QueueError, RunQueue, Started};
use shared::secrets::Secrets;
use shared::store::{Store, StoreError};
use tracing::Instrument;

use crate::run::RunError;

pub use rehearsal::{Rehearsal, RehearsalError, rehearse};

/// Reads sources on a schedule.
#[derive(Clone)]
pub struct Sync {
    /// The table.
    pub store: Store,
    /// The queue of runs.
    pub queue: RunQueue,
    /// The configuration in force.
    pub installations: Installations,
    /// What secret references stand for.
    pub secrets: Arc<Secrets>,
    /// For sources behind `https`; it must not follow redirects.
    pub client: Downloads,
    /// Where numbers go.
    pub metrics: Metrics,
    /// Where files are kept while they are read: `/tmp` in Lambda.
    pub scratch: PathBuf,
}

/// What the names of downloaded copies end with.
pub(crate) const COPY: &str = "feed";

/// Why what the last process left could not be taken up.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The folder of downloaded copies.
    #[error("clear away downloaded copies: {0}")]
    Scratch(#[from] std::io::Error),
    /// There is no configuration to work with.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Why a tick failed.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// There is no configuration to work with.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// Some runs could not be queued; the others were.
    #[error("{failed} runs of slot {slot} could not be queued")]
    Incomplete {
        /// The slot.
        slot: String,
        /// How many.
        failed: usize,
        /// The first reason.
        #[source]
        first: QueueError,
    },
}

/// What the function is invoked with: EventBridge and SQS share its address.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Invocation {
    /// Queued runs.
    Jobs(SqsEvent),
    /// A scheduled tick.
    Tick(EventBridgeEvent<Value>),
}

impl Sync {
    /// Handles whichever it is. What a tick answers nobody reads.
    pub async fn handle(
        &self,
        invocation: Invocation,
        deadline: Timestamp,
    ) -> Result<SqsBatchResponse, ScheduleError> {
        match invocation {
            Invocation::Jobs(event) => Ok(self.jobs(event, deadline).await),
            Invocation::Tick(event) => {
                self.schedule(event, deadline).await?;
                Ok(SqsBatchResponse::default())
            }
        }
    }

    /// Handles a scheduled tick: queues a look at each source that is read on a schedule.
    pub async fn schedule(
        &self,
        event: EventBridgeEvent<Value>,
        _deadline: Timestamp,
    ) -> Result<(), ScheduleError> {
        let slot = self.slot(&event);
        let installation = self.installations.current().await?;
        let mut failures = Vec::new();
        for connector in installation.pulled() {
            let job = Job {
                connector: connector.clone(),
                slot: slot.clone(),
            };
            if let Err(error) = self.queue.send(&job).await {
                tracing::warn!(%connector, slot, %error, "a run could not be queued");
                failures.push(error);
            }
        }
        let failed = failures.len();
        match failures.into_iter().next() {
            None => Ok(()),
            Some(first) => Err(ScheduleError::Incomplete {
                slot,
                failed,
                first,
            }),
        }
    }

    /// The tick's scheduled time: the same however often the tick is delivered.
    fn slot(&self, event: &EventBridgeEvent<Value>) -> String {
        let scheduled = event
            .time
            .and_then(|time| Timestamp::from_second(time.timestamp()).ok());
        let at = scheduled.unwrap_or_else(|| self.store.clock().now());
        let minute = at.as_second() - at.as_second().rem_euclid(60);
        Timestamp::from_second(minute).unwrap_or(at).to_string()
    }

    /// Handles queued runs. A run that is not done comes back alone.
    pub async fn jobs(&self, event: SqsEvent, deadline: Timestamp) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        for (index, message) in event.records.into_iter().enumerate() {
            let id = message.message_id.clone().unwrap_or_default();
            // The first always gets on, however little; the others not without time.
            let in_time = index == 0 || self.store.clock().now() < deadline;
            if in_time && self.job(message.body.as_deref(), deadline).await {
                continue;
            }
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            response.batch_item_failures.push(failure);
        }
        response
    }

    /// The same; what a run writes carries its id. A run may take hours, so each change of stock counts
    /// from its own writing.
    fn on_behalf_of(&self, id: Correlation) -> Self {
        Self {
            store: self.store.on_behalf_of(id, None).writing_many(),
            ..self.clone()
        }
    }

    async fn job(&self, body: Option<&str>, deadline: Timestamp) -> bool {
        let job: Job = match serde_json::from_str(body.unwrap_or_default()) {
            Ok(job) => job,
            Err(error) => {
                // No repeat makes it readable: after its retries it stands in the dead-letter queue.
                tracing::error!(%error, "a message is no job");
                return false;
            }
        };
        // On the heap, here and below: the futures are large, and threads' stacks are not.
        let correlation = job.correlation();
        let span = tracing::info_span!("run", connector = %job.connector, slot = job.slot,
            correlation = correlation.as_ref().map(Correlation::as_str));
        let this = match correlation {
            Some(id) => &self.on_behalf_of(id),
            None => self,
        };
        let work = AssertUnwindSafe(Box::pin(this.take_up(&job, deadline)).instrument(span));
        match work.catch_unwind().await {
            Ok(Ok(())) => true,
            Ok(Err(error @ RunError::Busy { .. })) => {
                tracing::info!(connector = %job.connector, slot = job.slot, %error, "a run has to wait");
                false
            }
            Ok(Err(error)) => {
                let cause = &error as &(dyn std::error::Error + 'static);
                tracing::warn!(connector = %job.connector, slot = job.slot, error = cause, "a run comes back");
                false
            }
            // The panic hook has said why.
            Err(_) => false,
        }
    }

    /// For a process that is the only one there is, at its start: no run is going, whatever the leases
    /// of the last process say. They are dropped, copies of files are cleared away, and runs that were
    /// not over are queued again. Returns how many.
    pub async fn recover(&self) -> Result<usize, RecoverError> {
        self.clear_scratch()?;
        let installation = self.installations.current().await?;
        let mut queued = 0;
        for connector in installation.pulled() {
            if let Some(lease) = self.store.run_lease(connector).await? {
                self.store
                    .give_run_lease_back(connector, &lease.holder)
                    .await?;
            }
            let latest = self.store.runs(connector, None, 1).await?.items;
            for run in latest.into_iter().filter(|run| !run.state.is_over()) {
                let (connector, slot) = (run.connector, run.slot);
                self.queue.send(&Job { connector, slot }).await?;
                queued += 1;
            }
        }
        Ok(queued)
    }

    /// Removes copies of files that a worker left when it died.
    pub fn clear_scratch(&self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(&self.scratch)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == COPY) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Queues a run of one source now, unless one is going.
    pub async fn start(&self, connector: &ConnectorName) -> Result<Started, QueueError> {
        self.queue.start(connector).await
    }
}

impl std::fmt::Debug for Sync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sync").finish_non_exhaustive()
    }
}
