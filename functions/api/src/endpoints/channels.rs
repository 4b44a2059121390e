//! The channels on which people are told: which of them reach anybody, and sending again what did not
//! arrive.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::domain::ChannelName;
use shared::installation::Installation;
use shared::store::breakers::{Trouble, TroubleKind};
use shared::store::resend::Resend;

use super::status::{self, Carried};
use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::problem::Problem;

/// How a channel stands.
pub(super) struct Standing {
    name: ChannelName,
    kind: &'static str,
    enabled: bool,
    /// Why nothing leaves by it.
    problem: Option<String>,
    /// Whether anything does: `None` where nobody can tell before the next message.
    live: Option<bool>,
    /// Whether its settings and credentials were looked at.
    is_checked: bool,
    /// What came of its last messages, where that still says something.
    trouble: Option<Trouble>,
    is_breaker_closed: bool,
    /// Whether it cannot be reached, or cannot take anything now.
    is_failing: bool,
    /// Whether all that is wrong is that it takes no more at once.
    is_limited: bool,
}

/// Each channel, and whether anything leaves by it.
pub(super) async fn standing(
    context: &Context<'_>,
    installation: &Installation,
) -> Result<Vec<Standing>, Problem> {
    let mut all = last_known(context, installation).await?;
    if all.iter().any(|channel| channel.trouble.is_some()) {
        let (_, carried) = Box::pin(status::deliveries(context)).await?;
        forget_what_is_over(&mut all, &carried);
    }
    Ok(all)
}

/// Forgets what channels refused before something last arrived.
pub(super) fn forget_what_is_over(all: &mut [Standing], carried: &Carried) {
    for channel in all {
        let last = carried.get(&channel.name).and_then(|(_, last)| *last);
        channel.forget_before(last);
    }
}

/// Each channel, and what was last noted of it, whatever arrived since.
pub(super) async fn last_known(
    context: &Context<'_>,
    installation: &Installation,
) -> Result<Vec<Standing>, Problem> {
    let states = context.ports.liveness.channels(&installation.config).await;
    let now = context.store.clock().now();
    let mut all = Vec::new();
    for (name, channel) in &installation.config.channels {
        let state = states.iter().find(|state| state.name == *name);
        let checked = state.map(|state| state.problem.clone());
        let destination = context.store.destination(name).await?;
        let is_failing = destination.is_waited_for(now);
        let is_limited = destination.is_limited(now);
        // What came of the last message says more than credentials that look right; that there were
        // none then says less than that there are now.
        let trouble = destination
            .trouble
            .filter(|it| checked.is_none() || it.kind != TroubleKind::NotLive);
        let problem = if channel.common.enabled {
            let reason = trouble.as_ref().map(|trouble| trouble.reason.clone());
            checked.clone().flatten().or(reason)
        } else {
            Some("switched off".to_owned())
        };
        all.push(Standing {
            name: name.clone(),
            kind: channel.kind.name(),
            enabled: channel.common.enabled,
            live: is_live(problem.as_ref(), checked.is_some()),
            is_checked: checked.is_some(),
            problem,
            trouble,
            is_breaker_closed: destination.breaker.is_closed(),
            is_failing,
            is_limited,
        });
    }
    Ok(all)
}

/// Whether anything leaves by a channel with this problem: `None` where nobody can tell.
fn is_live(problem: Option<&String>, is_checked: bool) -> Option<bool> {
    match problem {
        Some(_) => Some(false),
        None => is_checked.then_some(true),
    }
}

impl Standing {
    /// Forgets what it refused before something last arrived: two may have been on their way at once.
    fn forget_before(&mut self, arrived: Option<Timestamp>) {
        let is_over = |trouble: &mut Trouble| arrived > Some(trouble.since.0);
        if let Some(trouble) = self.trouble.take_if(is_over) {
            self.problem.take_if(|problem| *problem == trouble.reason);
            self.live = is_live(self.problem.as_ref(), self.is_checked);
        }
    }

    pub(super) const fn name(&self) -> &ChannelName {
        &self.name
    }

    /// As `GET /api/v1/status` shows it.
    pub(super) fn in_status(&self) -> Value {
        json!({
            "name": self.name,
            "kind": self.kind,
            "state": self.state(),
            "live": self.live,
            "problem": self.problem,
        })
    }

    /// Why what the routes send there may not arrive now, in a sentence.
    pub(super) fn obstacle(&self) -> Option<String> {
        let name = &self.name;
        let problem = self.problem.as_deref().unwrap_or_default();
        Some(match self.state() {
            "off" => format!("Channel `{name}` is switched off."),
            "refused" => format!("Channel `{name}` refuses what it is sent: {problem}."),
            "not_live" => format!("Channel `{name}` is not live: {problem}."),
            "limited" => {
                format!(
                    "Channel `{name}` takes no more at once; what waits for it follows by itself."
                )
            }
            "waiting" => {
                format!("Channel `{name}` fails or is slow, and is tried again by itself.")
            }
            _ => return None,
        })
    }

    fn state(&self) -> &'static str {
        match self.trouble.as_ref().map(|trouble| trouble.kind) {
            _ if !self.enabled => "off",
            None if self.problem.is_none() && self.is_failing && self.is_limited => "limited",
            Some(TroubleKind::Refused) if self.is_failing => "waiting",
            Some(TroubleKind::Refused) => "refused",
            _ if self.problem.is_some() => "not_live",
            _ if self.is_failing => "waiting",
            _ => "live",
        }
    }

    /// Why nothing leaves by it before somebody sets it right, as far as can be told: what it refused may
    /// be taken now.
    fn keeps_back(&self) -> Option<&str> {
        let is_live = !matches!(self.state(), "off" | "not_live");
        self.problem.as_deref().filter(|_| !is_live)
    }

    fn in_list(&self) -> Value {
        let trouble = self.trouble.as_ref();
        json!({
            "channel": self.name,
            "kind": self.kind,
            "state": self.state(),
            "reason": self.problem.as_ref().filter(|_| self.enabled),
            "since": trouble.map(|trouble| trouble.since.0),
            "alert": trouble.and_then(|trouble| trouble.alert.as_ref()),
        })
    }
}

pub(super) async fn list(context: &Context<'_>) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    let installation = context.installation().await?;
    let standing = standing(context, &installation).await?;
    let items: Vec<_> = standing.iter().map(Standing::in_list).collect();
    Ok(Answer::ok(json!({ "items": items })))
}

pub(super) async fn resend(context: &Context<'_>, channel: &str) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    let (alert, cursor) = if context.request.body().is_empty() {
        (None, None)
    } else {
        let mut body = Fields::of_body(context.request)?;
        let alert: Option<String> = body.parsed("alert");
        let cursor: Option<String> = body.parsed("cursor");
        body.finish(|| Some((alert, cursor)))?
    };
    let installation = context.installation().await?;
    let unknown = || {
        let channels = installation.config.channels.keys();
        let channels: Vec<_> = channels.map(|it| format!("`{it}`")).collect();
        let channels = channels.join(", ");
        Problem::not_found(format!(
            "there is no channel `{channel}`; there are {channels}"
        ))
    };
    let name: ChannelName = channel.parse().map_err(|_| unknown())?;
    if !installation.config.channels.contains_key(&name) {
        return Err(unknown());
    }
    let mut is_told = true;
    if let Some(id) = &alert {
        if context.store.alert(id).await?.is_none() {
            return Err(Problem::not_found(format!("there is no alert `{id}`")));
        }
        let mut told = context.store.intents_of(id).await?.into_iter();
        is_told = told.any(|intent| intent.channel == name);
    }
    let standing = standing(context, &installation).await?;
    let standing = standing.iter().find(|standing| standing.name == name);
    let keeps_back = standing.and_then(Standing::keeps_back);
    let what = Resend {
        channel: name,
        alert,
        cursor,
    };
    let store = context.store;
    let resent = store.resend(&what, &installation, context.until).await?;
    let body = json!({
        "deliveries": resent.deliveries,
        "perhaps_twice": resent.perhaps_twice,
        "never_told": !is_told && resent.deliveries == 0,
        "complete": resent.next.is_none(),
        "next": resent.next,
        "not_live": keeps_back,
        "waiting": standing.is_some_and(|standing| !standing.is_breaker_closed),
    });
    Ok(Answer::new(StatusCode::ACCEPTED, body))
}
