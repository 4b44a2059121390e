//! Who claims a vehicle, in words.

use super::{Resolved, Unit, UnitState};
use crate::domain::id::{ConnectorName, LocationId};

impl Resolved {
    /// The source by whose word it counts, and where.
    pub fn counted_by(&self) -> Option<(&ConnectorName, &LocationId)> {
        let by = match self.state.is_departure() {
            true => self.holder.as_ref(),
            false => self.placed_by.as_ref(),
        };
        by.zip(self.location.as_ref())
    }
}

impl Unit {
    /// What people are told of those who claim it. `place`: what a location is called.
    pub fn claims_in_words(
        &self,
        resolved: &Resolved,
        rivals: &[(ConnectorName, LocationId)],
        place: impl Fn(&LocationId) -> String,
    ) -> Vec<String> {
        let counted = resolved.counted_by().map(|(source, location)| {
            let at = place(location);
            match resolved.state {
                UnitState::Sold => {
                    format!("It was sold at {at}, by the word of {source}. The sale stands.")
                }
                UnitState::Wholesale => {
                    format!(
                        "It was given to the trade at {at}, by the word of {source}. That stands."
                    )
                }
                _ => format!("It is counted once, at {at}, by the word of {source}."),
            }
        });
        let has_left = resolved.state.is_departure();
        let had_it_no_more = |source: &ConnectorName| {
            let claim = self.claims.get(source);
            claim.is_some_and(|claim| claim.state.iter().any(|it| !it.value.is_present()))
        };
        let note = |(source, location): &(ConnectorName, LocationId)| {
            let at = place(location);
            match self.word_of(source) {
                Some(UnitState::Sold) => format!("{source}{SAYS_THAT_IT_WAS}sold at {at}."),
                Some(UnitState::Wholesale) => {
                    format!("{source}{SAYS_THAT_IT_WAS}given to the trade at {at}.")
                }
                _ if has_left
                    && resolved.location.as_ref() == Some(location)
                    && had_it_no_more(source) =>
                {
                    format!("{source}{HAS_IT_BACK}{at}.")
                }
                _ if has_left => format!("{source}{STILL_LISTS_IT}{at}."),
                _ => format!("{source}{HAS_IT_AT}{at}, too."),
            }
        };
        counted.into_iter().chain(rivals.iter().map(note)).collect()
    }

    /// Those of whom a message says that they claim it, and who do. `None` if it names nobody.
    pub fn claimants_named(
        &self,
        resolved: &Resolved,
        notes: &[String],
    ) -> Option<Vec<(ConnectorName, LocationId)>> {
        let is_named = |source: &ConnectorName| notes.iter().any(|note| is_claim(note, source));
        if !self.claims.keys().any(is_named) {
            return None;
        }
        let outdated = resolved.outdated.iter();
        let outdated = outdated.map(|it| (it.source.clone(), it.location.clone()));
        let claimants = resolved.rivals.iter().cloned().chain(outdated);
        Some(claimants.filter(|(source, _)| is_named(source)).collect())
    }
}

const SAYS_THAT_IT_WAS: &str = " says that it was ";
const STILL_LISTS_IT: &str = " still lists it at ";
const HAS_IT_BACK: &str = " says that it is back at ";
const HAS_IT_AT: &str = " has it at ";

/// Whether a note says that a source claims the vehicle.
fn is_claim(note: &str, source: &ConnectorName) -> bool {
    let said = note.strip_prefix(source.as_str());
    said.is_some_and(|said| {
        [SAYS_THAT_IT_WAS, STILL_LISTS_IT, HAS_IT_BACK, HAS_IT_AT]
            .iter()
            .any(|claim| said.starts_with(claim))
    })
}
