//! Changes of vehicles: the unit, the positions it is counted in, and their ledger rows, in one
//! transaction, so that units and positions never disagree.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::keys::{self, Listed};
use super::quarantine::{HeldState, Quarantined, known_by};
use super::row::{Expect, Page, Row, Stored, Write, Written};
use super::stock::{Applied, ApplyError, LeftOut, reason};
use super::together::Known;
use super::{Store, StoreError};
use crate::domain::event::{Change, StockEvent};
use crate::domain::id::{ConnectorName, LocationId};
use crate::domain::ledger::LedgerRow;
use crate::domain::money::jump;
use crate::domain::position::PositionChange;
use crate::domain::renamed::Lost;
use crate::domain::unit::{Field, UnitReport, UnitState};
use crate::domain::{Authority, Position, ProductId, Unit};

const OPERATION: &str = "apply a change of a vehicle";

/// Why a vehicle's report is in quarantine although it is kept: it cannot be counted anywhere yet. Such
/// an entry is known by its VIN, and closed when the vehicle is counted.
pub const UNPLACED: &str = "unplaced";

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

    /// Applies a report: where the vehicle is, whatever is to be said of its description. What cannot be
    /// believed or stored of the description is left out. `read`: what was read of it before.
    pub(super) async fn apply_unit(
        &self,
        event: &StockEvent,
        report: &UnitReport,
        authority: &Authority,
        read: Option<&Known>,
    ) -> Result<Applied, ApplyError> {
        match self.apply_report(event, report, authority, read).await {
            Err(ApplyError::Unstorable(_)) if !report.fields.is_empty() => {}
            applied => return applied,
        }
        let whereabouts = UnitReport {
            fields: BTreeMap::new(),
            ..report.clone()
        };
        // What is left out is still to be told: whoever keeps the webhook does so after that.
        let alone = self.along_with(None);
        let applied = alone
            .apply_report(event, &whereabouts, authority, None)
            .await?;
        let (changed, mut left_out) = match applied {
            Applied::Partly { changed, left_out } => (changed, left_out),
            other => (other == Applied::Changed, Vec::new()),
        };
        left_out.push(LeftOut {
            field: "description".to_owned(),
            reason: "too_large",
            sentence: format!("vehicle {}: its description is too large", report.vin),
            awaits: None,
            says: None,
        });
        Ok(Applied::with(changed, left_out))
    }

    async fn apply_report(
        &self,
        event: &StockEvent,
        report: &UnitReport,
        authority: &Authority,
        read: Option<&Known>,
    ) -> Result<Applied, ApplyError> {
        let key = keys::unit(report.vin.as_str());
        for attempt in 0.. {
            let stored = match read.filter(|_| attempt == 0) {
                Some(known) => known.stored_unit(&key).cloned(),
                None => self.get::<Unit>(OPERATION, &key).await?,
            };
            let before = stored.as_ref().map_or_else(
                || Unit::unknown(report.vin.clone()),
                |stored| stored.data.clone(),
            );
            let (report, mut left_out) = believable(&before, &event.source, report, authority);
            let heard = before.after(&event.source, &report, authority.configuration);
            let mut after = heard.unwrap_or_else(|| before.clone());
            after.counted = after.count(authority);
            after.demand = after.demand(authority);
            // What is repeated still counts as `[ownership]` has it by now.
            if after == before {
                left_out.extend(uncounted(&before, authority));
                return Ok(Applied::with(false, left_out));
            }
            left_out.extend(uncounted(&after, authority));
            let was_waiting = before.revision > 0 && before.counted.is_none();
            let placed = (was_waiting && after.counted.is_some()).then(|| after.clone());
            let mut writes = self.count_writes(event, &before, &after, authority).await?;
            writes.extend(self.unit_writes(event, stored.as_ref(), &before, after, authority)?);
            let along = left_out
                .is_empty()
                .then(|| self.with_along(&mut writes))
                .flatten();
            match self.transact(OPERATION, writes).await? {
                Written::Done => {
                    if let Some(placed) = placed {
                        self.end_unplaced(&placed).await?;
                    }
                    return Ok(Applied::with(true, left_out));
                }
                Written::Unexpected(unmet)
                    if along.is_some_and(|at| unmet.get(at) == Some(&true)) =>
                {
                    break; // the webhook has a record already
                }
                Written::Unexpected(_) => self.after_conflict(OPERATION, attempt).await?,
            }
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        }
        .into())
    }

    /// Closes the entry of a vehicle in quarantine if it is counted by now: who held it may have read the
    /// vehicle before it was.
    pub async fn close_if_placed(&self, vin: &str) -> Result<(), StoreError> {
        match self.unit(vin).await? {
            Some(unit) if unit.counted.is_some() => self.end_unplaced(&unit).await,
            _ => Ok(()),
        }
    }

    /// Has the entry of a vehicle that cannot be counted say what is missing by what is known now.
    pub async fn renew_unplaced(
        &self,
        held: &Quarantined,
        authority: &Authority,
    ) -> Result<(), StoreError> {
        // The list may lag behind.
        let stored = self.quarantine_entry(&held.id).await?;
        let Some(stored) = stored.filter(|stored| stored.data.state == HeldState::Open) else {
            return Ok(());
        };
        let held = &stored.data;
        // Entries of before name it in their sentence only.
        let named = || held.sentence.strip_prefix("vehicle ")?.split(':').next();
        let Some(vin) = held.about.first().map(String::as_str).or_else(named) else {
            return Ok(());
        };
        let Some(unit) = self.unit(vin).await? else {
            return Ok(());
        };
        let Some(missing) = uncounted(&unit, authority) else {
            return self.end_unplaced(&unit).await;
        };
        // With all that is known it is counted when somebody next speaks of it.
        let is_old = held.sentence.trim_end_matches('.') != missing.sentence;
        if is_old && unit.count(authority).is_none() {
            let now = Quarantined {
                sentence: missing.sentence,
                says: missing.says,
                ..held.clone()
            };
            // Who writes it meanwhile says what holds.
            self.hold_again(&stored, &now).await?;
        }
        Ok(())
    }

    /// Closes what is in quarantine, of whatever source, because a vehicle could not be counted.
    async fn end_unplaced(&self, unit: &Unit) -> Result<(), StoreError> {
        let of_fields = unit.fields.values().flat_map(BTreeMap::keys);
        let sources: BTreeSet<_> = unit.claims.keys().chain(of_fields).collect();
        for source in sources {
            let entry = known_by(source, UNPLACED, &format!("{UNPLACED} {}", unit.vin));
            self.close_quarantined(&entry, "the vehicle is counted")
                .await?;
        }
        Ok(())
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
        after.replayed = self.replayed(after.replayed.take(), after.revision);
        let of = keys::unit_history(after.vin.as_str());
        let row = LedgerRow {
            of: of.clone(),
            revision: after.revision,
            at: self.clock.now(),
            source: event.source.clone(),
            event: event.id.clone(),
            actor: event.actor.clone(),
            reason: reason(&event.change).map(str::to_owned),
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

    /// Moves the unit from the position it was counted in to the one it belongs in now, and its sales
    /// with it.
    async fn count_writes(
        &self,
        event: &StockEvent,
        before: &Unit,
        after: &Unit,
        authority: &Authority,
    ) -> Result<Vec<Write>, ApplyError> {
        let mut writes = Vec::new();
        let source_gone = matches!(&event.change, Change::Unit(report) if report.source_gone);
        let counted_at = after.counted.as_ref().map(|counted| &counted.location);
        for ((product, location), moved) in moves(before, after) {
            // That a place has another name is no word of what stands there.
            let is_elsewhere = counted_at.is_some_and(|elsewhere| elsewhere != location);
            let place_gone = is_elsewhere && !authority.has_place(location);
            let is_here = after
                .counted
                .as_ref()
                .is_some_and(|it| (&it.product, &it.location) == (product, location));
            let was = before.counted.as_ref();
            let was_here = was.is_some_and(|it| (&it.product, &it.location) == (product, location));
            let goes_on = after
                .counted
                .as_ref()
                .filter(|now| was_here && now.location == *location && now.product != *product);
            // What has left already, and gets another name then, never stood there by that name.
            let is_named_anew = was.is_some_and(|it| {
                it.location == *location && it.product != *product && !it.state.is_present()
            });
            let was_there = |is_there: fn(UnitState) -> bool| {
                !is_named_anew && after.was_at(location, is_there)
            };
            let called = after.called(authority);
            let [on_hand, reserved, incoming] = moved.counts;
            let change = PositionChange::Count {
                on_hand,
                reserved,
                incoming,
                was_there: was_there(UnitState::is_present),
                was_in_stock: was_there(UnitState::is_in_stock),
                unheard: source_gone || place_gone,
                never_there: is_elsewhere
                    && before.was_at(location, UnitState::is_present)
                    && !after.was_at(location, UnitState::is_present),
                lost: Lost {
                    by: self.origin(),
                    to: goes_on.map(|now| now.product.clone()),
                    called: called.clone().filter(|_| goes_on.is_some()),
                },
                called: called.filter(|_| is_here),
                sold: moved.sold.into_iter().filter(|(_, n)| *n != 0).collect(),
            };
            let stored = self
                .get::<Position>(OPERATION, &keys::position(product, location))
                .await?;
            let position = stored.as_ref().map_or_else(
                || Position::unknown(product.clone(), location.clone()),
                |stored| stored.data.clone(),
            );
            if let Some(next) = position.after(&change, &authority.quantities)? {
                writes.extend(self.position_writes(
                    event,
                    stored.as_ref(),
                    &position,
                    next,
                    &authority.quantities,
                )?);
            }
        }
        Ok(writes)
    }
}

/// What a change of a unit is for one position.
#[derive(Default)]
struct Moved {
    counts: [i64; 3],
    sold: BTreeMap<Date, i64>,
}

/// What a change of a unit is for the positions that it was, and is, counted in.
fn moves<'a>(
    before: &'a Unit,
    after: &'a Unit,
) -> BTreeMap<(&'a ProductId, &'a LocationId), Moved> {
    let mut moves: BTreeMap<_, Moved> = BTreeMap::new();
    for (unit, sign) in [(before, -1), (after, 1)] {
        if let Some(counted) = &unit.counted {
            let moved = moves
                .entry((&counted.product, &counted.location))
                .or_default();
            for (sum, count) in moved.counts.iter_mut().zip(counted.state.counts()) {
                *sum += sign * count;
            }
        }
        for sale in &unit.demand {
            let moved = moves.entry((&sale.product, &sale.location)).or_default();
            *moved.sold.entry(sale.day).or_default() += sign;
        }
    }
    moves
}

/// The report without prices that cannot be believed beside the source's previous ones, and without a day
/// that is yet to come since which the vehicle is there, as no sale would ever be later: they are left for
/// a person to look at, and keep nothing else back.
fn believable<'r>(
    known: &Unit,
    source: &ConnectorName,
    report: &'r UnitReport,
    authority: &Authority,
) -> (Cow<'r, UnitReport>, Vec<LeftOut>) {
    let mut believed = Cow::Borrowed(report);
    let mut left_out = Vec::new();
    let place = report.location.as_ref();
    let place = place.or_else(|| known.claims.get(source)?.location.value());
    let said_on = match place {
        Some(place) => authority.day(place, report.version.at),
        None => TimeZone::UTC.to_datetime(report.version.at).date(),
    };
    // Somewhere it is the next day already.
    let latest = match place {
        Some(_) => said_on,
        None => said_on.tomorrow().unwrap_or(Date::MAX),
    };
    if let Some(since) = report.since.filter(|since| *since > latest) {
        believed.to_mut().since = None;
        left_out.push(LeftOut {
            field: "since".to_owned(),
            reason: "out_of_range",
            sentence: format!(
                "vehicle {}: it is said on {said_on} to be in stock since {since}, which is yet to come",
                report.vin
            ),
            awaits: None,
            says: None,
        });
    }
    let fields = report.fields.iter();
    for (name, value) in fields.filter(|_| authority.hold_price_jumps) {
        let Field::Money(new) = value else { continue };
        let heard = known.fields.get(name).and_then(|heard| heard.get(source));
        let previous = match heard.map(|stamped| &stamped.value) {
            Some(Field::Money(money)) => Some(*money),
            _ => None,
        };
        if let Some(alarm) = jump(previous, *new) {
            believed.to_mut().fields.remove(name);
            left_out.push(LeftOut {
                field: name.clone(),
                reason: "held_for_review",
                sentence: format!("vehicle {}: {name} {new}: {alarm}", report.vin),
                awaits: None,
                says: None,
            });
        }
    }
    (believed, left_out)
}

/// That a unit cannot be counted, if so: it is kept, and counted as soon as the rest is known.
fn uncounted(unit: &Unit, authority: &Authority) -> Option<LeftOut> {
    if unit.counted.is_some() {
        return None;
    }
    let (field, missing) = match unit.model_line(authority) {
        None => ("model", "make and model are"),
        Some(_) => ("location", "its rooftop is"),
    };
    Some(LeftOut {
        field: field.to_owned(),
        reason: UNPLACED,
        sentence: format!(
            "vehicle {}: {missing} not known yet, so it cannot be counted anywhere; it is kept, and \
             counted as soon as they are",
            unit.vin
        ),
        awaits: Some((UNPLACED, unit.vin.to_string())),
        says: Some(field.to_owned()),
    })
}

fn unit_row(unit: &Unit) -> Result<Row, StoreError> {
    let vin = unit.vin.as_str();
    let row = Row::new(keys::unit(vin), "unit", unit)?;
    // By where it is counted, so that the units behind a position can be listed by themselves.
    let place = match &unit.counted {
        None => keys::uncounted_place(vin),
        Some(counted) => keys::units_place(&counted.product, &counted.location, vin),
    };
    let list = keys::units_list(keys::shard(vin, keys::LIST_SHARDS));
    Ok(row.listed(Listed { list, place }))
}

/// What the ledger shows of a unit.
pub(super) fn words(unit: &Unit, authority: &Authority) -> Value {
    let resolved = unit.resolve(authority);
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
        "state": resolved.stated(),
        "location": resolved.location,
        "stock_number": resolved.stock_number,
        "fields": fields,
    })
}
