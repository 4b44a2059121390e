//! What people are told, and about what.

use serde::{Deserialize, Serialize};

use super::id::{ConnectorName, GroupName, LocationId};
use super::product::ProductId;

/// Declares a fieldless enum with the snake-case name that configuration, keys and messages use.
macro_rules! named {
    ($(#[$doc:meta])* $enum:ident { $($(#[$variant_doc:meta])* $variant:ident => $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $enum { $($(#[$variant_doc])* #[serde(rename = $name)] $variant),+ }

        impl $enum {
            /// Every value, in declaration order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in configuration, keys and messages.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use named;

named!(
    /// What an alert is about.
    AlertKind {
        /// The quantity fell to its threshold.
        LowStock => "low_stock",
        /// Nothing is left.
        OutOfStock => "out_of_stock",
        /// There is stock again after there was none.
        BackInStock => "back_in_stock",
        /// It sells faster than the rule expects.
        HighDemand => "high_demand",
        /// A source has not been read for too long.
        FeedStale => "feed_stale",
        /// A source sent something that cannot be believed: cut short, columns changed, a mass removal.
        FeedSuspect => "feed_suspect",
        /// One vehicle, two owners.
        Conflict => "conflict",
    }
);

named!(
    /// How much it matters.
    Severity {
        /// Good to know.
        Info => "info",
        /// Somebody should act.
        Warning => "warning",
        /// Somebody should act now.
        Critical => "critical",
    }
);

named!(
    /// Where an alert stands.
    AlertState {
        /// Told, and not yet over.
        Open => "open",
        /// Over.
        Resolved => "resolved",
    }
);

named!(
    /// What a revision says about its alert.
    RevisionKind {
        /// It began.
        Opened => "opened",
        /// Something about it changed that is worth telling.
        Updated => "updated",
        /// It became more serious.
        Escalated => "escalated",
        /// It is over.
        Resolved => "resolved",
    }
);

/// What an alert is attached to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "on", rename_all = "snake_case")]
pub enum Subject {
    /// One product at one location.
    Position {
        /// The product.
        product: ProductId,
        /// The location.
        location: LocationId,
    },
    /// One product over a group of locations, summed.
    Group {
        /// The product.
        product: ProductId,
        /// The group.
        group: GroupName,
    },
    /// One vehicle.
    Unit {
        /// Its identification number.
        vin: String,
    },
    /// One source of stock.
    Connector {
        /// Its name.
        connector: ConnectorName,
    },
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Position { product, location } => write!(f, "{product} at {location}"),
            Self::Group { product, group } => write!(f, "{product} in {group}"),
            Self::Unit { vin } => f.write_str(vin),
            Self::Connector { connector } => write!(f, "{connector}"),
        }
    }
}
