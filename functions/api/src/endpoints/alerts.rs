//! What people were told, and how it reached them.

use serde_json::{Value, json};
use shared::domain::alert::AlertState;
use shared::domain::message::Stock;
use shared::domain::position::Sources;
use shared::domain::rule::total;
use shared::domain::watch::Withheld;
use shared::domain::{AlertKind, Position, Subject};
use shared::store::alerts::{Alert, Watched};
use shared::store::intents::{Attempt, Intent};
use shared::store::{Page, StoreError};

use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::paging::{Wanted, fill};
use crate::problem::Problem;

pub(super) async fn list(context: &Context<'_>) -> Result<Answer, Problem> {
    let mut query = Fields::of_query(context.request);
    let state: Option<String> = query.parsed("state");
    let lists: &[List] = match state.as_deref() {
        None => &[
            List::Of(AlertState::Open),
            List::Untold(Withheld::Covered),
            List::Untold(Withheld::SourceDown),
            List::Of(AlertState::Resolved),
        ],
        Some("open") => &[List::Of(AlertState::Open)],
        Some("covered") => &[List::Untold(Withheld::Covered)],
        Some("withheld") => &[List::Untold(Withheld::SourceDown)],
        Some("resolved") => &[List::Of(AlertState::Resolved)],
        Some(other) => {
            query.refuse(
                "state",
                format!("`{other}` is none of `open`, `covered`, `withheld` and `resolved`"),
            );
            &[]
        }
    };
    let wanted = Wanted::read(context.request, &mut query)?;
    query.finish(|| Some(()))?;
    fill(
        context,
        &wanted,
        |cursor: Option<String>, room| async move {
            one_after_another(context, lists, cursor, room).await
        },
        Some,
    )
    .await
}

/// A list of alerts.
#[derive(Clone, Copy)]
enum List {
    /// Those that people were told of, in this state.
    Of(AlertState),
    /// Those that are open, and that nobody was told of for this reason.
    Untold(Withheld),
}

/// Pages through these lists as if they were one.
async fn one_after_another(
    context: &Context<'_>,
    lists: &[List],
    cursor: Option<String>,
    room: i32,
) -> Result<Page<Value>, StoreError> {
    let (index, inner) = match &cursor {
        None => (0, None),
        Some(cursor) => {
            let (index, inner) = cursor.split_once('\u{1e}').ok_or(StoreError::Cursor)?;
            let index: usize = index.parse().map_err(|_| StoreError::Cursor)?;
            (index, Some(inner).filter(|inner| !inner.is_empty()))
        }
    };
    let page = match lists.get(index).ok_or(StoreError::Cursor)? {
        List::Of(state) => {
            let page = context.store.alerts(*state, inner, room).await?;
            let mut items = Vec::new();
            for alert in &page.items {
                items.push(shown(context, alert).await?);
            }
            Page {
                items,
                next: page.next,
            }
        }
        List::Untold(reason) => {
            let page = context.store.withheld_alerts(*reason, inner, room).await?;
            let mut items = Vec::new();
            for watched in &page.items {
                items.extend(untold(context, watched, *reason).await?);
            }
            Page {
                items,
                next: page.next,
            }
        }
    };
    let next = match page.next {
        Some(inner) => Some(format!("{index}\u{1e}{inner}")),
        None if index + 1 < lists.len() => Some(format!("{}\u{1e}", index + 1)),
        None => None,
    };
    Ok(Page {
        items: page.items,
        next,
    })
}

/// An alert that nobody was told of, why, and the one that covers it, if one does.
async fn untold(
    context: &Context<'_>,
    watched: &Watched,
    reason: Withheld,
) -> Result<Option<Value>, StoreError> {
    let Some(episode) = watched.watch.episode() else {
        return Ok(None);
    };
    let by = match &watched.subject {
        Subject::Position { product, .. } | Subject::Group { product, .. }
            if reason == Withheld::Covered =>
        {
            let picture = context.store.picture(product).await?;
            let others = picture.watches.iter().map(|stored| &stored.data);
            let told = others.filter_map(|other| {
                let graver = other.watch.episode().filter(|it| it.told())?;
                let of_the_same = other.subject == watched.subject
                    && other.kind == AlertKind::OutOfStock
                    || graver.cause.is_some() && graver.cause == episode.cause;
                of_the_same.then_some(graver)
            });
            told.max_by_key(|graver| graver.severity)
                .map(|graver| graver.alert.clone())
        }
        _ => None,
    };
    Ok(Some(json!({
        "id": episode.alert,
        "kind": watched.kind,
        "severity": episode.severity,
        "state": match reason {
            Withheld::Covered => "covered",
            Withheld::SourceDown => "withheld",
        },
        "withheld": reason,
        "subject": watched.subject,
        "opened_at": episode.opened_at.0,
        "covered_by": by,
    })))
}

/// How much there is now of what an open alert is about, where that is known.
pub(super) async fn stock_now(
    context: &Context<'_>,
    alert: &Alert,
) -> Result<Option<Stock>, StoreError> {
    if alert.state != AlertState::Open {
        return Ok(None);
    }
    let installation = match context.installation().await {
        Ok(installation) => installation,
        Err(_) => return Ok(None),
    };
    let authority = installation.authority();
    let sources = &authority.quantities;
    match &alert.subject {
        Subject::Position { product, location } => {
            let position = context.store.position(product, location).await?;
            Ok(position.and_then(|position| position.stock(sources)))
        }
        Subject::Group { product, group } => {
            let members = installation.config.locations.members(group);
            let picture = context.store.picture(product).await?;
            Ok(sum(picture.stated_at(members, sources), sources))
        }
        _ => Ok(None),
    }
}

/// How much there is at these positions together; unknown if one of them is, or if there is none.
pub(super) fn sum<'a>(
    members: impl Iterator<Item = &'a Position>,
    sources: &Sources,
) -> Option<Stock> {
    let stocks: Vec<_> = members.map(|it| it.stock(sources)).collect();
    let known = Some(&stocks).filter(|stocks| !stocks.is_empty())?;
    total(known.iter().map(Option::as_ref))
}

async fn shown(context: &Context<'_>, alert: &Alert) -> Result<Value, StoreError> {
    Ok(json!({
        "id": alert.id,
        "kind": alert.kind,
        "severity": alert.severity,
        "state": alert.state,
        "subject": alert.subject,
        "revision": alert.revision,
        "opened_at": alert.opened_at,
        "updated_at": alert.updated_at,
        "channels": alert.told,
        "message": alert.message,
        "now": stock_now(context, alert).await?,
    }))
}

pub(super) async fn deliveries(context: &Context<'_>) -> Result<Answer, Problem> {
    let mut query = Fields::of_query(context.request);
    let alert: Option<String> = query.parsed("alert");
    let wanted = Wanted::read(context.request, &mut query)?;
    query.finish(|| Some(()))?;
    let store = context.store;
    let page = match &alert {
        None => store.intents(wanted.cursor(), wanted.limit).await?,
        Some(alert) => page_of(store.intents_of(alert).await?, &wanted)?,
    };
    let items = page.items.iter().map(delivery);
    Ok(wanted.answer(items.collect(), page.next.as_deref()))
}

/// An alert's deliveries are read together; the cursor counts them.
fn page_of(all: Vec<Intent>, wanted: &Wanted) -> Result<Page<Intent>, Problem> {
    let start = wanted.cursor().map_or(Ok(0), str::parse);
    let start: usize = start.map_err(|_| Problem::cursor())?;
    let length = usize::try_from(wanted.limit).unwrap_or(0);
    let end = start.saturating_add(length);
    let next = (end < all.len()).then(|| end.to_string());
    Ok(Page {
        items: all.into_iter().skip(start).take(length).collect(),
        next,
    })
}

fn delivery(intent: &Intent) -> Value {
    let attempts: Vec<_> = intent.tries.iter().map(attempt).collect();
    json!({
        "alert": intent.alert,
        "revision": intent.revision,
        "channel": intent.channel,
        "kind": intent.kind,
        "state": intent.state,
        "idempotency_key": intent.key(),
        "created_at": intent.created_at,
        "next_attempt_at": intent.not_before,
        "receipt": intent.receipt,
        "last_outcome": intent.last_outcome,
        "carried_by": intent.carried_by,
        "attempts": attempts,
    })
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "number": attempt.number,
        "at": attempt.at,
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "detail": attempt.detail,
    })
}
