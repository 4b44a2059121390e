//! What two systems say of vehicles.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::Draw;
use crate::places::{self, ROOFTOPS, VEHICLES};
use crate::plan::{Act, Message, Sender};
use crate::said::Said;

impl Draw {
    pub(super) fn dms(
        &mut self,
        vin: &'static str,
        event: &str,
        place: &'static str,
        at: Timestamp,
    ) -> Act {
        let number = self.number();
        let id = format!("e{number}");
        let (_, model) = VEHICLES
            .iter()
            .find(|(known, _)| *known == vin)
            .copied()
            .unwrap_or_default();
        let elsewhere = if place == ROOFTOPS[0] {
            ROOFTOPS[1]
        } else {
            ROOFTOPS[0]
        };
        let body = json!({
            "id": id, "type": event, "at": at.to_string(),
            "company": places::company(place), "to": places::company(elsewhere),
            "vehicle": { "vin": vin, "make": places::MAKE, "model": model },
        });
        let said = if self.is_unbelievable(at) {
            Said::Unusable
        } else {
            Said::Vehicle {
                source: "dms",
                event: format!("event/{id}"),
                vin,
                state: match event {
                    "stocked" => Some("in_stock"),
                    "reserved" => Some("reserved"),
                    "sold" => Some("sold"),
                    "removed" => Some("removed"),
                    _ => None,
                },
                place: if event == "transferred" {
                    elsewhere
                } else {
                    place
                },
                at,
            }
        };
        Act::Webhook(self.message(Sender::Dms, body, vec![said]))
    }

    pub(super) fn vehicle(&mut self, at: Duration) -> Act {
        let (vin, model) = *self.dice.pick(&VEHICLES);
        let place = *self.dice.pick(&ROOFTOPS);
        if self.dice.happens(0.6) {
            let events = [
                "stocked",
                "stocked",
                "updated",
                "reserved",
                "transferred",
                "sold",
                "removed",
            ];
            let event = *self.dice.pick(&events);
            let happened = self.happened(Sender::Dms, at);
            return self.dms(vin, event, place, happened);
        }
        let happened = self.happened(Sender::Rooftop, at);
        let state = *self
            .dice
            .pick(&["in_stock", "in_stock", "reserved", "sold", "removed"]);
        let change = json!({ "vin": vin, "location": place, "state": state,
            "make": places::MAKE, "model": model });
        let message = self.generic(Sender::Rooftop, "unit.updated", vec![change], happened);
        let said = if self.is_unbelievable(happened) {
            Said::Unusable
        } else {
            Said::Vehicle {
                source: "rooftop",
                event: format!("{}/0", message.id),
                vin,
                state: Some(state),
                place,
                at: happened,
            }
        };
        Act::Webhook(Message {
            said: vec![said],
            ..message
        })
    }
}
