//! Until when a source's whole files cover what they state, kept once a source instead of on each of
//! its positions.
//!
//! A whole file's row that repeats what its source said, where nothing has moved since, is not written:
//! the position reads the same. Only a change that comes late, dated before such a file was written,
//! can tell the difference. Before one is applied, the position is brought up to the file
//! ([`Store::caught_up`]), but for what the file left out, as one in doubt may leave out much; so the outcome is the one that it had if every row were written, and reading
//! a position takes nothing but the position.
//!
//! While a file is read and compared, a late change can slip in behind the comparison. It is noted
//! then, and looked at again when the file is done ([`Store::cover`]).

use std::collections::HashMap;
use std::sync::Mutex;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::feeds::Moment;
use super::keys::{self, Key};
use super::row::{Expect, Row, Stored, Written};
use super::stated::Item;
use super::stock::Cause;
use super::{Store, StoreError};
use crate::domain::Position;
use crate::domain::event::EventId;
use crate::domain::id::ConnectorName;
use crate::domain::position::Sources;
use crate::installation::KEPT;

/// Until when a source's whole files cover what they state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When the latest whole file that was applied had been written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// When the file had been written that is being applied, or was last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Moment>,
}

/// What this process knows of snapshots, and when it asked.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<ConnectorName, (Timestamp, Snapshot)>>);

impl Known {
    fn get(&self, source: &ConnectorName, now: Timestamp) -> Option<Snapshot> {
        let known = self.0.lock().ok()?;
        let (asked_at, snapshot) = known.get(source)?;
        let fresh = jiff::SignedDuration::ZERO..KEPT;
        fresh
            .contains(&now.duration_since(*asked_at))
            .then_some(*snapshot)
    }

    fn set(&self, source: &ConnectorName, now: Timestamp, snapshot: Snapshot) {
        if let Ok(mut known) = self.0.lock() {
            known.insert(source.clone(), (now, snapshot));
        }
    }
}

/// A position as it is with all that whole files have said of it.
#[derive(Debug)]
pub(super) struct CaughtUp {
    pub(super) position: Position,
    /// Sources that are being read by files which may cover the change.
    pub(super) being_read: Vec<ConnectorName>,
}

impl CaughtUp {
    /// A position that no whole file says more of.
    pub(super) const fn as_it_is(position: Position) -> Self {
        Self {
            position,
            being_read: Vec::new(),
        }
    }
}

fn key(source: &ConnectorName) -> Key {
    Key::new(keys::connector(source), "snapshot")
}

impl Store {
    /// Until when a source's whole files cover what they state, as it was at most a second ago.
    pub async fn snapshot(&self, source: &ConnectorName) -> Result<Snapshot, StoreError> {
        match self.snapshots.get(source, self.clock.now()) {
            Some(known) => Ok(known),
            None => self.snapshot_now(source).await,
        }
    }

    async fn snapshot_now(&self, source: &ConnectorName) -> Result<Snapshot, StoreError> {
        let asked_at = self.clock.now();
        let stored: Option<Stored<Snapshot>> = self
            .get("read a source's last snapshot", &key(source))
            .await?;
        let snapshot = stored.map(|stored| stored.data).unwrap_or_default();
        self.snapshots.set(source, asked_at, snapshot);
        Ok(snapshot)
    }

    async fn save_snapshot(
        &self,
        source: &ConnectorName,
        snapshot: Snapshot,
    ) -> Result<(), StoreError> {
        let row = Row::new(key(source), "snapshot", &snapshot)?;
        // Only the holder of the source's lease writes it.
        self.put("write a source's last snapshot", row, Expect::Anything)
            .await?;
        self.snapshots.set(source, self.clock.now(), snapshot);
        Ok(())
    }

    /// Says that a whole file is about to be compared with the table.
    pub async fn begin_snapshot(
        &self,
        source: &ConnectorName,
        written_at: Timestamp,
    ) -> Result<Snapshot, StoreError> {
        let before = self.snapshot_now(source).await?;
        let reading = before.reading.max(Some(Moment(written_at)));
        let begun = Snapshot { reading, ..before };
        if begun != before {
            self.save_snapshot(source, begun).await?;
        }
        Ok(begun)
    }

    /// Says that a whole file is applied: it covers what its source states, but for what is noted not
    /// to be stated. What moved late meanwhile is looked at again.
    pub async fn cover(
        &self,
        source: &ConnectorName,
        written_at: Timestamp,
        event: &EventId,
        sources: &Sources,
    ) -> Result<(), StoreError> {
        let before = self.snapshot_now(source).await?;
        let at = before.at.max(Some(Moment(written_at)));
        self.save_snapshot(source, Snapshot { at, ..before })
            .await?;
        for item in self.late(source).await? {
            self.bring_up(source, &item, written_at, event, sources)
                .await?;
            self.forget_late(source, &item).await?;
        }
        Ok(())
    }

    /// The position with what whole files have repeated of it and nobody has written, as far as a
    /// change that is dated then can tell. `by`: whose statement the change is, if it is one.
    pub(super) async fn caught_up(
        &self,
        mut position: Position,
        then: Timestamp,
        by: Option<&ConnectorName>,
        sources: &Sources,
    ) -> Result<CaughtUp, StoreError> {
        let stated: Vec<_> = position
            .stated_before(then)
            .filter(|source| sources.whole_files.contains(*source))
            .cloned()
            .collect();
        let mut being_read = Vec::new();
        for source in stated {
            let Snapshot { at, reading } = self.snapshot(&source).await?;
            // A statement of the file's own instant is the file's own row.
            let own = by == Some(&source) && reading == Some(Moment(then));
            if reading > at && reading >= Some(Moment(then)) && !own {
                being_read.push(source.clone());
            }
            let Some(at) = at.filter(|at| at.0 >= then) else {
                continue;
            };
            // It is late. That is rare, so this is the place to look closer.
            let item = Item::Position {
                product: position.product.clone(),
                location: position.location.clone(),
            };
            if let Some(stated) = self.stated_item(&source, &item).await? {
                let until = stated.until.unwrap_or(at);
                position = position.caught_up(&source, until.0);
            }
        }
        Ok(CaughtUp {
            position,
            being_read,
        })
    }

    /// After a change was written that a file being read may cover: if that file is done by now, it may
    /// have been compared before the change was there.
    pub(super) async fn settle_late(
        &self,
        being_read: &[ConnectorName],
        item: &Item,
        then: Timestamp,
        event: &EventId,
        sources: &Sources,
    ) -> Result<(), StoreError> {
        for source in being_read {
            let covered = self.snapshot_now(source).await?.at;
            if covered >= Some(Moment(then)) {
                self.bring_up(source, item, then, event, sources).await?;
            }
        }
        Ok(())
    }

    /// Writes down what a whole file covers of a position.
    async fn bring_up(
        &self,
        source: &ConnectorName,
        item: &Item,
        then: Timestamp,
        event: &EventId,
        sources: &Sources,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "bring a position up to its file";
        let Item::Position { product, location } = item else {
            return Ok(());
        };
        for attempt in 0.. {
            let key = keys::position(product, location);
            let Some(stored) = self.get::<Position>(OPERATION, &key).await? else {
                return Ok(());
            };
            let before = stored.data.clone();
            let after = self.caught_up(before.clone(), then, None, sources).await?;
            if after.position == before {
                return Ok(());
            }
            let cause = Cause {
                source,
                event,
                actor: None,
                reason: None,
                change: "level_set",
            };
            let (writes, _) =
                self.recorded(&cause, Some(&stored), &before, after.position, sources)?;
            if self.transact(OPERATION, writes.into()).await? == Written::Done {
                return Ok(());
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }
}
