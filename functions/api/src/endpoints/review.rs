//! What could not be believed, and what waits for a person.

use serde_json::{Value, json};
use shared::store::inbox::{InboxEntry, Resolution};
use shared::store::quarantine::{HeldState, Quarantined};

use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::paging::{Wanted, fill};
use crate::problem::Problem;

/// Characters of the reason why something is left in quarantine.
const REASON_MOST: usize = 400;

pub(super) async fn quarantine(context: &Context<'_>) -> Result<Answer, Problem> {
    let mut query = Fields::of_query(context.request);
    let named: Option<String> = query.parsed("state");
    let state = match &named {
        None => Some(HeldState::Open),
        Some(named) => HeldState::ALL
            .iter()
            .copied()
            .find(|state| state.name() == named),
    };
    if state.is_none() {
        query.refuse("state", "is none of `open`, `closed`, `dismissed`");
    }
    let wanted = Wanted::read(context.request, &mut query)?;
    let state = query.finish(|| state)?;
    let store = context.store;
    fill(
        context,
        &wanted,
        |cursor: Option<String>, room| async move {
            store.quarantined(state, cursor.as_deref(), room).await
        },
        |held| Some(shown(&held)),
    )
    .await
}

pub(super) async fn dismiss(context: &Context<'_>, id: &str) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    let mut body = Fields::of_body(context.request)?;
    let reason = body.text("reason", REASON_MOST);
    if reason.is_none() {
        body.refuse("reason", "is missing: say why it is left as it is");
    }
    let reason = body.finish(|| reason)?;
    let by = context.request.actor().unwrap_or("api");
    let held = context.store.dismiss_quarantined(id, &reason, by).await?;
    Ok(Answer::ok(shown(&held)))
}

fn shown(held: &Quarantined) -> Value {
    json!({
        "id": held.id,
        "at": held.at,
        "source": held.source,
        "event": held.event,
        "reason": held.reason,
        "detail": held.detail(),
        "where": held.place,
        "about": held.about,
        "about_more": held.more,
        "times": held.times,
        "last_at": held.last.map_or(held.at, |last| last.0),
        "row": held.row,
        "state": held.state,
        "over": held.over.as_ref().map(|over| json!({
            "at": over.at,
            "by": over.by,
            "reason": over.why,
        })),
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
