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
fn a_snapshot_that_repeated_the_level_absorbs_an_older_sale() {
    let sources = Sources {
        confirmed: [(name("erp"), at(20))].into(),
        ..Sources::default()
    };
    let position = apply(&empty(), &[level("erp", 20, 5)], &Sources::default());
    let late = apply(&position, &[sale(15, 1)], &sources);
    assert_eq!(late.stock(&sources).unwrap().on_hand, 5);
    assert_eq!(
        position.after(&level("erp", 15, 9), &sources).unwrap(),
        None,
        "an older statement of the same source is stale"
    );
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

#[test]
fn counted_and_stated_stock_do_not_mix() {
    let sources = Sources::default();
    let one = PositionChange::Count {
        on_hand: 1,
        reserved: 0,
        incoming: 0,
        sold_on: None,
    };
    let counted = apply(&empty(), std::slice::from_ref(&one), &sources);
    assert_eq!(
        counted.after(&level("erp", 1, 5), &sources),
        Err(Refusal::Counted)
    );
    let stated = apply(&empty(), &[level("erp", 1, 5)], &sources);
    assert_eq!(stated.after(&one, &sources), Err(Refusal::Stated));
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

#[test]
fn more_movements_than_are_kept_lose_no_unit() {
    let sources = Sources::default();
    let sales: Vec<_> = (1..=100).map(|minute| sale(minute, 1)).collect();
    let position = apply(
        &apply(&empty(), &[level("erp", 0, 500)], &sources),
        &sales,
        &sources,
    );
    assert_eq!(on_hand(&position), Some(400));
}

fn any_change() -> impl Strategy<Value = PositionChange> {
    prop_oneof![
        (prop_oneof!["erp", "shop"], 0..300i64, -2..50i64)
            .prop_map(|(source, minute, on_hand)| level(&source, minute, on_hand)),
        (0..300i64, 1..5i64).prop_map(|(minute, quantity)| sale(minute, quantity)),
        (0..300i64, prop_oneof![-5..-1i64, 1..20i64]).prop_map(|(minute, delta)| {
            PositionChange::Move {
                at: at(minute),
                delta,
            }
        }),
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
