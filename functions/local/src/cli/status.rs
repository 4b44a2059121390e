//! `lotwire status`: what is live, what waits, what failed.

use std::fmt::Write as _;

use http::Method;
use serde_json::Value;

use super::client::Body;
use super::show::Show;
use super::{Failure, Server};

pub(super) async fn run(server: &Server, show: &mut Show<'_>) -> Result<(), Failure> {
    let client = server.client()?;
    let answer = client.ask(Method::GET, "/api/v1/status", &[], Body::None, &[]);
    let answer = answer.await?;
    if server.json {
        show.json(&answer)?;
    } else {
        show.line(in_words(&answer).trim_end())?;
    }
    Ok(())
}

/// The answer of `GET /api/v1/status` for people.
pub(super) fn in_words(status: &Value) -> String {
    let mut words = Words::default();
    if status["intake"] == "closed" {
        words.line(
            "intake",
            "closed: webhooks and changes are turned away, and nothing is read",
        );
    }
    if status["storage"] == "full" {
        words.line(
            "disk",
            "full: nothing is written, and webhooks are refused, until there is room",
        );
    }
    let configuration = &status["configuration"];
    words.line(
        "configuration",
        &format!(
            "version {}, applied {} ({})",
            configuration["version"],
            time(&configuration["applied_at"]),
            text(&configuration["applied_by"])
        ),
    );
    for note in array(&configuration["notes"]) {
        words.line("", &format!("note: {}", text(note)));
    }
    words.list("channels", &status["channels"], channel);
    words.list("connectors", &status["connectors"], connector);
    let more = |list: &str, why: &str| match &status[list] {
        none if none["count"] == 0 || none.is_null() => String::new(),
        some => format!("; {} more {why}", count(some)),
    };
    let covered = more("covered_alerts", "covered by graver ones");
    let withheld = more("withheld_alerts", "not told: their feed is down");
    let open = count(&status["open_alerts"]);
    let untold = match &status["untold_alerts"] {
        none if none["count"] == 0 || none.is_null() => String::new(),
        some => format!(
            ", {} of them told to nobody: no route carries them",
            count(some)
        ),
    };
    words.line("open alerts", &format!("{open}{untold}{covered}{withheld}"));
    let deliveries = &status["deliveries"];
    let states = deliveries["states"].as_object();
    let states: Vec<_> = states
        .into_iter()
        .flatten()
        .filter(|(_, count)| **count != 0)
        .map(|(state, count)| format!("{count} {}", state.replace('_', " ")))
        .collect();
    let of = match deliveries["more"].as_bool() {
        Some(true) => format!("of the last {}: ", deliveries["count"]),
        _ => String::new(),
    };
    let states = match states.is_empty() {
        true => "none".to_owned(),
        false => states.join(", "),
    };
    words.line("deliveries", &format!("{of}{states}"));
    for failed in array(&deliveries["last_failed"]) {
        words.line(
            "",
            &format!(
                "{} of {}: {}",
                text(&failed["channel"]),
                time(&failed["created_at"]),
                outcome(text(&failed["state"]), text(&failed["last_outcome"]))
            ),
        );
    }
    for list in ["quarantine", "inbox"] {
        let counted = &status[list];
        words.line(
            list,
            &match counted["count"].as_u64() {
                Some(1..) => format!("{}, listed by `lotwire {list}`", count(counted)),
                _ => count(counted),
            },
        );
    }
    words.label = "jobs";
    let jobs = array(&status["jobs"]);
    let everything = &status["reexamination"];
    if everything.is_object() {
        let label = std::mem::take(&mut words.label);
        words.line(label, &reexamination(everything));
    } else if jobs.is_empty() {
        words.line("jobs", "none");
    }
    for job in jobs {
        let label = std::mem::take(&mut words.label);
        words.line(label, &self::job(job));
    }
    words.text
}

/// Lines with a label before each.
#[derive(Default)]
pub(super) struct Words {
    pub(super) text: String,
    label: &'static str,
}

impl Words {
    pub(super) fn line(&mut self, label: &str, words: &str) {
        // Writing to a string cannot fail.
        writeln!(self.text, "{label:<14}{words}").unwrap_or_default();
    }

    fn list(&mut self, label: &str, entries: &Value, say: impl Fn(&Value) -> String) {
        let entries = array(entries);
        if entries.is_empty() {
            self.line(label, "none");
        }
        let mut label = label;
        for entry in entries {
            let (name, kind) = (text(&entry["name"]), text(&entry["kind"]));
            self.line(label, &format!("{name} ({kind}): {}", say(entry)));
            label = "";
        }
    }
}

fn channel(channel: &Value) -> String {
    let problem = text(&channel["problem"]);
    let mut words = match (channel["state"].as_str(), channel["live"].as_bool()) {
        (Some("off"), _) => problem.to_owned(),
        (Some("refused"), _) => format!("it refuses what is sent: {problem}"),
        (Some("limited"), _) => "it takes no more at once; the rest follows by itself".to_owned(),
        (Some("waiting"), live) => {
            let words = "it fails or is slow, and is tried again by itself";
            match live {
                Some(false) => format!("{words}: {problem}"),
                _ => words.to_owned(),
            }
        }
        (_, Some(false)) => format!("not live: {problem}"),
        (_, Some(true)) => "live".to_owned(),
        (_, None) => "nothing known against it; the next message will tell".to_owned(),
    };
    if channel["last_delivered"].is_string() {
        let last = time(&channel["last_delivered"]);
        write!(words, "; the last message arrived {last}").unwrap_or_default();
    }
    match channel["waiting"].as_u64() {
        None | Some(0) => {}
        Some(1) => words.push_str("; 1 delivery waits"),
        Some(count) => write!(words, "; {count} deliveries wait").unwrap_or_default(),
    }
    words
}

fn connector(connector: &Value) -> String {
    if connector["enabled"] == false {
        return "switched off".to_owned();
    }
    let problem = connector["problem"].as_str();
    let not_live = problem.map(|problem| format!("not live: {problem}"));
    if let Some(hook) = connector["hook"].as_str() {
        let refused = &connector["refused"];
        let last = match connector["last_webhook"].as_str() {
            Some(_) => format!("the last was taken {}", time(&connector["last_webhook"])),
            None if refused.is_object() => "none was taken".to_owned(),
            None => "none has come, or it is no longer kept".to_owned(),
        };
        let refused = match refused["count"].as_u64() {
            None => String::new(),
            Some(count) => format!(
                "; {count} refused since {}, the last {}: {}",
                time(&refused["since"]),
                time(&refused["last"]),
                text(&refused["detail"])
            ),
        };
        let note = connector["note"].as_str();
        let note = note.map_or_else(String::new, |note| format!("; {note}"));
        let unstated = unstated(array(&connector["unstated"]));
        return not_live
            .unwrap_or_else(|| format!("webhooks at {hook}; {last}{refused}{note}{unstated}"));
    }
    let mut words = match connector["last_success"].as_str() {
        Some(_) => format!("last read {}", time(&connector["last_success"])),
        None => "not read yet".to_owned(),
    };
    let run = &connector["last_run"];
    if let Some(state @ ("queued" | "running")) = run["state"].as_str() {
        and(&mut words, &format!("{state} now"));
    }
    if let Some(error) = connector["last_error"].as_str() {
        let tried = time(&connector["last_try"]);
        and(&mut words, &format!("failed {tried}: {error}"));
    }
    if let Some(not_live) = not_live {
        and(&mut words, &not_live);
    }
    for suspicion in array(&connector["suspicions"]) {
        let suspicion = text(suspicion);
        and(
            &mut words,
            &format!("its last file is not believed: {suspicion}"),
        );
    }
    if let Some(kept) = connector["kept"].as_str() {
        and(&mut words, kept);
    }
    let unread = text(&connector["unread_columns"]);
    if !unread.is_empty() {
        and(&mut words, &format!("columns that are not read: {unread}"));
    }
    if let Some(new) = connector["new"].as_str() {
        and(&mut words, new);
    }
    words
}

/// What it has moved although nobody states how much there is of it.
fn unstated(places: &[Value]) -> String {
    const NAMED: usize = 5;
    // The last ones are the newest.
    let named = places.iter().rev().take(NAMED);
    let named: Vec<_> = named
        .map(|it| format!("{} at {}", text(&it["product"]), text(&it["location"])))
        .collect();
    let more = match places.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match named.is_empty() {
        true => String::new(),
        false => format!(
            "; it moves what nobody states: {}{more}. Are the SKUs right?",
            named.join(", ")
        ),
    }
}

/// How far a look at everything is.
fn reexamination(progress: &Value) -> String {
    let (of, so_far) = match progress["of"].as_u64() {
        Some(of) => (format!(" of about {of}"), ""),
        None => (String::new(), " so far"),
    };
    let newer = match progress["passed_over"].as_u64() {
        None | Some(0) => String::new(),
        Some(newer) => format!(", {newer} of them passed over: a newer version has written them"),
    };
    format!(
        "everything is evaluated again since {}: {}{of} positions and vehicles looked at{so_far}{newer}",
        time(&progress["since"]),
        progress["looked"],
    )
}

/// A job by its name, and whatever else it says of itself.
fn job(job: &Value) -> String {
    let owners = array(&job["owned_by"]);
    if !owners.is_empty() {
        let named: Vec<_> = owners.iter().take(3).map(text).collect();
        let more = match owners.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = named.join(", ");
        if job["not_before"].is_string() {
            let begins = time(&job["not_before"]);
            return format!("what these state is evaluated again from {begins} on: {named}{more}");
        }
        let (since, looked) = (time(&job["since"]), &job["looked"]);
        return format!(
            "what these state is evaluated again since {since}, {looked} positions looked through: {named}{more}"
        );
    }
    let why = why(text(&job["id"]));
    match &job["not_before"] {
        begins if begins.is_string() => {
            format!(
                "everything is evaluated again from {} on: {why}",
                time(begins)
            )
        }
        _ => {
            let since = time(&job["since"]);
            format!("everything is evaluated again since {since}: {why}")
        }
    }
}

/// What a job is for, by its name.
fn why(id: &str) -> String {
    let connector = id.strip_prefix("replay-");
    match id.split('-').next() {
        Some("season") => "a season of a rule begins or ends then".to_owned(),
        Some("configuration") => "a configuration was applied".to_owned(),
        Some("given") => "some changes could not be evaluated".to_owned(),
        Some("newer") => "a newer version has written some of it".to_owned(),
        Some("asked") => "somebody asked for it".to_owned(),
        _ => connector.map_or_else(
            || id.to_owned(),
            |name| format!("what {name} sent is applied again"),
        ),
    }
}

/// The next thing that is said of a source. What came before may be a sentence.
fn and(words: &mut String, next: &str) {
    if words.ends_with('.') {
        words.pop();
    }
    write!(words, "; {next}").unwrap_or_default();
}

fn count(counted: &Value) -> String {
    match (counted["count"].as_u64(), counted["more"].as_bool()) {
        (Some(0), Some(false)) => "none".to_owned(),
        (Some(count), Some(true)) => format!("more than {count}"),
        (count, _) => count.unwrap_or_default().to_string(),
    }
}

/// A delivery's state and what came of it, which may begin with the same word.
fn outcome(state: &str, last: &str) -> String {
    match last
        .strip_prefix(state)
        .is_some_and(|rest| rest.starts_with(':'))
    {
        true => last.to_owned(),
        false => format!("{state}: {last}"),
    }
}

/// To the second.
pub(super) fn time(value: &Value) -> String {
    let parsed = text(value).parse::<jiff::Timestamp>();
    parsed.map_or_else(
        |_| text(value).to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
    )
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{channel, connector, job, outcome, reexamination};

    #[test]
    fn a_channel_says_when_it_last_worked_and_what_waits() {
        let at = "2026-11-29T16:04:43.123Z";
        for (state, live, last, waiting, words) in [
            ("live", json!(true), json!(null), 0, "live"),
            (
                "waiting",
                json!(true),
                json!(at),
                6,
                "it fails or is slow, and is tried again by itself; the last message arrived \
                 2026-11-29 16:04:43Z; 6 deliveries wait",
            ),
            (
                "refused",
                json!(false),
                json!(at),
                1,
                "it refuses what is sent: HTTP 410; the last message arrived 2026-11-29 16:04:43Z; 1 \
                 delivery waits",
            ),
            (
                "waiting",
                json!(false),
                json!(null),
                2,
                "it fails or is slow, and is tried again by itself: HTTP 410; 2 deliveries wait",
            ),
            (
                "not_live",
                json!(false),
                json!(null),
                0,
                "not live: HTTP 410",
            ),
            ("off", json!(false), json!(null), 0, "HTTP 410"),
        ] {
            let problem = (live == false).then_some("HTTP 410");
            let told = channel(&json!({
                "state": state, "live": live, "problem": problem,
                "last_delivered": last, "waiting": waiting,
            }));
            assert_eq!(told, words);
        }
    }

    #[test]
    fn a_look_at_everything_says_of_how_many_only_where_that_is_known() {
        let progress = |of| {
            reexamination(&json!({ "since": "2026-11-30T16:00:00Z", "looked": 8000, "of": of }))
        };
        let begun = "everything is evaluated again since 2026-11-30 16:00:00Z: 8000";
        assert_eq!(
            progress(json!(9000)),
            format!("{begun} of about 9000 positions and vehicles looked at")
        );
        assert_eq!(
            progress(json!(null)),
            format!("{begun} positions and vehicles looked at so far")
        );
    }

    #[test]
    fn a_job_is_told_in_words() {
        let at = "2026-12-01T00:00:00Z";
        for (told, words) in [
            (
                json!({ "id": "season-1-1796083200000", "not_before": at, "looked": 0 }),
                "everything is evaluated again from 2026-12-01 00:00:00Z on: a season of a rule begins or \
                 ends then",
            ),
            (
                json!({ "id": "replay-erp-2", "not_before": at }),
                "everything is evaluated again from 2026-12-01 00:00:00Z on: what erp-2 sent is applied again",
            ),
            (
                json!({ "id": "asked-29934720", "since": at, "looked": 0 }),
                "everything is evaluated again since 2026-12-01 00:00:00Z: somebody asked for it",
            ),
        ] {
            assert_eq!(job(&told), words);
        }
    }

    #[test]
    fn what_is_said_of_a_source_has_one_stop_between_its_parts() {
        let told = connector(&json!({
            "last_success": "2026-11-29T16:04:43Z",
            "suspicions": ["stock4.csv: 7 of 9 are gone. They wait in the inbox."],
            "unread_columns": "\"Bin\"",
            "new": "stock4.csv has 1 product that was not there before: OIL.",
        }));
        assert_eq!(
            told,
            "last read 2026-11-29 16:04:43Z; its last file is not believed: stock4.csv: 7 of 9 are gone. They \
             wait in the inbox; columns that are not read: \"Bin\"; stock4.csv has 1 product that was not \
             there before: OIL."
        );
    }

    #[test]
    fn what_moves_and_nobody_states_is_named_the_newest_first() {
        let places = |skus: &[&str]| {
            let places = skus
                .iter()
                .map(|sku| json!({ "product": sku, "location": "north" }));
            json!({ "hook": "/hooks/till", "unstated": places.collect::<Vec<_>>() })
        };
        let none = "webhooks at /hooks/till; none has come, or it is no longer kept";
        assert_eq!(connector(&places(&[])), none);
        assert_eq!(
            connector(&places(&["A", "PADD-1"])),
            format!(
                "{none}; it moves what nobody states: PADD-1 at north, A at north. Are the SKUs right?"
            )
        );
        let many = connector(&places(&["A", "B", "C", "D", "E", "F", "G"]));
        assert!(many.contains("C at north and 2 more."), "{many}");
    }

    #[test]
    fn what_came_of_a_delivery_is_said_once() {
        assert_eq!(
            outcome("rejected", "rejected: HTTP 410"),
            "rejected: HTTP 410"
        );
        assert_eq!(outcome("failed", "HTTP 500"), "failed: HTTP 500");
    }
}
