//! Who changed what, from what to what, when and why.

use serde_json::{Value, json};
use shared::domain::ledger::LedgerRow;
use shared::domain::{ProductId, Vin};
use shared::store::keys;

use super::explain::configured;
use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::paging::{Wanted, fill};
use crate::problem::Problem;

pub(super) async fn list(context: &Context<'_>) -> Result<Answer, Problem> {
    let mut query = Fields::of_query(context.request);
    let product: Option<ProductId> = query.parsed("product");
    let location: Option<String> = query.parsed("location");
    let vin = query.parsed::<String>("vin");
    let vin = vin.and_then(|vin| match Vin::known(&vin) {
        Ok(vin) => Some(vin),
        Err(error) => {
            query.refuse("vin", error.to_string());
            None
        }
    });
    let wanted = Wanted::read(context.request, &mut query)?;
    let of = match (&product, &location, &vin) {
        (Some(product), _, None) => Some(keys::product_history(product)),
        (None, None, Some(vin)) => Some(keys::unit_history(vin.as_str())),
        _ => None,
    };
    if of.is_none() {
        let wanted = "is needed: give `product` with `location`, `product` alone for its description, or `vin`";
        query.refuse("product", wanted);
    }
    let mut of = query.finish(|| of)?;
    if let Some((product, location)) = product.zip(location) {
        of = position(context, &product, &location).await?;
    }
    let of = &of;
    let store = context.store;
    fill(
        context,
        &wanted,
        |cursor: Option<String>, room| async move { store.history(of, cursor.as_deref(), room).await },
        |row| Some(shown(&row)),
    )
    .await
}

/// How the ledger names a position. A place that the configuration does not have any more goes by its id.
async fn position(
    context: &Context<'_>,
    product: &ProductId,
    location: &str,
) -> Result<String, Problem> {
    let installation = context.installation().await?;
    let unknown = match configured(&installation, location) {
        Ok(location) => return Ok(keys::position_history(product, &location)),
        Err(unknown) => unknown,
    };
    let Ok(former) = location.parse() else {
        return Err(unknown);
    };
    let of = keys::position_history(product, &former);
    let rows = context.store.history(&of, None, 1).await?;
    match rows.items.is_empty() {
        true => Err(unknown),
        false => Ok(of),
    }
}

fn shown(row: &LedgerRow) -> Value {
    json!({
        "of": row.of,
        "revision": row.revision,
        "at": row.at,
        "source": row.source,
        "event": row.event,
        "actor": row.actor,
        "reason": row.reason,
        "correlation": row.correlation,
        "change": row.change,
        "before": row.before,
        "after": row.after,
        "previous": row.previous,
        "hash": row.hash,
    })
}
