//! What the stock must be: computed from what was acknowledged, by rules written down here a second
//! time and without the product's own code.
//!
//! - On hand is what the best-ranked source states last, or what somebody counted there since, and every
//!   movement dated after that. Of two statements of one instant the lower one counts.
//! - The shop states how much there is of its items. An item stands for the product that it was last said
//!   to be; one that has come to its end, or is not kept at a place any more, states nothing.
//! - Of an order's line is sold what was ordered, less what was removed, refunded or cancelled. Where orders
//!   take from stock, what is removed is back when that is first told (or never left, if no version of the
//!   order from before is known), and what a refund brings back comes back once, at its place.
//! - A whole file states what it lists, when it was written. What it has no readable quantity for it
//!   says nothing of; what two of them in a row do not even mention is gone. A file that breaks off
//!   states what differs from before.
//! - A vehicle is in stock only if some source's word that it is there is later than every sale that
//!   others reported and did not take back: a sale is taken back by whoever reported it, and stock from
//!   a later day, in the place's calendar, is stock that came in again. Of the day on which it came in
//!   again a report of its sale is a late one of the sale before, by whoever has had it since before that.
//!   It stands where the best ranked of the sources says that have it, and is counted there once.
//! - A source that is taken out of the configuration has no vehicle any more; what it sold stays sold. Where
//!   nobody else has one, nobody says how many there are.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::fakes::Told;
use crate::places::{FED_PLACE, line_of, zone_of};
use crate::plan::{File, FileKind, Lot};
use crate::said::{Happened, Said};

/// Who has the last word on a quantity, best first.
const RANKING: [&str; 3] = ["shop", "till", "feed"];
/// A vehicle's states: of two that contradict each other the one further gone counts.
const STATES: [&str; 5] = ["in_transit", "in_stock", "reserved", "removed", "sold"];
/// In how many whole files in a row something must be missing before it is gone.
const GRACE: usize = 2;

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
    /// Vehicles that somebody still has, or has again, after another has sold them, or has sold, too.
    pub overruled: BTreeSet<&'static str>,
    /// Where somebody has said that a vehicle of a line was.
    pub stood: BTreeSet<Place>,
    /// The places at which one was awaited by anybody's word.
    pub awaited: BTreeSet<Place>,
    /// Where a vehicle of a line stood by the word of a source that was taken out, and others have it at
    /// another place.
    pub left_to_others: BTreeSet<Place>,
    /// How many sales of each vehicle line were reported.
    pub sales: BTreeMap<String, i64>,
    /// Items of the shop's that levels were stated of, and that nobody has said what they are.
    pub nameless: BTreeSet<u64>,
}

#[derive(Default)]
struct Account {
    /// What each source states, and when that was true; nothing where it has stopped to.
    levels: BTreeMap<&'static str, (i64, Option<i64>)>,
    counted: Option<(i64, i64)>,
    moves: Vec<(i64, i64)>,
    promised: i64,
}

/// What the shop has said of one of its items.
#[derive(Default)]
struct Item {
    names: BTreeMap<i64, &'static str>,
    /// The last of the words on its end, of two of one instant the end.
    ended: Option<(i64, bool)>,
    levels: BTreeMap<&'static str, (i64, Option<i64>)>,
}

/// What one source has said of a vehicle, by its own clock.
#[derive(Default)]
struct Claim {
    states: BTreeMap<i64, usize>,
    places: BTreeMap<i64, &'static str>,
    since: BTreeMap<i64, Date>,
    /// Its source was taken out of the configuration.
    dropped: bool,
}

impl Model {
    /// The model of all that was acknowledged, and of the feed's files and the lists of vehicles in
    /// their order, the source of which may have been taken out in the end.
    pub fn of<'a>(
        told: impl IntoIterator<Item = &'a Told>,
        files: &[File],
        (lots, dropped): (&[Lot], bool),
        deducts: bool,
    ) -> Self {
        let mut model = Self::default();
        let mut items: BTreeMap<u64, Item> = BTreeMap::new();
        let mut lines: BTreeMap<(u32, u32), (&'static str, BTreeSet<&Happened>)> = BTreeMap::new();
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
                    account.state(source, at.as_millisecond(), Some(*on_hand));
                }
                Said::Item {
                    item,
                    place,
                    on_hand,
                    at,
                } => {
                    let levels = &mut items.entry(*item).or_default().levels;
                    state(levels, place, at.as_millisecond(), *on_hand);
                }
                Said::Described { item, sku, at } => {
                    let names = &mut items.entry(*item).or_default().names;
                    names.insert(at.as_millisecond(), sku);
                }
                Said::Offered { item, offered, at } => {
                    let item = items.entry(*item).or_default();
                    item.ended = item.ended.max(Some((at.as_millisecond(), !offered)));
                }
                Said::Line { line, sku, what } => {
                    lines
                        .entry(*line)
                        .or_insert_with(|| (sku, BTreeSet::new()))
                        .1
                        .insert(what);
                }
                Said::Counted {
                    sku,
                    place,
                    on_hand,
                    at,
                } => {
                    let account = accounts.entry(key(sku, place)).or_default();
                    let (at, on_hand) = (at.as_millisecond(), *on_hand);
                    let newest = account.counted.is_none_or(|(known, units)| {
                        at > known || (at == known && on_hand < units)
                    });
                    if newest {
                        account.counted = Some((at, on_hand));
                    }
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
                    since,
                    at,
                    ..
                } => {
                    let claim = claims.entry(vin).or_default().entry(source).or_default();
                    claim.hear(*state, place, *since, *at);
                    if *state == Some("sold") {
                        *model.sales.entry(line_of(vin)).or_default() += 1;
                    }
                }
                Said::Unusable | Said::Remarkable => {}
            }
        }
        for lot in lots {
            for (vin, place, _, state) in &lot.rows {
                let claim = claims.entry(vin).or_default().entry("lot").or_default();
                claim.hear(Some(state), place, None, lot.written.unwrap_or_default());
                if *state == "sold" {
                    *model.sales.entry(line_of(vin)).or_default() += 1;
                }
            }
        }
        for (number, item) in &items {
            let Some(sku) = item.names.values().last() else {
                if !item.levels.is_empty() {
                    model.nameless.insert(*number);
                }
                continue;
            };
            let ended = item.ended.is_some_and(|(_, ended)| ended);
            for (place, (at, on_hand)) in &item.levels {
                let account = accounts.entry(key(sku, place)).or_default();
                account.state("shop", *at, on_hand.filter(|_| !ended));
            }
        }
        for (sku, happened) in lines.values() {
            model.add(sku, happened, deducts, &mut accounts);
        }
        let listed: BTreeSet<String> = files
            .iter()
            .flat_map(|file| file.says().into_keys())
            .collect();
        for sku in listed {
            let account = accounts.entry(key(&sku, FED_PLACE)).or_default();
            account.read(&sku, files);
        }
        // A file that has a row for a product, and nothing in it, says nothing of it.
        let spoken_of = |account: &Account| {
            !account.levels.is_empty() || !account.moves.is_empty() || account.counted.is_some()
        };
        let accounts = accounts.into_iter();
        for (place, account) in accounts.filter(|(_, it)| spoken_of(it) || it.promised != 0) {
            model.stock.insert(place, account.stock());
        }
        for (vin, mut claims) in claims {
            let before = model.count(vin, &claims);
            let Some(lot) = claims.get_mut("lot").filter(|_| dropped) else {
                continue;
            };
            lot.dropped = true;
            if let Some(before) = &before {
                model.stock.remove(before);
            }
            model.contested.remove(vin);
            model.overruled.remove(vin);
            let now = model.count(vin, &claims);
            match before.filter(|before| now.as_ref() != Some(before)) {
                Some(before) if now.is_some() => _ = model.left_to_others.insert(before),
                Some(before) => _ = model.stock.insert(before, None),
                None => {}
            }
        }
        model
    }

    /// What an order's line comes to.
    fn add(
        &mut self,
        sku: &str,
        happened: &BTreeSet<&Happened>,
        deducts: bool,
        accounts: &mut BTreeMap<Place, Account>,
    ) {
        let mut moved = |place: &str, at: Timestamp, units: i64| {
            if deducts {
                let account = accounts.entry(key(sku, place)).or_default();
                account.moves.push((at.as_millisecond(), units));
            }
        };
        let mut wanted = 0;
        let mut ordered = None;
        for what in happened {
            if let Happened::Ordered {
                quantity,
                place,
                at,
            } = what
            {
                ordered = Some((*place, *at));
                wanted += quantity;
                moved(place, *at, -quantity);
            }
        }
        let told = happened.iter().filter_map(|what| match what {
            Happened::Told { at } => Some(*at),
            _ => None,
        });
        let first = told.min();
        let mut removed = BTreeMap::new();
        for what in happened {
            match what {
                Happened::Ordered { .. } | Happened::Cancelled | Happened::Told { .. } => {}
                Happened::Removed {
                    number,
                    units,
                    told,
                } => {
                    let known = removed.entry(*number).or_insert((*units, *told));
                    known.1 = known.1.min(*told);
                }
                Happened::Refunded {
                    units, back_to, at, ..
                } => {
                    wanted -= units;
                    if let Some(place) = back_to {
                        moved(place, *at, *units);
                    }
                }
            }
        }
        for (units, told) in removed.into_values() {
            wanted -= units;
            if let Some((place, at)) = ordered {
                let back = if Some(told) > first { told } else { at };
                moved(place, back, units);
            }
        }
        if let Some((place, _)) = ordered {
            let cancelled = happened.contains(&Happened::Cancelled);
            let sold = self.sold.entry(key(sku, place)).or_default();
            *sold += if cancelled { 0 } else { wanted };
        }
    }

    /// Counts a vehicle where it stands, if it does.
    fn count(
        &mut self,
        vin: &'static str,
        claims: &BTreeMap<&'static str, Claim>,
    ) -> Option<Place> {
        let said = |claim: &Claim| claim.states.values().last().map(|state| STATES[*state]);
        let sold = sales(claims);
        let mut present: Vec<_> = claims
            .iter()
            .filter(|(source, claim)| {
                let others = |reports: &[(i64, &str)]| {
                    reports.iter().any(|(at, other)| {
                        let by = &claims[other];
                        let taken_back = by.dropped && is_taken_back((*at, by), claims);
                        other != *source && !taken_back
                    })
                };
                let mut sold = sold.iter().filter(|reports| others(reports));
                claim.is_theirs() && sold.all(|reports| claim.came_after(reports[0].0, i64::MAX))
            })
            .collect();
        // Where none of them comes first by configuration, who has had it longest does.
        present.sort_by_key(|(source, claim)| {
            let (day, since) = claim.had_it_since();
            (**source != "dms", day, since, **source)
        });
        let line = line_of(vin);
        let stood = claims.values().flat_map(|claim| claim.places_in(is_there));
        self.stood.extend(stood.map(|at| key(&line, at)));
        let on_its_way = |state| STATES[state] == "in_transit";
        let awaited = claims
            .values()
            .flat_map(|claim| claim.places_in(on_its_way));
        self.awaited.extend(awaited.map(|at| key(&line, at)));
        let Some((_, holder)) = present.first() else {
            let sellers = claims.values().filter(|claim| !claim.sales().is_empty());
            if claims.values().any(Claim::is_theirs) || sellers.count() > 1 {
                self.overruled.insert(vin);
            }
            return None;
        };
        let place = |claim: &Claim| claim.places.values().last().copied();
        // Where it is is the dealer system's to say, unless that has it no longer.
        let system = claims.get("dms").filter(|system| {
            system.states.is_empty() || present.iter().any(|(source, _)| **source == "dms")
        });
        let stands = system.map_or_else(|| place(holder), place);
        if present.iter().any(|(_, claim)| place(claim) != stands) {
            self.contested.insert(vin);
        }
        if said(holder) == Some("in_transit") {
            return None;
        }
        let reserved = i64::from(said(holder) == Some("reserved"));
        let stock = Stock {
            on_hand: 1,
            reserved,
            available: 1 - reserved,
            backordered: 0,
        };
        let place = key(&line_of(vin), stands.unwrap_or_default());
        self.stock.insert(place.clone(), Some(stock));
        Some(place)
    }
}

/// Of one source, the latest statement; of two of one instant the end, else the lower.
fn state(
    levels: &mut BTreeMap<&'static str, (i64, Option<i64>)>,
    of: &'static str,
    at: i64,
    on_hand: Option<i64>,
) {
    let known = levels.entry(of).or_insert((at, on_hand));
    if at > known.0 || (at == known.0 && on_hand < known.1) {
        *known = (at, on_hand);
    }
}

impl Account {
    fn state(&mut self, source: &'static str, at: i64, on_hand: Option<i64>) {
        state(&mut self.levels, source, at, on_hand);
    }

    /// Takes what all files say of one product.
    fn read(&mut self, sku: &str, files: &[File]) {
        let mut absent = 0;
        for file in files {
            let at = file.written.unwrap_or_default().as_millisecond();
            let stated = self.levels.get("feed").and_then(|(_, on_hand)| *on_hand);
            match (file.kind, file.says().get(sku)) {
                (FileKind::Whole, Some(said)) => {
                    absent = 0;
                    if let Some(on_hand) = said {
                        self.state("feed", at, Some(*on_hand));
                    }
                }
                (FileKind::Whole, None) if stated.is_some_and(|on_hand| on_hand != 0) => {
                    absent += 1;
                    if absent == GRACE {
                        self.state("feed", at, Some(0));
                        absent = 0;
                    }
                }
                // Of a row that is whole, what its system had.
                (FileKind::Cut, Some(said)) => {
                    if let Some(on_hand) = file.rows.get(sku).copied().or(*said) {
                        self.state("feed", at, Some(on_hand));
                    }
                }
                _ => {}
            }
        }
    }

    fn stock(&self) -> Option<Stock> {
        let stated = |source| {
            let (at, on_hand) = self.levels.get(source)?;
            Some((*at, (*on_hand)?))
        };
        let owner = RANKING.iter().find_map(|source| stated(*source));
        let counted = self
            .counted
            .filter(|(at, _)| owner.is_none_or(|owner| *at >= owner.0));
        let (at, on_hand) = counted.or(owner)?;
        // Of the second in which a source states something all is in it, where only that second is known.
        let is_coarse = counted.is_none() && at % 1_000 == 0;
        let until = if is_coarse { at + 999 } else { at };
        let later = self.moves.iter().filter(|(moved, _)| *moved > until);
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
    /// Of two words of one instant the safer one: the state further gone, the earlier day.
    fn hear(
        &mut self,
        state: Option<&str>,
        place: &'static str,
        since: Option<Date>,
        at: Timestamp,
    ) {
        let at = at.as_millisecond();
        let state = state.and_then(|state| STATES.iter().position(|known| *known == state));
        if let Some(state) = state {
            let known = self.states.entry(at).or_insert(state);
            *known = state.max(*known);
        }
        let known = self.places.entry(at).or_insert(place);
        *known = place.min(*known);
        if let Some(since) = since {
            let known = self.since.entry(at).or_insert(since);
            *known = since.min(*known);
        }
    }

    fn is_theirs(&self) -> bool {
        let last = self.states.values().last();
        !self.dropped && last.is_some_and(|last| is_theirs(*last))
    }

    /// Since which day it has the vehicle, by what it says of that or else by when it first said that it has
    /// it, and since when it says so.
    fn had_it_since(&self) -> (Date, i64) {
        let said = self.states.iter().rev();
        let first = said.take_while(|(_, state)| is_theirs(**state)).last();
        let since = first.map_or(i64::MAX, |(at, _)| *at);
        let day = self.since.values().last().copied();
        (day.unwrap_or_else(|| self.day_of(since)), since)
    }

    /// The day of an instant where it has the vehicle.
    fn day_of(&self, at: i64) -> Date {
        let rooftop = self.places.values().last().copied().unwrap_or_default();
        let zone = TimeZone::get(zone_of(rooftop)).unwrap_or(TimeZone::UTC);
        let at = Timestamp::from_millisecond(at).unwrap_or_default();
        zone.to_datetime(at).date()
    }

    /// The places at which it has had the vehicle in such a state.
    fn places_in(&self, is_so: impl Fn(usize) -> bool) -> impl Iterator<Item = &'static str> {
        let times = self.states.keys().chain(self.places.keys());
        times.filter_map(move |at| {
            let (_, state) = self.states.range(..=at).next_back()?;
            let (_, place) = self.places.range(..=at).next_back()?;
            is_so(*state).then_some(*place)
        })
    }

    /// When it sold the vehicle, without repeated reports and without what it took back.
    fn sales(&self) -> Vec<i64> {
        let sold = self.departures().into_iter();
        sold.filter(|(_, back)| back.is_none())
            .map(|(at, _)| at)
            .collect()
    }

    /// When it sold the vehicle, without repeated reports, and since when it takes that back, if it does.
    fn departures(&self) -> Vec<(i64, Option<i64>)> {
        let mut departures = Vec::new();
        for at in self
            .states
            .iter()
            .filter(|(_, state)| is_sold(**state))
            .map(|(at, _)| *at)
        {
            let mut earlier = self.states.range(..at).rev();
            let repeats = earlier
                .find(|(_, state)| is_theirs(**state) || is_sold(**state))
                .is_some_and(|(_, state)| is_sold(*state));
            if repeats {
                continue;
            }
            let back = self
                .states
                .range(at..)
                .find(|(_, state)| is_theirs(**state))
                .map(|(back, _)| *back);
            let back = back.filter(|back| {
                let mut later = self.states.range(back..);
                let again = later.find(|(_, state)| is_sold(**state));
                let until = again.map_or(i64::MAX, |(again, _)| *again);
                !self.came_after(at, until)
            });
            departures.push((at, back));
        }
        departures
    }

    /// Whether it has listed the vehicle that it sold then since before an earlier sale, and not anew.
    fn had_listed_it(&self, sold: i64, before: i64) -> bool {
        let said = self.states.range(..sold).rev();
        let stay = said.skip_while(|(_, state)| !is_theirs(**state));
        let listed = stay.take_while(|(_, state)| is_theirs(**state)).last();
        listed.is_some_and(|(at, _)| *at < before) && !self.came_after(before, sold)
    }

    /// Whether the day since which the vehicle is there, as it was said by then, is later than that of
    /// a sale.
    fn came_after(&self, sold: i64, until: i64) -> bool {
        let since = self.since.range(..=until).next_back();
        since.is_some_and(|(_, since)| *since > self.day_of(sold))
    }
}

/// The vehicle's sales, each by all who reported it.
fn sales<'a>(claims: &BTreeMap<&'a str, Claim>) -> Vec<Vec<(i64, &'a str)>> {
    let reports = claims.iter().flat_map(|(source, claim)| {
        let sold = claim.sales().into_iter();
        sold.map(|at| (at, *source))
    });
    let mut sales: Vec<Vec<(i64, &str)>> = Vec::new();
    for (at, source) in reports.collect::<BTreeSet<_>>() {
        let is_of = |sale: &[(i64, &str)]| {
            let known = sale.iter().any(|(_, known)| *known == source);
            !known && !came_between(sale[0].0, (at, &claims[source]), claims)
        };
        match sales.last_mut() {
            Some(last) if is_of(last) => last.push((at, source)),
            _ => sales.push(vec![(at, source)]),
        }
    }
    sales
}

/// Whether a stay began after one sale and before what a source reports as one. One of the same day as the
/// report did, unless that is a late report.
fn came_between(first: i64, (at, by): (i64, &Claim), claims: &BTreeMap<&str, Claim>) -> bool {
    let late = by.had_listed_it(at, first);
    claims.values().any(|claim| {
        let (from, until) = (claim.day_of(first), claim.day_of(at));
        let mut days = claim.since.values();
        days.any(|day| *day > from && (*day < until || *day == until && !late))
    })
}

/// Whether a sale by who is no longer asked was taken back by another who had reported it too: there is no
/// stay that began between what the two reported.
fn is_taken_back((sold, by): (i64, &Claim), claims: &BTreeMap<&'static str, Claim>) -> bool {
    let asked = claims.values().filter(|claim| !claim.dropped);
    let mut reports = asked.flat_map(|claim| {
        let reports = claim.departures().into_iter();
        reports.filter_map(move |(at, back)| Some((claim, at, back?)))
    });
    reports.any(|(claim, at, back)| {
        let between = match at < sold {
            true => came_between(at, (sold, by), claims),
            false => came_between(sold, (at, claim), claims),
        };
        back > sold && !between
    })
}

fn is_there(state: usize) -> bool {
    matches!(STATES[state], "in_stock" | "reserved")
}

/// On its way to them counts as theirs: whoever says so has not sold it.
fn is_theirs(state: usize) -> bool {
    is_there(state) || STATES[state] == "in_transit"
}

fn is_sold(state: usize) -> bool {
    STATES[state] == "sold"
}

fn key(sku: &str, place: &str) -> Place {
    (sku.to_owned(), place.to_owned())
}

#[cfg(test)]
mod tests;
