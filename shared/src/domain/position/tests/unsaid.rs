//! What a level leaves out: what is reserved, on its way, or not for sale.

use proptest::prelude::*;

use super::*;
use crate::domain::item::Dated;

/// A level, or that nothing is stated any more, by the time at which it was so.
type Word = (i64, Option<Level>);

/// Said of a product, or of the one item that stands for it.
fn change(of_item: bool, (minute, level): &Word) -> PositionChange {
    let version = Version::at(at(*minute));
    match (of_item, level) {
        (true, level) => PositionChange::Item {
            source: name("erp"),
            said: ItemStatement {
                product: "OIL-5W40".parse().unwrap(),
                location: "milano".parse().unwrap(),
                item: "1".to_owned(),
                level: Some(Dated {
                    version,
                    value: level.clone(),
                }),
                offered: None,
                named: None,
                called: None,
                offered_by: None,
            },
        },
        (false, Some(level)) => PositionChange::Level {
            source: name("erp"),
            level: level.clone(),
            version,
            called: None,
        },
        (false, None) => PositionChange::Ended {
            source: name("erp"),
            version,
        },
    }
}

fn after(of_item: bool, words: &[Word]) -> Position {
    let changes: Vec<_> = words.iter().map(|word| change(of_item, word)).collect();
    apply(&empty(), &changes, &Sources::default())
}

fn quantities(position: &Position) -> Option<[i64; 4]> {
    let stock = position.stock(&Sources::default())?;
    let promised = stock.reserved + stock.backordered;
    Some([stock.on_hand, promised, stock.incoming, stock.unavailable])
}

fn of(on_hand: i64, reserved: Option<i64>) -> Level {
    Level {
        on_hand,
        reserved,
        ..Level::default()
    }
}

#[test]
fn a_level_that_does_not_say_what_is_reserved_frees_nothing() {
    for of_item in [false, true] {
        let known = after(
            of_item,
            &[(0, Some(of(20, Some(18)))), (1, Some(of(19, None)))],
        );
        assert_eq!(quantities(&known), Some([19, 18, 0, 0]));
        // It was there before that, and is heard of after it.
        let late = after(
            of_item,
            &[(1, Some(of(19, None))), (0, Some(of(20, Some(18))))],
        );
        assert_eq!(quantities(&late), Some([19, 18, 0, 0]));
        let none = after(
            of_item,
            &[(0, Some(of(20, Some(18)))), (1, Some(of(19, Some(0))))],
        );
        assert_eq!(quantities(&none), Some([19, 0, 0, 0]), "a stated zero");
    }
}

#[test]
fn what_was_reserved_before_a_source_stated_nothing_any_more_is_over() {
    let words = [
        (0, Some(of(20, Some(18)))),
        (1, None),
        (2, Some(of(20, None))),
    ];
    for of_item in [false, true] {
        for order in permutations(&words) {
            let position = after(of_item, &order);
            assert_eq!(quantities(&position), Some([20, 0, 0, 0]), "{order:?}");
        }
    }
}

/// A list that lacks a product has nothing of it, promised or on its way.
#[test]
fn of_what_a_whole_list_lacks_nothing_is_promised() {
    let gone = PositionChange::Missing {
        source: name("erp"),
        version: Version::at(at(1)),
    };
    let known = after(false, &[(0, Some(of(20, Some(18))))]);
    let known = apply(&known, &[gone], &Sources::default());
    assert_eq!(quantities(&known), Some([0; 4]));
    let back = apply(
        &known,
        &[change(false, &(2, Some(of(20, None))))],
        &Sources::default(),
    );
    assert_eq!(quantities(&back), Some([20, 0, 0, 0]));
}

#[test]
fn of_two_levels_of_one_instant_the_lower_counts_as_it_was_said() {
    let shipped = [(0, Some(of(20, Some(18)))), (0, Some(of(2, Some(0))))];
    for of_item in [false, true] {
        for order in permutations(&shipped) {
            let position = after(of_item, &order);
            assert_eq!(quantities(&position), Some([2, 0, 0, 0]), "{order:?}");
        }
    }
}

/// A row that was written before it was kept when each quantity was said.
#[test]
fn what_was_stored_before_counts_as_said_with_its_level() {
    let mut stored = serde_json::to_value(after(false, &[(5, Some(of(20, Some(18))))])).unwrap();
    let base = stored.pointer_mut("/holding/bases/erp").unwrap();
    assert_eq!(base.as_object_mut().unwrap().remove("earlier"), None);
    let known: Position = serde_json::from_value(stored).unwrap();
    let next = |word: Word| {
        let changes = [change(false, &word)];
        quantities(&apply(&known, &changes, &Sources::default()))
    };
    assert_eq!(next((6, Some(of(19, None)))), Some([19, 18, 0, 0]));
    assert_eq!(next((4, Some(of(21, Some(3))))), Some([20, 18, 0, 0]));
}

fn quantity() -> impl Strategy<Value = Option<i64>> {
    prop::option::of(0_i64..4)
}

fn level() -> impl Strategy<Value = Option<Level>> {
    let level = (-1_i64..6, quantity(), quantity(), quantity());
    let level = level.prop_map(|(on_hand, reserved, incoming, unavailable)| Level {
        on_hand,
        reserved,
        incoming,
        unavailable,
    });
    prop::option::weighted(0.8, level)
}

/// Words with times, several of which may be of one instant, and the order in which they arrive.
fn heard() -> impl Strategy<Value = (Vec<Word>, Vec<Word>)> {
    let words = prop::collection::vec((0_i64..6, level()), 1..7);
    words.prop_flat_map(|words| (Just(words.clone()), Just(words).prop_shuffle()))
}

proptest! {
    #[test]
    fn each_quantity_stands_from_the_latest_level_that_said_it_whatever_the_order(
        (mut words, arrived) in heard(), of_item: bool,
    ) {
        let probe = [(10, Some(of(9, None)))];
        let with_probe = |words: &[Word]| after(of_item, &[words, &probe].concat());
        let position = after(of_item, &arrived);
        prop_assert_eq!(quantities(&position), quantities(&after(of_item, &words)));
        prop_assert_eq!(quantities(&with_probe(&arrived)), quantities(&with_probe(&words)));
        // What is stored is what was heard.
        let stored: Position =
            serde_json::from_str(&serde_json::to_string(&position).unwrap()).unwrap();
        prop_assert_eq!(&stored, &position);

        // Where no two are of one instant, it is as if they had come in their order.
        words.sort_by_key(|(minute, _)| *minute);
        words.dedup_by_key(|(minute, _)| *minute);
        let mut expected = None;
        for (_, level) in &words {
            let before: Option<Level> = expected.take();
            expected = level.clone().map(|level| Level {
                on_hand: level.on_hand,
                reserved: level.reserved.or(before.as_ref().and_then(|it| it.reserved)),
                incoming: level.incoming.or(before.as_ref().and_then(|it| it.incoming)),
                unavailable: level.unavailable.or(before.as_ref().and_then(|it| it.unavailable)),
            });
        }
        let expected = expected.map(|level| {
            let only = change(false, &(0, Some(level)));
            quantities(&apply(&empty(), &[only], &Sources::default()))
        });
        let mut apart: Vec<_> = arrived;
        apart.retain(|word| words.contains(word));
        prop_assert_eq!(quantities(&after(of_item, &apart)), expected.flatten());
    }
}
