//! Order lines: what is known of each, and with it the stock and demand that it comes to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::renames::{self, Meant, Said};
use super::row::{Expect, Row, Write, Written, read};
use super::snapshots::CaughtUp;
use super::stated::Item;
use super::stock::{
    Applied, ApplyError, Cause, Late, LeftOut, UNKNOWN_PLACE, position_row, position_words,
};
use super::{Store, StoreError, keys};
use crate::domain::Authority;
use crate::domain::ProductId;
use crate::domain::event::{Change, StockEvent, Version};
use crate::domain::id::{ConnectorName, LocationId};
use crate::domain::order::{Effect, KnownLine, OrderLine, Place};
use crate::domain::position::{PositionChange, Sources, of_item};

const OPERATION: &str = "apply an order's line";
/// How long a line is remembered after it last changed: longer than anybody edits or refunds it.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 730);

/// Of an order whose lines take from stock.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct KnownOrder {
    /// The first of its versions that was heard of: what it did not have then, an edit has added.
    first: Version,
    /// Some of its lines may not know yet that this was the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unsettled: bool,
}

impl Store {
    /// Changes stock and demand by what was heard of an order's line.
    pub(super) async fn apply_order_line(
        &self,
        event: &StockEvent,
        line: &OrderLine,
        authority: &Authority,
    ) -> Result<Applied, ApplyError> {
        let mut first = self.first_version(event, line, authority).await?;
        loop {
            let (applied, is_new) = self.apply_line(event, line, first, authority).await?;
            // Who hears of an older version meanwhile may not have found the new line.
            let key = keys::order(&event.source, &line.order);
            let known = match first.filter(|_| is_new) {
                Some(_) => self.get::<KnownOrder>(OPERATION, &key).await?,
                None => None,
            };
            match known.map(|known| known.data.first) {
                Some(now) if first.is_some_and(|first| now < first) => first = Some(now),
                _ => return Ok(applied),
            }
        }
    }

    /// The first version of a line's order that was heard of. Where that is this one, and others were heard
    /// of before, their lines are told.
    async fn first_version(
        &self,
        event: &StockEvent,
        line: &OrderLine,
        authority: &Authority,
    ) -> Result<Option<Version>, ApplyError> {
        let placed = line.known.placed.as_ref();
        let Some(placed) = placed.filter(|_| line.known.deducts) else {
            return Ok(None);
        };
        let key = keys::order(&event.source, &line.order);
        for attempt in 0.. {
            let stored = self.get::<KnownOrder>(OPERATION, &key).await?;
            let known = stored.as_ref().map(|stored| stored.data);
            let first = known.map_or(placed.version, |known| known.first.min(placed.version));
            let is_older = known.is_some_and(|known| first < known.first);
            let told = KnownOrder {
                first,
                unsettled: false,
            };
            let next = match known {
                Some(known) if !is_older && !known.unsettled => return Ok(Some(first)),
                Some(_) if is_older => KnownOrder {
                    unsettled: true,
                    ..told
                },
                Some(_) => {
                    self.tell_lines(event, line, first, authority).await?;
                    told
                }
                None => told,
            };
            let row = Row::new(key.clone(), "order", &next)?.expires(self.order_expires());
            let expect = Expect::from_read(stored.as_ref());
            if !self.put(OPERATION, row, expect).await? {
                self.after_conflict(OPERATION, attempt).await?;
            }
        }
        Err(contended())
    }

    /// Tells the lines of an order that are known which of its versions was the first: those that this
    /// version did not have.
    async fn tell_lines(
        &self,
        event: &StockEvent,
        line: &OrderLine,
        first: Version,
        authority: &Authority,
    ) -> Result<(), ApplyError> {
        for (name, known) in self.lines_of(&event.source, &line.order).await? {
            if line.of_order.contains(&name) {
                continue;
            }
            let known = OrderLine {
                order: line.order.clone(),
                line: name,
                known,
                item_has: None,
                of_order: Arc::default(),
            };
            self.apply_line(event, &known, Some(first), authority)
                .await?;
        }
        Ok(())
    }

    fn order_expires(&self) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(KEPT).unwrap_or(Timestamp::MAX)
    }

    /// Changes stock and demand by the difference between what the line comes to now and what it came
    /// to before, in one transaction with what is known of it; and whether nothing was known of it.
    async fn apply_line(
        &self,
        event: &StockEvent,
        line: &OrderLine,
        first: Option<Version>,
        authority: &Authority,
    ) -> Result<(Applied, bool), ApplyError> {
        let sources = &authority.quantities;
        let key = keys::order_line(&event.source, &line.order, &line.line);
        for attempt in 0.. {
            let stored = self.get::<KnownLine>(OPERATION, &key).await?;
            let before = stored.as_ref().map(|stored| &stored.data);
            let heard = self.of_its_item(event, line, before).await?;
            let placed = heard.placed.as_ref().filter(|it| it.location.is_none());
            if let Some(placed) = placed {
                return Err(ApplyError::unknown_place(placed.called.as_deref()));
            }
            let after = before.map_or_else(|| heard.clone(), |it| it.joined(&heard));
            let mut after = match first {
                Some(first) => after.not_ordered_at(first),
                None => after,
            };
            let unknown = after.back_at_unknown(&heard);
            let left_out: Vec<_> = unknown.map(back_later).into_iter().collect();
            if before == Some(&after) {
                return Ok((Applied::with(false, left_out), false));
            }
            let ordered = after.placed.as_ref().map(|placed| placed.at);
            let changes = changes(&after, before).into_iter();
            let changes = changes.map(|(whose, place, effect, takes_back)| Changing {
                at: ordered.or_else(|| effect.first()),
                whose,
                is_named: after.item.as_deref() == whose,
                takes_back,
                place,
                effect,
            });
            let mut moving = self
                .moving(event, changes.collect(), None, authority)
                .await?;
            let is_new = before.is_none();
            after.booked = moving.led;
            let row = Row::new(key.clone(), "order_line", &after)?.expires(self.order_expires());
            let row = row.beyond_format(2, !after.booked.is_empty());
            let write = Write::Put(row, Expect::from_read(stored.as_ref()));
            moving.writes.push(write);
            match self.transact(OPERATION, moving.writes).await? {
                Written::Done => {
                    self.settle_moved(moving.late, event, sources).await?;
                    let applied = Applied::with(moving.changed, left_out);
                    return Ok((applied, is_new));
                }
                Written::Unexpected(_) => self.after_conflict(OPERATION, attempt).await?,
            }
        }
        Err(contended())
    }

    /// What changes positions by what an event comes to at each.
    pub(super) async fn moving(
        &self,
        event: &StockEvent,
        changes: Vec<Changing<'_>>,
        why: Option<&str>,
        authority: &Authority,
    ) -> Result<Moving, ApplyError> {
        let sources = &authority.quantities;
        let mut moving = Moving::default();
        // What a line came to under an old SKU, and what it comes to under the new one, are of one
        // position.
        let mut meant = BTreeMap::<Place, (Meant, Effects<'_>)>::new();
        let mut guards = Vec::new();
        for change in changes {
            let at = change.at.unwrap_or_else(|| self.clock.now());
            let name = change.whose.map(|item| of_item(&event.source, item));
            let said = match &name {
                None => Said::At(at),
                Some(name) if change.is_named => Said::OfItem(name),
                Some(name) if change.takes_back => Said::Back(name, at),
                Some(name) => Said::Of(name, at),
            };
            let (product, location) = change.place;
            if let Some(mut found) = self.meant(OPERATION, (&product, &location), said).await? {
                guards.push(found.guard.take());
                if !change.takes_back && found.position.product != product {
                    let booked = found.position.product.clone();
                    moving.led.insert(location.clone(), booked);
                }
                let place = (found.position.product.clone(), location);
                let (_, all) = meant
                    .entry(place)
                    .or_insert_with(|| (found, Effects::new()));
                match all.iter_mut().find(|(known, _)| *known == change.whose) {
                    Some((_, sum)) => sum.add(change.effect),
                    None => all.push((change.whose, change.effect)),
                }
            }
        }
        for ((product, location), (found, all)) in meant {
            let day = |at| authority.day(&location, at);
            let all = all.into_iter().map(|(whose, effect)| PositionChange::Line {
                whose: whose.map(|item| (event.source.clone(), item.to_owned())),
                moves: effect.moves.into_iter().collect(),
                sold: effect
                    .sold
                    .into_iter()
                    .map(|(at, n)| (day(at), n))
                    .collect(),
            });
            let all: Vec<_> = all.collect();
            let then = all.iter().filter_map(PositionChange::dated).min();
            let was = found.position;
            let known = match then {
                Some(then) => self.caught_up(was.clone(), then, None, sources).await?,
                None => CaughtUp::as_it_is(was.clone()),
            };
            let mut is = known.position.clone();
            for change in &all {
                is = is.after(change, sources)?.unwrap_or(is);
            }
            if is != known.position {
                let stored = found.stored.as_ref();
                if is.differs_in_parts_alone(&known.position)
                    && position_words(&is, sources) == position_words(&was, sources)
                {
                    // By which of its names it is the item's: nothing that a ledger tells of.
                    let write = Write::Put(position_row(&is)?, Expect::from_read(stored));
                    moving.writes.push(write);
                } else {
                    moving.changed = true;
                    let cause = Cause::of(event, why);
                    let (written, _) = self.recorded(&cause, stored, &was, is, sources)?;
                    moving.writes.extend(written);
                }
                let item = Item::Position { product, location };
                for source in &known.being_read {
                    self.note_late(source, &item).await?;
                }
                let late = then.map(|then| (known.being_read, item, then));
                moving.late.extend(late);
            }
        }
        let writes_any = !moving.writes.is_empty();
        for guard in guards.into_iter().filter(|_| writes_any) {
            renames::guard(&mut moving.writes, guard);
        }
        Ok(moving)
    }

    /// To be called when what moves is written.
    pub(super) async fn settle_moved(
        &self,
        late: Vec<Late>,
        event: &StockEvent,
        sources: &Sources,
    ) -> Result<(), StoreError> {
        for (being_read, item, then) in late {
            self.settle_late(&being_read, &item, then, &event.id, sources)
                .await?;
        }
        Ok(())
    }

    /// The lines of an order that are known, by name.
    async fn lines_of(
        &self,
        source: &ConnectorName,
        order: &str,
    ) -> Result<BTreeMap<String, KnownLine>, StoreError> {
        let partition = keys::order(source, order).pk;
        let lines = self.partition(OPERATION, &partition, keys::ORDER_LINE);
        let lines = lines.await?.into_iter().map(|(_, item)| {
            let stored = read::<KnownLine>(OPERATION, item)?;
            let name = stored.key.sk.strip_prefix(keys::ORDER_LINE);
            Ok((name.unwrap_or_default().to_owned(), stored.data))
        });
        lines.collect()
    }

    /// Events, with each line that is at a place without a name where the other lines are that its order has
    /// at a place of the same name. Each order is read once.
    pub(super) async fn where_others_are<'e>(
        &self,
        events: &'e [StockEvent],
    ) -> Result<Cow<'e, [StockEvent]>, StoreError> {
        let mut orders = BTreeMap::new();
        let mut placed = Cow::Borrowed(events);
        for (index, event) in events.iter().enumerate() {
            let Some(line) = unplaced(event) else {
                continue;
            };
            let order = (&event.source, &line.order);
            let known = match orders.entry(order) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.lines_of(order.0, order.1).await?),
            };
            // What is known of the line itself comes first.
            if known.get(&line.line).is_some_and(|it| it.placed.is_some()) {
                continue;
            }
            let called = |it: &KnownLine| it.placed.as_ref().and_then(|it| it.called.clone());
            let mut others = known.values().filter(|it| it.placed.is_some());
            let other = others.find(|it| called(it) == called(&line.known));
            let location = other.and_then(|it| it.placed.as_ref()?.location.clone());
            if location.is_some()
                && let Change::OrderLine(line) = &mut placed.to_mut()[index].change
                && let Some(placed) = &mut line.known.placed
            {
                placed.location = location;
            }
        }
        Ok(placed)
    }

    /// What was heard of a line as of its item's product: the SKU that it names may be another's for all
    /// that is known, or be the item's only as soon as that is heard. Where the source does not say how
    /// much there is of the item, those who do know it by the SKU.
    async fn of_its_item(
        &self,
        event: &StockEvent,
        line: &OrderLine,
        before: Option<&KnownLine>,
    ) -> Result<KnownLine, StoreError> {
        let heard = line.known.clone();
        let mut heard = match before {
            Some(before) => heard.where_known(before),
            None => heard,
        };
        let (Some(own), Some(item)) = (&line.item_has, &heard.item) else {
            return Ok(heard);
        };
        let placed = heard.placed.as_ref();
        let placed = placed.or_else(|| before?.placed.as_ref());
        let mut back = heard.refunds.values().map(|refund| &refund.back_to);
        let location = placed.and_then(|placed| placed.location.as_ref());
        let location = location.or_else(|| back.find_map(Option::as_ref));
        let Some(location) = location.filter(|_| *own != heard.product) else {
            return Ok(heard);
        };
        let stated = self.position(own, location).await?;
        let is_stated = stated.is_some_and(|it| it.item(&event.source, item).is_some());
        let by_name = self.position(&heard.product, location).await?;
        let by_others =
            by_name.is_some_and(|it| it.stated_by_others(&event.source).next().is_some());
        if is_stated || !by_others {
            heard.product = own.clone();
        }
        Ok(heard)
    }
}

/// An event's order line, if it is at a place without a name.
fn unplaced(event: &StockEvent) -> Option<&OrderLine> {
    match &event.change {
        Change::OrderLine(line) => {
            let placed = line.known.placed.as_ref()?;
            placed.location.is_none().then_some(line)
        }
        _ => None,
    }
}

/// That what is back at a place counts once it is known which that is.
fn back_later(called: &str) -> LeftOut {
    let error = ApplyError::unknown_place(Some(called));
    LeftOut {
        field: "refunds".to_owned(),
        reason: UNKNOWN_PLACE,
        sentence: format!("{error}; what is back there counts once it is"),
        awaits: error.awaits(),
        says: None,
    }
}

fn contended() -> ApplyError {
    let operation = OPERATION;
    StoreError::Contended { operation }.into()
}

/// What changes at one place.
pub(super) struct Changing<'a> {
    /// When the whole began, if that is known.
    pub(super) at: Option<Timestamp>,
    /// Which item it is of, if that is known.
    pub(super) whose: Option<&'a str>,
    /// Whether that is the item's own name.
    pub(super) is_named: bool,
    /// Whether it is taken back from where it was booked.
    pub(super) takes_back: bool,
    pub(super) place: Place,
    pub(super) effect: Effect,
}

/// Changes of positions, ready to be written.
#[derive(Default)]
pub(super) struct Moving {
    pub(super) writes: Vec<Write>,
    /// Whether they change any stock.
    pub(super) changed: bool,
    pub(super) late: Vec<Late>,
    /// As what other product it is booked, by place, where the SKU that was named leads there.
    led: BTreeMap<LocationId, ProductId>,
}

/// What changes of a position: whose it is, and what.
type Effects<'a> = Vec<(Option<&'a str>, Effect)>;

/// What changes when `before` becomes `after`, and whether it is taken back from where it was booked. Where
/// that was as something else, all of it is.
fn changes<'a>(
    after: &'a KnownLine,
    before: Option<&'a KnownLine>,
) -> Vec<(Option<&'a str>, Place, Effect, bool)> {
    let named = |whose, effects: BTreeMap<Place, Effect>| {
        let named = effects.into_iter();
        named.map(move |(place, effect)| (whose, place, effect, false))
    };
    let booked = |known: &'a KnownLine| (known.whose(), &known.product);
    let before_otherwise =
        before.filter(|before| !before.booked.is_empty() || booked(before) != booked(after));
    match before_otherwise {
        None => named(after.whose(), after.difference(before)).collect(),
        Some(before) => {
            let back = before.effects().into_iter();
            let back = back.map(|((product, location), effect)| {
                let product = before.booked.get(&location).cloned().unwrap_or(product);
                let place = (product, location);
                (before.whose(), place, effect.reversed(), true)
            });
            back.chain(named(after.whose(), after.effects())).collect()
        }
    }
}
