//! The channels on which people are told: which of them reach anybody, and sending again what did not
//! arrive.

use http::StatusCode;
use serde_json::{Value, json};
use shared::config::channel::Channel;
use shared::domain::ChannelName;
use shared::store::breakers::{Destination, TroubleKind};
use shared::store::resend::Resend;

use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::problem::Problem;

pub(super) async fn list(context: &Context<'_>) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    let installation = context.installation().await?;
    let mut items = Vec::new();
    for (name, channel) in &installation.config.channels {
        let destination = context.store.destination(name).await?;
        items.push(shown(name, channel, &destination));
    }
    Ok(Answer::ok(json!({ "items": items })))
}

fn shown(name: &ChannelName, channel: &Channel, destination: &Destination) -> Value {
    let trouble = destination.trouble.as_ref();
    let state = match trouble.map(|trouble| trouble.kind) {
        _ if !channel.common.enabled => "off",
        Some(TroubleKind::NotLive) => "not_live",
        Some(TroubleKind::Refused) => "refused",
        None if !destination.breaker.is_closed() => "waiting",
        None => "live",
    };
    json!({
        "channel": name,
        "kind": channel.kind,
        "state": state,
        "reason": trouble.map(|trouble| &trouble.reason),
        "since": trouble.map(|trouble| trouble.since.0),
        "alert": trouble.and_then(|trouble| trouble.alert.as_ref()),
    })
}

pub(super) async fn resend(context: &Context<'_>, channel: &str) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    let alert = if context.request.body().is_empty() {
        None
    } else {
        let mut body = Fields::of_body(context.request)?;
        let alert: Option<String> = body.parsed("alert");
        body.finish(|| Some(alert))?
    };
    let unknown = || Problem::not_found(format!("there is no channel `{channel}`"));
    let name: ChannelName = channel.parse().map_err(|_| unknown())?;
    if !context
        .installation()
        .await?
        .config
        .channels
        .contains_key(&name)
    {
        return Err(unknown());
    }
    if let Some(id) = &alert
        && context.store.alert(id).await?.is_none()
    {
        return Err(Problem::not_found(format!("there is no alert `{id}`")));
    }
    let what = Resend {
        channel: name,
        alert,
    };
    let resent = context.store.resend(&what, context.until).await?;
    let body = json!({ "deliveries": resent.deliveries, "complete": resent.complete });
    Ok(Answer::new(StatusCode::ACCEPTED, body))
}
