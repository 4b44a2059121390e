//! What a source states of how much there is, taken together from its levels.
//!
//! A level may leave out what is reserved, incoming or unavailable, and what of that cannot be read is left
//! out of it. Nothing said changes nothing: each of these facts stands from the latest level that said it,
//! in whatever order the levels arrive, until the source states nothing any more.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::event::{Level, Version};

/// When a level was true, and how much was on hand by it: of two of one instant the lower counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Stamp {
    #[serde(rename = "v")]
    version: Version,
    /// Nothing where the source stated nothing any more, which counts before any level of that instant.
    #[serde(rename = "n")]
    on_hand: Reverse<Option<i64>>,
}

/// What is known from before the latest level, which did not say it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    reserved: Option<Stamp>,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    incoming: Option<Stamp>,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    unavailable: Option<Stamp>,
    /// When the source last stated nothing any more: what it had said up to then is over.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    over: Option<Version>,
}

impl Earlier {
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// A source's statement. Two of them join to the same in either order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statement {
    last: Stamp,
    over: Option<Version>,
    /// Reserved, unavailable and, below zero, incoming: of two of one level the higher is the safe one.
    facts: [Option<Fact>; 3],
}

/// Reserved, unavailable and, below zero, incoming, each with when it was last said: of two the higher counts.
pub(super) type Facts = [Option<(Version, i64)>; 3];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fact {
    said: Stamp,
    units: i64,
}

impl Statement {
    /// A level that was true then, or that the source states nothing any more.
    pub(super) fn new(version: Version, level: Option<&Level>) -> Self {
        Self::of(version, level, &Earlier::default())
    }

    /// The latest level, with what is known from before it.
    pub(super) fn of(version: Version, level: Option<&Level>, earlier: &Earlier) -> Self {
        let last = Stamp {
            version: version.kept(),
            on_hand: Reverse(level.map(|level| level.on_hand)),
        };
        let fact = |units: Option<i64>, said: Option<Stamp>| {
            let said = said.unwrap_or(last);
            units.map(|units| Fact { said, units })
        };
        let level = level.cloned().unwrap_or_default();
        Self {
            last,
            over: match last.on_hand.0 {
                None => Some(last.version),
                Some(_) => earlier.over,
            },
            facts: [
                fact(level.reserved, earlier.reserved),
                fact(level.unavailable, earlier.unavailable),
                fact(level.incoming.map(i64::saturating_neg), earlier.incoming),
            ],
        }
    }

    /// Whether its latest level counts before the other's.
    pub(super) fn is_after(&self, other: &Self) -> bool {
        self.last > other.last
    }

    /// Each of these as it was last said.
    pub(super) fn facts(&self) -> Facts {
        let said = |fact: Fact| (fact.said.version, fact.units);
        self.facts.map(|fact| fact.map(said))
    }

    pub(super) fn join(self, other: Self) -> Self {
        let over = self.over.max(other.over);
        let mut facts = self.facts;
        for (fact, other) in facts.iter_mut().zip(other.facts) {
            *fact = (*fact).max(other);
            *fact = fact.filter(|fact| Some(fact.said.version) > over);
        }
        Self {
            last: self.last.max(other.last),
            over,
            facts,
        }
    }

    /// As it is kept: the latest level, with each fact as it was last said, and what is known from before
    /// that level.
    pub(super) fn parts(self) -> (Version, Option<Level>, Earlier) {
        let [reserved, unavailable, incoming] = self.facts;
        let units = |fact: Option<Fact>| fact.map(|fact| fact.units);
        let level = self.last.on_hand.0.map(|on_hand| Level {
            on_hand,
            reserved: units(reserved),
            incoming: units(incoming).map(i64::saturating_neg),
            unavailable: units(unavailable),
        });
        let said = |fact: Option<Fact>| {
            let said = fact.map(|fact| fact.said);
            said.filter(|said| *said != self.last)
        };
        let earlier = Earlier {
            reserved: said(reserved),
            incoming: said(incoming),
            unavailable: said(unavailable),
            over: self.over.filter(|_| level.is_some()),
        };
        (self.last.version, level, earlier)
    }
}
