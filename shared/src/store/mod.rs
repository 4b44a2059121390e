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
//! | `access` | conditional writes, queries, pages: the only calls of DynamoDB |
//! | [`stock`], [`units`], [`products`] | changes of stock, each with its ledger row |
//! | [`movements`], [`imports`] | what people and programs ask for through the API |
//! | [`doctor`] | nothing: reads the ledger against the state |
//! | [`alerts`], [`intents`] | what people are told |
//! | [`groups`] | alerts that are told together |
//! | [`breakers`] | which destinations are down |
//! | [`due`], [`heartbeat`] | what the clock looks at every minute |
//! | [`feeds`], [`runs`], [`missing`] | sources that are read on a schedule |
//! | [`quarantine`], [`inbox`] | what could not be applied, and what waits for a person |

mod access;
mod error;
pub mod keys;
pub mod row;
pub mod schema;
pub mod spent;

pub mod alerts;
pub mod breakers;
pub mod doctor;
pub mod due;
pub mod feeds;
pub mod groups;
pub mod heartbeat;
pub mod imports;
pub mod inbox;
pub mod intents;
pub mod jobs;
pub mod missing;
pub mod movements;
pub mod products;
pub mod quarantine;
pub mod received;
pub mod runs;
pub mod settings;
pub mod stock;
pub mod units;

pub use error::StoreError;
pub use row::{Expect, Page, Row, Stored, Write};

use crate::chance::Chance;
use crate::clock::Clock;

/// The table.
#[derive(Debug, Clone)]
pub struct Store {
    client: aws_sdk_dynamodb::Client,
    table: String,
    clock: Clock,
    chance: Chance,
    spent: spent::Spent,
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
        }
    }

    /// What it has cost so far.
    pub fn spent(&self) -> spent::Units {
        self.spent.units()
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
