//! Logs: one JSON object a line in Lambda, readable lines in the one-process runner.
//!
//! | file | its job |
//! |---|---|
//! | `fields` | what a span or an event says, as JSON |
//! | `lines` | a log line |
//!
//! The level comes from `RUST_LOG` (`info` if it is not set): `warn`, or `info,notify=debug`. Numbers
//! are not logs: see [`metrics`](crate::metrics).

mod fields;
mod lines;

use std::io;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use crate::clock::Clock;
use crate::config::environment::process;

pub use lines::JsonLines;

/// Our own crates. Others may write bodies and headers into their logs when asked for details.
const OURS: [&str; 8] = [
    "shared", "ingest", "sync", "evaluate", "notify", "clock", "api", "lotwire",
];

/// Logs JSON to standard output, as Lambda wants it. A second call changes nothing.
pub fn init() {
    install(in_lambda(io::stdout, &wanted(), Clock::system()));
}

/// Logs for people, to standard error. A second call changes nothing.
pub fn init_pretty() {
    let lines = tracing_subscriber::fmt::layer()
        .compact()
        .with_target(false)
        .with_writer(io::stderr);
    install(Registry::default().with(lines.with_filter(ceiling(wanted()))));
}

/// What [`init`] installs, with its surroundings as arguments.
pub fn in_lambda<W: io::Write + 'static>(
    writer: impl Fn() -> W + Send + Sync + 'static,
    wanted: &Targets,
    clock: Clock,
) -> impl Subscriber + Send + Sync {
    let lines = JsonLines::new(writer, clock).with_filter(ceiling(wanted.clone()));
    Registry::default().with(lines)
}

fn install(subscriber: impl Subscriber + Send + Sync) {
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::debug!("logs were already set up");
    }
}

fn wanted() -> Targets {
    let asked = process("RUST_LOG").and_then(|levels| levels.parse().ok());
    asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
}

/// What is wanted, with two bounds: no details of other crates, whoever asks for them; and our spans
/// always, because a warning without its correlation id is worth little.
fn ceiling(wanted: Targets) -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    filter_fn(move |metadata| {
        let (target, level) = (metadata.target(), metadata.level());
        if *level > Level::INFO && !is_ours(target) {
            return false;
        }
        (metadata.is_span() && *level <= Level::INFO) || wanted.would_enable(target, level)
    })
}

fn is_ours(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or_default();
    OURS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Captured;

    fn logged(levels: &str, work: impl FnOnce()) -> Vec<serde_json::Value> {
        let lines = Captured::default();
        let writer = lines.clone();
        let clock = Clock::system();
        let subscriber = in_lambda(move || writer.clone(), &levels.parse().unwrap(), clock);
        tracing::subscriber::with_default(subscriber, work);
        lines.json()
    }

    #[test]
    fn a_log_line_is_one_json_object_with_its_fields_and_its_spans_on_top() {
        let lines = logged("info", || {
            let outer = tracing::info_span!("run", correlation = tracing::field::Empty, slot = 1);
            outer.record("correlation", "erp/1");
            let _outer = outer.enter();
            let inner = tracing::info_span!("deliver", channel = "slack", slot = 2);
            let _inner = inner.enter();
            tracing::debug!("not at this level");
            tracing::info!(sku = "ABARTH-595", duration_ms = 12, "delivered\nan alert");
        });
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!(line["message"], "delivered\nan alert");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["sku"], "ABARTH-595");
        assert_eq!(line["duration_ms"], 12);
        assert_eq!(line["channel"], "slack");
        assert_eq!(line["correlation"], "erp/1");
        assert_eq!(line["slot"], 2, "the inner span has the last word");
        assert_eq!(line["span"], "deliver");
        assert!(line["target"].as_str().unwrap().starts_with("shared::"));
        let at: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(at <= Clock::system().now());
    }

    #[test]
    fn a_warning_keeps_its_correlation_id_where_only_warnings_are_wanted() {
        let lines = logged("warn", || {
            let _span = tracing::info_span!("run", correlation = "erp/1").entered();
            tracing::info!("not wanted");
            tracing::warn!("wanted");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["correlation"], "erp/1");
    }

    #[test]
    fn other_crates_never_tell_details() {
        let lines = logged("trace", || {
            tracing::trace!(target: "aws_smithy_runtime::client", "authorization: …");
            tracing::debug!(target: "h2::codec", "headers");
            tracing::debug!(target: "lambda_runtime", "body");
            tracing::debug!(target: "shared_but_not_ours", "body");
            tracing::warn!(target: "h2::codec", "connection lost");
            tracing::trace!(target: "notify::batch", "ours");
        });
        let told: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
        assert_eq!(told, ["connection lost", "ours"]);
    }
}
