//! What the stock must be: computed from what was acknowledged, by rules written down here a second
//! time and without the product's own code.
//!
//! - On hand is what the best-ranked source states last, and every movement dated after that.
//! - A vehicle is sold as soon as any source's last word on it is that. Else it stands where the best
//!   ranked of the sources says that have it, and is counted there once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::fakes::Told;
use crate::places::{FED_PLACE, line_of};
use crate::said::Said;

/// Who has the last word on a quantity, best first.
const RANKING: [&str; 3] = ["shop", "till", "feed"];
/// A vehicle's states in the order in which the lower of two contradicting ones counts.
const STATES: [&str; 4] = ["in_stock", "reserved", "sold", "removed"];

/// What a position must show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stock {
    /// Units there.
    pub on_hand: i64,
    /// Of these, promised.
    pub reserved: i64,
    /// What is left.
    pub available: i64,
    /// Promised, and not there.
    pub backordered: i64,
}

/// A product at a place.
pub type Place = (String, String);

/// What all of it must be.
#[derive(Debug, Default)]
pub struct Model {
    /// Each position that something was said of; `None` where nobody said how much there is.
    pub stock: BTreeMap<Place, Option<Stock>>,
    /// Units sold at each.
    pub sold: BTreeMap<Place, i64>,
    /// Vehicles that two rooftops have.
    pub contested: BTreeSet<&'static str>,
    /// How many sales of each vehicle line were reported.
    pub sales: BTreeMap<String, i64>,
}

#[derive(Default)]
struct Account {
    levels: BTreeMap<&'static str, (i64, i64)>,
    moves: Vec<(i64, i64)>,
    promised: i64,
}

#[derive(Default, Clone)]
struct Claim {
    state: Option<(i64, usize)>,
    place: Option<(i64, &'static str)>,
}

impl Model {
    /// The model of all that was acknowledged, and of the feed's last file.
    pub fn of<'a>(told: impl IntoIterator<Item = &'a Told>, feed: &BTreeMap<String, i64>) -> Self {
        let mut model = Self::default();
        let mut accounts: BTreeMap<Place, Account> = BTreeMap::new();
        let mut claims: BTreeMap<&'static str, BTreeMap<&'static str, Claim>> = BTreeMap::new();
        let acknowledged = told.into_iter().filter(|one| one.acknowledged.is_some());
        for said in acknowledged.flat_map(|one| &one.said) {
            match said {
                Said::Level {
                    source,
                    sku,
                    place,
                    on_hand,
                    at,
                } => {
                    let account = accounts.entry(key(sku, place)).or_default();
                    account.state(source, at.as_millisecond(), *on_hand);
                }
                Said::Moved {
                    sku,
                    place,
                    delta,
                    at,
                    ..
                } => {
                    let account = accounts.entry(key(sku, place)).or_default();
                    account.moves.push((at.as_millisecond(), *delta));
                }
                Said::Sold {
                    sku,
                    place,
                    quantity,
                    deducts,
                    at,
                    ..
                } => {
                    let account = accounts.entry(key(sku, place)).or_default();
                    if *deducts {
                        account.moves.push((at.as_millisecond(), -quantity));
                    }
                    *model.sold.entry(key(sku, place)).or_default() += quantity;
                }
                Said::Promised {
                    sku, place, units, ..
                } => accounts.entry(key(sku, place)).or_default().promised += units,
                Said::Vehicle {
                    source,
                    vin,
                    state,
                    place,
                    at,
                    ..
                } => {
                    let claim = claims.entry(vin).or_default().entry(source).or_default();
                    claim.hear(*state, place, *at);
                    if *state == Some("sold") {
                        *model.sales.entry(line_of(vin)).or_default() += 1;
                    }
                }
                Said::Unusable => {}
            }
        }
        for (sku, on_hand) in feed {
            let account = accounts.entry(key(sku, FED_PLACE)).or_default();
            account.state("feed", i64::MAX, *on_hand);
        }
        for (place, account) in accounts {
            model.stock.insert(place, account.stock());
        }
        for (vin, claims) in claims {
            model.count(vin, &claims);
        }
        model
    }

    fn count(&mut self, vin: &'static str, claims: &BTreeMap<&'static str, Claim>) {
        let said = |claim: &Claim| claim.state.map(|(_, state)| STATES[state]);
        if claims.values().any(|claim| said(claim) == Some("sold")) {
            return;
        }
        let mut present: Vec<_> = claims
            .iter()
            .filter(|(_, claim)| matches!(said(claim), Some("in_stock" | "reserved")))
            .collect();
        present.sort_by_key(|(source, _)| (**source != "dms", **source));
        let Some((_, holder)) = present.first() else {
            return;
        };
        let place = |claim: &Claim| claim.place.map(|(_, place)| place);
        if present
            .iter()
            .any(|(_, claim)| place(claim) != place(holder))
        {
            self.contested.insert(vin);
        }
        let reserved = i64::from(said(holder) == Some("reserved"));
        let stock = Stock {
            on_hand: 1,
            reserved,
            available: 1 - reserved,
            backordered: 0,
        };
        let place = place(holder).unwrap_or_default();
        self.stock.insert(key(&line_of(vin), place), Some(stock));
    }
}

impl Account {
    /// Of one source, the latest statement; of two of one instant, the lower.
    fn state(&mut self, source: &'static str, at: i64, on_hand: i64) {
        let known = self.levels.entry(source).or_insert((at, on_hand));
        if at > known.0 || (at == known.0 && on_hand < known.1) {
            *known = (at, on_hand);
        }
    }

    fn stock(&self) -> Option<Stock> {
        let (at, on_hand) = RANKING.iter().find_map(|source| self.levels.get(source))?;
        let later = self.moves.iter().filter(|(moved, _)| moved > at);
        let balance = on_hand + later.map(|(_, delta)| delta).sum::<i64>();
        Some(Stock::of(balance, self.promised))
    }
}

impl Stock {
    /// What a balance and what is promised come to.
    pub fn of(balance: i64, promised: i64) -> Self {
        let on_hand = balance.max(0);
        let reserved = promised.min(on_hand);
        Self {
            on_hand,
            reserved,
            available: on_hand - reserved,
            backordered: (promised - reserved) + (-balance).max(0),
        }
    }
}

impl Claim {
    fn hear(&mut self, state: Option<&str>, place: &'static str, at: Timestamp) {
        let at = at.as_millisecond();
        let state = state.and_then(|state| STATES.iter().position(|known| *known == state));
        if let Some(state) = state {
            let newer = self
                .state
                .is_none_or(|(known, was)| at > known || (at == known && state < was));
            if newer {
                self.state = Some((at, state));
            }
        }
        let newer = self
            .place
            .is_none_or(|(known, was)| at > known || (at == known && place < was));
        if newer {
            self.place = Some((at, place));
        }
    }
}

fn key(sku: &str, place: &str) -> Place {
    (sku.to_owned(), place.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_773_133_200 + second).unwrap()
    }

    fn acknowledged(said: Vec<Said>) -> Told {
        Told {
            name: "told".to_owned(),
            sender: None,
            said,
            tries: 1,
            acknowledged: Some(at(0)),
            refused: None,
            received: None,
        }
    }

    #[test]
    fn a_movement_from_before_the_statement_is_in_it_already() {
        let moved = |second, delta| Said::Moved {
            source: "till",
            event: format!("m{second}"),
            sku: "T".to_owned(),
            place: "north",
            delta,
            at: at(second),
        };
        let level = Said::Level {
            source: "till",
            sku: "T".to_owned(),
            place: "north",
            on_hand: 5,
            at: at(10),
        };
        let told = acknowledged(vec![moved(9, -1), level, moved(11, -2)]);
        let model = Model::of([&told], &BTreeMap::new());
        assert_eq!(model.stock[&key("T", "north")], Some(Stock::of(3, 0)));
    }

    #[test]
    fn two_claims_are_a_conflict_and_a_sale_ends_it() {
        let word = |source, state, place, second| Said::Vehicle {
            source,
            event: format!("{source}{second}"),
            vin: crate::places::VEHICLES[0].0,
            state: Some(state),
            place,
            at: at(second),
        };
        let claims = [
            word("dms", "in_stock", "london", 1),
            word("rooftop", "in_stock", "milano", 2),
        ];
        let model = Model::of([&acknowledged(claims.to_vec())], &BTreeMap::new());
        assert_eq!(model.contested.len(), 1);
        let on_hand: i64 = model.stock.values().flatten().map(|it| it.on_hand).sum();
        assert_eq!(on_hand, 1);

        let mut sold = claims.to_vec();
        sold.push(word("rooftop", "sold", "milano", 3));
        let model = Model::of([&acknowledged(sold)], &BTreeMap::new());
        assert!(model.contested.is_empty());
        assert!(model.stock.is_empty(), "{:?}", model.stock);
    }
}
