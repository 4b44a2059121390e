//! What people ask the API for.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Draw;
use crate::places::{DESK, SHOP, TILL, WAREHOUSES};
use crate::plan::{Act, Request};
use crate::said::Said;

impl Draw {
    /// What somebody asks the API for; in a rush, mostly that what is left is promised to them.
    pub(super) fn movement(
        &mut self,
        sku: &str,
        place: &'static str,
        at: Duration,
        rush: bool,
    ) -> Act {
        let key = format!("key-{}", self.number());
        let now = self.instant(at);
        let elsewhere = if place == WAREHOUSES[0] {
            WAREHOUSES[1]
        } else {
            WAREHOUSES[0]
        };
        // Of what a shop, the till or the feed states, only what came in, with its time.
        let promise = rush && self.dice.happens(0.8);
        if !promise && self.dice.happens(0.25) {
            let (shop, _) = *self.dice.pick(&SHOP);
            let sku = *self.dice.pick(&[shop, TILL[0], TILL[1]]);
            let (sku, place) = self.fed().unwrap_or((sku.to_owned(), place));
            let sku = sku.as_str();
            let at = now - SignedDuration::from_millis(self.dice.between(0, 30 * 60_000));
            let quantity = self.dice.between(1, 4);
            let body = json!({ "type": "receipt", "product": sku, "location": place,
                "quantity": quantity, "at": at.to_string() });
            let said = moved(&key, sku, place, quantity, at);
            return Act::Movement(Request {
                key,
                body,
                said: vec![said],
            });
        }
        // What is counted has each movement with its time too: otherwise nobody knew which came first.
        let counted = sku == DESK[1];
        if !promise && (self.dice.happens(0.15) || (counted && self.dice.happens(0.3))) {
            let (sku, place) = self.shelf(place);
            let at = now - SignedDuration::from_millis(self.dice.between(0, 30 * 60_000));
            let on_hand = self.dice.between(0, 12);
            let body = json!({ "type": "count", "product": sku, "location": place,
                "quantity": on_hand, "at": at.to_string() });
            let said = Said::Counted {
                sku,
                place,
                on_hand,
                at,
            };
            return Act::Movement(Request {
                key,
                body,
                said: vec![said],
            });
        }
        let now = if counted {
            now - SignedDuration::from_millis(self.dice.between(0, 10 * 60_000))
        } else {
            now
        };
        let quantity = self.dice.between(1, 5);
        let request = |kind: &str| json!({ "type": kind, "product": sku, "location": place, "quantity": quantity });
        let promised = |units| {
            vec![Said::Promised {
                event: key.clone(),
                sku: sku.to_owned(),
                place,
                units,
            }]
        };
        let kind = if promise { 0 } else { self.dice.below(10) };
        let (mut body, said) = match kind {
            0..=3 => (request("reserve"), promised(quantity)),
            4 => (request("release"), promised(-quantity)),
            5 => (
                request("receipt"),
                vec![moved(&key, sku, place, quantity, now)],
            ),
            6 => {
                let body = json!({ "type": "adjustment", "product": sku, "location": place, "delta": -quantity });
                (body, vec![moved(&key, sku, place, -quantity, now)])
            }
            7 => {
                let mut body = request("transfer");
                body["to_location"] = elsewhere.into();
                let said = vec![
                    moved(&key, sku, place, -quantity, now),
                    moved(&key, sku, elsewhere, quantity, now),
                ];
                (body, said)
            }
            _ => {
                let said = Said::Sold {
                    source: "api",
                    event: key.clone(),
                    sku: sku.to_owned(),
                    place,
                    quantity,
                    deducts: true,
                    at: now,
                };
                (request("sale"), vec![said])
            }
        };
        if counted {
            body["at"] = now.to_string().into();
        }
        Act::Movement(Request { key, body, said })
    }

    /// What somebody counts: anything that is not the shop's, whoever states it otherwise.
    fn shelf(&self, place: &'static str) -> (String, &'static str) {
        let sku = *self.dice.pick(&[DESK[1], DESK[1], TILL[0], TILL[1]]);
        self.fed().unwrap_or((sku.to_owned(), place))
    }
}

fn moved(key: &str, sku: &str, place: &'static str, delta: i64, at: Timestamp) -> Said {
    Said::Moved {
        source: "api",
        event: key.to_owned(),
        sku: sku.to_owned(),
        place,
        delta,
        at,
    }
}
