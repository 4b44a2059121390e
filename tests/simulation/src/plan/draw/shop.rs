//! What the shop sends: levels and orders.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::Draw;
use crate::places::{self, SHOP, WAREHOUSES};
use crate::plan::{Act, Message, Sender};
use crate::said::Said;

impl Draw {
    pub(super) fn shop_level(
        &mut self,
        sku: &'static str,
        place: &'static str,
        at: Timestamp,
    ) -> Act {
        // The shop writes whole seconds.
        let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
        let on_hand = self.dice.between(0, 12);
        let inventory = SHOP.iter().find(|(known, _)| *known == sku);
        let inventory = inventory.map(|(_, number)| *number).unwrap_or_default();
        let body = json!({
            "inventory_item_id": inventory, "location_id": places::shop_number(place),
            "available": on_hand, "updated_at": at.to_string(),
        });
        let said = if self.is_unbelievable(at) {
            Said::Unusable
        } else {
            Said::Level {
                source: "shop",
                sku: sku.to_owned(),
                place,
                on_hand,
                at,
            }
        };
        let message = self.message(Sender::Shop, body, vec![said]);
        Act::Webhook(Message {
            topic: "inventory_levels/update",
            ..message
        })
    }

    pub(super) fn order(&mut self, at: Duration) -> Act {
        let number = self.number();
        let at = self.happened(Sender::Shop, at);
        let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
        let mut lines = Vec::new();
        let mut said = Vec::new();
        for line in 0..self.dice.between(1, 2) {
            let (sku, _) = *self.dice.pick(&SHOP);
            let place = *self.dice.pick(&WAREHOUSES);
            let quantity = self.dice.between(1, 2);
            lines.push(json!({
                "id": line, "sku": sku, "quantity": quantity,
                "location_id": places::shop_number(place),
            }));
            said.push(Said::Sold {
                source: "shop",
                event: format!("order/{number}/line/{line}"),
                sku: sku.to_owned(),
                place,
                quantity,
                deducts: false,
                at,
            });
        }
        if self.is_unbelievable(at) {
            said = vec![Said::Unusable];
        }
        let body = json!({ "id": number, "created_at": at.to_string(), "line_items": lines });
        let message = self.message(Sender::Shop, body, said);
        Act::Webhook(Message {
            topic: "orders/create",
            ..message
        })
    }
}
