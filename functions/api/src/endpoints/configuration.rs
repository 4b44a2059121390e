//! The configuration in force, and another one.

use http::StatusCode;
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::ChannelName;
use shared::installation::{Installation, InstallationError};
use shared::store::settings::{Applied, Head, Over};

use super::{removed, unknown};
use crate::Context;
use crate::answer::Answer;
use crate::differences::between;
use crate::fields::Fields;
use crate::problem::Problem;

/// How long what a document takes away is counted, of the half minute that there is: it has yet to be
/// written.
const COUNTING: SignedDuration = SignedDuration::from_secs(10);

pub(super) async fn show(context: &Context<'_>) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    let head = context.store.config_head().await?;
    let head = head.ok_or(InstallationError::NotConfigured)?.data;
    let installation = context.installation().await?;
    let mut body = shown(&head);
    let summary = installation.config.summary();
    body["contents"] = json!(summary.contents);
    body["notes"] = json!(summary.notes);
    body["rules"] = json!({ "in_document": installation.config.rules.len() });
    Ok(tagged(body, Some(&head)))
}

pub(super) async fn apply(context: &Context<'_>) -> Result<Answer, Problem> {
    let mut query = Fields::of_query(context.request);
    let dry_run = query.flag("dry_run");
    let name = query.text("name", 100);
    query.finish(|| Some(()))?;
    let config = checked(
        context.request.text()?,
        name.as_deref().unwrap_or("lotwire.toml"),
    )?;
    let store = context.store;
    let head = store.config_head().await?.map(|head| head.data);
    let standing = match &head {
        Some(head) => Some(store.config_document(head).await?),
        None => None,
    };
    let installation = Installation::new(0, config.clone()).map_err(|error| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_configuration",
            "The document cannot be applied",
            error.to_string(),
        )
    })?;
    let differences = between(standing.as_ref(), &config);
    let over = over(context);
    // A repetition whose first answer was lost has nothing to change, and is no conflict.
    if !differences.is_empty() && !over.holds(head.as_ref()) {
        return Err(overtaken(head.as_ref()));
    }
    // Looked up before it applies: it is about what stands until then, and no failure to look it up may be
    // the answer to what was applied.
    let mut notes = config.summary().notes;
    let mut untold = Vec::new();
    let counting = context.within(COUNTING);
    if let Some(standing) = standing.filter(|_| !differences.is_empty()) {
        notes.extend(Box::pin(removed::notes(&counting, &standing, &config)).await?);
        untold = not_told(&counting, standing, &installation).await?;
    }
    notes.extend(Box::pin(unknown::notes(&counting, &installation)).await?);
    let by = context.request.actor().unwrap_or("api");
    let applied = if !dry_run {
        store.apply_config_over(over, &config, by).await?
    } else if differences.is_empty() {
        Applied::Already
    } else {
        Applied::Done
    };
    // What a dry run compared with is what its caller goes by, not what applies a moment later.
    let head = match (dry_run, applied) {
        (false, Applied::Done | Applied::Overtaken) => {
            store.config_head().await?.map(|head| head.data)
        }
        _ => head,
    };
    if applied == Applied::Overtaken {
        return Err(overtaken(head.as_ref()));
    }
    let mut body = head
        .as_ref()
        .map_or_else(|| json!({ "version": null }), shown);
    body["dry_run"] = json!(dry_run);
    body["changed"] = json!(applied == Applied::Done);
    body["differences"] = json!(differences);
    notes.extend(not_live(context, &config).await);
    notes.extend(untold);
    body["notes"] = json!(notes);
    Ok(tagged(body, head.as_ref()))
}

/// What is in use and cannot do its work yet, where that can be told.
async fn not_live(context: &Context<'_>, config: &Config) -> Vec<String> {
    let liveness = &context.ports.liveness;
    let note = |what: &str, name: &dyn std::fmt::Display, used: bool, problem: Option<String>| {
        let problem = problem.filter(|_| used)?;
        Some(format!("{what} `{name}` is not live: {problem}"))
    };
    let connectors = liveness.connectors(config).await;
    let connectors = connectors.into_iter().filter_map(|state| {
        let used = config.connectors.get(&state.name);
        let used = used.is_some_and(|it| it.common.enabled);
        note("connector", &state.name, used, state.problem)
    });
    let channels = liveness.channels(config).await;
    let channels = channels.into_iter().filter_map(|state| {
        let used = config.channels.get(&state.name);
        let used = used.is_some_and(|it| it.common.enabled);
        note("channel", &state.name, used, state.problem)
    });
    connectors.chain(channels).collect()
}

/// The open alerts that the routes lead to channels which were not told of them. Nobody wants them all as a
/// surprise, so whoever applies it decides.
async fn not_told(
    context: &Context<'_>,
    standing: Config,
    installation: &Installation,
) -> Result<Vec<String>, Problem> {
    let Ok(before) = Installation::new(0, standing) else {
        return Ok(Vec::new());
    };
    let counted = context
        .store
        .newly_routed(&before, installation, context.until);
    let (counts, complete) = counted.await?;
    let more = if complete { "" } else { " or more" };
    let note = |(channel, count): (ChannelName, usize)| {
        let (s, were, them) = match count {
            1 => ("", "was", "it"),
            _ => ("s", "were", "them"),
        };
        format!(
            "{count}{more} open alert{s} now routed to channel `{channel}` {were} not told there; to tell \
             {them}: lotwire resend {channel}"
        )
    };
    Ok(counts.into_iter().map(note).collect())
}

/// What the caller goes by, if it says so: `If-Match: "7"`, or `If-None-Match: *` for nothing.
fn over(context: &Context<'_>) -> Over {
    let request = context.request;
    if let Some(tag) = request.header(IF_MATCH.as_str()) {
        let version = tag.trim_matches('"').parse();
        // Versions begin with 1: what is none matches nothing.
        return Over::Version(version.unwrap_or(0));
    }
    match request.header(IF_NONE_MATCH.as_str()) {
        Some("*") => Over::Nothing,
        _ => Over::Anything,
    }
}

fn overtaken(head: Option<&Head>) -> Problem {
    let detail = match head {
        Some(head) => format!(
            "version {} applies, by {} at {}; compare with that one first",
            head.version, head.by, head.applied_at
        ),
        None => "no configuration applies".to_owned(),
    };
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "overtaken",
        "Another configuration applies than the one this was compared with",
        detail,
    )
}

fn tagged(body: Value, head: Option<&Head>) -> Answer {
    let answer = Answer::ok(body);
    match head {
        Some(head) => answer.with(ETAG, &format!("\"{}\"", head.version)),
        None => answer,
    }
}

fn shown(head: &Head) -> Value {
    json!({
        "version": head.version,
        "hash": head.hash,
        "applied_at": head.applied_at,
        "applied_by": head.by,
    })
}

fn checked(text: &str, name: &str) -> Result<Config, Problem> {
    Config::check(text, name).map_err(|errors| {
        let listed: Vec<_> = errors
            .0
            .iter()
            .map(|error| {
                json!({
                    "file": error.file,
                    "line": error.line,
                    "column": error.column,
                    "field": error.field,
                    "detail": error.problem,
                })
            })
            .collect();
        let count = listed.len();
        let s = if count == 1 { "" } else { "s" };
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_configuration",
            "The document cannot be applied",
            format!(
                "{count} error{s}, the first: {}",
                errors
                    .0
                    .first()
                    .map_or_else(String::new, ToString::to_string)
            ),
        )
        .with("errors", listed)
    })
}
