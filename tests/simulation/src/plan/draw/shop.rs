//! What the shop states: levels of its items, what those are, and their ends.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Draw;
use crate::places::{self, PASSING, RENAMED, WAREHOUSES};
use crate::plan::{Act, Message, Sender, Step};
use crate::said::Said;

/// How much later the shop tells of something than it happened, at most.
const LATE: Duration = Duration::from_secs(40);

/// Whether products are given other names.
const RENAMES: bool = true;

impl Draw {
    pub(super) fn shop_level(
        &mut self,
        sku: &'static str,
        place: &'static str,
        at: Timestamp,
    ) -> Act {
        let on_hand = self.dice.between(0, 12);
        self.item_level(places::item_of(sku), place, Some(on_hand), at)
    }

    /// How much there is of an item; nothing where it is not kept any more.
    fn item_level(
        &mut self,
        item: u64,
        place: &'static str,
        on_hand: Option<i64>,
        at: Timestamp,
    ) -> Act {
        let at = whole_seconds(at);
        let mut body =
            json!({ "inventory_item_id": item, "location_id": places::shop_number(place) });
        let topic = match on_hand {
            Some(on_hand) => {
                body["available"] = on_hand.into();
                body["updated_at"] = at.to_string().into();
                "inventory_levels/update"
            }
            None => "inventory_levels/disconnect",
        };
        let said = Said::Item {
            item,
            place,
            on_hand,
            at,
        };
        self.shop(topic, body, vec![said], at)
    }

    /// What an item is, and whether its product is offered.
    pub(super) fn described(
        &mut self,
        (sku, item): (&'static str, u64),
        offered: bool,
        at: Timestamp,
    ) -> Act {
        let at = whole_seconds(at);
        let body = json!({
            "id": item + 7_000, "title": sku, "product_type": "Parts",
            "status": if offered { "active" } else { "archived" }, "updated_at": at.to_string(),
            "variants": [{ "id": item + 5_000, "sku": sku, "inventory_item_id": item }],
        });
        let said = vec![
            Said::Described { item, sku, at },
            Said::Offered { item, offered, at },
        ];
        self.shop("products/update", body, said, at)
    }

    /// An item's end, of itself or with its product.
    fn deleted(&mut self, item: u64, at: Timestamp) -> Act {
        let at = whole_seconds(at);
        let (topic, id) = if self.dice.happens(0.5) {
            ("products/delete", item + 7_000)
        } else {
            ("inventory_items/delete", item)
        };
        let said = Said::Offered {
            item,
            offered: false,
            at,
        };
        self.shop(topic, json!({ "id": id }), vec![said], at)
    }

    fn shop(&mut self, topic: &'static str, body: Value, said: Vec<Said>, at: Timestamp) -> Act {
        // What says nothing but ids has no time that could be disbelieved.
        let dated = body.get("updated_at").is_some();
        let said = if dated && self.is_unbelievable(at) {
            vec![Said::Unusable]
        } else {
            said
        };
        let message = self.message(Sender::Shop, body, said);
        Act::Webhook(Message {
            topic,
            triggered: Some(at),
            ..message
        })
    }

    /// Products that come and go: levels of them may arrive before anybody says what they are, and
    /// after they have ended.
    pub(super) fn passing(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (named, renamed) in PASSING.into_iter().zip(RENAMED) {
            if self.dice.happens(0.6) {
                self.life(named, renamed, &mut steps);
            }
        }
        steps
    }

    fn life(
        &mut self,
        mut named: (&'static str, u64),
        renamed: &'static str,
        steps: &mut Vec<Step>,
    ) {
        let mut at = Duration::from_secs(30) + self.upto(self.window / 2);
        let now = |draw: &Self, at| draw.instant(at) + draw.skew(Sender::Shop);
        let mut push = |draw: &mut Self, at, act| {
            let at = at + draw.upto(LATE);
            steps.push(Step { at, act });
        };
        let happened = now(self, at);
        let act = self.described(named, true, happened);
        push(self, at, act);
        for place in WAREHOUSES {
            let happened = now(self, at + Duration::from_secs(2));
            let on_hand = self.dice.between(0, 9);
            let act = self.item_level(named.1, place, Some(on_hand), happened);
            push(self, at, act);
        }
        for _ in 0..self.dice.between(0, 4) {
            at += Duration::from_secs(2) + self.upto(Duration::from_secs(100));
            let happened = now(self, at);
            let place = *self.dice.pick(&WAREHOUSES);
            let act = match self.dice.below(9) {
                8 if RENAMES => {
                    named.0 = renamed;
                    self.described(named, true, happened)
                }
                0 => self.item_level(named.1, place, None, happened),
                1 | 2 => self.described(named, false, happened),
                3 => self.described(named, true, happened),
                4 => {
                    let act = self.deleted(named.1, happened);
                    push(self, at, act);
                    return;
                }
                _ => {
                    let on_hand = self.dice.between(0, 9);
                    self.item_level(named.1, place, Some(on_hand), happened)
                }
            };
            push(self, at, act);
        }
    }
}

/// The shop writes whole seconds.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
