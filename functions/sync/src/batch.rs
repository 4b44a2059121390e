//! A batch of rows applied, in few calls: what is known of them is read at once, levels and descriptions
//! go together into transactions, and several of those side by side.
//!
//! Vehicles that are counted in one position take turns: each of them writes that position.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use shared::domain::ProductId;
use shared::domain::event::{Change, StockEvent};
use shared::domain::id::LocationId;
use shared::domain::unit::{Field, UnitReport};
use shared::store::StoreError;
use shared::store::stated::{Item, Stated};
use shared::store::stock::{Applied, ApplyError};
use shared::store::together::Known;

use crate::apply::{Applier, Asked, Repeats, Taken, taken};
use crate::rows::Statement;

/// Events in a transaction; each writes two items, of the hundred that a transaction takes. A large one
/// is as likely to meet another writer as all of its events together.
pub(crate) const TOGETHER: usize = 20;
/// Transactions at the same time, some 1,300 write units: a second's worth of one partition of the table,
/// and there are at least four.
const AT_ONCE: usize = 16;
/// Waits for a table that is busy.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A row to be applied.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub(crate) line: u64,
    pub(crate) text: String,
    pub(crate) statement: Statement,
    /// Whether the source's list has its item.
    pub(crate) listed: bool,
}

type Outcome = Result<Applied, ApplyError>;

/// What an event of a batch is for.
enum Purpose {
    Level(Box<Asked>),
    Description,
}

impl Applier<'_> {
    /// Applies rows, each of an item of its own; what came of each, in their order.
    pub(crate) async fn batch(&self, rows: &[NewRow]) -> Result<Vec<Taken>, StoreError> {
        self.list(rows).await?;
        let items: Vec<Item> = rows.iter().map(|row| row.statement.item.clone()).collect();
        let known = self.known(&items, &products(rows)).await?;
        let covered = self.covered(rows, &known).await?;
        let (mut events, mut purposes, mut later) = (Vec::new(), Vec::new(), Vec::new());
        let mut described = HashMap::new();
        for (index, row) in rows.iter().enumerate() {
            let (line, statement) = (row.line, &row.statement);
            if let Some(asked) = self.asked(line, statement, &known, &covered)? {
                events.push(asked.event.clone());
                purposes.push((index, Purpose::Level(Box::new(asked))));
            }
            let Some(description) = &statement.description else {
                continue;
            };
            // One row for each place of the product, which mostly say the same of it.
            let said = (&description.title, &description.category);
            if let Some(first) = described.get(&description.sku) {
                if *first != said {
                    later.push((index, Purpose::Description));
                }
                continue;
            }
            let product = known.product(&ProductId::from(description.sku.clone()));
            if let Some(event) = self.described(line, description, product)? {
                described.insert(&description.sku, said);
                events.push(event);
                purposes.push((index, Purpose::Description));
            }
        }
        let outcomes = self.apply_all(&events, &known).await?;
        let mut all: Vec<_> = rows.iter().map(|_| Taken::known()).collect();
        for ((index, purpose), outcome) in purposes.into_iter().zip(outcomes) {
            let Some(outcome) = outcome else {
                later.push((index, purpose));
                continue;
            };
            let statement = &rows[index].statement;
            all[index].join(match purpose {
                Purpose::Level(asked) => self.taken(outcome, &asked, statement).await?,
                Purpose::Description => taken(outcome, true, statement)?.without_outcome(),
            });
        }
        // What others have written meanwhile is read again, and by itself.
        let again: Vec<_> = later
            .into_iter()
            .map(|(index, purpose)| self.again(index, &rows[index], purpose))
            .collect();
        let again: Vec<_> = stream::iter(again).buffered(AT_ONCE).try_collect().await?;
        for (index, taken) in again {
            all[index].join(taken);
        }
        Ok(all)
    }

    /// Applies one row's level or description, whatever is there by now.
    async fn again(
        &self,
        index: usize,
        row: &NewRow,
        purpose: Purpose,
    ) -> Result<(usize, Taken), StoreError> {
        let (line, statement) = (row.line, &row.statement);
        let taken = match (purpose, &statement.description) {
            (Purpose::Level(_), _) => {
                let known = self.known(std::slice::from_ref(&statement.item), &[]);
                let known = known.await?;
                let covered = self.covered(std::slice::from_ref(row), &known).await?;
                match self.asked(line, statement, &known, &covered)? {
                    Some(asked) => {
                        let outcome = self.alone(&asked.event).await?;
                        self.taken(outcome, &asked, statement).await?
                    }
                    None => Taken::known(),
                }
            }
            (Purpose::Description, Some(description)) => {
                let product = ProductId::from(description.sku.clone());
                let known = self.known(&[], std::slice::from_ref(&product)).await?;
                match self.described(line, description, known.product(&product))? {
                    Some(event) => {
                        let outcome = self.alone(&event).await?;
                        taken(outcome, true, statement)?.without_outcome()
                    }
                    None => Taken::known(),
                }
            }
            (Purpose::Description, None) => Taken::known(),
        };
        Ok((index, taken))
    }

    async fn alone(&self, event: &StockEvent) -> Result<Outcome, StoreError> {
        self.patiently(|| async {
            match self.store.apply(event, self.authority).await {
                Err(ApplyError::Store(error)) => Err(error),
                outcome => Ok(outcome),
            }
        })
        .await
    }

    /// Of the items whose rows repeat what is there, those that the source's last file stated.
    async fn covered(&self, rows: &[NewRow], known: &Known) -> Result<HashSet<Item>, StoreError> {
        let items = rows.iter().map(|row| &row.statement);
        let items = items.filter(|statement| self.needs_the_list(statement, known));
        let items: Vec<_> = items.map(|statement| statement.item.clone()).collect();
        let stated = self.patiently(|| self.store.stated_items(self.source, &items));
        let stated = stated.await?.into_iter();
        let covered = stated.filter(|stated| stated.until.is_none());
        Ok(covered.map(|stated| stated.item).collect())
    }

    /// Lists items that are not, before anything of them is applied, so that whatever is applied can be
    /// missed.
    async fn list(&self, rows: &[NewRow]) -> Result<(), StoreError> {
        if self.repeats == Repeats::EachOne {
            return Ok(());
        }
        let new = rows.iter().filter(|row| !row.listed);
        let new: Vec<_> = new
            .map(|row| Stated::now(row.statement.item.clone()))
            .collect();
        self.patiently(|| self.store.save_stated(self.source, &new))
            .await
    }

    async fn known(&self, items: &[Item], products: &[ProductId]) -> Result<Known, StoreError> {
        self.patiently(|| self.store.known(items, products)).await
    }

    /// Removes what the file no longer has; `false` for each where what we hold is newer than the file.
    pub(crate) async fn remove(&self, items: &[Item]) -> Result<Vec<bool>, StoreError> {
        let known = self.known(items, &[]).await?;
        let events: Vec<_> = items.iter().map(|item| self.removal(item)).collect();
        let events = events.into_iter().collect::<Result<Vec<_>, _>>()?;
        let outcomes = self.apply_all(&events, &known).await?;
        let mut all = Vec::new();
        for ((item, event), outcome) in items.iter().zip(&events).zip(outcomes) {
            let outcome = match outcome {
                Some(outcome) => outcome,
                None => self.alone(event).await?,
            };
            all.push(match outcome {
                Ok(applied) => applied == Applied::Changed,
                Err(refusal) => {
                    tracing::warn!(source = %self.source, %item, %refusal, "could not be removed");
                    false
                }
            });
        }
        Ok(all)
    }

    /// Applies events, each of something else; what became of each, in their order, and nothing of those
    /// that others have written meanwhile.
    async fn apply_all(
        &self,
        events: &[StockEvent],
        known: &Known,
    ) -> Result<Vec<Option<Outcome>>, StoreError> {
        let mut lots: BTreeMap<_, Vec<&StockEvent>> = BTreeMap::new();
        let mut lot_of = Vec::new();
        let mut others = 0;
        for event in events {
            let lot = match &event.change {
                Change::Unit(report) => Lot::Counted(counted_in(report, known)),
                _ => {
                    others += 1;
                    Lot::Pack((others - 1) / TOGETHER)
                }
            };
            lots.entry(lot.clone()).or_default().push(event);
            lot_of.push(lot);
        }
        // Made first and run after: a stream of async closures is not `Send` for every lifetime.
        let pending: Vec<_> = lots
            .into_iter()
            .map(|(lot, events)| self.apply_lot(lot, events, known))
            .collect();
        let done: BTreeMap<_, _> = stream::iter(pending)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let mut done: BTreeMap<_, _> = done
            .into_iter()
            .map(|(lot, outcomes): (Lot, Vec<Option<Outcome>>)| (lot, outcomes.into_iter()))
            .collect();
        let in_order = lot_of.iter().filter_map(|lot| done.get_mut(lot)?.next());
        Ok(in_order.collect())
    }

    async fn apply_lot(
        &self,
        lot: Lot,
        events: Vec<&StockEvent>,
        known: &Known,
    ) -> Result<(Lot, Vec<Option<Outcome>>), StoreError> {
        let outcomes = match lot {
            Lot::Pack(_) => {
                self.patiently(|| self.store.apply_together(&events, known, self.authority))
                    .await?
            }
            Lot::Counted(_) => {
                let mut outcomes = Vec::new();
                for event in events {
                    outcomes.push(Some(self.vehicle_alone(event, known).await?));
                }
                outcomes
            }
        };
        Ok((lot, outcomes))
    }

    async fn vehicle_alone(
        &self,
        event: &StockEvent,
        known: &Known,
    ) -> Result<Outcome, StoreError> {
        let Change::Unit(report) = &event.change else {
            return self.alone(event).await;
        };
        self.patiently(|| async {
            let applied = self.store.apply_known(event, report, known, self.authority);
            match applied.await {
                Err(ApplyError::Store(error)) => Err(error),
                outcome => Ok(outcome),
            }
        })
        .await
    }

    /// Asks again, ever more seldom, while the table cannot take more: a new table takes less than a
    /// first load could ask of it, until it has grown.
    async fn patiently<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut wait = FIRST_WAIT;
        loop {
            let answer = call().await;
            let left = self.patient_until.duration_since(self.store.clock().now());
            let left = Duration::try_from(left).unwrap_or_default();
            match answer {
                Err(error) if error.is_transient() && !left.is_zero() => {
                    let part = 0.5 + self.store.chance().fraction() / 2.0;
                    tokio::time::sleep(wait.mul_f64(part).min(left)).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                answer => return answer,
            }
        }
    }
}

/// Events that are applied one after the other, or in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Lot {
    /// Vehicles that write one position.
    Counted((Option<ProductId>, Option<LocationId>)),
    /// Whatever else.
    Pack(usize),
}

/// Where a vehicle is counted once a report is applied, as far as it tells: what is missing is as it was.
fn counted_in(report: &UnitReport, known: &Known) -> (Option<ProductId>, Option<LocationId>) {
    let before = known.unit(report.vin.as_str());
    let before = before.and_then(|unit| unit.counted.as_ref());
    let text = |name| match report.fields.get(name) {
        Some(Field::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let line = text("make").zip(text("model"));
    let line = line.and_then(|(make, model)| ProductId::model_line(make, model).ok());
    let location = report.location.clone();
    (
        line.or_else(|| before.map(|counted| counted.product.clone())),
        location.or_else(|| before.map(|counted| counted.location.clone())),
    )
}

/// The products that rows describe, each once.
fn products(rows: &[NewRow]) -> Vec<ProductId> {
    let described = rows
        .iter()
        .filter_map(|row| row.statement.description.as_ref());
    let mut products: Vec<_> = described
        .map(|described| ProductId::from(described.sku.clone()))
        .collect();
    products.sort_unstable();
    products.dedup();
    products
}
