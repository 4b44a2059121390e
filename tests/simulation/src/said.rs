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

impl Said {
    /// The name of the event in the ledger, where each telling of it has one.
    pub fn event(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Moved { source, event, .. }
            | Self::Sold { source, event, .. }
            | Self::Vehicle { source, event, .. } => Some((source, event)),
            Self::Promised { event, .. } => Some(("api", event)),
            Self::Level { .. } | Self::Unusable | Self::Remarkable => None,
        }
    }
}
