//! What people have counted, and of which item it was.
//!
//! A count is of the item that alone had the SKU when it was counted. Whose it is matters once the item gets
//! another SKU, or another item this one, and is written down then. As long as one of them may still leave, in
//! whatever order that is heard, the counts of both are kept; what is there by the latest of them is read.

use std::cmp::Reverse;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::super::authority::API;
use super::super::event::{Level, Version};
use super::super::id::ConnectorName;
use super::super::item;
use super::super::statement::Statement;
use super::{Base, Holding, Position, Refusal, Sources, within_a_jump};

/// For how long after both were counted, and had the SKU, what the latest count has overtaken is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(48);

/// Whose a count is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Whose {
    /// The item, by the name of its part.
    #[serde(rename = "i")]
    pub item: String,
    /// Since when it has the SKU, if that is known.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Version>,
}

impl Position {
    /// All counts that are kept.
    pub(in crate::domain) fn counted(&self) -> impl Iterator<Item = &Base> {
        let latest = match &self.holding {
            Holding::Stated { bases, .. } => super::counted(bases).map(|(_, count)| count),
            Holding::Counted { .. } => None,
        };
        latest.into_iter().chain(&self.counts)
    }

    /// The items of which something was counted here, by name.
    pub fn counted_items(&self) -> impl Iterator<Item = &String> {
        self.counted()
            .filter_map(|count| Some(&count.of.as_ref()?.item))
    }

    pub(super) fn tells_counts_apart(&self) -> bool {
        self.counted_items().next().is_some()
    }

    /// Takes in a count where those of one item and another are told apart.
    pub(super) fn count_of(
        &mut self,
        level: &Level,
        version: Version,
        whose: Option<&Whose>,
        sources: &Sources,
    ) -> Result<(), Refusal> {
        if let Some(quantity) = item::impossible(level) {
            return Err(Refusal::Impossible { quantity });
        }
        let there = self.balance(sources);
        self.stated_by_hand()?;
        within_a_jump(there.unwrap_or(0), level.on_hand, sources)?;
        let (version, level, earlier) = Statement::new(version, Some(level)).parts();
        let count = Base {
            level: level.unwrap_or_default(),
            earlier,
            ended: false,
            of: whose.cloned(),
            ..Base::ended(version)
        };
        let mut counts = self.take_counts();
        counts.push(count);
        self.put_counts(counts);
        self.tidy();
        Ok(())
    }

    /// Takes all counts out of it.
    pub(in crate::domain) fn take_counts(&mut self) -> Vec<Base> {
        let mut counts = std::mem::take(&mut self.counts);
        if let Holding::Stated { bases, .. } = &mut self.holding {
            counts.extend(
                bases
                    .extract_if(.., |by, _| by.as_str() == API)
                    .map(|(_, count)| count),
            );
        }
        counts
    }

    /// Puts counts in: the latest as what the API states, and beside it what it has not overtaken.
    pub(in crate::domain) fn put_counts(&mut self, mut counts: Vec<Base>) {
        // Of two of one instant the lower counts.
        counts.sort_by_cached_key(|it| (Reverse(it.version), it.level.on_hand, it.of.clone()));
        let came: Vec<_> = counts
            .iter()
            .filter_map(|count| count.of.as_ref()?.since)
            .collect();
        let last_came = came.iter().max().copied();
        let mut kept: Vec<Base> = Vec::new();
        for count in counts {
            let is_long_past = kept.first().is_some_and(|latest| {
                let then = last_came.max(Some(count.version)).unwrap_or(count.version);
                latest.version.at.duration_since(then.at) > KEPT
            });
            let overtaken = kept.iter_mut().find(|newer| match (&count.of, &newer.of) {
                (Some(of), Some(by)) => of.item == by.item,
                // Another may have had the SKU then.
                (None, None) => {
                    let mut came = came.iter();
                    !came.any(|at| count.version < *at && *at <= newer.version)
                }
                _ => false,
            });
            match overtaken {
                Some(newer) => {
                    if let (Some(of), Some(by)) = (count.of, &mut newer.of) {
                        by.since = by.since.max(of.since);
                    }
                }
                None if is_long_past => {}
                None => kept.push(count),
            }
        }
        if let Holding::Stated { bases, .. } = &mut self.holding
            && !kept.is_empty()
            && let Ok(by) = API.parse::<ConnectorName>()
        {
            bases.insert(by, kept.remove(0));
            self.counts = kept;
        }
    }

    /// Writes down that what was counted of nobody in particular, since and until then, is of this item.
    pub(in crate::domain) fn attribute_counts(
        &mut self,
        name: &str,
        since: Option<Version>,
        until: Option<Version>,
    ) {
        let mut counts = self.take_counts();
        for count in &mut counts {
            let is_within = since.is_none_or(|since| since <= count.version)
                && until.is_none_or(|until| count.version < until);
            if count.of.is_none() && is_within {
                let item = name.to_owned();
                count.of = Some(Whose { item, since });
            }
        }
        self.put_counts(counts);
    }

    /// What moved after then of items that were counted each by itself, but for this one.
    pub(super) fn of_other_counts(&self, of: Option<&Whose>, since: i64) -> i64 {
        let others = self
            .counts
            .iter()
            .filter_map(|count| count.of.as_ref())
            .filter(|it| of.is_none_or(|of| of.item != it.item));
        let moves = others
            .filter_map(|it| self.of_items.get(&it.item))
            .flatten();
        moves
            .filter(|(at, _)| *at > since)
            .map(|(_, delta)| delta)
            .sum()
    }
}
