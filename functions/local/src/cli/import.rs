//! `lotwire import`: thresholds and stock from a file, page by page; a dry run first.

use std::path::Path;
use std::time::Duration;

use http::Method;
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::delivery::outcome::retry_after;
use shared::digest::sha256_hex;
use shared::feeds::text_of;
use shared::store::imports::{RecordLines, Table};

use super::client::{Body, Client, ClientError, IDEMPOTENCY_KEY};
use super::show::Show;
use super::status::{array, text};
use super::{Failure, Server};

/// Rows in a request, each of which may set four things: well below what the gateway waits for, on a busy
/// machine too.
const PAGE: usize = 350;
/// Differences that are shown.
const FIRST: usize = 10;
const COUNTS: [&str; 5] = ["new", "changed", "unchanged", "repeated", "rejected"];
const REPEATED: usize = 3;
const REJECTED: usize = 4;

/// What a server answers that is busy, or away for a moment.
const PASSING: [u16; 5] = [429, 500, 502, 503, 504];
/// How often a page is sent again then.
const AGAIN: u32 = 4;
/// Before the first time; before each further one twice as long.
const PAUSE: Duration = if cfg!(test) {
    Duration::from_millis(1)
} else {
    Duration::from_secs(2)
};
/// However long the server would have us wait.
const LONGEST: Duration = Duration::from_secs(60);

/// What the pages of a run amount to.
#[derive(Default)]
struct Sum {
    counts: [u64; 5],
    differences: Vec<Value>,
    rejected: Vec<Value>,
    /// Columns that set nothing: the same of each page.
    passed_over: Vec<Value>,
    /// Rows about products that nobody has spoken of before, and some of those.
    unknown: u64,
    unknown_products: Vec<Value>,
}

/// Some rows of the file under its header.
struct Page {
    text: String,
    first_line: u64,
    rows: usize,
}

pub(super) async fn run(
    file: &Path,
    yes: bool,
    again: bool,
    server: &Server,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let unreadable = |error| Failure::Usage(format!("{}: {error}", file.display()));
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let text = text_of(&bytes);
    let pages =
        pages(&text).map_err(|problem| Failure::Usage(format!("{}: {problem}", file.display())))?;
    let client = server.client()?;
    let run = Run {
        name: file
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        key: key(&text, again),
        client: &client,
    };
    let planned = run.all(&pages, true, show).await?;
    if !yes || !server.json {
        planned.show(server.json, None, show)?;
    }
    let outcome = if yes {
        let applied = run.all(&pages, false, show).await?;
        applied.show(server.json, Some(&planned), show)?;
        applied
    } else {
        show.progress("nothing was applied; add --yes to apply it");
        planned
    };
    if outcome.rejected.is_empty() && outcome.counts[REJECTED] == 0 {
        Ok(())
    } else {
        Err(Failure::Found)
    }
}

/// The content itself, so that a repeated run has no second effect; unless one is wanted.
fn key(text: &str, again: bool) -> String {
    let content = sha256_hex(text.as_bytes());
    if again {
        format!("{content}-{}", uuid::Uuid::new_v4())
    } else {
        content
    }
}

struct Run<'a> {
    name: String,
    key: String,
    client: &'a Client,
}

impl Run<'_> {
    async fn all(
        &self,
        pages: &[Page],
        dry_run: bool,
        show: &mut Show<'_>,
    ) -> Result<Sum, Failure> {
        let (mut sum, mut done) = (Sum::default(), 0);
        for (index, page) in pages.iter().enumerate() {
            let line = page.first_line.to_string();
            let more = index + 1 < pages.len();
            let query = [
                ("name", self.name.as_str()),
                ("line", &line),
                ("dry_run", if dry_run { "true" } else { "false" }),
                ("more", if more { "true" } else { "false" }),
            ];
            let answer = self.page(page, &query, show).await;
            if answer.is_err() && !dry_run {
                let all: usize = pages.iter().map(|page| page.rows).sum();
                show.progress(&format!(
                    "{done} of {all} rows were applied; the same command may be repeated: \
                     what was applied has no second effect"
                ));
            }
            sum.add(&answer?);
            done += page.rows;
            if pages.len() > 1 {
                let doing = if dry_run { "compared" } else { "applied" };
                show.progress(&format!("{done} rows {doing}"));
            }
        }
        Ok(sum)
    }

    /// What the server says to a page. Its key makes it harmless to send it again.
    async fn page(
        &self,
        page: &Page,
        query: &[(&str, &str)],
        show: &mut Show<'_>,
    ) -> Result<Value, ClientError> {
        let mut times = 0;
        loop {
            let body = Body::Text("text/csv", page.text.clone());
            let headers = [(IDEMPOTENCY_KEY, self.key.as_str())];
            let path = "/api/v1/imports";
            let reply = self
                .client
                .reply(Method::POST, path, query, body, &headers)
                .await?;
            let answer = self.client.answer(&reply);
            let Err(error) = &answer else {
                return answer;
            };
            if times == AGAIN || !PASSING.contains(&reply.status.as_u16()) {
                return answer;
            }
            let asked = retry_after(&reply.headers, Clock::system().now());
            let pause = pause(times, asked);
            show.progress(&format!("{error}; once more in {} s", pause.as_secs()));
            tokio::time::sleep(pause).await;
            times += 1;
        }
    }
}

/// How long it waits after it has been turned away so many times before, and asked to wait.
fn pause(times: u32, asked: Option<SignedDuration>) -> Duration {
    let asked = asked.unwrap_or_default().unsigned_abs();
    (PAUSE * 2_u32.pow(times)).max(asked.min(LONGEST))
}

impl Sum {
    fn add(&mut self, answer: &Value) {
        for (sum, name) in self.counts.iter_mut().zip(COUNTS) {
            *sum += answer["counts"][name].as_u64().unwrap_or_default();
        }
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        self.differences.extend(list("differences"));
        self.rejected.extend(list("rejected"));
        self.passed_over = list("passed_over");
        let unknown = &answer["unknown"];
        self.unknown += unknown["rows"].as_u64().unwrap_or_default();
        self.unknown_products
            .extend(array(&unknown["products"]).iter().cloned());
    }

    /// What would be done; or what was, of which this was shown before.
    fn show(
        &self,
        as_json: bool,
        planned: Option<&Self>,
        show: &mut Show<'_>,
    ) -> Result<(), Failure> {
        let counts = COUNTS.into_iter().zip(self.counts);
        if as_json {
            let counts: Value = counts
                .map(|(name, n)| (name.to_owned(), json!(n)))
                .collect();
            show.json(&json!({
                "dry_run": planned.is_none(),
                "counts": counts,
                "differences": self.differences,
                "rejected": self.rejected,
                "passed_over": self.passed_over,
                "unknown": { "rows": self.unknown, "products": self.unknown_products },
            }))?;
            return Ok(());
        }
        if planned.is_none() && !self.passed_over.is_empty() {
            let names = self.passed_over.iter().filter_map(Value::as_str);
            let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
            show.line(&format!(
                "passed over, because an import does not set it: {}",
                names.join(", ")
            ))?;
        }
        // What stays as it is changes nothing.
        let mut changes = self
            .differences
            .iter()
            .filter(|it| it["effect"] != "repeated");
        let first: Vec<_> = changes.by_ref().take(FIRST).map(cells).collect();
        if planned.is_none() && !first.is_empty() {
            for line in table(first) {
                show.line(&line)?;
            }
            if changes.next().is_some() {
                show.line("…")?;
            }
        }
        if self.counts[REPEATED] > 0 {
            show.line(&format!(
                "{} repeated: this very file was imported before, and what it set there has changed \
                 since; that is left as it is. With --again the file sets it once more",
                self.counts[REPEATED]
            ))?;
        }
        // What is believable is seen only where it is applied; the rest is known by then.
        let known = planned.map(|planned| &planned.rejected);
        for rejected in &self.rejected {
            if !known.is_some_and(|known| known.contains(rejected)) {
                show.line(&refusal(rejected))?;
            }
        }
        if self.unknown > 0 {
            let named: Vec<_> = self.unknown_products.iter().take(3).map(text).collect();
            let (s, are) = match self.unknown {
                1 => ("", "is"),
                _ => ("s", "are"),
            };
            show.line(&format!(
                "{} row{s} {are} about products that are not known yet, such as {}: they may be misspelt",
                self.unknown,
                named.join(", ")
            ))?;
        }
        let counted: Vec<_> = counts.map(|(name, n)| format!("{n} {name}")).collect();
        let done = if planned.is_none() {
            "would be"
        } else {
            "done"
        };
        show.line(&format!("{done}: {}", counted.join(", ")))?;
        Ok(())
    }
}

/// A difference as a row of the table that people read.
fn cells(difference: &Value) -> [String; 5] {
    let text = |name: &str| difference[name].as_str().unwrap_or_default().to_owned();
    [
        difference["line"].to_string(),
        text("sets"),
        text("of"),
        in_words(&difference["before"]),
        in_words(&difference["after"]),
    ]
}

fn in_words(value: &Value) -> String {
    let units = match value {
        Value::Null => return "–".to_owned(),
        Value::String(text) => return text.clone(),
        Value::Object(threshold) => &threshold["threshold"],
        other => return other.to_string(),
    };
    let text = |name: &str| value[name].as_str().unwrap_or_default().replace('_', " ");
    let basis = text("basis");
    let mut words = match value["boundary"].as_str() {
        Some("below") => format!("fewer than {units} {basis}"),
        _ => format!("{units} or fewer {basis}"),
    };
    if !value["pending"].is_null() {
        words.push_str(&format!(" for {}", text("pending")));
    }
    if let Some(recovery) = value["recovery"].as_i64() {
        words.push_str(&format!(", over from {recovery}"));
    }
    if value["severity"] != "warning" {
        words.push_str(&format!(", {}", text("severity")));
    }
    if value["enabled"] == false {
        words.push_str(", switched off");
    }
    if let Some(season) = value["in_force"].as_i64() {
        words.push_str(&format!(
            "; {season} in its season, until {}",
            text("season_until")
        ));
    }
    words
}

/// The rows under their header, in columns.
fn table(mut rows: Vec<[String; 5]>) -> Vec<String> {
    rows.insert(0, ["line", "sets", "of", "now", "then"].map(str::to_owned));
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn refusal(rejected: &Value) -> String {
    let text = |name: &str| rejected[name].as_str().unwrap_or_default();
    let column = match rejected["column"].as_u64() {
        Some(column) => format!(", column {column}"),
        None => String::new(),
    };
    let what = format!("{} {}", text("field"), text("detail"));
    format!("line {}{column}: {}", rejected["line"], what.trim_start())
}

/// Cuts a CSV text into pages of whole rows, each under the header. A row may have line breaks in it.
fn pages(text: &str) -> Result<Vec<Page>, String> {
    let Table {
        text,
        delimiter,
        skipped,
    } = Table::of(text);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let mut lines = RecordLines::of(text);
    let mut starts = Vec::new();
    for record in reader.byte_records() {
        let record = record.map_err(|error| error.to_string())?;
        starts.push(lines.start(record.position().map_or(0, csv::Position::byte)));
    }
    if starts.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let starts = starts.split_off(1);
    let header_end = starts.first().map_or(text.len(), |(byte, _)| *byte);
    let header = text.get(..header_end).unwrap_or_default().trim_end();
    let chunks = starts.chunks(PAGE).enumerate().map(|(index, chunk)| {
        let (from, first_line) = chunk.first().copied().unwrap_or((text.len(), 2));
        let next = starts.get((index + 1) * PAGE);
        let until = next.map_or(text.len(), |(byte, _)| *byte);
        Page {
            text: format!("{header}\n{}", text.get(from..until).unwrap_or_default()),
            first_line: first_line + skipped,
            rows: chunk.len(),
        }
    });
    Ok(chunks.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_whole_rows_under_the_header_and_know_their_lines() {
        let mut text = String::from("product,on_hand\r\n");
        for row in 0..PAGE + 2 {
            text.push_str(&format!("\"SKU\n{row}\",{row}\n"));
        }
        let pages = pages(&text).unwrap();
        assert_eq!(
            pages.iter().map(|it| it.rows).collect::<Vec<_>>(),
            [PAGE, 2]
        );
        assert_eq!(pages[0].first_line, 2);
        // Each row takes two lines.
        assert_eq!(pages[1].first_line, 2 + 2 * u64::try_from(PAGE).unwrap());
        assert!(
            pages[1]
                .text
                .starts_with(&format!("product,on_hand\n\"SKU\n{PAGE}\",{PAGE}\n"))
        );
        assert!(super::pages("").is_err());
    }

    #[test]
    fn a_spreadsheets_table_keeps_its_rows_and_lines() {
        let text = "sep=;\r\nSKU;Name\r\nA;\"Oil; 1\r\nl\"\r\nB;\"Gas, 2 l\"\r\n";
        let pages = pages(text).unwrap();
        assert_eq!((pages.len(), pages[0].rows, pages[0].first_line), (1, 2, 3));
        // The server reads the same delimiter out of the page itself.
        assert_eq!(Table::of(&pages[0].text).delimiter, b';');
    }

    #[test]
    fn what_would_change_is_a_table_in_words() {
        let threshold = |units: u32, severity: &str| {
            json!({
                "threshold": units, "boundary": "at_or_below", "basis": "available",
                "recovery": 5, "severity": severity, "enabled": true,
            })
        };
        let rows = [
            json!({"line": 2, "sets": "stock", "of": "OIL at north", "before": null, "after": 7}),
            json!({
                "line": 13, "sets": "threshold", "of": "category oils",
                "before": threshold(3, "warning"), "after": threshold(4, "critical"),
            }),
        ];
        assert_eq!(
            table(rows.iter().map(cells).collect()),
            [
                "line  sets       of             now                                then",
                "2     stock      OIL at north   –                                  7",
                "13    threshold  category oils  3 or fewer available, over from 5  \
                 4 or fewer available, over from 5, critical",
            ]
        );
    }

    #[test]
    fn a_server_says_how_long_it_is_left_alone_and_not_for_ever() {
        let asked = |seconds| Some(SignedDuration::from_secs(seconds));
        assert_eq!(pause(0, None), PAUSE);
        assert_eq!(pause(3, asked(0)), 8 * PAUSE);
        assert_eq!(pause(0, asked(7)), Duration::from_secs(7));
        assert_eq!(pause(0, asked(86_400)), LONGEST);
    }

    #[test]
    fn the_key_is_the_content_unless_it_is_to_be_done_again() {
        assert_eq!(key("a", false), key("a", false));
        assert_ne!(key("a", false), key("b", false));
        assert_ne!(key("a", true), key("a", true));
    }
}
