//! The queue of runs: how a scheduled tick, or a person, has a source read.
//!
//! What travels names a run. One that a person has asked for stands in the table; of a tick's the worker
//! writes it down once there is something to do. A message that is lost leaves that to the next tick; one that
//! is repeated finds the run going, over, or nothing to do.

use aws_sdk_sqs::error::DisplayErrorContext;
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};

use crate::domain::Correlation;
use crate::domain::id::ConnectorName;
use crate::store::{Store, StoreError};

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

    /// Queues a run now, unless one is going.
    pub async fn start(&self, connector: &ConnectorName) -> Result<Started, QueueError> {
        if let Some(lease) = self.store.run_lease(connector).await? {
            return Ok(Started::Running { slot: lease.slot });
        }
        let now = self.store.clock().now();
        let slot = format!("{now:.3}-{}", &self.store.chance().id(now)[24..]);
        self.store.begin_run(connector, &slot).await?;
        self.send(&Job {
            connector: connector.clone(),
            slot: slot.clone(),
        })
        .await?;
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
}
