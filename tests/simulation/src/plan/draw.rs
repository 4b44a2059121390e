//! Making a plan from a seed: the whole of it here, each kind of step in a file of its own.

mod desk;
mod feed;
mod lot;
mod orders;
mod shop;
mod till;
mod vehicles;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Act, Message, Plan, Rotated, Rotation, Sender, Step};
use crate::dice::Dice;
use crate::faults::{Faults, Kind};
use crate::places::{
    self, Channel, DESK, FED, FED_PLACE, ROOFTOPS, Rules, SHOP, TILL, VEHICLES, WAREHOUSES,
};
use crate::said::Said;

/// How far a clock is ahead that nobody can believe: further than a world lasts.
const FAR_AHEAD: SignedDuration = SignedDuration::from_hours(60);

/// How much happens in a world.
struct Size {
    /// Minutes in which things are done and go wrong.
    window: (i64, i64),
    /// Things that people and systems do.
    steps: (i64, i64),
}

/// Most worlds: what breaks mostly breaks between a few calls, and several of these are run in the time
/// of a large one.
const SMALL: Size = Size {
    window: (5, 12),
    steps: (4, 10),
};
/// The others, in which things have time to pile up.
const LARGE: Size = Size {
    window: (20, 50),
    steps: (18, 48),
};

struct Draw {
    dice: Dice,
    start: Timestamp,
    window: Duration,
    skews: BTreeMap<Sender, SignedDuration>,
    /// Whether the till sells what the feed lists.
    sells_fed: bool,
    last_vehicle: Option<vehicles::Last>,
    numbers: u32,
}

pub(super) fn plan(seed: u64, kinds: &[Kind]) -> Plan {
    let dice = Dice::of(seed, "plan");
    let size = if dice.happens(0.04) { LARGE } else { SMALL };
    let minutes = dice.between(size.window.0, size.window.1);
    let window = Duration::from_secs(60 * u64::try_from(minutes).unwrap_or(30));
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
        // When a file from the future was true is when it was read: nobody else knows what came before.
        sells_fed: feed_skew <= SignedDuration::ZERO,
        last_vehicle: None,
        numbers: 0,
    };
    let opening = draw.opening();
    let (files, feed) = draw.files();
    let mut steps = files;
    steps.extend(draw.lots());
    steps.extend(draw.passing());
    let count = draw.dice.between(size.steps.0, size.steps.1);
    for _ in 0..count {
        let at = draw.moment();
        draw.step(at, &mut steps);
    }
    let shards = u32::try_from(draw.dice.between(1, 3)).unwrap_or(1);
    let blank = draw.dice.happens(0.3).then(|| places::fed(0));
    let deducts = draw.dice.happens(0.4);
    let drops_lists = draw.dice.happens(0.5);
    steps.extend(draw.second_life());
    if let Some(sku) = blank.as_deref().filter(|_| feed_skew.is_zero()) {
        draw.fall_silent(sku, &mut steps);
    }
    steps.sort_by_key(|step| step.at);
    Plan {
        seed,
        opening,
        steps,
        faults,
        skews: draw.skews,
        feed_skew,
        shards,
        feed,
        blank,
        deducts,
        drops_lists,
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

    fn upto(&self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.dice.below(most))
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
        let mut push = |mut act| {
            // One after the other: a repeat would have all that follows wait for it.
            if let Act::Webhook(message) = &mut act {
                message.repeats.clear();
            }
            at += Duration::from_millis(200);
            steps.push(Step { at, act });
        };
        for named in SHOP {
            push(self.described(named, true, before));
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
        let warehouse = place;
        let (sku, place) = self.fed().unwrap_or((sku, place));
        let desk = (*self.dice.pick(&DESK)).to_owned();
        for _ in 0..times {
            let at = at + Duration::from_millis(self.dice.below(40));
            let act = match choice {
                0..=13 => {
                    let (sku, _) = *self.dice.pick(&SHOP);
                    let when = self.happened(Sender::Shop, at);
                    self.shop_level(sku, place, when)
                }
                14..=23 => {
                    self.order(at, steps);
                    continue;
                }
                24..=45 => self.till(&sku, place, at),
                46..=60 => self.vehicle(at),
                61..=66 => self.unusable(at),
                67..=90 => self.movement(&desk, warehouse, at, rush),
                91..=97 => Act::Configure(self.rules()),
                _ => self.rotation(),
            };
            steps.push(Step { at, act });
            if matches!(choice, 91..) {
                break;
            }
        }
    }

    /// Now and then, something that the feed lists and is sold at the till.
    fn fed(&self) -> Option<(String, &'static str)> {
        let number = usize::try_from(self.dice.below(FED as u64)).unwrap_or(0);
        let chosen = self.dice.happens(0.4) && self.sells_fed;
        chosen.then(|| (places::fed(number), FED_PLACE))
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
            triggered: None,
            body,
            said,
            repeats: (0..again).map(|_| self.upto(self.window)).collect(),
        }
    }

    /// Whether a time lies so far ahead that it stays so for as long as the world lasts.
    fn is_unbelievable(&self, at: Timestamp) -> bool {
        at > self.start + SignedDuration::from_hours(48)
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

    /// Other rules: mostly other numbers, sometimes rules that come or go, or a group of other places.
    fn rules(&self) -> Rules {
        let dice = &self.dice;
        Rules {
            low: dice.happens(0.8).then(|| dice.between(1, 6)),
            together: dice.happens(0.4).then(|| dice.between(2, 12)),
            fast: dice.between(2, 5),
            south: dice.happens(0.6),
        }
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
}
