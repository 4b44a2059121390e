//! What a person counts, beside what sources state, and what is left once a source is gone.

use super::*;

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
        called: None,
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

#[test]
fn what_a_source_that_is_gone_had_overtaken_is_not_what_is_there_unless_it_is_as_much() {
    let gone = || PositionChange::Gone {
        source: name("erp"),
        called: None,
    };
    let (erp, shop, feed) = (
        level("erp", 5, 3),
        level("shop", 0, 10),
        level("feed", 2, 3),
    );
    for (ranking, told, expected) in [
        (vec![], vec![shop.clone()], None),
        (vec!["erp"], vec![shop.clone()], None),
        // As much, by then.
        (vec![], vec![level("shop", 0, 3)], Some(3)),
        (vec![], vec![shop.clone(), sale(2, 7)], Some(3)),
        (vec![], vec![shop.clone(), feed.clone()], Some(3)),
        (
            vec![],
            vec![level("shop", 0, 3), level("feed", 2, 10)],
            Some(3),
        ),
        // Said since, or by the owner.
        (vec!["erp"], vec![level("shop", 9, 10)], Some(10)),
        (vec!["shop"], vec![shop.clone()], Some(10)),
        // What people counted is of its day, and holds where it held.
        (vec![], vec![count(3, 3)], None),
        (vec![], vec![shop.clone(), count(3, 8)], None),
        (vec![], vec![level("shop", 0, 3), count(3, 8)], Some(3)),
        (vec!["shop"], vec![shop.clone(), count(3, 8)], Some(8)),
        (vec![], vec![shop, count(9, 8)], Some(8)),
    ] {
        let sources = Sources {
            ranking: ranking.into_iter().map(name).collect(),
            ..Sources::default()
        };
        let told = [&told[..], std::slice::from_ref(&erp)].concat();
        for order in permutations(&told) {
            let position = apply(&apply(&empty(), &order, &sources), &[gone()], &sources);
            assert_eq!(position.balance(&sources), expected, "{told:?}");
        }
    }
}
