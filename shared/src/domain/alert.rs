//! What people are told, and about what.

use serde::{Deserialize, Serialize};

use super::id::{ChannelName, ConnectorName, GroupName, LocationId};
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
        /// A source's file was applied, and something about it should be mended: columns renamed, rows
        /// that cannot be read, rows that contradict each other.
        FeedFlawed => "feed_flawed",
        /// One vehicle, two owners.
        Conflict => "conflict",
        /// A channel does not carry what it is sent.
        ChannelDown => "channel_down",
        /// A source sent something that could not be applied and waits in quarantine.
        Quarantine => "quarantine",
    }
);

impl AlertKind {
    /// Whether it tells how much is left of something: of such alerts of one item the last word counts.
    pub const fn tells_what_is_left(self) -> bool {
        matches!(self, Self::LowStock | Self::OutOfStock | Self::BackInStock)
    }

    /// Whether it says how much there is of an item, or was sold.
    pub const fn is_about_stock(self) -> bool {
        self.tells_what_is_left() || matches!(self, Self::HighDemand)
    }
}

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

named!(
    /// Why an alert is over.
    Ending {
        /// What was wrong is right again.
        Recovered => "recovered",
        /// Nothing came back: by the rule as it is now, this was never wrong.
        RuleChanged => "rule_changed",
        /// No rule applies any longer.
        RuleRemoved => "rule_removed",
        /// The rule that applies is switched off.
        Muted => "muted",
        /// The location is no longer in the configuration.
        LocationRemoved => "location_removed",
        /// The group has no location any longer.
        GroupRemoved => "group_removed",
        /// The product has another SKU, and is watched under that.
        Renamed => "renamed",
        /// Nobody states its stock any longer.
        NoLongerStated => "no_longer_stated",
        /// The source is gone, or switched off.
        SourceRemoved => "source_removed",
        /// The channel is not in the configuration any more.
        ChannelRemoved => "channel_removed",
    }
);

impl Ending {
    /// Whether what was wrong is right again. Otherwise nobody looks after it any longer, and a
    /// message must not sound as if something had come back.
    pub const fn is_recovery(self) -> bool {
        matches!(self, Self::Recovered)
    }

    /// Whether it ends all that is watched of an item, whatever the alert is about.
    pub const fn closes_item(self) -> bool {
        matches!(
            self,
            Self::LocationRemoved | Self::GroupRemoved | Self::Renamed
        )
    }

    /// The reason, as the end of a sentence.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Recovered => "it has recovered",
            Self::RuleChanged => "by the rule as it is now, nothing is wrong",
            Self::RuleRemoved => "no longer watched, because no rule applies to it any more",
            Self::Muted => "no longer watched, because its rule is switched off",
            Self::LocationRemoved => {
                "no longer watched, because its location is not in the configuration any more"
            }
            Self::GroupRemoved => "no longer watched, because its group has no location any more",
            Self::Renamed => "it goes on under another SKU",
            Self::NoLongerStated => "no longer watched, because nobody states its stock any more",
            Self::SourceRemoved => "no longer watched, because the source is not read any more",
            Self::ChannelRemoved => {
                "no longer watched, because the channel is not in the configuration any more"
            }
        }
    }
}

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
    /// One place where people are told.
    Channel {
        /// Its name.
        channel: ChannelName,
    },
    /// One kind of what a source sent and could not be applied.
    Quarantine {
        /// The source.
        connector: ConnectorName,
        /// The kind: the reason's code.
        reason: String,
    },
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Position { product, location } => write!(f, "{product} at {location}"),
            Self::Group { product, group } => write!(f, "{product} in {group}"),
            Self::Unit { vin } => f.write_str(vin),
            Self::Connector { connector } => write!(f, "{connector}"),
            Self::Channel { channel } => write!(f, "{channel}"),
            Self::Quarantine { connector, reason } => write!(f, "{connector} ({reason})"),
        }
    }
}
