//! What can be wrong with a rule, found before it is used.

use std::fmt;

use super::explain::scope_in_words;
use super::{Check, Over, Rule};
use crate::domain::alert::AlertKind;
use crate::domain::id::RuleId;

/// What is wrong with one rule, or with two together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleProblem {
    /// The rule contradicts itself.
    #[error("rule `{rule}` ({origin}): {reason}")]
    Invalid {
        /// The rule.
        rule: RuleId,
        /// Where it was written.
        origin: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Two rules of one name.
    #[error("rule `{rule}` is written twice: {first} and {second}")]
    SameName {
        /// The name.
        rule: RuleId,
        /// Where the first was written.
        first: String,
        /// Where the second was written.
        second: String,
    },
    /// Two rules for the same thing, neither more specific than the other.
    #[error(
        "two {kind} rules for {scope}: `{first}` ({first_origin}) and `{second}` ({second_origin})"
    )]
    SameScope {
        /// The kind of both.
        kind: AlertKind,
        /// Their scope, in words.
        scope: String,
        /// The first.
        first: RuleId,
        /// Where it was written.
        first_origin: String,
        /// The second.
        second: RuleId,
        /// Where it was written.
        second_origin: String,
    },
}

/// Everything that is wrong with a set of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleErrors(pub Vec<RuleProblem>);

impl fmt::Display for RuleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleErrors {}

impl RuleProblem {
    /// Names both rules and what they share.
    pub(crate) fn same_scope(first: &Rule, second: &Rule) -> Self {
        Self::SameScope {
            kind: second.check.kind(),
            scope: scope_in_words(second),
            first: first.id.clone(),
            first_origin: first.origin.clone(),
            second: second.id.clone(),
            second_origin: second.origin.clone(),
        }
    }
}

impl Rule {
    /// Whether it looks at the sum over its group.
    pub fn is_over_sum(&self) -> bool {
        matches!(&self.check, Check::LowStock(threshold) if threshold.over == Over::Sum)
    }

    /// What is wrong with the rule by itself.
    pub(crate) fn checked(&self) -> Result<(), &'static str> {
        let refused = [
            (
                self.is_over_sum() && self.scope.group.is_none(),
                "a sum needs a group to be over",
            ),
            (self.pending.is_negative(), "pending is negative"),
            (self.keep_firing.is_negative(), "keep_firing is negative"),
            (
                self.scope
                    .category
                    .as_ref()
                    .is_some_and(|category| category.trim().is_empty()),
                "the category is empty",
            ),
            (
                self.seasons
                    .iter()
                    .any(|season| season.until <= season.from),
                "a season ends before it begins",
            ),
            (
                self.seasons.iter().enumerate().any(|(index, one)| {
                    let mut others = self.seasons[..index].iter();
                    others.any(|other| one.from < other.until && other.from < one.until)
                }),
                "two seasons overlap",
            ),
        ];
        let of_check: &[_] = match &self.check {
            Check::LowStock(threshold) => &[
                (
                    threshold.units < 0 || self.seasons.iter().any(|season| season.units < 0),
                    "a threshold is negative",
                ),
                (
                    threshold
                        .recovery
                        .is_some_and(|level| level < threshold.least_quiet()),
                    "the recovery level still fires",
                ),
            ],
            Check::OutOfStock { .. } => &[(
                !self.seasons.is_empty(),
                "nothing left is the same number in every season",
            )],
            Check::HighDemand(demand) => &[
                (demand.days == 0, "the window has no days"),
                (
                    demand.at_least < 1 || self.seasons.iter().any(|season| season.units < 1),
                    "at least one unit must be asked for",
                ),
                (
                    demand.baseline_tenths.is_some() && demand.baseline_days == 0,
                    "the usual rate needs days to be taken from",
                ),
            ],
        };
        let mut all = refused.iter().chain(of_check);
        all.find(|(wrong, _)| *wrong)
            .map_or(Ok(()), |(_, reason)| Err(reason))
    }
}
