//! Making a plan from a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Act, File, FileKind, Message, Plan, Request, Rotated, Rotation, Sender, Step};
use crate::dice::Dice;
use crate::faults::{Faults, Kind};
use crate::places::{
    self, Channel, DESK, FED, ROOFTOPS, SHOP, TILL, Thresholds, VEHICLES, WAREHOUSES,
};
use crate::said::Said;

/// How far a clock is ahead that nobody can believe: further than a world lasts.
const FAR_AHEAD: SignedDuration = SignedDuration::from_hours(60);

struct Draw {
    dice: Dice,
    start: Timestamp,
    window: Duration,
    skews: BTreeMap<Sender, SignedDuration>,
    numbers: u32,
}

pub(super) fn plan(seed: u64, kinds: &[Kind]) -> Plan {
    let dice = Dice::of(seed, "plan");
    let window = Duration::from_secs(60 * u64::try_from(dice.between(40, 100)).unwrap_or(60));
    let faults = Faults::of(seed, kinds, window);
    let skewed = faults.kinds.contains(&Kind::ClockSkew);
    let skews = Sender::ALL
        .into_iter()
        .map(|sender| (sender, skew(&dice, skewed)))
        .collect();
    let feed_skew = SignedDuration::from_mins(if skewed { dice.between(-180, 180) } else { 0 });
    let mut draw = Draw {
        dice,
        start: Plan::start(),
        window,
        skews,
        numbers: 0,
    };
    let opening = draw.opening();
    let (files, feed) = draw.files();
    let mut steps = files;
    let count = draw.dice.between(18, 48);
    for _ in 0..count {
        let at = draw.moment();
        draw.step(at, &mut steps);
    }
    steps.sort_by_key(|step| step.at);
    let shards = u32::try_from(draw.dice.between(1, 3)).unwrap_or(1);
    Plan {
        seed,
        opening,
        steps,
        faults,
        skews: draw.skews,
        feed_skew,
        shards,
        feed,
    }
}

/// How wrong a sender's clock is: mostly a little, sometimes by hours, sometimes absurdly.
fn skew(dice: &Dice, skewed: bool) -> SignedDuration {
    match dice.below(10) {
        _ if !skewed => SignedDuration::ZERO,
        0..=3 => SignedDuration::from_secs(dice.between(-200, 200)),
        4..=7 => SignedDuration::from_mins(dice.between(-300, -10)),
        8 => FAR_AHEAD,
        _ => SignedDuration::ZERO,
    }
}

impl Draw {
    fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    fn moment(&self) -> Duration {
        let from = 60_000;
        let until = u64::try_from(self.window.as_millis()).unwrap_or(from);
        Duration::from_millis(from + self.dice.below(until - from))
    }

    fn skew(&self, sender: Sender) -> SignedDuration {
        self.skews.get(&sender).copied().unwrap_or_default()
    }

    /// When something happened that is sent at this moment, by the sender's clock: mostly just now,
    /// sometimes long ago.
    fn happened(&self, sender: Sender, at: Duration) -> Timestamp {
        let lag = match self.dice.below(6) {
            0 => self.dice.between(0, 40 * 60_000),
            1 => self.dice.between(0, 60_000),
            _ => self.dice.between(0, 2_000),
        };
        self.instant(at) - SignedDuration::from_millis(lag) + self.skew(sender)
    }

    fn instant(&self, at: Duration) -> Timestamp {
        self.start + at
    }

    /// Products are described and the first levels stated, while nothing goes wrong.
    fn opening(&mut self) -> Vec<Step> {
        let before = self.start - SignedDuration::from_hours(12);
        let mut steps = Vec::new();
        let mut at = Duration::from_millis(100);
        let mut push = |act| {
            at += Duration::from_millis(200);
            steps.push(Step { at, act });
        };
        for (sku, inventory) in SHOP {
            let body = json!({
                "id": inventory + 7_000, "title": sku, "product_type": "Parts",
                "updated_at": before.to_string(),
                "variants": [{ "id": inventory + 5_000, "sku": sku, "inventory_item_id": inventory }],
            });
            push(Act::Webhook(Message {
                sender: Sender::Shop,
                id: format!("described-{inventory}"),
                topic: "products/update",
                body,
                said: Vec::new(),
                repeats: Vec::new(),
            }));
        }
        for place in WAREHOUSES {
            for (sku, _) in SHOP {
                push(self.shop_level(sku, place, before));
            }
            for sku in TILL.into_iter().chain(DESK) {
                let on_hand = self.dice.between(2, 12);
                let said = self.till_level(sku, place, on_hand, before);
                push(said);
            }
        }
        for (vin, _) in VEHICLES {
            if self.dice.happens(0.6) {
                let place = *self.dice.pick(&ROOFTOPS);
                let before = before + SignedDuration::from_secs(self.dice.between(0, 3_000));
                push(self.dms(vin, "stocked", place, before));
            }
        }
        steps
    }

    /// One step, or a burst of them at one moment: a rush for one product.
    fn step(&mut self, at: Duration, steps: &mut Vec<Step>) {
        let rush = self.dice.happens(0.15);
        let times = if rush { self.dice.between(2, 5) } else { 1 };
        let choice = self.dice.below(100);
        let (sku, place) = (
            (*self.dice.pick(&TILL)).to_owned(),
            *self.dice.pick(&WAREHOUSES),
        );
        let desk = (*self.dice.pick(&DESK)).to_owned();
        for _ in 0..times {
            let at = at + Duration::from_millis(self.dice.below(40));
            let act = match choice {
                0..=13 => {
                    let (sku, _) = *self.dice.pick(&SHOP);
                    let when = self.happened(Sender::Shop, at);
                    self.shop_level(sku, place, when)
                }
                14..=23 => self.order(at),
                24..=45 => self.till(&sku, place, at),
                46..=60 => self.vehicle(at),
                61..=66 => self.unusable(at),
                67..=94 => self.movement(&desk, place, at),
                95..=97 => Act::Configure(Thresholds {
                    low: self.dice.between(1, 6),
                    fast: self.dice.between(2, 5),
                }),
                _ => self.rotation(),
            };
            steps.push(Step { at, act });
            if matches!(choice, 95..) {
                break;
            }
        }
    }

    fn message(&mut self, sender: Sender, body: Value, said: Vec<Said>) -> Message {
        let number = self.number();
        let again = if self.dice.happens(0.2) {
            self.dice.between(1, 2)
        } else {
            0
        };
        Message {
            sender,
            id: format!("{}-{number}", sender.name()),
            topic: "",
            body,
            said,
            repeats: (0..again)
                .map(|_| Duration::from_millis(self.dice.below(20 * 60_000)))
                .collect(),
        }
    }

    fn shop_level(&mut self, sku: &'static str, place: &'static str, at: Timestamp) -> Act {
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

    /// Whether a time lies so far ahead that it stays so for as long as the world lasts.
    fn is_unbelievable(&self, at: Timestamp) -> bool {
        at > self.start + SignedDuration::from_hours(48)
    }

    fn order(&mut self, at: Duration) -> Act {
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

    fn generic(
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

    fn till_level(&mut self, sku: &str, place: &'static str, on_hand: i64, at: Timestamp) -> Act {
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

    fn till(&mut self, sku: &str, place: &'static str, at: Duration) -> Act {
        let happened = self.happened(Sender::Till, at);
        if self.dice.happens(0.3) {
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
        if self.is_unbelievable(happened) {
            said = vec![Said::Unusable];
        }
        message.said = said;
        Act::Webhook(message)
    }

    fn dms(&mut self, vin: &'static str, event: &str, place: &'static str, at: Timestamp) -> Act {
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

    fn vehicle(&mut self, at: Duration) -> Act {
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

    /// A product or a place that nobody knows.
    fn unusable(&mut self, at: Duration) -> Act {
        let number = self.number();
        if self.dice.happens(0.5) {
            let happened = self.happened(Sender::Shop, at);
            let inventory = 900_000 + u64::from(number);
            let body = json!({
                "inventory_item_id": inventory, "location_id": 501,
                "available": 1, "updated_at": happened.to_string(),
            });
            let message = self.message(Sender::Shop, body, vec![Said::Unusable]);
            return Act::Webhook(Message {
                topic: "inventory_levels/update",
                ..message
            });
        }
        let happened = self.happened(Sender::Till, at);
        let change =
            json!({ "sku": TILL[0], "location": format!("nowhere-{number}"), "quantity": 1 });
        let message = self.generic(Sender::Till, "stock.sold", vec![change], happened);
        Act::Webhook(Message {
            said: vec![Said::Unusable],
            ..message
        })
    }

    /// What somebody asks the API for.
    fn movement(&mut self, sku: &str, place: &'static str, at: Duration) -> Act {
        let key = format!("key-{}", self.number());
        let now = self.instant(at);
        let elsewhere = if place == WAREHOUSES[0] {
            WAREHOUSES[1]
        } else {
            WAREHOUSES[0]
        };
        // Of the shop's and the till's products, only what came in, with its time.
        if self.dice.happens(0.25) {
            let (shop, _) = *self.dice.pick(&SHOP);
            let sku = *self.dice.pick(&[shop, TILL[0], TILL[1]]);
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
        let (body, said) = match self.dice.below(10) {
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
        Act::Movement(Request { key, body, said })
    }

    fn rotation(&mut self) -> Act {
        let of = match self.dice.below(6) {
            0 => Rotated::Channel(Channel::Erp),
            1 => Rotated::Channel(Channel::Desk),
            2 => Rotated::Sender(Sender::Shop),
            3 => Rotated::Sender(Sender::Till),
            4 => Rotated::Sender(Sender::Rooftop),
            _ => Rotated::Sender(Sender::Dms),
        };
        let minutes = |most: u64| Duration::from_secs(self.dice.below(most * 60));
        let (ours, theirs) = (minutes(12), minutes(12));
        Act::Rotate(Rotation {
            of,
            ours,
            theirs,
            generation: self.number(),
        })
    }

    /// The feed server's files, and the stock behind the last of them.
    fn files(&mut self) -> (Vec<Step>, BTreeMap<String, i64>) {
        let mut stock: BTreeMap<String, i64> = (0..FED)
            .map(|number| (places::fed(number), self.dice.between(1, 12)))
            .collect();
        let mut steps = Vec::new();
        let mut at = Duration::from_secs(90);
        for number in 1.. {
            if at >= self.window {
                break;
            }
            let mut file = File::whole(number, &stock);
            if number > 1 {
                self.damage(&mut file);
            }
            steps.push(Step {
                at,
                act: Act::File(file),
            });
            at += Duration::from_secs(60 * self.dice.below(25) + 240);
            self.trade(&mut stock);
        }
        (steps, stock)
    }

    /// The stock behind the feed changes: some products by their number, one by coming or going.
    fn trade(&self, stock: &mut BTreeMap<String, i64>) {
        for on_hand in stock.values_mut() {
            if self.dice.happens(0.3) {
                *on_hand = self.dice.between(1, 12);
            }
        }
        if self.dice.happens(0.3) {
            let sku = places::fed(usize::try_from(self.dice.below(FED as u64)).unwrap_or(0));
            if stock.remove(&sku).is_none() {
                stock.insert(sku, self.dice.between(1, 12));
            }
        }
        while stock.len() + 2 < FED {
            let sku = (0..FED)
                .map(places::fed)
                .find(|sku| !stock.contains_key(sku));
            stock.extend(sku.map(|sku| (sku, 1)));
        }
    }

    fn damage(&self, file: &mut File) {
        match self.dice.below(8) {
            0 | 1 => {
                file.kind = FileKind::Cut;
                // Inside a row: after the first rows, and never at the end of a line.
                let whole = file.content.len();
                let mut cut =
                    whole / 2 + usize::try_from(self.dice.below(whole as u64 / 2 - 2)).unwrap_or(0);
                while file.content.as_bytes()[cut - 1] == b'\n'
                    || file.content.as_bytes()[cut] == b'\n'
                {
                    cut -= 1;
                }
                file.content.truncate(cut);
            }
            2 => {
                file.kind = FileKind::Renamed;
                file.content = file.content.replacen("sku", "article_code", 1);
            }
            3 => {
                file.kind = FileKind::Bare;
                let header = file.content.find('\n').map_or(0, |end| end + 1);
                file.content.truncate(header);
            }
            _ => {}
        }
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
