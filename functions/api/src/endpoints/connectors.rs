//! Connected systems: read one now, or apply what it sent again.

use http::StatusCode;
use jiff::SignedDuration;
use serde_json::json;
use shared::domain::ConnectorName;
use shared::run_queue::Started;
use shared::store::feeds::FeedState;

use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::ports::{Replayed, Selection};
use crate::problem::{FieldError, Problem};

/// A replay answers with what it has done by then, and where it goes on.
const ANSWERED_AFTER: SignedDuration = SignedDuration::from_secs(8);

pub(super) async fn sync(context: &Context<'_>, connector: &str) -> Result<Answer, Problem> {
    let mut query = Fields::of_query(context.request);
    let accept_columns = query.flag("accept_columns");
    query.finish(|| Some(()))?;
    let installation = context.installation().await?;
    let unknown = || {
        let those = installation.pulled().map(|it| format!("`{it}`"));
        let those = match those.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "none is read".to_owned(),
            those => format!("those that are read are {those}"),
        };
        Problem::not_found(format!("there is no connector `{connector}`; {those}"))
    };
    let name: ConnectorName = connector.parse().map_err(|_| unknown())?;
    if !installation.config.connectors.contains_key(&name) {
        return Err(unknown());
    }
    if !installation.pulled().any(|pulled| *pulled == name) {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "not_pulled",
            "This connector is not read",
            format!("`{name}` sends by itself, or is switched off"),
        ));
    }
    if accept_columns {
        let allow = |state: &mut FeedState| state.columns_may_change = true;
        context.store.change_feed(&name, allow).await?;
    }
    let (state, run) = match context.ports.sync.start(&name).await? {
        Started::Queued { slot } => ("queued", slot),
        Started::Running { slot } => ("running", slot),
    };
    let body = json!({ "connector": name, "run": run, "state": state });
    Ok(Answer::new(StatusCode::ACCEPTED, body))
}

pub(super) async fn replay(context: &Context<'_>) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    let mut body = Fields::of_body(context.request)?;
    let installation = context.installation().await?;
    let zone = &installation.config.account.zone.0;
    let connector: Option<ConnectorName> = body.required("connector");
    let (from, to) = (body.time_in("from", zone), body.time_in("to", zone));
    let id: Option<String> = body.parsed("id");
    let mut cursor: Option<String> = body.parsed("cursor");
    if id.is_some() && (from.is_some() || to.is_some()) {
        body.refuse("id", "names one payload; leave out `from` and `to`");
    }
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        body.refuse("to", "is not after `from`");
    }
    let selection = body.finish(|| {
        Some(Selection {
            connector: connector?,
            from,
            to,
            id,
        })
    })?;
    let name = &selection.connector;
    if !installation.config.connectors.contains_key(name) {
        let detail = format!("`{name}` is not in the configuration");
        return Err(Problem::invalid(vec![FieldError::body(
            "connector",
            detail,
        )]));
    }
    // Until the selection or the time is over. A page of large payloads may take a while, and
    // whoever waits is to see that it goes on.
    let begun = context.now();
    let mut sum = Replayed::default();
    loop {
        let page = context.ports.replay.replay(&selection, cursor.as_deref());
        let page = page.await?;
        sum.received += page.received;
        sum.changed += page.changed;
        sum.known += page.known;
        sum.quarantined += page.quarantined;
        sum.ignored += page.ignored;
        sum.failed.extend(page.failed);
        cursor = page.next;
        let enough = context.now().duration_since(begun) >= ANSWERED_AFTER;
        if cursor.is_none() || enough || context.is_late() {
            sum.next = cursor;
            return Ok(Answer::ok(sum));
        }
    }
}
