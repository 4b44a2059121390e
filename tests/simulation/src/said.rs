//! What the fakes say has happened, in their own terms: what the model computes from, and what the
//! checks look for.

use jiff::Timestamp;
use jiff::civil::Date;

/// One thing that was said, by a sender or by a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// "There are so many."
    Level {
        /// The connector that says so.
        source: &'static str,
        /// The product.
        sku: String,
        /// Where.
        place: &'static str,
        /// How many.
        on_hand: i64,
        /// When that was true, by the sender's clock.
        at: Timestamp,
    },
    /// Stock came (positive) or went.
    Moved {
        /// The connector, or `api`.
        source: &'static str,
        /// The event's name in the ledger.
        event: String,
        /// The product.
        sku: String,
        /// Where.
        place: &'static str,
        /// How many.
        delta: i64,
        /// When.
        at: Timestamp,
    },
    /// Units were sold.
    Sold {
        /// The connector, or `api`.
        source: &'static str,
        /// The event's name in the ledger.
        event: String,
        /// The product.
        sku: String,
        /// Where.
        place: &'static str,
        /// How many.
        quantity: i64,
        /// Whether on hand falls by it.
        deducts: bool,
        /// When.
        at: Timestamp,
    },
    /// Units were promised (positive), or given back.
    Promised {
        /// The request's key.
        event: String,
        /// The product.
        sku: String,
        /// Where.
        place: &'static str,
        /// How many.
        units: i64,
    },
    /// "Of this item there are so many": the shop counts items of its own, which stand for products.
    Item {
        /// The item.
        item: u64,
        /// Where.
        place: &'static str,
        /// How many; nothing where it is not kept any more.
        on_hand: Option<i64>,
        /// When that was true, by the shop's clock.
        at: Timestamp,
    },
    /// Which product an item stands for.
    Described {
        /// The item.
        item: u64,
        /// The product.
        sku: &'static str,
        /// Since when, by the shop's clock.
        at: Timestamp,
    },
    /// Whether an item is still offered, or has come to its end.
    Offered {
        /// The item.
        item: u64,
        /// Whether it is.
        offered: bool,
        /// Since when, by the shop's clock.
        at: Timestamp,
    },
    /// Something that happened to an order's line. A message tells of all that has happened so far, so
    /// each is told of many times.
    Line {
        /// The order and the line in it.
        line: (u32, u32),
        /// What it sells.
        sku: &'static str,
        /// What happened.
        what: Happened,
    },
    /// Somebody counted what lies on the shelf.
    Counted {
        /// The product.
        sku: String,
        /// Where.
        place: &'static str,
        /// How many.
        on_hand: i64,
        /// When.
        at: Timestamp,
    },
    /// A word on a vehicle.
    Vehicle {
        /// The connector that says so.
        source: &'static str,
        /// The event's name in the ledger.
        event: String,
        /// The vehicle.
        vin: &'static str,
        /// Its state, if the word is about that.
        state: Option<&'static str>,
        /// Which rooftop has it.
        place: &'static str,
        /// Since which day it is in stock there, if the word says so.
        since: Option<Date>,
        /// When, by the sender's clock.
        at: Timestamp,
    },
    /// Something that cannot be used, and must be held for a person.
    Unusable,
    /// Beside what can be used, a fact that cannot, and must be held for a person.
    Remarkable,
}

/// What happens to an order's line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happened {
    /// It was ordered.
    Ordered {
        /// Units.
        quantity: i64,
        /// Where they are taken from.
        place: &'static str,
        /// When, by the shop's clock.
        at: Timestamp,
    },
    /// The order was told of, as it was then.
    Told {
        /// When, by the shop's clock.
        at: Timestamp,
    },
    /// Units were taken off the order again.
    Removed {
        /// Tells it from the others.
        number: u32,
        /// Units.
        units: i64,
        /// As of when that was told, by the shop's clock.
        told: Timestamp,
    },
    /// Units were refunded.
    Refunded {
        /// Tells it from the others.
        number: u32,
        /// Units.
        units: i64,
        /// Where they are back on the shelf, if they are.
        back_to: Option<&'static str>,
        /// When, by the shop's clock.
        at: Timestamp,
    },
    /// The order was cancelled: nobody wants any of it.
    Cancelled,
}

impl Said {
    /// The name of the event in the ledger, where each telling of it has one.
    pub fn event(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Moved { source, event, .. }
            | Self::Sold { source, event, .. }
            | Self::Vehicle { source, event, .. } => Some((source, event)),
            Self::Promised { event, .. } => Some(("api", event)),
            // These are statements: which of them change anything is for the model to say.
            Self::Level { .. }
            | Self::Item { .. }
            | Self::Described { .. }
            | Self::Offered { .. }
            | Self::Line { .. }
            | Self::Counted { .. }
            | Self::Unusable
            | Self::Remarkable => None,
        }
    }
}
