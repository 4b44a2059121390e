//! Which rule, and why that one: the answer in words.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::book::{Place, Resolution};
use super::{Basis, Boundary, Check, Demand, Rule, Season, Threshold};

impl Resolution<'_> {
    /// Which rule applies now and why, or why none does.
    pub fn explain(&self, now: Timestamp, zone: &TimeZone) -> String {
        let place = match self.place {
            Place::Location(location) => format!("at {location}"),
            Place::Group(group) => format!("summed over group {group}"),
        };
        let subject = format!("{} {place}", self.product);
        let kind = self.kind;
        match (self.considered.split_first(), &self.rule) {
            (Some((_, others)), Some(rule)) => {
                let mut text = rule.in_words(now, zone);
                if let Some(other) = self.completed_by {
                    text += &format!(
                        " What its import does not say is as in rule `{}` ({}).",
                        other.id, other.origin
                    );
                }
                if !others.is_empty() {
                    text += &format!(" It wins over {}.", listed(others));
                }
                text
            }
            (Some((muting, others)), None) => {
                let mut text = format!(
                    "No {kind} alert for {subject}: rule `{}`, set for {}, switches it off ({}).",
                    muting.id,
                    scope_in_words(muting),
                    muting.origin
                );
                if !others.is_empty() {
                    text += &format!(" It wins over {}.", listed(others));
                }
                text
            }
            (None, _) => format!("No {kind} rule applies to {subject}."),
        }
    }
}

impl Rule {
    /// What it asks for now, what for, and where it was written.
    pub fn in_words(&self, now: Timestamp, zone: &TimeZone) -> String {
        let in_force = self.in_force(now, zone);
        let mut text = format!(
            "{} from rule `{}`, set for {} ({}).",
            in_full(&in_force.check),
            self.id,
            scope_in_words(self),
            self.origin
        );
        if let Some(Season { from, until, .. }) = in_force.season {
            let zone = zone.iana_name().unwrap_or("local time");
            text += &format!(
                " This is the season's, from {} until {} ({zone}); otherwise it is {}.",
                from.strftime("%Y-%m-%d %H:%M"),
                until.strftime("%Y-%m-%d %H:%M"),
                in_short(&self.check)
            );
        }
        text
    }
}

/// `Threshold 3 (fires at 3 or fewer available)`.
fn in_full(check: &Check) -> String {
    match check {
        Check::LowStock(threshold) => {
            let Threshold { units, basis, .. } = threshold;
            let fires = match threshold.boundary {
                Boundary::AtOrBelow => format!("at {units} or fewer {}", quantity(*basis)),
                Boundary::Below => format!("below {units} {}", quantity(*basis)),
            };
            match threshold.recovery {
                None => format!("Threshold {units} (fires {fires})"),
                Some(_) => format!(
                    "Threshold {units} (fires {fires}, over from {})",
                    threshold.recovery_level()
                ),
            }
        }
        Check::OutOfStock { basis } => {
            format!("Out of stock (fires at nothing {})", quantity(*basis))
        }
        Check::HighDemand(demand) => {
            let Demand {
                at_least,
                baseline_days,
                ..
            } = demand;
            let window = window(demand);
            match demand.baseline_tenths {
                None => format!("High demand (fires at {at_least} or more sold {window})"),
                Some(tenths) => format!(
                    "High demand (fires at {at_least} or more sold {window}, if that is {} times the \
                     usual rate of the {} before)",
                    times(tenths),
                    match baseline_days {
                        1 => "day".to_owned(),
                        days => format!("{days} days"),
                    }
                ),
            }
        }
    }
}

/// `threshold 3`.
fn in_short(check: &Check) -> String {
    match check {
        Check::LowStock(threshold) => format!("threshold {}", threshold.units),
        Check::OutOfStock { basis } => format!("nothing {}", quantity(*basis)),
        Check::HighDemand(demand) => match demand.baseline_tenths {
            None => format!("{} sold {}", demand.at_least, window(demand)),
            Some(tenths) => {
                format!(
                    "{} sold {}, {} times the usual",
                    demand.at_least,
                    window(demand),
                    times(tenths)
                )
            }
        },
    }
}

/// What a rule is set for: `OIL-5W40 at milano`, `category Oils`, `whole account`.
pub(crate) fn scope_in_words(rule: &Rule) -> String {
    let scope = &rule.scope;
    let product = match (&scope.product, &scope.make, &scope.model, &scope.category) {
        (Some(product), ..) => Some(product.to_string()),
        (None, Some(make), Some(model), _) => Some(format!("{make} {model}")),
        (None, Some(make), None, _) => Some(format!("make {make}")),
        (None, None, _, Some(category)) => Some(format!("category {category}")),
        (None, None, _, None) => None,
    };
    let place = match (&scope.location, &scope.group) {
        (Some(location), _) => Some(format!("at {location}")),
        (None, Some(group)) if rule.is_over_sum() => Some(format!("summed over group {group}")),
        (None, Some(group)) => Some(format!("in group {group}")),
        (None, None) => None,
    };
    match (product, place) {
        (Some(product), Some(place)) => format!("{product} {place}"),
        (Some(product), None) => product,
        (None, Some(place)) => format!("every product {place}"),
        (None, None) => "whole account".to_owned(),
    }
}

/// ``rule `a` (threshold 5, whole account) and rule `b` (off, category Oils)``.
fn listed(rules: &[&Rule]) -> String {
    let named = |rule: &&Rule| {
        let short = if rule.enabled {
            in_short(&rule.check)
        } else {
            "off".to_owned()
        };
        format!("rule `{}` ({short}, {})", rule.id, scope_in_words(rule))
    };
    match rules {
        [] => String::new(),
        [one] => named(one),
        [most @ .., last] => {
            let most: Vec<_> = most.iter().map(named).collect();
            format!("{} and {}", most.join(", "), named(last))
        }
    }
}

const fn quantity(basis: Basis) -> &'static str {
    match basis {
        Basis::OnHand => "on hand",
        Basis::Available => "available",
        Basis::Projected => "projected",
    }
}

fn window(demand: &Demand) -> String {
    match demand.days {
        1 => "in a day".to_owned(),
        days => format!("in {days} days"),
    }
}

/// Tenths as a decimal, without a needless `.0`.
fn times(tenths: u32) -> String {
    match (tenths / 10, tenths % 10) {
        (whole, 0) => whole.to_string(),
        (whole, tenth) => format!("{whole}.{tenth}"),
    }
}
