//! Many changes at once, in few calls: what they are about is read in batches, and as many of them as a
//! transaction takes are written in one.
//!
//! None of them depends on another. What is no longer as it was read keeps nothing else back: whoever
//! asked reads it again, and decides again what to say of it.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt, stream};

use super::keys::{self, Key};
use super::products::Product;
use super::row::{Stored, Written, read};
use super::stated::Item;
use super::stock::{Applied, ApplyError, Prepared, change_of_position, standing};
use super::{Store, StoreError};
use crate::domain::authority::API;
use crate::domain::event::{Change, StockEvent};
use crate::domain::id::LocationId;
use crate::domain::unit::UnitReport;
use crate::domain::{Authority, Position, ProductId, Unit};

/// Positions of one webhook that are written side by side.
const SIDE_BY_SIDE: usize = 12;

/// Items as they stood when they were read, at once.
#[derive(Debug, Default)]
pub struct Known {
    positions: HashMap<Key, Stored<Position>>,
    units: HashMap<Key, Stored<Unit>>,
    products: HashMap<Key, Stored<Product>>,
}

impl Known {
    /// A position, if there is one.
    pub fn position(&self, product: &ProductId, location: &LocationId) -> Option<&Position> {
        let stored = self.positions.get(&keys::position(product, location));
        stored.map(|stored| &stored.data)
    }

    /// A vehicle, if it is known.
    pub fn unit(&self, vin: &str) -> Option<&Unit> {
        self.stored_unit(&keys::unit(vin))
            .map(|stored| &stored.data)
    }

    /// What is known of a product.
    pub fn product(&self, product: &ProductId) -> Option<&Product> {
        let stored = self.products.get(&keys::description(product));
        stored.map(|stored| &stored.data)
    }

    /// Whether an event is about a position that went on under another SKU, or came after one that did:
    /// which is meant has to be looked up.
    fn is_renamed(&self, event: &StockEvent, authority: &Authority) -> bool {
        let about = change_of_position(event, authority);
        let about = about.and_then(|(product, location, _)| self.position(product, location));
        about.is_some_and(|position| position.renamed.is_some())
    }

    pub(super) fn stored_unit(&self, key: &Key) -> Option<&Stored<Unit>> {
        self.units.get(key)
    }
}

impl Store {
    /// Reads items, and what products are called, as they are now.
    pub async fn known(&self, items: &[Item], products: &[ProductId]) -> Result<Known, StoreError> {
        const OPERATION: &str = "read what is known";
        let mut wanted: Vec<Key> = items.iter().map(Item::state_key).collect();
        wanted.extend(products.iter().map(keys::description));
        wanted.sort_unstable();
        wanted.dedup();
        let mut known = Known::default();
        for (kind, item) in self.get_many(OPERATION, &wanted).await? {
            match kind.as_str() {
                "unit" => {
                    let stored = read::<Unit>(OPERATION, item)?;
                    known.units.insert(stored.key.clone(), stored);
                }
                "product" => {
                    let stored = read::<Product>(OPERATION, item)?;
                    known.products.insert(stored.key.clone(), stored);
                }
                _ => {
                    let stored = read::<Position>(OPERATION, item)?;
                    known.positions.insert(stored.key.clone(), stored);
                }
            }
        }
        Ok(known)
    }

    /// Applies a report about a vehicle as [`Store::apply`] does, without reading it once more if it is
    /// as it was.
    pub async fn apply_known(
        &self,
        event: &StockEvent,
        report: &UnitReport,
        known: &Known,
        authority: &Authority,
    ) -> Result<Applied, ApplyError> {
        self.apply_unit(event, report, authority, Some(known)).await
    }

    /// Applies statements of levels and descriptions, each about something else, which was read before,
    /// in one transaction. What became of each, in their order: nothing of those that are no such
    /// statements, that are no longer as they were read, or that the table does not take together.
    pub async fn apply_together(
        &self,
        events: &[&StockEvent],
        known: &Known,
        authority: &Authority,
    ) -> Result<Vec<Option<Result<Applied, ApplyError>>>, StoreError> {
        let mut outcomes: Vec<_> = events.iter().map(|_| None).collect();
        let fits = |index: &usize| {
            is_guarded_by_its_version(events[*index])
                && !known.is_renamed(events[*index], authority)
        };
        let mut left: Vec<_> = (0..events.len()).filter(fits).collect();
        if self.along.is_some() {
            left.clear();
        }
        // What ends of a SKU that items have left takes more than this.
        let ends = left.iter().filter_map(|index| ended(events[*index]));
        let ends: Vec<_> = ends.collect();
        let renamed = self.left_names(&ends).await?;
        left.retain(|index| {
            ended(events[*index]).is_none_or(|it| !renamed.contains(&keys::names(it)))
        });
        while !left.is_empty() {
            let (mut writes, mut parts) = (Vec::new(), Vec::new());
            for index in left.drain(..) {
                match self.prepared(events[index], known, authority).await {
                    Ok(prepared) if prepared.writes.is_empty() => {
                        outcomes[index] = Some(Ok(Applied::with(false, prepared.left_out)));
                    }
                    Ok(mut prepared) => {
                        let first = writes.len();
                        writes.append(&mut prepared.writes);
                        self.note_prepared(&prepared).await?;
                        parts.push((index, first..writes.len(), prepared));
                    }
                    Err(ApplyError::Store(error)) => return Err(error),
                    Err(refusal) => outcomes[index] = Some(Err(refusal)),
                }
            }
            if parts.is_empty() {
                break;
            }
            match self.transact("apply changes together", writes).await {
                Ok(Written::Done) => {
                    for (index, _, prepared) in parts {
                        let sources = &authority.quantities;
                        self.settle_prepared(&prepared, events[index], sources)
                            .await?;
                        outcomes[index] = Some(Ok(Applied::with(true, prepared.left_out)));
                    }
                }
                // The others, without those that have changed.
                Ok(Written::Unexpected(unmet)) if unmet.contains(&true) => {
                    let as_read = parts.into_iter().filter(|(_, part, _)| {
                        unmet
                            .get(part.clone())
                            .is_some_and(|unmet| !unmet.contains(&true))
                    });
                    left.extend(as_read.map(|(index, ..)| index));
                }
                // Somebody is writing one of them, and nobody says which.
                Ok(Written::Unexpected(_)) => {}
                Err(error) if error.is_lasting() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(outcomes)
    }

    /// Applies changes: those of different positions side by side, if all are of positions, and else one
    /// after the other. What became of each, in their order; an error for what the table cannot take for
    /// now, after which the rest is not tried.
    pub async fn apply_each(
        &self,
        events: &[StockEvent],
        authority: &Authority,
    ) -> Result<Vec<Result<Applied, ApplyError>>, StoreError> {
        let events = &*self.where_others_are(events).await?;
        let mut turns: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, event) in events.iter().enumerate() {
            let position = change_of_position(event, authority);
            let position = position.map(|(product, location, _)| (product, location));
            turns.entry(position).or_default().push(index);
        }
        if turns.contains_key(&None) {
            turns = BTreeMap::from([(None, (0..events.len()).collect())]);
        }
        // Made first and run after: a stream of async closures is not `Send` for every lifetime.
        let pending: Vec<_> = turns
            .into_values()
            .map(|turn| self.apply_in_turn(events, turn, authority))
            .collect();
        let done: Vec<Vec<_>> = stream::iter(pending)
            .buffer_unordered(SIDE_BY_SIDE)
            .try_collect()
            .await?;
        let done: BTreeMap<_, _> = done.into_iter().flatten().collect();
        Ok(done.into_values().collect())
    }

    async fn apply_in_turn(
        &self,
        events: &[StockEvent],
        turn: Vec<usize>,
        authority: &Authority,
    ) -> Result<Vec<(usize, Result<Applied, ApplyError>)>, StoreError> {
        let mut outcomes = Vec::new();
        for index in turn {
            match self.apply(&events[index], authority).await {
                Err(ApplyError::Store(error)) => return Err(error),
                outcome => outcomes.push((index, outcome)),
            }
        }
        Ok(outcomes)
    }

    async fn prepared(
        &self,
        event: &StockEvent,
        known: &Known,
        authority: &Authority,
    ) -> Result<Prepared, ApplyError> {
        if let Change::Described(description) = &event.change {
            let product = ProductId::from(description.sku.clone());
            let stored = known.products.get(&keys::description(&product));
            let sources = &authority.quantities;
            let writes = self.description_writes(event, description, stored, sources)?;
            let mut prepared = Prepared::default();
            prepared.writes.extend(writes.into_iter().flatten());
            return Ok(prepared);
        }
        let Some((product, location, change)) = change_of_position(event, authority) else {
            return Ok(Prepared::default());
        };
        let stored = known.positions.get(&keys::position(product, location));
        let before = standing(stored, product, location);
        let sources = &authority.quantities;
        let (prepared, _) = self
            .prepare(event, stored, &before, (&change, None), sources)
            .await?;
        Ok(prepared)
    }
}

/// The product that a source's list lacks, if that is what an event says.
fn ended(event: &StockEvent) -> Option<&ProductId> {
    match &event.change {
        Change::Missing { product, .. } => Some(product),
        _ => None,
    }
}

/// Whether an event takes nothing but what it changes: no marker, no name to be learned.
fn is_guarded_by_its_version(event: &StockEvent) -> bool {
    match &event.change {
        Change::LevelSet { .. } | Change::Missing { .. } => event.source.as_str() != API,
        Change::Described(description) => description.external.is_empty(),
        _ => false,
    }
}
