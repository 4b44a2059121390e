//! What is stored, against the ledger.

use serde_json::{Value, json};
use shared::store::doctor::Examined;

use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::paging::Wanted;
use crate::problem::Problem;

/// Goes on until something is found, a page's worth was looked at, or the time is over.
pub(super) async fn examine(context: &Context<'_>) -> Result<Answer, Problem> {
    let mut query = Fields::of_query(context.request);
    let wanted = Wanted::read(context.request, &mut query)?;
    query.finish(|| Some(()))?;
    let installation = context.installation().await?;
    let authority = installation.authority();
    let mut sum = Examined::default();
    let mut cursor = wanted.cursor().map(str::to_owned);
    let most = u64::try_from(wanted.limit).unwrap_or_default();
    loop {
        let looked_at = sum.positions + sum.units + sum.products;
        let room = i32::try_from(most.saturating_sub(looked_at)).unwrap_or(wanted.limit);
        let store = context.store;
        let (examined, next) = store.examine(&authority, cursor.as_deref(), room).await?;
        sum.positions += examined.positions;
        sum.units += examined.units;
        sum.products += examined.products;
        sum.rows += examined.rows;
        sum.findings.extend(examined.findings);
        cursor = next;
        let full = sum.positions + sum.units + sum.products >= most;
        if full || cursor.is_none() || context.is_late() {
            break;
        }
    }
    let findings: Vec<Value> = sum.findings.iter().map(|finding| json!(finding)).collect();
    let next = cursor.map(|cursor| wanted.sealed(&cursor));
    Ok(Answer::ok(json!({
        "items": findings,
        "examined": {
            "positions": sum.positions,
            "units": sum.units,
            "products": sum.products,
            "ledger_rows": sum.rows,
        },
        "next": next,
    })))
}
