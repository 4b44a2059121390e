//! What waits for a name: webhooks of which a row is in quarantine until the name is known.
//!
//! Whoever finds a name unknown writes down that the webhook waits, and then looks the name up once
//! more. Whoever learns the name makes what waits for it due again, in the write that takes it off the
//! list. So one of the two sees the other, whichever comes first, and what is due the clock applies.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::keys::{self, Key};
use super::received::{Received, ReceivedState, received_row};
use super::row::{Expect, Row, Stored, Write, Written};
use super::{Store, StoreError};
use crate::domain::id::ConnectorName;
use crate::domain::watch::Moment;

const OPERATION: &str = "apply what waited for a name";
/// Webhooks released in one step.
const PAGE: i32 = 100;
/// The kind of name that a configuration gives: it is learnt by all connectors at once.
pub(super) const LOCATION: &str = "location";
/// How long after a configuration came into force somebody may still read by the one before.
const SETTLED: SignedDuration = SignedDuration::from_secs(60);

/// A configuration came into force, and may name what something waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNames {
    /// The configuration's version.
    pub version: u64,
    due: Moment,
    /// Whether it is done but for those who still read by the configuration before.
    last: bool,
}

impl NewNames {
    pub(super) fn is_due(&self, by: Timestamp) -> bool {
        self.due.0 <= by
    }

    fn row(&self) -> Result<Row, StoreError> {
        Ok(Row::new(keys::new_names(), "new_names", self)?.due(Some(self.due.0)))
    }
}

impl Store {
    /// Notes that a webhook waits for a name. Look the name up once more after this.
    pub async fn wait_for_name(
        &self,
        received: &Received,
        kind: &str,
        name: &str,
    ) -> Result<(), StoreError> {
        let connector = &received.connector;
        if kind == LOCATION {
            let row = Row::new(keys::awaited_location(connector, name), "awaited", &name)?;
            let row = row.expires(received.expires());
            self.put(OPERATION, row, Expect::Anything).await?;
        }
        let key = keys::wait(connector, kind, name, &received.id);
        let row = Row::new(key, "wait", &received.id)?.expires(received.expires());
        self.put(OPERATION, row, Expect::Anything).await?;
        Ok(())
    }

    /// Makes due what waits for a name that is known now. May be repeated.
    pub async fn release_waiting(
        &self,
        connector: &ConnectorName,
        kind: &str,
        name: &str,
    ) -> Result<(), StoreError> {
        let partition = keys::waits(connector, kind, name);
        let mut cursor: Option<String> = None;
        loop {
            let page = self
                .page_of_partition::<String>(OPERATION, &partition, "", cursor.as_deref(), PAGE)
                .await?;
            for waiting in page.items {
                self.release(connector, &waiting).await?;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn release(
        &self,
        connector: &ConnectorName,
        waiting: &Stored<String>,
    ) -> Result<(), StoreError> {
        for attempt in 0.. {
            let delete = Write::Delete(waiting.key.clone(), Expect::Anything);
            let mut writes = vec![delete];
            if let Some(stored) = self.received(connector, &waiting.data).await? {
                // Written even where it is due already: whoever is at work on it may have looked
                // before the name was known, and is not to mark it as applied.
                let due = Received {
                    state: ReceivedState::Waiting,
                    again_at: None,
                    tries: 0,
                    ..stored.data
                };
                writes.push(Write::Put(
                    received_row(&due)?,
                    Expect::Version(stored.version),
                ));
            }
            if self.transact(OPERATION, writes).await? == Written::Done {
                return Ok(());
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// Makes due what waits for locations of a connector that are known now.
    pub async fn release_locations(
        &self,
        connector: &ConnectorName,
        known: impl Fn(&str) -> bool + Send,
    ) -> Result<(), StoreError> {
        let partition = keys::awaited_locations(connector);
        let mut cursor: Option<String> = None;
        loop {
            let page = self
                .page_of_partition::<String>(OPERATION, &partition, "", cursor.as_deref(), PAGE)
                .await?;
            for awaited in page.items.iter().filter(|awaited| known(&awaited.data)) {
                // First, so that who begins to wait meanwhile is listed again.
                self.delete(OPERATION, &awaited.key, Expect::Anything)
                    .await?;
                self.release_waiting(connector, LOCATION, &awaited.data)
                    .await?;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// Written with a configuration: the clock looks what waits for its names.
    pub(super) fn new_names(&self, version: u64) -> Result<Write, StoreError> {
        let names = NewNames {
            version,
            due: Moment(self.clock.now()),
            last: false,
        };
        Ok(Write::Put(names.row()?, Expect::Anything))
    }

    /// Notes that what waited for a configuration's names is due. Once more after a while, for those
    /// who still read by the configuration before; then it is done.
    pub async fn names_released(&self, stored: &Stored<NewNames>) -> Result<(), StoreError> {
        let expect = Expect::Version(stored.version);
        if stored.data.last {
            self.delete(OPERATION, &stored.key, expect).await?;
            return Ok(());
        }
        let now = self.clock.now();
        let again = NewNames {
            due: Moment(now.checked_add(SETTLED).unwrap_or(Timestamp::MAX)),
            last: true,
            ..stored.data
        };
        self.put(OPERATION, again.row()?, expect).await?;
        Ok(())
    }
}

/// The key is that of a configuration whose names were learnt.
pub(super) fn is_new_names(key: &Key) -> bool {
    *key == keys::new_names()
}
