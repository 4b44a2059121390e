//! What happened to stock, in the terms every connector speaks.
//!
//! A change is either **absolute** ("there are 4") and carries the source's version, or a **delta**
//! ("one was sold") and carries an event id. The two need different care: see [`super::position`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use super::id::EventId;
use super::id::{ConnectorName, LocationId, Sku};
use super::product::ProductId;
use super::unit::UnitReport;

/// The source's own order of its absolute statements: its time first, then its sequence number.
///
/// Never our clock: two statements of one source compare the same wherever and whenever they arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// When the statement was true, by the source's clock (for a snapshot: when it was read).
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// Breaks ties between statements of the same instant; 0 where the source has none.
    #[serde(default)]
    pub sequence: u64,
}

impl Version {
    /// A version with no sequence number.
    pub fn at(at: Timestamp) -> Self {
        Self { at, sequence: 0 }
    }

    /// The version as it is kept: in whole milliseconds. Compared any finer, a statement would be
    /// newer than itself once it has been stored.
    #[must_use]
    pub fn kept(self) -> Self {
        let at = Timestamp::from_millisecond(self.at.as_millisecond()).unwrap_or(self.at);
        Self { at, ..self }
    }
}

/// One change, ready to be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockEvent {
    /// The event's name within its source.
    pub id: EventId,
    /// The connector that reported it (`api` for people and programs using our own API).
    pub source: ConnectorName,
    /// When it happened, by the source's clock.
    pub at: Timestamp,
    /// Who did it, when the source says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What changed.
    pub change: Change,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Change {
    /// The source states how much there is.
    LevelSet {
        /// The product.
        product: ProductId,
        /// Where it lies.
        location: LocationId,
        /// What the source states.
        level: Level,
        /// When that was true.
        version: Version,
    },
    /// Stock came or went.
    Moved {
        /// The product.
        product: ProductId,
        /// Where it lies.
        location: LocationId,
        /// Units; positive is in, negative is out.
        delta: i64,
        /// Why it moved.
        reason: MoveReason,
    },
    /// Units were sold. Counts as demand; takes stock away only if `deducts`, because a source that
    /// states levels has already taken the sale into account.
    Sold {
        /// The product.
        product: ProductId,
        /// Where it was sold from.
        location: LocationId,
        /// Units, positive.
        quantity: i64,
        /// Whether on hand falls by it.
        deducts: bool,
    },
    /// A source's word on one vehicle.
    Unit(Box<UnitReport>),
    /// A product's description, and the names other systems have for it.
    Described(ProductDescription),
}

/// How much there is. A quantity that the source did not state is `None`, never zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Units physically there (or, for sources that only know it, available there).
    pub on_hand: i64,
    /// Units promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<i64>,
    /// Units on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incoming: Option<i64>,
}

/// Why stock moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveReason {
    /// Goods arrived.
    Receipt,
    /// A customer brought something back.
    Return,
    /// A count, breakage, or another correction.
    Adjustment,
    /// Moved in from another location.
    TransferIn,
    /// Moved out to another location.
    TransferOut,
}

/// What a source says of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductDescription {
    /// The SKU.
    pub sku: Sku,
    /// When this was true.
    pub version: Version,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The category, for rules and routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The source's names for it, by kind: `inventory_item` → `30322695`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub external: BTreeMap<String, String>,
}

/// Timestamps as whole milliseconds: compact in the table, and one spelling for a hash.
pub mod millis {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes milliseconds since 1970.
    pub fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.as_millisecond())
    }

    /// Reads milliseconds since 1970.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let at = i64::deserialize(from)?;
        Timestamp::from_millisecond(at).map_err(serde::de::Error::custom)
    }
}
