//! Numbers for CloudWatch, in its embedded metric format: a line on standard output becomes a
//! metric, without a call.
//!
//! Which metrics there are stands in one enum, so that dashboards and alarms can be checked
//! against it. Dimensions stay few and bounded, as each series is paid for: a channel, never a SKU. What
//! else is known of a value, such as its connector, stands in its line, where a query of the log finds it.

use std::fmt;
use std::io::{self, Write};
use std::iter;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::store::Store;
use crate::store::spent::Units;

/// The namespace of all our metrics.
pub const NAMESPACE: &str = "Lotwire";
/// The dimension that every series has: another stack's heartbeat must not hide that ours has stopped.
pub const STACK: &str = "Stack";
/// The value of [`STACK`] where no stack was deployed.
pub const UNDEPLOYED: &str = "undeployed";

/// Everything that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Our clock minus a webhook sender's.
    IngestSkewSeconds,
    /// Events and rows that changed something.
    EventsApplied,
    /// Events that had been applied before, and rows that say what is known.
    EventsDuplicate,
    /// Events and rows held for a person to look at.
    EventsQuarantined,
    /// Positions that differed from their source when it was read whole.
    SyncDrift,
    /// Rows read from a source.
    SyncRows,
    /// From the moment we took a change of stock in to the moment the vendor took the alert. What
    /// time alone brought about counts from then.
    AlertLatencyMs,
    /// Attempts, by channel and outcome.
    DeliveryOutcome,
    /// Attempts once more: 1 that was delivered, 0 that was not. Their average is the share of success.
    DeliverySucceeded,
    /// A destination's circuit breaker: 0 closed, 1 half-open, 2 open.
    BreakerState,
    /// Deliveries that nobody settled in time, put back on their queues.
    DeliveriesRedriven,
    /// A minute in which the clock ticked and found nothing wrong with itself. Alarm on its absence.
    Heartbeat,
    /// How far the stream's reader is behind.
    StreamIteratorAgeMs,
    /// Stream records that the evaluator's mapping gave up; what they would have set off comes late.
    RecordsGivenUp,
    /// What was due in a minute and could not be done: tried again, ever later.
    StuckWork,
    /// How long ago a source that is read on a schedule was last read well.
    FeedAgeSeconds,
    /// DynamoDB capacity consumed.
    CapacityUnits,
}

impl Metric {
    /// Every metric there is.
    pub const ALL: &[Self] = &[
        Self::IngestSkewSeconds,
        Self::EventsApplied,
        Self::EventsDuplicate,
        Self::EventsQuarantined,
        Self::SyncDrift,
        Self::SyncRows,
        Self::AlertLatencyMs,
        Self::DeliveryOutcome,
        Self::DeliverySucceeded,
        Self::BreakerState,
        Self::DeliveriesRedriven,
        Self::Heartbeat,
        Self::StreamIteratorAgeMs,
        Self::RecordsGivenUp,
        Self::StuckWork,
        Self::FeedAgeSeconds,
        Self::CapacityUnits,
    ];

    /// Its name in CloudWatch, and the unit it is counted in.
    pub const fn name_and_unit(self) -> (&'static str, &'static str) {
        match self {
            Self::IngestSkewSeconds => ("IngestSkewSeconds", "Seconds"),
            Self::EventsApplied => ("EventsApplied", "Count"),
            Self::EventsDuplicate => ("EventsDuplicate", "Count"),
            Self::EventsQuarantined => ("EventsQuarantined", "Count"),
            Self::SyncDrift => ("SyncDrift", "Count"),
            Self::SyncRows => ("SyncRows", "Count"),
            Self::AlertLatencyMs => ("AlertLatencyMs", "Milliseconds"),
            Self::DeliveryOutcome => ("DeliveryOutcome", "Count"),
            Self::DeliverySucceeded => ("DeliverySucceeded", "None"),
            Self::BreakerState => ("BreakerState", "None"),
            Self::DeliveriesRedriven => ("DeliveriesRedriven", "Count"),
            Self::Heartbeat => ("Heartbeat", "Count"),
            Self::StreamIteratorAgeMs => ("StreamIteratorAgeMs", "Milliseconds"),
            Self::RecordsGivenUp => ("RecordsGivenUp", "Count"),
            Self::StuckWork => ("StuckWork", "Count"),
            Self::FeedAgeSeconds => ("FeedAgeSeconds", "Seconds"),
            Self::CapacityUnits => ("CapacityUnits", "Count"),
        }
    }

    /// The dimensions that it always has besides [`STACK`]; CloudWatch keeps a series for each of
    /// their values.
    pub const fn dimensions(self) -> &'static [&'static str] {
        match self {
            Self::IngestSkewSeconds
            | Self::EventsApplied
            | Self::EventsDuplicate
            | Self::EventsQuarantined
            | Self::SyncDrift
            | Self::SyncRows
            | Self::FeedAgeSeconds
            | Self::DeliveriesRedriven
            | Self::Heartbeat
            | Self::StreamIteratorAgeMs
            | Self::RecordsGivenUp
            | Self::StuckWork => &[],
            Self::AlertLatencyMs | Self::DeliverySucceeded | Self::BreakerState => &["Channel"],
            Self::DeliveryOutcome => &["Channel", "Outcome"],
            Self::CapacityUnits => &["Function", "Kind"],
        }
    }

    /// Fewer of its dimensions, by which it is kept once more: an alarm cannot add series up, and
    /// channels are named in the configuration, not in the template.
    pub const fn summed_up_by(self) -> Option<&'static [&'static str]> {
        match self {
            Self::AlertLatencyMs | Self::DeliverySucceeded | Self::BreakerState => Some(&[]),
            Self::CapacityUnits => Some(&["Kind"]),
            _ => None,
        }
    }

    /// One line of the embedded metric format. An empty dimension is left out: CloudWatch would
    /// drop the whole line for it. What is said beside the dimensions is only for whoever reads the log.
    pub fn line(
        self,
        stack: &str,
        value: f64,
        said: &[(&'static str, &str)],
        at: Timestamp,
    ) -> Value {
        let (name, unit) = self.name_and_unit();
        let said = || {
            let said = said.iter().filter(|(_, value)| !value.is_empty());
            iter::once((STACK, stack)).chain(said.copied())
        };
        let is_dimension = |key: &&str| *key == STACK || self.dimensions().contains(key);
        let mut series = vec![
            said()
                .map(|(key, _)| key)
                .filter(is_dimension)
                .collect::<Vec<_>>(),
        ];
        series.extend(self.summed_up_by().map(|by| [&[STACK], by].concat()));
        let mut line = json!({
            name: value,
            "_aws": {
                "Timestamp": at.as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": series,
                    "Metrics": [{ "Name": name, "Unit": unit }],
                }],
            },
        });
        for (key, value) in said() {
            line[key] = json!(value);
        }
        line
    }
}

/// Where the lines go. Cheap to clone; clones write to the same place, a whole line at a time.
#[derive(Clone)]
pub struct Metrics {
    writer: Arc<Mutex<dyn Write + Send>>,
    stack: Arc<str>,
    clock: Clock,
}

impl Metrics {
    /// Metrics written elsewhere: into a test, or nowhere.
    pub fn to(writer: impl Write + Send + 'static, clock: Clock) -> Self {
        Self {
            writer: Arc::new(Mutex::new(writer)),
            stack: UNDEPLOYED.into(),
            clock,
        }
    }

    /// A deployed stack's metrics: on standard output, where Lambda collects them.
    pub fn of_stack(stack: &str, clock: Clock) -> Self {
        Self {
            stack: stack.into(),
            ..Self::to(io::stdout(), clock)
        }
    }

    /// Writes one value. What cannot be written is logged and dropped: no work fails for a metric.
    pub fn record(&self, metric: Metric, value: f64, dimensions: &[(&'static str, &str)]) {
        let name = metric.name_and_unit().0;
        if !value.is_finite() {
            tracing::warn!(metric = name, "a metric is not a finite number");
            return;
        }
        let line = format!(
            "{}\n",
            metric.line(&self.stack, value, dimensions, self.clock.now())
        );
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let written = writer
            .write_all(line.as_bytes())
            .and_then(|()| writer.flush());
        if let Err(error) = written {
            tracing::warn!(metric = name, %error, "a metric could not be written");
        }
    }

    /// Counts one.
    pub fn count(&self, metric: Metric, dimensions: &[(&'static str, &str)]) {
        self.record(metric, 1.0, dimensions);
    }
}

/// Tells after each invocation of a function what it has used of the table's capacity.
#[derive(Debug, Clone)]
pub struct Meter {
    function: &'static str,
    store: Store,
    metrics: Metrics,
}

impl Meter {
    /// A meter of everything that is read and written through this store and its clones.
    pub fn new(function: &'static str, store: Store, metrics: Metrics) -> Self {
        Self {
            function,
            store,
            metrics,
        }
    }

    /// What the function has used so far, told or not.
    pub fn spent(&self) -> Units {
        self.store.spent()
    }

    /// Does an invocation's work, and then tells what it has used. The work is boxed: it is the largest
    /// future there is.
    pub fn measured<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        let work = Box::pin(work);
        async {
            let done = work.await;
            self.tell();
            done
        }
    }

    fn tell(&self) {
        let Units { read, write } = self.store.take_spent();
        for (kind, units) in [("read", read), ("write", write)] {
            if units > 0.0 {
                let dimensions = [("Function", self.function), ("Kind", kind)];
                self.metrics
                    .record(Metric::CapacityUnits, units, &dimensions);
            }
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_metric_keeps_its_shape() {
        let dimensions = [("Channel", "slack"), ("Site", "")];
        let at = "2026-01-15T09:30:00Z".parse().unwrap();
        insta::assert_json_snapshot!(Metric::AlertLatencyMs.line("lotwire-dev", 1.0, &dimensions, at), @r#"
        {
          "AlertLatencyMs": 1.0,
          "Channel": "slack",
          "Stack": "lotwire-dev",
          "_aws": {
            "CloudWatchMetrics": [
              {
                "Dimensions": [
                  [
                    "Stack",
                    "Channel"
                  ],
                  [
                    "Stack"
                  ]
                ],
                "Metrics": [
                  {
                    "Name": "AlertLatencyMs",
                    "Unit": "Milliseconds"
                  }
                ],
                "Namespace": "Lotwire"
              }
            ],
            "Timestamp": 1768469400000
          }
        }
        "#);
    }

    #[test]
    fn names_are_those_of_the_enum_and_none_stands_twice() {
        let mut names = HashSet::new();
        for metric in Metric::ALL {
            let (name, _) = metric.name_and_unit();
            assert_eq!(name, format!("{metric:?}"));
            assert!(names.insert(name), "{name}");
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn each_value_is_a_line_and_what_is_no_number_is_left_out() {
        let lines = Lines::default();
        let metrics = Metrics::to(lines.clone(), Clock::starting_at(Timestamp::UNIX_EPOCH));
        metrics.count(Metric::EventsApplied, &[("Connector", "shopify")]);
        metrics.record(Metric::IngestSkewSeconds, f64::NAN, &[]);
        metrics.record(Metric::IngestSkewSeconds, -1.5, &[]);
        let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let values: Vec<Value> = written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(values.len(), 2);
        assert_eq!(values[0]["EventsApplied"], 1.0);
        assert_eq!(values[0]["Connector"], "shopify");
        let series = &values[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
        assert_eq!(*series, json!([["Stack"]]), "no series for each source");
        assert_eq!(values[1]["IngestSkewSeconds"], -1.5);
    }

    #[tokio::test]
    async fn a_writer_that_fails_stops_nobody() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let metrics = Metrics::to(Full, Clock::starting_at(Timestamp::UNIX_EPOCH));
        metrics.count(Metric::EventsApplied, &[]);
    }
}
