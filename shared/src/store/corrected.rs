//! What a source said by a name of a place which leads to another now.
//!
//! What it stated by that name ends by itself, and is stated anew when its webhooks are applied again. What
//! merely moved is counted once, so then it is taken back where it was and counted where the name leads, in
//! one transaction with the event's marker.

use jiff::Timestamp;

use super::orders::Changing;
use super::row::{Expect, Write, Written};
use super::stock::{Applied, ApplyError, ELSEWHERE, Marker, MovedAt, content};
use super::{Store, StoreError, keys};
use crate::domain::event::{Change, StockEvent};
use crate::domain::id::ConnectorName;
use crate::domain::order::Effect;
use crate::domain::{Authority, ProductId};

const OPERATION: &str = "move what moved to the place that is meant";

/// What follows for something that a source has said from a version of the configuration: that it is `ended`,
/// `placed` elsewhere, or `awaited` where it has not been said yet.
pub fn follows_from(
    version: u64,
    what: &str,
    source: &ConnectorName,
    at: Timestamp,
    change: Change,
) -> Result<StockEvent, StoreError> {
    let id = format!("configuration:{version}:{what}");
    Ok(StockEvent {
        id: id.parse().map_err(|error| StoreError::Unreadable {
            operation: "name what follows from a configuration",
            key: id.clone(),
            problem: format!("{error}"),
        })?,
        source: source.clone(),
        at,
        actor: None,
        change,
    })
}

impl Store {
    /// Counts an event that was applied before where the name of its place leads now; nothing where it is
    /// another event of the same id.
    pub(super) async fn correct_place(
        &self,
        event: &StockEvent,
        authority: &Authority,
    ) -> Result<Option<Applied>, ApplyError> {
        let key = keys::marker(&event.source, &event.id);
        for attempt in 0.. {
            let stored = self.get::<Marker>(OPERATION, &key).await?;
            let Some((stored, to)) = stored.zip(MovedAt::of(event)) else {
                return Ok(None);
            };
            let from = stored.data.moved.as_ref();
            let Some(from) = from.filter(|it| {
                it.called == to.called && stored.data.content == content(event, Some(&it.location))
            }) else {
                return Ok(None);
            };
            if from.location == to.location {
                return Ok(Some(Applied::Before)); // somebody was faster
            }
            let sides = [
                (
                    from,
                    effect(&event.change, from.at).map(|(it, effect)| (it, effect.reversed())),
                ),
                (&to, effect(&event.change, to.at)),
            ];
            let changes = sides.into_iter().filter_map(|(side, effect)| {
                let (product, effect) = effect?;
                Some(Changing {
                    at: Some(side.at),
                    whose: None,
                    is_named: false,
                    takes_back: false,
                    place: (product.clone(), side.location.clone()),
                    effect,
                })
            });
            let mut moving = self
                .moving(event, changes.collect(), Some(ELSEWHERE), authority)
                .await?;
            let marker = stored.data.moved_to(event)?;
            let expect = Expect::Version(stored.version);
            moving.writes.push(Write::Put(marker, expect));
            let along = self.with_along(&mut moving.writes);
            match self.transact(OPERATION, moving.writes).await? {
                Written::Done => {
                    self.settle_moved(moving.late, event, &authority.quantities)
                        .await?;
                    return Ok(Some(Applied::with(moving.changed, Vec::new())));
                }
                Written::Unexpected(unmet)
                    if along.is_some_and(|at| unmet.get(at) == Some(&true)) =>
                {
                    break; // the webhook has a record already
                }
                Written::Unexpected(_) => self.after_conflict(OPERATION, attempt).await?,
            }
        }
        let operation = OPERATION;
        Err(StoreError::Contended { operation }.into())
    }
}

/// What a movement comes to, and of which product.
fn effect(change: &Change, at: Timestamp) -> Option<(&ProductId, Effect)> {
    let (product, moved, sold) = match change {
        Change::Moved { product, delta, .. } => (product, *delta, 0),
        Change::Sold {
            product,
            quantity,
            deducts,
            ..
        } => (product, if *deducts { -quantity } else { 0 }, *quantity),
        _ => return None,
    };
    let only = |units: i64| (units != 0).then_some((at, units));
    let effect = Effect {
        moves: only(moved).into_iter().collect(),
        sold: only(sold).into_iter().collect(),
    };
    Some((product, effect))
}
