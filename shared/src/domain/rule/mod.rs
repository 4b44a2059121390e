//! Threshold rules: what counts as low, out or in demand, and which of several rules applies.
//!
//! | file | its question |
//! |---|---|
//! | [`book`] | which rule applies here? |
//! | [`explain`] | why that one, in words? |
//! | [`problem`] | can these rules stand? |
//! | [`said`] | what does an imported rule leave to the one it stands in for? |
//! | [`season`] | which number is in force now, and until when? |
//! | [`measure`] | is this stock low, recovering or fine? |
//! | [`demand`] | does this sell fast, and how long will it last? |

use jiff::{SignedDuration, civil};
use serde::{Deserialize, Serialize};

use super::alert::{AlertKind, Severity, named};
use super::catalogue::folded_category;
use super::id::{GroupName, LocationId, RuleId};
use super::product::ProductId;
use super::watch::OwnManner;

pub mod book;
pub mod demand;
pub mod explain;
pub mod measure;
pub mod problem;
pub mod said;
pub mod season;

pub use book::{Facts, Place, Resolution, RuleBook};
pub use demand::{DemandReading, SUPPLY_WINDOW, days_of_supply};
pub use measure::{Condition, Depth, total};
pub use problem::{RuleErrors, RuleProblem};
pub use said::{Layer, Said, completed, completed_by};
pub use season::InForce;

/// One rule: where it applies, what it checks, and how steady the answer must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub id: RuleId,
    /// Where it applies.
    pub scope: Scope,
    /// What it checks.
    pub check: Check,
    /// `false` mutes its kind within its scope.
    pub enabled: bool,
    /// How much the alert matters.
    pub severity: Severity,
    /// How long the condition must hold before people are told.
    #[serde(with = "seconds")]
    pub pending: SignedDuration,
    /// How long a marginal recovery must hold before the alert is over.
    #[serde(with = "seconds")]
    pub keep_firing: SignedDuration,
    /// What it tells otherwise than the account's other rules.
    #[serde(default, skip_serializing_if = "OwnManner::is_empty")]
    pub manner: OwnManner,
    /// Other thresholds for a while (a season, a launch).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seasons: Vec<Season>,
    /// What its import said beside the number. Of a rule that says everything itself there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
    /// Where it was written: `lotwire.toml:41`, `import 2026-11-22 thresholds.csv:7`.
    pub origin: String,
}

/// What a rule applies to: each part that is set must match. All unset: the whole account.
///
/// At most one of product, category and make (with or without model), and one of location and group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// One product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<ProductId>,
    /// Products of one category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Model lines of one make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub make: Option<String>,
    /// Model lines of one model (with `make`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// One location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationId>,
    /// The locations of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
}

/// The one place that a rule takes among all rules: two rules of one place cannot both stand.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    kind: AlertKind,
    over_sum: bool,
    scope: Scope,
}

impl Rule {
    /// The place it takes, whichever way its category, make and model are spelled.
    pub fn slot(&self) -> Slot {
        Slot {
            kind: self.check.kind(),
            over_sum: self.is_over_sum(),
            scope: self.scope.folded(),
        }
    }
}

impl Scope {
    /// The one product that it is for, if it is for one: rules of such a scope stand beside it.
    pub fn single_product(&self) -> Option<ProductId> {
        match (&self.product, &self.make, &self.model) {
            (Some(product), _, _) => Some(product.clone()),
            (None, Some(make), Some(model)) => ProductId::model_line(make, model).ok(),
            _ => None,
        }
    }

    /// Whether it is for one product, or one model.
    pub fn names_a_product(&self) -> bool {
        self.product.is_some() || self.model.is_some()
    }

    /// The scopes of more products than one that this one belongs to, at a location of these groups.
    pub fn shared_by<'a>(
        product: &ProductId,
        category: Option<&str>,
        location: &'a LocationId,
        groups: &'a [GroupName],
    ) -> impl Iterator<Item = Self> + use<'a> {
        let make = product.line().map(|(make, _)| Self {
            make: Some(make.to_owned()),
            ..Self::default()
        });
        let category = category.map(|category| Self {
            category: Some(folded_category(category)),
            ..Self::default()
        });
        let kinds = [Some(Self::default()), make, category];
        kinds.into_iter().flatten().flat_map(move |of| {
            let here = Self {
                location: Some(location.clone()),
                ..of.clone()
            };
            let in_group = of.clone();
            let in_groups = groups.iter().map(move |group| Self {
                group: Some(group.clone()),
                ..in_group.clone()
            });
            [of, here].into_iter().chain(in_groups)
        })
    }

    /// The same scope in the spelling by which rules are compared.
    pub fn folded(&self) -> Self {
        let mut scope = self.clone();
        scope.category = scope.category.as_deref().map(folded_category);
        if let Some(make) = &self.make {
            let line = ProductId::model_line(make, self.model.as_deref().unwrap_or("any"));
            if let Some((make, model)) = line.as_ref().ok().and_then(ProductId::line) {
                scope.model = scope.model.is_some().then(|| model.to_owned());
                scope.make = Some(make.to_owned());
            }
        }
        scope
    }
}

/// What a rule checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Check {
    /// Stock down to a threshold.
    LowStock(Threshold),
    /// Nothing left, on a basis.
    OutOfStock {
        /// The quantity that is compared with zero.
        basis: Basis,
    },
    /// Sold fast.
    HighDemand(Demand),
}

impl Check {
    /// The kind of alert that this check opens.
    pub const fn kind(&self) -> AlertKind {
        match self {
            Self::LowStock(_) => AlertKind::LowStock,
            Self::OutOfStock { .. } => AlertKind::OutOfStock,
            Self::HighDemand(_) => AlertKind::HighDemand,
        }
    }

    /// The stock threshold it compares with, when it looks at stock: for "nothing left", zero.
    pub const fn threshold(&self) -> Option<Threshold> {
        match *self {
            Self::LowStock(threshold) => Some(threshold),
            Self::OutOfStock { basis } => Some(Threshold {
                units: 0,
                boundary: Boundary::AtOrBelow,
                basis,
                recovery: None,
                over: Over::Each,
            }),
            Self::HighDemand(_) => None,
        }
    }
}

/// A stock threshold in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// The number of units.
    pub units: i64,
    /// Whether the threshold itself already fires.
    pub boundary: Boundary,
    /// Which quantity is compared.
    pub basis: Basis,
    /// The quantity from which the alert may be over; by default one more than still fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<i64>,
    /// For a group scope: each location by itself, or the sum over the group.
    pub over: Over,
}

/// Fast sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// The window, in days, today included.
    pub days: u16,
    /// The least number of units sold in the window.
    pub at_least: i64,
    /// And, when set, at least this many tenths of the product's own usual rate (30 = three times).
    /// A product that sold nothing before has no usual rate, and `at_least` alone decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_tenths: Option<u32>,
    /// The days before the window that the usual rate is taken from.
    pub baseline_days: u16,
}

/// A different threshold for a while, by the location's calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Season {
    /// First moment, local to the location.
    pub from: civil::DateTime,
    /// First moment after it, local to the location.
    pub until: civil::DateTime,
    /// The threshold (or, for demand, the least number sold) meanwhile.
    pub units: i64,
}

named!(
    /// Whether reaching the threshold fires, or only falling below it.
    Boundary {
        /// "drops to or below": ≤
        AtOrBelow => "at_or_below",
        /// "drops below": <
        Below => "below",
    }
);

named!(
    /// Which quantity is compared with a threshold.
    Basis {
        /// Physically there.
        OnHand => "on_hand",
        /// On hand less reserved and unavailable.
        Available => "available",
        /// Available, plus incoming, less backordered.
        Projected => "projected",
    }
);

named!(
    /// How a rule with a group scope looks at the group.
    Over {
        /// Each location by itself.
        Each => "each",
        /// The sum over the group's locations.
        Sum => "sum",
    }
);

/// Durations as whole seconds.
pub mod seconds {
    use jiff::SignedDuration;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes whole seconds.
    pub fn serialize<S: Serializer>(span: &SignedDuration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(span.as_secs())
    }

    /// Reads whole seconds.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SignedDuration, D::Error> {
        i64::deserialize(from).map(SignedDuration::from_secs)
    }
}
