//! `lotwire apply`: another configuration, here or on AWS. What it changes is shown first, and it is
//! applied only over what that was compared with.

use std::path::Path;

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderName, Method};
use serde::Deserialize as _;
use serde_json::Value;

use super::check::{checked, read};
use super::client::Body;
use super::show::Show;
use super::{Failure, Server};

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consent {
    /// Only show.
    DryRun,
    /// Ask, once the differences are shown.
    Ask,
    /// Apply.
    Given,
}

pub(super) async fn run(
    file: &Path,
    consent: Consent,
    server: &Server,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let text = read(file)?;
    if let Err(found) = shared::config::Config::check(&text, &file.display().to_string()) {
        tracing::debug!(errors = found.0.len(), "the document cannot be applied");
        return checked(Err(found), server.json, show);
    }
    let planned = compare(file, &text, server).await?;
    let applies_already = planned["changed"] == false;
    // In JSON there is one answer: what would change, or what did.
    if !server.json || consent != Consent::Given || applies_already {
        show_differences(&planned, server.json, show)?;
        if !server.json {
            show_notes(&planned, &[], show)?;
        }
    }
    if applies_already || consent == Consent::DryRun {
        return Ok(());
    }
    if consent == Consent::Ask && !agreed(server, show)? {
        show.progress("nothing was applied");
        return Ok(());
    }
    let version = planned["version"].as_u64();
    let tag = version.map(|version| format!("\"{version}\""));
    let over = match &tag {
        Some(tag) => (IF_MATCH, tag.as_str()),
        None => (IF_NONE_MATCH, "*"),
    };
    let applied = send(file, &text, false, &[over], server).await?;
    if server.json {
        show.json(&applied)?;
    } else if applied["changed"] == true {
        show.line(&format!("applied as version {}", applied["version"]))?;
        show_notes(&applied, notes(&planned), show)?;
    } else {
        show.line("somebody has just applied the same")?;
    }
    Ok(())
}

fn agreed(server: &Server, show: &mut Show<'_>) -> Result<bool, Failure> {
    let host = server.url.authority();
    let answer = show.ask(&format!("apply this at {host}? [y/N] "))?;
    let answer = answer.ok_or_else(|| {
        Failure::Usage(
            "nothing was applied, as there is nobody to ask: add --yes to apply it, or --dry-run"
                .to_owned(),
        )
    })?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

/// What the document would change.
pub(super) async fn compare(file: &Path, text: &str, server: &Server) -> Result<Value, Failure> {
    send(file, text, true, &[], server).await
}

async fn send(
    file: &Path,
    text: &str,
    dry_run: bool,
    headers: &[(HeaderName, &str)],
    server: &Server,
) -> Result<Value, Failure> {
    let name = file.file_name().unwrap_or(file.as_os_str());
    let query = [
        ("name", &*name.to_string_lossy()),
        ("dry_run", if dry_run { "true" } else { "false" }),
    ];
    let body = Body::Text("application/toml", text.to_owned());
    let client = server.client()?;
    let answer = client.ask(Method::PUT, "/api/v1/config", &query, body, headers);
    Ok(answer.await?)
}

fn notes(answer: &Value) -> &[Value] {
    answer["notes"].as_array().map_or(&[], Vec::as_slice)
}

/// What the server has to say of the document beside the differences, but what is known.
pub(super) fn show_notes(
    answer: &Value,
    known: &[Value],
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    for note in notes(answer).iter().filter(|note| !known.contains(note)) {
        show.line(&format!("note: {}", note.as_str().unwrap_or_default()))?;
    }
    Ok(())
}

/// What the server says differs.
pub(super) fn show_differences(
    answer: &Value,
    as_json: bool,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    if as_json {
        show.json(answer)?;
        return Ok(());
    }
    let differences = answer["differences"].as_array();
    let differences = differences.map_or(&[][..], Vec::as_slice);
    if differences.is_empty() {
        show.line("this is what applies already")?;
    }
    for difference in differences {
        let read = api::Difference::deserialize(difference);
        show.line(&read.map_or_else(|_| difference.to_string(), |it| it.to_string()))?;
    }
    Ok(())
}
