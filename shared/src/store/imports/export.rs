//! Imported thresholds as the rows that import them.

use serde_json::{Map, Value, json};

use super::rows::{EVERY, Target};
use crate::domain::rule::{Check, Over, Rule, Said};

/// A threshold that was imported, as cells by column: what its import said. Nothing for a rule of another
/// kind.
pub fn cells_of(rule: &Rule) -> Option<Map<String, Value>> {
    let Check::LowStock(threshold) = &rule.check else {
        return None;
    };
    let said = Said::of(rule);
    let target = Target {
        scope: rule.scope.clone(),
        units: Some(threshold.units),
        boundary: said.boundary,
        basis: said.basis,
        recovery: said.recovery,
        over: Some(threshold.over).filter(|over| *over == Over::Sum),
        severity: said.severity,
    };
    let scope = &rule.scope;
    let names_products = [&scope.category, &scope.make, &scope.model]
        .iter()
        .any(|name| name.is_some());
    let every = scope.product.is_none() && !names_products;
    let every = every.then(|| ("product", json!(EVERY)));
    Some(
        every
            .into_iter()
            .chain(target.cells())
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::rows::threshold_columns;
    use super::*;
    use crate::domain::Severity;
    use crate::domain::rule::{Basis, Boundary, Scope};

    #[test]
    fn a_threshold_has_a_cell_in_every_column_that_is_exported() {
        let text = |text: &str| Some(text.to_owned());
        let all = Target {
            scope: Scope {
                product: Some("OIL".parse().unwrap()),
                category: text("oil"),
                make: text("Bentley"),
                model: text("Bentayga"),
                location: Some("north".parse().unwrap()),
                group: Some("all".parse().unwrap()),
            },
            units: Some(3),
            boundary: Some(Boundary::Below),
            basis: Some(Basis::OnHand),
            recovery: Some(5),
            over: Some(Over::Sum),
            severity: Some(Severity::Warning),
        };
        let columns: Vec<_> = all.cells().map(|(name, _)| name).collect();
        assert_eq!(columns, threshold_columns().collect::<Vec<_>>());
    }

    /// What is known of an import that was interrupted holds after a version with more columns came.
    #[test]
    fn a_row_is_known_by_what_it_says_and_by_no_column_that_it_lacks() {
        let row = Target {
            units: Some(3),
            ..Target::default()
        };
        assert_eq!(row.cells().collect::<Vec<_>>(), [("threshold", json!(3))]);
    }
}
