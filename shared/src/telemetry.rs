//! Logs: one JSON object a line in Lambda, readable lines in the one-process runner.
//!
//! The level comes from `RUST_LOG` (`info` if it is not set). Numbers are not logs: see
//! [`metrics`](crate::metrics).

use std::io;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Logs JSON to standard output, as Lambda wants it. A second call changes nothing.
pub fn init() {
    install(json(io::stdout, filter()));
}

/// Logs for people, to standard error. A second call changes nothing.
pub fn init_pretty() {
    let subscriber = tracing_subscriber::fmt()
        .compact()
        .with_target(false)
        .with_writer(io::stderr)
        .with_env_filter(filter())
        .finish();
    install(subscriber);
}

fn install(subscriber: impl Subscriber + Send + Sync) {
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::debug!("logs were already set up");
    }
}

fn filter() -> EnvFilter {
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy()
}

/// Fields stand at the top level, where CloudWatch Logs Insights finds them by their own names.
fn json<W>(writer: W, filter: EnvFilter) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(writer)
        .with_env_filter(filter)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_line_is_one_json_object_with_its_fields_on_top() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = json(move || writer.clone(), EnvFilter::new("info"));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("deliver", channel = "slack");
            let _entered = span.enter();
            tracing::debug!("not at this level");
            tracing::info!(sku = "ABARTH-595", duration_ms = 12, "delivered\nan alert");
        });
        let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(line["message"], "delivered\nan alert");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["sku"], "ABARTH-595");
        assert_eq!(line["duration_ms"], 12);
        assert_eq!(line["span"]["channel"], "slack");
    }
}
