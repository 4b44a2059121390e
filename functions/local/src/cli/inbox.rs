//! `lotwire inbox`: what waits for a person to approve or reject it.

use clap::Subcommand;
use http::Method;
use serde_json::Value;

use super::client::{Body, entry_id};
use super::show::Show;
use super::status::{array, text, time};
use super::{Failure, Server};

/// What to do with what waits.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Have the next complete file of the source remove those of them that it still lacks.
    Approve {
        /// Which entry.
        id: String,
    },
    /// Keep them all.
    Reject {
        /// Which entry.
        id: String,
    },
}

pub(super) async fn run(
    action: Option<&Action>,
    server: &Server,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let client = server.client()?;
    let (id, verb) = match action {
        None => {
            let items = client.list("/api/v1/inbox", &[]).await?;
            return show.list(server.json, &items, "nothing waits for approval", line);
        }
        Some(Action::Approve { id }) => (id, "approve"),
        Some(Action::Reject { id }) => (id, "reject"),
    };
    let path = format!("/api/v1/inbox/{}/{verb}", entry_id(id)?);
    let answer = client
        .ask(Method::POST, &path, &[], Body::None, &[])
        .await?;
    if server.json {
        show.json(&answer)?;
        return Ok(());
    }
    let (removals, connector) = (&answer["removals"], text(&answer["connector"]));
    show.line(&match action {
        Some(Action::Approve { .. }) => {
            format!(
                "approved: the next complete file of {connector} removes those of the {removals} that it \
                 still lacks"
            )
        }
        _ => format!(
            "rejected: these {removals} of {connector} stay as they are; `lotwire status` says so for as long \
             as its files lack them"
        ),
    })?;
    Ok(())
}

/// An entry, on one line.
fn line(entry: &Value) -> String {
    let examples = array(&entry["examples"]).iter().take(3).map(text);
    format!(
        "{}  {}  {}: {} lacks {} of {}, such as {}; one file may remove {} without being asked",
        text(&entry["id"]),
        time(&entry["at"]),
        text(&entry["connector"]),
        text(&entry["file"]),
        entry["removals"],
        entry["held"],
        examples.collect::<Vec<_>>().join(", "),
        text(&entry["limit"]),
    )
}
