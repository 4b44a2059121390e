//! Quantities that are not believed.

use super::*;

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
    let unavailable = |unavailable| Level {
        unavailable,
        ..stated(9, Some(2), None)
    };
    let none = empty();
    let known = apply(
        &none,
        &[PositionChange::Level {
            called: None,
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
            stated(9, Some(-1), Some(-1)),
            stated(9, None, None),
            &["reserved", "incoming"],
        ),
        (
            &none,
            unavailable(Some(-1)),
            unavailable(None),
            &["unavailable"],
        ),
        (
            &known,
            stated(9, barcode, barcode),
            stated(9, None, None),
            &["reserved", "incoming"],
        ),
        (
            &none,
            unavailable(barcode),
            unavailable(None),
            &["unavailable"],
        ),
        (
            &none,
            unavailable(Some(1_000)),
            unavailable(Some(1_000)),
            &[],
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
