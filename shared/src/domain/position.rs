//! A position: one product at one location, and how much of it there is.
//!
//! What a source states (absolute) and what merely moved (deltas) are kept apart, so that the result
//! is a function of the *set* of events, not of their order (G3): on hand is the latest statement of
//! the owning source plus every movement that happened after it. A movement from before the statement
//! is already in it. Ordering is by the sources' own times; our clock has no part in it.
//!
//! What a person counts on the shelf is a statement too, whoever owns the quantity: it holds until the
//! owner's statement is newer, by their own times. Only the latest count can matter: where an older one
//! is newer than the owner's statement, so is the latest. Of items that share a SKU for a while each count
//! is kept until they are apart again.
//!
//! What the newest of several sources has never stated of reserved, unavailable and incoming is known from
//! the one that stated it last, unless the configuration says whose word counts.
//!
//! The stock is read from the position and the ranking of the sources, and from nothing else.

mod counts;
mod moves;
mod refusal;
mod stored;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::alert::named;
use super::authority::{API, Calendars};
use super::event::{Level, Version};
use super::id::{ConnectorName, LocationId};
use super::item::{self, Item, ItemStatement, SameSku};
use super::message::Stock;
use super::origin::{Correlation, Origin, Replayed};
use super::product::ProductId;
use super::renamed::{Lost, Part, Renamed};
use super::statement::{Earlier, Facts, Statement};
use super::watch::Moment;

pub use self::counts::Whose;
pub use self::moves::MOST_MOVES;
pub(super) use self::moves::add_move;
use self::moves::tidy;
pub use self::refusal::Refusal;
pub(super) use self::refusal::believable;
use self::refusal::{possible, within_a_jump};

/// More units than any yard holds: a larger number is a mistake in the source.
pub const MOST_UNITS: i64 = 1_000_000_000_000;
/// Days of sales kept, enough for a week's window against two months of baseline.
pub const SALES_DAYS: u16 = 70;

/// Each source's latest statement.
type Bases = BTreeMap<ConnectorName, Base>;
/// Movements: milliseconds since 1970, and units.
type Moves = Vec<(i64, i64)>;
/// Which of the movements were of one of a source's items, by its name.
type OfItems = BTreeMap<String, Moves>;

/// One product at one location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Position {
    /// The product.
    pub product: ProductId,
    /// The location.
    pub location: LocationId,
    /// Counts the changes of this position; each is one ledger row.
    pub revision: u64,
    /// The ledger row's hash at this revision, in hex; empty before the first.
    #[serde(default)]
    pub chain: String,
    /// What the last change goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// When its stock last changed; rows of before do not say it, until it changes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Moment>,
    /// The change of before that made its stock what it is, where it was written since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_before: Option<Changed>,
    /// Whether webhooks that were applied again have written it lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Replayed>,
    /// How on hand is known.
    pub holding: Holding,
    /// Vehicles are on their way there, and none was ever said to have been there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub awaited: bool,
    /// Vehicles that were counted there last ended with the connector that listed them, or are counted
    /// elsewhere since the configuration did not have the place. Nobody says that they are gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlisted: bool,
    /// Make and model as written of the vehicle that was last counted anew there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// How vehicles that were counted there last went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// Until when more of what came with the last change may follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsettled: Option<Unsettled>,
    /// Units our own reservations promise.
    #[serde(default)]
    pub held: i64,
    /// Units sold, by the location's calendar day.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sold: BTreeMap<Date, i64>,
    /// The day, in UTC, since which anything is known of it; rows of before do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_since: Option<Date>,
    /// Which of the movements were of one of a source's items, by its name, where that is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub of_items: BTreeMap<String, Vec<(i64, i64)>>,
    /// What else is known to be of one of a source's items, by its name: where several stand for the
    /// product here, or did.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, Part>,
    /// Counts by people beside the latest: what was counted of one item, or before another came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<Base>,
    /// Items that had this SKU, by name, and to which they went from here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gone: BTreeMap<String, ProductId>,
    /// Under which SKU the product goes on that had this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed: Option<Renamed>,
}

/// The change with which a position's stock last became another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The position's revision then.
    #[serde(rename = "r")]
    pub revision: u64,
    /// What it goes back to.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Correlation>,
}

/// While changes come together, as of a file or a list of vehicles, or one after the other: each is written
/// by itself, and what stands in between is true of the table and of no yard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    /// When the first of them was written.
    #[serde(rename = "s")]
    since: Moment,
    /// When the last of them has settled.
    #[serde(rename = "u")]
    until: Moment,
    /// What tells that more may follow.
    #[serde(rename = "w", default, skip_serializing_if = "Together::is_many")]
    by: Together,
    /// What was written had waited for a name: it is past, and what came after it may have waited, too.
    #[serde(rename = "l", default, skip_serializing_if = "std::ops::Not::not")]
    late: bool,
}

/// How whoever writes a position comes by what it writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writing {
    /// By itself.
    #[default]
    One,
    /// As one of many.
    Many,
    /// Late, since it waited for a name: as one of many, and of what is stated as of what is counted only
    /// the last is true.
    Late,
}

named!(
    /// What tells that more changes may follow one.
    Together {
        /// Its writer has a list of them.
        Many => "many",
        /// It came soon after another.
        Row => "row",
        /// There is more than before: who brings one mostly brings more.
        Rise => "rise",
    }
);

#[expect(
    clippy::derivable_impls,
    reason = "the macro that declares it derives no default"
)]
impl Default for Together {
    fn default() -> Self {
        Self::Many
    }
}

impl Together {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_many(&self) -> bool {
        *self == Self::Many
    }
}

impl Unsettled {
    /// How long a position must be left alone to be settled. The clock looks then, within a minute.
    const QUIET: SignedDuration = SignedDuration::from_secs(30);
    /// The same where it was written late. Who applies what has waited, the clock, goes on with its next minute
    /// and may take half of that; the minute after that tells.
    const QUIET_LATE: SignedDuration = SignedDuration::from_secs(90);
    /// What never settles is told all the same: the longest that one invocation reads a file.
    const LONGEST: SignedDuration = SignedDuration::from_mins(15);

    /// One more of changes that come together is written now.
    #[must_use]
    pub fn at(now: Timestamp, by: Together, before: Option<Self>) -> Self {
        // Also where that was long ago: what comes without a break is judged as it comes from then on.
        let before = before.filter(|before| now < before.until.0);
        let until = Moment(now.saturating_add(Self::QUIET).unwrap_or(Timestamp::MAX));
        Self {
            since: before.map_or(Moment(now), |before| before.since),
            until: before.map_or(until, |before| before.until.max(until)),
            by,
            late: before.is_some_and(|before| before.late),
        }
    }

    /// The same, written late.
    fn late(now: Timestamp, before: Option<Self>) -> Self {
        let until = now.saturating_add(Self::QUIET_LATE);
        Self {
            until: Moment(until.unwrap_or(Timestamp::MAX)),
            late: true,
            ..Self::at(now, Together::Many, before)
        }
    }

    /// When it is settled, if it is not by now.
    pub fn ends_at(self, now: Timestamp) -> Option<Timestamp> {
        let latest = self.since.0.saturating_add(Self::LONGEST);
        let ends = self.until.0.min(latest.unwrap_or(Timestamp::MAX));
        (now < ends).then_some(ends)
    }
}

/// How on hand is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Holding {
    /// Stated by sources, and moved since.
    Stated {
        /// Each source's latest statement.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        bases: BTreeMap<ConnectorName, Base>,
        /// Movements, by time: milliseconds since 1970 and units.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        moves: Vec<(i64, i64)>,
    },
    /// Counted from the units (vehicles) that stand there; nobody states it.
    Counted {
        /// Units there, whatever their state of sale.
        on_hand: i64,
        /// Of these, promised to somebody.
        reserved: i64,
        /// Units in transit.
        incoming: i64,
    },
}

/// What one source last stated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// When, by the source's own order.
    pub version: Version,
    /// What: of each fact what the source last said.
    pub level: Level,
    /// What of it is from before that.
    #[serde(default, skip_serializing_if = "Earlier::is_nothing")]
    pub earlier: Earlier,
    /// Units that have moved since, by movements that are no longer kept one by one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub moved: i64,
    /// The source's whole list lacks the product, which it last mentioned then: that none is left is
    /// concluded and not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mentioned: Option<Version>,
    /// The source states it no longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// Of several items that are summed, when the one was stated that was stated longest ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Version>,
    /// What the source called the place; of items each has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// Several of its items claim to be this product, and nobody has said that they are to be summed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contradicts: bool,
    /// What each of its items said, where it counts items of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, Item>,
    /// Of a count: the item that alone had the SKU then, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Whose>,
}

/// A change to one position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PositionChange {
    /// A source states the level.
    Level {
        /// Which source.
        source: ConnectorName,
        /// What it states.
        level: Level,
        /// When that was true.
        version: Version,
        /// What it calls the place, if it named one.
        called: Option<String>,
    },
    /// A source states how much there is of one of its items.
    Item {
        /// Which source.
        source: ConnectorName,
        /// What it states.
        said: ItemStatement,
    },
    /// A source's whole list lacks it, so none is left there.
    Missing {
        /// Which source.
        source: ConnectorName,
        /// Since when.
        version: Version,
    },
    /// A source states the level no longer.
    Ended {
        /// Which source.
        source: ConnectorName,
        /// Since when.
        version: Version,
    },
    /// A source is not there any more, or has no name for the place, or means another by the name that it
    /// used: what it said is forgotten, so that it counts again whenever it is heard again.
    Gone {
        /// Which source.
        source: ConnectorName,
        /// Only what it said by this name of the place.
        called: Option<String>,
    },
    /// An order's line changed: the difference to what it came to before.
    Line {
        /// Whose and which item it is, or another of its names, where that is known.
        whose: Option<(ConnectorName, String)>,
        /// Units that came or went, and when.
        moves: Vec<(Timestamp, i64)>,
        /// Units sold, by the location's calendar day.
        sold: Vec<(Date, i64)>,
    },
    /// Stock came (positive) or went.
    Move {
        /// When.
        at: Timestamp,
        /// Units.
        delta: i64,
    },
    /// Units were sold.
    Sale {
        /// When.
        at: Timestamp,
        /// The location's calendar day.
        day: Date,
        /// Units, positive.
        quantity: i64,
        /// Whether on hand falls by it.
        deducts: bool,
    },
    /// Promise units to somebody; refused beyond what is available.
    Reserve(i64),
    /// Give promised units back.
    Release(i64),
    /// Units (vehicles) came, went or changed their state of sale.
    Count {
        /// Change of on hand.
        on_hand: i64,
        /// Change of reserved.
        reserved: i64,
        /// Change of incoming.
        incoming: i64,
        /// Whether it is said of one that it was there. Where none ever was, none is missing, whatever was
        /// sold.
        was_there: bool,
        /// Whether it is said of one that it was in stock there, and not only on its way.
        was_in_stock: bool,
        /// Whether it goes because its source, or the place, was taken out of the configuration.
        unheard: bool,
        /// Whether nobody says any more that it ever was there, as what its source calls the place leads
        /// elsewhere.
        never_there: bool,
        /// Its make and model as they are written, if it is counted there.
        called: Option<String>,
        /// How it goes, if it does.
        lost: Lost,
        /// Sales that are demand from now on, and such that no longer are: by day, how many.
        sold: Vec<(Date, i64)>,
    },
}

impl PositionChange {
    /// Whether a source has it no more.
    pub fn is_over(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. } | Self::Ended { .. } | Self::Gone { .. }
        )
    }

    /// The same, where that a list lacks the SKU does not show that none is left: it may have it under another.
    #[must_use]
    pub fn without_conclusion(self) -> Self {
        match self {
            Self::Missing { source, version } => Self::Ended { source, version },
            other => other,
        }
    }

    /// When it happened, or was true, by its source's clock; nothing where only its arrival counts.
    pub fn dated(&self) -> Option<Timestamp> {
        match self {
            Self::Level { version, .. }
            | Self::Missing { version, .. }
            | Self::Ended { version, .. } => Some(version.at),
            Self::Item { said, .. } => said.level.as_ref().map(|level| level.version.at),
            Self::Line { moves, .. } => moves.iter().map(|(at, _)| *at).min(),
            Self::Move { at, .. } | Self::Sale { at, .. } => Some(*at),
            Self::Gone { .. } | Self::Reserve(_) | Self::Release(_) | Self::Count { .. } => None,
        }
    }
}

/// What the configuration says of the sources of what is known of a product.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Who owns the quantity, best first; sources not listed come after all that are. The one thing
    /// beside the position that its stock is read by.
    pub ranking: Vec<ConnectorName>,
    /// Who owns a product's name for people, best first.
    pub titles: Vec<ConnectorName>,
    /// Who owns a product's category, best first.
    pub categories: Vec<ConnectorName>,
    /// Those whose files each say everything. What such a file repeats is not always written, see
    /// [`Position::gains_nothing_by`].
    pub whole_files: BTreeSet<ConnectorName>,
    /// Those of whose items several with one SKU are parts of one stock.
    pub summed: BTreeSet<ConnectorName>,
    /// More units than one statement or movement may add or take without a person having looked.
    pub most_jump: Option<i64>,
    /// For how many days an applied event is remembered; unset: as long as the store usually does.
    pub remember_days: Option<u16>,
    /// By whose days sales are counted.
    pub calendars: Calendars,
}

impl Sources {
    /// What to make of several items of a source that have one SKU.
    pub fn same_sku(&self, source: &ConnectorName) -> SameSku {
        match self.summed.contains(source) {
            true => SameSku::Sum,
            false => SameSku::Conflict,
        }
    }
}

impl Position {
    /// A position about which nothing is known yet.
    pub fn unknown(product: ProductId, location: LocationId) -> Self {
        Self {
            product,
            location,
            revision: 0,
            chain: String::new(),
            origin: None,
            replayed: None,
            holding: Holding::Stated {
                bases: BTreeMap::new(),
                moves: Vec::new(),
            },
            awaited: false,
            unlisted: false,
            called: None,
            lost: None,
            unsettled: None,
            held: 0,
            sold: BTreeMap::new(),
            known_since: None,
            changed_at: None,
            changed_before: None,
            of_items: BTreeMap::new(),
            parts: BTreeMap::new(),
            counts: Vec::new(),
            gone: BTreeMap::new(),
            renamed: None,
        }
    }

    /// Whether it says something that its first stored format had no field for, and that nothing gives back.
    pub fn is_beyond_first_format(&self) -> bool {
        let went_on = self.lost.as_ref().is_some_and(|lost| lost.to.is_some());
        let has_parts = !self.as_stored().parts.is_empty();
        let has_owners = self.counted().any(|count| count.of.is_some());
        let is_left = !self.gone.is_empty();
        self.awaited || self.unlisted || went_on || has_parts || has_owners || is_left
    }

    /// For how many days its sales are known, today included, if that is known.
    pub fn days_known(&self, today: Date) -> Option<u16> {
        let since = self.known_since?;
        // Sales of before may have been imported.
        let first = self
            .sold
            .keys()
            .next()
            .map_or(since, |sold| since.min(*sold));
        let days = today.duration_since(first).as_hours() / 24 + 1;
        Some(u16::try_from(days.max(1)).unwrap_or(u16::MAX))
    }

    /// The change that made its stock what it is: to repeat a level changes nothing.
    pub fn changed(&self) -> Changed {
        self.changed_before.clone().unwrap_or_else(|| Changed {
            revision: self.revision,
            by: self.origin.as_ref().map(|origin| origin.id.clone()),
        })
    }

    /// Until when more may follow the change that made this of what was there before; nothing where the
    /// change stands by itself.
    ///
    /// What is stated of a place is so, however soon it follows; what is counted from vehicles passes
    /// through every number in between. That there is more than before is never waited for where there was
    /// enough.
    pub fn unsettled_after(
        &self,
        before: &Self,
        writing: Writing,
        sources: &Sources,
        now: Timestamp,
    ) -> Option<Unsettled> {
        let stated = |it: &Self| it.read_from(sources).map(|(_, base)| base.since());
        let is_stated_anew = stated(self) > stated(before);
        // What is stated now, of all that is there, stands whatever was applied late before it.
        let known = match writing {
            Writing::Late => before.unsettled,
            _ => before.unsettled.filter(|it| !(it.late && is_stated_anew)),
        };
        let at = |by| Some(Unsettled::at(now, by, known));
        match writing {
            Writing::One => {}
            Writing::Many => return at(Together::Many),
            Writing::Late => return Some(Unsettled::late(now, known)),
        }
        let going_on = known.filter(|it| it.ends_at(now).is_some());
        if let Some(many) = going_on.filter(|it| it.by == Together::Many) {
            // A single change among them does not tell of the rest.
            return Some(many);
        }
        let is_counted = matches!(self.holding, Holding::Counted { .. });
        let times = self.origin.as_ref().zip(before.origin.as_ref());
        let apart = times.map(|(this, last)| this.at.duration_since(last.at).abs());
        if is_counted && apart.is_some_and(|apart| apart < Unsettled::QUIET) {
            return at(Together::Row);
        }
        let none = is_counted.then(Stock::default);
        let earlier = before.stock(sources).or(none);
        let rises = self.stock(sources).is_some_and(|stock| {
            let rose = |earlier: Stock| {
                stock.on_hand > earlier.on_hand || stock.available > earlier.available
            };
            earlier.is_none_or(rose)
        });
        // One goes on under another name; so may the rest of them.
        let fell =
            (self.stock(sources).zip(earlier)).is_some_and(|(is, was)| is.on_hand < was.on_hand);
        let goes_on = fell && self.lost.as_ref().is_some_and(|lost| lost.to.is_some());
        match rises {
            true => at(Together::Rise),
            false if is_counted && goes_on => at(Together::Row),
            false => None,
        }
    }

    /// Whether more may have followed the change that made this, so that what came of it counts. What is
    /// stated of a place is so at once, unless it was applied late.
    pub fn is_passing(&self) -> bool {
        let is_counted = matches!(self.holding, Holding::Counted { .. });
        self.unsettled.is_some_and(|it| it.late || is_counted)
    }

    /// When what is counted there is settled, if changes that come together change it now. `fires`: what
    /// there is now would begin an alert.
    pub fn settles_at(&self, fires: bool, now: Timestamp) -> Option<Timestamp> {
        let settles_at = self.settles_in_sum(true, fires, now);
        settles_at.filter(|_| self.is_passing())
    }

    /// The same of a sum over places that this position counts in. Of places that do not change now only a
    /// list matters that is still being written: each of them is as it is.
    pub fn settles_in_sum(
        &self,
        changes_now: bool,
        fires: bool,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let unsettled = self.unsettled?;
        let matters = match unsettled.by {
            Together::Many => true,
            Together::Row => changes_now,
            Together::Rise => changes_now && fires,
        };
        unsettled.ends_at(now).filter(|_| matters)
    }

    /// The quantities, or `None` while nobody has stated any (which is not zero).
    pub fn stock(&self, sources: &Sources) -> Option<Stock> {
        let balance = self.balance(sources)?;
        let [promised, unavailable, incoming] = match &self.holding {
            Holding::Counted {
                reserved, incoming, ..
            } => [*reserved, 0, *incoming],
            Holding::Stated { bases, .. } => {
                let facts = facts(bases, &sources.ranking)?;
                facts.map(|fact| fact.map_or(0, |(_, units)| units))
            }
        };
        let promised = promised + self.held;
        let on_hand = balance.max(0);
        let unavailable = unavailable.clamp(0, on_hand);
        // What is promised beyond what can be sold is owed, not reserved: Σ reserved ≤ on hand (G4).
        let reserved = promised.min(on_hand - unavailable);
        Some(Stock {
            on_hand,
            reserved,
            available: on_hand - reserved - unavailable,
            unavailable,
            incoming,
            backordered: promised - reserved + (-balance).max(0),
        })
    }

    /// Whether what was counted there has ended with its source, or goes on as another line: how many there
    /// are is not known then.
    pub(super) fn no_longer_counted(&self) -> bool {
        self.has_no_vehicle() && (self.unlisted || self.renamed_to().is_some())
    }

    /// Whether vehicles are counted there, and none is left.
    pub(super) fn has_no_vehicle(&self) -> bool {
        matches!(
            self.holding,
            Holding::Counted {
                on_hand: 0,
                incoming: 0,
                ..
            }
        )
    }

    /// What was stated and moved, added up: below zero where more went than was there. Whoever corrects
    /// a quantity counts from this; on hand shows a debt as zero.
    pub fn balance(&self, sources: &Sources) -> Option<i64> {
        match &self.holding {
            Holding::Counted { on_hand, .. } => {
                Some(*on_hand).filter(|_| !self.no_longer_counted())
            }
            Holding::Stated { moves, .. } => {
                let (source, base) = self.read_from(sources)?;
                // What is not known to be of one item is in a sum once all of its items have been
                // stated since; what is, with its own.
                let since = holds_until(source, base.since());
                let moved: i64 = moves
                    .iter()
                    .filter(|(at, _)| *at > since)
                    .map(|(_, delta)| delta)
                    .sum();
                let covered = self.covered_by_items(source, base, since, moves);
                let apart = match source.as_str() {
                    API => self.of_other_counts(base.of.as_ref(), since),
                    _ => 0,
                };
                Some(base.level.on_hand + base.moved + moved - covered - apart)
            }
        }
    }

    /// By whose statement it is known how many there are, and that.
    pub(super) fn read_from(&self, sources: &Sources) -> Option<(&ConnectorName, &Base)> {
        match &self.holding {
            Holding::Stated { bases, .. } => on_the_shelf(bases, &sources.ranking),
            Holding::Counted { .. } => None,
        }
    }

    /// What moved after `since` and is in the base's level all the same, or not of its product any more:
    /// each of a source's items has its own level and its own movements.
    fn covered_by_items(
        &self,
        source: &ConnectorName,
        base: &Base,
        since: i64,
        moves: &[(i64, i64)],
    ) -> i64 {
        let items = base.items.iter().filter_map(|(name, item)| {
            let own = self.of_items.get(&of_item(source, name))?;
            let live = item.live();
            // While items contradict each other, one of them is believed, and what moves of it.
            let live = live.filter(|it| !base.contradicts || *it == (base.version, &base.level));
            let until = live.map_or(i64::MAX, |(version, _)| holds_until(source, version));
            Some((own, until))
        });
        items
            .flat_map(|(own, until)| {
                own.iter()
                    .filter(move |(at, _)| *at > since && *at <= until)
            })
            .filter(|(at, _)| moves.binary_search_by_key(at, |(at, _)| *at).is_ok())
            .map(|(_, delta)| delta)
            .sum()
    }

    /// The source that owns the quantity, of those that have stated a level. A count may be newer.
    pub fn owner(&self, sources: &Sources) -> Option<&ConnectorName> {
        match &self.holding {
            Holding::Stated { bases, .. } => {
                effective(bases, &sources.ranking).map(|(source, _)| source)
            }
            Holding::Counted { .. } => None,
        }
    }

    /// Of reserved, unavailable and incoming what the owner has never stated, and by whom it is known.
    pub fn stated_beside(
        &self,
        sources: &Sources,
    ) -> impl Iterator<Item = (&'static str, &ConnectorName)> {
        let facts = match &self.holding {
            Holding::Stated { bases, .. } => facts(bases, &sources.ranking),
            Holding::Counted { .. } => None,
        };
        let owner = self.owner(sources);
        let names = ["reserved", "unavailable", "incoming"].into_iter();
        let named = names.zip(facts.into_iter().flatten());
        named.filter_map(move |(name, fact)| {
            let (source, _) = fact.filter(|(source, _)| Some(*source) != owner)?;
            Some((name, source))
        })
    }

    /// Whether the same owner states both, by the same statement: what differs was done by others.
    pub fn is_stated_as(&self, other: &Self, sources: &Sources) -> bool {
        let statement = |of: &Self| {
            let owner = of.owner(sources)?.clone();
            let version = of.stated_by(&owner)?.version;
            Some((owner, version))
        };
        statement(self) == statement(other)
    }

    /// When the owner's statement was true, or a newer count.
    pub fn stated_at(&self, sources: &Sources) -> Option<Timestamp> {
        let (_, base) = self.read_from(sources)?;
        Some(base.version.at)
    }

    /// Until when what moved is already in it.
    pub fn covered_until(&self, sources: &Sources) -> Option<Timestamp> {
        let (source, base) = self.read_from(sources)?;
        Timestamp::from_millisecond(holds_until(source, base.version)).ok()
    }

    /// Whether nothing would be read otherwise, now or after any later change, had this source said then
    /// what it last said: nothing has moved or been counted since that it would cover, and it decides no more than it
    /// did. Only then may a whole file's row that repeats the level stay unwritten. The one thing that
    /// is then not in the position, until when the level was true, is what
    /// [`Position::caught_up`] puts there before a change that comes late.
    pub fn gains_nothing_by(
        &self,
        source: &ConnectorName,
        then: Timestamp,
        sources: &Sources,
    ) -> bool {
        let Holding::Stated { bases, moves } = &self.holding else {
            return true;
        };
        let Some(base) = bases.get(source) else {
            return false;
        };
        let covered =
            holds_until(source, base.version) + 1..=holds_until(source, Version::at(then));
        base.moved == 0
            && !moves.iter().any(|(at, _)| covered.contains(at))
            && !counted(bases)
                .is_some_and(|(_, it)| covered.contains(&it.version.at.as_millisecond()))
            && self.caught_up(source, then).stock(sources) == self.stock(sources)
    }

    /// The position with this source's statement known to have been true until then.
    #[must_use]
    pub fn caught_up(&self, source: &ConnectorName, then: Timestamp) -> Self {
        let mut next = self.clone();
        if let Holding::Stated { bases, .. } = &mut next.holding
            && let Some(base) = bases.get_mut(source)
            && base.version.at < whole_millis(then)
        {
            base.version = Version::at(whole_millis(then));
            next.tidy();
        }
        next
    }

    /// The sources that have stated something here before then.
    pub fn stated_before(&self, then: Timestamp) -> impl Iterator<Item = &ConnectorName> {
        let bases = match &self.holding {
            Holding::Stated { bases, .. } => Some(bases),
            Holding::Counted { .. } => None,
        };
        bases
            .into_iter()
            .flatten()
            .filter(move |(_, base)| !base.ended && base.version.at < then)
            .map(|(source, _)| source)
    }

    /// The sources that state something here.
    pub fn stating(&self) -> impl Iterator<Item = &ConnectorName> {
        self.stated_before(Timestamp::MAX)
    }

    /// When a person last counted it.
    pub fn counted_at(&self) -> Option<Timestamp> {
        let Holding::Stated { bases, .. } = &self.holding else {
            return None;
        };
        counted(bases).map(|(_, count)| count.version.at)
    }

    /// Movements that are kept apart.
    pub fn movements(&self) -> usize {
        match &self.holding {
            Holding::Stated { moves, .. } => moves.len(),
            Holding::Counted { .. } => 0,
        }
    }

    /// When the latest movement that is kept apart was.
    pub fn moved_until(&self) -> Option<Timestamp> {
        match &self.holding {
            Holding::Stated { moves, .. } => Timestamp::from_millisecond(moves.last()?.0).ok(),
            Holding::Counted { .. } => None,
        }
    }

    /// Whether this source has said or ended something here that is not older.
    pub fn has_newer(&self, source: &ConnectorName, version: Version) -> bool {
        match &self.holding {
            Holding::Stated { bases, .. } => {
                bases.get(source).is_some_and(|it| it.version >= version)
            }
            Holding::Counted { .. } => false,
        }
    }

    /// What one source last stated.
    pub fn stated_by(&self, source: &ConnectorName) -> Option<&Base> {
        match &self.holding {
            Holding::Stated { bases, .. } => bases.get(source).filter(|base| !base.ended),
            Holding::Counted { .. } => None,
        }
    }

    /// The position after the change, or `None` if the change alters nothing: it is older than what
    /// is known, or says what is known already.
    ///
    /// Revision and chain are left to the caller, who writes the ledger row.
    pub fn after(
        &self,
        change: &PositionChange,
        sources: &Sources,
    ) -> Result<Option<Self>, Refusal> {
        self.after_of(change, None, sources)
    }

    /// The same, of what was counted, moved or sold while an item alone had the SKU that it had then.
    pub fn after_of(
        &self,
        change: &PositionChange,
        whose: Option<&Whose>,
        sources: &Sources,
    ) -> Result<Option<Self>, Refusal> {
        let mut next = self.clone();
        match change {
            PositionChange::Level {
                source,
                level,
                version,
                called,
            } => {
                if source.as_str() == API && (whose.is_some() || self.tells_counts_apart()) {
                    next.count_of(level, *version, whose, sources)?;
                } else if next.state(source, level, *version, sources)?
                    && let Holding::Stated { bases, .. } = &mut next.holding
                    && let Some(base) = bases.get_mut(source)
                {
                    base.called.clone_from(called);
                }
            }
            PositionChange::Item { source, said } => {
                next.state_item(source, said, sources)?;
            }
            PositionChange::Missing { source, version } => {
                let known = self.stated_by(source);
                let mentioned = known.map(Base::mentioned);
                let called = known.and_then(|base| base.called.clone());
                if next.state(source, &Level::NOTHING, *version, sources)?
                    && let Holding::Stated { bases, .. } = &mut next.holding
                    && let Some(base) = bases.get_mut(source)
                {
                    base.mentioned = mentioned;
                    base.called = called;
                }
            }
            PositionChange::Ended { source, version } => next.end(source, *version)?,
            PositionChange::Gone { source, called } => {
                next.forget(source, called.as_deref(), sources);
            }
            PositionChange::Line { whose, moves, sold } => {
                let name = whose.as_ref();
                let name = name.map(|(source, item)| of_item(source, item));
                for (at, delta) in moves {
                    next.shift_of(name.as_deref(), *at, *delta, sources)?;
                }
                for (day, units) in sold {
                    believable(*units, sources)?;
                    next.count_sale_of(name.as_deref(), *day, *units);
                }
            }
            PositionChange::Move { at, delta } => {
                let name = whose.map(|whose| whose.item.as_str());
                next.shift_of(name, *at, *delta, sources)?;
            }
            PositionChange::Sale {
                at,
                day,
                quantity,
                deducts,
            } => {
                possible(*quantity)?;
                believable(*quantity, sources)?;
                let name = whose.map(|whose| whose.item.as_str());
                next.count_sale_of(name, *day, *quantity);
                if *deducts {
                    next.shift_of(name, *at, -quantity, sources)?;
                }
            }
            PositionChange::Reserve(asked) => {
                possible(*asked)?;
                let stock = self.stock(sources).ok_or(Refusal::NoData)?;
                if *asked > stock.available {
                    return Err(Refusal::Insufficient {
                        asked: *asked,
                        available: stock.available,
                    });
                }
                next = self.promised(*asked, None);
            }
            PositionChange::Release(asked) => {
                possible(*asked)?;
                if *asked > self.held {
                    return Err(Refusal::NotHeld {
                        asked: *asked,
                        held: self.held,
                    });
                }
                next = self.promised(-asked, None);
            }
            PositionChange::Count {
                on_hand,
                reserved,
                incoming,
                was_there,
                was_in_stock,
                unheard,
                never_there,
                called,
                lost,
                sold,
            } => {
                if *was_there || [*on_hand, *reserved, *incoming] != [0; 3] {
                    let is_first = matches!(next.holding, Holding::Stated { .. });
                    next.count([*on_hand, *reserved, *incoming])?;
                    next.awaited = (is_first || next.awaited) && !was_in_stock && *on_hand == 0;
                    // It is known again once somebody else has something to say of how many there are.
                    next.unlisted = match *unheard {
                        true => next.unlisted || on_hand + incoming < 0,
                        false => next.unlisted && [*on_hand, *reserved, *incoming] == [0; 3],
                    };
                    next.lost = match (on_hand + incoming).signum() {
                        1 => None,
                        0 => next.lost,
                        _ => Some(lost.clone().and(self.lost.as_ref())),
                    };
                }
                for (day, quantity) in sold {
                    next.count_sale(*day, *quantity);
                }
                // Also where it was sold before it got the other name, and nothing else was sold by this one.
                let is_only_sale = !sold.is_empty() && next.sold.is_empty();
                if is_only_sale && lost.to.is_some() && next.has_no_vehicle() {
                    next.lost = Some(lost.clone());
                }
                // Where none ever was, none is missing: nothing is known of the place.
                if *never_there && next.has_no_vehicle() && next.sold.is_empty() {
                    let unknown = Self::unknown(next.product.clone(), next.location.clone());
                    (next.holding, next.awaited, next.unlisted) = (unknown.holding, false, false);
                }
                // Another spelling alone is no change of stock.
                if next != *self && called.is_some() {
                    next.called.clone_from(called);
                }
            }
        }
        Ok((next != *self).then_some(next))
    }

    /// Takes in a level; whether it is what the source last said from now on. One that is overtaken has what
    /// no later one said.
    fn state(
        &mut self,
        source: &ConnectorName,
        level: &Level,
        version: Version,
        sources: &Sources,
    ) -> Result<bool, Refusal> {
        let version = version.kept();
        if let Some(quantity) = item::impossible(level) {
            return Err(Refusal::Impossible { quantity });
        }
        // A count corrects what is known, whoever stated it.
        let there = self.balance(sources);
        let (bases, _) = self.stated_by_hand()?;
        let known = bases.get(source).cloned();
        let said = Statement::new(version, Some(level));
        let all = match &known {
            None => said,
            Some(base) if said.is_after(&base.statement()) => base.statement().join(said),
            Some(_) => {
                if let Some(base) = bases.get_mut(source) {
                    base.take_in_overtaken(said);
                }
                return Ok(false);
            }
        };
        let before = match source.as_str() {
            API => there.unwrap_or(0),
            _ => known.as_ref().map_or(0, |base| base.level.on_hand),
        };
        within_a_jump(before, level.on_hand, sources)?;
        // What was added up has moved after either of two statements of one instant.
        let moved = known.filter(|base| base.version == version);
        let (version, level, earlier) = all.parts();
        let base = Base {
            version,
            level: level.unwrap_or_default(),
            earlier,
            moved: moved.map_or(0, |base| base.moved),
            mentioned: None,
            oldest: None,
            ended: false,
            called: None,
            contradicts: false,
            items: BTreeMap::new(),
            of: None,
        };
        bases.insert(source.clone(), base);
        self.tidy();
        Ok(true)
    }

    /// What sources state and what has moved, unless the product's stock is counted from vehicles.
    pub(super) fn stated_by_hand(&mut self) -> Result<(&mut Bases, &mut Moves), Refusal> {
        match &mut self.holding {
            Holding::Stated { bases, moves } if self.product.line().is_none() => Ok((bases, moves)),
            Holding::Stated { .. } | Holding::Counted { .. } => Err(Refusal::Counted),
        }
    }

    /// Where it is known whose it is, also while that item alone stands for the product: who else does may be
    /// heard of later.
    fn shift_of(
        &mut self,
        name: Option<&str>,
        at: Timestamp,
        delta: i64,
        sources: &Sources,
    ) -> Result<(), Refusal> {
        if delta == 0 || !(-MOST_UNITS..=MOST_UNITS).contains(&delta) {
            return Err(Refusal::Impossible { quantity: delta });
        }
        believable(delta, sources)?;
        let (_, moves) = self.stated_by_hand()?;
        add_move(moves, at.as_millisecond(), delta);
        if let Some(name) = name {
            let of_item = self.of_items.entry(name.to_owned()).or_default();
            add_move(of_item, at.as_millisecond(), delta);
        }
        self.tidy();
        Ok(())
    }

    pub(super) fn tidy(&mut self) {
        if let Holding::Stated { bases, moves } = &mut self.holding {
            tidy(bases, &mut self.counts, moves, &mut self.of_items);
        }
    }

    fn count(&mut self, [on_hand, reserved, incoming]: [i64; 3]) -> Result<(), Refusal> {
        if let Holding::Stated { bases, moves } = &self.holding {
            if !bases.is_empty() || !moves.is_empty() {
                return Err(Refusal::Stated);
            }
            self.holding = Holding::Counted {
                on_hand: 0,
                reserved: 0,
                incoming: 0,
            };
        }
        if let Holding::Counted {
            on_hand: there,
            reserved: promised,
            incoming: coming,
        } = &mut self.holding
        {
            *there += on_hand;
            *promised += reserved;
            *coming += incoming;
        }
        Ok(())
    }

    fn count_sale_of(&mut self, name: Option<&str>, day: Date, quantity: i64) {
        self.count_sale(day, quantity);
        if let Some(name) = name {
            let part = self.parts.entry(name.to_owned()).or_default();
            part.count_sale(day, quantity);
            self.parts.retain(|_, part| !part.is_nothing());
        }
    }

    /// Counts a sale on a day, or takes one back: of a day that is no longer kept there is none.
    pub(super) fn count_sale(&mut self, day: Date, quantity: i64) {
        let known = self.sold.get(&day).copied().unwrap_or(0);
        match known + quantity {
            units if units > 0 => drop(self.sold.insert(day, units)),
            _ => drop(self.sold.remove(&day)),
        }
        if let Some((&latest, _)) = self.sold.last_key_value() {
            let kept = SignedDuration::from_hours(24 * i64::from(SALES_DAYS));
            let oldest = latest.saturating_sub(kept);
            self.sold.retain(|day, _| *day > oldest);
            for part in self.parts.values_mut() {
                part.sold.retain(|day, _| *day > oldest);
            }
        }
    }
}

/// The owner's statement: the best-ranked source's, else the newest. People who count own the quantity
/// where they are ranked, or where nobody else states it and nobody has since said that it is over.
fn effective<'a>(
    bases: &'a Bases,
    ranking: &[ConnectorName],
) -> Option<(&'a ConnectorName, &'a Base)> {
    let stands = |(_, base): &(&ConnectorName, &Base)| !base.ended;
    let others = || bases.iter().filter(|(source, _)| source.as_str() != API);
    ranking
        .iter()
        .find_map(|source| bases.get_key_value(source).filter(stands))
        .or_else(|| {
            others().filter(stands).max_by(|(a_name, a), (b_name, b)| {
                (a.mentioned(), a_name).cmp(&(b.mentioned(), b_name))
            })
        })
        .or_else(|| {
            let over = others().map(|(_, base)| base.last_heard().at).max();
            counted(bases).filter(|(_, count)| over.is_none_or(|over| count.version.at >= over))
        })
}

/// What is known of reserved, unavailable and incoming, and by whose word: the owner's. Where no ranking says
/// that it is the owner, what it has never stated is the word of whoever stated it last, and of two words of
/// one instant the one by which less can be sold.
fn facts<'a>(
    bases: &'a Bases,
    ranking: &[ConnectorName],
) -> Option<[Option<(&'a ConnectorName, i64)>; 3]> {
    let (owner, base) = effective(bases, ranking)?;
    let others = bases
        .iter()
        .filter(|(source, base)| *source != owner && !base.ended && !ranking.contains(owner));
    let others: Vec<_> = others
        .map(|(source, base)| (source, base.facts()))
        .collect();
    let own = base.facts();
    let [reserved, unavailable, incoming] = std::array::from_fn(|which| {
        let said = |(source, facts): &(&'a ConnectorName, Facts)| Some((facts[which]?, *source));
        let own = own[which].map(|said| (said, owner));
        let known = own.or_else(|| others.iter().filter_map(said).max())?;
        let ((_, units), source) = known;
        Some((source, units))
    });
    let incoming = incoming.map(|(source, units)| (source, -units));
    Some([reserved, unavailable, incoming])
}

impl Base {
    /// As [`Statement::facts`]. Of several items it is as of the last that said it, and of what a whole list
    /// lacks as of when that last mentioned it.
    fn facts(&self) -> Facts {
        let mut facts = self.statement().facts();
        let live = self
            .items
            .values()
            .filter(|item| !self.contradicts && item.live().is_some());
        let items: Vec<_> = live.map(|item| item.statement().facts()).collect();
        for (which, fact) in facts.iter_mut().enumerate() {
            if let Some((said, _)) = fact {
                let last = items.iter().filter_map(|item| Some(item[which]?.0)).max();
                *said = self.mentioned.or(last).unwrap_or(*said);
            }
        }
        facts
    }

    /// What the source states of the product itself, and not of items.
    pub(super) fn statement(&self) -> Statement {
        let level = (!self.ended).then_some(&self.level);
        Statement::of(self.version, level, &self.earlier)
    }

    /// Takes in what an older level says and no later one, or what was over before the latest one. Of items
    /// each has its own.
    pub(super) fn take_in_overtaken(&mut self, said: Statement) {
        if self.items.is_empty()
            && let (_, Some(level), earlier) = self.statement().join(said).parts()
        {
            (self.level, self.earlier) = (level, earlier);
        }
    }

    /// What moved after this is not in its level; of a sum, what is not known to be of one item.
    pub(super) fn since(&self) -> Version {
        self.oldest.unwrap_or(self.version)
    }

    /// Whether the source states something of the product itself, and not of items: that it is not on a list
    /// any more is concluded, and no statement.
    pub(super) fn states_product(&self) -> bool {
        !self.ended && self.mentioned.is_none() && self.items.is_empty()
    }

    /// When the source last said how much there is.
    pub fn mentioned(&self) -> Version {
        self.mentioned.unwrap_or(self.version)
    }
}

/// The last count by a person.
fn counted(bases: &Bases) -> Option<(&ConnectorName, &Base)> {
    bases.iter().find(|(source, _)| source.as_str() == API)
}

/// What on hand is read from: the owner's statement, or a count that is not older.
fn on_the_shelf<'a>(
    bases: &'a Bases,
    ranking: &[ConnectorName],
) -> Option<(&'a ConnectorName, &'a Base)> {
    let (source, owned) = effective(bases, ranking)?;
    let newer = counted(bases).filter(|(_, count)| count.version.at >= owned.version.at);
    Some(newer.unwrap_or((source, owned)))
}

/// Until when a source's level of this version is taken to hold, in milliseconds since 1970. A time in whole
/// seconds may be of any instant of its second. A movement of that second is taken to be in the level: mostly
/// it is what the source states the level for. A person's count says when it was.
fn holds_until(source: &ConnectorName, version: Version) -> i64 {
    match version.at.as_millisecond() {
        second if second % 1_000 == 0 && source.as_str() != API => second + 999,
        exact => exact,
    }
}

/// How a position names the movements of an item.
pub fn of_item(source: &ConnectorName, item: &str) -> String {
    format!("{source} {item}")
}

/// Whether a level is the lower of two, which counts where they are of one instant.
pub fn lower(a: &Level, b: &Level) -> bool {
    (a.on_hand, b.reserved, b.unavailable, a.incoming)
        < (b.on_hand, a.reserved, a.unavailable, b.incoming)
}

fn is_zero(units: &i64) -> bool {
    *units == 0
}

/// Whole milliseconds, as the table stores times. Two instants that are stored the same compare the same.
pub fn whole_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests;
