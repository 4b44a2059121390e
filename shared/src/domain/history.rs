//! What one source has said of one attribute over time, in the source's own order.
//!
//! More than the latest statement is needed to tell a second sale from a repeated report of the first,
//! a sale that was taken back from a vehicle that was sold and came in again, or what was ordered from
//! what an edit added. The statements are kept as a set: the order in which they arrive leaves no trace.

use serde::{Deserialize, Serialize};

use super::event::Version;

/// Up to this many statements are kept word for word; beyond it those that repeat what stands on both
/// sides of them are left out, the oldest first.
const EXACT: usize = 8;
/// More changes of mind than a vehicle's life has; beyond it the oldest are forgotten.
const MOST: usize = 32;

/// A value and the source's version of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped<T> {
    /// The value.
    pub value: T,
    /// When the source said so.
    pub version: Version,
    /// The version of the configuration by which it was read, where what it means depends on that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub read_by: u64,
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl<T> Stamped<T> {
    /// A value whose meaning does not depend on the configuration.
    pub const fn new(value: T, version: Version) -> Self {
        Self {
            value,
            version,
            read_by: 0,
        }
    }
}

/// A source's statements on one attribute, at most one per version, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History<T>(Vec<Stamped<T>>);

impl<T> Default for History<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> History<T> {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All statements, oldest first.
    pub fn iter(&self) -> std::slice::Iter<'_, Stamped<T>> {
        self.0.iter()
    }

    /// The latest statement.
    pub fn latest(&self) -> Option<&Stamped<T>> {
        self.0.last()
    }

    /// What was said last.
    pub fn value(&self) -> Option<&T> {
        self.latest().map(|stamped| &stamped.value)
    }

    /// What was said of just this version.
    pub(in crate::domain) fn of(&self, version: Version) -> Option<&T> {
        let found = self.0.binary_search_by_key(&version, |said| said.version);
        Some(&self.0[found.ok()?].value)
    }

    /// What held at a version: what was said last by then.
    pub fn at(&self, version: Version) -> Option<&T> {
        let until = self.0.partition_point(|stamped| stamped.version <= version);
        Some(&self.0[..until].last()?.value)
    }

    /// Since which version all that was said is such.
    pub fn since(&self, is_such: impl Fn(&T) -> bool) -> Option<Version> {
        let latest = self.0.iter().rev().take_while(|said| is_such(&said.value));
        let first = latest.last()?;
        Some(first.version)
    }

    /// Forgets what was not said by such versions.
    pub(in crate::domain) fn retain(&mut self, is_such: impl Fn(Version) -> bool) {
        self.0.retain(|stated| is_such(stated.version));
    }
}

impl<T: PartialEq> History<T> {
    /// Takes a statement. Of two of one version the one that `outranks` the other counts, whichever was
    /// heard first.
    pub(in crate::domain) fn hear(
        &mut self,
        value: Option<T>,
        version: Version,
        outranks: impl Fn(&T, &T) -> bool,
    ) {
        let Some(value) = value else { return };
        self.take(Stamped::new(value, version), |new, known| {
            outranks(&new.value, &known.value)
        });
    }

    /// As [`History::hear`], where more than the values decides which of two outranks the other.
    pub(in crate::domain) fn take(
        &mut self,
        stamped: Stamped<T>,
        outranks: impl Fn(&Stamped<T>, &Stamped<T>) -> bool,
    ) {
        let version = stamped.version;
        match self.0.binary_search_by_key(&version, |known| known.version) {
            Ok(place) if outranks(&stamped, &self.0[place]) => self.0[place] = stamped,
            Ok(_) => {}
            Err(place) => self.0.insert(place, stamped),
        }
        while self.0.len() > EXACT
            && let Some(repeated) = self
                .0
                .windows(3)
                .position(|three| three.iter().all(|one| one.value == three[1].value))
        {
            self.0.remove(repeated + 1);
        }
        let excess = self.0.len().saturating_sub(MOST);
        self.0.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::unit::UnitState;

    fn hear(history: &mut History<UnitState>, state: UnitState, second: i64) {
        history.hear(Some(state), at(second), |a, b| {
            a.how_far_gone() > b.how_far_gone()
        });
    }

    fn at(second: i64) -> Version {
        Version::at(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn a_statement_that_is_repeated_for_years_is_kept_by_its_ends() {
        let mut history = History::default();
        for second in 0..1_000 {
            hear(&mut history, UnitState::InStock, second);
        }
        hear(&mut history, UnitState::Sold, 1_000);
        assert!(history.0.len() <= EXACT + 1, "{}", history.0.len());
        assert_eq!(history.0[0].version, at(0), "since when it has been said");
        assert_eq!(history.at(at(999)), Some(&UnitState::InStock));
        // One that was left out is nothing new when it comes again.
        let before = history.clone();
        hear(&mut history, UnitState::InStock, 500);
        assert_eq!(history, before);
    }

    #[test]
    fn a_history_is_bounded() {
        let mut history = History::default();
        for second in 0..200 {
            let state = [UnitState::InStock, UnitState::Sold][usize::from(second % 2 == 0)];
            hear(&mut history, state, second);
        }
        assert_eq!(history.0.len(), MOST);
        let before = history.clone();
        hear(&mut history, UnitState::Sold, 0);
        assert_eq!(history, before, "what was forgotten is not learnt again");
    }
}
