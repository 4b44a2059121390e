//! What the model makes of small histories.

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
    let model = Model::of([&told], &[], (&[], false), false);
    assert_eq!(model.stock[&key("T", "north")], Some(Stock::of(3, 0)));
}

fn file(number: u32, second: i64, rows: &[(&str, i64)]) -> File {
    let rows = rows
        .iter()
        .map(|(sku, on_hand)| ((*sku).to_owned(), *on_hand));
    File {
        written: Some(at(second)),
        ..File::whole(number, &rows.collect())
    }
}

#[test]
fn a_file_covers_what_moved_before_it_and_says_nothing_of_a_blank() {
    let sale = |second| Said::Sold {
        source: "till",
        event: format!("s{second}"),
        sku: "FEED-1".to_owned(),
        place: FED_PLACE,
        quantity: 2,
        deducts: true,
        at: at(second),
    };
    let told = acknowledged(vec![sale(15), sale(25)]);
    let mut files = vec![file(1, 10, &[("FEED-1", 9)]), file(2, 20, &[("FEED-1", 9)])];
    let on_hand = |files: &[File]| {
        let model = Model::of([&told], files, (&[], false), false);
        model.stock[&key("FEED-1", FED_PLACE)].map(|stock| stock.on_hand)
    };
    assert_eq!(on_hand(&files), Some(7));
    files[1].content = files[1].content.replace("FEED-1,south,9", "FEED-1,south,");
    assert_eq!(on_hand(&files), Some(5));
    files.push(file(3, 30, &[]));
    assert_eq!(on_hand(&files), Some(5), "missing once");
    files.push(file(4, 40, &[]));
    assert_eq!(on_hand(&files), Some(0), "gone");
}

#[test]
fn two_claims_are_a_conflict_and_a_sale_ends_it() {
    let word = |source, state, place, second| Said::Vehicle {
        source,
        event: format!("{source}{second}"),
        vin: crate::places::VEHICLES[0].0,
        state: Some(state),
        place,
        since: None,
        at: at(second),
    };
    let claims = [
        word("dms", "in_stock", "london", 1),
        word("rooftop", "in_stock", "sydney", 2),
    ];
    let model = Model::of([&acknowledged(claims.to_vec())], &[], (&[], false), false);
    assert_eq!(model.contested.len(), 1);
    let on_hand: i64 = model.stock.values().flatten().map(|it| it.on_hand).sum();
    assert_eq!(on_hand, 1);

    let mut sold = claims.to_vec();
    sold.push(word("rooftop", "sold", "sydney", 3));
    let model = Model::of([&acknowledged(sold.clone())], &[], (&[], false), false);
    assert!(model.contested.is_empty());
    assert!(model.stock.is_empty(), "{:?}", model.stock);

    // The other rooftop's older listing does not bring it back; one of the day after does.
    sold.push(word("rooftop", "removed", "sydney", 4));
    let gone = Model::of([&acknowledged(sold.clone())], &[], (&[], false), false);
    assert!(gone.stock.is_empty(), "{:?}", gone.stock);
    let mut again = word("dms", "in_stock", "london", 5);
    if let Said::Vehicle { since, .. } = &mut again {
        *since = Some("2026-03-11".parse().unwrap());
    }
    sold.push(again);
    let back = Model::of([&acknowledged(sold)], &[], (&[], false), false);
    assert_eq!(back.stock.len(), 1, "traded in");
}

#[test]
fn a_source_that_is_taken_out_has_no_vehicle_any_more_and_its_sales_stay() {
    let (vin, line) = (
        crate::places::VEHICLES[0].0,
        line_of(crate::places::VEHICLES[0].0),
    );
    let others = Said::Vehicle {
        source: "dms",
        event: "dms1".to_owned(),
        vin,
        state: Some("in_stock"),
        place: "sydney",
        since: None,
        at: at(1),
    };
    let listed = |state| Lot {
        number: 1,
        rows: vec![(vin, "london", "", state)],
        hurried: false,
        written: Some(at(2)),
    };
    let model = |told: &[Said], state, dropped| {
        let told = acknowledged(told.to_vec());
        Model::of([&told], &[], (&[listed(state)], dropped), false)
    };
    let london = key(&line, "london");
    let there = |model: &Model, place| {
        let at = model.stock.get(&key(&line, place));
        at.map(|stock| stock.map(|stock| stock.on_hand))
    };
    assert_eq!(
        there(&model(&[], "in_stock", false), "london"),
        Some(Some(1))
    );
    let dropped = model(&[], "in_stock", true);
    assert_eq!(
        there(&dropped, "london"),
        Some(None),
        "nobody says how many"
    );
    assert!(!dropped.left_to_others.contains(&london));
    assert_eq!(there(&model(&[], "sold", true), "london"), None);

    let others = [others];
    assert_eq!(model(&others, "in_stock", false).contested.len(), 1);
    let dropped = model(&others, "in_stock", true);
    assert!(dropped.contested.is_empty());
    assert_eq!(there(&dropped, "sydney"), Some(Some(1)));
    assert!(model(&others, "sold", true).stock.is_empty(), "it is sold");
}

#[test]
fn what_comes_back_of_an_order_comes_back_once_and_is_not_sold() {
    let line = |what| Said::Line {
        line: (1, 0),
        sku: "S",
        what,
    };
    let ordered = Happened::Ordered {
        quantity: 4,
        place: "north",
        at: at(10),
    };
    let refunded = Happened::Refunded {
        number: 2,
        units: 1,
        back_to: Some("south"),
        at: at(20),
    };
    let level = |place| Said::Level {
        source: "till",
        sku: "S".to_owned(),
        place,
        on_hand: 9,
        at: at(0),
    };
    let mut told = vec![level("north"), level("south"), line(ordered)];
    // By the order and by the refund itself.
    told.extend([line(refunded.clone()), line(refunded)]);
    let model = |told: &[Said], deducts| {
        let model = Model::of([&acknowledged(told.to_vec())], &[], (&[], false), deducts);
        let on_hand = |place| model.stock[&key("S", place)].map(|stock| stock.on_hand);
        [
            on_hand("north"),
            on_hand("south"),
            model.sold.get(&key("S", "north")).copied(),
        ]
    };
    assert_eq!(model(&told, true), [Some(5), Some(10), Some(3)]);
    assert_eq!(model(&told, false), [Some(9), Some(9), Some(3)]);
    // Told by every version since, and of the first of them.
    for second in [30, 40] {
        told.push(line(Happened::Removed {
            number: 3,
            units: 1,
            told: at(second),
        }));
    }
    assert_eq!(model(&told, true), [Some(6), Some(10), Some(2)]);
    let mut counted = told.clone();
    counted.push(Said::Counted {
        sku: "S".to_owned(),
        place: "north",
        on_hand: 20,
        at: at(25),
    });
    counted.push(line(Happened::Told { at: at(30) }));
    assert_eq!(
        model(&counted, true)[0],
        Some(20),
        "no earlier version is known"
    );
    counted.push(line(Happened::Told { at: at(10) }));
    assert_eq!(
        model(&counted, true)[0],
        Some(21),
        "removed after the count"
    );
    told.push(line(Happened::Cancelled));
    assert_eq!(model(&told, true), [Some(6), Some(10), Some(0)]);
}

#[test]
fn an_item_states_what_there_is_of_its_product_until_it_ends() {
    let named = |sku, second| Said::Described {
        item: 1,
        sku,
        at: at(second),
    };
    let level = |on_hand, second| Said::Item {
        item: 1,
        place: "north",
        on_hand,
        at: at(second),
    };
    let offered = |offered, second| Said::Offered {
        item: 1,
        offered,
        at: at(second),
    };
    let model = |told: Vec<Said>| Model::of([&acknowledged(told)], &[], (&[], false), false);
    let on_hand = |told: Vec<Said>, sku| {
        let stock = model(told).stock;
        stock
            .get(&key(sku, "north"))
            .map(|it| it.map(|it| it.on_hand))
    };
    let mut told = vec![level(Some(7), 2)];
    assert!(model(told.clone()).nameless.contains(&1));
    told.push(named("S", 1));
    assert_eq!(on_hand(told.clone(), "S"), Some(Some(7)));
    let renamed = [told.clone(), vec![named("T", 3)]].concat();
    assert_eq!(on_hand(renamed.clone(), "T"), Some(Some(7)));
    assert_eq!(on_hand(renamed, "S"), None);
    let gone = [told.clone(), vec![level(None, 4)]].concat();
    assert_eq!(on_hand(gone, "S"), Some(None));
    told.push(offered(false, 5));
    assert_eq!(on_hand(told.clone(), "S"), Some(None));
    told.push(offered(true, 6));
    assert_eq!(on_hand(told, "S"), Some(Some(7)));
}

#[test]
fn what_is_counted_holds_until_the_source_says_something_newer() {
    let level = |second, on_hand| Said::Level {
        source: "till",
        sku: "S".to_owned(),
        place: "north",
        on_hand,
        at: at(second),
    };
    let counted = |second, on_hand| Said::Counted {
        sku: "S".to_owned(),
        place: "north",
        on_hand,
        at: at(second),
    };
    let on_hand = |told: Vec<Said>| {
        let model = Model::of([&acknowledged(told)], &[], (&[], false), false);
        model.stock[&key("S", "north")].map(|stock| stock.on_hand)
    };
    assert_eq!(on_hand(vec![level(1, 9), counted(2, 5)]), Some(5));
    assert_eq!(on_hand(vec![counted(2, 5), level(3, 8)]), Some(8));
    assert_eq!(on_hand(vec![counted(2, 5), counted(1, 7)]), Some(5));
}
