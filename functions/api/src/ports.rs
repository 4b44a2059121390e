//! What other functions do for the API, named here by what the API needs of them.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use shared::channels::ChannelKind;
use shared::config::Config;
use shared::connectors::needed_secrets;
use shared::domain::{ChannelName, ConnectorName};
use shared::run_queue::{QueueError, RunQueue, Started};
use shared::secrets::Secrets;
use shared::store::StoreError;

/// Why another function could not do it.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// It cannot be done as things stand.
    #[error("{0}")]
    Refused(String),
    /// This installation has nobody to do it.
    #[error("{0} is not part of this installation")]
    Absent(&'static str),
    /// A page cursor that nobody handed out.
    #[error("the cursor is not one of ours")]
    Cursor,
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Reads connectors now instead of at the next quarter of an hour.
#[async_trait]
pub trait StartSync: Send + Sync {
    /// Queues a run, unless one is going.
    async fn start(&self, connector: &ConnectorName) -> Result<Started, PortError>;
}

#[async_trait]
impl StartSync for RunQueue {
    async fn start(&self, connector: &ConnectorName) -> Result<Started, PortError> {
        Self::start(self, connector)
            .await
            .map_err(|error| match error {
                QueueError::Store(error) => PortError::Store(error),
                error @ QueueError::Queue { .. } => PortError::Failed(error.to_string()),
            })
    }
}

/// What is to be applied again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// What this connector received,
    pub connector: ConnectorName,
    /// from then on,
    pub from: Option<Timestamp>,
    /// until before then;
    pub to: Option<Timestamp>,
    /// or only this one.
    pub id: Option<String>,
}

/// What came of a page of a replay. Counts rows: a payload may hold several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Payloads looked at.
    pub received: usize,
    /// Rows that changed the stock: they had been lost.
    pub changed: usize,
    /// Rows that had been applied before, or are known otherwise.
    pub known: usize,
    /// Rows held for a person to look at.
    pub quarantined: usize,
    /// Rows that are of no use to us.
    pub ignored: usize,
    /// Payloads that could not be applied.
    pub failed: Vec<Failed>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// A payload that could not be applied again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Its id.
    pub id: String,
    /// Why.
    pub detail: String,
}

/// Applies what was received again.
#[async_trait]
pub trait Replay: Send + Sync {
    /// Applies a page, from a cursor on.
    async fn replay(
        &self,
        selection: &Selection,
        cursor: Option<&str>,
    ) -> Result<Replayed, PortError>;
}

/// Why a channel or connector cannot do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State<N> {
    /// Which.
    pub name: N,
    /// Why nothing leaves or comes in by it; `None` if it is live.
    pub problem: Option<String>,
    /// What is to be known of it although it is live.
    pub note: Option<String>,
}

/// Tells of what the configuration names whether it can do its work, as far as that can be told.
#[async_trait]
pub trait Liveness: Send + Sync {
    /// The channels of which it is known whether they can send.
    async fn channels(&self, config: &Config) -> Vec<State<ChannelName>>;

    /// The connectors of which it is known whether they can take webhooks, or be read.
    async fn connectors(&self, config: &Config) -> Vec<State<ConnectorName>>;

    /// Whether the table has room for what is written; `None` where that is no question, as on AWS.
    fn has_room(&self) -> Option<bool> {
        None
    }
}

/// What is known on AWS, where the API may read connectors' secrets and not channels'.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The kinds of channel that have a queue and a notifier.
    pub kinds: Vec<ChannelKind>,
    /// Where connectors' secrets are.
    pub secrets: Arc<Secrets>,
}

#[async_trait]
impl Liveness for Deployed {
    async fn channels(&self, config: &Config) -> Vec<State<ChannelName>> {
        let missing = config.channels.iter();
        let missing = missing.filter(|(_, channel)| !self.kinds.contains(&channel.kind));
        let missing = missing.map(|(name, channel)| State {
            name: name.clone(),
            problem: Some(format!(
                "its kind {} is not deployed; add `{}` to the stack's parameter Channels, build and \
                 deploy",
                channel.kind,
                channel.kind.in_stack()
            )),
            note: None,
        });
        missing.collect()
    }

    async fn connectors(&self, config: &Config) -> Vec<State<ConnectorName>> {
        let mut states = Vec::new();
        for (name, connector) in &config.connectors {
            let problem = match connector.common.enabled {
                true => self.secrets.all(&needed_secrets(&connector.settings)).await,
                false => Err("switched off".to_owned()),
            };
            states.push(State {
                name: name.clone(),
                problem: problem.err(),
                note: None,
            });
        }
        states
    }
}

/// Everything that others do for the API.
#[derive(Clone)]
pub struct Ports {
    /// Tells what can do its work.
    pub liveness: Arc<dyn Liveness>,
    /// Reads connectors.
    pub sync: Arc<dyn StartSync>,
    /// Applies what was received again.
    pub replay: Arc<dyn Replay>,
}

/// Nobody: every request for it is answered with "not installed".
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Default for Ports {
    fn default() -> Self {
        Self {
            liveness: Arc::new(Nobody),
            sync: Arc::new(Nobody),
            replay: Arc::new(Nobody),
        }
    }
}

#[async_trait]
impl Replay for ingest::Ingest {
    async fn replay(
        &self,
        selection: &Selection,
        cursor: Option<&str>,
    ) -> Result<Replayed, PortError> {
        let chosen = match &selection.id {
            Some(id) => ingest::Selection::One(id.clone()),
            None => ingest::Selection::Between {
                from: selection.from,
                until: selection.to,
            },
        };
        let replayed = Self::replay(self, &selection.connector, &chosen, cursor).await;
        let replayed = replayed.map_err(|error| match error {
            ingest::IngestError::Store(StoreError::Cursor) => PortError::Cursor,
            ingest::IngestError::Store(error) => PortError::Store(error),
            other => PortError::Refused(other.to_string()),
        })?;
        if let (Some(id), 0) = (&selection.id, replayed.webhooks) {
            let what = format!("payload `{id}` of {}", selection.connector);
            return Err(PortError::NotFound(what));
        }
        let failed = replayed.failed.into_iter();
        Ok(Replayed {
            received: replayed.webhooks,
            changed: replayed.outcome.applied,
            known: replayed.outcome.known,
            quarantined: replayed.outcome.quarantined,
            ignored: replayed.outcome.ignored,
            failed: failed.map(|(id, detail)| Failed { id, detail }).collect(),
            next: replayed.next,
        })
    }
}

#[async_trait]
impl Liveness for Nobody {
    async fn channels(&self, _: &Config) -> Vec<State<ChannelName>> {
        Vec::new()
    }

    async fn connectors(&self, _: &Config) -> Vec<State<ConnectorName>> {
        Vec::new()
    }
}

#[async_trait]
impl StartSync for Nobody {
    async fn start(&self, _: &ConnectorName) -> Result<Started, PortError> {
        Err(PortError::Absent("scheduled sync"))
    }
}

#[async_trait]
impl Replay for Nobody {
    async fn replay(&self, _: &Selection, _: Option<&str>) -> Result<Replayed, PortError> {
        Err(PortError::Absent("the record of what was received"))
    }
}
