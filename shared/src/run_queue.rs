//! The queue of runs: how a scheduled tick, or a person, has a source read.
//!
//! What travels names a run that stands in the table. A message that is lost leaves the run queued
//! until its slot is asked for again; one that is repeated finds the run going, or over.

use aws_sdk_sqs::error::DisplayErrorContext;
use futures::FutureExt as _;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::domain::Correlation;
use crate::domain::id::ConnectorName;
use crate::store::runs::RunState;
use crate::store::{Store, StoreError};

/// A run that is queued for longer than this has lost its message.
const LOST_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// What travels: which run to take up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The source.
    pub connector: ConnectorName,
    /// The run's slot.
    pub slot: String,
}

impl Job {
    /// The id of everything that follows from this run; none if its slot cannot stand in one.
    pub fn correlation(&self) -> Option<Correlation> {
        format!("{}/{}", self.connector, self.slot).parse().ok()
    }
}

/// What became of the wish to run a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// A run was queued.
    Queued {
        /// Its slot.
        slot: String,
    },
    /// A run is going.
    Running {
        /// Its slot.
        slot: String,
    },
}

/// Why a run could not be queued.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue.
    #[error("queue a run of {connector}: {problem}")]
    Queue {
        /// The source.
        connector: ConnectorName,
        /// The SDK's words.
        problem: String,
    },
}

/// The queue of runs.
#[derive(Debug, Clone)]
pub struct RunQueue {
    store: Store,
    client: aws_sdk_sqs::Client,
    url: String,
}

impl RunQueue {
    /// The queue at this address.
    pub fn new(store: Store, client: aws_sdk_sqs::Client, url: impl Into<String>) -> Self {
        Self {
            store,
            client,
            url: url.into(),
        }
    }

    /// Queues a slot's run once, however often the slot is asked for; `true` if it was now.
    pub async fn begin(&self, connector: &ConnectorName, slot: &str) -> Result<bool, QueueError> {
        let begun = self.store.begin_run(connector, slot).await?;
        if !begun && !self.has_lost_its_message(connector, slot).await? {
            return Ok(false);
        }
        self.send(&Job {
            connector: connector.clone(),
            slot: slot.to_owned(),
        })
        .await?;
        Ok(true)
    }

    /// Queues a run now, unless one is going.
    pub async fn start(&self, connector: &ConnectorName) -> Result<Started, QueueError> {
        if let Some(lease) = self.store.run_lease(connector).await? {
            return Ok(Started::Running { slot: lease.slot });
        }
        let now = self.store.clock().now();
        let slot = format!("{now:.3}-{}", &self.store.chance().id(now)[24..]);
        self.begin(connector, &slot).await?;
        Ok(Started::Queued { slot })
    }

    /// Puts a job on the queue.
    pub async fn send(&self, job: &Job) -> Result<(), QueueError> {
        let failed = |problem: String| QueueError::Queue {
            connector: job.connector.clone(),
            problem,
        };
        let body = serde_json::to_string(job).map_err(|error| failed(error.to_string()))?;
        let sent = self.client.send_message().queue_url(&self.url);
        sent.message_body(body)
            .send()
            .boxed()
            .await
            .map_err(|error| failed(DisplayErrorContext(&error).to_string()))?;
        Ok(())
    }

    async fn has_lost_its_message(
        &self,
        connector: &ConnectorName,
        slot: &str,
    ) -> Result<bool, StoreError> {
        let now = self.store.clock().now();
        let run = self.store.run(connector, slot).await?;
        Ok(run.is_some_and(|run| {
            run.data.state == RunState::Queued
                && now.duration_since(run.data.queued_at.0) > LOST_AFTER
        }))
    }
}
