//! The words that files have for the state of a vehicle.

use super::columns::normal;
use crate::domain::unit::UnitState;

/// Each state and the words that mean it, beside its own name.
pub const WORDS: &[(UnitState, &[&str])] = &[
    (
        UnitState::InStock,
        &[
            "available",
            "active",
            "on lot",
            "for sale",
            "frontline",
            "retail ready",
            "live",
        ],
    ),
    (
        UnitState::InTransit,
        &[
            "transit",
            "in transit to dealer",
            "en route",
            "on order",
            "ordered",
            "in build",
            "in production",
        ],
    ),
    (
        UnitState::Demo,
        &[
            "demonstrator",
            "loaner",
            "service loaner",
            "courtesy",
            "courtesy car",
        ],
    ),
    (
        UnitState::Reserved,
        &["on hold", "hold", "held", "deposit", "deposit taken"],
    ),
    (
        UnitState::SalePending,
        &[
            "pending",
            "sales pending",
            "pending sale",
            "deal pending",
            "under offer",
            "under contract",
        ],
    ),
    (
        UnitState::Sold,
        &[
            "delivered",
            "retailed",
            "sold retail",
            "retail sold",
            "sold not delivered",
            "sold pending delivery",
        ],
    ),
    (
        UnitState::Transferred,
        &["transfer", "dealer trade", "traded"],
    ),
    (
        UnitState::Wholesale,
        &["wholesaled", "sold wholesale", "auction", "at auction"],
    ),
    (
        UnitState::Removed,
        &[
            "inactive",
            "deleted",
            "archived",
            "withdrawn",
            "out of stock",
        ],
    ),
];

/// The state that a word means, compared without case, blanks and dashes.
pub fn state(word: &str) -> Option<UnitState> {
    let word = normal(word);
    let means = |(state, words): &&(UnitState, &[&str])| {
        normal(state.name()) == word || words.iter().any(|known| normal(known) == word)
    };
    WORDS.iter().find(means).map(|(state, _)| *state)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_usual_words_are_read() {
        for (word, expected) in [
            ("Available", UnitState::InStock),
            ("in_stock", UnitState::InStock),
            ("In Stock", UnitState::InStock),
            ("SOLD", UnitState::Sold),
            ("Sale Pending", UnitState::SalePending),
            ("In-Transit", UnitState::InTransit),
            ("Reserved", UnitState::Reserved),
            ("On Hold", UnitState::Reserved),
            ("Wholesale", UnitState::Wholesale),
            ("Demo", UnitState::Demo),
        ] {
            assert_eq!(state(word), Some(expected), "{word}");
        }
        assert_eq!(state("TX"), None);
        assert_eq!(state(""), None);
    }

    #[test]
    fn every_state_has_its_words_and_no_word_means_two() {
        let mut owners = BTreeMap::new();
        for (state, words) in WORDS {
            for word in words.iter().chain([&state.name()]) {
                let before = owners.insert(normal(word), *state);
                assert_eq!(before, None, "{word}");
            }
        }
        assert_eq!(WORDS.len(), UnitState::ALL.len());
    }
}
