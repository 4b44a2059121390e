//! The shop's orders: placed, edited, refunded, cancelled, each told of by webhooks that may come late.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Draw;
use crate::places::{self, SHOP, WAREHOUSES};
use crate::plan::{Act, Message, Sender, Step};
use crate::said::{Happened, Said};

/// How much later the shop tells of something than it happened, at most.
const LATE: Duration = Duration::from_secs(45);
/// How long nothing happens to an order, at most.
const REST: Duration = Duration::from_secs(90);

/// An order as the shop has it.
struct Order {
    number: u32,
    placed: Timestamp,
    updated: Timestamp,
    cancelled: bool,
    lines: Vec<Line>,
    refunds: Vec<Refund>,
}

struct Line {
    id: u32,
    sku: &'static str,
    place: &'static str,
    quantity: i64,
    /// Units that are still ordered.
    current: i64,
    removed: Vec<(u32, i64)>,
}

/// Units of one line that were refunded at once.
struct Refund {
    number: u32,
    line: u32,
    sku: &'static str,
    units: i64,
    kind: &'static str,
    back_to: Option<&'static str>,
    at: Timestamp,
}

impl Draw {
    /// An order, and what becomes of it.
    pub(super) fn order(&mut self, at: Duration, steps: &mut Vec<Step>) {
        let happened = self.happened(Sender::Shop, at);
        let placed = Timestamp::from_second(happened.as_second()).unwrap_or(happened);
        let mut order = Order {
            number: self.number(),
            placed,
            updated: placed,
            cancelled: false,
            lines: Vec::new(),
            refunds: Vec::new(),
        };
        for id in 0..u32::try_from(self.dice.between(1, 2)).unwrap_or(1) {
            let quantity = self.dice.between(1, 3);
            order.lines.push(Line {
                id,
                sku: self.dice.pick(&SHOP).0,
                place: self.dice.pick::<&str>(&WAREHOUSES),
                quantity,
                current: quantity,
                removed: Vec::new(),
            });
        }
        let mut at = at;
        self.tell(at, "orders/create", &order, steps);
        while !order.cancelled && self.dice.happens(0.4) {
            let rest = Duration::from_millis(1_000) + self.upto(REST);
            at += rest;
            let later = order.updated + SignedDuration::try_from(rest).unwrap_or_default();
            order.updated = Timestamp::from_second(later.as_second()).unwrap_or(later);
            let refunds = order.refunds.len();
            let topic = match self.dice.below(4) {
                0 => self.edit(&mut order),
                1 | 2 => self.refund(&mut order),
                _ => self.cancel(&mut order),
            };
            if order.refunds.len() > refunds {
                let late = at + self.upto(LATE);
                self.tell_refund(late, &order, refunds, steps);
                // Whoever listens to refunds may not listen to anything else.
                if topic == "orders/updated" && self.dice.happens(0.3) {
                    continue;
                }
            }
            let late = at + self.upto(LATE);
            self.tell(late, topic, &order, steps);
        }
    }

    /// A unit is taken off a line.
    fn edit(&mut self, order: &mut Order) -> &'static str {
        let number = self.number();
        let mut lines = order.lines.iter_mut();
        if let Some(line) = lines.find(|line| line.current > 0) {
            line.current -= 1;
            line.removed.push((number, 1));
        }
        "orders/updated"
    }

    fn refund(&mut self, order: &mut Order) -> &'static str {
        let which = usize::try_from(self.dice.below(order.lines.len() as u64)).unwrap_or(0);
        let most = order.lines[which].current;
        if most > 0 {
            let units = self.dice.between(1, most);
            let back_to = *self
                .dice
                .pick(&[None, Some(WAREHOUSES[0]), Some(WAREHOUSES[1])]);
            let kind = if back_to.is_some() {
                "return"
            } else {
                "no_restock"
            };
            self.give_back(order, which, units, kind, back_to);
        }
        "orders/updated"
    }

    /// Nobody wants any of it: all that is left is refunded, and mostly back on the shelf.
    fn cancel(&mut self, order: &mut Order) -> &'static str {
        order.cancelled = true;
        let restocked = self.dice.happens(0.7);
        for which in 0..order.lines.len() {
            let Line { current, place, .. } = order.lines[which];
            if current > 0 {
                let kind = if restocked { "cancel" } else { "no_restock" };
                self.give_back(order, which, current, kind, restocked.then_some(place));
            }
        }
        "orders/cancelled"
    }

    fn give_back(
        &mut self,
        order: &mut Order,
        which: usize,
        units: i64,
        kind: &'static str,
        back_to: Option<&'static str>,
    ) {
        let line = &mut order.lines[which];
        line.current -= units;
        order.refunds.push(Refund {
            number: self.number(),
            line: line.id,
            sku: line.sku,
            units,
            kind,
            back_to,
            at: order.updated,
        });
    }

    /// The order as it is now.
    fn tell(&mut self, at: Duration, topic: &'static str, order: &Order, steps: &mut Vec<Step>) {
        let said = order.said();
        self.push(at, topic, order.placed, order.body(), said, steps);
    }

    /// The refunds from this one on, by themselves.
    fn tell_refund(&mut self, at: Duration, order: &Order, from: usize, steps: &mut Vec<Step>) {
        let refunds = &order.refunds[from..];
        let said = refunds.iter().map(|it| it.said(order.number)).collect();
        let mut body = order.refund(refunds);
        body["order_id"] = order.number.into();
        self.push(at, "refunds/create", order.updated, body, said, steps);
    }

    fn push(
        &mut self,
        at: Duration,
        topic: &'static str,
        dated: Timestamp,
        body: Value,
        said: Vec<Said>,
        steps: &mut Vec<Step>,
    ) {
        let message = self.message(Sender::Shop, body, said);
        // By a clock that nobody believes it counts from when it came, which no plan knows.
        if self.is_unbelievable(dated) {
            return;
        }
        let act = Act::Webhook(Message { topic, ..message });
        steps.push(Step { at, act });
    }
}

impl Order {
    fn body(&self) -> Value {
        let lines = self.lines.iter().map(|line| {
            json!({
                "id": line.id, "sku": line.sku, "quantity": line.quantity,
                "current_quantity": line.current, "location_id": places::shop_number(line.place),
            })
        });
        // All that was refunded at once is one refund.
        let mut refunds: Vec<Value> = Vec::new();
        let same = |one: &Refund, other: &Refund| one.at == other.at;
        for refund in self.refunds.chunk_by(same) {
            refunds.push(self.refund(refund));
        }
        let mut body = json!({
            "id": self.number, "created_at": self.placed.to_string(),
            "updated_at": self.updated.to_string(), "line_items": lines.collect::<Vec<_>>(),
            "refunds": refunds,
        });
        if self.cancelled {
            body["cancelled_at"] = self.updated.to_string().into();
        }
        body
    }

    fn refund(&self, refunds: &[Refund]) -> Value {
        let first = &refunds[0];
        let rows = refunds.iter().map(|refund| {
            let back_to = refund.back_to.map(places::shop_number);
            json!({
                "id": refund.number, "line_item_id": refund.line, "quantity": refund.units,
                "restock_type": refund.kind, "location_id": back_to,
                "line_item": { "id": refund.line, "sku": refund.sku },
            })
        });
        json!({
            "id": first.number, "created_at": first.at.to_string(),
            "refund_line_items": rows.collect::<Vec<_>>(),
        })
    }

    /// All that has happened to it.
    fn said(&self) -> Vec<Said> {
        let mut said = Vec::new();
        for line in &self.lines {
            let mut say = |what| {
                said.push(Said::Line {
                    line: (self.number, line.id),
                    sku: line.sku,
                    what,
                });
            };
            say(Happened::Ordered {
                quantity: line.quantity,
                place: line.place,
                at: self.placed,
            });
            say(Happened::Told { at: self.updated });
            for (number, units) in &line.removed {
                say(Happened::Removed {
                    number: *number,
                    units: *units,
                    told: self.updated,
                });
            }
            if self.cancelled {
                say(Happened::Cancelled);
            }
        }
        said.extend(self.refunds.iter().map(|refund| refund.said(self.number)));
        said
    }
}

impl Refund {
    fn said(&self, order: u32) -> Said {
        Said::Line {
            line: (order, self.line),
            sku: self.sku,
            what: Happened::Refunded {
                number: self.number,
                units: self.units,
                back_to: self.back_to,
                at: self.at,
            },
        }
    }
}
