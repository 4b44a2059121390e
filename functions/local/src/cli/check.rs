//! `lotwire check`: is this configuration in order, and what does it amount to?

use std::path::Path;

use serde_json::{Value, json};
use shared::config::{Config, ConfigErrors};

use super::printed::quoted;
use super::show::Show;
use super::{Failure, Server, apply};

pub(super) async fn run(
    file: &Path,
    diff: bool,
    server: &Server,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let text = read(file)?;
    let name = file.display().to_string();
    // Compared with a server's, it is for that server's machine.
    let config = match diff {
        true => Config::check(&text, &name),
        false => Config::check_here(&text, &name),
    };
    let known = config.as_ref().map(|config| config.summary().notes);
    let known: Vec<_> = known
        .unwrap_or_default()
        .into_iter()
        .map(Value::from)
        .collect();
    checked(config, server.json, show)?;
    if diff {
        let answer = apply::compare(file, &text, server).await?;
        apply::show_differences(&answer, server.json, show)?;
        if !server.json {
            apply::show_notes(&answer, &known, show)?;
        }
    }
    Ok(())
}

pub(super) fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => {
                let file = quoted(&file.display().to_string());
                format!("; `lotwire init {file}` writes one")
            }
            _ => String::new(),
        };
        Failure::Usage(format!("{}: {error}{hint}", file.display()))
    })
}

/// Shows what the document amounts to, or everything that is wrong with it.
pub(super) fn checked(
    config: Result<Config, ConfigErrors>,
    as_json: bool,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    match config {
        Ok(config) => {
            let summary = config.summary();
            if as_json {
                let secrets: Vec<_> = summary.secrets.iter().map(ToString::to_string).collect();
                show.json(&json!({
                    "ok": true,
                    "contents": summary.contents,
                    "notes": summary.notes,
                    "secrets": secrets,
                }))?;
            } else {
                show.line(summary.to_string().trim_end())?;
            }
            Ok(())
        }
        Err(errors) => {
            if as_json {
                let errors = errors.0.iter().map(|error| {
                    json!({
                        "file": error.file,
                        "line": error.line,
                        "column": error.column,
                        "field": error.field,
                        "detail": error.problem,
                    })
                });
                show.json(&json!({ "ok": false, "errors": errors.collect::<Vec<_>>() }))?;
            } else {
                show.line(&errors.to_string())?;
            }
            Err(Failure::Found)
        }
    }
}
