//! What a person counts, beside what sources state.

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
