//! Vehicles in the table: with the positions that they are counted in, in any order (G3), and with
//! nothing lost for what cannot be believed, stored or counted yet.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::Pump;
use lotwire::stack::resources::TABLE;
use serde_json::json;
use shared::domain::Authority;
use shared::domain::alert::{AlertKind, AlertState, Ending};
use shared::domain::event::{Change, ProductDescription, Version};
use shared::domain::ledger::check_chain;
use shared::domain::position::Sources;
use shared::domain::unit::{Field, UnitReport, UnitState};
use shared::render::Templates;
use shared::store::Store;
use shared::store::keys;
use shared::store::row::FORMAT_ATTRIBUTE;
use shared::store::stated::{Item, Stated};
use shared::store::stock::{Applied, ApplyError};

use crate::bench::{Bench, at, event};
use crate::flow::Running;
use crate::shopify::Shop;
use crate::store::{chain_faults, stock};

pub(crate) fn vehicle(
    source: &str,
    minute: i64,
    state: UnitState,
    location: &str,
) -> shared::domain::StockEvent {
    let report = UnitReport {
        called: None,
        source_gone: false,
        vin: "SCBCG2ZG0RC012345".parse().unwrap(),
        version: Version::at(at(minute)),
        state: Some(state),
        location: Some(location.parse().unwrap()),
        stock_number: Some("BX1042".into()),
        since: None,
        brought: false,
        undated: false,
        fields: [
            ("make".to_owned(), Field::Text("Bentley".into())),
            ("model".to_owned(), Field::Text("Continental GT".into())),
        ]
        .into(),
    };
    event(
        &format!("unit-{source}-{minute}"),
        source,
        minute,
        Change::Unit(Box::new(report)),
    )
}

#[tokio::test]
async fn units_and_positions_never_disagree() {
    let bench = Bench::new();
    let authority = Authority::default();
    let line = "line:bentley/continental-gt";
    let apply = async |event| bench.store.apply(&event, &authority).await.unwrap();
    let on_hand = async |location: &str| stock(&bench, line, location).await.map(|s| s.on_hand);

    assert_eq!(
        apply(vehicle("dms", 0, UnitState::InStock, "london")).await,
        Applied::Changed
    );
    assert_eq!(on_hand("london").await, Some(1));
    assert_eq!(
        apply(vehicle("dms", 1, UnitState::InStock, "milano")).await,
        Applied::Changed
    );
    assert_eq!(
        (on_hand("london").await, on_hand("milano").await),
        (Some(0), Some(1))
    );
    apply(vehicle("dms", 2, UnitState::Reserved, "milano")).await;
    assert_eq!(stock(&bench, line, "milano").await.unwrap().available, 0);
    apply(vehicle("market", 3, UnitState::Sold, "milano")).await;
    assert_eq!(on_hand("milano").await, Some(0));
    // The DMS has not heard of the sale yet; a VIN sells once.
    apply(vehicle("dms", 9, UnitState::InStock, "milano")).await;
    assert_eq!(on_hand("milano").await, Some(0));
    let position = bench
        .store
        .position(&line.parse().unwrap(), &"milano".parse().unwrap())
        .await;
    let sold: i64 = position.unwrap().unwrap().sold.values().sum();
    assert_eq!(sold, 1, "one sale is one unit of demand");
    for location in ["london", "milano"] {
        assert_eq!(chain_faults(&bench, line, location).await, []);
    }
    let unit = bench
        .store
        .unit("SCBCG2ZG0RC012345")
        .await
        .unwrap()
        .unwrap();
    let of = keys::unit_history("SCBCG2ZG0RC012345");
    let rows = bench.store.history(&of, None, 100).await.unwrap().items;
    assert_eq!(check_chain(&of, &rows, unit.revision, &unit.chain), []);
}

/// A sale may be heard of before anybody has said what the vehicle is and where: it is kept, told, and
/// has its effect once the rest is known.
#[tokio::test]
async fn a_sale_that_comes_before_the_vehicle_counts_in_either_order() {
    let stocked = vehicle("dms", 0, UnitState::InStock, "london");
    let mut sold = vehicle("market", 5, UnitState::Sold, "london");
    if let Change::Unit(report) = &mut sold.change {
        report.location = None;
        report.fields = BTreeMap::new();
    }
    for order in [[&stocked, &sold], [&sold, &stocked]] {
        let bench = Bench::new();
        let mut told = Vec::new();
        for event in order {
            let applied = bench.store.apply(event, &Authority::default()).await;
            match applied.unwrap() {
                Applied::Partly {
                    changed: true,
                    left_out,
                } => told.extend(left_out),
                applied => assert_eq!(applied, Applied::Changed),
            }
        }
        let early = order[0].source.as_str() == "market";
        let reasons: Vec<_> = told
            .iter()
            .map(|left| (left.reason, &*left.field))
            .collect();
        let expected = early.then_some(("unplaced", "model"));
        assert_eq!(reasons, expected.into_iter().collect::<Vec<_>>());
        let line = "line:bentley/continental-gt".parse().unwrap();
        let position = bench
            .store
            .position(&line, &"london".parse().unwrap())
            .await;
        let position = position.unwrap().unwrap();
        let day = at(5).to_zoned(jiff::tz::TimeZone::UTC).date();
        assert_eq!(
            position.sold,
            BTreeMap::from([(day, 1)]),
            "one unit of demand"
        );
        let stock = position.stock(&Sources::default()).unwrap();
        assert_eq!((stock.on_hand, stock.incoming), (0, 0));
    }
}

/// A sale taken back is no demand, and one that is told again is one.
/// A system that stocks and sells a vehicle within the same second has none left; that it ever had one does
/// not depend on which of the two is heard first.
#[tokio::test]
async fn of_a_vehicle_that_is_stocked_and_gone_in_one_instant_none_is_left_in_either_order() {
    for gone in [UnitState::Sold, UnitState::Removed, UnitState::Transferred] {
        let stocked = vehicle("dms", 0, UnitState::InStock, "london");
        let left = vehicle("dms", 0, gone, "london");
        for order in [[&stocked, &left], [&left, &stocked]] {
            let bench = Bench::new();
            for event in order {
                let applied = bench.store.apply(event, &Authority::default()).await;
                assert_eq!(applied.unwrap(), Applied::Changed, "{order:?}");
            }
            let line = "line:bentley/continental-gt";
            let there = stock(&bench, line, "london").await;
            assert_eq!(there.map(|it| it.on_hand), Some(0), "{order:?}");
        }
    }
}

#[tokio::test]
async fn demand_follows_a_sale_that_is_taken_back_and_told_again() {
    let bench = Bench::new();
    let line = "line:bentley/continental-gt".parse().unwrap();
    let mut seen = Vec::new();
    for (minute, state) in [
        (0, UnitState::InStock),
        (1, UnitState::Sold),
        (2, UnitState::InStock),
        (3, UnitState::Sold),
    ] {
        let event = vehicle("dms", minute, state, "london");
        bench
            .store
            .apply(&event, &Authority::default())
            .await
            .unwrap();
        let position = bench
            .store
            .position(&line, &"london".parse().unwrap())
            .await;
        seen.push(position.unwrap().unwrap().sold.values().sum::<i64>());
    }
    assert_eq!(seen, [0, 1, 0, 1]);
}

/// A price that cannot be believed keeps nothing else back, and neither does a description that is too
/// large to be stored.
#[tokio::test]
async fn where_a_vehicle_is_applies_whatever_is_said_of_the_rest() {
    let bench = Bench::new();
    let apply = async |event| {
        bench
            .store
            .apply(&event, &Authority::default())
            .await
            .unwrap()
    };
    apply(vehicle("dms", 0, UnitState::InStock, "london")).await;
    let with = |minute, state, name: &str, field| {
        let mut event = vehicle("dms", minute, state, "london");
        if let Change::Unit(report) = &mut event.change {
            report.fields.insert(name.to_owned(), field);
        }
        event
    };
    let nothing = Field::Money("0 GBP".parse().unwrap());
    let pictures = vec!["x".repeat(2_000); 300];
    for (minute, state, name, field, reason) in [
        (1, UnitState::Reserved, "price", nothing, "held_for_review"),
        (
            2,
            UnitState::Sold,
            "image_urls",
            Field::List(pictures),
            "too_large",
        ),
    ] {
        let event = with(minute, state, name, field);
        let Applied::Partly { changed, left_out } = apply(event.clone()).await else {
            panic!("{name} is left out");
        };
        let reasons: Vec<_> = left_out.iter().map(|left| left.reason).collect();
        assert_eq!((changed, reasons), (true, vec![reason]));
        let unit = bench
            .store
            .unit("SCBCG2ZG0RC012345")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(unit.resolve(&Authority::default()).state, state);
        assert_eq!(unit.field(name, &[]), None);
        // Again it is known, and told again.
        let again = apply(event).await;
        assert!(
            matches!(again, Applied::Partly { changed: false, .. }),
            "{again:?}"
        );
    }
}

/// What the table will never take is no reason to try again.
#[tokio::test]
async fn a_lasting_refusal_of_the_table_is_told_from_a_passing_one() {
    let bench = Bench::new();
    let name = "x".repeat(3_000);
    let described = event(
        "too-long",
        "erp",
        0,
        Change::Described(ProductDescription {
            sku: "OIL".parse().unwrap(),
            version: Version::at(at(0)),
            title: Some("Oil".into()),
            category: None,
            external: [("code".to_owned(), name.clone())].into(),
        }),
    );
    let refused = bench.store.apply(&described, &Authority::default()).await;
    assert!(
        matches!(refused, Err(ApplyError::Unstorable(_))),
        "{refused:?}"
    );
    let looked_up = bench
        .store
        .sku_of(&"erp".parse().unwrap(), "code", &name)
        .await;
    assert!(looked_up.unwrap_err().is_lasting());
}

#[tokio::test]
async fn the_ledger_says_why_what_is_gone_is_gone() {
    let bench = Bench::new();
    let authority = Authority::default();
    let missing = Change::Missing {
        product: "OIL".parse().unwrap(),
        location: "london".parse().unwrap(),
        version: Version::at(at(1)),
    };
    for told in [
        crate::bench::level("erp", 0, "OIL", "london", 5),
        event("gone", "erp", 1, missing),
        vehicle("erp", 0, UnitState::InStock, "london"),
        vehicle("erp", 1, UnitState::Removed, "london"),
    ] {
        bench.store.apply(&told, &authority).await.unwrap();
    }
    let (oil, london) = ("OIL".parse().unwrap(), "london".parse().unwrap());
    let line = "line:bentley/continental-gt".parse().unwrap();
    for of in [
        keys::position_history(&oil, &london),
        keys::position_history(&line, &london),
        keys::unit_history("SCBCG2ZG0RC012345"),
    ] {
        let rows = bench.store.history(&of, None, 10).await.unwrap().items;
        let reasons: Vec<_> = rows.iter().map(|row| row.reason.as_deref()).collect();
        assert_eq!(reasons, [None, Some("its source no longer has it")], "{of}");
    }
}

/// A vehicle that a lot's file lists in the south, and that a dealer system has sold in the north.
async fn sold_and_listed(at: &str) -> (Shop, Timestamp) {
    let lot = (
        "[channels.out]",
        "[connectors.lot]\nkind = \"files\"\nurl = \"/nowhere/drop\"\n[connectors.dms]\n\
         kind = \"generic\"\nwebhook = { secret = \"env:DMS\" }\n[channels.out]",
    );
    let shop = Shop::open(&[lot]).await;
    let now = shop.store.clock().now();
    let ago = |minutes| now - SignedDuration::from_mins(minutes);
    says(&shop, "lot", ago(90), UnitState::InStock, at).await;
    says(&shop, "dms", ago(60), UnitState::InStock, "north").await;
    says(&shop, "dms", ago(1), UnitState::Sold, "north").await;
    (shop, ago(1))
}

/// What a source says of the vehicle at a time.
async fn says(shop: &Shop, source: &str, at: Timestamp, state: UnitState, location: &str) {
    let mut said = vehicle(source, 0, state, location);
    said.id = format!("{source}@{}", at.as_millisecond()).parse().unwrap();
    if let Change::Unit(report) = &mut said.change {
        report.version = Version::at(at);
    }
    let applied = shop.store.apply(&said, &Authority::default()).await;
    applied.unwrap();
}

/// What people are told of conflicts, once the clock has looked.
async fn conflicts(shop: &Shop, carried: &Pump, state: AlertState) -> Vec<String> {
    for _ in 0..2 {
        carried.idle().await;
        shop.ticks().await;
    }
    carried.idle().await;
    let alerts = shop.store.alerts(state, None, 100).await.unwrap().items;
    let conflicts = alerts
        .into_iter()
        .filter(|it| it.kind == AlertKind::Conflict);
    conflicts
        .map(|it| it.message.notes.join(" "))
        .collect::<Vec<_>>()
}

/// Lets hours pass.
async fn hours(hours: u64) {
    tokio::time::sleep(std::time::Duration::from_secs(3_600 * hours)).await;
}

/// A whole file of the lot, written now, lists what it has listed before.
async fn lists_again(shop: &Shop) {
    let (lot, written) = ("lot".parse().unwrap(), shop.store.clock().now());
    let event = "file".parse().unwrap();
    shop.store.begin_snapshot(&lot, written).await.unwrap();
    let sources = Sources::default();
    let covered = shop.store.cover(&lot, written, &event, &sources);
    covered.await.unwrap();
}

const NONE: [&str; 0] = [];

/// The system of the one rooftop hears of it before that of the other, whose files may be of the day before.
#[tokio::test(start_paused = true)]
async fn a_vehicle_that_is_moved_is_no_conflict_unless_the_old_rooftop_goes_on_listing_it() {
    for goes_on in [false, true] {
        let shop = Shop::open(&[("[channels.out]", LOT)]).await;
        let carried = shop.evaluates();
        let vin = "SCBCG2ZG0RC012345".parse().unwrap();
        let (lot, item) = ("lot".parse().unwrap(), Item::Unit { vin });
        let now = || shop.store.clock().now();
        says(&shop, "lot", now(), UnitState::InStock, "south").await;
        let listed = [Stated::now(item)];
        shop.store.save_stated(&lot, &listed).await.unwrap();
        lists_again(&shop).await;
        hours(1).await;
        says(&shop, "dms", now(), UnitState::InStock, "north").await;
        assert_eq!(conflicts(&shop, &carried, AlertState::Open).await, NONE);
        // Whoever asks sees it at once.
        let unit = shop.store.unit("SCBCG2ZG0RC012345").await.unwrap().unwrap();
        let rivals = unit.resolve(&Authority::default()).rivals;
        assert_eq!(rivals.len(), 1);
        match goes_on {
            true => lists_again(&shop).await,
            false => says(&shop, "lot", now(), UnitState::Removed, "south").await,
        }
        hours(22).await;
        let told = conflicts(&shop, &carried, AlertState::Open).await;
        assert_eq!(told, NONE, "its file may be of the day before");
        hours(26).await;
        let told = conflicts(&shop, &carried, AlertState::Open).await;
        assert_eq!(told.len(), usize::from(goes_on), "{told:?}");
        assert_eq!(conflicts(&shop, &carried, AlertState::Resolved).await, NONE);
        carried.stop().await;
    }
}

/// Of a marketplace that tells only changes: it has no reason to say again what it says.
#[tokio::test(start_paused = true)]
async fn people_are_told_of_a_sold_vehicle_that_a_marketplace_never_takes_down() {
    for place in ["north", "south"] {
        let shop = Shop::open(&[("[channels.out]", MARKET)]).await;
        let carried = shop.evaluates();
        let now = || shop.store.clock().now();
        // It is known at one rooftop first, so nobody contradicts anybody.
        says(&shop, "market", now(), UnitState::InStock, place).await;
        hours(1).await;
        says(&shop, "dms", now(), UnitState::Sold, "north").await;
        hours(23).await;
        assert_eq!(conflicts(&shop, &carried, AlertState::Open).await, NONE);
        hours(2).await;
        let told = conflicts(&shop, &carried, AlertState::Open).await;
        let listed = format!(
            "market still lists it at {}.",
            place.replace("north", "North").replace("south", "South")
        );
        assert!(told.len() == 1 && told[0].ends_with(&listed), "{told:?}");
        says(&shop, "market", now(), UnitState::Removed, place).await;
        assert_eq!(conflicts(&shop, &carried, AlertState::Open).await, NONE);
        carried.stop().await;
    }
}

/// Nobody may take it for settled, and sell it a second time.
#[tokio::test(start_paused = true)]
async fn that_two_have_a_vehicle_is_not_over_where_one_of_them_sells_it() {
    let shop = Shop::open(&[("[channels.out]", MARKET)]).await;
    let carried = shop.evaluates();
    let now = || shop.store.clock().now();
    says(&shop, "market", now(), UnitState::InStock, "south").await;
    says(&shop, "dms", now(), UnitState::InStock, "north").await;
    hours(30).await;
    let told = conflicts(&shop, &carried, AlertState::Open).await;
    assert_eq!(told.len(), 1, "{told:?}");
    says(&shop, "dms", now(), UnitState::Sold, "north").await;
    for wait in [0, 3, 40] {
        hours(wait).await;
        let told = conflicts(&shop, &carried, AlertState::Open).await;
        let is_sold = "It was sold at North, by the word of dms. The sale stands. market still lists it at South.";
        assert!(told.len() == 1 && told[0].ends_with(is_sold), "{told:?}");
        assert_eq!(conflicts(&shop, &carried, AlertState::Resolved).await, NONE);
    }
    // It sells it as well, days after.
    says(&shop, "market", now(), UnitState::Sold, "south").await;
    let told = conflicts(&shop, &carried, AlertState::Open).await;
    let sold_twice = "market says that it was sold at South.";
    assert!(told.len() == 1 && told[0].ends_with(sold_twice), "{told:?}");
    carried.stop().await;
}

/// Who has read of the one sale would hold the wrong rooftop to it.
#[tokio::test(start_paused = true)]
async fn a_conflict_of_which_something_else_is_true_now_is_told_again_at_once() {
    let shop = Shop::open(&[("[channels.out]", MARKET)]).await;
    let carried = shop.evaluates();
    let now = || shop.store.clock().now();
    says(&shop, "dms", now(), UnitState::InStock, "north").await;
    hours(30).await;
    says(&shop, "dms", now(), UnitState::Sold, "north").await;
    hours(1).await;
    says(&shop, "market", now(), UnitState::Sold, "south").await;
    let revision = async || {
        carried.idle().await;
        let open = shop.store.alerts(AlertState::Open, None, 10).await.unwrap();
        let mut conflicts = open.items.into_iter();
        let conflict = conflicts.find(|it| it.kind == AlertKind::Conflict).unwrap();
        (conflict.revision, conflict.message.notes)
    };
    let told = (
        1,
        vec![
            "It was sold at North, by the word of dms. The sale stands.".to_owned(),
            "market says that it was sold at South.".to_owned(),
        ],
    );
    assert_eq!(revision().await, told);
    // It says the same again: no news.
    hours(1).await;
    says(&shop, "market", now(), UnitState::Sold, "south").await;
    assert_eq!(revision().await, told);
    // The customer at the north withdraws.
    hours(1).await;
    says(&shop, "dms", now(), UnitState::InStock, "north").await;
    let (revision, notes) = revision().await;
    assert_eq!(revision, 2, "{notes:?}");
    let first = "It has changed: It was sold at South, by the word of market. The sale stands.";
    assert_eq!(notes[0], first);
    carried.stop().await;
}

/// A conflict of these two would not begin before `conflict_after`.
#[tokio::test(start_paused = true)]
async fn an_open_conflict_is_told_again_at_once_though_the_new_claims_are_not_settled() {
    let east = "[locations.east]\nname = \"East\"\nkind = \"warehouse\"\n[locations.south]";
    let shop = Shop::open(&[("[channels.out]", MARKET), ("[locations.south]", east)]).await;
    let carried = shop.evaluates();
    let now = || shop.store.clock().now();
    says(&shop, "dms", now(), UnitState::InStock, "north").await;
    hours(1).await;
    says(&shop, "dms", now(), UnitState::Sold, "north").await;
    hours(1).await;
    says(&shop, "market", now(), UnitState::InStock, "south").await;
    let told = async || {
        carried.idle().await;
        let open = shop.store.alerts(AlertState::Open, None, 10).await.unwrap();
        let mut conflicts = open.items.into_iter();
        let conflict = conflicts.find(|it| it.kind == AlertKind::Conflict).unwrap();
        (conflict.revision, conflict.message.notes.join(" "))
    };
    let sold = "It was sold at North, by the word of dms. The sale stands. \
                market still lists it at South.";
    assert_eq!(told().await, (1, sold.to_owned()));
    // The sale is taken back: both have it.
    hours(1).await;
    says(&shop, "dms", now(), UnitState::InStock, "north").await;
    let both = "It has changed: It is counted once, at South, by the word of market. \
                dms has it at North, too.";
    assert_eq!(told().await, (2, both.to_owned()));
    // The market has it elsewhere.
    hours(1).await;
    says(&shop, "market", now(), UnitState::InStock, "east").await;
    let moved = "It has changed: It is counted once, at East, by the word of market. \
                 dms has it at North, too.";
    assert_eq!(told().await, (3, moved.to_owned()));
    hours(2).await;
    shop.ticks().await;
    assert_eq!(told().await, (3, moved.to_owned()), "it is told once");
    says(&shop, "market", now(), UnitState::InStock, "north").await;
    assert_eq!(conflicts(&shop, &carried, AlertState::Open).await, NONE);
    carried.stop().await;
}

/// The deal fell through, and the marketplace goes on saying that it was sold.
#[tokio::test(start_paused = true)]
async fn people_are_told_of_a_vehicle_that_one_has_back_and_another_has_sold_at_its_rooftop() {
    for gives_way in [true, false] {
        let shop = Shop::open(&[("[channels.out]", MARKET)]).await;
        let carried = shop.evaluates();
        let now = || shop.store.clock().now();
        for source in ["dms", "market"] {
            says(&shop, source, now(), UnitState::InStock, "north").await;
        }
        for source in ["dms", "market"] {
            hours(9).await;
            says(&shop, source, now(), UnitState::Sold, "north").await;
        }
        hours(9).await;
        says(&shop, "dms", now(), UnitState::InStock, "north").await;
        hours(9).await;
        assert_eq!(conflicts(&shop, &carried, AlertState::Open).await, NONE);
        if gives_way {
            says(&shop, "market", now(), UnitState::InStock, "north").await;
        }
        hours(16).await;
        let told = conflicts(&shop, &carried, AlertState::Open).await;
        let is_back = "It was sold at North, by the word of market. The sale stands. \
                       dms says that it is back at North.";
        let expected: &[_] = if gives_way { &[] } else { &[is_back] };
        assert_eq!(told, expected);
        says(&shop, "market", now(), UnitState::Removed, "north").await;
        says(&shop, "dms", now(), UnitState::Sold, "north").await;
        assert_eq!(conflicts(&shop, &carried, AlertState::Open).await, NONE);
        carried.stop().await;
    }
}

/// Of a source that only tells changes nobody knows whether it still thinks so.
#[tokio::test(start_paused = true)]
async fn two_who_tell_only_changes_contradict_each_other_once_one_says_so_again_or_after_a_time() {
    for (setting, again) in [("24h", false), ("24h", true), ("2h", false)] {
        let alerts = format!("[alerts]\nconflict_after = \"{setting}\"\n[channels.out]");
        let market = MARKET.replace("[channels.out]", &alerts);
        let shop = Shop::open(&[("[channels.out]", market.as_str())]).await;
        let carried = shop.evaluates();
        let now = || shop.store.clock().now();
        says(&shop, "market", now(), UnitState::InStock, "south").await;
        hours(5).await;
        says(&shop, "dms", now(), UnitState::InStock, "north").await;
        hours(1).await;
        assert_eq!(conflicts(&shop, &carried, AlertState::Open).await, NONE);
        if again {
            says(&shop, "market", now(), UnitState::InStock, "south").await;
        }
        hours(2).await;
        let told = conflicts(&shop, &carried, AlertState::Open).await;
        let soon = again || setting == "2h";
        assert_eq!(told.len(), usize::from(soon), "{setting} {told:?}");
        hours(22).await;
        let told = conflicts(&shop, &carried, AlertState::Open).await;
        assert_eq!(told.len(), 1, "{setting} {told:?}");
        says(&shop, "market", now(), UnitState::InStock, "north").await;
        assert_eq!(conflicts(&shop, &carried, AlertState::Open).await, NONE);
        carried.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn people_are_told_once_that_two_have_sold_one_vehicle_at_two_rooftops() {
    let shop = Shop::open(&[("[channels.out]", MARKET)]).await;
    let carried = shop.evaluates();
    let now = || shop.store.clock().now();
    says(&shop, "dms", now(), UnitState::InStock, "north").await;
    says(&shop, "market", now(), UnitState::InStock, "south").await;
    hours(30).await;
    let told = conflicts(&shop, &carried, AlertState::Open).await;
    assert_eq!(told.len(), 1, "both have it: {told:?}");
    says(&shop, "dms", now(), UnitState::Sold, "north").await;
    hours(1).await;
    says(&shop, "market", now(), UnitState::Sold, "south").await;
    // The sale is one, and whose it is is told.
    let told = conflicts(&shop, &carried, AlertState::Open).await;
    assert_eq!(told.len(), 1, "{told:?}");
    let line = "line:bentley/continental-gt";
    let sold = [
        shop.sold(line, "north").await,
        shop.sold(line, "south").await,
    ];
    assert_eq!(sold, [1, 0]);
    hours(100).await;
    let told = conflicts(&shop, &carried, AlertState::Open).await;
    assert_eq!(told.len(), 1, "as long as both say so: {told:?}");
    // The one takes it back, and has it no more.
    says(&shop, "market", now(), UnitState::InStock, "south").await;
    hours(1).await;
    says(&shop, "market", now(), UnitState::Removed, "south").await;
    assert_eq!(conflicts(&shop, &carried, AlertState::Open).await, NONE);
    assert_eq!(shop.sold(line, "north").await, 1);
    carried.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_sales_that_nobody_listed_before_are_told_with_who_sold_it_where() {
    let shop = Shop::open(&[("[channels.out]", MARKET)]).await;
    let carried = shop.evaluates();
    let now = || shop.store.clock().now();
    says(&shop, "dms", now(), UnitState::Sold, "north").await;
    assert_eq!(conflicts(&shop, &carried, AlertState::Open).await, NONE);
    says(&shop, "market", now(), UnitState::Sold, "south").await;
    let told = conflicts(&shop, &carried, AlertState::Open).await;
    assert_eq!(
        told,
        [
            "It was sold at North, by the word of dms. The sale stands. \
          market says that it was sold at South."
        ]
    );
    carried.stop().await;
}

/// The names that the sources have for it lead to the new one.
#[tokio::test(start_paused = true)]
async fn another_id_for_a_rooftop_is_no_conflict_of_the_vehicles_there() {
    let before = [("[channels.out]", MARKET)];
    let shop = Shop::open(&before).await;
    let carried = shop.evaluates();
    let now = || shop.store.clock().now();
    for source in ["dms", "market"] {
        says(&shop, source, now(), UnitState::InStock, "south").await;
    }
    let after = [
        before[0],
        ("[locations.south]", "[locations.sud]"),
        ("\"2\" = \"south\"", "\"2\" = \"sud\""),
    ];
    shop.configure(&after).await;
    // One of them speaks of it anew, by the name that it always had.
    says(&shop, "dms", now(), UnitState::InStock, "sud").await;
    for _ in 0..2 {
        assert_eq!(conflicts(&shop, &carried, AlertState::Open).await, NONE);
        hours(30).await;
    }
    assert_eq!(conflicts(&shop, &carried, AlertState::Resolved).await, NONE);
    carried.stop().await;
}

/// A whole file lists what it listed before, and nothing of that is written to the vehicle.
#[tokio::test(start_paused = true)]
async fn people_are_told_of_a_vehicle_that_a_file_still_lists_a_day_after_its_sale() {
    for (at, lists_it) in [
        ("south", "lot still lists it at South"),
        ("north", "lot still lists it at North"),
    ] {
        let (shop, sold_at) = sold_and_listed(at).await;
        let vin = "SCBCG2ZG0RC012345".parse().unwrap();
        let (lot, item) = ("lot".parse().unwrap(), Item::Unit { vin });
        let carried = shop.evaluates();
        shop.store
            .save_stated(&lot, &[Stated::now(item)])
            .await
            .unwrap();
        let conflicts = async |state| conflicts(&shop, &carried, state).await;
        let file = async |hours| {
            let written = sold_at + SignedDuration::from_hours(hours);
            let until = written + SignedDuration::from_mins(10);
            let wait = until
                .duration_since(shop.store.clock().now())
                .unsigned_abs();
            tokio::time::sleep(wait).await;
            let event = "file".parse().unwrap();
            shop.store.begin_snapshot(&lot, written).await.unwrap();
            shop.store
                .cover(&lot, written, &event, &Sources::default())
                .await
                .unwrap();
        };
        for hours in [1, 23] {
            file(hours).await;
            assert_eq!(
                conflicts(AlertState::Open).await,
                [""; 0],
                "{hours} hours later it may lag"
            );
        }
        // Nothing was heard of the lot for more than a day: then whether it lists the vehicle is not known.
        tokio::time::sleep(std::time::Duration::from_secs(5 * 3_600)).await;
        assert_eq!(conflicts(AlertState::Open).await, [""; 0]);
        file(47).await;
        tokio::time::sleep(std::time::Duration::from_secs(12 * 3_600)).await;
        let told = conflicts(AlertState::Open).await;
        assert_eq!(told.len(), 1);
        for word in ["sold at North", "dms", lists_it] {
            assert!(told[0].contains(word), "{told:?}");
        }
        // It is out of the file for good.
        let gone = shop.store.clock().now();
        let mut removed = vehicle("lot", 9, UnitState::Removed, at);
        if let Change::Unit(report) = &mut removed.change {
            report.version = Version::at(gone);
        }
        shop.store
            .apply(&removed, &Authority::default())
            .await
            .unwrap();
        carried.idle().await;
        assert_eq!(conflicts(AlertState::Open).await, [""; 0]);
        assert_eq!(conflicts(AlertState::Resolved).await.len(), 1);
        carried.stop().await;
    }
}

/// The dealer system says where a vehicle was brought of which only a file says that it is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_counts_whoever_else_has_the_vehicle() {
    let running = Running::with(crate::alerts::CONFIG).await;
    let store = &running.stack.store;
    let authority = Authority::default();
    let line = "line:bentley/continental-gt".parse().unwrap();
    let there = async || {
        running.settle().await;
        let positions = store.positions_of(&line).await.unwrap();
        let there = positions.into_iter().filter_map(|position| {
            let on_hand = position.stock(&authority.quantities)?.on_hand;
            (on_hand > 0).then(|| (position.location.to_string(), on_hand))
        });
        there.collect::<Vec<_>>()
    };
    let listed = vehicle("erp", 0, UnitState::InStock, "london");
    store.apply(&listed, &authority).await.unwrap();
    let brought = json!({ "vin": "SCBCG2ZG0RC012345", "location": "milano" });
    let (status, answer) = running.post("t1", "unit.transferred", brought).await;
    assert_eq!(
        (status, answer["applied"].as_i64()),
        (200, Some(1)),
        "{answer}"
    );
    assert_eq!(there().await, [("milano".to_owned(), 1)]);
    // The file has not heard of it yet: nothing to tell anybody, and nothing brings the vehicle back.
    let open = running.alerts(AlertState::Open).await;
    assert!(
        open.iter().all(|it| it.kind != AlertKind::Conflict),
        "{open:?}"
    );
    let lagging = vehicle("erp", 5, UnitState::InStock, "london");
    store.apply(&lagging, &authority).await.unwrap();
    assert_eq!(there().await, [("milano".to_owned(), 1)]);
    // Whoever has it says where it came to since.
    let mut back = vehicle("erp", 9, UnitState::InStock, "london");
    let Change::Unit(report) = &mut back.change else {
        panic!("{back:?}");
    };
    report.version = Version::at(store.clock().now() + SignedDuration::from_secs(1));
    report.location = Some("milano".parse().unwrap());
    store.apply(&back, &authority).await.unwrap();
    let Change::Unit(report) = &mut back.change else {
        panic!("{back:?}");
    };
    report.version = Version::at(store.clock().now() + SignedDuration::from_secs(2));
    report.location = Some("london".parse().unwrap());
    back.id = "back".parse().unwrap();
    store.apply(&back, &authority).await.unwrap();
    assert_eq!(there().await, [("london".to_owned(), 1)]);
}

/// A vehicle of this number.
fn numbered(source: &str, number: u8, minute: i64, location: &str) -> shared::domain::StockEvent {
    let mut said = vehicle(source, minute, UnitState::InStock, location);
    said.id = format!("{source}-{number}-{minute}").parse().unwrap();
    if let Change::Unit(report) = &mut said.change {
        report.vin = format!("SCBCG2ZG0RC0123{number:02}").parse().unwrap();
    }
    said
}

const LOT: &str = "[connectors.lot]\nkind = \"files\"\nurl = \"/nowhere/drop\"\n[connectors.dms]\n\
                   kind = \"generic\"\nwebhook = { secret = \"env:DMS\" }\n[channels.out]";
const MARKET: &str = "[connectors.market]\nkind = \"generic\"\nwebhook = { secret = \"env:MARKET\" }\n\
                      [connectors.dms]\nkind = \"generic\"\nwebhook = { secret = \"env:DMS\" }\n\
                      [channels.out]";
const WITHOUT_LOT: &str = "[connectors.dms]\nkind = \"generic\"\n\
                           webhook = { secret = \"env:DMS\" }\n[channels.out]";

/// Nobody's stock has ended: nobody says any more how much there is.
#[tokio::test(start_paused = true)]
async fn nobody_hears_that_vehicles_are_out_or_low_because_their_connector_was_removed() {
    let gone = "[[rules]]\nname = \"gone\"\nkind = \"out_of_stock\"\n[[rules]]\nname = \"low\"";
    let rules = [
        ("threshold = 9", "threshold = 2"),
        ("[[rules]]\nname = \"low\"", gone),
    ];
    let with = |lot: &'static str| [&rules[..], &[("[channels.out]", lot)]].concat();
    let shop = Shop::open(&with(LOT)).await;
    let carried = shop.evaluates();
    let authority = Authority::default();
    let says = async |said: shared::domain::StockEvent| {
        shop.store.apply(&said, &authority).await.unwrap();
        carried.idle().await;
    };
    // Four in the north, of which another has one, too; two in the south.
    for number in 1..=4 {
        says(numbered("lot", number, 0, "north")).await;
    }
    says(numbered("dms", 4, 1, "north")).await;
    for number in 5..=7 {
        says(numbered("lot", number, 0, "south")).await;
    }
    let mut sold = numbered("lot", 7, 5, "south");
    if let Change::Unit(report) = &mut sold.change {
        report.state = Some(UnitState::Sold);
    }
    says(sold).await;
    let line = "line:bentley/continental-gt";
    let low = |place: &str| (AlertKind::LowStock, format!("{line} at {place}"));
    let alerts = async |state| {
        let alerts = shop.alerts(state).await.into_iter();
        alerts.collect::<Vec<_>>()
    };
    let (kind, south) = low("south");
    let opening = alerts(AlertState::Resolved).await;
    assert_eq!(
        alerts(AlertState::Open).await,
        [(kind, south.clone(), None)]
    );

    shop.configure(&with(WITHOUT_LOT)).await;
    shop.ticks().await;
    carried.idle().await;
    // By the word of those who are left.
    assert_eq!(shop.on_hand(line, "north").await, Some(1));
    assert_eq!(shop.on_hand(line, "south").await, None);
    assert_eq!(alerts(AlertState::Open).await, []);
    let mut closed = alerts(AlertState::Resolved).await;
    closed.retain(|it| !opening.contains(it));
    let why = Some(Ending::NoLongerStated);
    assert_eq!(closed, [(kind, south, why)]);

    // What they say from then on is news.
    says(numbered("dms", 8, 9, "north")).await;
    assert_eq!(shop.on_hand(line, "north").await, Some(2));
    shop.ticks().await;
    let (kind, north) = low("north");
    assert_eq!(alerts(AlertState::Open).await, [(kind, north, None)]);
    carried.stop().await;
}

fn of_model(number: u8, minute: i64, model: (&str, UnitState)) -> shared::domain::StockEvent {
    of_model_at("north", (number, minute), model)
}

fn of_model_at(
    place: &str,
    (number, minute): (u8, i64),
    (model, state): (&str, UnitState),
) -> shared::domain::StockEvent {
    let mut said = numbered("lot", number, minute, place);
    if let Change::Unit(report) = &mut said.change {
        report.state = Some(state);
        let model = Field::Text(model.to_owned());
        report.fields.insert("model".to_owned(), model);
    }
    said
}

/// Capitals, points and dashes are the source's.
#[tokio::test(start_paused = true)]
async fn a_model_is_called_as_its_source_writes_it() {
    let shop = Shop::open(&[("threshold = 9", "threshold = 2"), ("[channels.out]", LOT)]).await;
    let carried = shop.evaluates();
    let says = async |minute: i64, make: &str, model: &str| {
        let mut said = of_model(1, minute, (model, UnitState::InStock));
        if let Change::Unit(report) = &mut said.change {
            let make = Field::Text(make.to_owned());
            report.fields.insert("make".to_owned(), make);
        }
        let authority = Authority::default();
        shop.store.apply(&said, &authority).await.unwrap();
        shop.ticks().await;
        carried.idle().await;
    };
    let models = [
        ("BMW", "X5 xDrive40i"),
        ("VW", "ID.4 GTX"),
        ("Mercedes-Benz", "AMG  GT"),
    ];
    for (minute, (make, model)) in (0..).step_by(5).zip(models) {
        says(minute, make, model).await;
        let name = format!("{make} {}", model.replace("  ", " "));
        let open = shop.store.alerts(AlertState::Open, None, 9).await.unwrap();
        let [open] = open.items.as_slice() else {
            panic!("one is open: {open:?}");
        };
        assert_eq!(open.message.product, name);
        let over = shop.store.alerts(AlertState::Resolved, None, 9).await;
        let over = over.unwrap().items.into_iter().map(|it| it.message).next();
        assert_eq!(over.is_some(), minute > 0);
        if let Some(over) = over {
            let text = Templates::new().render(&over, &"out".parse().unwrap()).text;
            let words = format!("its vehicles are {name} now.");
            assert!(text.ends_with(&words), "{text}");
        }
    }
    carried.stop().await;
}

/// A model's name that is corrected, or changed for all its vehicles, is no sale of any.
#[tokio::test(start_paused = true)]
async fn a_model_whose_vehicles_stand_there_under_another_name_is_not_sold_out() {
    use UnitState::{InStock, Sold};
    let gone = "[[rules]]\nname = \"gone\"\nkind = \"out_of_stock\"\n[[rules]]\nname = \"low\"";
    let shop = Shop::open(&[
        ("threshold = 9", "threshold = 2"),
        ("[[rules]]\nname = \"low\"", gone),
        ("[channels.out]", LOT),
    ])
    .await;
    let carried = shop.evaluates();
    let authority = Authority::default();
    let says = async |said: shared::domain::StockEvent| {
        shop.store.apply(&said, &authority).await.unwrap();
        shop.ticks().await;
        carried.idle().await;
    };
    let (old, new) = ("line:bentley/gofl", "line:bentley/golf");
    let low = |line: &str, ending| (AlertKind::LowStock, format!("{line} at north"), ending);
    for number in 1..=2 {
        says(of_model(number, 0, ("Gofl", InStock))).await;
    }
    let open = shop.alerts(AlertState::Open).await;
    assert_eq!(open, [low(old, None)]);
    for number in 1..=2 {
        says(of_model(number, 5, ("Golf", InStock))).await;
    }
    assert_eq!(shop.on_hand(old, "north").await, None);
    assert_eq!(shop.on_hand(new, "north").await, Some(2));
    assert_eq!(shop.alerts(AlertState::Open).await, [low(new, None)]);
    let renamed = low(old, Some(Ending::Renamed));
    assert!(shop.alerts(AlertState::Resolved).await.contains(&renamed));
    let over = shop.store.alerts(AlertState::Resolved, None, 9).await;
    let over = over.unwrap().items.into_iter().map(|it| it.message);
    let mut over = over.filter(|it| it.ending == Some(Ending::Renamed));
    let over = over.next_back().unwrap();
    let text = Templates::new().render(&over, &"out".parse().unwrap());
    let words = "its vehicles are Bentley Golf now.";
    assert!(text.text.ends_with(words), "{}", text.text);
    // One that comes later makes it a product as any other.
    says(of_model(3, 7, ("Gofl", InStock))).await;
    says(of_model(3, 9, ("Gofl", Sold))).await;
    assert_eq!(shop.on_hand(old, "north").await, Some(0));
    let out = (AlertKind::OutOfStock, format!("{old} at north"), None);
    let open = shop.alerts(AlertState::Open).await;
    assert!(open.contains(&out), "{open:?}");
    carried.stop().await;
}

/// Nor is anything low while one webhook after the other says so.
#[tokio::test(start_paused = true)]
async fn while_a_models_vehicles_get_another_name_one_by_one_nothing_is_told() {
    use UnitState::InStock;
    let shop = Shop::open(&[("threshold = 9", "threshold = 2"), ("[channels.out]", LOT)]).await;
    let carried = shop.evaluates();
    let authority = Authority::default();
    let says = async |said: shared::domain::StockEvent| {
        shop.store.apply(&said, &authority).await.unwrap();
        carried.idle().await;
    };
    for number in 1..=3 {
        says(of_model(number, 0, ("Gofl", InStock))).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(100)).await;
    shop.ticks().await;
    carried.idle().await;
    for number in 1..=3 {
        says(of_model(number, 5, ("Golf", InStock))).await;
    }
    shop.ticks().await;
    carried.idle().await;
    assert_eq!(shop.on_hand("line:bentley/golf", "north").await, Some(3));
    assert_eq!(shop.alerts(AlertState::Open).await, []);
    assert_eq!(shop.alerts(AlertState::Resolved).await, []);
    carried.stop().await;
}

/// What all places have together is judged once a file that renames some is read.
#[tokio::test(start_paused = true)]
async fn a_sum_is_judged_once_a_file_that_renames_a_models_vehicles_at_one_place_is_read() {
    use UnitState::InStock;
    let sum = "kind = \"low_stock\"\ngroup = \"all\"\nover = \"sum\"\nthreshold = 3";
    let shop = Shop::open(&[
        ("kind = \"low_stock\"\nthreshold = 9", sum),
        (
            "kind = \"warehouse\"",
            "kind = \"warehouse\"\ngroups = [\"all\"]",
        ),
        ("[channels.out]", LOT),
    ])
    .await;
    let carried = shop.evaluates();
    let authority = Authority::default();
    let file = shop.store.writing_many();
    let rests = async || {
        tokio::time::sleep(std::time::Duration::from_secs(100)).await;
        shop.ticks().await;
        carried.idle().await;
    };
    for (number, place) in [(1, "north"), (2, "north"), (3, "south"), (4, "south")] {
        let said = of_model_at(place, (number, 0), ("Gofl", InStock));
        file.apply(&said, &authority).await.unwrap();
    }
    rests().await;
    assert_eq!(shop.alerts(AlertState::Open).await, []);
    for number in 1..=2 {
        let said = of_model(number, 5, ("Golf", InStock));
        file.apply(&said, &authority).await.unwrap();
        carried.idle().await;
    }
    assert_eq!(shop.alerts(AlertState::Open).await, []);
    rests().await;
    let low = |line: &str| (AlertKind::LowStock, format!("{line} in all"), None);
    let both = [low("line:bentley/gofl"), low("line:bentley/golf")];
    let mut open = shop.alerts(AlertState::Open).await;
    open.sort();
    assert_eq!(open, both);
    carried.stop().await;
}

/// Nor is a car that was sold before somebody corrects its model's name news of that model.
#[tokio::test(start_paused = true)]
async fn a_model_of_which_none_ever_stood_there_is_not_sold_out_by_a_corrected_name() {
    use UnitState::{InStock, Sold};
    let gone = "kind = \"out_of_stock\"";
    let shop = Shop::open(&[
        ("kind = \"low_stock\"\nthreshold = 9", gone),
        ("[channels.out]", LOT),
    ])
    .await;
    let carried = shop.evaluates();
    let authority = Authority::default();
    let says = async |said: shared::domain::StockEvent| {
        shop.store.apply(&said, &authority).await.unwrap();
        shop.ticks().await;
        carried.idle().await;
    };
    let corrected = |number, minute, model| {
        let mut said = of_model(number, minute, (model, InStock));
        if let Change::Unit(report) = &mut said.change {
            report.state = None;
        }
        said
    };
    let (old, new) = ("line:bentley/gofl", "line:bentley/golf");
    let out = |line: &str, ending| (AlertKind::OutOfStock, format!("{line} at north"), ending);
    for number in 1..=2 {
        says(of_model(number, 0, ("Gofl", InStock))).await;
    }
    says(of_model(1, 5, ("Gofl", Sold))).await;
    says(corrected(1, 9, "Golf")).await;
    assert_eq!(shop.alerts(AlertState::Open).await, []);
    assert_eq!(shop.on_hand(old, "north").await, Some(1));
    assert_eq!(shop.on_hand(new, "north").await, None);
    assert_eq!(shop.sold(new, "north").await, 1);
    // The last one of that name is sold, and corrected afterwards.
    says(of_model(2, 12, ("Gofl", Sold))).await;
    assert_eq!(shop.alerts(AlertState::Open).await, [out(old, None)]);
    says(corrected(2, 15, "Golf")).await;
    assert_eq!(shop.alerts(AlertState::Open).await, []);
    let over = shop.alerts(AlertState::Resolved).await;
    assert_eq!(over, [out(old, Some(Ending::Renamed))]);
    assert_eq!(shop.sold(new, "north").await, 2);
    carried.stop().await;
}

/// It goes on under that name at all places together, too.
#[tokio::test(start_paused = true)]
async fn a_sum_of_a_model_whose_vehicles_stand_there_under_another_name_ends_as_renamed() {
    use UnitState::{InStock, Sold};
    let sum = "kind = \"low_stock\"\ngroup = \"all\"\nover = \"sum\"\nthreshold = 3";
    let shop = Shop::open(&[
        ("kind = \"low_stock\"\nthreshold = 9", sum),
        (
            "kind = \"warehouse\"",
            "kind = \"warehouse\"\ngroups = [\"all\"]",
        ),
        ("[channels.out]", LOT),
    ])
    .await;
    let carried = shop.evaluates();
    let authority = Authority::default();
    let says = async |place, number, minute, model, state| {
        let said = of_model_at(place, (number, minute), (model, state));
        shop.store.apply(&said, &authority).await.unwrap();
        shop.ticks().await;
        carried.idle().await;
    };
    let low = |line: &str, ending| (AlertKind::LowStock, format!("{line} in all"), ending);
    let renamed = |line: &str| low(line, Some(Ending::Renamed));
    let (old, new) = ("line:bentley/gofl", "line:bentley/golf");
    for (number, place) in [(1, "north"), (2, "south")] {
        says(place, number, 0, "Gofl", InStock).await;
    }
    assert_eq!(shop.alerts(AlertState::Open).await, [low(old, None)]);
    for (number, place) in [(1, "north"), (2, "south")] {
        says(place, number, 5, "Golf", InStock).await;
    }
    assert_eq!(shop.alerts(AlertState::Open).await, [low(new, None)]);
    assert_eq!(shop.alerts(AlertState::Resolved).await, [renamed(old)]);
    // What is sold under its own name leaves a known 0; what was heard last of the model decides.
    says("south", 2, 9, "Golf", Sold).await;
    assert_eq!(shop.alerts(AlertState::Open).await, [low(new, None)]);
    says("north", 1, 12, "Golf GTI", InStock).await;
    let newest = "line:bentley/golf-gti";
    assert_eq!(shop.alerts(AlertState::Open).await, [low(newest, None)]);
    let over = shop.alerts(AlertState::Resolved).await;
    assert_eq!(over, [renamed(old), renamed(new)]);
    carried.stop().await;
}

#[tokio::test]
async fn whether_a_model_is_sold_out_or_renamed_does_not_depend_on_the_order_of_a_file() {
    use UnitState::{InStock, Sold};
    let renamed = |number| of_model(number, 5, ("Golf", InStock));
    let sold = of_model(2, 5, ("Gofl", Sold));
    let (old, new) = ("line:bentley/gofl", "line:bentley/golf");
    let goes_on = Some(new.to_owned());
    for (file, expected) in [
        ([renamed(1), renamed(2)], goes_on),
        ([renamed(1), sold], None),
    ] {
        for order in [[0, 1], [1, 0]] {
            let bench = Bench::new();
            let authority = Authority::default();
            for number in 1..=2 {
                let said = of_model(number, 0, ("Gofl", InStock));
                bench.store.apply(&said, &authority).await.unwrap();
            }
            let store = bench.store.on_behalf_of("file".parse().unwrap(), None);
            for row in order {
                store.apply(&file[row], &authority).await.unwrap();
            }
            let (line, place) = (old.parse().unwrap(), "north".parse().unwrap());
            let known = store.position(&line, &place).await.unwrap().unwrap();
            let to = known.renamed_to().map(ToString::to_string);
            assert_eq!(to, expected, "{order:?}");
            let on_hand = known.stock(&Sources::default()).map(|it| it.on_hand);
            assert_eq!(on_hand, expected.is_none().then_some(0), "{order:?}");
        }
    }
}

/// What stands where its connector was removed is unknown, and so is the sum that it is part of.
#[tokio::test(start_paused = true)]
async fn a_sum_is_not_low_because_of_a_place_whose_connector_was_removed() {
    let sum = "kind = \"low_stock\"\ngroup = \"all\"\nover = \"sum\"\nthreshold = 3";
    let groups = "kind = \"warehouse\"\ngroups = [\"all\"]";
    let rules = [
        ("kind = \"low_stock\"\nthreshold = 9", sum),
        ("kind = \"warehouse\"", groups),
    ];
    let with = |lot: &'static str| [&rules[..], &[("[channels.out]", lot)]].concat();
    let shop = Shop::open(&with(LOT)).await;
    let carried = shop.evaluates();
    let authority = Authority::default();
    let says = async |said: shared::domain::StockEvent| {
        shop.store.apply(&said, &authority).await.unwrap();
        carried.idle().await;
    };
    for number in 1..=6 {
        says(numbered("lot", number, 0, "north")).await;
    }
    for number in 7..=8 {
        says(numbered("dms", number, 0, "south")).await;
    }
    let before = shop.alerts(AlertState::Resolved).await.len();
    assert_eq!(shop.alerts(AlertState::Open).await, []);
    shop.configure(&with(WITHOUT_LOT)).await;
    shop.ticks().await;
    carried.idle().await;
    let line = "line:bentley/continental-gt";
    assert_eq!(shop.on_hand(line, "north").await, None);
    assert_eq!(shop.alerts(AlertState::Open).await, []);
    let mut sold = numbered("dms", 8, 5, "south");
    if let Change::Unit(report) = &mut sold.change {
        report.state = Some(UnitState::Sold);
    }
    says(sold).await;
    assert_eq!(shop.alerts(AlertState::Open).await, []);
    // Who has something to say there makes it known.
    says(numbered("dms", 9, 9, "north")).await;
    shop.ticks().await;
    let low = (AlertKind::LowStock, format!("{line} in all"), None);
    assert_eq!(shop.alerts(AlertState::Open).await, [low]);
    assert_eq!(shop.alerts(AlertState::Resolved).await.len(), before);
    carried.stop().await;
}

#[tokio::test]
async fn a_day_that_is_yet_to_come_keeps_no_vehicle_from_being_sold() {
    let bench = Bench::new();
    let authority = Authority::default();
    let today = jiff::tz::TimeZone::UTC.to_datetime(at(0)).date();
    for (minute, days, held) in [(0, 0, 0), (1, 1, 1), (2, 13_000, 1)] {
        let mut listed = vehicle("dms", minute, UnitState::InStock, "london");
        if let Change::Unit(report) = &mut listed.change {
            report.since = Some(today + jiff::Span::new().days(days));
        }
        let applied = bench.store.apply(&listed, &authority).await.unwrap();
        let left_out = match applied {
            Applied::Partly { left_out, .. } => left_out,
            _ => Vec::new(),
        };
        assert_eq!(left_out.len(), held, "{left_out:?}");
        assert!(left_out.iter().all(|it| it.field == "since"));
    }
    let sold = vehicle("market", 3 * 24 * 60, UnitState::Sold, "london");
    bench.store.apply(&sold, &authority).await.unwrap();
    let unit = bench.store.unit("SCBCG2ZG0RC012345").await.unwrap();
    assert_eq!(unit.unwrap().resolve(&authority).state, UnitState::Sold);
}

/// The dealer system is left when the lot's connector is removed.
#[tokio::test(start_paused = true)]
async fn a_sale_is_taken_back_though_who_reported_it_too_is_removed() {
    let shop = Shop::open(&[("[channels.out]", LOT)]).await;
    let carried = shop.evaluates();
    let authority = Authority::default();
    let line = "line:bentley/continental-gt";
    let says = async |source, minute, state| {
        let said = vehicle(source, minute, state, "north");
        shop.store.apply(&said, &authority).await.unwrap();
        carried.idle().await;
    };
    for (minute, state) in [(0, UnitState::InStock), (5, UnitState::Sold)] {
        says("dms", minute, state).await;
        says("lot", minute + 1, state).await;
    }
    let there = async || {
        (
            shop.on_hand(line, "north").await,
            shop.sold(line, "north").await,
        )
    };
    assert_eq!(there().await, (Some(0), 1));
    shop.configure(&[("[channels.out]", WITHOUT_LOT)]).await;
    shop.ticks().await;
    carried.idle().await;
    assert_eq!(there().await, (Some(0), 1));
    says("dms", 20, UnitState::InStock).await;
    assert_eq!(there().await, (Some(1), 0));
    // Looked at again, there is nothing more to end.
    let of = keys::unit_history("SCBCG2ZG0RC012345");
    let rows = shop
        .store
        .history(&of, None, 100)
        .await
        .unwrap()
        .items
        .len();
    shop.configure(&[
        ("[channels.out]", WITHOUT_LOT),
        ("threshold = 9", "threshold = 8"),
    ])
    .await;
    shop.ticks().await;
    carried.idle().await;
    let again = shop
        .store
        .history(&of, None, 100)
        .await
        .unwrap()
        .items
        .len();
    assert_eq!(again, rows);
    carried.stop().await;
}

/// A vehicle that cannot be counted yet is looked at with all others.
#[tokio::test(start_paused = true)]
async fn a_removed_connector_has_no_vehicle_any_more_that_could_not_be_counted() {
    let shop = Shop::open(&[("[channels.out]", LOT)]).await;
    let carried = shop.evaluates();
    let authority = Authority::default();
    let mut said = numbered("lot", 1, 0, "north");
    if let Change::Unit(report) = &mut said.change {
        report.fields.clear(); // of no model
    }
    shop.store.apply(&said, &authority).await.unwrap();
    carried.idle().await;
    let state = async || {
        let unit = shop.store.unit("SCBCG2ZG0RC012301").await.unwrap().unwrap();
        (unit.counted.is_some(), unit.resolve(&authority).state)
    };
    assert_eq!(state().await, (false, UnitState::InStock));
    shop.configure(&[("[channels.out]", WITHOUT_LOT)]).await;
    shop.ticks().await;
    carried.idle().await;
    assert_eq!(state().await, (false, UnitState::Removed));
    carried.stop().await;
}

/// As after a version that was taken back.
#[tokio::test(start_paused = true)]
async fn a_look_at_everything_passes_over_what_a_newer_version_has_written() {
    let shop = Shop::open(&[("[channels.out]", LOT)]).await;
    let carried = shop.evaluates();
    let authority = Authority::default();
    for number in 1..=40 {
        let said = numbered("lot", number, 0, "north");
        shop.store.apply(&said, &authority).await.unwrap();
    }
    carried.idle().await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let table = shop.aws.dynamodb();
    let get = table.get_item().table_name(TABLE);
    let get = get
        .key("pk", text("U#SCBCG2ZG0RC012301"))
        .key("sk", text("unit"));
    let mut newer = get.send().await.unwrap().item.unwrap();
    let format = AttributeValue::N("99".to_owned());
    newer.insert(FORMAT_ATTRIBUTE.to_owned(), format);
    carried.stop().await;
    let put = table.put_item().table_name(TABLE).set_item(Some(newer));
    put.send().await.unwrap();
    // The record of that write is the newer version's.
    shop.configure(&[("[channels.out]", WITHOUT_LOT)]).await;
    let looked = async || {
        let mut jobs = vec!["configuration".to_owned()];
        jobs.extend(Store::parts().map(|part| format!("everything.{part}")));
        for _ in 0..60 {
            for id in &jobs {
                shop.evaluator.proceed(id).await.unwrap();
            }
        }
        shop.store.parts_under_way().await.unwrap()
    };
    assert_eq!(looked().await, [], "each part comes to its end");
    for number in 2..=40 {
        let vin = format!("SCBCG2ZG0RC0123{number:02}");
        let unit = shop.store.unit(&vin).await.unwrap().unwrap();
        assert_eq!(unit.resolve(&authority).state, UnitState::Removed, "{vin}");
    }
    let in_days = async |days: i64| {
        let then = shop.store.clock().now() + SignedDuration::from_hours(24 * days);
        let id = format!("newer-{}", then.strftime("%Y-%m-%d"));
        shop.store.job(&id).await.unwrap().map(|stored| stored.data)
    };
    let again = in_days(1).await.expect("it is looked at again in a day");
    // By that look, too, which is not over while its parts are: it must not stand in the way.
    tokio::time::sleep(std::time::Duration::from_hours(24)).await;
    let stored = shop.store.job(&again.id).await.unwrap().unwrap();
    assert!(shop.store.begin_job(&stored).await.unwrap());
    shop.evaluator.proceed(&again.id).await.unwrap();
    assert_eq!(looked().await, []);
    assert!(in_days(0).await.is_some(), "it is under way");
    let next = in_days(1).await;
    let waits = next.is_some_and(|job| job.not_before.is_some());
    assert!(waits, "and the next one is planned");
}
