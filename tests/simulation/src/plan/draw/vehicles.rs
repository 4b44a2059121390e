//! What two systems say of vehicles.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Draw;
use crate::places::{self, ROOFTOPS, VEHICLES};
use crate::plan::{Act, Message, Sender, Step};
use crate::said::Said;

/// What was said last of a vehicle.
#[derive(Clone, Copy)]
pub(super) struct Last {
    vin: &'static str,
    sender: Sender,
    happened: Timestamp,
}

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
        let model = places::model_of(vin);
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
                since: None,
                at,
            }
        };
        Act::Webhook(self.message(Sender::Dms, body, vec![said]))
    }

    pub(super) fn vehicle(&mut self, at: Duration) -> Act {
        // Often more of the vehicle that was spoken of last, and by the same system.
        let last = self.last_vehicle.filter(|_| self.dice.happens(0.4));
        let vin = last.map_or_else(|| self.dice.pick(&VEHICLES).0, |last| last.vin);
        let place = *self.dice.pick(&ROOFTOPS);
        let by_rooftop = self.dice.happens(0.4);
        let sender = match by_rooftop {
            true => Sender::Rooftop,
            false => Sender::Dms,
        };
        let sender = last.map_or(sender, |last| last.sender);
        let drawn = self.often_at_once(sender, at);
        // Acts are drawn in no order: nobody speaks of what comes later.
        let latest = self.instant(at) + self.skew(sender);
        let at_once = last.filter(|last| self.dice.happens(0.4) && last.happened <= latest);
        let mut happened = at_once.map_or(drawn, |last| last.happened);
        if sender == Sender::Dms {
            let events = [
                "stocked",
                "stocked",
                "updated",
                "reserved",
                "transferred",
                "sold",
                "removed",
            ];
            let mut event = *self.dice.pick(&events);
            // By a clock that nobody believes it was sold when that came, which no plan knows.
            if event == "sold" && self.is_unbelievable(happened) {
                event = "stocked";
            }
            // A sale of one stay, told when the vehicle may have come in again and be sold by another.
            let is_believable = !self.is_unbelievable(happened);
            if event == "sold" && at_once.is_none() && is_believable && self.dice.happens(0.4) {
                let days = self.dice.between(1, 2);
                happened -= SignedDuration::from_hours(24 * days);
            }
            self.last_vehicle = Some(Last {
                vin,
                sender,
                happened,
            });
            return self.dms(vin, event, place, happened);
        }
        self.last_vehicle = Some(Last {
            vin,
            sender,
            happened,
        });
        let state = *self
            .dice
            .pick(&["in_stock", "in_stock", "reserved", "sold", "removed"]);
        let is_there = matches!(state, "in_stock" | "reserved");
        let since = (is_there && self.dice.happens(0.5)).then(|| self.since(place, happened));
        // A fact that the vehicle can do without, and that cannot be read.
        let hopeless = self.dice.happens(0.2);
        self.listed(sender, (vin, state, place), since, hopeless, happened)
    }

    /// What a system that can say since when a vehicle is there says of it.
    fn listed(
        &mut self,
        sender: Sender,
        (vin, state, place): (&'static str, &'static str, &'static str),
        since: Option<Date>,
        hopeless: bool,
        happened: Timestamp,
    ) -> Act {
        let model = places::model_of(vin);
        let mut change = json!({ "vin": vin, "location": place, "state": state,
            "make": places::MAKE, "model": model });
        if let Some(since) = since {
            change["since"] = since.to_string().into();
        }
        if hopeless {
            change["price"] = "Call for price".into();
        }
        let message = self.generic(sender, "unit.updated", vec![change], happened);
        let said = if self.is_unbelievable(happened) {
            Said::Unusable
        } else {
            Said::Vehicle {
                source: sender.name(),
                event: format!("{}/0", message.id),
                vin,
                state: Some(state),
                place,
                since,
                at: happened,
            }
        };
        let mut said = vec![said];
        if hopeless && !self.is_unbelievable(happened) {
            said.push(Said::Remarkable);
        }
        Act::Webhook(Message { said, ..message })
    }

    /// In some worlds a vehicle that is sold twice, days ago and now, since it came in again in between:
    /// another system has it from then, and has not heard of the second sale.
    pub(super) fn second_life(&mut self) -> Vec<Step> {
        let senders = [Sender::Till, Sender::Rooftop];
        let far_ahead = |sender| self.is_unbelievable(self.start + self.skew(sender));
        // By such a clock days ago are still to come.
        if self.dice.happens(0.8) || senders.into_iter().any(far_ahead) {
            return Vec::new();
        }
        let (vin, _) = *self.dice.pick(&VEHICLES);
        let place = *self.dice.pick(&ROOFTOPS);
        let zone = TimeZone::get(places::zone_of(place)).unwrap_or(TimeZone::UTC);
        let mut steps = Vec::new();
        let mut at = self.moment();
        for (sender, state, hours_ago) in [
            (Sender::Rooftop, "sold", 48),
            (Sender::Till, "in_stock", 0),
            (Sender::Rooftop, "in_stock", 0),
            (Sender::Rooftop, "sold", 0),
        ] {
            let now = self.instant(at) + self.skew(sender);
            let yesterday = zone.to_datetime(now).date().yesterday().ok();
            let since = yesterday.filter(|_| state == "in_stock");
            let happened = now - SignedDuration::from_hours(hours_ago);
            let act = self.listed(sender, (vin, state, place), since, false, happened);
            steps.push(Step { at, act });
            at += Duration::from_secs(2) + self.upto(Duration::from_secs(40));
        }
        steps
    }

    /// When something happened, by the sender's clock; often by one that shows no seconds, so that what
    /// happened within a minute happened at once.
    fn often_at_once(&self, sender: Sender, at: Duration) -> Timestamp {
        let happened = self.happened(sender, at);
        let minute = Timestamp::from_second(happened.as_second().div_euclid(60) * 60);
        match minute {
            Ok(minute) if self.dice.happens(0.3) => minute,
            _ => happened,
        }
    }

    /// Since when a vehicle may be in stock that is said to be: the day, or the one before.
    fn since(&self, place: &str, at: Timestamp) -> Date {
        let zone = TimeZone::get(places::zone_of(place)).unwrap_or(TimeZone::UTC);
        let day = zone.to_datetime(at).date();
        match self.dice.happens(0.5) {
            true => day.yesterday().unwrap_or(day),
            false => day,
        }
    }
}
