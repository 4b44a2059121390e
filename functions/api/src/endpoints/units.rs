//! One vehicle: what is true of it, and who says so.

use serde_json::{Map, Value, json};
use shared::domain::unit::{Field, Resolved, Stamped};
use shared::domain::vin::VinVerdict;
use shared::domain::{Authority, ConnectorName, Unit, Vin};

use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::problem::Problem;

pub(super) async fn show(context: &Context<'_>, vin: &str) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    let vin = Vin::known(vin)
        .map_err(|error| Problem::not_found(format!("there is no vehicle {vin}: {error}")))?;
    let unit = context.store.unit(vin.as_str()).await?;
    let unit = unit.ok_or_else(|| Problem::not_found(format!("there is no vehicle {vin}")))?;
    let installation = context.installation().await?;
    let authority = installation.authority();
    let resolved = unit.resolve(&authority);
    let rivals = rivals(&unit, &resolved);
    let unheeded = unheeded(&unit, &resolved);
    let verdict = installation.config.guards.vin.judge(&vin);
    Ok(Answer::ok(json!({
        "vin": vin,
        "state": resolved.stated(),
        "location": resolved.location,
        "stock_number": resolved.stock_number,
        "stated_by": resolved.holder,
        "sold_at": resolved.sold_at,
        "conflict": !rivals.is_empty(),
        "rivals": rivals,
        "unheeded": unheeded,
        "product": unit.counted.as_ref().map(|counted| &counted.product),
        "fields": fields(&unit, &authority),
        "check_digit": check_digit(verdict),
        "revision": unit.revision,
    })))
}

/// Who claims it against the word that counts: where, and in which state.
pub(super) fn rivals(unit: &Unit, resolved: &Resolved) -> Vec<Value> {
    let rivals = resolved.rivals.iter().map(|(connector, location)| {
        let state = unit.word_of(connector);
        json!({ "connector": connector, "location": location, "state": state })
    });
    rivals.collect()
}

/// Who has it in another state than the one that counts.
pub(super) fn unheeded(unit: &Unit, resolved: &Resolved) -> Vec<Value> {
    let unheeded = unit.unheeded(resolved).into_iter();
    let shown =
        unheeded.map(|(connector, state)| json!({ "connector": connector, "state": state }));
    shown.collect()
}

fn fields(unit: &Unit, authority: &Authority) -> Map<String, Value> {
    let names = unit.fields.keys();
    let shown = names.filter_map(|name| {
        let (source, stamped) = unit.field_and_source(name, authority.field(name))?;
        let others = unit
            .fields
            .get(name)?
            .iter()
            .filter(|(other, _)| *other != source);
        let others: Vec<_> = others
            .map(|(other, stamped)| said(other, stamped))
            .collect();
        let mut field = said(source, stamped);
        field["others"] = others.into();
        Some((name.clone(), field))
    });
    shown.collect()
}

fn said(source: &ConnectorName, stamped: &Stamped<Field>) -> Value {
    let tagged = json!(stamped.value);
    json!({
        "value": tagged.get("value"),
        "is": tagged.get("is"),
        "stated_by": source,
        "stated_at": stamped.version.at,
    })
}

fn check_digit(verdict: VinVerdict) -> Value {
    let (verdict, digits) = match verdict {
        VinVerdict::Accepted => ("accepted", None),
        VinVerdict::Flagged { found, computed } => ("flagged", Some((found, computed))),
        VinVerdict::Refused { found, computed } => ("refused", Some((found, computed))),
    };
    json!({
        "verdict": verdict,
        "found": digits.map(|(found, _)| found),
        "computed": digits.map(|(_, computed)| computed),
    })
}
