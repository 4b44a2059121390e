//! Many changes at once, in few calls: what they are about is read in batches, and as many of them as a
//! transaction takes are written in one.
//!
//! None of them depends on another. If something of a transaction is not as it was read, or cannot be
//! stored, what is to blame is applied by itself, as any other change is.

use std::collections::HashMap;

use super::keys::{self, Key};
use super::products::Product;
use super::row::{Stored, Written, read};
use super::stated::Item;
use super::stock::{Applied, ApplyError, Prepared, change_of_position, standing};
use super::{Store, StoreError};
use crate::domain::authority::API;
use crate::domain::event::{Change, StockEvent};
use crate::domain::id::LocationId;
use crate::domain::{Authority, Position, ProductId, Unit};

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

    /// Applies an event about a vehicle that was read before; any other as [`Store::apply`] does.
    async fn apply_known(
        &self,
        event: &StockEvent,
        known: &Known,
        authority: &Authority,
    ) -> Result<Applied, ApplyError> {
        match &event.change {
            Change::Unit(report) => self.apply_unit(event, report, authority, Some(known)).await,
            _ => self.apply(event, authority).await,
        }
    }

    /// Applies events, each about something else, which was read before: statements of levels and
    /// descriptions in one transaction, if all is as it was read, and others by themselves. What became
    /// of each, in their order.
    pub async fn apply_together(
        &self,
        events: &[&StockEvent],
        known: &Known,
        authority: &Authority,
    ) -> Result<Vec<Result<Applied, ApplyError>>, StoreError> {
        let mut outcomes: Vec<_> = events.iter().map(|_| Ok(Applied::Known)).collect();
        let fits = |event| self.along.is_none() && is_guarded_by_its_version(event);
        let (mut together, mut alone): (Vec<_>, Vec<_>) =
            (0..events.len()).partition(|index| fits(events[*index]));
        while !together.is_empty() {
            let (mut writes, mut parts) = (Vec::new(), Vec::new());
            for index in together.drain(..) {
                match self.prepared(events[index], known, authority).await {
                    Ok(prepared) if prepared.writes.is_empty() => {
                        outcomes[index] = Ok(Applied::with(false, prepared.left_out));
                    }
                    Ok(mut prepared) => {
                        let first = writes.len();
                        writes.append(&mut prepared.writes);
                        self.note_prepared(&prepared).await?;
                        parts.push((index, first..writes.len(), prepared));
                    }
                    Err(ApplyError::Store(error)) => return Err(error),
                    Err(refusal) => outcomes[index] = Err(refusal),
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
                        outcomes[index] = Ok(Applied::with(true, prepared.left_out));
                    }
                }
                Ok(Written::Unexpected(unmet)) => {
                    let mut others = Vec::new();
                    for (index, part, _) in parts {
                        let changed = unmet.get(part).is_some_and(|unmet| unmet.contains(&true));
                        let apart = if changed { &mut alone } else { &mut others };
                        apart.push(index);
                    }
                    if unmet.contains(&true) {
                        together = others;
                    } else {
                        // Somebody is writing one of them, and nobody says which.
                        alone.extend(others);
                    }
                }
                Err(error) if error.is_lasting() => {
                    alone.extend(parts.into_iter().map(|(index, ..)| index));
                }
                Err(error) => return Err(error),
            }
        }
        for index in alone {
            outcomes[index] = match self.apply_known(events[index], known, authority).await {
                Err(ApplyError::Store(error)) => return Err(error),
                outcome => outcome,
            };
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
            let writes = self.description_writes(event, description, stored)?;
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
            .prepare(event, stored, &before, &change, sources)
            .await?;
        Ok(prepared)
    }
}

/// Whether an event takes nothing but what it changes: no marker, no name to be learned.
fn is_guarded_by_its_version(event: &StockEvent) -> bool {
    match &event.change {
        Change::LevelSet { .. } => event.source.as_str() != API,
        Change::Described(description) => description.external.is_empty(),
        _ => false,
    }
}
