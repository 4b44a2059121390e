//! Threshold rules as people write them, and as the domain knows them.

use jiff::{SignedDuration, civil};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use toml::de::DeValue;

use super::declare::{choice, parsed, settings};
use super::document::Node;
use super::error::Problems;
use super::setting::Setting;
use super::value::{Crossings, SalesDays};
use crate::domain::alert::named;
use crate::domain::position::SALES_DAYS;
use crate::domain::rule::{Basis, Boundary, Check, Demand, Over, Rule, Scope, Season, Threshold};
use crate::domain::watch::{OwnManner, Span};
use crate::domain::{AlertKind, GroupName, LocationId, ProductId, RuleId, Severity};

settings! {
    /// When people are told about stock, and where that applies. The most specific rule wins.
    pub struct RuleSettings {
        /// Its name, unique among the rules.
        name: RuleId,
        /// What it watches.
        kind: RuleKind,
        /// `false` mutes its kind within its scope.
        enabled: bool = true,
        /// One product.
        product: Option<ProductId> = None,
        /// Products of one category.
        category: Option<String> = None,
        /// Model lines of one make.
        make: Option<String> = None,
        /// Model lines of one model; needs `make`.
        model: Option<String> = None,
        /// One location.
        location: Option<LocationId> = None,
        /// The locations of a group.
        group: Option<GroupName> = None,
        /// For `low_stock`: the number of units.
        threshold: Option<i64> = None,
        /// For `low_stock`: whether the threshold itself already fires; by default it does.
        boundary: Option<Boundary> = None,
        /// For `low_stock` and `out_of_stock`: the quantity that is compared; by default `available`.
        basis: Option<Basis> = None,
        /// For `low_stock`: the quantity from which it may be over, in every season; by default one more than
        /// fires.
        recovery: Option<i64> = None,
        /// For `low_stock` with a `group`: each location by itself (the default), or their sum.
        over: Option<Over> = None,
        /// For `high_demand`: the least number of units sold in the window.
        at_least: Option<i64> = None,
        /// For `high_demand`: the window in days, today included; by default 7.
        days: Option<SalesDays> = None,
        /// For `high_demand`: and at least so many times the product's own usual rate.
        times_usual: Option<Tenths> = None,
        /// For `high_demand`: the days before the window that the usual rate is taken from; by
        /// default 28. With those of the window at most 70: sales are kept for so long.
        usual_days: Option<SalesDays> = None,
        /// How much it matters; by default `warning`, for `out_of_stock` `critical`, for
        /// `high_demand` `info`.
        severity: Option<Severity> = None,
        /// How long the condition must hold before people are told.
        pending: SignedDuration = SignedDuration::ZERO,
        /// How long a marginal recovery must hold before the alert is over.
        keep_firing: SignedDuration = SignedDuration::from_mins(5),
        /// As in `[alerts]`, for this rule.
        remind_every: Option<SignedDuration> = None,
        /// As in `[alerts]`, for this rule.
        further_falls: Option<bool> = None,
        /// As in `[alerts]`, for this rule.
        flap_limit: Option<Crossings> = None,
        /// As in `[alerts]`, for this rule.
        flap_window: Option<SignedDuration> = None,
        /// As in `[alerts]`, for this rule.
        flap_steady: Option<SignedDuration> = None,
        /// Other numbers for a while.
        seasons: Vec<SeasonSettings> = Vec::new(),
    }
}

settings! {
    /// Another number for a while, by each location's own calendar.
    pub struct SeasonSettings {
        /// Its first moment.
        from: civil::DateTime,
        /// The first moment after it.
        until: civil::DateTime,
        /// The threshold, or for `high_demand` the least number sold, meanwhile.
        units: i64,
    }
}

named!(
    /// What a rule watches.
    RuleKind {
        /// Stock down to a threshold.
        LowStock => "low_stock",
        /// Nothing left.
        OutOfStock => "out_of_stock",
        /// Sold fast.
        HighDemand => "high_demand",
    }
);
choice!(
    RuleKind => "kind of rule",
    Boundary => "boundary",
    Basis => "basis",
    Over => "way to look at a group",
    Severity => "severity",
    AlertKind => "kind of alert",
);
parsed!(RuleId => "a rule's name");

/// A factor with one decimal, such as 2.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tenths(u32);

impl Setting for Tenths {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let text = match node.value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => return node.mismatch(&Self::expected(), problems),
        };
        let tenths = text
            .parse::<Decimal>()
            .ok()
            .and_then(|factor| factor.checked_mul(Decimal::TEN));
        let read = tenths.filter(|tenths| tenths.is_integer() && *tenths > Decimal::TEN);
        match read.and_then(|tenths| u32::try_from(tenths).ok()) {
            Some(tenths) => Some(Self(tenths)),
            None => {
                node.refuse(
                    problems,
                    format!("{text} is out of range; give {}", Self::expected()),
                );
                None
            }
        }
    }
    fn expected() -> String {
        "a factor above 1 with at most one decimal, such as `2.5`".to_owned()
    }
    fn schema() -> Value {
        json!({ "type": "number", "exclusiveMinimum": 1 })
    }
}

/// Which kinds of rule a key belongs to; keys that are not listed belong to all.
const BELONGS: [(&str, &[RuleKind]); 9] = [
    ("threshold", &[RuleKind::LowStock]),
    ("boundary", &[RuleKind::LowStock]),
    ("basis", &[RuleKind::LowStock, RuleKind::OutOfStock]),
    ("recovery", &[RuleKind::LowStock]),
    ("over", &[RuleKind::LowStock]),
    ("at_least", &[RuleKind::HighDemand]),
    ("days", &[RuleKind::HighDemand]),
    ("times_usual", &[RuleKind::HighDemand]),
    ("usual_days", &[RuleKind::HighDemand]),
];

impl Setting for Rule {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        RuleSettings::read(node, problems)?.into_rule(node, problems)
    }
    fn expected() -> String {
        RuleSettings::expected()
    }
    fn schema() -> Value {
        RuleSettings::schema()
    }
}

impl RuleSettings {
    /// The rule as the domain knows it, or what keeps it from being one.
    fn into_rule(self, node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Rule> {
        self.check_keys(node, problems);
        self.check_scope(node, problems);
        self.check_seasons(node, problems);
        let check = match self.kind {
            RuleKind::LowStock => self.low_stock(node, problems).map(Check::LowStock),
            RuleKind::OutOfStock => Some(Check::OutOfStock {
                basis: self.basis.unwrap_or(Basis::Available),
            }),
            RuleKind::HighDemand => self.high_demand(node, problems).map(Check::HighDemand),
        };
        let severity = match self.kind {
            RuleKind::LowStock => Severity::Warning,
            RuleKind::OutOfStock => Severity::Critical,
            RuleKind::HighDemand => Severity::Info,
        };
        Some(Rule {
            id: self.name,
            scope: Scope {
                product: self.product,
                category: self.category,
                make: self.make,
                model: self.model,
                location: self.location,
                group: self.group,
            },
            check: check?,
            enabled: self.enabled,
            severity: self.severity.unwrap_or(severity),
            pending: self.pending,
            keep_firing: self.keep_firing,
            manner: OwnManner {
                remind_every: self.remind_every.map(Span),
                further_falls: self.further_falls,
                flap_limit: self.flap_limit.map(|limit| limit.get()),
                flap_window: self.flap_window.map(Span),
                flap_steady: self.flap_steady.map(Span),
            },
            said: None,
            seasons: self
                .seasons
                .into_iter()
                .map(|season| Season {
                    from: season.from,
                    until: season.until,
                    units: season.units,
                })
                .collect(),
            origin: problems.origin(&node.span),
        })
    }

    fn low_stock(&self, node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Threshold> {
        // A muting rule need not repeat a number that nobody compares with.
        let units = match self.threshold {
            None if self.enabled => {
                node.refuse_field(
                    problems,
                    "threshold",
                    "missing; a `low_stock` rule needs a number of units",
                );
                return None;
            }
            units => units.unwrap_or(0),
        };
        let boundary = self.boundary.unwrap_or(Boundary::AtOrBelow);
        if units < 0 {
            let problem =
                format!("{units} is below zero; a threshold is a number of units from 0 up");
            node.refuse_field(problems, "threshold", problem);
        }
        if units == 0 && boundary == Boundary::Below && self.enabled {
            let problem =
                "nothing is below 0 units; raise the threshold or use boundary `at_or_below`";
            node.refuse_field(problems, "threshold", problem);
        }
        let highest = self.seasons.iter().map(|season| season.units).max();
        let highest = highest.map_or(units, |season| season.max(units));
        let least = match boundary {
            Boundary::AtOrBelow => highest.saturating_add(1),
            Boundary::Below => highest,
        };
        if let Some(recovery) = self.recovery.filter(|recovery| *recovery < least) {
            let words = match boundary {
                Boundary::AtOrBelow => "at or below",
                Boundary::Below => "below",
            };
            let problem = format!(
                "{recovery} is not above what fires ({words} {highest}); use at least {least}"
            );
            node.refuse_field(problems, "recovery", problem);
        }
        Some(Threshold {
            units,
            boundary,
            basis: self.basis.unwrap_or(Basis::Available),
            recovery: self.recovery,
            over: self.over.unwrap_or(Over::Each),
        })
    }

    fn high_demand(&self, node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Demand> {
        let at_least = match self.at_least {
            None if self.enabled => {
                let problem = "missing; a `high_demand` rule needs the least number sold";
                node.refuse_field(problems, "at_least", problem);
                return None;
            }
            at_least => at_least.unwrap_or(1),
        };
        if at_least < 1 {
            let problem =
                format!("{at_least} would always fire; give the least number sold, from 1 up");
            node.refuse_field(problems, "at_least", problem);
        }
        let days = self.days.map_or(7, SalesDays::get);
        let baseline_days = self.usual_days.map_or(28, SalesDays::get);
        let together = days + baseline_days;
        if self.times_usual.is_some() && together > SALES_DAYS {
            let key = match self.usual_days {
                Some(_) => "usual_days",
                None => "days",
            };
            let problem = format!(
                "{days} `days` and {baseline_days} `usual_days` before them are {together} days, and \
                 sales are kept for {SALES_DAYS}"
            );
            node.refuse_field(problems, key, problem);
        }
        Some(Demand {
            days,
            at_least,
            baseline_tenths: self.times_usual.map(|factor| factor.0),
            baseline_days,
        })
    }

    fn check_keys(&self, node: &Node<'_>, problems: &mut Problems<'_>) {
        for (key, kinds) in BELONGS {
            if node.get(key).is_some() && !kinds.contains(&self.kind) {
                let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
                let names = super::words::one_of(&names);
                let problem = format!("belongs to {names} rules, and this one is `{}`", self.kind);
                node.refuse_field(problems, key, problem);
            }
        }
    }

    fn check_scope(&self, node: &Node<'_>, problems: &mut Problems<'_>) {
        if self.product.is_some() {
            for (key, given) in [
                ("category", &self.category),
                ("make", &self.make),
                ("model", &self.model),
            ] {
                if given.is_some() {
                    node.refuse_field(
                        problems,
                        key,
                        format!("a rule for one `product` has no `{key}`; leave one out"),
                    );
                }
            }
        } else if self.category.is_some() && self.make.is_some() {
            node.refuse_field(
                problems,
                "make",
                "a rule is for a `category` or for a `make`; leave one out",
            );
        }
        if self.model.is_some() && self.make.is_none() {
            node.refuse_field(
                problems,
                "model",
                "needs `make` beside it: models of two makes may share a name",
            );
        }
        if self.location.is_some() && self.group.is_some() {
            node.refuse_field(
                problems,
                "group",
                "a rule is for one `location` or for a `group`; leave one out",
            );
        }
        if self.over == Some(Over::Sum) && self.group.is_none() {
            node.refuse_field(
                problems,
                "over",
                "a sum needs a `group` of locations to be taken over",
            );
        }
    }

    fn check_seasons(&self, node: &Node<'_>, problems: &mut Problems<'_>) {
        let seasons = node.get("seasons");
        let nodes = seasons.iter().flat_map(Node::elements);
        if self.kind == RuleKind::OutOfStock && !self.seasons.is_empty() {
            node.refuse_field(
                problems,
                "seasons",
                "an `out_of_stock` rule has no number that a season could change",
            );
        }
        let mut earlier: Vec<&SeasonSettings> = Vec::new();
        for (season, node) in self.seasons.iter().zip(nodes) {
            if season.until <= season.from {
                node.refuse_field(
                    problems,
                    "until",
                    "ends before it starts; `until` must be after `from`",
                );
            }
            let least = i64::from(self.kind == RuleKind::HighDemand);
            if season.units < least {
                let problem = format!(
                    "{} is out of range; give a number from {least} up",
                    season.units
                );
                node.refuse_field(problems, "units", problem);
            }
            let overlaps =
                |other: &&&SeasonSettings| season.from < other.until && other.from < season.until;
            if let Some(other) = earlier.iter().find(overlaps) {
                let problem = format!(
                    "overlaps the season from {}; only one number can apply at a time",
                    other.from
                );
                node.refuse_field(problems, "from", problem);
            }
            earlier.push(season);
        }
    }
}
