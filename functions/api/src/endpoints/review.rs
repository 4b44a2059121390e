//! What could not be believed, and what waits for a person.

use serde_json::{Value, json};
use shared::store::inbox::{InboxEntry, Resolution};
use shared::store::quarantine::Quarantined;

use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::paging::{Wanted, fill};
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
    let store = context.store;
    fill(
        context,
        &wanted,
        |cursor: Option<String>, room| async move { store.inbox(cursor.as_deref(), room).await },
        |entry| Some(waiting(&entry)),
    )
    .await
}

fn waiting(entry: &InboxEntry) -> Value {
    json!({
        "id": entry.id,
        "at": entry.at.0,
        "connector": entry.connector,
        "file": entry.file,
        "removals": entry.count,
        "held": entry.held,
        "limit": entry.limit,
        "examples": entry.examples,
        "state": entry.state,
        "resolved_by": entry.by,
        "resolved_at": entry.resolved_at.map(|at| at.0),
    })
}

fn wanted(context: &Context<'_>) -> Result<Wanted, Problem> {
    let mut query = Fields::of_query(context.request);
    let wanted = Wanted::read(context.request, &mut query)?;
    query.finish(|| Some(wanted))
}

pub(super) async fn resolve(
    context: &Context<'_>,
    id: &str,
    resolution: Resolution,
) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    let by = context.request.actor().unwrap_or("api");
    let entry = context.store.resolve_inbox(id, resolution, by).await?;
    Ok(Answer::ok(waiting(&entry)))
}
