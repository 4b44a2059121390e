//! What happened to stock, in the terms every connector speaks.
//!
//! A change is either **absolute** ("there are 4") and carries the source's version, or a **delta**
//! ("one was sold") and carries an event id. The two need different care: see [`super::position`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use super::id::EventId;
use super::id::{ConnectorName, LocationId, Sku};
use super::item::ItemStatement;
use super::order::OrderLine;
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
        /// What the source calls the place, if it named one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        called: Option<String>,
    },
    /// The source states how much there is of one of its own items.
    Item(Box<ItemStatement>),
    /// The source states no longer how much there is.
    LevelEnded {
        /// The product.
        product: ProductId,
        /// Where it lay.
        location: LocationId,
        /// Since when.
        version: Version,
    },
    /// The source can state nothing there any more, as it is not there, or has no name for the place; or
    /// what it meant by a name was at another place.
    SourceGone {
        /// The product.
        product: ProductId,
        /// Where it lay.
        location: LocationId,
        /// By which name it was said that leads elsewhere now; unset: all that it said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        called: Option<String>,
    },
    /// A product is missing from what its source lists whole: none is left there, unless somebody else has
    /// stated it since that source last did.
    Missing {
        /// The product.
        product: ProductId,
        /// Where it lay.
        location: LocationId,
        /// Since when.
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
        /// What the source calls the place, if it named one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        called: Option<String>,
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
        /// What the source calls the place, if it named one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        called: Option<String>,
    },
    /// An order's line as it is now, with what came back of it.
    OrderLine(Box<OrderLine>),
    /// A source's word on one vehicle.
    Unit(Box<UnitReport>),
    /// A product's description, and the names other systems have for it.
    Described(ProductDescription),
    /// Which of its items a source still offers.
    Offered(Offer),
}

/// How much there is. A quantity that the source did not state is `None`, never zero, and leaves what it
/// stated of that before as it was.
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
    /// Units that are there and cannot be sold: damaged, in quality control, safety stock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<i64>,
}

impl Level {
    /// None is there, promised, on the way or set aside.
    pub const NOTHING: Self = Self {
        on_hand: 0,
        reserved: Some(0),
        incoming: Some(0),
        unavailable: Some(0),
    };

    /// A level from what a source states of it, or `None` if it states neither what is on hand nor
    /// what is available.
    ///
    /// A stated `available` is what can be sold: what it is less than on hand without being reserved
    /// is there and unavailable. A larger one than the rest allows is not believed. It says of the
    /// units that cannot be sold how many there are, if only that there are none: what was stated of
    /// them before is over.
    pub fn stated(
        on_hand: Option<i64>,
        available: Option<i64>,
        reserved: Option<i64>,
        incoming: Option<i64>,
        unavailable: Option<i64>,
    ) -> Option<Self> {
        let Some(available) = available else {
            return on_hand.map(|on_hand| Self {
                on_hand,
                reserved,
                incoming,
                unavailable,
            });
        };
        let promised = reserved.unwrap_or(0);
        let set_aside = unavailable.unwrap_or(0);
        let (on_hand, unavailable) = match on_hand {
            Some(on_hand) => {
                let unsold = on_hand.saturating_sub(promised).saturating_sub(available);
                (on_hand, unsold.max(set_aside).max(0))
            }
            None => {
                let on_hand = available.saturating_add(promised).saturating_add(set_aside);
                (on_hand, set_aside)
            }
        };
        Some(Self {
            on_hand,
            reserved: Some(promised),
            incoming,
            unavailable: Some(unavailable),
        })
    }

    /// Whether the other says all that this one does.
    pub fn adds_nothing_to(&self, other: &Self) -> bool {
        let same = |this: Option<i64>, other| this.is_none() || this == other;
        self.on_hand == other.on_hand
            && same(self.reserved, other.reserved)
            && same(self.incoming, other.incoming)
            && same(self.unavailable, other.unavailable)
    }

    /// What can be sold by this statement alone.
    pub fn sellable(&self) -> i64 {
        let promised = self.reserved.unwrap_or(0);
        let set_aside = self.unavailable.unwrap_or(0);
        self.on_hand
            .saturating_sub(promised)
            .saturating_sub(set_aside)
    }

    /// Two parts of one stock. What neither states stays unstated.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let sum = |a: Option<i64>, b: Option<i64>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
        };
        Self {
            on_hand: self.on_hand.saturating_add(other.on_hand),
            reserved: sum(self.reserved, other.reserved),
            incoming: sum(self.incoming, other.incoming),
            unavailable: sum(self.unavailable, other.unavailable),
        }
    }
}

/// Which of its items a source offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What sort of name the items have: `inventory_item`.
    pub kind: String,
    /// The source's name for what the items belong to, where that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The items.
    pub names: Vec<String>,
    /// Whether `product` has no other items.
    pub complete: bool,
    /// Whether they can be sold; unset says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<bool>,
    /// When this was true.
    pub version: Version,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_and_cannot_be_sold_is_not_available() {
        // A row of Shopify's inventory export.
        let level = Level::stated(Some(10), Some(3), Some(2), None, Some(5)).unwrap();
        assert_eq!((level.on_hand, level.unavailable), (10, Some(5)));
        assert_eq!(level.sellable(), 3);
    }

    #[test]
    fn a_stated_available_is_what_can_be_sold() {
        let sellable = |on_hand, available, reserved, unavailable| {
            let level = Level::stated(on_hand, available, reserved, None, unavailable);
            level.map(|level| (level.on_hand, level.sellable()))
        };
        assert_eq!(sellable(Some(10), Some(3), None, None), Some((10, 3)));
        assert_eq!(sellable(None, Some(3), Some(2), None), Some((5, 3)));
        assert_eq!(sellable(None, Some(-3), None, None), Some((-3, -3)));
        assert_eq!(sellable(Some(0), Some(-3), Some(3), None), Some((0, -3)));
        assert_eq!(sellable(Some(10), None, Some(2), Some(5)), Some((10, 3)));
        // More available than the rest allows: the lower one is safe.
        assert_eq!(sellable(Some(10), Some(9), Some(2), None), Some((10, 8)));
        assert_eq!(sellable(None, None, Some(2), Some(1)), None, "not stocked");
    }

    #[test]
    fn a_stated_available_says_of_what_cannot_be_sold_that_it_is_no_more() {
        let level = |on_hand, available| Level::stated(on_hand, available, None, None, None);
        for on_hand in [Some(10), None] {
            let all = level(on_hand, Some(10)).unwrap();
            assert_eq!((all.reserved, all.unavailable), (Some(0), Some(0)));
        }
        let silent = level(Some(10), None).unwrap();
        assert_eq!((silent.reserved, silent.unavailable), (None, None));
    }
}
