//! `lotwire quarantine`: what could not be applied, as a list to work off.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::client::Body;
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
        if !id.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(Failure::Usage(format!("{id:?} is not the id of an entry")));
        }
        let path = format!("/api/v1/quarantine/{id}/dismiss");
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
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("state", state)];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = client
            .ask(Method::GET, "/api/v1/quarantine", &query, Body::None, &[])
            .await?;
        items.extend(page["items"].as_array().cloned().unwrap_or_default());
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    if server.json {
        show.json(&json!({ "items": items }))?;
    } else if items.is_empty() {
        show.line(&format!("nothing in quarantine is {state}"))?;
    } else {
        for item in &items {
            show.line(&line(item))?;
        }
    }
    if state == "open" && !items.is_empty() {
        return Err(Failure::Found);
    }
    Ok(())
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
