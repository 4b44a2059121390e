//! All rules, indexed so that finding the one that applies costs a few look-ups however many there are.
//!
//! The most specific rule wins, as a whole: product before model, before make, before category,
//! before none of them; and within that, location before group (of several groups, the one with
//! fewer locations, then by name), before neither.

use std::borrow::Cow;
use std::collections::HashMap;

use super::problem::{RuleErrors, RuleProblem};
use super::said::{Layer, completed, completed_by};
use super::{Rule, Scope};
use crate::domain::alert::{AlertKind, Subject};
use crate::domain::catalogue::{Directory, folded_category};
use crate::domain::id::{GroupName, LocationId, RuleId};
use crate::domain::product::ProductId;

/// What decides which rules apply to a position.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The product.
    pub product: &'a ProductId,
    /// Its category, when it has one.
    pub category: Option<&'a str>,
    /// The location.
    pub location: &'a LocationId,
    /// The location's groups.
    pub groups: &'a [GroupName],
    /// The rules that were imported for it or for more products: they stand beside the book.
    pub own: &'a [Rule],
    /// The SKUs that it had before: what the book says of them is about the same product.
    pub formerly: &'a [ProductId],
}

impl<'a> Facts<'a> {
    /// The facts of a position, its groups taken from the directory.
    pub fn of(
        product: &'a ProductId,
        category: Option<&'a str>,
        location: &'a LocationId,
        directory: &'a Directory,
    ) -> Self {
        Self {
            product,
            category,
            location,
            groups: directory.groups_of(location),
            own: &[],
            formerly: &[],
        }
    }

    /// With the rules that stand beside the book. Each takes the place of the book's rule of the
    /// same kind and scope, which says what it leaves unsaid.
    #[must_use]
    pub const fn with(mut self, own: &'a [Rule]) -> Self {
        self.own = own;
        self
    }

    /// With the SKUs that the product had before, the last one first. Their rules apply where its own
    /// has none.
    #[must_use]
    pub const fn formerly(mut self, formerly: &'a [ProductId]) -> Self {
        self.formerly = formerly;
        self
    }

    /// The rule beside the book for such a place, at this level of the index.
    fn own_at(
        &self,
        kind: AlertKind,
        over_sum: bool,
        level: usize,
        place: impl Fn(&Scope) -> bool,
    ) -> Option<&'a Rule> {
        self.own.iter().find(|rule| {
            rule.check.kind() == kind
                && rule.is_over_sum() == over_sum
                && place(&rule.scope)
                && self.level_of(&rule.scope) == Some(level)
        })
    }

    /// The level of the index that a rule beside the book stands at, if it is for this product. Those for
    /// one product are read with it, under whichever SKU it has.
    fn level_of(&self, scope: &Scope) -> Option<usize> {
        let make = || self.product.line().map(|(make, _)| make);
        let (level, holds) = match scope {
            Scope {
                product: Some(_), ..
            } => (0, true),
            Scope {
                make: Some(_),
                model: Some(_),
                ..
            } => (1, true),
            Scope {
                make: Some(one), ..
            } => (2, make() == Some(one)),
            Scope {
                category: Some(one),
                ..
            } => (3, self.category.map(folded_category).as_ref() == Some(one)),
            _ => (4, true),
        };
        holds.then_some(level)
    }
}

/// Where stock is looked at: in one location, or summed over a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// One location.
    Location(&'a LocationId),
    /// The sum over a group.
    Group(&'a GroupName),
}

/// Which rule applies, and what else was looked at.
#[derive(Debug, Clone)]
pub struct Resolution<'a> {
    /// The kind of alert.
    pub kind: AlertKind,
    /// The product.
    pub product: &'a ProductId,
    /// The location or group.
    pub place: Place<'a>,
    /// The rule that applies, with what an imported one leaves to the next; `None` when there is none, or
    /// the most specific one is switched off.
    pub rule: Option<Cow<'a, Rule>>,
    /// The rule that says what the one that applies leaves unsaid, if it does.
    pub completed_by: Option<&'a Rule>,
    /// Every rule whose scope covers this, the most specific first.
    pub considered: Vec<&'a Rule>,
}

impl<'a> Resolution<'a> {
    /// The rule that keeps this kind silent here, when one does.
    pub fn muted_by(&self) -> Option<&'a Rule> {
        self.considered
            .first()
            .copied()
            .filter(|rule| !rule.enabled)
    }

    /// What an alert under this rule is attached to.
    pub fn subject(&self) -> Subject {
        let product = self.product.clone();
        match self.place {
            Place::Location(location) => Subject::Position {
                product,
                location: location.clone(),
            },
            Place::Group(group) => Subject::Group {
                product,
                group: group.clone(),
            },
        }
    }
}

/// All rules.
#[derive(Debug, Clone, Default)]
pub struct RuleBook {
    rules: Vec<Rule>,
    /// Rules that look at one location each.
    each: HashMap<AlertKind, ByProduct>,
    /// Rules that look at the sum over a group.
    sums: ByProduct,
    sizes: HashMap<GroupName, usize>,
    strays: Vec<usize>,
}

/// The index of a rule in the book.
type Slot = usize;

#[derive(Debug, Clone, Default)]
struct ByProduct {
    products: HashMap<ProductId, ByPlace>,
    models: HashMap<ProductId, ByPlace>,
    makes: HashMap<String, ByPlace>,
    categories: HashMap<String, ByPlace>,
    all: ByPlace,
}

#[derive(Debug, Clone, Default)]
struct ByPlace {
    locations: HashMap<LocationId, Slot>,
    groups: HashMap<GroupName, Slot>,
    all: Option<Slot>,
}

impl RuleBook {
    /// Checks and indexes the rules; on refusal, everything that is wrong is named at once.
    pub fn new(rules: Vec<Rule>, directory: &Directory) -> Result<Self, RuleErrors> {
        let mut book = Self::default();
        let groups = directory.locations().iter().flat_map(|it| &it.groups);
        book.sizes = groups
            .map(|group| (group.clone(), directory.members(group).len()))
            .collect();
        let mut problems = Vec::new();
        let mut names: HashMap<&RuleId, Slot> = HashMap::with_capacity(rules.len());
        for (slot, rule) in rules.iter().enumerate() {
            if let Some(earlier) = names.insert(&rule.id, slot) {
                problems.push(RuleProblem::SameName {
                    rule: rule.id.clone(),
                    first: rules[earlier].origin.clone(),
                    second: rule.origin.clone(),
                });
                continue;
            }
            match rule.checked().and_then(|()| book.index(slot, rule)) {
                Ok(None) => book.note_place(slot, rule, directory),
                Ok(Some(earlier)) => problems.push(RuleProblem::same_scope(&rules[earlier], rule)),
                Err(reason) => problems.push(RuleProblem::Invalid {
                    rule: rule.id.clone(),
                    origin: rule.origin.clone(),
                    reason,
                }),
            }
        }
        if problems.is_empty() {
            Ok(Self { rules, ..book })
        } else {
            Err(RuleErrors(problems))
        }
    }

    /// Every rule, in the order given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Rules for a location or group that the directory does not have. They apply to nothing: a
    /// misspelling when they were just written, and harmless when the location has since closed.
    pub fn strays(&self) -> impl Iterator<Item = &Rule> {
        self.strays.iter().map(|slot| &self.rules[*slot])
    }

    /// Whether any of them is for a category of products.
    pub fn name_categories(&self) -> bool {
        let named = |rule: &Rule| rule.scope.category.is_some();
        self.rules.iter().any(named)
    }

    /// The rule of this kind for a position.
    pub fn resolve<'a>(&'a self, kind: AlertKind, facts: &Facts<'a>) -> Resolution<'a> {
        let index = self.each.get(&kind);
        let levels = index.map_or([None; LEVELS], |index| index.levels(facts));
        let mut layers = Vec::new();
        for (number, level) in levels.into_iter().enumerate() {
            let stands = |slot: Option<&Slot>| slot.map(|slot| &self.rules[*slot]);
            let own = |place: &dyn Fn(&Scope) -> bool| facts.own_at(kind, false, number, place);
            let here = |scope: &Scope| scope.location.as_ref() == Some(facts.location);
            let by_book = level.and_then(|level| level.locations.get(facts.location));
            layers.extend(Layer::of(own(&here), stands(by_book)));
            let mut groups: Vec<_> = facts
                .groups
                .iter()
                .filter_map(|group| {
                    let in_it = |scope: &Scope| scope.group.as_ref() == Some(group);
                    let by_book = level.and_then(|level| level.groups.get(group));
                    Some((group, Layer::of(own(&in_it), stands(by_book))?))
                })
                .collect();
            groups.sort_unstable_by_key(|(group, _)| (self.sizes.get(*group), *group));
            layers.extend(groups.into_iter().map(|(_, layer)| layer));
            let anywhere = |scope: &Scope| scope.location.is_none() && scope.group.is_none();
            let by_book = level.and_then(|level| level.all.as_ref());
            layers.extend(Layer::of(own(&anywhere), stands(by_book)));
        }
        resolution(
            kind,
            facts.product,
            Place::Location(facts.location),
            &layers,
        )
    }

    /// The low-stock rule for a product summed over a group.
    pub fn resolve_sum<'a>(&'a self, facts: &Facts<'a>, group: &'a GroupName) -> Resolution<'a> {
        const KIND: AlertKind = AlertKind::LowStock;
        let levels = self.sums.levels(facts);
        let in_it = |scope: &Scope| scope.group.as_ref() == Some(group);
        let layers = levels
            .into_iter()
            .enumerate()
            .filter_map(|(number, level)| {
                let slot = level.and_then(|level| level.groups.get(group));
                let own = facts.own_at(KIND, true, number, in_it);
                Layer::of(own, slot.map(|slot| &self.rules[*slot]))
            });
        let layers: Vec<_> = layers.collect();
        resolution(KIND, facts.product, Place::Group(group), &layers)
    }

    /// The rules over group sums that a change of this position concerns, one per group that has
    /// any. They stand beside the position's own rule: the group is another subject.
    pub fn rules_over_sums<'a>(&'a self, facts: &Facts<'a>) -> Vec<Resolution<'a>> {
        let groups = facts.groups.iter();
        groups
            .map(|group| self.resolve_sum(facts, group))
            .filter(|found| !found.considered.is_empty())
            .collect()
    }

    /// Puts a rule where its scope says, and returns the one that stood there before.
    fn index(&mut self, slot: Slot, rule: &Rule) -> Result<Option<Slot>, &'static str> {
        let index = if rule.is_over_sum() {
            &mut self.sums
        } else {
            self.each.entry(rule.check.kind()).or_default()
        };
        let scope = &rule.scope;
        let level = match (&scope.product, &scope.make, &scope.model, &scope.category) {
            (None, None, None, None) => &mut index.all,
            (Some(product), None, None, None) => index.products.entry(product.clone()).or_default(),
            (None, Some(make), Some(model), None) => {
                index.models.entry(line(make, model)?).or_default()
            }
            (None, Some(make), None, None) => {
                let line = line(make, "any")?;
                let (make, _) = line.line().ok_or(UNREADABLE_LINE)?;
                index.makes.entry(make.to_owned()).or_default()
            }
            (None, None, None, Some(category)) => index
                .categories
                .entry(folded_category(category))
                .or_default(),
            (None, None, Some(_), _) => return Err("a model needs its make"),
            _ => return Err("of product, make and category only one may be set"),
        };
        Ok(match (&scope.location, &scope.group) {
            (None, None) => level.all.replace(slot),
            (Some(location), None) => level.locations.insert(location.clone(), slot),
            (None, Some(group)) => level.groups.insert(group.clone(), slot),
            (Some(_), Some(_)) => return Err("of location and group only one may be set"),
        })
    }

    fn note_place(&mut self, slot: Slot, rule: &Rule, directory: &Directory) {
        let Scope {
            location, group, ..
        } = &rule.scope;
        let unknown_location = location
            .as_ref()
            .is_some_and(|id| directory.location(id).is_none());
        let unknown_group = group
            .as_ref()
            .is_some_and(|name| !directory.has_group(name));
        if unknown_location || unknown_group {
            self.strays.push(slot);
        }
    }
}

impl ByProduct {
    /// What is indexed for a product, the most specific first.
    fn levels(&self, facts: &Facts<'_>) -> [Option<&ByPlace>; LEVELS] {
        let (product, category) = (facts.product, facts.category);
        let mut names = std::iter::once(product).chain(facts.formerly);
        let line = product.line();
        let model = line.and_then(|_| self.models.get(product));
        let make = line.and_then(|(make, _)| self.makes.get(make));
        let category = category
            .filter(|_| !self.categories.is_empty())
            .and_then(|category| self.categories.get(&folded_category(category)));
        [
            names.find_map(|name| self.products.get(name)),
            model,
            make,
            category,
            Some(&self.all),
        ]
    }
}

/// Product, model, make, category, and none of them.
const LEVELS: usize = 5;

/// The first of the rules considered applies, or mutes.
fn resolution<'a>(
    kind: AlertKind,
    product: &'a ProductId,
    place: Place<'a>,
    layers: &[Layer<'a>],
) -> Resolution<'a> {
    Resolution {
        kind,
        product,
        place,
        rule: completed(layers).filter(|rule| rule.enabled),
        completed_by: completed_by(layers),
        considered: layers.iter().map(|layer| layer.rule).collect(),
    }
}

const UNREADABLE_LINE: &str = "make and model cannot be read: each needs 1 to 60 characters";

fn line(make: &str, model: &str) -> Result<ProductId, &'static str> {
    ProductId::model_line(make, model).map_err(|_| UNREADABLE_LINE)
}

#[cfg(test)]
pub(crate) mod tests;
