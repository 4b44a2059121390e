//! `lotwire apply`: another configuration, here or on AWS.

use std::path::Path;

use http::Method;
use serde_json::Value;

use super::check::{checked, read};
use super::client::Body;
use super::show::Show;
use super::{Failure, Server};

pub(super) async fn run(
    file: &Path,
    yes: bool,
    server: &Server,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let text = read(file)?;
    if let Err(found) = shared::config::Config::check(&text, &file.display().to_string()) {
        tracing::debug!(errors = found.0.len(), "the document cannot be applied");
        return checked(file, &text, server.json, show);
    }
    let planned = send(file, &text, true, server).await?;
    if !yes {
        show_differences(&planned, server.json, show)?;
        show.progress("nothing was applied; add --yes to apply it");
        return Ok(());
    }
    if !server.json {
        show_differences(&planned, false, show)?;
    }
    let applied = send(file, &text, false, server).await?;
    if server.json {
        show.json(&applied)?;
    } else if applied["changed"] == true {
        show.line(&format!("applied as version {}", applied["version"]))?;
    }
    Ok(())
}

/// Sends the document, to be applied or only compared.
pub(super) async fn send(
    file: &Path,
    text: &str,
    dry_run: bool,
    server: &Server,
) -> Result<Value, Failure> {
    let name = file.file_name().unwrap_or(file.as_os_str());
    let query = [
        ("name", &*name.to_string_lossy()),
        ("dry_run", if dry_run { "true" } else { "false" }),
    ];
    let body = Body::Text("application/toml", text.to_owned());
    let client = server.client()?;
    let answer = client.ask(Method::PUT, "/api/v1/config", &query, body, None);
    Ok(answer.await?)
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
        let path = difference["path"].as_str().filter(|path| !path.is_empty());
        let path = path.unwrap_or("everything");
        let line = match (&difference["before"], &difference["after"]) {
            (Value::Null, after) => format!("+ {path}: {after}"),
            (before, Value::Null) => format!("- {path}: {before}"),
            (before, after) => format!("~ {path}: {before} -> {after}"),
        };
        show.line(&line)?;
    }
    Ok(())
}
