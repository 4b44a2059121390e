mod belief;
mod counts;
mod orders;
mod sellable;
mod unsaid;

use jiff::civil::date;

use super::moves::FEW_MOVES;
use super::*;
use crate::domain::renamed::Lost;
use crate::domain::rule::{Condition, Demand};

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_768_469_400 + minute * 60).unwrap()
}

fn name(name: &str) -> ConnectorName {
    name.parse().unwrap()
}

#[test]
fn sales_are_known_for_as_long_as_the_position_or_since_the_first_that_was_imported() {
    let today = date(2026, 11, 30);
    let known = |since: Option<Date>, sold: Option<Date>| {
        let mut position = empty();
        position.known_since = since;
        position.sold.extend(sold.map(|day| (day, 2)));
        position.days_known(today)
    };
    assert_eq!(known(None, Some(today)), None, "a row of before");
    assert_eq!(known(Some(today), None), Some(1));
    assert_eq!(known(Some(date(2026, 11, 26)), Some(today)), Some(5));
    assert_eq!(known(Some(today), Some(date(2026, 11, 1))), Some(30));
    // Where it is tomorrow already.
    assert_eq!(known(Some(date(2026, 12, 1)), None), Some(1));
}

fn empty() -> Position {
    Position::unknown("OIL-5W40".parse().unwrap(), "milano".parse().unwrap())
}

fn level(source: &str, minute: i64, on_hand: i64) -> PositionChange {
    PositionChange::Level {
        called: None,
        source: name(source),
        level: Level {
            on_hand,
            ..Level::default()
        },
        version: Version::at(at(minute)),
    }
}

/// A person counts what is on the shelf.
fn count(minute: i64, quantity: i64) -> PositionChange {
    level("api", minute, quantity)
}

fn sale(minute: i64, quantity: i64) -> PositionChange {
    PositionChange::Sale {
        at: at(minute),
        day: "2026-01-15".parse().unwrap(),
        quantity,
        deducts: true,
    }
}

fn apply(start: &Position, changes: &[PositionChange], sources: &Sources) -> Position {
    changes.iter().fold(start.clone(), |position, change| {
        position.after(change, sources).unwrap().unwrap_or(position)
    })
}

fn on_hand(position: &Position) -> Option<i64> {
    position
        .stock(&Sources::default())
        .map(|stock| stock.on_hand)
}

#[test]
fn nothing_stated_is_no_data_not_zero() {
    let sources = Sources::default();
    assert_eq!(empty().stock(&sources), None);
    let moved = apply(&empty(), &[sale(0, 1)], &sources);
    assert_eq!(
        moved.stock(&sources),
        None,
        "a sale does not tell how much there was"
    );
}

#[test]
fn a_sale_from_before_the_statement_is_already_in_it() {
    let sources = Sources::default();
    let position = apply(
        &empty(),
        &[level("erp", 10, 5), sale(9, 1), sale(11, 1)],
        &sources,
    );
    assert_eq!(on_hand(&position), Some(4));
    assert_eq!(position.sold.values().sum::<i64>(), 2, "both are demand");
}

#[test]
fn an_older_statement_never_overwrites_a_newer_one() {
    let sources = Sources::default();
    let position = apply(&empty(), &[level("erp", 10, 5)], &sources);
    assert_eq!(position.after(&level("erp", 9, 7), &sources).unwrap(), None);
    assert_eq!(
        position.after(&level("erp", 10, 5), &sources).unwrap(),
        None
    );
}

#[test]
fn the_owner_of_the_quantity_wins_over_a_newer_stranger() {
    let sources = Sources {
        ranking: vec![name("erp")],
        ..Sources::default()
    };
    let position = apply(
        &empty(),
        &[level("erp", 10, 5), level("shop", 20, 9)],
        &sources,
    );
    assert_eq!(position.stock(&sources).unwrap().on_hand, 5);
    assert_eq!(position.owner(&sources), Some(&name("erp")));
}

#[test]
fn promised_beyond_what_is_there_is_owed_not_reserved() {
    let sources = Sources::default();
    let position = apply(
        &empty(),
        &[
            level("erp", 1, 5),
            PositionChange::Reserve(4),
            level("erp", 2, 3),
        ],
        &sources,
    );
    let stock = position.stock(&sources).unwrap();
    assert_eq!((stock.on_hand, stock.reserved, stock.available), (3, 3, 0));
    assert_eq!(stock.backordered, 1);
}

#[test]
fn a_reservation_beyond_what_is_available_is_refused() {
    let sources = Sources::default();
    let position = apply(
        &empty(),
        &[level("erp", 1, 5), PositionChange::Reserve(4)],
        &sources,
    );
    assert_eq!(
        position.after(&PositionChange::Reserve(2), &sources),
        Err(Refusal::Insufficient {
            asked: 2,
            available: 1
        })
    );
    assert_eq!(
        empty().after(&PositionChange::Reserve(1), &sources),
        Err(Refusal::NoData)
    );
}

fn line() -> Position {
    Position::unknown(
        ProductId::model_line("Bentley", "Continental GT").unwrap(),
        "milano".parse().unwrap(),
    )
}

#[test]
fn a_sale_of_a_vehicle_that_is_taken_back_is_no_demand() {
    let sources = Sources::default();
    let sales = |sold: &[(i8, i64)]| PositionChange::Count {
        unheard: false,
        never_there: false,
        called: None,
        lost: Lost::default(),
        on_hand: 0,
        reserved: 0,
        incoming: 0,
        was_there: false,
        was_in_stock: false,
        sold: sold
            .iter()
            .map(|(day, units)| (Date::constant(2026, 1, *day), *units))
            .collect(),
    };
    let days = |position: &Position| -> Vec<_> {
        let sold = position.sold.iter();
        sold.map(|(day, units)| (day.day(), *units)).collect()
    };
    let sold = apply(&line(), &[sales(&[(10, 1)]), sales(&[(10, 1)])], &sources);
    assert_eq!(days(&sold), [(10, 2)]);
    let moved = apply(&sold, &[sales(&[(10, -1), (12, 1)])], &sources);
    assert_eq!(days(&moved), [(10, 1), (12, 1)]);
    let unknown = apply(&moved, &[sales(&[(10, -1), (1, -1)])], &sources);
    assert_eq!(days(&unknown), [(12, 1)], "never fewer than none");
}

#[test]
fn a_model_line_is_counted_from_its_vehicles_and_by_nobody_else() {
    let sources = Sources::default();
    let one = PositionChange::Count {
        unheard: false,
        never_there: false,
        called: None,
        lost: Lost::default(),
        on_hand: 1,
        reserved: 0,
        incoming: 0,
        was_there: false,
        was_in_stock: false,
        sold: Vec::new(),
    };
    let counted = apply(&line(), std::slice::from_ref(&one), &sources);
    for position in [line(), counted] {
        for by_hand in [level("erp", 1, 0), sale(1, 1), moved(1, 5)] {
            assert_eq!(position.after(&by_hand, &sources), Err(Refusal::Counted));
        }
        assert!(position.after(&one, &sources).unwrap().is_some());
    }
}

#[test]
fn a_statement_is_not_newer_than_itself_once_it_is_stored() {
    let sources = Sources::default();
    let finer = at(1) + jiff::SignedDuration::from_nanos(162_970_025);
    let change = PositionChange::Level {
        called: None,
        source: name("erp"),
        level: Level::default(),
        version: Version::at(finer),
    };
    let position = apply(&empty(), std::slice::from_ref(&change), &sources);
    let stored: Position =
        serde_json::from_str(&serde_json::to_string(&position).unwrap()).unwrap();
    assert_eq!(stored.after(&change, &sources).unwrap(), None);
}

#[test]
fn a_negative_statement_is_a_debt() {
    let position = apply(&empty(), &[level("shop", 1, -2)], &Sources::default());
    let stock = position.stock(&Sources::default()).unwrap();
    assert_eq!(
        (stock.on_hand, stock.backordered, stock.projected()),
        (0, 2, -2)
    );
}

fn moved(minute: i64, delta: i64) -> PositionChange {
    PositionChange::Move {
        at: at(minute),
        delta,
    }
}

#[test]
fn however_many_movements_come_no_unit_is_lost() {
    let sources = Sources::default();
    let many = 3 * MOST_MOVES as i64;
    let sales: Vec<_> = (1..=many).map(|minute| sale(minute, 1)).collect();
    let stated = apply(&empty(), &[level("erp", 0, 5_000)], &sources);
    let sold = apply(&stated, &sales, &sources);
    assert_eq!(on_hand(&sold), Some(5_000 - many));
    assert!(sold.movements() <= MOST_MOVES, "{}", sold.movements());
    // The statement that they are counted from comes last.
    let late = apply(
        &apply(&empty(), &sales, &sources),
        &[level("erp", 0, 5_000)],
        &sources,
    );
    assert_eq!(on_hand(&late), Some(5_000 - many));
    assert!(late.movements() <= MOST_MOVES);
}

#[test]
fn forty_movements_from_between_a_files_writing_and_its_reading_all_count() {
    let sources = Sources::default();
    let sales: Vec<_> = (1..=40).map(|minute| sale(minute, 1)).collect();
    for written in [0, 20] {
        let position = apply(&empty(), &sales, &sources);
        let position = apply(&position, &[level("erp", written, 100)], &sources);
        assert_eq!(on_hand(&position), Some(100 - (40 - written)));
    }
}

#[test]
fn a_repeated_statement_takes_back_nothing_of_what_has_moved_since() {
    let sources = Sources::default();
    let mut position = apply(&empty(), &[level("erp", 0, 5)], &sources);
    for day in 0..60 {
        position = apply(&position, &[moved(day * 24 * 60 + 1, 4)], &sources);
        position = apply(&position, &[level("shop", day * 24 * 60 + 2, 9)], &sources);
    }
    let ranked = Sources {
        ranking: vec![name("erp")],
        ..Sources::default()
    };
    assert_eq!(position.stock(&ranked).unwrap().on_hand, 5 + 60 * 4);
    assert!(
        position.movements() <= FEW_MOVES,
        "long past, they are added up"
    );
    let again = apply(&position, &[level("erp", 0, 5)], &ranked);
    assert_eq!(again, position);
    assert_eq!(position.after(&level("erp", 0, 7), &ranked).unwrap(), None);
}

#[test]
fn below_zero_the_balance_goes_on_and_on_hand_does_not() {
    let sources = Sources::default();
    let position = apply(
        &empty(),
        &[level("erp", 0, 1), sale(1, 3), moved(5, 4)],
        &sources,
    );
    assert_eq!(position.balance(&sources), Some(2));
}

#[test]
fn a_level_that_is_repeated_gains_nothing_unless_something_has_moved_or_somebody_else_has_spoken() {
    let sources = Sources::default();
    let stated = apply(&empty(), &[level("erp", 0, 5)], &sources);
    let gains_nothing =
        |position: &Position| position.gains_nothing_by(&name("erp"), at(10), &sources);
    assert!(gains_nothing(&stated));
    assert!(!gains_nothing(&apply(&stated, &[moved(5, 10)], &sources)));
    let even = apply(&stated, &[moved(5, 10), moved(6, -10)], &sources);
    assert!(!gains_nothing(&even));
    assert!(gains_nothing(&apply(&stated, &[moved(11, 10)], &sources)));
    assert!(!gains_nothing(&apply(
        &stated,
        &[level("shop", 5, 9)],
        &sources
    )));
    assert!(gains_nothing(&apply(
        &stated,
        &[level("shop", 5, 5)],
        &sources
    )));
}

fn permutations<T: Clone>(of: &[T]) -> Vec<Vec<T>> {
    if of.len() < 2 {
        return vec![of.to_vec()];
    }
    (0..of.len())
        .flat_map(|first| {
            let mut rest = of.to_vec();
            let head = rest.remove(first);
            permutations(&rest).into_iter().map(move |mut tail| {
                tail.insert(0, head.clone());
                tail
            })
        })
        .collect()
}

#[test]
fn a_list_that_lacks_a_product_does_not_outdo_who_has_stated_it_since_the_list_last_did() {
    let (file, shop) = ("file".parse().unwrap(), "shop".parse().unwrap());
    let says = |source: &ConnectorName, second: i64, on_hand: i64| PositionChange::Level {
        called: None,
        source: source.clone(),
        level: Level {
            on_hand,
            ..Level::default()
        },
        version: Version::at(Timestamp::from_second(second).unwrap()),
    };
    let lacks = |second: i64| PositionChange::Missing {
        source: ConnectorName::clone(&file),
        version: Version::at(Timestamp::from_second(second).unwrap()),
    };
    let after = |changes: &[PositionChange], sources: &Sources| {
        let start = Position::unknown("OIL".parse().unwrap(), "north".parse().unwrap());
        let last = changes.iter().fold(start, |position, change| {
            let next = position.after(change, sources).unwrap();
            next.unwrap_or(position)
        });
        last.stock(sources).map(|stock| stock.on_hand)
    };
    let nobody = Sources::default();
    let owned = Sources {
        ranking: vec![ConnectorName::clone(&file)],
        ..Sources::default()
    };
    let (row, gone, seven) = (says(&file, 10, 5), lacks(30), says(&shop, 20, 7));
    // In either order of arrival.
    for all in [
        [row.clone(), gone.clone(), seven.clone()],
        [row.clone(), seven.clone(), gone.clone()],
        [seven.clone(), row.clone(), gone.clone()],
    ] {
        assert_eq!(after(&all, &nobody), Some(7));
        assert_eq!(
            after(&all, &owned),
            Some(0),
            "who owns the quantity has no more of it"
        );
    }
    let older = says(&shop, 5, 7);
    assert_eq!(after(&[older, row.clone(), gone.clone()], &nobody), Some(0));
    // Alone it is none, and back it is what it says.
    assert_eq!(after(&[row.clone(), gone.clone()], &nobody), Some(0));
    let back = says(&file, 40, 3);
    assert_eq!(after(&[row, seven, gone, back], &nobody), Some(3));
}

#[test]
fn the_longest_window_that_a_rule_may_have_is_counted_to_its_first_day() {
    let first: Date = "2026-01-15".parse().unwrap();
    let mut position = empty();
    let mut today = first;
    for _ in 0..100 {
        position.count_sale(today, 1);
        today = today.tomorrow().unwrap();
    }
    let today = today.yesterday().unwrap();
    for (days, usual) in [(SALES_DAYS, None), (14, Some(SALES_DAYS - 14))] {
        let rule = Demand {
            days,
            at_least: i64::from(days),
            // Exactly as much as usual, which is one a day.
            baseline_tenths: usual.map(|_| 10),
            baseline_days: usual.unwrap_or(28),
        };
        let reading = rule.judge(&position.sold, today);
        assert_eq!(reading.sold, i64::from(days));
        let more = Demand {
            baseline_tenths: usual.map(|_| 11),
            ..rule
        };
        let fires =
            |rule: &Demand| rule.judge(&position.sold, today).condition == Condition::Breached;
        assert!(fires(&rule), "{days}");
        assert_eq!(fires(&more), usual.is_none(), "{days}");
    }
}
