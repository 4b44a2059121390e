//! A source's health, and when its last complete snapshot was read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::keys::{self, Key};
use super::row::{Expect, Row, Stored};
use super::{Store, StoreError};
use crate::domain::Origin;
use crate::domain::id::ConnectorName;
pub use crate::domain::watch::Moment;

/// What is known of a source that is read on a schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedState {
    /// When the last complete snapshot that was applied had been read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_at: Option<Moment>,
    /// When a read last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded_at: Option<Moment>,
    /// When a read was last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Moment>,
    /// Why the last read was not believed, a sentence each; empty when all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspicions: Vec<String>,
    /// Why the last try failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What the last change goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What the source's own module remembers between runs.
    #[serde(default)]
    pub memory: serde_json::Value,
}

pub(crate) fn feed_key(connector: &ConnectorName) -> Key {
    Key::new(keys::connector(connector), "feed")
}

impl Store {
    /// A source's health.
    pub async fn feed(
        &self,
        connector: &ConnectorName,
    ) -> Result<Option<Stored<FeedState>>, StoreError> {
        self.get("read a feed's state", &feed_key(connector)).await
    }

    /// Writes a source's health: `false` if somebody else did since it was read.
    pub async fn save_feed(
        &self,
        connector: &ConnectorName,
        state: &FeedState,
        expect: Expect,
    ) -> Result<bool, StoreError> {
        let row = Row::new(feed_key(connector), "feed", state)?;
        self.put("write a feed's state", row, expect).await
    }

    /// Changes a source's health, whoever else does so at the same time.
    pub async fn change_feed(
        &self,
        connector: &ConnectorName,
        change: impl Fn(&mut FeedState),
    ) -> Result<FeedState, StoreError> {
        const OPERATION: &str = "change a feed's state";
        for attempt in 0.. {
            let stored = self.feed(connector).await?;
            let mut state = stored
                .as_ref()
                .map_or_else(FeedState::default, |stored| stored.data.clone());
            change(&mut state);
            if stored.as_ref().is_some_and(|stored| stored.data == state) {
                return Ok(state);
            }
            state.origin = self.origin();
            let expect = Expect::from_read(stored.as_ref());
            if self.save_feed(connector, &state, expect).await? {
                return Ok(state);
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// When each of these sources' snapshots last confirmed what we hold.
    pub async fn confirmed(
        &self,
        connectors: impl IntoIterator<Item = &ConnectorName>,
    ) -> Result<BTreeMap<ConnectorName, Timestamp>, StoreError> {
        let mut confirmed = BTreeMap::new();
        for connector in connectors {
            if let Some(at) = self
                .feed(connector)
                .await?
                .and_then(|feed| feed.data.snapshot_at)
            {
                confirmed.insert(connector.clone(), at.0);
            }
        }
        Ok(confirmed)
    }
}
