//! Any reports in every order, held against what a careful person makes of the sources' histories.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::tests::{authority, heard, name, orders, report};
use super::*;

const SOURCES: [&str; 3] = ["dms", "feed", "market"];

/// Few instants and few days, so that ties and days on both sides of a sale come up often.
fn any_report() -> impl Strategy<Value = (&'static str, UnitReport)> {
    use UnitState::{InStock, Removed, Reserved, Sold, Wholesale};
    (
        prop::sample::select(SOURCES.to_vec()),
        0..12_i64,
        prop::option::weighted(
            0.9,
            prop::sample::select(vec![
                InStock, InStock, Reserved, Sold, Sold, Removed, Wholesale,
            ]),
        ),
        prop::option::of(prop::sample::select(vec!["london", "sydney"])),
        prop::option::of(0..6_i64),
    )
        .prop_map(|(source, half_days, state, location, since)| {
            let first: Date = "2026-01-15".parse().unwrap();
            let noon = first.at(22, 30, 0, 0).to_zoned(TimeZone::UTC).unwrap();
            let instant = noon.timestamp() + jiff::SignedDuration::from_hours(12 * half_days);
            let mut made = report(0, UnitState::InStock, "london");
            made.version = Version::at(instant);
            made.state = state;
            made.location = location.map(|place| place.parse().unwrap());
            made.since = since.map(|days| first.saturating_add(jiff::Span::new().days(days)));
            (source, made)
        })
}

/// What a careful person would make of the histories, written down as a judgement on statements and
/// not as a procedure.
struct Judge<'a> {
    reports: &'a [(&'static str, UnitReport)],
    authority: Authority,
}

impl Judge<'_> {
    /// What a source said, by time; of several states of one instant the one further gone.
    fn states(&self, source: &str) -> BTreeMap<Timestamp, UnitState> {
        let order = [
            UnitState::InStock,
            UnitState::Reserved,
            UnitState::Removed,
            UnitState::Wholesale,
            UnitState::Sold,
        ];
        let grave = |state| order.iter().position(|known| *known == state);
        let mut states = BTreeMap::new();
        for (_, said) in self.reports.iter().filter(|(who, _)| *who == source) {
            let Some(state) = said.state else { continue };
            let known = states.entry(said.version.at).or_insert(state);
            if grave(state) > grave(*known) {
                *known = state;
            }
        }
        states
    }

    /// Since when a source had the vehicle, as it said by then.
    fn since(&self, source: &str, by: Timestamp) -> Option<Date> {
        let said = self
            .reports
            .iter()
            .filter(|(who, said)| *who == source && said.since.is_some() && said.version.at <= by);
        let latest = said.clone().map(|(_, said)| said.version.at).max()?;
        said.filter(|(_, said)| said.version.at == latest)
            .filter_map(|(_, said)| said.since)
            .min()
    }

    fn place(&self, source: &str) -> Option<LocationId> {
        let said = self
            .reports
            .iter()
            .filter(|(who, said)| *who == source && said.location.is_some());
        let latest = said.clone().map(|(_, said)| said.version.at).max()?;
        said.filter(|(_, said)| said.version.at == latest)
            .filter_map(|(_, said)| said.location.clone())
            .min()
    }

    /// The day of an instant where a source has the vehicle.
    fn day(&self, source: &str, at: Timestamp) -> Date {
        match self.place(source) {
            Some(place) => self.authority.day(&place, at),
            None => at.to_zoned(TimeZone::UTC).date(),
        }
    }

    /// Whether a statement of a source that the vehicle has left is the first of that departure, and
    /// was never taken back.
    fn departs(&self, source: &str, left: Timestamp) -> bool {
        let states = self.states(source);
        let earlier = states.range(..left).rev();
        let repeats = earlier
            .take_while(|(_, state)| !state.is_present())
            .any(|(_, state)| state.is_departure());
        let mut later = states.range(left..).skip(1);
        let stays = later.clone().find(|(_, state)| state.is_present());
        let taken_back = stays.is_some_and(|(back, _)| {
            let ended = later.find(|(at, state)| *at > back && state.is_departure());
            let by = ended.map_or(Timestamp::MAX, |(at, _)| *at);
            self.since(source, by)
                .is_none_or(|since| since <= self.day(source, left))
        });
        states[&left].is_departure() && !repeats && !taken_back
    }

    /// Whether a source that says that the vehicle has left had listed it since before then, and not anew.
    fn had_listed_it(&self, source: &str, left: Timestamp, before: Timestamp) -> bool {
        let states = self.states(source);
        let earlier = states.range(..left).rev();
        let stay = earlier.skip_while(|(_, state)| !state.is_present());
        let listed = stay.take_while(|(_, state)| state.is_present()).last();
        let since = self.since(source, left);
        listed.is_some_and(|(at, _)| *at < before)
            && since.is_none_or(|since| since <= self.day(source, before))
    }

    /// Whether some source's stay began between two reports that the vehicle has left. One of the day of the
    /// later report did, unless that is a late report of the first.
    fn came_between(&self, first: Timestamp, source: &str, left: Timestamp) -> bool {
        let late = self.had_listed_it(source, left, first);
        let mut stays = self.reports.iter().filter_map(|(who, said)| {
            let since = self.since(who, said.version.at);
            said.since.and(since).map(|since| (*who, since))
        });
        stays.any(|(who, since)| {
            let until = self.day(who, left);
            since > self.day(who, first) && (since < until || since == until && !late)
        })
    }

    /// When the vehicle left, and by whose words.
    fn departures(&self) -> Vec<(Timestamp, Vec<&'static str>)> {
        let reports = SOURCES.iter().flat_map(|source| {
            let left = self.states(source).into_keys();
            left.filter(|at| self.departs(source, *at))
                .map(|at| (at, *source))
                .collect::<Vec<_>>()
        });
        let mut departures: Vec<(Timestamp, Vec<&str>)> = Vec::new();
        for (at, source) in reports.collect::<std::collections::BTreeSet<_>>() {
            match departures.last_mut() {
                Some((first, by))
                    if !by.contains(&source) && !self.came_between(*first, source, at) =>
                {
                    by.push(source);
                }
                _ => departures.push((at, vec![source])),
            }
        }
        departures
    }

    /// Whether some source's word that the vehicle is there is later than every sale.
    fn is_in_stock(&self) -> bool {
        let departures = self.departures();
        SOURCES.iter().any(|source| {
            let states = self.states(source);
            let there = states
                .last_key_value()
                .is_some_and(|(_, state)| state.is_present());
            let since = self.since(source, Timestamp::MAX);
            let mut others = departures
                .iter()
                .filter(|(_, by)| by.iter().any(|other| other != source));
            there
                && others
                    .all(|(sold, _)| since.is_some_and(|since| since > self.day(source, *sold)))
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// G3: the order in which the sources are heard does not matter, neither for what is true nor for
    /// what is kept nor for demand; and what is true is what the histories say.
    #[test]
    fn every_order_of_reports_comes_to_what_the_histories_say(
        reports in prop::collection::vec(any_report(), 1..=6),
        ranked in any::<bool>(),
    ) {
        let authority = authority(if ranked { &["dms"] } else { &[] });
        let unit = heard(&reports);
        let (resolved, demand) = (unit.resolve(&authority), unit.demand(&authority));
        for order in orders(&reports) {
            let other = heard(&order);
            prop_assert_eq!(&other, &unit, "{:?}", order);
        }
        for (source, report) in &reports {
            prop_assert_eq!(unit.after(&name(source), report, 0), None, "heard again");
        }
        let judge = Judge { reports: &reports, authority };
        prop_assert_eq!(resolved.state.is_present(), judge.is_in_stock(), "{:?}", resolved);
        let sales = demand.len();
        let reported = SOURCES.iter().flat_map(|source| {
            let states = judge.states(source);
            let sold = states.into_iter().filter(|(_, state)| *state == UnitState::Sold);
            sold.map(|(at, _)| (*source, at)).collect::<Vec<_>>()
        });
        prop_assert!(sales <= reported.count());
        prop_assert!(sales <= judge.departures().len());
        if resolved.state == UnitState::Sold && unit.count(&judge.authority).is_some() {
            prop_assert!(sales > 0, "it was sold to somebody");
        }
    }
}

proptest! {
    /// What a rooftop's name was read as by versions of the configuration, in any order.
    #[test]
    fn every_order_of_readings_comes_to_the_same(
        reports in prop::collection::vec((0..3_i64, 0..2_usize, 1..4_u64, any::<bool>()), 1..=5),
    ) {
        // The third version has them lead where the first did.
        let places = ["london", "sydney"];
        let readings: Vec<_> = reports
            .iter()
            .map(|(minute, named, read_by, brought)| {
                // Each version of the configuration has the names lead elsewhere than the one before.
                let at = named + usize::try_from(*read_by).unwrap();
                let place = places[at % places.len()];
                let mut said = report(*minute, UnitState::InStock, place);
                said.called = Some(["A", "B"][*named].to_owned());
                said.brought = *brought;
                (said, *read_by)
            })
            .collect();
        let source = name("dms");
        let heard = |readings: &[(UnitReport, u64)]| {
            let unknown = Unit::unknown(readings[0].0.vin.clone());
            readings.iter().fold(unknown, |unit, (report, read_by)| {
                unit.after(&source, report, *read_by).unwrap_or(unit)
            })
        };
        let unit = heard(&readings);
        for order in orders(&readings) {
            prop_assert_eq!(&heard(&order), &unit, "{:?}", order);
        }
        for (report, read_by) in &readings {
            prop_assert_eq!(unit.after(&source, report, *read_by), None, "heard again");
        }
    }
}

proptest! {
    /// G4: one vehicle counts once at most, whoever claims it.
    #[test]
    fn a_vehicle_counts_once(reports in prop::collection::vec(any_report(), 1..9)) {
        let [on_hand, reserved, incoming] = heard(&reports)
            .count(&authority(&[]))
            .map_or([0; 3], |counted| counted.state.counts());
        prop_assert!(on_hand + incoming <= 1 && reserved <= on_hand);
    }
}
