//! What an imported threshold says itself, and what it leaves to the rule that it stands in for.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Basis, Boundary, Check, Rule, Scope};
use crate::domain::alert::Severity;
use crate::domain::catalogue::Directory;

/// What an import said of a threshold beside its number. All else is said by the rule that would apply
/// without it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Whether the threshold itself already fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<Boundary>,
    /// Which quantity is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// The quantity from which it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<i64>,
    /// How much it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

impl Said {
    /// What an imported rule says beside its number: all, where it was written before that was noted.
    pub fn of(rule: &Rule) -> Self {
        let Check::LowStock(threshold) = rule.check else {
            return Self::default();
        };
        rule.said.unwrap_or(Self {
            boundary: Some(threshold.boundary),
            basis: Some(threshold.basis),
            recovery: threshold.recovery,
            severity: Some(rule.severity),
        })
    }

    /// What this says, and what the other says beside it.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            boundary: self.boundary.or(other.boundary),
            basis: self.basis.or(other.basis),
            recovery: self.recovery.or(other.recovery),
            severity: self.severity.or(other.severity),
        }
    }
}

/// A rule among those that cover something, and the document's rule of the very same scope, where an
/// imported one stands in for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// What it stands in for.
    pub stands_for: Option<&'a Rule>,
}

impl<'a> Layer<'a> {
    /// The imported rule of a scope over the document's, if there is either.
    pub fn of(imported: Option<&'a Rule>, document: Option<&'a Rule>) -> Option<Self> {
        Some(Self {
            rule: imported.or(document)?,
            stands_for: document.filter(|_| imported.is_some()),
        })
    }
}

/// The rule that says what the first of these leaves unsaid.
pub fn completed_by<'a>(layers: &[Layer<'a>]) -> Option<&'a Rule> {
    let (first, wider) = layers.split_first()?;
    first.rule.said?;
    let next = || wider.iter().map(|it| it.rule).find(|rule| rule.enabled);
    first.stands_for.or_else(next)
}

/// The first of these, which are the most specific first, with what it leaves unsaid.
pub fn completed<'a>(layers: &[Layer<'a>]) -> Option<Cow<'a, Rule>> {
    let (first, wider) = layers.split_first()?;
    let Some(said) = first.rule.said else {
        return Some(Cow::Borrowed(first.rule));
    };
    let base = match first.stands_for {
        Some(rule) => Some(Cow::Borrowed(rule)),
        None => {
            let next = wider.iter().position(|it| it.rule.enabled);
            next.and_then(|at| completed(wider.get(at..)?))
        }
    };
    let Some(base) = base else {
        return Some(Cow::Borrowed(first.rule));
    };
    let (Check::LowStock(own), Check::LowStock(known)) = (first.rule.check, base.check) else {
        return Some(Cow::Borrowed(first.rule));
    };
    // The level from which it is over moves along with the number.
    let mut threshold = known.with_units(own.units);
    threshold.boundary = said.boundary.unwrap_or(threshold.boundary);
    threshold.basis = said.basis.unwrap_or(threshold.basis);
    threshold.recovery = said.recovery.or(threshold.recovery);
    threshold.over = own.over;
    Some(Cow::Owned(Rule {
        check: Check::LowStock(threshold),
        severity: said.severity.unwrap_or(base.severity),
        pending: base.pending,
        keep_firing: base.keep_firing,
        manner: base.manner,
        // A season's number is for all that its rule is for; another scope has its own number.
        seasons: first
            .stands_for
            .map_or_else(Vec::new, |rule| rule.seasons.clone()),
        ..first.rule.clone()
    }))
}

impl Scope {
    /// The scopes that cover this one, which is folded, the most specific first, without itself.
    /// `category` is that of the product, if it is for one.
    pub fn wider(&self, category: Option<&str>, directory: &Directory) -> Vec<Self> {
        let line = self.product.as_ref().and_then(|product| product.line());
        let make = self.make.as_deref().or(line.map(|(make, _)| make));
        let model = self.model.as_deref().or(line.map(|(_, model)| model));
        let of_product = category.filter(|_| self.product.is_some());
        let category = self.category.as_deref().or(of_product);
        let mut kinds = vec![Self {
            product: self.product.clone(),
            ..Self::default()
        }];
        kinds.push(Self {
            make: make.filter(|_| model.is_some()).map(ToOwned::to_owned),
            model: model.map(ToOwned::to_owned),
            ..Self::default()
        });
        kinds.push(Self {
            make: make.map(ToOwned::to_owned),
            ..Self::default()
        });
        kinds.push(Self {
            category: category.map(ToOwned::to_owned),
            ..Self::default()
        });
        let everything = Self::default();
        kinds.retain(|kind| *kind != everything);
        kinds.push(everything);
        let mut groups: Vec<_> = match &self.location {
            Some(location) => directory.groups_of(location).iter().collect(),
            None => Vec::new(),
        };
        groups.sort_by_key(|group| (directory.members(group).len(), *group));
        let groups = self.group.iter().chain(groups);
        let mut places = vec![(self.location.clone(), None)];
        places.extend(groups.map(|group| (None, Some(group.clone()))));
        places.push((None, None));
        let mut all = Vec::new();
        for kind in &kinds {
            for (location, group) in &places {
                let scope = Self {
                    location: location.clone(),
                    group: group.clone(),
                    ..kind.clone()
                }
                .folded();
                if scope != *self && !all.contains(&scope) {
                    all.push(scope);
                }
            }
        }
        all
    }
}
