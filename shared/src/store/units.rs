//! Changes of vehicles: the unit, the positions it is counted in, and their ledger rows, in one
//! transaction, so that units and positions never disagree.

use serde_json::{Value, json};

use super::keys::{self, Listed};
use super::row::{Expect, Page, Row, Stored, Write, Written};
use super::stock::{Applied, ApplyError};
use super::{Store, StoreError};
use crate::domain::event::StockEvent;
use crate::domain::ledger::LedgerRow;
use crate::domain::money::jump;
use crate::domain::position::PositionChange;
use crate::domain::unit::{Counted, Field, UnitReport, UnitState};
use crate::domain::{Authority, Position, Unit};

const OPERATION: &str = "apply a change of a vehicle";

impl Store {
    /// One vehicle, as it is now.
    pub async fn unit(&self, vin: &str) -> Result<Option<Unit>, StoreError> {
        let stored = self.get("read a vehicle", &keys::unit(vin)).await?;
        Ok(stored.map(|stored| stored.data))
    }

    /// A page of all vehicles, by VIN within each of the list's shards.
    pub async fn units(&self, cursor: Option<&str>, limit: i32) -> Result<Page<Unit>, StoreError> {
        self.each_unit(cursor, limit).await?.try_map(|it| it)
    }

    /// As [`Store::units`], for whom one that cannot be read must not keep from the others.
    pub async fn each_unit(
        &self,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Result<Unit, StoreError>>, StoreError> {
        self.sharded("list vehicles", keys::units_list, cursor, limit)
            .await
    }

    pub(super) async fn apply_unit(
        &self,
        event: &StockEvent,
        report: &UnitReport,
        authority: &Authority,
    ) -> Result<Applied, ApplyError> {
        let key = keys::unit(report.vin.as_str());
        for attempt in 0.. {
            let stored = self.get::<Unit>(OPERATION, &key).await?;
            let before = stored.as_ref().map_or_else(
                || Unit::unknown(report.vin.clone()),
                |stored| stored.data.clone(),
            );
            if authority.hold_price_jumps {
                believable(&before, event, report)?;
            }
            let Some(mut after) = before.after(&event.source, report) else {
                return Ok(Applied::Known);
            };
            after.counted = after.count(&authority.units);
            if after.counted.is_none() {
                return Err(ApplyError::Unplaced {
                    vin: report.vin.to_string(),
                    missing: match after.model_line(&authority.units) {
                        None => "make and model are",
                        Some(_) => "its rooftop is",
                    },
                });
            }
            let mut writes = self
                .count_writes(
                    event,
                    before.counted.as_ref(),
                    after.counted.as_ref(),
                    authority,
                )
                .await?;
            writes.extend(self.unit_writes(event, stored.as_ref(), &before, after, authority)?);
            match self.transact(OPERATION, writes).await? {
                Written::Done => return Ok(Applied::Changed),
                Written::Unexpected(_) => self.after_conflict(OPERATION, attempt).await?,
            }
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        }
        .into())
    }

    fn unit_writes(
        &self,
        event: &StockEvent,
        stored: Option<&Stored<Unit>>,
        before: &Unit,
        mut after: Unit,
        authority: &Authority,
    ) -> Result<Vec<Write>, StoreError> {
        after.revision = before.revision + 1;
        after.origin = self.origin();
        let of = keys::unit_history(after.vin.as_str());
        let row = LedgerRow {
            of: of.clone(),
            revision: after.revision,
            at: self.clock.now(),
            source: event.source.clone(),
            event: event.id.clone(),
            actor: event.actor.clone(),
            reason: None,
            correlation: self.correlation().cloned(),
            change: "unit".to_owned(),
            before: if before.revision == 0 {
                Value::Null
            } else {
                words(before, authority)
            },
            after: words(&after, authority),
            previous: before.chain.clone(),
            hash: String::new(),
        }
        .sealed();
        after.chain.clone_from(&row.hash);
        Ok(vec![
            Write::Put(unit_row(&after)?, Expect::from_read(stored)),
            Write::Put(
                Row::new(keys::ledger(&of, row.revision), "ledger", &row)?,
                Expect::Absent,
            ),
        ])
    }

    /// Moves the unit from the position it was counted in to the one it belongs in now.
    async fn count_writes(
        &self,
        event: &StockEvent,
        was: Option<&Counted>,
        is: Option<&Counted>,
        authority: &Authority,
    ) -> Result<Vec<Write>, ApplyError> {
        let sold_on = match (was, is) {
            (was, Some(is)) if is.state == UnitState::Sold => was
                .is_some_and(|was| was.state.is_present())
                .then(|| authority.day(&is.location, event.at)),
            _ => None,
        };
        let place = |counted: &Counted| (counted.product.clone(), counted.location.clone());
        let counts = |counted: Option<&Counted>| counted.map_or([0; 3], |c| c.state.counts());
        let mut steps = Vec::new();
        match (was, is) {
            (Some(was), Some(is)) if place(was) != place(is) => {
                steps.push((place(was), counts(Some(was)).map(|n| -n), None));
                steps.push((place(is), counts(Some(is)), sold_on));
            }
            (was, is) => {
                let (old, new) = (counts(was), counts(is));
                let change = [new[0] - old[0], new[1] - old[1], new[2] - old[2]];
                steps.extend(is.or(was).map(|at| (place(at), change, sold_on)));
            }
        }
        let mut writes = Vec::new();
        for ((product, location), [on_hand, reserved, incoming], sold_on) in steps {
            let change = PositionChange::Count {
                on_hand,
                reserved,
                incoming,
                sold_on,
            };
            let stored = self
                .get::<Position>(OPERATION, &keys::position(&product, &location))
                .await?;
            let before = stored.as_ref().map_or_else(
                || Position::unknown(product, location),
                |stored| stored.data.clone(),
            );
            if let Some(after) = before.after(&change, &authority.quantities)? {
                writes.extend(self.position_writes(
                    event,
                    stored.as_ref(),
                    &before,
                    after,
                    &authority.quantities,
                )?);
            }
        }
        Ok(writes)
    }
}

/// Holds a report whose price cannot be believed, before anything of it is applied (F20).
fn believable(known: &Unit, event: &StockEvent, report: &UnitReport) -> Result<(), ApplyError> {
    for (name, value) in &report.fields {
        let Field::Money(new) = value else { continue };
        let previous = known
            .fields
            .get(name)
            .and_then(|heard| heard.get(&event.source))
            .and_then(|stamped| match &stamped.value {
                Field::Money(money) => Some(*money),
                _ => None,
            });
        if let Some(alarm) = jump(previous, *new) {
            return Err(ApplyError::Held {
                vin: report.vin.to_string(),
                field: name.clone(),
                problem: alarm.to_string(),
            });
        }
    }
    Ok(())
}

fn unit_row(unit: &Unit) -> Result<Row, StoreError> {
    let vin = unit.vin.as_str();
    let row = Row::new(keys::unit(vin), "unit", unit)?;
    // By where it is counted, so that the units behind a position can be listed by themselves.
    Ok(match &unit.counted {
        None => row,
        Some(counted) => row.listed(Listed {
            list: keys::units_list(keys::shard(vin)),
            place: keys::units_place(&counted.product, &counted.location, vin),
        }),
    })
}

/// What the ledger shows of a unit.
pub(super) fn words(unit: &Unit, authority: &Authority) -> Value {
    let resolved = unit.resolve(&authority.units);
    let fields: serde_json::Map<_, _> = unit
        .fields
        .keys()
        .filter_map(|name| {
            Some((
                name.clone(),
                json!(unit.field(name, authority.field(name))?),
            ))
        })
        .collect();
    json!({
        "state": resolved.state,
        "location": resolved.location,
        "stock_number": resolved.stock_number,
        "fields": fields,
    })
}
