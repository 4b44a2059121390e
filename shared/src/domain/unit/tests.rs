use proptest::prelude::*;

use super::*;

const VIN: &str = "SCBCG2ZG0RC012345";

fn name(name: &str) -> ConnectorName {
    name.parse().unwrap()
}

fn at(minute: i64) -> Version {
    Version::at(Timestamp::from_second(1_768_469_400 + minute * 60).unwrap())
}

fn report(minute: i64, state: UnitState, location: &str) -> UnitReport {
    UnitReport {
        vin: VIN.parse().unwrap(),
        version: at(minute),
        state: Some(state),
        location: Some(location.parse().unwrap()),
        stock_number: None,
        since: None,
        fields: BTreeMap::from([
            ("make".to_owned(), Field::Text("Bentley".into())),
            ("model".to_owned(), Field::Text("Continental GT".into())),
        ]),
    }
}

fn heard(reports: &[(&str, UnitReport)]) -> Unit {
    let start = Unit::unknown(VIN.parse().unwrap());
    reports.iter().fold(start, |unit, (source, report)| {
        unit.after(&name(source), report).unwrap_or(unit)
    })
}

#[test]
fn a_marketplace_sale_is_not_undone_by_a_dms_that_has_not_heard_of_it() {
    let unit = heard(&[
        ("dms", report(0, UnitState::InStock, "london")),
        ("market", report(5, UnitState::Sold, "london")),
        ("dms", report(9, UnitState::InStock, "london")),
    ]);
    assert_eq!(unit.resolve(&[]).state, UnitState::Sold);
}

#[test]
fn a_traded_in_vehicle_is_stock_again() {
    let mut again = report(99_999, UnitState::InStock, "milano");
    again.since = Some("2026-03-20".parse().unwrap());
    let unit = heard(&[
        ("market", report(5, UnitState::Sold, "london")),
        ("dms", again),
    ]);
    let resolved = unit.resolve(&[]);
    assert_eq!(resolved.state, UnitState::InStock);
    assert_eq!(resolved.location.unwrap().as_str(), "milano");
}

#[test]
fn a_seller_may_take_its_sale_back() {
    let unit = heard(&[
        ("market", report(5, UnitState::Sold, "london")),
        ("market", report(6, UnitState::InStock, "london")),
    ]);
    assert_eq!(unit.resolve(&[]).state, UnitState::InStock);
}

#[test]
fn two_rooftops_one_vehicle_is_a_conflict_counted_once() {
    let mut longest = report(3, UnitState::InStock, "milano");
    longest.since = Some("2025-11-01".parse().unwrap());
    let unit = heard(&[
        ("feed-a", report(0, UnitState::InStock, "london")),
        ("feed-b", longest),
    ]);
    let resolved = unit.resolve(&[]);
    assert_eq!(
        resolved.location.unwrap().as_str(),
        "milano",
        "has had it longest"
    );
    assert_eq!(
        resolved.rivals,
        [(name("feed-a"), "london".parse().unwrap())]
    );
    assert_eq!(unit.count(&[]).unwrap().state.counts(), [1, 0, 0]);
    let ranked = unit.resolve(&[name("feed-a")]);
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
    assert!(unit.resolve(&[]).rivals.is_empty());
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
    assert_eq!(unit.resolve(&[]).state, UnitState::Demo);
}

fn any_report() -> impl Strategy<Value = (&'static str, UnitReport)> {
    (
        prop::sample::select(vec!["dms", "market", "feed"]),
        0..200i64,
        prop::option::of(prop::sample::select(UnitState::ALL.to_vec())),
        prop::option::of(prop::sample::select(vec!["london", "milano"])),
        prop::option::of(0..40i64),
    )
        .prop_map(|(source, minute, state, location, since)| {
            let mut made = report(minute, UnitState::InStock, "london");
            made.state = state;
            made.location = location.map(|l| l.parse().unwrap());
            made.since = since.map(|days| {
                let first: Date = "2026-01-01".parse().unwrap();
                first.saturating_add(jiff::Span::new().days(days))
            });
            (source, made)
        })
}

proptest! {
    /// G3: the order in which the sources are heard does not matter.
    #[test]
    fn the_order_of_reports_does_not_matter(
        reports in prop::collection::vec(any_report(), 1..7),
        shuffled in Just(()).prop_perturb(|(), mut rng| rng.random::<u64>()),
        ranked in any::<bool>(),
    ) {
        let ranking = if ranked { vec![name("dms")] } else { vec![] };
        let forward = heard(&reports);
        let mut order = reports.clone();
        let mut seed = shuffled;
        for index in (1..order.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            order.swap(index, usize::try_from(seed >> 33).unwrap() % (index + 1));
        }
        prop_assert_eq!(&forward, &heard(&order));
        prop_assert_eq!(forward.resolve(&ranking), heard(&order).resolve(&ranking));
    }

    /// G4: one vehicle counts once at most, whoever claims it.
    #[test]
    fn a_vehicle_counts_once(reports in prop::collection::vec(any_report(), 1..9)) {
        let [on_hand, reserved, incoming] =
            heard(&reports).count(&[]).map_or([0; 3], |counted| counted.state.counts());
        prop_assert!(on_hand + incoming <= 1 && reserved <= on_hand);
    }
}
