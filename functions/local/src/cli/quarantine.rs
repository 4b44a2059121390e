//! `lotwire quarantine`: what could not be applied, as a list to work off.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::client::{Body, entry_id};
use super::show::Show;
use super::{Failure, Server};

/// What to do with what is in quarantine.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Leave an entry as it is, and take it off the list.
    Dismiss {
        /// Which entry.
        id: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

pub(super) async fn run(
    action: Option<&Action>,
    state: &str,
    server: &Server,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let client = server.client()?;
    if let Some(Action::Dismiss { id, reason }) = action {
        let path = format!("/api/v1/quarantine/{}/dismiss", entry_id(id)?);
        let body = json!({ "reason": reason });
        let answer = client
            .ask(Method::POST, &path, &[], Body::Json(&body), &[])
            .await?;
        if server.json {
            show.json(&answer)?;
        } else {
            show.line(&format!("dismissed: {}", line(&answer)))?;
        }
        return Ok(());
    }
    let items = client
        .list("/api/v1/quarantine", &[("state", state)])
        .await?;
    let none = format!("nothing in quarantine is {state}");
    match show.list(server.json, &items, &none, line) {
        // What is over is no finding.
        Err(Failure::Found) if state != "open" => Ok(()),
        shown => shown,
    }
}

/// An entry, on one line.
fn line(item: &Value) -> String {
    let text = |name: &str| item[name].as_str().unwrap_or_default();
    let mut line = format!(
        "{}  {}  {}  {}: {} ({})",
        text("id"),
        text("at"),
        text("source"),
        text("reason"),
        text("detail"),
        text("where"),
    );
    if let Some(why) = item["over"]["reason"].as_str() {
        let by = item["over"]["by"].as_str();
        let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
        line.push_str(&format!("; {}{by}: {why}", text("state")));
    }
    line
}
