//! Items that get another SKU, and what goes with them.
//!
//! What is known of an item goes where the item goes; what is known of a SKU alone stays with it for as
//! long as something has it, and goes along with the last item that leaves it. An order names its item, and
//! what it moved and sold is written down as that item's ([`Part`]). What names no item is, while one item
//! alone stands for a SKU at a place, that item's: that is written down when another item comes, or where
//! something that is not the item's is at its new SKU already.
//!
//! What stays behind says where the item went, so that whoever still uses the old SKU reaches it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::authority::{API, Calendars};
use super::event::Version;
use super::id::ConnectorName;
use super::item::{Dated, Item, SameSku};
use super::origin::Origin;
use super::position::{Base, Holding, Position, Sources, Whose, add_move, of_item};
use super::product::ProductId;

/// Since before anything is known.
const ALWAYS: Version = Version {
    at: Timestamp::MIN,
    sequence: 0,
};

/// What became of a SKU that an item had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renamed {
    /// The product's SKU from then on.
    pub to: ProductId,
    /// Since when, by the order of the source that renamed it.
    pub since: Version,
    /// Whose item had it.
    pub source: ConnectorName,
    /// Which item.
    pub item: String,
    /// Something else has the old SKU by now. What happened before then is still the renamed product's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken: bool,
}

/// What of a position is known to be of one item, beside its level and its movements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Units promised.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: i64,
    /// Units sold, by day.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sold: BTreeMap<Date, i64>,
}

impl Part {
    fn add(&mut self, other: &Self) {
        self.held += other.held;
        for (day, units) in &other.sold {
            self.count_sale(*day, *units);
        }
    }

    /// Counts a sale, or takes one back.
    pub(super) fn count_sale(&mut self, day: Date, units: i64) {
        *self.sold.entry(day).or_default() += units;
        self.sold.retain(|_, units| *units != 0);
    }

    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// An item that alone stands for the product.
pub(super) struct Sole {
    /// The name of its part.
    pub(super) name: String,
    /// Since when it has the SKU, if that was said.
    pub(super) since: Option<Version>,
    /// Since when it is offered no longer, if it is not.
    pub(super) ended: Option<Version>,
}

/// How a model line loses vehicles at a place: what one message, such as a file, tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// What it goes back to, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Origin>,
    /// The line that they stand there as from then on; nothing if one went otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ProductId>,
    /// What their source calls that line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
}

impl Lost {
    /// This, and what the same message has told before of others, in whatever order.
    #[must_use]
    pub(super) fn and(self, before: Option<&Self>) -> Self {
        let id = |of: &Self| of.by.as_ref().map(|by| by.id.clone());
        let before = before.filter(|it| it.by.is_some() && id(it) == id(&self));
        let Some(before) = before else {
            return self;
        };
        let (to, called) = match (before.to.as_ref(), self.to) {
            (Some(known), Some(to)) if *known < to => (Some(known.clone()), before.called.clone()),
            (Some(_), to) => (to, self.called),
            (None, _) => (None, None),
        };
        Self { to, called, ..self }
    }
}

/// An item that leaves a SKU.
#[derive(Debug, Clone, Copy)]
pub struct Leaving<'a> {
    /// Whose item it is.
    pub source: &'a ConnectorName,
    /// Which.
    pub item: &'a str,
    /// What positions call it, and its other names.
    pub names: &'a [String],
    /// The SKU that it has now.
    pub to: &'a ProductId,
    /// Since when.
    pub since: Version,
    /// Whether its source offers it, if that was said.
    pub offered: Option<Dated<bool>>,
    /// Whether something else has the old SKU, here or at another place.
    pub is_taken: bool,
    /// Since when it had the SKU, if it got that from another.
    pub came: Option<Version>,
    /// The items that got the SKU from another, and that have it: by name, since when.
    pub others: &'a BTreeMap<String, Version>,
    /// Names that are of none of the source's items for all that is known, such as a variant that was never
    /// described: what is theirs goes along with the last item.
    pub along: &'a BTreeSet<String>,
    /// It never had the old SKU: it takes what was booked there as its own, and nothing else.
    pub never_had_it: bool,
}

impl Position {
    /// Where the product is that had this SKU and this place, unless something else has the SKU now. Of a
    /// model line without a vehicle, the one that its last ones are counted as.
    pub fn renamed_to(&self) -> Option<&ProductId> {
        match self.renamed.as_ref().filter(|it| !it.taken) {
            Some(renamed) => Some(&renamed.to),
            None => self
                .lost
                .as_ref()
                .filter(|_| self.has_no_vehicle())?
                .to
                .as_ref(),
        }
    }

    /// Whether it differs from another in nothing but whose of it is what.
    pub fn differs_in_parts_alone(&self, other: &Self) -> bool {
        let whole = |it: &Self| Self {
            parts: BTreeMap::new(),
            of_items: BTreeMap::new(),
            ..it.clone()
        };
        whole(self) == whole(other)
    }

    /// The names of which something is known to be theirs here.
    pub fn parts_of(&self) -> impl Iterator<Item = &String> {
        self.parts.keys().chain(self.of_items.keys())
    }

    /// Who states something here: items that stand for the product, and sources that have no items.
    /// People who counted it counted what is there.
    fn claims(&self) -> impl Iterator<Item = (&ConnectorName, Option<(&str, &Item)>)> {
        let bases = match &self.holding {
            Holding::Stated { bases, .. } => Some(bases),
            Holding::Counted { .. } => None,
        };
        bases.into_iter().flatten().flat_map(|(source, base)| {
            let states = base.states_product() && source.as_str() != API;
            let items = base.items.iter().filter(|(_, item)| item.live().is_some());
            let items = items.map(move |(name, item)| (source, Some((name.as_str(), item))));
            states.then_some((source, None)).into_iter().chain(items)
        })
    }

    /// The items that state something here, and whose they are.
    pub fn stated_items(&self) -> impl Iterator<Item = (&ConnectorName, &str)> {
        self.claims()
            .filter_map(|(source, item)| Some((source, item?.0)))
    }

    /// Who states something here beside this source.
    pub fn stated_by_others(&self, source: &ConnectorName) -> impl Iterator<Item = &ConnectorName> {
        let sources = self.claims().map(|(by, _)| by);
        sources.filter(move |by| *by != source)
    }

    /// Whether it is stated of nothing but this item of this source, or not at all.
    fn is_of_item_alone(&self, source: &ConnectorName, item: &str) -> bool {
        matches!(self.holding, Holding::Stated { .. })
            && self.product.line().is_none()
            && self
                .claims()
                .all(|(by, name)| by == source && name.is_some_and(|(name, _)| name == item))
    }

    /// Whether something is known to be of the item of this name here.
    pub fn has_part(&self, name: &str) -> bool {
        self.parts.contains_key(name) || self.of_items.contains_key(name)
    }

    /// Whether several items or sources state it.
    pub(super) fn is_shared(&self) -> bool {
        self.claims().nth(1).is_some()
    }

    /// Whether a source keeps other items here, also such as it offers no longer: they may come back.
    fn has_other_items(&self, source: &ConnectorName, item: &str) -> bool {
        self.items()
            .any(|(by, name, _)| (by, name) != (source, item))
    }

    fn items(&self) -> impl Iterator<Item = (&ConnectorName, &str, &Item)> {
        let bases = match &self.holding {
            Holding::Stated { bases, .. } => Some(bases),
            Holding::Counted { .. } => None,
        };
        bases.into_iter().flatten().flat_map(|(source, base)| {
            let items = base.items.iter();
            items.map(move |(name, item)| (source, name.as_str(), item))
        })
    }

    /// Whether this item, as it leaves the SKU, is the last that has it: nothing else is stated here. Of
    /// what an item that is offered no longer has here, another takes along only while it is offered.
    pub fn is_left_by_last(&self, leaving: &Leaving<'_>) -> bool {
        let Leaving { source, item, .. } = *leaving;
        self.is_of_item_alone(source, item)
            && self.others_counted_since(leaving).is_none()
            && (!self.has_other_items(source, item)
                || leaving.offered.is_none_or(|it| it.value) && self.item(source, item).is_some())
    }

    /// Since when others have the SKU too, as what was counted here shows.
    fn others_counted_since(&self, leaving: &Leaving<'_>) -> Option<Version> {
        let since = |count: &Base| match &count.of {
            Some(of) => leaving.others.get(&of.item).copied(),
            None => Some(count.version).filter(|at| leaving.came.is_some_and(|came| *at < came)),
        };
        self.counted().filter_map(since).min()
    }

    /// Whether something here is known to be of nobody in particular, or was counted of others.
    fn has_what_is_not_of(&self, names: &[String]) -> bool {
        let of_others = |count: &Base| {
            let of = count.of.as_ref();
            of.is_none_or(|of| !names.contains(&of.item))
        };
        let rest = self.of_nobody();
        let moved = |moves: &[(i64, i64)]| moves.iter().map(|(_, delta)| delta.abs()).sum::<i64>();
        let own = self.of_items.values().map(|own| moved(own)).sum::<i64>();
        let is_moved = matches!(&self.holding, Holding::Stated { moves, .. } if moved(moves) > own);
        is_moved || !rest.is_nothing() || self.counted().any(of_others)
    }

    /// The one item that all of it is of.
    pub(super) fn sole_item(&self) -> Option<Sole> {
        let mut claims = self.claims();
        if let Some((source, item)) = claims.next() {
            let (name, item) = item.filter(|_| claims.next().is_none())?;
            return Some(Sole {
                name: of_item(source, name),
                since: item.named,
                ended: None,
            });
        }
        let mut items = self.items();
        let (source, name, item) = items.next().filter(|_| items.next().is_none())?;
        Some(Sole {
            name: of_item(source, name),
            since: item.named,
            ended: Some(item.since()),
        })
    }

    /// Writes down that what nobody else is known to have is of this item: all of it, or what moved
    /// since and until then.
    pub(super) fn attribute(&mut self, name: &str, since: Option<Version>, until: Option<Version>) {
        let Holding::Stated { moves, .. } = &self.holding else {
            return;
        };
        let mut rest: BTreeMap<i64, i64> = moves.iter().copied().collect();
        for (at, delta) in self.of_items.values().flatten() {
            rest.entry(*at).and_modify(|units| *units -= delta);
        }
        let since = since.map_or(i64::MIN, |since| since.at.as_millisecond());
        let until = until.map_or(i64::MAX, |until| until.at.as_millisecond());
        rest.retain(|at, _| since <= *at && *at < until);
        let own = self.of_items.entry(name.to_owned()).or_default();
        for (at, delta) in rest.into_iter().filter(|(_, delta)| *delta != 0) {
            add_move(own, at, delta);
        }
        self.of_items.retain(|_, moves| !moves.is_empty());
        let rest = self.of_nobody();
        self.parts.entry(name.to_owned()).or_default().add(&rest);
        self.parts.retain(|_, part| !part.is_nothing());
    }

    /// The same of an item that others had the SKU beside or after, as far as it is known to have been before
    /// them; of sales those that moved then, unless what was counted before goes with them.
    fn attribute_before(
        &mut self,
        name: &str,
        since: Option<Version>,
        until: Option<Version>,
        with_sales: bool,
        calendars: &Calendars,
    ) {
        let moved = |it: &Self| it.of_items.get(name).cloned().unwrap_or_default();
        let (parts, mut rest, before) = (self.parts.clone(), self.of_nobody(), moved(self));
        self.attribute(name, since, until);
        if with_sales {
            return;
        }
        let is_new = |it: &(i64, i64)| !before.contains(it);
        let went = moved(self).into_iter().filter(is_new);
        self.parts = parts;
        let part = self.parts.entry(name.to_owned()).or_default();
        for (at, delta) in went.filter(|(_, delta)| *delta < 0) {
            if let Ok(at) = Timestamp::from_millisecond(at) {
                let day = calendars.day(&self.location, at);
                // What was taken away otherwise is no sale.
                let left = rest.sold.get(&day).copied().unwrap_or(0);
                let units = left.min(-delta).max(0);
                part.count_sale(day, units);
                rest.count_sale(day, -units);
            }
        }
        self.parts.retain(|_, part| !part.is_nothing());
    }

    /// What is not known to be of any item.
    fn of_nobody(&self) -> Part {
        let mut rest = Part {
            held: self.held,
            sold: self.sold.clone(),
        };
        for part in self.parts.values() {
            rest.held -= part.held;
            for (day, units) in &part.sold {
                rest.count_sale(*day, -units);
            }
        }
        rest
    }

    /// Promises units, or takes promised ones back: where that is known, of this item; else what is
    /// promised of nobody's in particular goes first.
    #[must_use]
    pub fn promised(&self, units: i64, whose: Option<&str>) -> Self {
        let mut next = self.clone();
        next.held += units;
        let whose = whose.filter(|_| self.is_shared());
        if let Some(name) = whose {
            let part = next.parts.entry(name.to_owned()).or_default();
            part.held = (part.held + units).max(0);
        }
        let of_items: i64 = next.parts.values().map(|part| part.held).sum();
        let mut beyond = of_items - next.held;
        for part in next.parts.values_mut() {
            let taken = beyond.clamp(0, part.held.max(0));
            part.held -= taken;
            beyond -= taken;
        }
        next.parts.retain(|_, part| !part.is_nothing());
        next
    }

    /// This position once an item has left its SKU, and the position under the item's new one, of which
    /// `new` was known; nothing where nothing of the item is here. Whatever is of no other item goes along
    /// where nothing else stands for the old SKU here.
    pub fn left_by(
        &self,
        new: &Self,
        leaving: &Leaving<'_>,
        sources: &Sources,
    ) -> Option<(Self, Self)> {
        let &Leaving {
            source,
            item,
            names,
            to,
            since,
            offered,
            is_taken,
            came,
            others,
            along,
            never_had_it,
        } = leaving;
        let name = of_item(source, item);
        let is_last = !never_had_it && self.renamed_to().is_none() && self.is_left_by_last(leaving);
        let known = self.item(source, item);
        // Where others state how much there is and the item's source does not, what was ordered of the
        // item was taken from theirs, until its source does.
        let is_stated = known.is_some() || new.item(source, item).is_some();
        let is_of_others =
            !is_stated && !never_had_it && self.stated_by_others(source).next().is_some();
        let has_part = names.iter().any(|name| self.has_part(name));
        // Others that have the SKU here, and since when.
        let counted = self.others_counted_since(leaving);
        let stated = self.claims().filter_map(|(by, it)| match it {
            Some((other, _)) if by == source && other == item => None,
            Some((other, _)) => others.get(&of_item(by, other)).copied().or(Some(ALWAYS)),
            None => Some(ALWAYS),
        });
        let shared = stated.chain(counted).min();
        // What was counted from then on is not of this item, nor what it left to others.
        let until = match is_last {
            true => (!others.is_empty()).then_some(since),
            false => Some(shared.map_or(since, |shared| shared.min(since))),
        };
        let takes = |count: &Base| match &count.of {
            Some(of) => names.contains(&of.item) || is_last && !others.contains_key(&of.item),
            None => {
                !never_had_it
                    && until.is_none_or(|until| count.version < until)
                    && came.is_none_or(|came| came <= count.version)
            }
        };
        let (going, staying): (Vec<_>, Vec<_>) = self.counted().cloned().partition(takes);
        // It had the SKU before any other that is known to have it.
        let began = known.map(Item::since).or(came).unwrap_or(ALWAYS);
        let precedes = !is_last && counted.is_some() && shared > Some(began);
        if is_of_others || !is_last && known.is_none() && !has_part && going.is_empty() && !precedes
        {
            return None;
        }
        let (mut old, mut new) = (self.clone(), new.clone());
        if !is_last && (precedes || !going.is_empty()) {
            let with_sales = going.iter().any(|count| count.of.is_none());
            old.attribute_before(&name, came, until, with_sales, &sources.calendars);
        }
        if !new.is_of_item_alone(source, item)
            || new.has_other_items(source, item)
            || new.has_what_is_not_of(names)
        {
            if is_last {
                old.attribute(&name, None, until);
            }
            // Before it had the SKU, that was another's.
            let sole = new.sole_item().filter(|sole| !names.contains(&sole.name));
            if let Some(Sole { name, since, ended }) = sole {
                new.attribute(&name, since, ended);
                new.attribute_counts(&name, since, Some(leaving.since));
            }
        }
        let takes_others = is_last && known.is_some();
        let goes = |name: &String| names.contains(name) || takes_others && along.contains(name);
        let mut went: BTreeSet<_> = names.iter().cloned().collect();
        let mut taken = Part::default();
        for (name, part) in old.parts.extract_if(.., |name, _| goes(name)) {
            taken.add(&part);
            new.parts.entry(name.clone()).or_default().add(&part);
            went.insert(name);
        }
        if is_last {
            taken = old.of_nobody();
            // Its sales are known since then.
            new.known_since = [old.known_since, new.known_since]
                .into_iter()
                .flatten()
                .min();
        }
        old.held -= taken.held;
        new.held += taken.held;
        for (day, units) in taken.sold {
            old.count_sale(day, -units);
            new.count_sale(day, units);
        }
        old.take_counts();
        old.put_counts(staying);
        let mut counts = new.take_counts();
        counts.extend(going.into_iter().map(|count| {
            let item = names.iter().min().unwrap_or(&name).clone();
            let since = Some(since);
            let of = Some(Whose { item, since });
            Base { of, ..count }
        }));
        new.put_counts(counts);
        let own = old.of_items.extract_if(.., |name, _| goes(name));
        let own: Vec<_> = own.collect();
        went.extend(own.iter().map(|(name, _)| name.clone()));
        let (
            Holding::Stated { bases, moves },
            Holding::Stated {
                bases: known,
                moves: moved,
            },
        ) = (&mut old.holding, &mut new.holding)
        else {
            return None;
        };
        // The last takes all but what is of others, any other only what is its own.
        let mut apart: Vec<_> = match is_last {
            true => old.of_items.values().flatten().copied().collect(),
            false => own.iter().flat_map(|(_, own)| own).copied().collect(),
        };
        if is_last && let Some(until) = until {
            // What moved of nobody in particular since others alone have the SKU.
            let until = until.at.as_millisecond();
            let own: Vec<_> = (own.iter().flat_map(|(_, own)| own).chain(&apart))
                .copied()
                .collect();
            let mut rest = moves.clone();
            for (at, delta) in own {
                add_move(&mut rest, at, -delta);
            }
            apart.extend(rest.into_iter().filter(|(at, _)| *at >= until));
        }
        let kept_apart = |at: &i64| moves.binary_search_by_key(at, |(at, _)| *at).is_ok();
        let (mut told_apart, mut rest) = (Vec::new(), moves.clone());
        for (at, delta) in apart.into_iter().filter(|(at, _)| kept_apart(at)) {
            add_move(&mut told_apart, at, delta);
            add_move(&mut rest, at, -delta);
        }
        let (going, staying) = match is_last {
            true => (rest, told_apart),
            false => (told_apart, rest),
        };
        *moves = staying;
        for (at, delta) in going {
            add_move(moved, at, delta);
        }
        let same_sku = sources.same_sku(source);
        if is_last {
            for (by, mut base) in std::mem::take(bases) {
                // Who states the old SKU no longer may state the new one by now.
                if by.as_str() == API {
                    bases.insert(by, base);
                    continue;
                }
                if by != *source && base.items.is_empty() {
                    base.ended = true;
                    base.mentioned = None;
                    bases.insert(by, base);
                    continue;
                }
                // Other items stay, which are offered no longer: they may be again, under this SKU.
                let is_other = |name: &String| by != *source || name != item;
                let others = base.items.extract_if(.., |name, _| is_other(name));
                let others: BTreeMap<_, _> = others.collect();
                if !others.is_empty() {
                    let mut left = Base {
                        items: others,
                        ..base.clone()
                    };
                    left.derive(sources.same_sku(&by));
                    bases.insert(by.clone(), left);
                    if base.items.is_empty() {
                        continue;
                    }
                    base.derive(sources.same_sku(&by));
                }
                match known.get_mut(&by) {
                    Some(other) => other.join(base, sources.same_sku(&by)),
                    None => drop(known.insert(by, base)),
                }
            }
        } else if let Some(base) = bases.get_mut(source)
            && let Some(left) = base.items.remove(item)
        {
            base.derive(same_sku);
            let version = left.level.version;
            let base = known.entry(source.clone());
            let base = base.or_insert_with(|| Base::ended(version));
            base.take_in(item.to_owned(), left);
            base.derive(same_sku);
        }
        if let Some(base) = known.get_mut(source)
            && let Some(item) = base.items.get_mut(item)
        {
            if let Some(offered) = offered {
                item.offer(offered);
            }
            item.named = item.named.max(Some(since));
            base.derive(same_sku);
        }
        for (name, moves) in own {
            let known = new.of_items.entry(name).or_default();
            for (at, delta) in moves {
                add_move(known, at, delta);
            }
        }
        old.tidy();
        new.tidy();
        for name in went {
            new.gone.remove(&name);
            old.gone.insert(name, to.clone());
        }
        if let Some(renamed) = &mut new.renamed {
            renamed.is_taken(Some(since));
        }
        // Who came after it has the SKU since then; of several that always had it, nobody knows whose
        // it was.
        let came = self.item(source, item).map(Item::since);
        let others = old.claims().filter_map(|(_, it)| Some(it?.1.since()));
        let taken = others.min().filter(|_| !is_last);
        if is_last || taken > came && came.is_some() || precedes {
            let taken = taken.into_iter().chain(shared.filter(|_| precedes)).min();
            old.renamed = Some(Renamed {
                to: to.clone(),
                since: taken.map_or(since, |taken| taken.min(since)),
                source: source.clone(),
                item: item.to_owned(),
                taken: is_taken || !is_last,
            });
        }
        Some((old, new))
    }
}

impl Renamed {
    /// Something else has the SKU, since then.
    pub fn is_taken(&mut self, since: Option<Version>) {
        self.taken = true;
        self.since = since.map_or(self.since, |since| since.min(self.since));
    }
}

impl Base {
    /// Takes in what the same source said of the product under its other SKU.
    fn join(&mut self, other: Self, same_sku: SameSku) {
        let items = std::mem::take(&mut self.items);
        let others = |name: &String| !other.items.contains_key(name);
        // Where another item is believed, it stays so.
        let believed = items
            .iter()
            .any(|(name, it)| others(name) && it.live().is_some());
        let both: Vec<_> = other.items.clone().into_iter().collect();
        let moved = self.moved + other.moved;
        if other.version > self.version && !believed {
            *self = other;
        }
        self.items = items;
        for (name, item) in both {
            self.take_in(name, item);
        }
        if !self.items.is_empty() {
            self.derive(same_sku);
        }
        if self.oldest.is_some() {
            self.moved = moved;
        }
    }

    fn take_in(&mut self, name: String, item: Item) {
        match self.items.get_mut(&name) {
            Some(known) => known.join(&item),
            None => drop(self.items.insert(name, item)),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
fn is_zero(units: &i64) -> bool {
    *units == 0
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::event::Level;
    use super::super::item::ItemStatement;
    use super::super::position::PositionChange;
    use super::*;

    fn version(second: i64) -> Version {
        Version::at(Timestamp::from_second(second).unwrap())
    }

    fn states(sku: &str, item: &str, on_hand: i64) -> PositionChange {
        let level = Level {
            on_hand,
            ..Level::default()
        };
        PositionChange::Item {
            source: "shop".parse().unwrap(),
            said: ItemStatement {
                called: None,
                offered_by: None,
                product: sku.parse().unwrap(),
                location: "north".parse().unwrap(),
                item: item.to_owned(),
                level: Some(Dated {
                    version: version(10),
                    value: Some(level),
                }),
                offered: None,
                named: None,
            },
        }
    }

    fn after(sku: &str, changes: &[PositionChange]) -> Position {
        let start = Position::unknown(sku.parse().unwrap(), "north".parse().unwrap());
        changes.iter().fold(start, |position, change| {
            let next = position.after(change, &Sources::default()).unwrap();
            next.unwrap()
        })
    }

    fn leaves(old: &Position, new: &Position, item: &str) -> Option<(Position, Position)> {
        let source = "shop".parse().unwrap();
        let leaving = Leaving {
            source: &source,
            item,
            names: &[of_item(&source, item)],
            to: &new.product,
            since: version(20),
            offered: None,
            is_taken: false,
            came: None,
            others: &BTreeMap::new(),
            along: &BTreeSet::new(),
            never_had_it: false,
        };
        old.left_by(new, &leaving, &Sources::default())
    }

    #[test]
    fn an_item_alone_writes_nothing_down_and_takes_all_along() {
        let old = after("A", &[states("A", "1", 9), PositionChange::Reserve(4)]);
        // As rows from before there were parts: nothing of them is in it.
        let row = serde_json::to_value(&old).unwrap();
        assert!(row.get("parts").is_none() && row.get("gone").is_none());
        assert_eq!(serde_json::from_value::<Position>(row).unwrap(), old);
        let (left, there) = leaves(&old, &after("B", &[]), "1").unwrap();
        assert_eq!((left.held, there.held), (0, 4));
        assert_eq!(left.renamed_to(), Some(&there.product));
        assert_eq!(there.stock(&Sources::default()).unwrap().on_hand, 9);
        assert_eq!(leaves(&left, &there, "1"), None, "once only");
    }

    #[test]
    fn what_is_promised_is_of_the_one_who_was_there_or_of_nobody() {
        let summed = Sources {
            summed: ["shop".parse().unwrap()].into(),
            ..Sources::default()
        };
        let then = |position: &Position, change| position.after(&change, &summed).unwrap().unwrap();
        let one = after("A", &[states("A", "1", 9), PositionChange::Reserve(4)]);
        let both = then(&one, states("A", "2", 5));
        let both = then(&both, PositionChange::Reserve(3));
        let nothing = after("B", &[]);
        let (left, there) = leaves(&both, &nothing, "1").unwrap();
        assert_eq!((left.held, there.held), (3, 4));
        let (left, there) = leaves(&both, &nothing, "2").unwrap();
        assert_eq!((left.held, there.held), (7, 0));
        // What is given back is nobody's first, unless it is said whose it is.
        let of_nobody = then(&both, PositionChange::Release(3));
        assert_eq!(leaves(&of_nobody, &nothing, "1").unwrap().1.held, 4);
        let of_first = both.promised(-3, Some("shop 1"));
        assert_eq!(leaves(&of_first, &nothing, "1").unwrap().1.held, 1);
    }
}
