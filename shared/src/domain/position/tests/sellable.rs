//! What is there and cannot be sold.

use super::*;

/// What a source states: on hand, reserved and unavailable.
fn stated(minute: i64, [on_hand, reserved, unavailable]: [i64; 3]) -> PositionChange {
    PositionChange::Level {
        called: None,
        source: name("shop"),
        level: Level {
            on_hand,
            reserved: Some(reserved),
            unavailable: Some(unavailable),
            ..Level::default()
        },
        version: Version::at(at(minute)),
    }
}

fn figures(position: &Position) -> [i64; 5] {
    let stock = position.stock(&Sources::default()).unwrap();
    [
        stock.on_hand,
        stock.reserved,
        stock.unavailable,
        stock.available,
        stock.backordered,
    ]
}

#[test]
fn what_is_damaged_or_in_quality_control_is_not_available() {
    let sources = Sources::default();
    let position = apply(&empty(), &[stated(0, [10, 2, 5])], &sources);
    assert_eq!(figures(&position), [10, 2, 5, 3, 0]);
    // Nor is it promised to anybody.
    let refused = position.after(&PositionChange::Reserve(4), &sources);
    let available = 3;
    assert_eq!(
        refused,
        Err(Refusal::Insufficient {
            asked: 4,
            available
        })
    );
    let promised = apply(&position, &[PositionChange::Reserve(3)], &sources);
    assert_eq!(figures(&promised), [10, 5, 5, 0, 0]);
    // What is sold is of what could be.
    let sold = apply(&position, &[sale(1, 3)], &sources);
    assert_eq!(figures(&sold), [7, 2, 5, 0, 0]);
    let repaired = apply(&sold, &[stated(2, [7, 2, 0])], &sources);
    assert_eq!(figures(&repaired), [7, 2, 0, 5, 0]);
}

#[test]
fn no_more_is_unavailable_than_is_there_and_what_is_promised_of_it_is_owed() {
    let sources = Sources::default();
    let position = apply(&empty(), &[stated(0, [4, 1, 9])], &sources);
    assert_eq!(figures(&position), [4, 0, 4, 0, 1]);
    let negative = apply(&empty(), &[stated(0, [4, 1, -9])], &sources);
    assert_eq!(figures(&negative), [4, 1, 0, 3, 0]);
}

#[test]
fn a_count_corrects_what_is_there_of_which_as_many_cannot_be_sold() {
    let sources = Sources::default();
    let position = apply(&empty(), &[stated(0, [10, 2, 5]), count(1, 8)], &sources);
    assert_eq!(figures(&position), [8, 2, 5, 1, 0]);
}

#[test]
fn of_two_statements_of_one_instant_the_one_of_which_less_can_be_sold_counts() {
    let sources = Sources::default();
    for order in permutations(&[stated(0, [10, 2, 5]), stated(0, [10, 2, 6])]) {
        let position = apply(&empty(), &order, &sources);
        assert_eq!(figures(&position), [10, 2, 6, 2, 0], "{order:?}");
    }
}
