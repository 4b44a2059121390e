//! The configuration in force, and another one.

use http::StatusCode;
use serde_json::{Value, json};
use shared::config::Config;
use shared::installation::{Installation, InstallationError};
use shared::store::settings::Head;

use crate::Context;
use crate::answer::Answer;
use crate::differences::between;
use crate::fields::Fields;
use crate::problem::Problem;

pub(super) async fn show(context: &Context<'_>) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    let head = context.store.config_head().await?;
    let head = head.ok_or(InstallationError::NotConfigured)?.data;
    let installation = context.installation().await?;
    let mut body = shown(&head);
    let summary = installation.config.summary();
    body["contents"] = json!(summary.contents);
    body["notes"] = json!(summary.notes);
    body["rules"] = json!({
        "in_force": installation.rules.rules().len(),
        "in_document": installation.config.rules.len(),
    });
    Ok(Answer::ok(body))
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
    // Together with the imported rules it must make an installation that can be used.
    let imported = store.imported_rules().await?;
    Installation::new(0, config.clone(), imported).map_err(|error| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_configuration",
            "The document cannot be applied",
            error.to_string(),
        )
    })?;
    let differences = between(standing.as_ref(), &config);
    let by = context.request.actor().unwrap_or("api");
    let changed = if dry_run {
        !differences.is_empty()
    } else {
        store.apply_config(&config, by).await?
    };
    let head = store.config_head().await?.map(|head| head.data);
    let mut body = head
        .as_ref()
        .map_or_else(|| json!({ "version": null }), shown);
    body["dry_run"] = json!(dry_run);
    body["changed"] = json!(changed);
    body["differences"] = json!(differences);
    body["notes"] = json!(config.summary().notes);
    Ok(Answer::ok(body))
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
