//! What a source's complete snapshots have stopped mentioning, and in how many in a row (F13).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::feeds::Moment;
use super::keys::{self, Key};
use super::row::{Expect, Row, Stored, read};
use super::{Store, StoreError};
use crate::domain::id::{ConnectorName, LocationId};
use crate::domain::{ProductId, Vin};

/// What a snapshot speaks of, row by row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// A product at a location.
    Position {
        /// The product.
        product: ProductId,
        /// The location.
        location: LocationId,
    },
    /// A vehicle.
    Unit {
        /// The vehicle.
        vin: Vin,
    },
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position { product, location } => write!(f, "{product} at {location}"),
            Self::Unit { vin } => write!(f, "{vin}"),
        }
    }
}

/// Something that was there, and is no longer mentioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What.
    pub item: Item,
    /// From how many complete snapshots in a row.
    pub snapshots: u16,
    /// The last of them, so that one snapshot counts once.
    pub snapshot: String,
    /// When it was first missed.
    pub since: Moment,
}

fn key(connector: &ConnectorName, item: &Item) -> Key {
    let name = match item {
        Item::Position { product, location } => format!("L#{location}#{product}"),
        Item::Unit { vin } => format!("U#{vin}"),
    };
    Key::new(keys::connector(connector), format!("missing#{name}"))
}

impl Store {
    /// Everything that a source's snapshots have stopped mentioning and that is not removed yet.
    pub async fn missing(
        &self,
        connector: &ConnectorName,
    ) -> Result<Vec<Stored<Missing>>, StoreError> {
        const OPERATION: &str = "read what is missing";
        self.partition(OPERATION, &keys::connector(connector), "missing#")
            .await?
            .into_iter()
            .map(|(_, item)| read(OPERATION, item))
            .collect()
    }

    /// Records that something is missing.
    pub async fn save_missing(
        &self,
        connector: &ConnectorName,
        missing: &Missing,
    ) -> Result<(), StoreError> {
        let row = Row::new(key(connector, &missing.item), "missing", missing)?;
        // Only the holder of the source's lease writes these.
        self.put("record what is missing", row, Expect::Anything)
            .await?;
        Ok(())
    }

    /// Forgets that something was missing: it is back, or removed.
    pub async fn clear_missing(
        &self,
        connector: &ConnectorName,
        item: &Item,
    ) -> Result<(), StoreError> {
        self.delete(
            "forget what was missing",
            &key(connector, item),
            Expect::Anything,
        )
        .await?;
        Ok(())
    }
}
