//! What an order's line comes to: what it took from stock, what came back, and what was really sold.
//!
//! A line is told of many times: placed, paid, edited, refunded, cancelled, each time by a webhook
//! that may be late or repeated. So a line is kept as what is known of it (its versions, and each refund
//! once), and stock and demand are changed by the difference between what that comes to and what it
//! came to before. Any set of webhooks comes to the same, in any order.
//!
//! What was ordered leaves when the order is placed; what an edit adds or removes leaves or is back
//! when the edit is made, and a refund is back when it is processed. A level or a count between the two
//! has the one in it and not the other.
//!
//! A line whose order names no place, or one that has no name any more, stays at the one where it was
//! first taken from stock, whatever the configuration has for such orders later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Version, millis};
use super::history::{History, Stamped};
use super::id::LocationId;
use super::product::ProductId;

/// Stands for a connector's default location, among the names of locations.
pub const DEFAULT_LOCATION: &str = "(default)";

/// What one webhook says of an order's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// The source's name for the order.
    pub order: String,
    /// The source's name for the line.
    pub line: String,
    /// What is known of it.
    #[serde(flatten)]
    pub known: KnownLine,
    /// The SKU that its item has for all the source has told of the item itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_has: Option<ProductId>,
    /// All lines that this version of the order has: each is told of by itself.
    #[serde(skip)]
    pub of_order: Arc<BTreeSet<String>>,
}

/// What is known of an order's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLine {
    /// What is sold.
    pub product: ProductId,
    /// Which of the source's items it is, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Another of the source's names of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Whether on hand falls by it.
    pub deducts: bool,
    /// The line as its order has it; unknown while only refunds were heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed: Option<Placed>,
    /// The line as earlier versions of its order had it.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub earlier: History<Ordered>,
    /// What was refunded of it, by the source's name for that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refunds: BTreeMap<String, Refund>,
    /// As what other product it is booked, by place: its SKU led there by then. Nobody says that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub booked: BTreeMap<LocationId, ProductId>,
}

/// A line as one version of its order has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Which version of the order.
    pub version: Version,
    /// Where it is taken from; of what was only heard, nothing where that has no name.
    pub location: Option<LocationId>,
    /// What the source calls that place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// When the order was placed.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// How many.
    #[serde(flatten)]
    pub ordered: Ordered,
    /// Nothing of it is demand any more.
    #[serde(default)]
    pub cancelled: bool,
}

/// How many units a version of an order has of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// Units ever ordered; what is refunded or removed by an edit leaves this as it is.
    pub quantity: i64,
    /// Units still ordered: less those that were refunded or removed by an edit.
    pub current: i64,
    /// The refunds that `current` takes into account.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub refunded: BTreeSet<String>,
}

/// Units of a line that were refunded at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refund {
    /// Where they are back in stock, if they are and that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<LocationId>,
    /// They are back in stock where the line was taken from, as soon as that is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_place: bool,
    /// What the source calls the place where they are back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// Units.
    pub quantity: i64,
    /// When it happened.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// When the source recorded it.
    #[serde(with = "millis")]
    pub recorded: Timestamp,
}

/// One product at one location.
pub type Place = (ProductId, LocationId);

/// What a line comes to at one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// Units that came (positive) or went, by when.
    pub moves: BTreeMap<Timestamp, i64>,
    /// Units sold, by when.
    pub sold: BTreeMap<Timestamp, i64>,
}

impl Effect {
    /// When the first of it happened.
    pub fn first(&self) -> Option<Timestamp> {
        self.moves.keys().chain(self.sold.keys()).min().copied()
    }

    /// The effect of both.
    pub fn add(&mut self, other: Self) {
        for (ours, theirs) in [(&mut self.moves, other.moves), (&mut self.sold, other.sold)] {
            for (at, units) in theirs {
                *ours.entry(at).or_default() += units;
            }
            ours.retain(|_, units| *units != 0);
        }
    }

    /// What takes it back.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        let all = self.moves.values_mut().chain(self.sold.values_mut());
        all.for_each(|units| *units = -*units);
        self
    }
}

fn only_what_differs(effects: &mut BTreeMap<Place, Effect>) {
    for effect in effects.values_mut() {
        effect.moves.retain(|_, units| *units != 0);
        effect.sold.retain(|_, units| *units != 0);
    }
    effects.retain(|_, effect| !effect.moves.is_empty() || !effect.sold.is_empty());
}

impl KnownLine {
    /// Which item it is, or another name of that.
    pub fn whose(&self) -> Option<&str> {
        self.item.as_deref().or(self.alias.as_deref())
    }

    /// What is known once this was heard too.
    #[must_use]
    pub fn joined(&self, heard: &Self) -> Self {
        let heard = &heard.clone().where_known(self);
        let rank = |known: &Self| {
            let placed = known.placed.as_ref();
            // Of two words of one instant, the one further gone. Where no item is known the line is about
            // one product; where that is not so, the order of the names decides, so that the order of
            // arrival does not.
            let gone = placed.map(|it| (it.version, it.cancelled, it.ordered.how_far_gone()));
            let location = placed.map(|it| &it.location).cloned();
            (gone, known.product.clone(), location)
        };
        let (older, newer) = if rank(heard) > rank(self) {
            (self, heard)
        } else {
            (heard, self)
        };
        let mut next = newer.clone();
        next.booked.clone_from(&self.booked);
        // What was taken from stock was, whatever orders count as by now.
        next.deducts |= older.deducts;
        next.item = next.item.or_else(|| older.item.clone());
        next.alias = next.alias.or_else(|| older.alias.clone());
        // Whoever knows the item knows the product; of two who do, the one who is heard later.
        let knows = |known: &Self| (known.item.is_some(), known.alias.is_some());
        if next.whose().is_some() {
            let known = if knows(heard) >= knows(self) {
                heard
            } else {
                self
            };
            next.product.clone_from(&known.product);
        }
        for said in older.earlier.iter() {
            next.was_ordered(&said.value, said.version);
        }
        if let (Some(placed), Some(other)) = (&mut next.placed, &older.placed) {
            // It was placed once, at the latest when that was first said.
            placed.at = placed.at.min(other.at);
            if placed.version == other.version {
                let refunded = other.ordered.refunded.iter();
                placed.ordered.refunded.extend(refunded.cloned());
            } else {
                next.was_ordered(&other.ordered, other.version);
            }
        }
        for (name, refund) in &older.refunds {
            let known = next.refunds.entry(name.clone());
            let known = known.or_insert_with(|| refund.clone());
            let at = refund.at.min(known.at);
            let recorded = refund.recorded.min(known.recorded);
            let said = refund.max(known).clone();
            *known = Refund {
                at,
                recorded,
                ..said
            };
        }
        next.follow_names(heard);
        next
    }

    /// Takes the places to which names lead now, from what is heard now.
    fn follow_names(&mut self, heard: &Self) {
        if let (Some(placed), Some(now)) = (&mut self.placed, &heard.placed)
            && placed.called.is_some()
            && placed.called == now.called
        {
            placed.location.clone_from(&now.location);
        }
        for (name, refund) in &mut self.refunds {
            let now = heard.refunds.get(name);
            if let Some(now) = now.filter(|now| now.called.is_some() && now.called == refund.called)
            {
                refund.back_to.clone_from(&now.back_to);
            }
        }
    }

    /// What was heard, where it was known to be: what the sender left to the default location, and what has
    /// no name any more. A name that leads elsewhere now was corrected, and the line goes where the level goes.
    #[must_use]
    pub fn where_known(mut self, known: &Self) -> Self {
        if let (Some(placed), Some(before)) = (&mut self.placed, &known.placed)
            && (placed.location.is_none()
                || is_default(&placed.called) && is_default(&before.called))
        {
            placed.location.clone_from(&before.location);
        }
        for (name, refund) in &mut self.refunds {
            let Some(before) = known.refunds.get(name) else {
                continue;
            };
            let unnamed = refund.back_to.is_none() && refund.called == before.called;
            if unnamed || refund.in_place && before.in_place {
                refund.back_to.clone_from(&before.back_to);
            }
        }
        self
    }

    /// What the source calls a place where something of `heard` is back, and which nobody knows by that.
    pub fn back_at_unknown(&self, heard: &Self) -> Option<&str> {
        let placed = self
            .placed
            .as_ref()
            .and_then(|placed| placed.called.as_ref());
        let heard = heard.refunds.keys();
        let mut known = heard.filter_map(|name| self.refunds.get(name));
        let unknown = known
            .find(|it| it.back_to.is_none() && it.called.is_some() && it.called.as_ref() != placed);
        unknown?.called.as_deref()
    }

    /// The line as one that was not in its order yet at a version that is older than all that is known of
    /// it.
    #[must_use]
    pub fn not_ordered_at(mut self, version: Version) -> Self {
        let first = self.earlier.iter().next().map(|said| said.version);
        let first = first.or_else(|| Some(self.placed.as_ref()?.version));
        if first.is_some_and(|first| first > version) {
            self.was_ordered(&Ordered::default(), version);
        }
        self
    }

    fn was_ordered(&mut self, ordered: &Ordered, version: Version) {
        self.earlier
            .hear(Some(ordered.clone()), version, |one, other| {
                one.how_far_gone() > other.how_far_gone()
            });
    }

    /// What it comes to, place by place.
    pub fn effects(&self) -> BTreeMap<Place, Effect> {
        let mut effects: BTreeMap<Place, Effect> = BTreeMap::new();
        let mut at = |location: &LocationId, moved: bool, at: Timestamp, units: i64| {
            let place = (self.product.clone(), location.clone());
            let effect = effects.entry(place).or_default();
            let series = if moved {
                &mut effect.moves
            } else {
                &mut effect.sold
            };
            *series.entry(at).or_default() += units;
        };
        if let Some(placed) = &self.placed
            && let Some(location) = &placed.location
        {
            let [_, since] = placed.ordered.refunds(placed.version, &self.refunds);
            let sold = if placed.cancelled {
                0
            } else {
                (placed.ordered.current - since).max(0)
            };
            at(location, false, placed.at, sold);
            let now = Stamped::new(placed.ordered.clone(), placed.version);
            let versions = self.earlier.iter().chain([&now]);
            let mut left = None;
            for said in versions.filter(|_| self.deducts) {
                let by_then = said
                    .value
                    .left(said.version, &placed.ordered, &self.refunds);
                let when = left.map_or(placed.at, |_| said.version.at.max(placed.at));
                at(location, true, when, left.unwrap_or(0) - by_then);
                left = Some(by_then);
            }
        }
        for refund in self.refunds.values().filter(|_| self.deducts) {
            let placed = self.placed.as_ref();
            // By the same name it is the same place, also where that leads elsewhere by now.
            let in_place = placed.filter(|placed| {
                refund.in_place || refund.called.is_some() && refund.called == placed.called
            });
            let in_place = in_place.and_then(|placed| placed.location.as_ref());
            if let Some(location) = in_place.or(refund.back_to.as_ref()) {
                at(location, true, refund.at, refund.quantity);
            }
        }
        only_what_differs(&mut effects);
        effects
    }

    /// What changes, place by place, when `before` becomes this; only differences.
    pub fn difference(&self, before: Option<&Self>) -> BTreeMap<Place, Effect> {
        let mut changes = self.effects();
        for (place, was) in before.map(Self::effects).unwrap_or_default() {
            let now = changes.entry(place).or_default();
            for (at, units) in was.moves {
                *now.moves.entry(at).or_default() -= units;
            }
            for (at, units) in was.sold {
                *now.sold.entry(at).or_default() -= units;
            }
        }
        only_what_differs(&mut changes);
        changes
    }
}

impl Ordered {
    /// Units that were taken off again, units ever ordered, and refunds: of two words of one instant the
    /// one with more of them is the later one.
    fn how_far_gone(&self) -> (i64, i64, usize) {
        let removed = self.quantity - self.current;
        (removed, self.quantity, self.refunded.len())
    }

    /// Units refunded by a version of the order, and since.
    fn refunds(&self, version: Version, refunds: &BTreeMap<String, Refund>) -> [i64; 2] {
        let (mut by_then, mut since) = (0, 0);
        for (name, refund) in refunds {
            let known = self.refunded.contains(name) || refund.recorded <= version.at;
            let sum = if known { &mut by_then } else { &mut since };
            *sum += refund.quantity;
        }
        [by_then, since]
    }

    /// Units that had left by a version of the order, whatever was refunded. `now`: the newest version.
    fn left(&self, version: Version, now: &Self, refunds: &BTreeMap<String, Refund>) -> i64 {
        let [by_then, since] = self.refunds(version, refunds);
        // Refunds beyond what was ordered, then or later, were taken into account whenever they were
        // recorded. The rest was removed by an edit: it never left, or is back where it was.
        let to_be_refunded = self.current + now.quantity - self.quantity;
        let refunded = by_then + (since - to_be_refunded).max(0);
        let removed = (self.quantity - refunded - self.current).max(0);
        self.quantity - removed
    }
}

/// Whether a place was not named, and is the one that the configuration has for such orders.
fn is_default(called: &Option<String>) -> bool {
    called.as_deref() == Some(DEFAULT_LOCATION)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn line(second: i64, quantity: i64, current: i64, cancelled: bool) -> KnownLine {
        KnownLine {
            product: "OIL".parse().unwrap(),
            item: None,
            alias: None,
            deducts: true,
            placed: Some(Placed {
                version: Version::at(time(second)),
                location: Some("north".parse().unwrap()),
                called: None,
                at: time(1),
                ordered: Ordered {
                    quantity,
                    current,
                    refunded: BTreeSet::new(),
                },
                cancelled,
            }),
            earlier: History::default(),
            refunds: BTreeMap::new(),
            booked: BTreeMap::new(),
        }
    }

    fn refund(name: &str, second: i64, quantity: i64, back_to: Option<&str>) -> KnownLine {
        let refund = Refund {
            back_to: back_to.map(|place| place.parse().unwrap()),
            in_place: false,
            called: None,
            quantity,
            at: time(second),
            recorded: time(second),
        };
        KnownLine {
            placed: None,
            refunds: [(name.to_owned(), refund)].into(),
            ..line(0, 0, 0, false)
        }
    }

    fn with(mut line: KnownLine, refund: &KnownLine) -> KnownLine {
        line.refunds.extend(refund.refunds.clone());
        line
    }

    /// On hand here and there, and what was sold, starting from nothing.
    fn sums(known: &KnownLine) -> (i64, i64, i64) {
        let (mut north, mut south, mut sold) = (0, 0, 0);
        for ((_, location), effect) in known.effects() {
            let moved: i64 = effect.moves.values().sum();
            if location.as_str() == "north" {
                north += moved;
            } else {
                south += moved;
            }
            sold += effect.sold.values().sum::<i64>();
        }
        (north, south, sold)
    }

    fn told(all: &[KnownLine]) -> (i64, i64, i64) {
        let first = all[0].clone();
        sums(
            &all[1..]
                .iter()
                .fold(first, |known, heard| known.joined(heard)),
        )
    }

    #[test]
    fn what_comes_back_comes_back_once_at_its_place() {
        let placed = line(1, 4, 4, false);
        assert_eq!(told(std::slice::from_ref(&placed)), (-4, 0, 4));
        // Cancelled with restock: the order has the refund, and the refund has a webhook of its own.
        let back = refund("r1", 5, 4, Some("north"));
        let cancelled = with(line(6, 4, 0, true), &back);
        assert_eq!(told(&[placed.clone(), cancelled.clone()]), (0, 0, 0));
        assert_eq!(told(&[placed.clone(), back.clone(), cancelled]), (0, 0, 0));
        // Cancelled, and the order names no refund yet.
        let bare = line(4, 4, 0, true);
        assert_eq!(told(&[placed.clone(), bare.clone()]), (0, 0, 0));
        assert_eq!(told(&[placed.clone(), bare, back]), (0, 0, 0));
        // Refunded without restock: sold no more, and not back either.
        let lost = refund("r1", 5, 4, None);
        assert_eq!(told(&[placed.clone(), lost]), (-4, 0, 0));
        // Returned to another place.
        let south = refund("r1", 5, 1, Some("south"));
        assert_eq!(told(&[placed.clone(), south]), (-4, 1, 3));
        // A line edited to nothing, and to less.
        assert_eq!(told(&[placed.clone(), line(5, 4, 0, false)]), (0, 0, 0));
        assert_eq!(told(&[placed, line(5, 4, 3, false)]), (-3, 0, 3));
    }

    #[test]
    fn a_refund_of_an_order_that_was_never_heard_of_is_back_in_stock() {
        assert_eq!(told(&[refund("r1", 5, 2, Some("north"))]), (2, 0, 0));
    }

    #[test]
    fn a_refund_without_a_place_is_back_where_its_line_was_taken_from_in_any_order() {
        let placed = line(1, 4, 4, false);
        for default in [None, Some("south")] {
            let mut back = refund("r1", 5, 2, default);
            let one = back.refunds.values_mut().next().unwrap();
            one.in_place = true;
            // Until the order says where, it is back at the default place, if there is one.
            let south = if default.is_some() { 2 } else { 0 };
            assert_eq!(told(std::slice::from_ref(&back)), (0, south, 0));
            assert_eq!(told(&[placed.clone(), back.clone()]), (-2, 0, 2));
            assert_eq!(told(&[back, placed.clone()]), (-2, 0, 2));
        }
    }

    #[test]
    fn an_older_version_after_a_newer_one_changes_nothing() {
        let (newer, older) = (line(5, 4, 1, false), line(2, 4, 3, false));
        assert_eq!(told(&[newer.clone(), older]), told(&[newer]));
    }

    proptest! {
        #[test]
        fn any_order_and_any_repetition_come_to_the_same(
            order in Just((0..6_usize).chain(0..6).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let one = refund("r1", 5, 1, Some("south"));
            let two = refund("r2", 8, 2, Some("north"));
            let all = [
                line(1, 5, 5, false),
                line(3, 5, 4, false),
                with(line(6, 5, 3, false), &one),
                one.clone(),
                two.clone(),
                with(with(line(9, 5, 0, true), &one), &two),
            ];
            let shuffled: Vec<_> = order.iter().map(|index| all[*index].clone()).collect();
            // Of five, one was removed, one is back in the south, two in the north, one is lost.
            let known = shuffled[1..].iter().fold(shuffled[0].clone(), |known, heard| {
                let next = known.joined(heard);
                assert_eq!(next.joined(heard), next);
                next
            });
            prop_assert_eq!(&known, &all.iter().skip(1).fold(all[0].clone(), |a, b| a.joined(b)));
            prop_assert_eq!(sums(&known), (-1, 1, 0));
        }

        /// What has left by any instant is what was ordered by then: a level or a count of that instant
        /// has it, and what is ordered or removed later it has not.
        #[test]
        fn what_has_left_by_an_instant_is_what_was_ordered_by_then(
            edits in prop::collection::vec((1..50_i64, -3..4_i64), 0..6),
            order in Just((0..7_usize).chain(0..7).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let (mut second, mut quantity, mut current) = (1, 5, 5);
            let mut versions = vec![line(second, quantity, current, false)];
            let mut still_ordered = vec![(second, current)];
            for (later, units) in edits {
                second += later;
                quantity += units.max(0);
                current = (current + units).max(0);
                versions.push(line(second, quantity, current, false));
                still_ordered.push((second, current));
            }
            let heard = order.into_iter().filter_map(|index| versions.get(index));
            let known = heard.fold(None, |known: Option<KnownLine>, heard| {
                Some(known.map_or_else(|| heard.clone(), |known| known.joined(heard)))
            });
            let effects = known.unwrap().effects();
            let moves: Vec<_> = effects.values().flat_map(|effect| &effect.moves).collect();
            for (second, current) in still_ordered {
                let by_then = moves.iter().filter(|(at, _)| **at <= time(second));
                prop_assert_eq!(by_then.map(|(_, units)| **units).sum::<i64>(), -current);
            }
        }
    }
}
