//! What could not be believed, and what waits for a person.

use serde_json::{Value, json};
use shared::store::quarantine::Quarantined;

use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::paging::{Wanted, fill};
use crate::ports::Decision;
use crate::problem::Problem;

pub(super) async fn quarantine(context: &Context<'_>) -> Result<Answer, Problem> {
    let wanted = wanted(context)?;
    let store = context.store;
    fill(
        context,
        &wanted,
        |cursor: Option<String>, room| async move { store.quarantined(cursor.as_deref(), room).await },
        |held| Some(shown(&held)),
    )
    .await
}

fn shown(held: &Quarantined) -> Value {
    json!({
        "id": held.id,
        "at": held.at,
        "source": held.source,
        "event": held.event,
        "reason": held.reason,
        "detail": held.sentence,
        "where": held.place,
        "row": held.row,
    })
}

pub(super) async fn inbox(context: &Context<'_>) -> Result<Answer, Problem> {
    let wanted = wanted(context)?;
    let review = &context.ports.review;
    fill(
        context,
        &wanted,
        |cursor: Option<String>, room| async move { review.inbox(cursor.as_deref(), room).await },
        Some,
    )
    .await
}

fn wanted(context: &Context<'_>) -> Result<Wanted, Problem> {
    let mut query = Fields::of_query(context.request);
    let wanted = Wanted::read(context.request, &mut query)?;
    query.finish(|| Some(wanted))
}

pub(super) async fn resolve(
    context: &Context<'_>,
    id: &str,
    decision: Decision,
) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    let by = context.request.actor().unwrap_or("api");
    let entry = context.ports.review.resolve(id, decision, by).await?;
    Ok(Answer::ok(entry))
}
