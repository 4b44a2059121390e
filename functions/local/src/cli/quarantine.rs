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

/// What whoever dismisses what waits for a name has to know.
const STILL_APPLIED: &str = "What it holds is applied all the same once the name is known. If you have booked \
    it by hand, take that booking back then. What comes from now on is on the list again.";

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
            let reason = answer["reason"].as_str().unwrap_or_default();
            if matches!(reason, "unknown_location" | "unknown_product") {
                show.line(STILL_APPLIED)?;
            }
        }
        return Ok(());
    }
    let items = client
        .list("/api/v1/quarantine", &[("state", state)])
        .await?;
    let none = format!("nothing in quarantine is {state}");
    let shown = show.list(server.json, &items, &none, line);
    if state == "open" && !server.json && !items.is_empty() {
        show.line(&what_can_be_done(&items))?;
    }
    match shown {
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

/// How an entry comes off the list, of the kinds that are there.
fn what_can_be_done(items: &[Value]) -> String {
    let is_there = |reason: &str| items.iter().any(|item| item["reason"] == reason);
    let remedies = [
        (
            is_there("unknown_location"),
            "a place that is not known, or whose name several have: list it under `locations` of its connector \
             with the id of the place that is meant, beside every other name that the source uses, then \
             `lotwire apply lotwire.toml`. If that is refused because the place has another name there, have the source use \
             one name for it, or give it an id of its own if it is a place of its own",
        ),
        (
            is_there("unknown_status"),
            "a word for the state that is not known: map it under `statuses` of its connector, then \
             `lotwire apply lotwire.toml`",
        ),
        (
            true,
            "what else is wrong in a file: mend it at the source. Its next whole file closes what it no \
             longer has",
        ),
        (
            true,
            "a webhook closes its entries itself once what it waits for is known; after any other change: \
             lotwire replay --connector NAME",
        ),
        (
            true,
            "to leave an entry as it is, and off the list: lotwire quarantine dismiss ID --reason TEXT",
        ),
    ];
    let remedies = remedies.into_iter().filter(|(applies, _)| *applies);
    let lines: Vec<_> = remedies.map(|(_, remedy)| format!("- {remedy}")).collect();
    format!("\nWhat can be done:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_can_be_done_about_what_is_in_it() {
        let held = |reason: &str| json!({ "reason": reason });
        let words = what_can_be_done(&[held("no_data"), held("unknown_status")]);
        assert!(words.contains("`statuses`"), "{words}");
        assert!(!words.contains("`locations`"), "{words}");
        let unknown = what_can_be_done(&[held("unknown_location")]);
        assert!(unknown.contains("the id of the place"), "{unknown}");
        for command in [
            "lotwire replay --connector NAME",
            "lotwire quarantine dismiss ID",
        ] {
            assert!(words.contains(command), "{words}");
        }
    }
}
