//! `lotwire replay`: apply again what was received, page by page.

use http::Method;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::{Value, json};

use super::client::Body;
use super::show::Show;
use super::{Failure, Server};

/// What is to be applied again.
pub(super) struct Selection {
    pub(super) connector: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) id: Option<String>,
}

const COUNTS: [&str; 5] = ["received", "changed", "known", "quarantined", "ignored"];

/// A time, or a local one or a day, which the server knows by its account's zone.
pub(super) fn time_or_day(text: &str) -> Result<String, String> {
    let is_read = text.parse::<Timestamp>().is_ok() || text.parse::<DateTime>().is_ok();
    match is_read {
        true => Ok(text.to_owned()),
        false => Err(
            "write a day, such as 2026-01-15, or a time, such as 2026-01-15T09:30:00Z".to_owned(),
        ),
    }
}

pub(super) async fn run(
    selection: &Selection,
    server: &Server,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let client = server.client()?;
    let mut body = json!({
        "connector": selection.connector,
        "from": selection.from,
        "to": selection.to,
        "id": selection.id,
    });
    let (mut counts, mut failed) = ([0_u64; 5], Vec::new());
    loop {
        let answer = client
            .ask(Method::POST, "/api/v1/replays", &[], Body::Json(&body), &[])
            .await?;
        for (sum, name) in counts.iter_mut().zip(COUNTS) {
            *sum += answer[name].as_u64().unwrap_or_default();
        }
        failed.extend(answer["failed"].as_array().cloned().unwrap_or_default());
        body["cursor"] = answer["next"].clone();
        if body["cursor"].is_null() {
            break;
        }
        show.progress(&format!("{} received payloads looked at", counts[0]));
    }
    let total: Value = COUNTS
        .into_iter()
        .zip(counts)
        .map(|(name, n)| (name.to_owned(), json!(n)))
        .collect();
    if server.json {
        show.json(&json!({ "counts": total, "failed": failed }))?;
    } else {
        let [received, changed, known, quarantined, ignored] = counts;
        show.line(&format!(
            "{received} payloads: {changed} rows changed the stock, {known} known, {quarantined} quarantined, {ignored} ignored"
        ))?;
        for one in &failed {
            show.line(&format!("{}: {}", words(&one["id"]), words(&one["detail"])))?;
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Found)
    }
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
