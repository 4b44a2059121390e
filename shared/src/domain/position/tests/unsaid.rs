//! What a level leaves out: what is reserved, on its way, or not for sale.

use proptest::prelude::*;

use super::*;
use crate::domain::item::Dated;

/// A level, or that nothing is stated any more, by the time at which it was so.
type Word = (i64, Option<Level>);

/// Said of a product, or of the one item that stands for it.
fn change(of_item: bool, word: &Word) -> PositionChange {
    said_by("erp", of_item, word)
}

fn said_by(source: &str, of_item: bool, (minute, level): &Word) -> PositionChange {
    let version = Version::at(at(*minute));
    match (of_item, level) {
        (true, level) => PositionChange::Item {
            source: name(source),
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
            source: name(source),
            level: level.clone(),
            version,
            called: None,
        },
        (false, None) => PositionChange::Ended {
            source: name(source),
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

const SYSTEMS: [&str; 3] = ["erp", "shop", "till"];

/// What a system says, which of them it is, and whether it says it of an item.
type Told = (usize, bool, Word);

fn told(words: &[Told], sources: &Sources) -> Option<[i64; 4]> {
    let changes = words
        .iter()
        .map(|(system, of_item, word)| said_by(SYSTEMS[*system], *of_item, word));
    let changes: Vec<_> = changes.collect();
    let stock = apply(&empty(), &changes, sources).stock(sources)?;
    let promised = stock.reserved + stock.backordered;
    Some([stock.on_hand, promised, stock.incoming, stock.unavailable])
}

#[test]
fn a_till_that_never_speaks_of_what_is_reserved_frees_nothing_that_the_erp_has_promised() {
    let nobody = Sources::default();
    for of_item in [false, true] {
        let promised = Level {
            incoming: Some(6),
            unavailable: Some(1),
            ..of(20, Some(18))
        };
        let erp = (0, of_item, (0, Some(promised)));
        let till = |level| (2, false, (1, level));
        for order in permutations(&[erp.clone(), till(Some(of(19, None)))]) {
            assert_eq!(told(&order, &nobody), Some([19, 18, 6, 1]), "{order:?}");
            let changes = order
                .iter()
                .map(|(system, of_item, word)| said_by(SYSTEMS[*system], *of_item, word));
            let position = apply(&empty(), &changes.collect::<Vec<_>>(), &nobody);
            assert_eq!(position.owner(&nobody), Some(&name("till")));
            let erp = name("erp");
            let beside: Vec<_> = position.stated_beside(&nobody).collect();
            let all = ["reserved", "unavailable", "incoming"].map(|fact| (fact, &erp));
            assert_eq!(beside, all);
            // No more is promised to anybody than is left of it.
            let refused = position.after(&PositionChange::Reserve(1), &nobody);
            assert!(matches!(
                refused,
                Err(Refusal::Insufficient { available: 0, .. })
            ));
        }
        // It says so itself, the ERP states it no longer, or somebody has said whose word counts.
        let zero = [erp.clone(), till(Some(of(19, Some(0))))];
        assert_eq!(told(&zero, &nobody), Some([19, 0, 6, 1]));
        let over = [
            erp.clone(),
            till(Some(of(19, None))),
            (0, of_item, (2, None)),
        ];
        assert_eq!(told(&over, &nobody), Some([19, 0, 0, 0]));
        let owned = Sources {
            ranking: vec![name("till")],
            ..Sources::default()
        };
        let both = [erp, till(Some(of(19, None)))];
        assert_eq!(told(&both, &owned), Some([19, 0, 0, 0]));
    }
}

/// What a shop has available is less what is promised, so the ERP's promises are not taken off once more.
#[test]
fn what_is_available_in_a_shop_is_net_of_what_another_has_promised() {
    let promised = (0, false, (0, Some(of(20, Some(18)))));
    let available = Level::stated(None, Some(2), None, None, None);
    for order in permutations(&[promised, (1, true, (1, available))]) {
        assert_eq!(told(&order, &Sources::default()), Some([2, 0, 0, 0]));
    }
}

#[test]
fn of_two_promises_of_one_instant_that_a_third_does_not_speak_of_the_higher_counts() {
    let said = |system, reserved, incoming| {
        let level = Level {
            incoming: Some(incoming),
            ..of(20, Some(reserved))
        };
        (system, false, (0, Some(level)))
    };
    for (erp, shop) in [(3, 5), (5, 3)] {
        let words = [
            said(0, erp, shop),
            said(1, shop, erp),
            (2, false, (1, Some(of(20, None)))),
        ];
        for order in permutations(&words) {
            assert_eq!(told(&order, &Sources::default()), Some([20, 5, 3, 0]));
        }
    }
}

/// A list that lacks the product concludes that none is promised, as of when it last had it.
#[test]
fn what_a_whole_list_lacks_does_not_outdo_a_promise_that_was_made_since_it_had_it() {
    let level = |system, minute, units, reserved| {
        said_by(SYSTEMS[system], false, &(minute, Some(of(units, reserved))))
    };
    let lacks = PositionChange::Missing {
        source: name("erp"),
        version: Version::at(at(3)),
    };
    let known = [level(0, 0, 20, Some(9)), lacks];
    for (said_at, promised) in [(1, 4), (-1, 0)] {
        let others = [level(1, said_at, 20, Some(4)), level(2, 4, 20, None)];
        for order in permutations(&others) {
            for all in [
                [&known[..], &order[..]].concat(),
                [&order[..], &known[..]].concat(),
            ] {
                assert_eq!(
                    quantities(&apply(&empty(), &all, &Sources::default())),
                    Some([20, promised, 0, 0]),
                    "{all:?}"
                );
            }
        }
    }
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

/// What several systems say, and the order in which it arrives. Each speaks of the product or of an item.
fn heard_of_all() -> impl Strategy<Value = (Vec<Told>, Vec<Told>)> {
    let words = prop::collection::vec((0..SYSTEMS.len(), 0_i64..6, level()), 1..10);
    let words = (words, any::<[bool; 3]>()).prop_map(|(words, of_items)| {
        let mut told: Vec<Told> = words
            .into_iter()
            .map(|(system, minute, level)| (system, of_items[system], (minute, level)))
            .collect();
        told.sort_by_key(|(system, _, (minute, _))| (*minute, *system));
        told.dedup_by_key(|(system, _, (minute, _))| (*minute, *system));
        told
    });
    words.prop_flat_map(|words| (Just(words.clone()), Just(words).prop_shuffle()))
}

/// What a system has said by now, and when it said each of it.
#[derive(Default, Clone)]
struct Known {
    on_hand: Option<(i64, i64)>,
    reserved: Option<(i64, i64)>,
    unavailable: Option<(i64, i64)>,
    incoming: Option<(i64, i64)>,
}

/// Of words in the order of their times.
fn right(words: &[Told]) -> Option<Level> {
    let mut known = [(); 3].map(|()| Known::default());
    for (system, _, (minute, level)) in words {
        let before = std::mem::take(&mut known[*system]);
        if let Some(level) = level {
            let said = |units: Option<i64>| units.map(|units| (*minute, units));
            known[*system] = Known {
                on_hand: said(Some(level.on_hand)),
                reserved: said(level.reserved).or(before.reserved),
                unavailable: said(level.unavailable).or(before.unavailable),
                incoming: said(level.incoming).or(before.incoming),
            };
        }
    }
    let newest = |it: &&Known| it.on_hand.map(|(minute, _)| minute);
    let last = known
        .iter()
        .filter(|it| it.on_hand.is_some())
        .max_by_key(newest)?;
    let most = |fact: fn(&Known) -> Option<(i64, i64)>| {
        let said = fact(last).or_else(|| known.iter().filter_map(fact).max());
        said.map(|(_, units)| units)
    };
    let least = |fact: fn(&Known) -> Option<(i64, i64)>| {
        let others = known.iter().filter_map(fact);
        let said = fact(last).or_else(|| others.max_by_key(|(at, units)| (*at, -units)));
        said.map(|(_, units)| units)
    };
    Some(Level {
        on_hand: last.on_hand?.1,
        reserved: most(|it| it.reserved),
        unavailable: most(|it| it.unavailable),
        incoming: least(|it| it.incoming),
    })
}

proptest! {
    #[test]
    fn what_the_newest_of_several_never_said_is_the_word_of_who_said_it_last_in_any_order(
        (words, arrived) in heard_of_all(),
    ) {
        let alone = right(&words).map(|level| (0, false, (0, Some(level))));
        let alone: Vec<_> = alone.into_iter().collect();
        prop_assert_eq!(told(&arrived, &Sources::default()), told(&alone, &Sources::default()));
    }

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
