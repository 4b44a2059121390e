//! Order lines: what is known of each, and with it the stock and demand that it comes to.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::renames::{self, Meant, Said};
use super::row::{Expect, Row, Write, Written};
use super::snapshots::CaughtUp;
use super::stated::Item;
use super::stock::{Applied, ApplyError, position_row, position_words};
use super::{Store, StoreError, keys};
use crate::domain::Authority;
use crate::domain::event::StockEvent;
use crate::domain::order::{Effect, KnownLine, OrderLine, Place};
use crate::domain::position::{PositionChange, of_item};

const OPERATION: &str = "apply an order's line";
/// How long a line is remembered after it last changed: longer than anybody edits or refunds it.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 730);

impl Store {
    /// Changes stock and demand by the difference between what the line comes to now and what it came
    /// to before, in one transaction with what is known of it.
    pub(super) async fn apply_order_line(
        &self,
        event: &StockEvent,
        line: &OrderLine,
        authority: &Authority,
    ) -> Result<Applied, ApplyError> {
        let sources = &authority.quantities;
        let key = keys::order_line(&event.source, &line.order, &line.line);
        for attempt in 0.. {
            let stored = self.get::<KnownLine>(OPERATION, &key).await?;
            let before = stored.as_ref().map(|stored| &stored.data);
            let heard = self.of_its_item(event, line, before).await?;
            let after = before.map_or_else(|| heard.clone(), |it| it.joined(&heard));
            if before == Some(&after) {
                return Ok(Applied::Known);
            }
            let now = self.clock.now();
            let row = Row::new(key.clone(), "order_line", &after)?
                .expires(now.checked_add(KEPT).unwrap_or(Timestamp::MAX));
            let mut writes = vec![Write::Put(row, Expect::from_read(stored.as_ref()))];
            let (mut late, mut changed) = (Vec::new(), false);
            let ordered = after.placed.as_ref().map(|placed| placed.at);
            // What a line came to under an old SKU, and what it comes to under the new one, are of one
            // position.
            let mut meant = BTreeMap::<Place, (Meant, Changes<'_>)>::new();
            let mut guards = Vec::new();
            for (whose, (product, location), effect) in changes(&after, before) {
                let at = ordered.or_else(|| effect.first()).unwrap_or(now);
                let name = whose.map(|item| of_item(&event.source, item));
                let said = match &name {
                    None => Said::At(at),
                    Some(name) if after.item.as_deref() == whose => Said::OfItem(name, at),
                    Some(name) => Said::Of(name, at),
                };
                let place = (&product, &location);
                if let Some(mut found) = self.meant(OPERATION, place, said).await? {
                    guards.push(found.guard.take());
                    let place = (found.position.product.clone(), location);
                    let (_, all) = meant
                        .entry(place)
                        .or_insert_with(|| (found, Changes::new()));
                    match all.iter_mut().find(|(known, _)| *known == whose) {
                        Some((_, sum)) => sum.add(effect),
                        None => all.push((whose, effect)),
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
                        writes.push(Write::Put(position_row(&is)?, Expect::from_read(stored)));
                    } else {
                        changed = true;
                        writes.extend(self.position_writes(event, stored, &was, is, sources)?);
                    }
                    let item = Item::Position { product, location };
                    for source in &known.being_read {
                        self.note_late(source, &item).await?;
                    }
                    late.extend(then.map(|then| (known.being_read, item, then)));
                }
            }
            let writes_more = writes.len() > 1;
            for guard in guards.into_iter().filter(|_| writes_more) {
                renames::guard(&mut writes, guard);
            }
            match self.transact(OPERATION, writes).await? {
                Written::Done => {
                    for (being_read, item, then) in late {
                        self.settle_late(&being_read, &item, then, &event.id, sources)
                            .await?;
                    }
                    return Ok(if changed {
                        Applied::Changed
                    } else {
                        Applied::Known
                    });
                }
                Written::Unexpected(_) => self.after_conflict(OPERATION, attempt).await?,
            }
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        }
        .into())
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
        let mut heard = line.known.clone();
        let (Some(own), Some(item)) = (&line.item_has, &heard.item) else {
            return Ok(heard);
        };
        let placed = heard.placed.as_ref();
        let placed = placed.or_else(|| before?.placed.as_ref());
        let mut back = heard.refunds.values().map(|refund| &refund.back_to);
        let location = placed.map(|placed| &placed.location);
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

/// What changes of a position: whose it is, and what.
type Changes<'a> = Vec<(Option<&'a str>, Effect)>;

/// What changes when `before` becomes `after`. Where it was booked as something else's, all of that is taken
/// back.
fn changes<'a>(
    after: &'a KnownLine,
    before: Option<&'a KnownLine>,
) -> Vec<(Option<&'a str>, Place, Effect)> {
    let named = |whose, effects: BTreeMap<Place, Effect>| {
        let named = effects.into_iter();
        named.map(move |(place, effect)| (whose, place, effect))
    };
    let booked = |known: &'a KnownLine| (known.whose(), &known.product);
    match before.filter(|before| booked(before) != booked(after)) {
        None => named(after.whose(), after.difference(before)).collect(),
        Some(before) => {
            let back = before.effects().into_iter();
            let back = back.map(|(place, effect)| (place, effect.reversed()));
            let back = named(before.whose(), back.collect());
            back.chain(named(after.whose(), after.effects())).collect()
        }
    }
}
