//! Orders and refunds, line by line: absolute statements, so that repeats and order do not matter.
//!
//! `quantity` is what was ever ordered; `current_quantity` is that less what was refunded or removed by
//! an edit. What is back in stock stands in the refunds alone: a refund line whose `restock_type` is
//! anything but `no_restock`, at its `location_id`. Demand counts on the day of `processed_at`, which
//! for an imported order lies long before `created_at`. What was created is not processed later.
//!
//! A sale is not lost to a clock that is ahead: a version or a refund that is dated too far ahead of ours
//! is of when it came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{INVENTORY_ITEM, Shopify, VARIANT, rows, whole_id};
use crate::connectors::json::{self, Object, Wrong};
use crate::connectors::names::{DEFAULT_LOCATION, External, Names};
use crate::connectors::push::{Flaws, ParseError, Parsed, Problem, Reason, Signed, event};
use crate::domain::event::{Change, StockEvent, Version};
use crate::domain::order::{KnownLine, OrderLine, Ordered, Placed, Refund};
use crate::domain::{LocationId, ProductId, Sku};

/// An order, as far as its lines need it.
struct Order {
    id: String,
    /// When it was placed.
    at: Timestamp,
    version: Version,
    /// Distinguishes this version's events from those of the order as it was placed.
    revision: String,
    cancelled: bool,
    /// Where it was sold.
    place: Option<String>,
    /// The ids of its lines.
    lines: Arc<BTreeSet<String>>,
}

/// What a line sells.
enum Line {
    Sku(Sku),
    Variant(External),
    NotStock(&'static str),
}

/// Refund lines by the order line that they are about, with their pointers.
type Refunds<'v> = BTreeMap<String, Vec<RefundLine<'v>>>;

struct RefundLine<'v> {
    row: Object<'v>,
    id: String,
    at: Timestamp,
    recorded: Timestamp,
}

/// The variants of lines; `within` is where in a row the line stands. A line's SKU is what its variant was
/// called when it was ordered, which the variant may not be yet for all that is known, or no longer.
pub(super) fn wanted(
    rows: Vec<(String, &Value)>,
    within: Option<&str>,
) -> Result<Vec<External>, ParseError> {
    let read = |(pointer, row): (String, &Value)| {
        let row = Object::of(row, pointer).ok()?;
        let line = match within {
            Some(key) => Object::of(row.value(key)?, row.pointer_to(key)).ok()?,
            None => row,
        };
        match Line::read(&line).ok()? {
            Line::Variant(variant) => Some(variant),
            Line::Sku(_) => variant(&line).ok()?,
            Line::NotStock(_) => None,
        }
    };
    let mut wanted: Vec<_> = rows.into_iter().filter_map(read).collect();
    wanted.sort();
    wanted.dedup();
    Ok(wanted)
}

impl Shopify {
    pub(super) fn order(
        &self,
        body: &Object<'_>,
        signed: &Signed<'_>,
        names: &dyn Names,
    ) -> Result<Parsed, ParseError> {
        let id = body.need("id", whole_id)?;
        let created = body.need("created_at", json::time)?;
        let processed = body.get("processed_at", json::time)?;
        let updated = body.get("updated_at", json::time)?;
        let cancelled = body.value("cancelled_at").is_some();
        let lines = rows(body, "line_items")?;
        if body.get("test", json::flag)? == Some(true) {
            return Ok(Parsed::ignoring(format!("order {id} is a test")));
        }
        let mut parsed = Parsed::default();
        let (key, told) = match updated {
            Some(updated) => ("updated_at", updated),
            None => ("created_at", created),
        };
        let version = self.by_then(
            told,
            signed,
            || body.pointer_to(key),
            |flaws| {
                parsed.leave_out(flaws, || body.excerpt(&["id", key]));
            },
        );
        let ids = lines.iter();
        let ids = ids.filter_map(|(_, line)| whole_id(line.get("id")?).ok().flatten());
        let order = Order {
            id,
            at: processed.unwrap_or(created).min(created).min(version),
            version: Version::at(version),
            revision: if told == created {
                String::new()
            } else {
                format!("/{told}")
            },
            cancelled,
            place: body.get("location_id", whole_id)?,
            lines: Arc::new(ids.collect()),
        };
        let mut refunds = Refunds::new();
        if body.value("refunds").is_some() {
            for (pointer, refund) in rows(body, "refunds")? {
                let refund = Object::of(refund, pointer)?;
                for line in self.refund_lines(&refund, signed, |_| {})? {
                    let of = line.row.need("line_item_id", whole_id)?;
                    refunds.entry(of).or_default().push(line);
                }
            }
        }
        for (pointer, line) in lines {
            let line = match Object::of(line, pointer) {
                Ok(line) => line,
                Err(problem) => {
                    parsed.reject(problem, Value::Null);
                    continue;
                }
            };
            match self.line(&order, &line, &refunds, names) {
                Ok(Ok(event)) => parsed.events.push(event),
                Ok(Err(why)) => parsed.ignored.push(format!("{}: {why}", line.pointer())),
                Err(problem) => parsed.reject(
                    problem,
                    line.excerpt(&["id", "sku", "variant_id", "quantity", "location_id"]),
                ),
            }
        }
        Ok(parsed)
    }

    /// A line's event, or why it is no stock.
    fn line(
        &self,
        order: &Order,
        line: &Object<'_>,
        refunds: &Refunds<'_>,
        names: &dyn Names,
    ) -> Result<Result<StockEvent, &'static str>, Problem> {
        let product = match Line::read(line)? {
            Line::NotStock(why) => return Ok(Err(why)),
            line_of => line_of.product(line, names)?,
        };
        let quantity = not_negative(line, "quantity")?;
        if quantity == 0 {
            return Ok(Err("none of it is ordered"));
        }
        let id = line.need("id", whole_id)?;
        let (location, called) = self.sold_from(order, line, names)?;
        let mut known = BTreeMap::new();
        let mut refunded = 0;
        for refund in refunds.get(&id).into_iter().flatten() {
            let (name, read) = self.refund_of(refund, names)?;
            refunded += read.quantity;
            known.insert(name, read);
        }
        let current = match line.get("current_quantity", json::quantity)? {
            Some(_) => not_negative(line, "current_quantity")?,
            None => (quantity - refunded).max(0),
        };
        let placed = Placed {
            version: order.version,
            location,
            called: Some(called),
            at: order.at,
            ordered: Ordered {
                quantity,
                current: current.min(quantity),
                refunded: known.keys().cloned().collect::<BTreeSet<_>>(),
            },
            cancelled: order.cancelled,
        };
        let event_id = format!("order/{}/line/{id}{}", order.id, order.revision);
        let change = Change::OrderLine(Box::new(OrderLine {
            order: order.id.clone(),
            line: id,
            known: KnownLine {
                product: product.into(),
                item: item(line, names),
                alias: alias(line),
                deducts: self.deducts,
                placed: Some(placed),
                earlier: Default::default(),
                refunds: known,
                booked: Default::default(),
            },
            item_has: item_has(line, names),
            of_order: Arc::clone(&order.lines),
        }));
        event(&self.source, &event_id, order.version.at, change).map(Ok)
    }

    pub(super) fn refund(
        &self,
        body: &Object<'_>,
        signed: &Signed<'_>,
        names: &dyn Names,
    ) -> Result<Parsed, ParseError> {
        let order = body.need("order_id", whole_id)?;
        let mut parsed = Parsed::default();
        let refunded = self.refund_lines(body, signed, |flaws| {
            parsed.leave_out(flaws, || body.excerpt(&["id", "created_at"]));
        });
        for line in refunded? {
            let excerpt = [
                "id",
                "line_item_id",
                "quantity",
                "location_id",
                "restock_type",
            ];
            match self.refunded_line(&order, &line, names) {
                Ok(Some(event)) => parsed.events.push(event),
                Ok(None) => {
                    let note = format!("{}: no stock", line.row.pointer());
                    parsed.ignored.push(note);
                }
                Err(problem) => {
                    let mut excerpt = line.row.excerpt(&excerpt);
                    let sku = line.row.value("line_item").and_then(|it| it.get("sku"));
                    if let Some(sku) = sku.and_then(Value::as_str) {
                        excerpt["sku"] = sku.chars().take(64).collect::<String>().into();
                    }
                    parsed.reject(problem, excerpt);
                }
            }
        }
        Ok(parsed)
    }

    fn refund_lines<'v>(
        &self,
        refund: &Object<'v>,
        signed: &Signed<'_>,
        leave_out: impl FnOnce(Flaws),
    ) -> Result<Vec<RefundLine<'v>>, ParseError> {
        if refund.value("refund_line_items").is_none() {
            return Ok(Vec::new());
        }
        let recorded = refund.need("created_at", json::time)?;
        let pointer = || refund.pointer_to("created_at");
        let recorded = self.by_then(recorded, signed, pointer, leave_out);
        let at = refund.get("processed_at", json::time)?.unwrap_or(recorded);
        let at = at.min(recorded);
        rows(refund, "refund_line_items")?
            .into_iter()
            .map(|(pointer, row)| {
                let row = Object::of(row, pointer)?;
                let id = row.need("id", whole_id)?;
                Ok(RefundLine {
                    row,
                    id,
                    at,
                    recorded,
                })
            })
            .collect()
    }

    /// When it was told by the shop, or by when at the latest.
    fn by_then(
        &self,
        told: Timestamp,
        signed: &Signed<'_>,
        pointer: impl FnOnce() -> String,
        leave_out: impl FnOnce(Flaws),
    ) -> Timestamp {
        let mut flaws = Flaws::default();
        let at = signed.when(told, self.tolerance, true, pointer, &mut flaws);
        leave_out(flaws);
        at.unwrap_or(told)
    }

    fn refunded_line(
        &self,
        order: &str,
        line: &RefundLine<'_>,
        names: &dyn Names,
    ) -> Result<Option<StockEvent>, Problem> {
        let of = line.row.need("line_item_id", whole_id)?;
        let sold = line.row.need("line_item", |value| Ok(Some(value)))?;
        let sold = Object::of(sold, line.row.pointer_to("line_item"))?;
        let product = match Line::read(&sold)? {
            Line::NotStock(_) => return Ok(None),
            line_of => line_of.product(&sold, names)?,
        };
        let (name, refund) = self.refund_of(line, names)?;
        if refund.quantity == 0 {
            return Ok(None);
        }
        let at = refund.at;
        let event_id = format!("order/{order}/line/{of}/refund/{name}");
        let change = Change::OrderLine(Box::new(OrderLine {
            order: order.to_owned(),
            line: of,
            known: KnownLine {
                product: product.into(),
                item: item(&sold, names),
                alias: alias(&sold),
                deducts: self.deducts,
                placed: None,
                earlier: Default::default(),
                refunds: [(name, refund)].into(),
                booked: Default::default(),
            },
            item_has: item_has(&sold, names),
            of_order: Arc::default(),
        }));
        event(&self.source, &event_id, at, change).map(Some)
    }

    /// What was refunded of a line. Where the refund names no place, it is back where the line was sold,
    /// and by default at the default location. What is not back needs no place, and Shopify names none.
    fn refund_of(
        &self,
        line: &RefundLine<'_>,
        names: &dyn Names,
    ) -> Result<(String, Refund), Problem> {
        let restocked = match line.row.get("restock_type", json::text)? {
            Some("no_restock") | None => false,
            Some("cancel" | "return" | "legacy_restock") => true,
            Some(_) => {
                let wrong = Wrong::new(Reason::UnknownType, "is not a way to restock");
                return Err(wrong.at(line.row.pointer_to("restock_type")));
            }
        };
        let called = line.row.get("location_id", whole_id)?.filter(|_| restocked);
        let back_to = match &called {
            _ if !restocked => None,
            Some(place) => names.location(place),
            None => self.default_location.clone(),
        };
        let refund = Refund {
            back_to,
            in_place: restocked && called.is_none(),
            called,
            quantity: not_negative(&line.row, "quantity")?,
            at: line.at,
            recorded: line.recorded,
        };
        Ok((line.id.clone(), refund))
    }

    /// Where a line counts, and what the shop calls that: where the line says, else where the order says,
    /// else the default. One that has no name does not matter where the line is known already.
    fn sold_from(
        &self,
        order: &Order,
        line: &Object<'_>,
        names: &dyn Names,
    ) -> Result<(Option<LocationId>, String), Problem> {
        let place = line.get("location_id", whole_id)?;
        Ok(match place.or_else(|| order.place.clone()) {
            Some(place) => (names.location(&place), place),
            None => (self.default_location.clone(), DEFAULT_LOCATION.to_owned()),
        })
    }
}

impl Line {
    fn read(line: &Object<'_>) -> Result<Self, Problem> {
        if line.get("gift_card", json::flag)? == Some(true) {
            return Ok(Self::NotStock("a gift card is no stock"));
        }
        if let Some(sku) = line.get("sku", json::parsed)? {
            return Ok(Self::Sku(sku));
        }
        Ok(match variant(line)? {
            Some(variant) => Self::Variant(variant),
            None => Self::NotStock("a line without SKU or variant is no stock"),
        })
    }

    /// The SKU of a line that sells one.
    fn product(self, line: &Object<'_>, names: &dyn Names) -> Result<Sku, Problem> {
        match self {
            Self::Sku(sku) => Ok(sku),
            Self::Variant(external) => names
                .product(&external)
                .ok_or_else(|| Problem::unknown_product(line.pointer_to("variant_id"), &external)),
            Self::NotStock(why) => {
                let wrong = Wrong::new(Reason::InvalidValue, why);
                Err(wrong.at(line.pointer().to_owned()))
            }
        }
    }
}

/// The variant that a line sells.
fn variant(line: &Object<'_>) -> Result<Option<External>, Problem> {
    let id = line.get("variant_id", whole_id)?;
    Ok(id.map(|id| External { kind: VARIANT, id }))
}

/// The inventory item that a line is of, as far as it is known.
fn item(line: &Object<'_>, names: &dyn Names) -> Option<String> {
    let variant = variant(line).ok()??;
    let item = names.beside(&variant, INVENTORY_ITEM)?;
    Some(item.to_string())
}

/// The SKU that its variant has, for all that is known of the variant.
fn item_has(line: &Object<'_>, names: &dyn Names) -> Option<ProductId> {
    let variant = variant(line).ok()??;
    names.product(&variant).map(ProductId::from)
}

fn alias(line: &Object<'_>) -> Option<String> {
    Some(variant(line).ok()??.to_string())
}

fn not_negative(row: &Object<'_>, key: &str) -> Result<i64, Problem> {
    let quantity = row.need_quantity(key)?;
    if quantity < 0 {
        let negative = Wrong::new(Reason::OutOfRange, "is negative");
        return Err(negative.at(row.pointer_to(key)));
    }
    Ok(quantity)
}
