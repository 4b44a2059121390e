use jiff::tz::TimeZone;

use super::super::authority::Calendars;
use super::super::position::Sources;
use super::*;

const VIN: &str = "SCBCG2ZG0RC012345";

pub(super) fn name(name: &str) -> ConnectorName {
    name.parse().unwrap()
}

fn at(minute: i64) -> Version {
    Version::at(Timestamp::from_second(1_768_469_400 + minute * 60).unwrap())
}

pub(super) fn report(minute: i64, state: UnitState, location: &str) -> UnitReport {
    UnitReport {
        called: None,
        source_gone: false,
        vin: VIN.parse().unwrap(),
        version: at(minute),
        state: Some(state),
        location: Some(location.parse().unwrap()),
        stock_number: None,
        since: None,
        brought: false,
        undated: false,
        fields: BTreeMap::from([
            ("make".to_owned(), Field::Text("Bentley".into())),
            ("model".to_owned(), Field::Text("Continental GT".into())),
        ]),
    }
}

fn at_time(time: &str) -> Version {
    Version::at(time.parse().unwrap())
}

/// What a source says at a time of a vehicle's state, and since when it has it.
fn said<'a>(
    source: &'a str,
    time: &str,
    state: UnitState,
    location: &str,
    since: Option<&str>,
) -> (&'a str, UnitReport) {
    let mut said = report(0, state, location);
    said.version = at_time(time);
    said.since = since.map(|day| day.parse().unwrap());
    (source, said)
}

/// Rooftops on both sides of the date line's middle.
pub(super) fn authority(ranking: &[&str]) -> Authority {
    let zone = |name: &str| TimeZone::get(name).unwrap();
    Authority {
        units: ranking.iter().map(|source| name(source)).collect(),
        quantities: Sources {
            calendars: Calendars {
                places: BTreeMap::from([
                    ("sydney".parse().unwrap(), zone("Australia/Sydney")),
                    ("london".parse().unwrap(), zone("Europe/London")),
                    ("milano".parse().unwrap(), zone("Europe/Rome")),
                ]),
                ..Calendars::default()
            },
            ..Sources::default()
        },
        ..Authority::default()
    }
}

pub(super) fn heard(reports: &[(&str, UnitReport)]) -> Unit {
    let start = Unit::unknown(VIN.parse().unwrap());
    reports.iter().fold(start, |unit, (source, report)| {
        unit.after(&name(source), report, 0).unwrap_or(unit)
    })
}

#[test]
fn a_marketplace_sale_is_not_undone_by_a_dms_that_has_not_heard_of_it() {
    let unit = heard(&[
        ("dms", report(0, UnitState::InStock, "london")),
        ("market", report(5, UnitState::Sold, "london")),
        ("dms", report(9, UnitState::InStock, "london")),
    ]);
    assert_eq!(unit.resolve(&authority(&[])).state, UnitState::Sold);
}

#[test]
fn a_traded_in_vehicle_is_stock_again() {
    let mut again = report(99_999, UnitState::InStock, "milano");
    again.since = Some("2026-03-20".parse().unwrap());
    let unit = heard(&[
        ("market", report(5, UnitState::Sold, "london")),
        ("dms", again),
    ]);
    let resolved = unit.resolve(&authority(&[]));
    assert_eq!(resolved.state, UnitState::InStock);
    assert_eq!(resolved.location.unwrap().as_str(), "milano");
}

#[test]
fn a_seller_may_take_its_sale_back() {
    let unit = heard(&[
        ("market", report(5, UnitState::Sold, "london")),
        ("market", report(6, UnitState::InStock, "london")),
    ]);
    assert_eq!(unit.resolve(&authority(&[])).state, UnitState::InStock);
}

#[test]
fn two_rooftops_one_vehicle_is_a_conflict_counted_once() {
    let mut longest = report(3, UnitState::InStock, "milano");
    longest.since = Some("2025-11-01".parse().unwrap());
    let unit = heard(&[
        ("feed-a", report(0, UnitState::InStock, "london")),
        ("feed-b", longest),
    ]);
    let resolved = unit.resolve(&authority(&[]));
    assert_eq!(
        resolved.location.unwrap().as_str(),
        "milano",
        "has had it longest"
    );
    assert_eq!(
        resolved.rivals,
        [(name("feed-a"), "london".parse().unwrap())]
    );
    assert_eq!(
        unit.count(&authority(&[])).unwrap().state.counts(),
        [1, 0, 0]
    );
    let ranked = unit.resolve(&authority(&["feed-a"]));
    assert_eq!(
        ranked.location.unwrap().as_str(),
        "london",
        "the owner by precedence"
    );
}

#[test]
fn two_sources_of_the_same_rooftop_agree() {
    let unit = heard(&[
        ("dms", report(0, UnitState::InStock, "london")),
        ("market", report(3, UnitState::InStock, "london")),
    ]);
    assert!(unit.resolve(&authority(&[])).rivals.is_empty());
}

#[test]
fn a_field_belongs_to_its_owner_then_to_the_newest() {
    let priced = |minute, price: &str| {
        let mut report = report(minute, UnitState::InStock, "london");
        report
            .fields
            .insert("colour".into(), Field::Text(price.into()));
        report
    };
    let unit = heard(&[
        ("dms", priced(0, "Glacier White")),
        ("market", priced(9, "white")),
    ]);
    let text = |ranking: &[ConnectorName]| unit.field("colour", ranking).cloned().unwrap();
    assert_eq!(text(&[name("dms")]), Field::Text("Glacier White".into()));
    assert_eq!(text(&[]), Field::Text("white".into()));
}

#[test]
fn a_report_of_a_price_leaves_the_state_alone() {
    let mut price = report(9, UnitState::InStock, "london");
    (price.state, price.location) = (None, None);
    let unit = heard(&[
        ("dms", report(0, UnitState::Demo, "london")),
        ("dms", price),
    ]);
    assert_eq!(unit.resolve(&authority(&[])).state, UnitState::Demo);
}

#[test]
fn a_vehicle_that_was_sold_again_is_sold() {
    use UnitState::{InStock, Sold};
    let back = Some("2025-01-10");
    let life = [
        said("market", "2024-06-01T10:00:00Z", Sold, "london", None),
        said("dms", "2025-01-11T08:00:00Z", InStock, "london", back),
        said("feed", "2025-01-12T08:00:00Z", InStock, "london", back),
        said("feed", "2025-02-01T15:00:00Z", Sold, "london", None),
        said("dms", "2025-02-02T08:00:00Z", InStock, "london", back),
    ];
    for order in orders(&life) {
        let unit = heard(&order);
        let resolved = unit.resolve(&authority(&["dms"]));
        assert_eq!(resolved.state, Sold, "{order:?}");
        assert_eq!(resolved.sold_at, Some(life[3].1.version.at));
        let days: Vec<_> = unit
            .demand(&authority(&[]))
            .iter()
            .map(|sale| sale.day.to_string())
            .collect();
        assert_eq!(days, ["2024-06-01", "2025-02-01"], "two sales, once each");
    }
}

#[test]
fn a_sale_outlives_the_row_of_its_seller() {
    use UnitState::{InStock, Removed, Sold};
    let sold = heard(&[
        said("dms", "2026-01-05T09:00:00Z", InStock, "london", None),
        said("market", "2026-01-10T09:00:00Z", Sold, "london", None),
        said("market", "2026-01-12T09:00:00Z", Removed, "london", None),
    ]);
    assert_eq!(sold.resolve(&authority(&[])).state, Sold);
    // Traded in afterwards, and gone from the file without a sale.
    let again = Some("2026-02-01");
    let removed = heard(&[
        said("market", "2026-01-10T09:00:00Z", Sold, "london", None),
        said("dms", "2026-02-02T09:00:00Z", InStock, "london", again),
        said("dms", "2026-03-02T09:00:00Z", Removed, "london", None),
    ]);
    assert_eq!(removed.resolve(&authority(&[])).state, Removed);
}

#[test]
fn a_vehicle_given_to_the_trade_is_gone_and_no_demand() {
    let unit = heard(&[
        ("dms", report(0, UnitState::InStock, "london")),
        ("auction", report(5, UnitState::Wholesale, "london")),
        ("dms", report(9, UnitState::InStock, "london")),
    ]);
    let resolved = unit.resolve(&authority(&["dms"]));
    assert_eq!(
        (resolved.state, resolved.sold_at),
        (UnitState::Wholesale, None)
    );
    assert_eq!(unit.demand(&authority(&[])), []);
}

#[test]
fn of_two_states_of_one_instant_the_one_further_gone_counts() {
    use UnitState::{Demo, InStock, Removed, Reserved, SalePending, Sold};
    for pair in [
        [InStock, Demo],
        [InStock, Reserved],
        [Reserved, SalePending],
        [SalePending, Sold],
        [InStock, Sold],
        [InStock, Removed],
        [Removed, Sold],
    ] {
        for order in [pair, [pair[1], pair[0]]] {
            let unit = heard(&order.map(|state| ("dms", report(3, state, "london"))));
            assert_eq!(unit.resolve(&authority(&[])).state, pair[1], "{order:?}");
        }
    }
}

/// The sale's day in the United Kingdom is the one before the day in Australia.
#[test]
fn a_day_is_a_day_of_the_rooftop() {
    use UnitState::{InStock, Sold};
    let sold = "2026-01-19T22:30:00Z"; // the 20th, 09:30 in Sydney
    let listed = |location, day| {
        heard(&[
            said("dms", sold, Sold, location, None),
            said("feed", "2026-01-21T02:00:00Z", InStock, location, Some(day)),
        ])
        .resolve(&authority(&[]))
        .state
    };
    assert_eq!(listed("sydney", "2026-01-20"), Sold);
    assert_eq!(listed("sydney", "2026-01-21"), InStock);
    assert_eq!(listed("london", "2026-01-19"), Sold);
    assert_eq!(listed("london", "2026-01-20"), InStock);
    let unit = heard(&[said("dms", sold, Sold, "sydney", None)]);
    let demand = unit.demand(&authority(&[]));
    assert_eq!(demand[0].day.to_string(), "2026-01-20");
}

#[test]
fn a_sale_is_one_unit_of_demand_however_it_was_told() {
    use UnitState::{InStock, Sold};
    let told = [
        said("market", "2026-01-10T09:00:00Z", Sold, "london", None),
        said("dms", "2026-01-10T18:00:00Z", Sold, "london", None),
        said("market", "2026-01-11T09:00:00Z", Sold, "london", None),
        said("dms", "2026-01-05T09:00:00Z", InStock, "london", None),
    ];
    let taken_back_and_repeated = [
        said("dms", "2026-01-05T09:00:00Z", InStock, "london", None),
        said("dms", "2026-01-10T09:00:00Z", Sold, "london", None),
        said("dms", "2026-01-11T09:00:00Z", InStock, "london", None),
        said("dms", "2026-01-12T09:00:00Z", Sold, "london", None),
    ];
    let taken_back = &taken_back_and_repeated[..3];
    for (life, expected) in [
        (&told[..], vec!["2026-01-10"]),
        (&taken_back_and_repeated[..], vec!["2026-01-12"]),
        (taken_back, vec![]),
    ] {
        for order in orders(life) {
            let demand = heard(&order).demand(&authority(&[]));
            let days: Vec<_> = demand.iter().map(|sale| sale.day.to_string()).collect();
            assert_eq!(days, expected, "{order:?}");
        }
    }
}

/// A sale is the demand of the rooftop that had the vehicle then, not of the one that took it in again.
#[test]
fn demand_stays_where_the_vehicle_was_sold() {
    use UnitState::{InStock, Sold};
    let life = [
        said("dms", "2026-01-05T09:00:00Z", InStock, "london", None),
        said("dms", "2026-01-10T09:00:00Z", Sold, "london", None),
        said(
            "dms",
            "2026-02-11T09:00:00Z",
            InStock,
            "milano",
            Some("2026-02-10"),
        ),
        said("dms", "2026-02-20T09:00:00Z", Sold, "milano", None),
    ];
    for order in orders(&life) {
        let demand = heard(&order).demand(&authority(&[]));
        let places: Vec<_> = demand.iter().map(|sale| sale.location.as_str()).collect();
        assert_eq!(places, ["london", "milano"]);
    }
}

/// It was stocked in Milan and brought to London, where it was sold: it was at both.
#[test]
fn a_vehicle_was_where_it_was_brought_while_it_was_in_stock() {
    let told = [
        ("dms", report(1, UnitState::InStock, "milano")),
        ("dms", brought(2, "london")),
        ("dms", report(3, UnitState::Sold, "london")),
    ];
    for order in orders(&told) {
        let unit = heard(&order);
        for (place, was) in [("milano", true), ("london", true), ("roma", false)] {
            assert_eq!(
                unit.was_at(&place.parse().unwrap(), UnitState::is_present),
                was,
                "{place} {order:?}"
            );
        }
    }
}

/// Who stocks it and sells it in one instant had it: none is left, whichever is heard first.
#[test]
fn a_vehicle_that_comes_and_goes_in_one_instant_was_there() {
    use UnitState::{InStock, InTransit, Removed, Reserved, Sold};
    let london = "london".parse().unwrap();
    for (states, was_in_stock) in [
        (&[InStock, Sold][..], true),
        (&[InStock, Removed, Sold], true),
        (&[InTransit, Reserved, Removed], true),
        (&[InTransit, Sold], false),
    ] {
        let told: Vec<_> = states
            .iter()
            .map(|state| ("dms", report(1, *state, "london")))
            .collect();
        let first = heard(&told);
        for order in orders(&told) {
            let unit = heard(&order);
            assert_eq!(unit, first, "{order:?}");
            assert!(unit.was_at(&london, UnitState::is_present), "{order:?}");
            let in_stock = unit.was_at(&london, UnitState::is_in_stock);
            assert_eq!(in_stock, was_in_stock, "{order:?}");
            let state = unit.resolve(&authority(&[])).state;
            assert!(!state.is_present(), "{order:?}");
        }
    }
}

/// The sale stands, whoever goes on listing the vehicle elsewhere; who has only not heard of it yet is no
/// rival.
#[test]
fn who_lists_a_vehicle_after_another_has_sold_it_is_a_rival() {
    use UnitState::{InStock, Removed, Sold};
    let lists = |time, since| said("lot", time, InStock, "milano", since);
    let earlier = || lists("2026-01-05T08:00:00Z", Some("2026-01-04"));
    let sold_at = "2026-01-10T12:00:00Z";
    let (day, soon, later) = (
        Some("2026-01-10"),
        "2026-01-10T15:00:00Z",
        "2026-01-11T12:00:00Z",
    );
    for (name, lot, is_rival) in [
        ("listed before", vec![earlier()], false),
        ("first listed after the sale", vec![lists(soon, None)], true),
        (
            "entered on the day of the sale",
            vec![earlier(), lists(soon, day)],
            true,
        ),
        (
            "listed as before, hours later",
            vec![earlier(), lists(soon, None)],
            false,
        ),
        (
            "listed as before, a day later",
            vec![earlier(), lists(later, None)],
            true,
        ),
        (
            "listed no longer",
            vec![
                earlier(),
                lists(later, None),
                said("lot", "2026-01-12T08:00:00Z", Removed, "milano", None),
            ],
            false,
        ),
        (
            "at the rooftop that sold it",
            vec![said("lot", later, InStock, "london", None)],
            true,
        ),
    ] {
        let place = lot[0].1.location.as_ref().unwrap().to_string();
        let mut told = lot;
        told.push(said("dms", "2026-01-03T12:00:00Z", InStock, "london", None));
        told.push(said("dms", sold_at, Sold, "london", None));
        for order in orders(&told) {
            let resolved = heard(&order).resolve(&authority(&["lot"]));
            assert_eq!(resolved.state, Sold, "{name} {order:?}");
            let rivals: Vec<_> = resolved
                .rivals
                .iter()
                .map(|(who, at)| (who.as_str(), at.as_str()))
                .collect();
            let rival = [("lot", place.as_str())];
            let expected: &[_] = if is_rival { &rival } else { &[] };
            assert_eq!(rivals, expected, "{name} {order:?}");
        }
        // The seller has it back: then it is in stock, and who else has it is a rival of that.
        told.push(said("dms", "2026-01-13T12:00:00Z", InStock, "london", None));
        assert_eq!(
            heard(&told).resolve(&authority(&["dms"])).state,
            InStock,
            "{name}"
        );
    }
}

/// The same, by this name of the rooftop.
fn named((source, report): (&'static str, UnitReport), called: &str) -> (&'static str, UnitReport) {
    let called = Some(called.to_owned());
    (source, UnitReport { called, ..report })
}

#[test]
fn a_corrected_place_does_not_undo_what_was_brought_elsewhere_meanwhile() {
    let has =
        |minute, place, called| named(("lot", report(minute, UnitState::InStock, place)), called);
    let carried = UnitReport {
        brought: true,
        ..brought(5, "london")
    };
    for (called, expected) in [("North", "london"), ("South", "milano")] {
        let told = [
            has(0, "sydney", "North"),
            ("dms", carried.clone()),
            has(9, "milano", called),
        ];
        for order in orders(&told) {
            let resolved = heard(&order).resolve(&authority(&[]));
            let location = resolved.location.unwrap();
            assert_eq!(location.as_str(), expected, "{called} {order:?}");
        }
    }
}

/// What a source called its rooftop is what it said; where that is, the configuration says, and the later
/// version of it.
#[test]
fn a_rooftops_name_that_is_read_anew_leads_there_whichever_reading_is_heard_first() {
    let source = name("dms");
    for [before, after] in [
        ["london", "milano"],
        ["milano", "london"],
        ["milano", "sydney"],
    ] {
        let said = |minute, place, called: Option<&str>, brought| UnitReport {
            called: called.map(str::to_owned),
            brought,
            ..report(minute, UnitState::InStock, place)
        };
        let by = Some("222");
        // Of before names were kept; and of two names of one instant, of which one counts.
        for first in [by, None] {
            for beside in [None, Some("221"), Some("223")] {
                let mut heard = vec![
                    (said(0, before, first, true), 1),
                    (said(0, after, by, true), 2),
                    (said(9, before, first, false), 1),
                    (said(9, after, by, false), 2),
                ];
                heard.extend(beside.map(|beside| (said(9, "sydney", Some(beside), false), 2)));
                let mut found = Vec::new();
                for order in orders(&heard) {
                    let unit = order
                        .iter()
                        .fold(Unit::unknown(VIN.parse().unwrap()), |unit, (report, by)| {
                            unit.after(&source, report, *by).unwrap_or(unit)
                        });
                    let claim = &unit.claims[&source];
                    assert_eq!(
                        claim.location.at(at(0)).unwrap().as_str(),
                        after,
                        "{order:?}"
                    );
                    assert_eq!(
                        claim.brought.as_ref().unwrap().value.as_str(),
                        after,
                        "{order:?}"
                    );
                    let was_before = unit.was_at(&before.parse().unwrap(), UnitState::is_present);
                    assert!(!was_before, "{order:?}");
                    found.push(unit.resolve(&authority(&[])).location.unwrap());
                    for (report, by) in &heard {
                        assert_eq!(unit.after(&source, report, *by), None, "heard again");
                    }
                }
                let expected = match beside {
                    Some("221") => "sydney",
                    _ => after,
                };
                assert!(
                    found.iter().all(|it| it.as_str() == expected),
                    "{beside:?} {found:?}"
                );
            }
        }
    }
}

#[test]
fn a_place_that_is_said_again_is_not_undone_by_an_older_word_of_another_that_comes_late() {
    let source = name("dms");
    let said = |minute, place| {
        let (_, report) = named(("dms", report(minute, UnitState::InStock, place)), "222");
        report
    };
    // By the times that it says; and of one time, by the configuration that its name is read by.
    for told in [
        [
            (said(0, "london"), 1),
            (said(9, "london"), 1),
            (said(5, "sydney"), 1),
        ],
        [
            (said(0, "london"), 1),
            (said(0, "london"), 3),
            (said(0, "sydney"), 2),
        ],
    ] {
        for order in orders(&told) {
            let unknown = Unit::unknown(VIN.parse().unwrap());
            let unit = order.iter().fold(unknown, |unit, (report, by)| {
                unit.after(&source, report, *by).unwrap_or(unit)
            });
            let place = unit.resolve(&authority(&[])).location.unwrap();
            assert_eq!(place.as_str(), "london", "{order:?}");
        }
    }
}

/// A connector that is renamed says all anew; then the old one goes.
#[test]
fn the_first_word_of_another_source_does_not_undo_what_was_brought_elsewhere_before() {
    let carried = UnitReport {
        brought: true,
        ..brought(5, "london")
    };
    let mut removed = report(0, UnitState::Removed, "milano");
    (removed.location, removed.version) = (None, at(0));
    let told = [
        ("lot", report(0, UnitState::InStock, "milano")),
        ("dms", carried),
        ("lot-2", report(9, UnitState::InStock, "milano")),
    ];
    for order in orders(&told) {
        let located =
            |told: &[(&str, UnitReport)]| heard(told).resolve(&authority(&["lot-2"])).location;
        assert_eq!(located(&order).unwrap().as_str(), "london", "{order:?}");
        // As of its last word, or of a later one.
        let mut over = Vec::new();
        for minute in [0, 11] {
            removed.version = at(minute);
            over.clone_from(&order);
            over.push(("lot", removed.clone()));
            assert_eq!(located(&over).unwrap().as_str(), "london", "{order:?}");
        }
        // It has it elsewhere, and then there again: that is news.
        over.push(("lot-2", report(12, UnitState::InStock, "sydney")));
        over.push(("lot-2", report(13, UnitState::InStock, "milano")));
        assert_eq!(located(&over).unwrap().as_str(), "milano", "{order:?}");
    }
}

/// Its source says where it is, and nothing of its state.
fn brought(minute: i64, location: &str) -> UnitReport {
    UnitReport {
        state: None,
        ..report(minute, UnitState::InStock, location)
    }
}

/// Every order of some reports.
pub(super) fn orders<T: Clone>(reports: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = reports.split_first() else {
        return vec![Vec::new()];
    };
    let mut all = Vec::new();
    for order in orders(rest) {
        for place in 0..=order.len() {
            let mut longer = order.clone();
            longer.insert(place, first.clone());
            all.push(longer);
        }
    }
    all
}

/// A source that is taken out of the configuration, after its last word of that minute.
fn gone(minute: i64) -> UnitReport {
    let version = at(minute);
    UnitReport {
        version: Version::at(version.at + AFTER_LAST_WORD),
        source_gone: true,
        location: None,
        fields: BTreeMap::new(),
        ..report(0, UnitState::Removed, "london")
    }
}

#[test]
fn a_sale_that_two_reported_is_taken_back_by_the_one_that_is_left() {
    let says = |minute, state| report(minute, state, "london");
    let (there, sold) = (UnitState::InStock, UnitState::Sold);
    let both = [
        ("dms", says(0, there)),
        ("market", says(1, there)),
        ("dms", says(5, sold)),
        ("market", says(6, sold)),
    ];
    let with = |more: Vec<(&'static str, UnitReport)>| [&both[..], &more].concat();
    let back = || ("dms", says(9, there));
    for (told, state) in [
        (with(vec![]), sold),
        (with(vec![("market", gone(6))]), sold),
        (with(vec![("dms", gone(5)), ("market", gone(6))]), sold),
        (with(vec![back()]), sold),
        (with(vec![("market", gone(6)), back()]), there),
        // Its file did not even list it any more.
        (
            with(vec![
                ("market", says(7, UnitState::Removed)),
                ("market", gone(7)),
                back(),
            ]),
            there,
        ),
        // It is back in the configuration, and goes on saying so.
        (
            with(vec![
                ("market", gone(6)),
                back(),
                ("market", says(12, sold)),
            ]),
            sold,
        ),
        // The other sold it after that, or alone.
        (
            vec![
                ("dms", says(0, there)),
                ("dms", says(1, sold)),
                ("dms", says(2, there)),
                ("market", says(6, sold)),
                ("market", gone(6)),
            ],
            sold,
        ),
        (
            vec![
                ("dms", says(0, there)),
                ("market", says(6, sold)),
                ("market", gone(6)),
                back(),
            ],
            sold,
        ),
    ] {
        for order in orders(&told) {
            let unit = heard(&order);
            assert_eq!(unit.resolve(&authority(&[])).state, state, "{order:?}");
            let sales = unit.demand(&authority(&[])).len();
            assert_eq!(sales, usize::from(state == sold), "{order:?}");
        }
    }
}

#[test]
fn a_vehicle_whose_lister_is_gone_was_last_where_it_was_brought() {
    let mut brought = report(3, UnitState::InStock, "sydney");
    (brought.state, brought.brought) = (None, true);
    let unit = heard(&[
        ("dms", report(0, UnitState::InStock, "london")),
        ("mover", brought),
        ("dms", report(5, UnitState::InStock, "london")),
        ("dms", gone(5)),
    ]);
    let resolved = unit.resolve(&authority(&[]));
    assert_eq!(resolved.state, UnitState::Removed);
    assert_eq!(resolved.location.unwrap().as_str(), "sydney");
}

fn rivals(unit: &Unit, authority: &Authority) -> Vec<(String, String)> {
    let rivals = unit.resolve(authority).rivals.into_iter();
    let named = rivals.map(|(source, place)| (source.to_string(), place.to_string()));
    named.collect()
}

/// Each rooftop's own system says so.
#[test]
fn two_sales_of_one_vehicle_at_two_rooftops_contradict_each_other_as_long_as_both_say_so() {
    use UnitState::{InStock, Removed, Sold};
    let listed = [
        ("one", report(0, InStock, "london")),
        ("two", report(1, InStock, "milano")),
    ];
    let sales = [
        ("one", report(5, Sold, "london")),
        ("two", report(9, Sold, "milano")),
    ];
    let mut nowhere = report(4, Sold, "london");
    nowhere.location = None;
    let undated = |minute, place| UnitReport {
        undated: true,
        ..report(minute, Sold, place)
    };
    let with = |more: &[(&'static str, UnitReport)]| [&sales[..], more].concat();
    let two = &[("two".to_owned(), "milano".to_owned())][..];
    for (told, expected) in [
        (with(&[]), two),
        (with(&listed), two),
        // A marketplace that knows no rooftop heard of it first.
        (with(&[("market", nowhere)]), two),
        // A row of what was sold goes in the end.
        (with(&[("two", report(11, Removed, "milano"))]), &[]),
        (with(&[("one", report(11, Removed, "london"))]), &[]),
        // Who had it there before, or brought it there, may have sold it to somebody else all the same.
        (with(&[("two", report(3, InStock, "london"))]), two),
        (with(&[("one", report(3, InStock, "milano"))]), two),
        // One took the other's sale over.
        (
            vec![sales[0].clone(), ("two", report(9, Sold, "london"))],
            &[],
        ),
        // Of a sale of months ago the other may not speak, nor who says only that it is sold by now.
        (
            vec![sales[0].clone(), ("two", report(90 * 1440, Sold, "milano"))],
            &[],
        ),
        (vec![sales[0].clone(), ("two", undated(9, "milano"))], &[]),
        // Who lists it after the first sale and sells it days later has sold it a second time.
        (
            vec![
                listed[1].clone(),
                sales[0].clone(),
                ("two", report(3 * 1440, Sold, "milano")),
            ],
            two,
        ),
        (
            vec![
                listed[0].clone(),
                ("one", undated(5, "london")),
                sales[1].clone(),
            ],
            two,
        ),
    ] {
        for order in orders(&told) {
            let unit = heard(&order);
            assert_eq!(rivals(&unit, &authority(&[])), expected, "{order:?}");
            assert_eq!(unit.demand(&authority(&[])).len(), 1, "a VIN sells once");
            let place = unit.resolve(&authority(&[])).location.unwrap();
            assert_eq!(place.as_str(), "london", "{order:?}");
        }
    }
}

/// The group's system has it in Milan again; the marketplace, which knows no rooftop, still says that it
/// was sold.
#[test]
fn a_sale_stays_where_it_was_though_the_vehicle_is_listed_elsewhere_since() {
    use UnitState::{InStock, Sold};
    let mut market = report(6, Sold, "london");
    market.location = None;
    let told = [
        ("dms", report(0, InStock, "london")),
        ("dms", report(5, Sold, "london")),
        ("market", market),
        ("dms", report(9, InStock, "milano")),
    ];
    for order in orders(&told) {
        let unit = heard(&order);
        let counted = unit.count(&authority(&[])).unwrap();
        let counted = (counted.state, counted.location.as_str());
        assert_eq!(counted, (Sold, "london"), "{order:?}");
        let dms = ("dms".to_owned(), "milano".to_owned());
        assert_eq!(rivals(&unit, &authority(&[])), [dms], "{order:?}");
    }
}

#[test]
fn nobody_contradicts_by_a_rooftop_that_is_not_in_the_configuration_any_more() {
    let present = |minute, place| report(minute, UnitState::InStock, place);
    // Milan was `mailand` before: one of them has said since by which name it has it.
    for (one, two) in [("mailand", "milano"), ("milano", "mailand")] {
        let unit = heard(&[("one", present(0, one)), ("two", present(1, two))]);
        assert_eq!(rivals(&unit, &authority(&[])), [], "{one} {two}");
        let sold = ("market", report(5, UnitState::Sold, one));
        let unit = heard(&[sold, ("two", present(9, two))]);
        assert_eq!(rivals(&unit, &authority(&[])), [], "{one} {two}");
    }
    let unit = heard(&[("one", present(0, "london")), ("two", present(1, "milano"))]);
    assert_eq!(rivals(&unit, &authority(&[])).len(), 1);
}

#[test]
fn a_vehicle_that_was_found_sold_is_no_demand_unless_somebody_had_it_before() {
    let found = |minute| UnitReport {
        undated: true,
        ..report(minute, UnitState::Sold, "london")
    };
    let listed = |minute| report(minute, UnitState::InStock, "london");
    let dated = report(9, UnitState::Sold, "london");
    for (told, sales) in [
        (vec![("lot", found(5))], 0),
        (vec![("lot", found(5)), ("lot", found(7))], 0),
        // Nobody knows when, whoever repeats it.
        (vec![("lot", found(5)), ("market", dated.clone())], 0),
        (vec![("market", dated.clone()), ("lot", found(99))], 1),
        (vec![("dms", listed(0)), ("lot", found(5))], 1),
        // It came in again, and was sold before everybody's eyes.
        (
            vec![("lot", found(5)), ("lot", listed(7)), ("lot", dated)],
            1,
        ),
    ] {
        for order in orders(&told) {
            let unit = heard(&order);
            assert_eq!(unit.demand(&authority(&[])).len(), sales, "{order:?}");
            assert_eq!(unit.resolve(&authority(&[])).state, UnitState::Sold);
        }
    }
}

#[test]
fn of_two_who_have_a_vehicle_the_earlier_one_stands_by_its_word_if_it_says_so_again() {
    let present = |minute, place| report(minute, UnitState::InStock, place);
    let told = [("one", present(0, "london")), ("two", present(5, "milano"))];
    let (one, two) = (name("one"), name("two"));
    for (more, stands) in [(None, false), (Some(4), false), (Some(6), true)] {
        let mut told = told.to_vec();
        told.extend(more.map(|minute| ("one", present(minute, "london"))));
        for order in orders(&told) {
            let unit = heard(&order);
            let known = unit.contradiction(&two, &one).unwrap();
            assert_eq!(known, unit.contradiction(&one, &two).unwrap());
            assert_eq!((&known.earlier, known.since), (&one, at(5).at));
            assert_eq!(known.stands, stands, "{order:?}");
        }
    }
}

#[test]
fn a_state_that_does_not_count_as_another_has_the_vehicle_is_told() {
    use UnitState::{InStock, Reserved};
    let unit = heard(&[
        ("dms", report(0, InStock, "london")),
        ("market", report(5, Reserved, "london")),
    ]);
    let resolved = unit.resolve(&authority(&[]));
    assert_eq!(resolved.state, InStock);
    assert_eq!(unit.unheeded(&resolved), [(&name("market"), Reserved)]);
    // Who has it only says so again.
    let again = unit.after(&name("dms"), &report(9, InStock, "london"), 0);
    let again = again.unwrap();
    let resolved = again.resolve(&authority(&[]));
    assert_eq!(again.unheeded(&resolved), [(&name("market"), Reserved)]);
    let decides = unit.resolve(&authority(&["market"]));
    assert_eq!(decides.state, Reserved);
    assert_eq!(unit.unheeded(&decides), [], "the other spoke before");
}

/// A report that names no place.
fn nowhere(minute: i64, state: UnitState) -> UnitReport {
    UnitReport {
        location: None,
        ..report(minute, state, "london")
    }
}

/// A transfer, by who says nothing of the vehicle's state.
fn transferred(minute: i64, location: &str) -> UnitReport {
    UnitReport {
        brought: true,
        ..brought(minute, location)
    }
}

/// Where it is, by whom, and whether anybody contradicts that; in each order of what was told.
#[track_caller]
fn stands(told: &[(&str, UnitReport)], state: UnitState, location: &str) {
    for order in orders(told) {
        let unit = heard(&order);
        let resolved = unit.resolve(&authority(&[]));
        assert_eq!(resolved.state, state, "{order:?}");
        let place = resolved.location.unwrap();
        assert_eq!(place.as_str(), location, "{order:?}");
        assert_eq!(resolved.rivals, [], "{order:?}");
        let sold_at = unit.demand(&authority(&[]));
        let sold_at: Vec<_> = sold_at.iter().map(|it| it.location.as_str()).collect();
        let expected = Some(location).filter(|_| state == UnitState::Sold);
        assert_eq!(sold_at, Vec::from_iter(expected), "{order:?}");
    }
}

#[test]
fn who_names_no_place_leaves_the_vehicle_where_others_have_it() {
    use UnitState::{InStock, Reserved, Sold};
    let till = ("till", report(0, InStock, "london"));
    // It names the vehicle later, or ranks first by its name.
    let crm = ("crm", nowhere(5, Reserved));
    stands(&[till.clone(), crm], InStock, "london");
    let earlier = ("crm", nowhere(-5, Reserved));
    stands(&[till.clone(), earlier], Reserved, "london");
    let (sold, back) = (("crm", nowhere(5, Sold)), ("crm", nowhere(6, InStock)));
    stands(&[till, sold, back], InStock, "london");
    // One says what state it is in, the other only where it is.
    let told = [("till", nowhere(0, InStock)), ("erp", brought(3, "london"))];
    stands(&told, InStock, "london");
}

#[test]
fn without_a_day_in_stock_whoever_said_first_that_it_has_it_has_had_it_longest() {
    let told = [
        ("till", report(0, UnitState::InStock, "london")),
        ("erp", report(9 * 1440, UnitState::Reserved, "milano")),
    ];
    for order in orders(&told) {
        let resolved = heard(&order).resolve(&authority(&[]));
        assert_eq!(resolved.holder, Some(name("till")));
        assert_eq!(resolved.state, UnitState::InStock);
        assert_eq!(resolved.location.unwrap().as_str(), "london");
    }
}

#[test]
fn a_sale_is_where_the_vehicle_stood_unless_the_seller_says_where() {
    use UnitState::{InStock, Sold};
    let till = ("till", report(0, InStock, "london"));
    // A third one sells it: it stood where it was brought.
    let moved = ("erp", transferred(5, "milano"));
    let third = ("crm", nowhere(9, Sold));
    stands(&[till.clone(), moved.clone(), third], Sold, "milano");
    // Its own system sells it, and has not heard of the transfer, whether or not it repeats the place.
    for sold in [nowhere(9, Sold), report(9, Sold, "london")] {
        stands(
            &[till.clone(), moved.clone(), ("till", sold)],
            Sold,
            "milano",
        );
    }
    // It says of another place that it was sold there.
    let elsewhere = ("till", report(9, Sold, "sydney"));
    stands(&[till.clone(), moved, elsewhere], Sold, "sydney");
    // Two have it, and a third sells it: it was counted where it has been longest.
    let mut rival = report(3, InStock, "milano");
    rival.since = Some("2026-01-14".parse().unwrap());
    let mut longest = till;
    longest.1.since = Some("2025-12-20".parse().unwrap());
    let told = [longest, ("erp", rival), ("crm", nowhere(9, Sold))];
    for order in orders(&told) {
        let resolved = heard(&order).resolve(&authority(&[]));
        assert_eq!(resolved.location.unwrap().as_str(), "london", "{order:?}");
    }
}

/// The group's system brings it to Milan; its own system has it in London since, and the group's sells it.
#[test]
fn a_sale_is_where_the_vehicle_stood_by_who_had_it_since_the_seller_last_said_where() {
    use UnitState::{InStock, Reserved, Sold};
    let dms = |minute, place| ("dms", report(minute, InStock, place));
    let erp = ("erp", transferred(2, "milano"));
    let sold = ("erp", nowhere(9, Sold));
    for (told, expected) in [
        (
            vec![dms(0, "london"), dms(5, "milano"), dms(6, "london")],
            "london",
        ),
        (vec![dms(5, "london")], "london"),
        // It had not heard of the transfer, and only says so again.
        (vec![dms(0, "london"), dms(5, "london")], "milano"),
        (vec![], "milano"),
        // Who sold it had promised it before.
        (
            vec![
                ("erp", nowhere(3, Reserved)),
                dms(0, "london"),
                dms(5, "milano"),
                dms(6, "london"),
            ],
            "london",
        ),
    ] {
        stands(
            &[told, vec![erp.clone(), sold.clone()]].concat(),
            Sold,
            expected,
        );
    }
    let elsewhere = ("erp", report(9, Sold, "milano"));
    stands(&[dms(5, "london"), erp, elsewhere], Sold, "milano");
}

/// "The connector was taken out by mistake, and is back."
#[test]
fn a_vehicle_is_as_it_was_once_its_source_is_back_and_speaks_of_it() {
    let there = || report(0, UnitState::Demo, "london");
    let priced = |minute| {
        let price = ("price".to_owned(), Field::Number(9));
        UnitReport {
            state: None,
            location: None,
            fields: BTreeMap::from([price]),
            ..report(minute, UnitState::Demo, "london")
        }
    };
    let state = |told: &[(&'static str, UnitReport)]| heard(told).resolve(&authority(&[])).state;
    let ended = [("dms", there()), ("dms", gone(0))];
    assert_eq!(state(&ended), UnitState::Removed);
    for (speaks, expected) in [
        // Of its price; before it was taken out, which a replay says again; its last word again.
        (priced(9), UnitState::Demo),
        (priced(0), UnitState::Demo),
        (there(), UnitState::Demo),
        (report(9, UnitState::Sold, "london"), UnitState::Sold),
        // An older word is none of now.
        (priced(-1), UnitState::Removed),
    ] {
        let told = [ended.to_vec(), vec![("dms", speaks.clone())]].concat();
        assert_eq!(state(&told), expected, "{speaks:?}");
    }
    // What it said itself is over stays so.
    let removed = report(5, UnitState::Removed, "london");
    let told = [("dms", there()), ("dms", removed), ("dms", priced(9))];
    assert_eq!(state(&told), UnitState::Removed);
}
