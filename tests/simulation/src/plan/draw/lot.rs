//! The lists of vehicles that a third system puts on the feed server.

use std::time::Duration;

use super::Draw;
use crate::places::{LOT, ROOFTOPS, VEHICLES};
use crate::plan::{Act, Lot, Step};

/// What such systems call the states of a vehicle, and what we do.
const WORDS: [(&str, &str); 4] = [
    ("Available", "in_stock"),
    ("On Hold", "reserved"),
    ("SOLD", "sold"),
    ("In Transit", "in_transit"),
];

impl Draw {
    /// In every other world, a few lists: each vehicle in each of them, with a word for its state. One is
    /// known to the other systems, too.
    pub(super) fn lots(&self) -> Vec<Step> {
        if self.dice.happens(0.5) {
            return Vec::new();
        }
        let listed = LOT.iter().chain([self.dice.pick(&VEHICLES)]);
        let homes: Vec<_> = listed
            .map(|(vin, _)| (*vin, *self.dice.pick(&ROOFTOPS)))
            .collect();
        let mut at = Duration::from_secs(80) + self.upto(self.window / 4);
        let mut steps = Vec::new();
        for number in 1..=self.dice.between(1, 3) {
            let rows = homes.iter().map(|(vin, place)| {
                let (word, state) = *self.dice.pick(&WORDS);
                (*vin, *place, word, state)
            });
            let lot = Lot {
                number,
                rows: rows.collect(),
                hurried: self.dice.happens(0.7),
                written: None,
            };
            steps.push(Step {
                at,
                act: Act::Lot(lot),
            });
            at += Duration::from_secs(60) + self.upto(self.window / 3);
        }
        steps.retain(|step| step.at < self.window);
        steps
    }
}
