//! What a source says of its own items, of which several may stand for one product.
//!
//! A shop counts inventory items, not SKUs. Which SKU an item means can change, two items can be given
//! one SKU, and an item can be archived or deleted. So a position keeps what each item said, and the
//! source's statement is derived from the items that still stand. What an item says and whether it
//! still stands are two registers, each of which the newest version wins, so the order of arrival does
//! not matter.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::alert::named;
use super::authority::API;
use super::event::{Level, Version};
use super::id::{ConnectorName, EventId, LocationId};
use super::position::{Base, Holding, MOST_UNITS, Position, Refusal, Sources, believable, of_item};
use super::product::ProductId;
use super::statement::{Earlier, Statement};

/// Something that the newest version decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dated<T> {
    /// When it was true, by the source's order.
    pub version: Version,
    /// What was.
    pub value: T,
}

/// What a source states of one of its items at one location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemStatement {
    /// The product that the item stands for.
    pub product: ProductId,
    /// The location.
    pub location: LocationId,
    /// The source's name for the item.
    pub item: String,
    /// How much there is; a value of `None` says that the source states it no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Dated<Option<Level>>>,
    /// Whether the source still offers the item: it is not archived or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<Dated<bool>>,
    /// Since when the item has this SKU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<Version>,
    /// What the source calls the location, where it says how much there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// The event that said whether it is offered, where another comes with that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered_by: Option<EventId>,
}

/// Since when an item has its SKU, and whether its source still offers it. Either is heard of without the
/// other, so each has a time of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Since when it has its SKU.
    pub named: Option<Version>,
    /// Whether it is offered, if that was said.
    pub offered: Option<Dated<bool>>,
    /// The event that said so.
    pub offered_by: Option<EventId>,
}

named!(
    /// What to make of several items of one source that have the same SKU at the same location.
    SameSku {
        /// Nobody knows which of them is meant: it is told, and stock stays as it was.
        Conflict => "conflict",
        /// They are parts of one stock.
        Sum => "sum",
    }
);

/// What one item last said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The level it last stated, of each fact what it last said, or that it states none any more.
    pub level: Dated<Option<Level>>,
    /// What of it is from before that.
    #[serde(default, skip_serializing_if = "Earlier::is_nothing")]
    pub earlier: Earlier,
    /// Whether it is still offered; unset counts as yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<Dated<bool>>,
    /// Since when it has this SKU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<Version>,
    /// What the source called the location when it stated the level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
}

impl Item {
    /// The level, if the item still stands for the product.
    pub fn live(&self) -> Option<(Version, &Level)> {
        let stands = self.offered.is_none_or(|offered| offered.value);
        let level = self.level.value.as_ref().filter(|_| stands)?;
        Some((self.level.version, level))
    }

    /// Since when it stands for the product, or does no longer.
    pub(super) fn since(&self) -> Version {
        match self.offered {
            Some(ended) if !ended.value => ended.version,
            offered => {
                let since = offered.map(|it| it.version).max(self.named);
                since.unwrap_or(self.level.version)
            }
        }
    }

    pub(super) fn statement(&self) -> Statement {
        Statement::of(self.level.version, self.level.value.as_ref(), &self.earlier)
    }

    /// Takes in what is stated of it; whether that is the latest.
    fn state(&mut self, said: Statement) -> bool {
        let known = self.statement();
        let (version, value, earlier) = known.join(said).parts();
        self.level = Dated { version, value };
        self.earlier = earlier;
        said.is_after(&known)
    }

    /// Takes in what was said of it elsewhere: of each register the newest.
    pub(super) fn join(&mut self, other: &Self) {
        if self.state(other.statement()) {
            self.called.clone_from(&other.called);
        }
        self.named = self.named.max(other.named);
        if let Some(offered) = other.offered {
            self.offer(offered);
        }
    }

    /// Takes in whether it is offered: of two words of one instant, the end.
    pub(super) fn offer(&mut self, offered: Dated<bool>) {
        let offered = Dated {
            version: offered.version.kept(),
            ..offered
        };
        let newer = |it: Dated<bool>| (it.version, !it.value);
        if self.offered.map(newer) < Some(newer(offered)) {
            self.offered = Some(offered);
        }
    }
}

impl Position {
    /// The items of a source that claim this position at the same time, if they contradict each other.
    pub fn contradicting(&self, source: &ConnectorName) -> Vec<&str> {
        let Holding::Stated { bases, .. } = &self.holding else {
            return Vec::new();
        };
        let base = bases.get(source).filter(|base| base.contradicts);
        let items = base.into_iter().flat_map(|base| &base.items);
        items
            .filter(|(_, item)| item.live().is_some())
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// What one of a source's items last said here.
    pub fn item(&self, source: &ConnectorName, item: &str) -> Option<&Item> {
        match &self.holding {
            Holding::Stated { bases, .. } => bases.get(source)?.items.get(item),
            Holding::Counted { .. } => None,
        }
    }

    /// Whether sources stated it once, and none of them does any more, under this SKU.
    pub fn no_longer_stated(&self, sources: &Sources) -> bool {
        if self.renamed_to().is_some() {
            return true;
        }
        match &self.holding {
            Holding::Stated { bases, .. } => !bases.is_empty() && self.owner(sources).is_none(),
            Holding::Counted { .. } => self.no_longer_counted(),
        }
    }

    pub(super) fn state_item(
        &mut self,
        source: &ConnectorName,
        said: &ItemStatement,
        sources: &Sources,
    ) -> Result<(), Refusal> {
        let stated = said.level.as_ref().and_then(|level| level.value.as_ref());
        if let Some(quantity) = stated.and_then(impossible) {
            return Err(Refusal::Impossible { quantity });
        }
        let sole = self.sole_item();
        let (bases, _) = self.stated_by_hand()?;
        let known = bases
            .get(source)
            .and_then(|base| base.items.get(&said.item));
        let mut item = match (known, &said.level) {
            (Some(known), _) => known.clone(),
            (None, Some(level)) => Item {
                level: Dated {
                    version: level.version.kept(),
                    value: level.value.clone(),
                },
                earlier: Earlier::default(),
                offered: None,
                named: None,
                called: None,
            },
            // Only a word on an item that stated nothing here.
            (None, None) => return Ok(()),
        };
        if let Some(level) = &said.level {
            let newer = item.state(Statement::new(level.version, stated));
            if newer || known.is_none() {
                let before = known.and_then(|known| known.level.value.as_ref());
                let before = before.map_or(0, |level| level.on_hand);
                match stated.map(|level| level.on_hand) {
                    Some(on_hand) if on_hand > before => believable(on_hand - before, sources)?,
                    Some(on_hand) if on_hand < 0 => believable(on_hand, sources)?,
                    _ => {}
                }
                item.called.clone_from(&said.called);
            }
        }
        if let Some(offered) = said.offered {
            item.offer(offered);
        }
        item.named = item.named.max(said.named.map(Version::kept));
        let came = item.live().is_some() && known.and_then(Item::live).is_none();
        let since = item.since();
        let base = bases
            .entry(source.clone())
            .or_insert_with(|| Base::ended(item.level.version));
        base.items.insert(said.item.clone(), item);
        base.derive(sources.same_sku(source));
        self.tidy();
        let sole = sole.filter(|sole| sole.name != of_item(source, &said.item));
        if came && let Some(sole) = sole {
            // What moves after several parts of a sum were there is nobody's in particular; of items
            // that contradict each other the one has yet to leave, whenever that is heard.
            let is_summed = sources.same_sku(source) == SameSku::Sum;
            let until = sole.ended.or(is_summed.then_some(since));
            self.attribute(&sole.name, sole.since, until);
            self.attribute_counts(&sole.name, sole.since, Some(since));
        }
        Ok(())
    }

    /// What a source calls the place, by what of it stands here.
    pub fn called_by(&self, source: &ConnectorName) -> BTreeSet<&str> {
        let Some(base) = self.stated_by(source) else {
            return BTreeSet::new();
        };
        let live = base.items.values().filter(|item| item.live().is_some());
        let called = live.map(|item| &item.called).chain([&base.called]);
        called.flatten().map(String::as_str).collect()
    }

    /// Forgets what a source has said here, or what of it by one of its names of the place; and if that was
    /// what is there, also what was overtaken by it: older words that come to something else. Nobody knows
    /// how it went on. A person's count is of its day, whatever it comes to.
    pub(super) fn forget(
        &mut self,
        source: &ConnectorName,
        called: Option<&str>,
        sources: &Sources,
    ) {
        let is_read = self.read_from(sources).is_some_and(|(it, _)| it == source);
        let there = self.stock(sources).map(|stock| stock.available);
        let Holding::Stated { bases, .. } = &mut self.holding else {
            return;
        };
        let Some(base) = bases.get_mut(source) else {
            return;
        };
        if let Some(called) = called {
            let all = base.items.len();
            base.items
                .retain(|_, item| item.called.as_deref() != Some(called));
            match base.items.is_empty() {
                true if all == 0 && base.called.as_deref() != Some(called) => return,
                true => {}
                false => return base.derive(sources.same_sku(source)),
            }
        }
        let Some(gone) = bases.remove(source).filter(|_| is_read) else {
            return;
        };
        while let Some((next, base)) = self.read_from(sources)
            && base.version < gone.version
            && (next.as_str() == API || self.stock(sources).map(|stock| stock.available) != there)
        {
            let next = next.clone();
            if let Holding::Stated { bases, .. } = &mut self.holding {
                bases.remove(&next);
            }
            if next.as_str() == API {
                self.counts.clear();
            }
        }
    }

    /// Notes that a source states nothing here any more; an older statement changes nothing.
    pub(super) fn end(&mut self, source: &ConnectorName, version: Version) -> Result<(), Refusal> {
        let version = version.kept();
        let (bases, _) = self.stated_by_hand()?;
        let base = bases
            .entry(source.clone())
            .or_insert_with(|| Base::ended(version));
        if version >= base.version {
            base.version = version;
            base.earlier = Earlier::default();
            base.ended = true;
            base.contradicts = false;
            for item in base.items.values_mut() {
                item.state(Statement::new(version, None));
            }
        } else {
            base.take_in_overtaken(Statement::new(version, None));
        }
        Ok(())
    }
}

impl Base {
    /// A source that states nothing.
    pub(super) fn ended(version: Version) -> Self {
        Self {
            version,
            level: Level::default(),
            earlier: Earlier::default(),
            moved: 0,
            mentioned: None,
            oldest: None,
            ended: true,
            called: None,
            contradicts: false,
            items: BTreeMap::new(),
            of: None,
        }
    }

    /// When the source last said anything here, be it that something has ended.
    pub fn last_heard(&self) -> Version {
        let items = self.items.values();
        let heard = items.flat_map(|item| {
            let offered = item.offered.map(|offered| offered.version);
            [Some(item.level.version), offered]
        });
        heard
            .flatten()
            .max()
            .max(Some(self.version))
            .unwrap_or(self.version)
    }

    /// The source's statement, from those of its items that still stand.
    pub(super) fn derive(&mut self, same_sku: SameSku) {
        let live: Vec<_> = self.items.values().filter_map(Item::live).collect();
        let newest = live.iter().map(|(version, _)| *version).max();
        let oldest = live.iter().map(|(version, _)| *version).min();
        let oldest = oldest.filter(|_| live.len() > 1 && same_sku == SameSku::Sum);
        let level = match live.as_slice() {
            [] => None,
            [(_, only)] => Some((*only).clone()),
            several if same_sku == SameSku::Sum => Some(
                several
                    .iter()
                    .fold(Level::default(), |sum, (_, level)| sum.plus(level)),
            ),
            // What was believed before they contradicted each other stands.
            _ => {
                self.contradicts = true;
                return;
            }
        };
        let since = self.since();
        self.contradicts = false;
        self.oldest = oldest;
        self.ended = level.is_none();
        if let Some((level, version)) = level.zip(newest) {
            self.level = level;
            self.earlier = Earlier::default();
            self.version = version;
            if self.since() != since {
                // What was added up has moved after another statement.
                self.moved = 0;
            }
        }
    }
}

/// A quantity of the level that no yard holds.
pub(super) fn impossible(level: &Level) -> Option<i64> {
    let stated = [
        Some(level.on_hand),
        level.reserved,
        level.incoming,
        level.unavailable,
    ];
    let mut stated = stated.into_iter().flatten();
    stated.find(|quantity| !(-MOST_UNITS..=MOST_UNITS).contains(quantity))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::super::position::{PositionChange, Sources};
    use super::*;

    fn version(second: i64) -> Version {
        Version::at(Timestamp::from_second(second).unwrap())
    }

    fn said(item: &str, second: i64, on_hand: Option<i64>) -> ItemStatement {
        let value = on_hand.map(|on_hand| Level {
            on_hand,
            ..Level::default()
        });
        ItemStatement {
            product: "OIL".parse().unwrap(),
            location: "north".parse().unwrap(),
            item: item.to_owned(),
            level: Some(Dated {
                version: version(second),
                value,
            }),
            offered: None,
            named: None,
            called: None,
            offered_by: None,
        }
    }

    fn offered(item: &str, second: i64, value: bool) -> ItemStatement {
        ItemStatement {
            level: None,
            offered: Some(Dated {
                version: version(second),
                value,
            }),
            ..said(item, second, None)
        }
    }

    fn summed() -> Sources {
        Sources {
            summed: ["shop".parse().unwrap()].into(),
            ..Sources::default()
        }
    }

    fn after(all: &[ItemStatement], sources: &Sources) -> Position {
        let start = Position::unknown("OIL".parse().unwrap(), "north".parse().unwrap());
        all.iter().fold(start, |position, said| {
            let change = PositionChange::Item {
                source: "shop".parse().unwrap(),
                said: said.clone(),
            };
            let next = position.after(&change, sources).unwrap();
            next.unwrap_or(position)
        })
    }

    fn on_hand(position: &Position) -> Option<i64> {
        let stock = position.stock(&Sources::default());
        stock.map(|stock| stock.on_hand)
    }

    fn each_order(
        all: &[ItemStatement],
        sources: &Sources,
        check: &dyn Fn(&Position, &[ItemStatement]),
    ) {
        fn permute(
            rest: &[ItemStatement],
            taken: &mut Vec<ItemStatement>,
            sources: &Sources,
            check: &dyn Fn(&Position, &[ItemStatement]),
        ) {
            if rest.is_empty() {
                return check(&after(taken, sources), taken);
            }
            for at in 0..rest.len() {
                let mut left = rest.to_vec();
                taken.push(left.remove(at));
                permute(&left, taken, sources, check);
                taken.pop();
            }
        }
        permute(all, &mut Vec::new(), sources, check);
    }

    #[test]
    fn two_items_with_one_sku_contradict_each_other_and_stock_stays_as_it_was() {
        let shop = "shop".parse().unwrap();
        let mut all = vec![said("1", 10, Some(40)), said("2", 20, Some(0))];
        let position = after(&all, &Sources::default());
        assert_eq!(on_hand(&position), Some(40));
        assert_eq!(position.contradicting(&shop), ["1", "2"]);
        all.push(said("1", 30, Some(39)));
        assert_eq!(on_hand(&after(&all, &Sources::default())), Some(40));
        // One of them goes: the other is believed again, with its latest word.
        all.push(offered("2", 40, false));
        let position = after(&all, &Sources::default());
        assert_eq!(on_hand(&position), Some(39));
        assert!(position.contradicting(&shop).is_empty());
    }

    #[test]
    fn items_with_one_sku_are_summed_where_that_is_declared_in_every_order() {
        let all = [
            said("1", 10, Some(40)),
            said("2", 20, Some(2)),
            said("1", 30, Some(39)),
        ];
        each_order(&all, &summed(), &|position, order| {
            assert_eq!(on_hand(position), Some(41), "{order:?}");
        });
    }

    #[test]
    fn a_level_of_one_item_of_a_sum_covers_its_own_sales_and_no_others_in_every_order() {
        let shop: ConnectorName = "shop".parse().unwrap();
        let sum = |said: ItemStatement| PositionChange::Item {
            source: shop.clone(),
            said,
        };
        let sale = |item: Option<&str>, second: i64, units: i64| PositionChange::Line {
            whose: item.map(|item| (shop.clone(), item.to_owned())),
            moves: vec![(version(second).at, -units)],
            sold: Vec::new(),
        };
        let all = [
            sum(said("1", 10, Some(40))),
            sum(said("2", 10, Some(20))),
            sale(Some("1"), 15, 5),
            sale(Some("2"), 16, 2),
            // Whose this is nobody knows: it is in the sum until both were stated since.
            sale(None, 17, 1),
            sum(said("1", 20, Some(34))),
        ];
        let after = |order: &[usize]| {
            let start = Position::unknown("OIL".parse().unwrap(), "north".parse().unwrap());
            order.iter().fold(start, |position, index| {
                let next = position.after(&all[*index], &summed()).unwrap();
                next.unwrap_or(position)
            })
        };
        for turn in 0..all.len() {
            let mut order: Vec<_> = (0..all.len()).collect();
            order.rotate_left(turn);
            assert_eq!(on_hand(&after(&order)), Some(34 + 20 - 2 - 1), "{order:?}");
            order.reverse();
            assert_eq!(on_hand(&after(&order)), Some(34 + 20 - 2 - 1), "{order:?}");
        }
        let whole = after(&[0, 1, 2, 3, 4, 5]);
        let other = sum(said("2", 30, Some(18)));
        let both = whole.after(&other, &summed()).unwrap().unwrap();
        assert_eq!(on_hand(&both), Some(34 + 18));
        // An item that gets a SKU of its own takes its sales along.
        let gone = PositionChange::Item {
            source: shop.clone(),
            said: offered("2", 40, false),
        };
        let left = whole.after(&gone, &summed()).unwrap().unwrap();
        assert_eq!(on_hand(&left), Some(34));
    }

    const DAY: i64 = 24 * 3_600;

    fn moved(second: i64, item: Option<&str>, units: i64) -> PositionChange {
        PositionChange::Line {
            whose: item.map(|item| ("shop".parse().unwrap(), item.to_owned())),
            moves: vec![(version(second).at, units)],
            sold: Vec::new(),
        }
    }

    fn of_shop(said: ItemStatement) -> PositionChange {
        PositionChange::Item {
            source: "shop".parse().unwrap(),
            said,
        }
    }

    fn all_of(changes: impl IntoIterator<Item = PositionChange>) -> Position {
        let start = Position::unknown("OIL".parse().unwrap(), "north".parse().unwrap());
        changes.into_iter().fold(start, |position, change| {
            let next = position.after(&change, &of_the_shop()).unwrap();
            next.unwrap_or(position)
        })
    }

    fn of_the_shop() -> Sources {
        Sources {
            ranking: vec!["shop".parse().unwrap()],
            ..summed()
        }
    }

    fn there(position: &Position) -> Option<i64> {
        position.balance(&of_the_shop())
    }

    #[test]
    fn what_moved_in_a_sum_counts_until_each_of_its_items_is_stated_however_much_it_was() {
        let both = [said("1", 0, Some(10)), said("2", 0, Some(20))];
        let received = (0..40).map(|n| moved(DAY + n, None, 1));
        let mut changes: Vec<_> = both.map(of_shop).into_iter().chain(received).collect();
        for (said, expected) in [
            (said("2", 4 * DAY, Some(25)), 10 + 25 + 40),
            (said("2", 9 * DAY, Some(21)), 10 + 21 + 40),
            (said("1", 12 * DAY, Some(50)), 50 + 21),
        ] {
            changes.push(of_shop(said));
            let position = all_of(changes.clone());
            assert_eq!(there(&position), Some(expected));
            assert!(position.movements() <= 40);
        }
    }

    #[test]
    fn of_what_comes_to_nothing_together_an_items_part_is_in_its_level_and_the_rest_is_not() {
        let mut changes = [said("1", 0, Some(10)), said("2", 0, Some(20))]
            .map(of_shop)
            .to_vec();
        for n in 0..20 {
            changes.push(moved(DAY + 2 * n, Some("2"), -1));
            changes.push(moved(DAY + 2 * n + 1, None, 1));
        }
        changes.push(of_shop(said("2", 4 * DAY, Some(5))));
        changes.push(moved(5 * DAY, None, 2));
        assert_eq!(there(&all_of(changes)), Some(10 + 5 + 20 + 2));
    }

    #[test]
    fn what_is_added_up_is_in_the_sum_that_an_item_becomes_a_part_of() {
        let received = (0..40).map(|n| moved(DAY + n, None, 1));
        let mut changes = vec![of_shop(said("1", 0, Some(10)))];
        changes.extend(received);
        changes.push(PositionChange::Level {
            called: None,
            source: "erp".parse().unwrap(),
            level: Level::default(),
            version: version(4 * DAY),
        });
        assert_eq!(there(&all_of(changes.clone())), Some(50));
        changes.push(of_shop(said("2", 5 * DAY, Some(3))));
        assert_eq!(there(&all_of(changes)), Some(53));
    }

    proptest! {
        /// Two items over three weeks, each with levels and sales of its own, and movements of neither.
        #[test]
        fn a_sum_is_what_its_items_state_and_what_moved_since(
            told in proptest::collection::vec((0..3_usize, prop::option::weighted(0.04, 0..500_i64), -3..4_i64), 60..400),
        ) {
            let items = ["1", "2"];
            let mut changes: Vec<_> = items.iter().map(|item| of_shop(said(item, 0, Some(500)))).collect();
            let (mut levels, mut moves) = ([(0, 500); 2], Vec::new());
            for (hour, (item, level, units)) in (1..).zip(told) {
                let at = hour * 2 * 3_600;
                match (items.get(item), level) {
                    (Some(name), Some(on_hand)) => {
                        levels[item] = (at, on_hand);
                        changes.push(of_shop(said(name, at, Some(on_hand))));
                    }
                    (_, _) if units == 0 => {}
                    (name, _) => {
                        moves.push((at, item, units));
                        changes.push(moved(at, name.copied(), units));
                    }
                }
            }
            let oldest = levels[0].0.min(levels[1].0);
            let since = |item: usize| levels.get(item).map_or(oldest, |(at, _)| *at);
            let moved = moves.iter().filter(|(at, item, _)| *at > since(*item));
            let expected = levels[0].1 + levels[1].1 + moved.map(|(_, _, units)| units).sum::<i64>();
            let position = all_of(changes);
            prop_assert_eq!(there(&position), Some(expected));
        }
    }

    #[test]
    fn the_end_of_an_item_is_no_data_in_every_order() {
        let all = [
            said("1", 10, Some(7)),
            said("1", 20, None),
            said("1", 15, Some(3)),
        ];
        each_order(&all, &Sources::default(), &|position, order| {
            assert_eq!(on_hand(position), None, "{order:?}");
            assert!(position.no_longer_stated(&Sources::default()));
        });
        let mut back = all.to_vec();
        back.push(said("1", 30, Some(5)));
        each_order(&back, &Sources::default(), &|position, order| {
            assert_eq!(on_hand(position), Some(5), "{order:?}");
        });
    }

    #[test]
    fn an_archived_item_states_nothing_until_it_is_offered_again() {
        let archived = [
            said("1", 10, Some(7)),
            offered("1", 20, false),
            said("1", 30, Some(6)),
        ];
        // A word on an item that stated nothing yet says nothing: the name's own row has it.
        assert_eq!(on_hand(&after(&archived, &Sources::default())), None);
        let mut again = archived.to_vec();
        again.push(offered("1", 40, true));
        assert_eq!(on_hand(&after(&again, &Sources::default())), Some(6));
        again.push(offered("1", 20, false));
        assert_eq!(
            on_hand(&after(&again, &Sources::default())),
            Some(6),
            "an older word"
        );
    }
}
