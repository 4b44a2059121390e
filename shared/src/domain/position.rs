//! A position: one product at one location, and how much of it there is.
//!
//! What a source states (absolute) and what merely moved (deltas) are kept apart, so that the result
//! is a function of the *set* of events, not of their order (G3): on hand is the latest statement of
//! the owning source plus every movement that happened after it. A movement from before the statement
//! is already in it. Ordering is by the sources' own times; our clock has no part in it.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::event::{Level, Version};
use super::id::{ConnectorName, LocationId};
use super::message::Stock;
use super::origin::Origin;
use super::product::ProductId;

/// More units than any yard holds: a larger number is a mistake in the source.
pub const MOST_UNITS: i64 = 1_000_000_000_000;
/// Movements kept in the position. Older ones are folded into what they moved.
const MOST_MOVES: usize = 32;
/// How long before the latest statement a movement is still kept, for a source first heard later.
const KEEP_MOVES: SignedDuration = SignedDuration::from_hours(24);
/// Days of sales kept, enough for a week's window against two months of baseline.
const KEEP_DAYS: i64 = 70;

/// One product at one location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// How on hand is known.
    pub holding: Holding,
    /// Units our own reservations promise.
    #[serde(default)]
    pub held: i64,
    /// Units sold, by the location's calendar day.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sold: BTreeMap<Date, i64>,
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
    /// What.
    pub level: Level,
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
        /// The day to count a sale on, when this is one.
        sold_on: Option<Date>,
    },
}

/// What decides between sources, and what is known beyond the position itself.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Who owns the quantity, best first; sources not listed come after all that are.
    pub ranking: Vec<ConnectorName>,
    /// When each source's latest complete snapshot was read. A row that equals what we hold is not
    /// written again, so the snapshot's time stands here, once, instead of on every position.
    pub confirmed: BTreeMap<ConnectorName, Timestamp>,
    /// For how many days an applied event is remembered; unset: as long as the store usually does.
    pub remember_days: Option<u16>,
}

/// Why a change cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More was asked for than there is.
    #[error("{asked} units asked for, {available} available")]
    Insufficient {
        /// Units asked for.
        asked: i64,
        /// Units available.
        available: i64,
    },
    /// Nobody has said yet how much there is.
    #[error("the quantity is not known yet")]
    NoData,
    /// More given back than was promised.
    #[error("{asked} units to release, {held} held")]
    NotHeld {
        /// Units to release.
        asked: i64,
        /// Units held.
        held: i64,
    },
    /// The quantity is counted from vehicles and cannot be stated or moved by itself.
    #[error("this product's stock is counted from its vehicles; report the vehicles instead")]
    Counted,
    /// The quantity is stated, so vehicles cannot be counted into it.
    #[error("this product's stock is stated by a source; its vehicles cannot be counted too")]
    Stated,
    /// A quantity that no yard holds, or one that must be positive and is not.
    #[error("{quantity} is not a possible number of units")]
    Impossible {
        /// The quantity.
        quantity: i64,
    },
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
            holding: Holding::Stated {
                bases: BTreeMap::new(),
                moves: Vec::new(),
            },
            held: 0,
            sold: BTreeMap::new(),
        }
    }

    /// The quantities, or `None` while nobody has stated any (which is not zero).
    pub fn stock(&self, sources: &Sources) -> Option<Stock> {
        let (balance, promised, incoming) = match &self.holding {
            Holding::Counted {
                on_hand,
                reserved,
                incoming,
            } => (*on_hand, reserved + self.held, *incoming),
            Holding::Stated { bases, moves } => {
                let (source, base) = effective(bases, &sources.ranking)?;
                let true_at = sources.confirmed_at(source, base);
                let moved: i64 = moves
                    .iter()
                    .filter(|(at, _)| *at > true_at.as_millisecond())
                    .map(|(_, delta)| delta)
                    .sum();
                (
                    base.level.on_hand + moved,
                    base.level.reserved.unwrap_or(0) + self.held,
                    base.level.incoming.unwrap_or(0),
                )
            }
        };
        let on_hand = balance.max(0);
        // What is promised beyond what is there is owed, not reserved: Σ reserved ≤ on hand (G4).
        let reserved = promised.min(on_hand);
        Some(Stock {
            on_hand,
            reserved,
            available: on_hand - reserved,
            incoming,
            backordered: promised - reserved + (-balance).max(0),
        })
    }

    /// The source whose statement counts, if any has stated a level.
    pub fn owner(&self, sources: &Sources) -> Option<&ConnectorName> {
        match &self.holding {
            Holding::Stated { bases, .. } => {
                effective(bases, &sources.ranking).map(|(source, _)| source)
            }
            Holding::Counted { .. } => None,
        }
    }

    /// Until when the statement that counts holds: what moved before then is already in it.
    pub fn stated_until(&self, sources: &Sources) -> Option<Timestamp> {
        let Holding::Stated { bases, .. } = &self.holding else {
            return None;
        };
        let (source, base) = effective(bases, &sources.ranking)?;
        Some(sources.confirmed_at(source, base))
    }

    /// What one source last stated.
    pub fn stated_by(&self, source: &ConnectorName) -> Option<&Base> {
        match &self.holding {
            Holding::Stated { bases, .. } => bases.get(source),
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
        let mut next = self.clone();
        match change {
            PositionChange::Level {
                source,
                level,
                version,
            } => next.state(source, level, *version, sources)?,
            PositionChange::Move { at, delta } => next.shift(*at, *delta, sources)?,
            PositionChange::Sale {
                at,
                day,
                quantity,
                deducts,
            } => {
                possible(*quantity)?;
                next.count_sale(*day, *quantity);
                if *deducts {
                    next.shift(*at, -quantity, sources)?;
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
                next.held += asked;
            }
            PositionChange::Release(asked) => {
                possible(*asked)?;
                if *asked > self.held {
                    return Err(Refusal::NotHeld {
                        asked: *asked,
                        held: self.held,
                    });
                }
                next.held -= asked;
            }
            PositionChange::Count {
                on_hand,
                reserved,
                incoming,
                sold_on,
            } => {
                next.count([*on_hand, *reserved, *incoming])?;
                if let Some(day) = sold_on {
                    next.count_sale(*day, 1);
                }
            }
        }
        Ok((next != *self).then_some(next))
    }

    fn state(
        &mut self,
        source: &ConnectorName,
        level: &Level,
        version: Version,
        sources: &Sources,
    ) -> Result<(), Refusal> {
        let version = version.kept();
        for quantity in [Some(level.on_hand), level.reserved, level.incoming] {
            if let Some(quantity) = quantity.filter(|q| !(-MOST_UNITS..=MOST_UNITS).contains(q)) {
                return Err(Refusal::Impossible { quantity });
            }
        }
        let Holding::Stated { bases, moves } = &mut self.holding else {
            return Err(Refusal::Counted);
        };
        if sources
            .confirmed
            .get(source)
            .is_some_and(|at| version.at < *at)
        {
            return Ok(()); // a complete snapshot has spoken since
        }
        let newer = match bases.get(source) {
            None => true,
            // Two different statements of one instant: the lower one, in any order, is the safe one.
            Some(base) if base.version == version => lower(level, &base.level),
            Some(base) => version > base.version,
        };
        if newer {
            bases.insert(
                source.clone(),
                Base {
                    version,
                    level: level.clone(),
                },
            );
        }
        prune(bases, moves, sources);
        Ok(())
    }

    fn shift(&mut self, at: Timestamp, delta: i64, sources: &Sources) -> Result<(), Refusal> {
        if delta == 0 || !(-MOST_UNITS..=MOST_UNITS).contains(&delta) {
            return Err(Refusal::Impossible { quantity: delta });
        }
        let Holding::Stated { bases, moves } = &mut self.holding else {
            return Err(Refusal::Counted);
        };
        let at = at.as_millisecond();
        match moves.binary_search_by_key(&at, |(at, _)| *at) {
            Ok(found) => moves[found].1 += delta,
            Err(place) => moves.insert(place, (at, delta)),
        }
        prune(bases, moves, sources);
        Ok(())
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

    fn count_sale(&mut self, day: Date, quantity: i64) {
        *self.sold.entry(day).or_default() += quantity;
        if let Some((&latest, _)) = self.sold.last_key_value() {
            let oldest = latest.saturating_sub(SignedDuration::from_hours(24 * KEEP_DAYS));
            self.sold.retain(|day, _| *day > oldest);
        }
    }
}

impl Sources {
    /// Until when a source's statement holds: its own time, or the later snapshot that repeated it.
    fn confirmed_at(&self, source: &ConnectorName, base: &Base) -> Timestamp {
        self.confirmed
            .get(source)
            .copied()
            .map_or(base.version.at, |at| at.max(base.version.at))
    }
}

/// The statement that counts: the best-ranked source's, else the newest.
fn effective<'a>(
    bases: &'a BTreeMap<ConnectorName, Base>,
    ranking: &[ConnectorName],
) -> Option<(&'a ConnectorName, &'a Base)> {
    ranking
        .iter()
        .find_map(|source| bases.get_key_value(source))
        .or_else(|| {
            bases
                .iter()
                .max_by(|(a_name, a), (b_name, b)| (a.version, a_name).cmp(&(b.version, b_name)))
        })
}

fn lower(a: &Level, b: &Level) -> bool {
    (a.on_hand, b.reserved, a.incoming) < (b.on_hand, a.reserved, b.incoming)
}

fn possible(quantity: i64) -> Result<(), Refusal> {
    if (1..=MOST_UNITS).contains(&quantity) {
        Ok(())
    } else {
        Err(Refusal::Impossible { quantity })
    }
}

/// Drops the movements that no statement can still need, and folds the oldest beyond the bound.
fn prune(
    bases: &mut BTreeMap<ConnectorName, Base>,
    moves: &mut Vec<(i64, i64)>,
    sources: &Sources,
) {
    if let Some((source, base)) = effective(bases, &sources.ranking) {
        let keep_from = sources
            .confirmed_at(source, base)
            .saturating_sub(KEEP_MOVES)
            .unwrap_or(Timestamp::MIN)
            .as_millisecond();
        moves.retain(|(at, _)| *at > keep_from);
    }
    while moves.len() > MOST_MOVES {
        let (at, delta) = moves.remove(0);
        for base in bases.values_mut() {
            if base.version.at.as_millisecond() < at {
                base.level.on_hand += delta;
            }
        }
    }
}

/// Whole milliseconds, as the table stores times. Two instants that are stored the same compare the same.
pub fn whole_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests;
