use proptest::prelude::*;

use super::*;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_768_469_400 + minute * 60).unwrap()
}

fn name(name: &str) -> ConnectorName {
    name.parse().unwrap()
}

fn empty() -> Position {
    Position::unknown("OIL-5W40".parse().unwrap(), "milano".parse().unwrap())
}

fn level(source: &str, minute: i64, on_hand: i64) -> PositionChange {
    PositionChange::Level {
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
        on_hand: 0,
        reserved: 0,
        incoming: 0,
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
        on_hand: 1,
        reserved: 0,
        incoming: 0,
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
fn a_barcode_in_place_of_an_optional_quantity_leaves_it_as_it_was_said() {
    let sources = Sources {
        most_jump: Some(1_000),
        ..Sources::default()
    };
    let erp = "erp".parse().unwrap();
    let stated = |on_hand, reserved, incoming| Level {
        on_hand,
        reserved,
        incoming,
        unavailable: None,
    };
    let none = empty();
    let known = apply(
        &none,
        &[PositionChange::Level {
            source: "erp".parse().unwrap(),
            level: stated(10, Some(2), Some(800)),
            version: Version::at(at(0)),
        }],
        &sources,
    );
    let barcode = Some(4_006_381_333_931);
    for (position, said, believed, left_out) in [
        (
            &none,
            stated(9, barcode, Some(5)),
            stated(9, None, Some(5)),
            &["reserved"][..],
        ),
        (
            &none,
            stated(9, Some(1), Some(1_001)),
            stated(9, Some(1), None),
            &["incoming"],
        ),
        (
            &none,
            stated(9, Some(-1_001), None),
            stated(9, None, None),
            &["reserved"],
        ),
        (
            &known,
            stated(9, barcode, barcode),
            stated(9, Some(2), Some(800)),
            &["reserved", "incoming"],
        ),
        // So much more is believed, and any fall.
        (
            &known,
            stated(9, Some(1_002), Some(0)),
            stated(9, Some(1_002), Some(0)),
            &[],
        ),
    ] {
        let (taken, faults) = position.believed(&erp, &said, &sources);
        let names: Vec<_> = faults.iter().map(|(name, _)| *name).collect();
        assert_eq!((taken, names.as_slice()), (believed, left_out), "{said:?}");
    }
}

#[test]
fn a_barcode_in_place_of_a_quantity_is_held_and_changes_nothing() {
    let sources = Sources {
        most_jump: Some(1_000),
        ..Sources::default()
    };
    let position = apply(&empty(), &[level("erp", 0, 900)], &sources);
    let held = |change: &PositionChange| {
        matches!(
            position.after(change, &sources),
            Err(Refusal::Jump { most: 1_000, .. })
        )
    };
    for change in [
        level("erp", 1, 9_000_000),
        level("shop", 1, 1_001),
        level("erp", 1, -1_001),
        moved(1, 1_001),
        moved(1, -1_001),
        sale(1, 1_001),
    ] {
        assert!(held(&change), "{change:?}");
    }
    for change in [
        level("erp", 1, 1_900),
        level("erp", 1, 0),
        moved(1, 1_000),
        sale(1, 1_000),
    ] {
        assert!(!held(&change), "{change:?}");
    }
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

#[test]
fn a_count_holds_against_all_that_is_older_in_whatever_order_it_is_heard() {
    let ranked = Sources {
        ranking: vec![name("erp")],
        ..Sources::default()
    };
    let [level_then, sold_before, counted] = [level("erp", 0, 10), sale(5, 2), count(10, 7)];
    let sold_after = sale(12, 1);
    let four = [level_then, sold_before, counted, sold_after];
    for (more, expected) in [
        (vec![], 6),
        (vec![count(20, 9)], 9),
        (vec![count(8, 9)], 6),
        (vec![level("erp", 20, 10)], 10),
        (vec![level("erp", 9, 10)], 6),
        (vec![count(20, 9), level("erp", 15, 10)], 9),
        (vec![count(20, 9), level("erp", 30, 10)], 10),
    ] {
        let told = [&four[..], &more[..]].concat();
        for order in permutations(&told) {
            for sources in [&ranked, &Sources::default()] {
                let position = apply(&empty(), &order, sources);
                assert_eq!(position.balance(sources), Some(expected), "{order:?}");
                assert_eq!(position.owner(sources), Some(&name("erp")));
            }
        }
    }
}

#[test]
fn a_count_corrects_how_many_are_there_and_not_what_is_promised_or_on_its_way() {
    let sources = Sources::default();
    let stated = PositionChange::Level {
        source: name("erp"),
        level: Level {
            on_hand: -2,
            reserved: Some(1),
            incoming: Some(4),
            ..Level::default()
        },
        version: Version::at(at(0)),
    };
    let position = apply(&empty(), &[stated, count(1, 5)], &sources);
    let stock = position.stock(&sources).unwrap();
    assert_eq!((stock.on_hand, stock.reserved, stock.available), (5, 1, 4));
    assert_eq!((stock.incoming, stock.backordered), (4, 0));
}

#[test]
fn a_count_is_over_when_the_owner_later_says_that_there_is_no_such_item_any_more() {
    let sources = Sources::default();
    let ended = |minute| PositionChange::Ended {
        source: name("erp"),
        version: Version::at(at(minute)),
    };
    for (minute, expected) in [(9, Some(7)), (11, None)] {
        for order in permutations(&[level("erp", 0, 10), count(10, 7), ended(minute)]) {
            let position = apply(&empty(), &order, &sources);
            assert_eq!(position.balance(&sources), expected, "{order:?}");
            assert_eq!(position.no_longer_stated(&sources), expected.is_none());
        }
    }
}

#[test]
fn a_count_after_many_movements_is_not_added_up_with_any_of_them() {
    let sources = Sources::default();
    let sales: Vec<_> = (1..=3 * MOST_MOVES as i64).map(|n| sale(n, 1)).collect();
    let stated = apply(&empty(), &[level("erp", 0, 5_000), count(10, 7)], &sources);
    let sold = apply(&stated, &sales, &sources);
    assert_eq!(sold.balance(&sources), Some(7 - (sales.len() as i64 - 10)));
}

#[test]
fn a_count_by_people_who_are_ranked_first_holds_until_they_count_again() {
    let sources = Sources {
        ranking: vec![name("api"), name("erp")],
        ..Sources::default()
    };
    let position = apply(&empty(), &[count(1, 7), level("erp", 2, 10)], &sources);
    assert_eq!(position.balance(&sources), Some(7));
}

#[test]
fn a_count_is_believed_by_how_far_it_is_from_what_is_there() {
    let sources = Sources {
        most_jump: Some(1_000),
        ..Sources::default()
    };
    let position = apply(&empty(), &[level("erp", 0, 900)], &sources);
    let position = apply(&position, &[level("erp", 1, 1_800)], &sources);
    assert!(position.after(&count(2, 1_801), &sources).is_ok());
    assert!(position.after(&count(2, 0), &sources).is_ok());
    assert_eq!(
        position.after(&count(2, 2_801), &sources),
        Err(Refusal::Jump {
            quantity: 1_001,
            most: 1_000
        })
    );
}

#[test]
fn a_level_that_is_repeated_after_a_count_is_written() {
    let sources = Sources::default();
    for quantity in [5, 7] {
        let position = apply(
            &empty(),
            &[level("erp", 0, 5), count(5, quantity)],
            &sources,
        );
        let gains_nothing = |then| position.gains_nothing_by(&name("erp"), at(then), &sources);
        assert!(!gains_nothing(10));
        assert!(gains_nothing(4), "the count is newer");
    }
}

fn any_change() -> impl Strategy<Value = PositionChange> {
    prop_oneof![
        (prop_oneof!["erp", "shop"], 0..300i64, -2..50i64)
            .prop_map(|(source, minute, on_hand)| level(&source, minute, on_hand)),
        (0..300i64, 0..50i64).prop_map(|(minute, quantity)| count(minute, quantity)),
        (0..300i64, 1..5i64).prop_map(|(minute, quantity)| sale(minute, quantity)),
        (0..300i64, prop_oneof![-5..-1i64, 1..20i64])
            .prop_map(|(minute, delta)| moved(minute, delta)),
    ]
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// G3, F6: all 720 orders of any six events end in the same position.
    #[test]
    fn the_end_state_does_not_depend_on_the_order(
        changes in prop::collection::vec(any_change(), 6),
        ranked in any::<bool>(),
    ) {
        let sources = Sources {
            ranking: if ranked { vec![name("erp")] } else { vec![] },
            ..Sources::default()
        };
        let expected = apply(&empty(), &changes, &sources);
        for order in permutations(&changes) {
            prop_assert_eq!(&apply(&empty(), &order, &sources), &expected);
        }
    }

    /// G3 from the outside: the newest of the owner's statements or a newer count, and what moved after.
    #[test]
    fn on_hand_is_the_owner_s_statement_or_a_newer_count_and_what_moved_since(
        changes in prop::collection::vec(any_change(), 1..12),
        ranked in any::<bool>(),
    ) {
        let sources = Sources {
            ranking: if ranked { vec![name("erp")] } else { vec![] },
            ..Sources::default()
        };
        // Of two statements of one instant the lower one counts.
        let latest = |of: &[&str]| {
            let said = changes.iter().filter_map(|change| match change {
                PositionChange::Level { source, level, version } if of.contains(&source.as_str()) =>
                    Some((version.at, source.clone(), -level.on_hand)),
                _ => None,
            });
            said.max()
        };
        let owned = if ranked { latest(&["erp"]).or(latest(&["shop"])) } else { latest(&["erp", "shop"]) };
        let counted = latest(&["api"]);
        let stated = match (owned, counted) {
            (Some(owned), Some(counted)) => Some(if counted.0 >= owned.0 { counted } else { owned }),
            (owned, counted) => owned.or(counted),
        };
        let expected = stated.map(|(since, _, on_hand)| {
            let moved = changes.iter().filter(|it| it.dated() > Some(since)).map(|it| match it {
                PositionChange::Sale { quantity, .. } => -quantity,
                PositionChange::Move { delta, .. } => *delta,
                _ => 0,
            });
            -on_hand + moved.sum::<i64>()
        });
        prop_assert_eq!(apply(&empty(), &changes, &sources).balance(&sources), expected);
    }

    /// G2 for statements: said twice, in any place, is said once.
    #[test]
    fn repeating_a_statement_changes_nothing(
        changes in prop::collection::vec(any_change(), 1..8),
        again in any::<prop::sample::Index>(),
    ) {
        let sources = Sources::default();
        let position = apply(&empty(), &changes, &sources);
        let repeated = again.get(&changes);
        if let PositionChange::Level { .. } = repeated {
            prop_assert_eq!(position.after(repeated, &sources).unwrap(), None);
        }
    }

    /// G4: whatever happens, no more is reserved than is there, and nothing is both owed and free.
    #[test]
    fn never_more_reserved_than_on_hand(
        steps in prop::collection::vec(
            prop_oneof![
                3 => any_change(),
                2 => (1..10i64).prop_map(PositionChange::Reserve),
                1 => (1..10i64).prop_map(PositionChange::Release),
            ],
            1..60,
        ),
    ) {
        let sources = Sources::default();
        let mut position = empty();
        for step in &steps {
            if let Ok(Some(next)) = position.after(step, &sources) {
                position = next;
            }
            if let Some(stock) = position.stock(&sources) {
                prop_assert!(stock.reserved <= stock.on_hand);
                prop_assert!(stock.on_hand >= 0 && stock.reserved >= 0 && stock.backordered >= 0);
                prop_assert_eq!(stock.available, stock.on_hand - stock.reserved);
            }
        }
    }
}

#[test]
fn a_number_beyond_belief_is_refused_whatever_its_sign() {
    for units in [i64::MIN, -MOST_UNITS - 1, MOST_UNITS + 1, i64::MAX] {
        let stated = level("erp", 0, units);
        let moved = PositionChange::Move {
            at: at(0),
            delta: units,
        };
        for change in [stated, moved] {
            assert_eq!(
                empty().after(&change, &Sources::default()),
                Err(Refusal::Impossible { quantity: units }),
                "{change:?}"
            );
        }
    }
}

#[test]
fn a_list_that_lacks_a_product_does_not_outdo_who_has_stated_it_since_the_list_last_did() {
    let (file, shop) = ("file".parse().unwrap(), "shop".parse().unwrap());
    let says = |source: &ConnectorName, second: i64, on_hand: i64| PositionChange::Level {
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
