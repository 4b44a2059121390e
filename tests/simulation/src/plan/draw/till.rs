//! What the till sends: levels, movements and sales.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Draw;
use crate::places::TILL;
use crate::plan::{Act, Message, Sender};
use crate::said::Said;

impl Draw {
    pub(super) fn generic(
        &mut self,
        sender: Sender,
        kind: &str,
        changes: Vec<Value>,
        sent: Timestamp,
    ) -> Message {
        let data = match <[Value; 1]>::try_from(changes) {
            Ok([only]) => only,
            Err(changes) => json!({ "changes": changes }),
        };
        let body = json!({ "type": kind, "timestamp": sent.to_string(), "data": data });
        self.message(sender, body, Vec::new())
    }

    pub(super) fn till_level(
        &mut self,
        sku: &str,
        place: &'static str,
        on_hand: i64,
        at: Timestamp,
    ) -> Act {
        let change = json!({ "sku": sku, "location": place, "on_hand": on_hand });
        let message = self.generic(Sender::Till, "stock.level", vec![change], at);
        let said = if self.is_unbelievable(at) {
            Said::Unusable
        } else {
            Said::Level {
                source: "till",
                sku: sku.to_owned(),
                place,
                on_hand,
                at,
            }
        };
        Act::Webhook(Message {
            said: vec![said],
            ..message
        })
    }

    /// One unit sold at the till.
    pub(super) fn sale(&mut self, sku: &str, place: &'static str, at: Timestamp) -> Act {
        let change = json!({ "sku": sku, "location": place, "quantity": 1 });
        let message = self.generic(Sender::Till, "stock.sold", vec![change], at);
        let said = Said::Sold {
            source: "till",
            event: format!("{}/0", message.id),
            sku: sku.to_owned(),
            place,
            quantity: 1,
            deducts: true,
            at,
        };
        Act::Webhook(Message {
            said: vec![said],
            ..message
        })
    }

    pub(super) fn till(&mut self, sku: &str, place: &'static str, at: Duration) -> Act {
        let happened = self.happened(Sender::Till, at);
        // By a clock that nobody believes what happened did so when it came, which no plan knows.
        let unbelievable = self.is_unbelievable(happened);
        if unbelievable || self.dice.happens(0.3) && TILL.contains(&sku) {
            let on_hand = self.dice.between(0, 12);
            return self.till_level(sku, place, on_hand, happened);
        }
        let sold = self.dice.happens(0.5);
        let count = if self.dice.happens(0.25) {
            self.dice.between(2, 4)
        } else {
            1
        };
        let mut changes = Vec::new();
        let mut said = Vec::new();
        for index in 0..count {
            let at = happened - SignedDuration::from_millis(self.dice.between(0, 90_000));
            let event = format!("/{index}");
            if sold {
                let (quantity, deducts) = (self.dice.between(1, 3), self.dice.happens(0.8));
                changes.push(json!({ "sku": sku, "location": place, "quantity": quantity,
                    "deducts": deducts, "at": at.to_string() }));
                said.push(Said::Sold {
                    source: "till",
                    event,
                    sku: sku.to_owned(),
                    place,
                    quantity,
                    deducts,
                    at,
                });
            } else {
                let delta = *self.dice.pick(&[-3, -2, -1, 1, 2, 5]);
                changes.push(json!({ "sku": sku, "location": place, "delta": delta,
                    "at": at.to_string() }));
                said.push(Said::Moved {
                    source: "till",
                    event,
                    sku: sku.to_owned(),
                    place,
                    delta,
                    at,
                });
            }
        }
        let kind = if sold { "stock.sold" } else { "stock.moved" };
        let mut message = self.generic(Sender::Till, kind, changes, happened);
        for one in &mut said {
            if let Said::Sold { event, .. } | Said::Moved { event, .. } = one {
                event.insert_str(0, &message.id);
            }
        }
        message.said = said;
        Act::Webhook(message)
    }
}
