//! Order lines: what is known of each, and with it the stock and demand that it comes to.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::renames::{self, Meant, Said};
use super::row::{Expect, Row, Write, Written};
use super::snapshots::CaughtUp;
use super::stated::Item;
use super::stock::{Applied, ApplyError};
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
            let after = before.map_or_else(|| line.known.clone(), |it| it.joined(&line.known));
            if before == Some(&after) {
                return Ok(Applied::Known);
            }
            let now = self.clock.now();
            let row = Row::new(key.clone(), "order_line", &after)?
                .expires(now.checked_add(KEPT).unwrap_or(Timestamp::MAX));
            let mut writes = vec![Write::Put(row, Expect::from_read(stored.as_ref()))];
            let mut late = Vec::new();
            let ordered = after.placed.as_ref().map(|placed| placed.at);
            // What a line came to under an old SKU, and what it comes to under the new one, are of one
            // position.
            let mut meant = BTreeMap::<Place, (Meant, Effect)>::new();
            for ((product, location), effect) in after.difference(before) {
                let at = ordered.or_else(|| effect.first()).unwrap_or(now);
                let item = after.item.as_deref().or(after.alias.as_deref());
                let item = item.map(|item| of_item(&event.source, item));
                let said = item
                    .as_ref()
                    .map_or(Said::At(at), |item| Said::Of(item, at));
                let place = (&product, &location);
                if let Some(found) = self.meant(OPERATION, place, said).await? {
                    let place = (found.position.product.clone(), location);
                    let known = meant.entry(place);
                    let (_, sum) = known.or_insert_with(|| (found, Effect::default()));
                    sum.add(effect);
                }
            }
            for ((product, location), (found, effect)) in meant {
                let day = |at| authority.day(&location, at);
                let change = PositionChange::Line {
                    item: after.item.clone().map(|item| (event.source.clone(), item)),
                    alias: after.alias.clone().map(|item| (event.source.clone(), item)),
                    moves: effect.moves.into_iter().collect(),
                    sold: effect
                        .sold
                        .into_iter()
                        .map(|(at, n)| (day(at), n))
                        .collect(),
                };
                let Meant {
                    stored,
                    position: was,
                    guard,
                    ..
                } = found;
                let known = match change.dated() {
                    Some(then) => self.caught_up(was.clone(), then, None, sources).await?,
                    None => CaughtUp::as_it_is(was.clone()),
                };
                if let Some(is) = known.position.after(&change, sources)? {
                    let changed = self.position_writes(event, stored.as_ref(), &was, is, sources);
                    writes.extend(changed?);
                    renames::guard(&mut writes, guard);
                    let item = Item::Position { product, location };
                    for source in &known.being_read {
                        self.note_late(source, &item).await?;
                    }
                    late.extend(change.dated().map(|then| (known.being_read, item, then)));
                }
            }
            let changed = writes.len() > 1;
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
}
