//! What holds of any changes, in any order.

use proptest::prelude::*;

use super::*;

fn any_change() -> impl Strategy<Value = PositionChange> {
    prop_oneof![
        (
            prop_oneof!["erp", "shop"],
            0..300i64,
            -2..50i64,
            prop::option::of(0..20i64),
        )
            .prop_map(|(source, minute, on_hand, unavailable)| {
                PositionChange::Level {
                    source: name(&source),
                    level: Level {
                        on_hand,
                        unavailable,
                        ..Level::default()
                    },
                    version: Version::at(at(minute)),
                    called: None,
                }
            }),
        (0..300i64, 0..50i64).prop_map(|(minute, quantity)| count(minute, quantity)),
        (0..300i64, 1..5i64).prop_map(|(minute, quantity)| sale(minute, quantity)),
        (0..300i64, prop_oneof![-5..-1i64, 1..20i64])
            .prop_map(|(minute, delta)| moved(minute, delta)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// G3: all 720 orders of any six events end in the same position.
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
                PositionChange::Level { source, level, version, .. } if of.contains(&source.as_str()) =>
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
                let (reserved, unavailable) = (stock.reserved, stock.unavailable);
                prop_assert!(reserved + unavailable <= stock.on_hand);
                prop_assert!(reserved >= 0 && unavailable >= 0 && stock.backordered >= 0);
                prop_assert_eq!(stock.available, stock.on_hand - reserved - unavailable);
            }
        }
    }
}
