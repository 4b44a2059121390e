//! The one DynamoDB table: what it holds, and conditional writes to it.
//!
//! Every item carries a version (`v`); a write states which version it replaces, so that of two
//! writers one fails and looks again. No SDK type stands in a signature outside this module.
//!
//! | file | what it writes |
//! |---|---|
//! | [`keys`] | every key, and the questions it answers |
//! | [`schema`] | the table itself |
//! | [`spent`] | what it costs, as DynamoDB counts it |
//! | [`row`] | an item as it is stored |
//! | `spread` | busy lists, read in their order |
//! | `access` | conditional writes, queries, pages: the only calls of DynamoDB |
//! | [`stock`], [`units`], [`products`] | changes of stock, each with its ledger row |
//! | [`names`], [`orders`] | other systems' names for SKUs, and their order lines |
//! | [`waits`] | what waits for a name |
//! | [`together`] | many of them at once, in few calls |
//! | [`movements`], [`imports`] | what people and programs ask for through the API |
//! | [`doctor`] | nothing: reads the ledger against the state |
//! | [`alerts`], [`intents`] | what people are told |
//! | [`groups`] | alerts that are told together |
//! | [`resend`] | what is sent again once its channel is mended |
//! | [`breakers`] | which destinations are down, and who gets nothing |
//! | [`due`], [`heartbeat`] | what the clock looks at every minute |
//! | [`feeds`], [`runs`], [`stated`], [`snapshots`] | sources that are read on a schedule, what they state, and until when |
//! | [`quarantine`], [`inbox`] | what could not be applied, and what waits for a person |

mod access;
mod error;
pub mod keys;
pub mod row;
pub mod schema;
pub mod spent;
mod spread;

pub mod alerts;
pub mod breakers;
pub mod corrected;
pub mod doctor;
pub mod due;
pub mod feeds;
mod forward;
pub mod groups;
pub mod heard;
pub mod heartbeat;
pub mod held;
pub mod imports;
pub mod inbox;
pub mod intents;
pub mod jobs;
pub mod movements;
pub mod names;
pub mod orders;
pub mod products;
pub mod quarantine;
pub mod received;
mod renames;
pub mod resend;
pub mod runs;
pub mod settings;
pub mod snapshots;
pub mod stated;
pub mod stock;
pub mod together;
pub mod twice;
pub mod units;
pub mod unstated;
pub mod waits;

pub use error::{INSUFFICIENT_STORAGE, StoreError};
pub use row::{Expect, Page, Row, Stored, Write};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::domain::position::Writing;
use crate::domain::{ConnectorName, Correlation, Origin, Replayed};

/// The table.
#[derive(Debug, Clone)]
pub struct Store {
    client: aws_sdk_dynamodb::Client,
    table: String,
    clock: Clock,
    chance: Chance,
    spent: spent::Spent,
    snapshots: Arc<snapshots::Known>,
    applied_version: Arc<AtomicU64>,
    work: Option<Work>,
    replaying: Option<ConnectorName>,
    applied_again_until: Option<Timestamp>,
    along: Option<Write>,
    writing: Writing,
}

/// On whose behalf a store writes.
#[derive(Debug, Clone)]
struct Work {
    id: Correlation,
    since: Option<Timestamp>,
}

impl Store {
    /// A table reached through this client.
    pub fn new(
        client: aws_sdk_dynamodb::Client,
        table: impl Into<String>,
        clock: Clock,
        chance: Chance,
    ) -> Self {
        Self {
            client,
            table: table.into(),
            clock,
            chance,
            spent: spent::Spent::default(),
            snapshots: Arc::default(),
            applied_version: Arc::default(),
            work: None,
            replaying: None,
            applied_again_until: None,
            along: None,
            writing: Writing::One,
        }
    }

    /// The same table, written on behalf of one webhook, run or call: what is written carries its id.
    /// `since` is when it was taken in; what has no such moment counts from its writing.
    #[must_use]
    pub fn on_behalf_of(&self, id: Correlation, since: Option<Timestamp>) -> Self {
        Self {
            work: Some(Work { id, since }),
            ..self.clone()
        }
    }

    /// The same table, where each change of stock is one of many that come together: what stands in between
    /// is told to nobody.
    #[must_use]
    pub fn writing_many(&self) -> Self {
        Self {
            writing: self.writing.max(Writing::Many),
            ..self.clone()
        }
    }

    /// The same table, where each change of stock has waited for a name: what it says is past, and told only
    /// if nothing follows it.
    #[must_use]
    pub fn writing_late(&self) -> Self {
        Self {
            writing: Writing::Late,
            ..self.clone()
        }
    }

    /// The same table, where the items that are written say that this connector's webhooks are being applied
    /// again.
    #[must_use]
    pub fn replaying(&self, connector: &ConnectorName) -> Self {
        Self {
            replaying: Some(connector.clone()),
            ..self.clone()
        }
    }

    /// What an item that is written now says of replays.
    fn replayed(&self, before: Option<Replayed>, revision: u64) -> Option<Replayed> {
        let now = self.clock.now();
        match &self.replaying {
            Some(connector) => Some(Replayed {
                connector: connector.clone(),
                revision,
                at: now,
            }),
            None => before.filter(|replayed| replayed.is_recent(now)),
        }
    }

    /// The same table, where a change of stock is written together with this, or not at all.
    fn along_with(&self, along: Option<Write>) -> Self {
        Self {
            along,
            ..self.clone()
        }
    }

    /// Adds what goes along with a change of stock; answers where it stands.
    fn with_along(&self, writes: &mut Vec<Write>) -> Option<usize> {
        let along = self.along.clone()?;
        writes.push(along);
        Some(writes.len() - 1)
    }

    /// The same table with an account of its own for what it costs.
    #[must_use]
    pub fn with_own_account(&self) -> Self {
        Self {
            spent: spent::Spent::default(),
            ..self.clone()
        }
    }

    /// What is written now goes back to this, if it is known.
    pub fn origin(&self) -> Option<Origin> {
        let Work { id, since } = self.work.clone()?;
        let at = since.unwrap_or_else(|| self.clock.now());
        Some(Origin { id, at })
    }

    /// The id of what is written now.
    pub fn correlation(&self) -> Option<&Correlation> {
        Some(&self.work.as_ref()?.id)
    }

    /// A fresh id, for what nobody has named.
    pub fn fresh_correlation(&self) -> Option<Correlation> {
        self.chance.id(self.clock.now()).parse().ok()
    }

    /// The newest version of the configuration that was applied through this table or a clone of it.
    pub fn applied_version(&self) -> u64 {
        self.applied_version.load(Ordering::Acquire)
    }

    fn note_applied(&self, version: u64) {
        self.applied_version.fetch_max(version, Ordering::AcqRel);
    }

    /// What it has cost so far.
    pub fn spent(&self) -> spent::Units {
        self.spent.units()
    }

    /// What it has cost since this was last asked, by whichever clone.
    pub fn take_spent(&self) -> spent::Units {
        self.spent.take_new()
    }

    /// The clock that stamps what is written.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The dice that identifiers and jitter come from.
    pub fn chance(&self) -> &Chance {
        &self.chance
    }
}
