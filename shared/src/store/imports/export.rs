//! Imported thresholds as the rows that import them.

use serde_json::{Map, Value, json};

use super::rows::EVERY;
use crate::domain::Severity;
use crate::domain::rule::{Basis, Boundary, Check, Over, Rule};

/// A threshold that was imported, as cells by column: what its import said. Nothing for a rule of another
/// kind.
pub fn cells_of(rule: &Rule) -> Option<Map<String, Value>> {
    let Check::LowStock(threshold) = &rule.check else {
        return None;
    };
    let scope = &rule.scope;
    let names_products = scope.category.is_some() || scope.make.is_some() || scope.model.is_some();
    let product = scope.product.as_ref().map(ToString::to_string);
    let product = product.or_else(|| (!names_products).then(|| EVERY.to_owned()));
    let said = rule.said.unwrap_or_default();
    let over = Some(threshold.over).filter(|over| *over == Over::Sum);
    let cells = [
        ("product", json!(product)),
        ("category", json!(scope.category)),
        ("make", json!(scope.make)),
        ("model", json!(scope.model)),
        ("location", json!(scope.location)),
        ("group", json!(scope.group)),
        ("threshold", json!(threshold.units)),
        ("boundary", json!(said.boundary.map(Boundary::name))),
        ("basis", json!(said.basis.map(Basis::name))),
        ("recovery", json!(said.recovery)),
        ("over", json!(over.map(Over::name))),
        ("severity", json!(said.severity.map(Severity::name))),
    ];
    let cells = cells.into_iter().filter(|(_, value)| !value.is_null());
    Some(
        cells
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}
