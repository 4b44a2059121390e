//! How things stand: what is live, what waits, what failed.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::config::connector::ConnectorSettings;
use shared::config::environment::Intake;
use shared::connectors::webhook_secrets;
use shared::domain::alert::{AlertKind, AlertState};
use shared::domain::watch::Withheld;
use shared::domain::{ChannelName, ConnectorName};
use shared::installation::{Installation, InstallationError};
use shared::store::alerts::Alert;
use shared::store::intents::{Intent, IntentState};
use shared::store::jobs::Reexamination;
use shared::store::quarantine::HeldState;
use shared::store::runs::RunState;
use shared::store::{Page, StoreError};

use super::channels::{self, Standing};
use super::unknown;
use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::problem::Problem;

/// How many entries of a list are counted; that there are more is said.
const MOST: usize = 1_000;
/// How many are asked for at once.
const PAGE: i32 = 200;
/// How many failed deliveries are named.
const NAMED: usize = 5;
/// How many connectors are asked for at once.
const AT_ONCE: usize = 8;
/// How many places of each shard of the `due` index are looked at for jobs.
const DUE: usize = 200;
/// How long it is looked at most for what rules name.
const LOOKING: SignedDuration = SignedDuration::from_secs(3);

pub(super) async fn show(context: &Context<'_>) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    let store = context.store;
    let head = store.config_head().await?;
    let head = head.ok_or(InstallationError::NotConfigured)?.data;
    let installation = context.installation().await?;
    let mut channels = channels::last_known(context, &installation).await?;
    let (deliveries, carried) = deliveries(context).await?;
    channels::forget_what_is_over(&mut channels, &carried);
    let channels = channels.iter().map(|channel: &Standing| {
        let (waiting, last) = carried.get(channel.name()).copied().unwrap_or_default();
        let mut shown = channel.in_status();
        shown["waiting"] = json!(waiting);
        shown["last_delivered"] = json!(last);
        shown
    });
    let channels: Vec<_> = channels.collect();
    let states = context
        .ports
        .liveness
        .connectors(&installation.config)
        .await;
    let names: Vec<_> = installation.config.connectors.keys().collect();
    let mut read = Vec::new();
    for some in names.chunks(AT_ONCE) {
        let some = some
            .iter()
            .map(|name| connector(context, &installation, name));
        read.extend(Box::pin(try_join_all(some)).await?);
    }
    let mut connectors = Vec::new();
    for (name, mut shown) in names.into_iter().zip(read) {
        let state = states.iter().find(|state| state.name == *name);
        shown["live"] = json!(state.map(|state| state.problem.is_none()));
        shown["problem"] = json!(state.and_then(|state| state.problem.as_ref()));
        shown["note"] = json!(state.and_then(|state| state.note.as_ref()));
        connectors.push(shown);
    }
    let mut untold = 0_usize;
    let alerts = counted(
        context,
        |cursor: Option<String>| async move {
            store
                .alerts(AlertState::Open, cursor.as_deref(), PAGE)
                .await
        },
        |alert: &Alert| {
            // That a channel is down is told without a route, if anybody else can be reached.
            untold += usize::from(alert.told.is_empty() && alert.kind != AlertKind::ChannelDown);
            true
        },
    )
    .await?;
    let [covered, withheld] = [Withheld::Covered, Withheld::SourceDown].map(|reason| {
        counted(
            context,
            move |cursor: Option<String>| async move {
                let cursor = cursor.as_deref();
                store.withheld_alerts(reason, cursor, PAGE).await
            },
            |_| true,
        )
    });
    let (covered, withheld) = (covered.await?, withheld.await?);
    let quarantine = counted(
        context,
        |cursor: Option<String>| async move {
            store
                .quarantined(HeldState::Open, cursor.as_deref(), PAGE)
                .await
        },
        |_| true,
    )
    .await?;
    let inbox = counted(
        context,
        |cursor: Option<String>| async move { store.inbox(cursor.as_deref(), PAGE).await },
        |entry| entry.resolved_at.is_none(),
    )
    .await?;
    let looking = context.within(LOOKING);
    let notes = Box::pin(unknown::of_groups(&looking, &installation)).await?;
    let known = installation.config.connectors.keys();
    let mut jobs = store.jobs_under_way(known, DUE).await?;
    jobs.retain(|job| !job.is_outdated(head.version));
    Ok(Answer::ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "intake": match context.intake {
            Intake::Open => "open",
            Intake::Closed => "closed",
        },
        "storage": match context.ports.liveness.has_room() {
            Some(false) => "full",
            _ => "ok",
        },
        "configuration": {
            "version": head.version,
            "applied_at": head.applied_at,
            "applied_by": head.by,
            "notes": notes,
        },
        "channels": channels,
        "connectors": connectors,
        "open_alerts": alerts,
        "untold_alerts": { "count": untold, "more": alerts["more"] },
        "covered_alerts": covered,
        "withheld_alerts": withheld,
        "deliveries": deliveries,
        "quarantine": quarantine,
        "inbox": inbox,
        "jobs": in_one_piece(&jobs),
        "reexamination": store.progress_of_parts().await?,
    })))
}

/// The jobs, with those that are parts of one look as one. A look at everything is told of by itself.
fn in_one_piece(jobs: &[Reexamination]) -> Vec<Value> {
    let (parts, whole): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| job.shard.is_some());
    let of_sources = |part: &&Reexamination| !part.owners.is_empty();
    let parts: Vec<_> = parts.into_iter().filter(of_sources).collect();
    let owners: BTreeSet<_> = parts.iter().flat_map(|part| part.all_owners()).collect();
    let of_sources = (!parts.is_empty()).then(|| {
        json!({
            "id": "believed-again",
            "owned_by": owners,
            "since": parts.iter().filter_map(|part| part.since).min().map(|at| at.0),
            "not_before": parts.iter().filter_map(|part| part.not_before).min().map(|at| at.0),
            "looked": parts.iter().map(|part| part.looked).sum::<u64>(),
            "parts": parts.len(),
        })
    });
    whole.into_iter().map(job).chain(of_sources).collect()
}

/// A job, with times as times.
fn job(job: &Reexamination) -> Value {
    let mut shown = json!(job);
    for (name, time) in [("since", job.since), ("not_before", job.not_before)] {
        if let Some(time) = time {
            shown[name] = json!(time.0);
        }
    }
    if let Some(shown) = shown.as_object_mut() {
        // When the clock looks after it is for the evaluator.
        shown.remove("due");
    }
    shown
}

/// A connector: where it sends, or when it was last read.
async fn connector(
    context: &Context<'_>,
    installation: &Installation,
    name: &ConnectorName,
) -> Result<Value, Problem> {
    let Some(connector) = installation.config.connectors.get(name) else {
        return Ok(Value::Null);
    };
    let mut shown = json!({
        "name": name,
        "kind": connector.settings.kind(),
        "enabled": connector.common.enabled,
    });
    if !webhook_secrets(&connector.settings).is_empty() {
        shown["hook"] = json!(format!("/hooks/{name}"));
        let last = context.store.last_webhook(name).await?;
        shown["last_webhook"] = json!(last);
        let sources = installation.authority().quantities;
        let unstated = context.store.unstated(name, &sources).await?;
        let unstated = unstated
            .into_iter()
            .map(|(product, location)| json!({ "product": product, "location": location }));
        shown["unstated"] = unstated.collect();
        let refused = context.store.refused(name).await?;
        let refused = refused.filter(|it| it.still_says(last, context.store.clock().now()));
        shown["refused"] = json!(refused.map(|refused| {
            json!({
                "count": refused.count,
                "since": refused.since.0,
                "last": refused.last.0,
                "reason": refused.reason,
                "detail": refused.sentence,
            })
        }));
    }
    if matches!(connector.settings, ConnectorSettings::Files(_)) {
        let feed = context.store.feed(name).await?;
        let feed = feed.map(|feed| feed.data).unwrap_or_default();
        let runs = context.store.runs(name, None, 1).await?;
        shown["last_success"] = json!(feed.succeeded_at.map(|at| at.0));
        shown["last_try"] = json!(feed.tried_at.map(|at| at.0));
        shown["last_error"] = json!(feed.last_error);
        shown["suspicions"] = json!(feed.suspicions);
        shown["kept"] = json!(feed.kept);
        shown["unread_columns"] = json!(feed.unread);
        shown["new"] = json!(feed.new);
        let lease = context.store.run_lease(name).await?;
        shown["last_run"] = runs.items.first().map_or(Value::Null, |run| {
            // Between two workers a run waits for its turn.
            let has_worker = lease.as_ref().is_some_and(|lease| lease.slot == run.slot);
            let state = match run.state {
                RunState::Running if !has_worker => RunState::Queued,
                state => state,
            };
            json!({
                "run": run.slot,
                "state": state,
                "started_at": run.started_at.map(|at| at.0),
                "finished_at": run.finished_at.map(|at| at.0),
                "note": run.note,
            })
        });
    }
    Ok(shown)
}

/// How many deliveries of a channel wait, and when its last one arrived.
pub(super) type Carried = BTreeMap<ChannelName, (usize, Option<Timestamp>)>;

/// The last deliveries by their state, and the last that failed; and what they say of each channel.
pub(super) async fn deliveries(context: &Context<'_>) -> Result<(Value, Carried), Problem> {
    let store = context.store;
    let mut carried = Carried::new();
    let mut states: BTreeMap<&str, u64> = IntentState::ALL
        .iter()
        .map(|state| (state.name(), 0))
        .collect();
    let mut failed = Vec::new();
    let counts = counted(
        context,
        |cursor: Option<String>| async move { store.intents(cursor.as_deref(), PAGE).await },
        |intent: &Intent| {
            *states.entry(intent.state.name()).or_default() += 1;
            let (waiting, last) = carried.entry(intent.channel.clone()).or_default();
            *waiting += usize::from(intent.is_unsettled());
            *last = (*last).max(intent.answered_at());
            let gave_up = matches!(intent.state, IntentState::Rejected | IntentState::Exhausted);
            if gave_up && failed.len() < NAMED {
                failed.push(json!({
                    "alert": intent.alert,
                    "revision": intent.revision,
                    "channel": intent.channel,
                    "state": intent.state,
                    "created_at": intent.created_at,
                    "last_outcome": intent.last_outcome,
                }));
            }
            true
        },
    )
    .await?;
    let shown = json!({
        "count": counts["count"],
        "more": counts["more"],
        "states": states,
        "last_failed": failed,
    });
    Ok((shown, carried))
}

/// Counts a list as far as it makes sense to: `{"count": 3, "more": false}`.
async fn counted<T, F>(
    context: &Context<'_>,
    // No async closure: the compiler cannot tell yet that its futures may change threads.
    mut fetch: impl FnMut(Option<String>) -> F,
    mut counts: impl FnMut(&T) -> bool,
) -> Result<Value, Problem>
where
    F: Future<Output = Result<Page<T>, StoreError>>,
{
    let (mut count, mut seen, mut cursor) = (0_usize, 0_usize, None);
    loop {
        let page = fetch(cursor.take()).await?;
        seen += page.items.len();
        count += page.items.iter().filter(|item| counts(item)).count();
        cursor = page.next;
        if cursor.is_none() || seen >= MOST || context.is_late() {
            return Ok(json!({ "count": count, "more": cursor.is_some() }));
        }
    }
}
