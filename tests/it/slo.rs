//! The service levels of `docs/observability.md`, and that their alarms say so when they are not kept:
//! the alarms are read from `template.yaml` and evaluated, as CloudWatch does, over what the stack
//! recorded while something was wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use minijinja::Environment;
use serde_json::Value;
use shared::metrics::{Metric, NAMESPACE, STACK, UNDEPLOYED};

use crate::observed::{Behaviour, Observed, Sample};
use crate::yaml;

const TEMPLATE: &str = include_str!("../../template.yaml");
const DOCUMENT: &str = include_str!("../../docs/observability.md");

/// What is promised, by which alarm it is watched, and the threshold there.
const OBJECTIVES: [(&str, &str, f64); 6] = [
    (
        "99 of 100 alerts reach their vendor within 30 s of the change of stock",
        "SlowAlertsAlarm",
        30_000.0,
    ),
    (
        "no change of stock is more than a minute old when it is evaluated",
        "OldStreamAlarm",
        60_000.0,
    ),
    (
        "95 of 100 attempts at vendors succeed",
        "DeliverySuccessAlarm",
        95.0,
    ),
    (
        "no dead letter waits longer than 4 days",
        "SyncForgottenAlarm",
        345_600.0,
    ),
    (
        "the clock gives a heartbeat every minute",
        "HeartbeatAlarm",
        1.0,
    ),
    (
        "a thousand changes of stock use table capacity for at most 4 cents",
        "CostAlarm",
        0.04,
    ),
];

/// A series of numbers, of which a statistic is taken in each period.
struct Series {
    id: String,
    namespace: String,
    metric: String,
    dimensions: BTreeMap<String, String>,
    period: i64,
    statistic: String,
}

/// An alarm, as the template has it.
struct Alarm {
    series: Vec<Series>,
    expression: String,
    periods: usize,
    breaching: usize,
    threshold: f64,
    comparison: String,
    missing: String,
}

/// The names of all alarms.
fn alarms() -> Vec<&'static str> {
    let keys = TEMPLATE
        .lines()
        .filter_map(|line| line.trim().strip_suffix(':'));
    keys.map(|key| key.trim_start_matches("- ").trim_matches('"'))
        .filter(|key| key.ends_with("Alarm"))
        .collect()
}

impl Alarm {
    /// Reads one; what a loop of the template names is filled in.
    fn read(name: &str, filled: &[(&str, &str)]) -> Self {
        let heads = [format!("{name}:"), format!("\"{name}\":")];
        let mut lines = TEMPLATE.lines().skip_while(|line| {
            let key = line.trim().trim_start_matches("- ");
            !heads.iter().any(|head| head == key)
        });
        let head = lines.next().unwrap_or_else(|| panic!("no {name}"));
        let depth = head.len() - head.trim_start_matches([' ', '-']).len();
        let own = lines.take_while(|line| {
            line.trim().is_empty() || line.len() - line.trim_start().len() > depth
        });
        let mut text = own.collect::<Vec<_>>().join("\n");
        for (from, to) in filled {
            text = text.replace(from, to);
        }
        let read = yaml::read(&text);
        let alarm = &read["Properties"];
        let number = |key: &str| alarm[key].as_f64();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (series, expression) = match alarm["Metrics"].as_array() {
            None => {
                let mut series = Series::read(alarm, alarm);
                series.id = "it".to_owned();
                (vec![series], "it".to_owned())
            }
            Some(metrics) => {
                let of = |metric: &&Value| metric["MetricStat"].is_object();
                let series = metrics.iter().filter(of).map(|metric| {
                    let stat = &metric["MetricStat"];
                    let mut series = Series::read(&stat["Metric"], stat);
                    series.id = text(&metric["Id"]);
                    series
                });
                let told: Vec<_> = metrics
                    .iter()
                    .filter(|m| m["ReturnData"] != "false")
                    .collect();
                assert_eq!(told.len(), 1, "{name} has one answer");
                (series.collect(), text(&told[0]["Expression"]))
            }
        };
        let whole = |key: &str| number(key).map(|number| format!("{number}").parse().unwrap());
        let periods = whole("EvaluationPeriods").unwrap();
        Self {
            series,
            expression,
            periods,
            breaching: whole("DatapointsToAlarm").unwrap_or(periods),
            // One that a map of the template holds is not of our making.
            threshold: number("Threshold").unwrap_or(f64::NAN),
            comparison: text(&alarm["ComparisonOperator"]),
            missing: text(&alarm["TreatMissingData"]),
        }
    }

    fn period(&self) -> i64 {
        self.series[0].period
    }

    /// The answer of one period; `None` where there is none.
    fn answer(&self, samples: &[Sample], from: i64) -> Option<f64> {
        let mut known = BTreeMap::new();
        for series in &self.series {
            let within = samples.iter().filter(|sample| series.has(sample, from));
            let values: Vec<_> = within.map(|sample| sample.value).collect();
            known.insert(series.id.clone(), statistic(&series.statistic, values));
        }
        if self.expression == "it" {
            return known["it"];
        }
        // A number that is missing makes the whole missing.
        if known.values().any(Option::is_none) {
            return None;
        }
        let mut environment = Environment::new();
        environment.add_function(
            "IF",
            |test: bool, yes: f64, no: f64| if test { yes } else { no },
        );
        let compiled = environment.compile_expression(&self.expression).unwrap();
        let value = compiled.eval(minijinja::Value::from_pairs(known));
        f64::try_from(value.unwrap_or_else(|error| panic!("{}: {error:#}", self.expression))).ok()
    }

    /// At which of the periods between these instants it is in ALARM.
    fn fires(&self, samples: &[Sample], from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        let period = self.period();
        let first = from.as_second().div_euclid(period) * period;
        let starts: Vec<_> = (first..)
            .step_by(usize::try_from(period).unwrap())
            .take_while(|start| *start < until.as_second())
            .collect();
        let breaches: Vec<bool> = starts
            .iter()
            .map(|start| match self.answer(samples, *start) {
                None => self.missing == "breaching",
                Some(value) => match self.comparison.as_str() {
                    "GreaterThanThreshold" => value > self.threshold,
                    "LessThanThreshold" => value < self.threshold,
                    other => panic!("{other}"),
                },
            })
            .collect();
        let window = |end: usize| &breaches[(end + 1).saturating_sub(self.periods)..=end];
        (0..breaches.len())
            .filter(|end| window(*end).iter().filter(|breach| **breach).count() >= self.breaching)
            .map(|end| Timestamp::from_second(starts[end]).unwrap())
            .collect()
    }
}

impl Series {
    fn read(metric: &Value, stat: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
        let statistic = ["Stat", "Statistic", "ExtendedStatistic"]
            .into_iter()
            .find_map(|key| stat[key].as_str());
        Self {
            id: String::new(),
            namespace: text(&metric["Namespace"]),
            metric: text(&metric["MetricName"]),
            dimensions: dimensions
                .map(|dimension| {
                    // A queue's name is asked of the queue: `!GetAtt SyncFailures.QueueName`, or with
                    // a list where the queue's own name is put together.
                    let value = &dimension["Value"];
                    let value = value.as_str().or(value[0].as_str()).unwrap_or_default();
                    let value = value.trim_end_matches(".QueueName");
                    (text(&dimension["Name"]), local(value))
                })
                .collect(),
            period: stat["Period"].as_i64().unwrap(),
            statistic: statistic.unwrap().to_owned(),
        }
    }

    fn has(&self, sample: &Sample, from: i64) -> bool {
        sample.namespace == self.namespace
            && sample.metric == self.metric
            && sample.dimensions == self.dimensions
            && (from..from + self.period).contains(&sample.at.as_second())
    }
}

/// The local name of a resource of the template: `NotifywebhookFailures` → `notify-webhook-failures`.
fn local(name: &str) -> String {
    if name == "AWS::StackName" {
        return UNDEPLOYED.to_owned();
    }
    match name.strip_suffix("Failures") {
        Some(of) => {
            let of = of.replace("Notify", "notify-").to_lowercase();
            format!("{of}-failures")
        }
        None => name.to_owned(),
    }
}

fn statistic(name: &str, mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(match name {
        "Sum" => values.iter().sum(),
        #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
        "Average" => values.iter().sum::<f64>() / values.len() as f64,
        #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
        "SampleCount" => values.len() as f64,
        "Maximum" => values[last],
        "p99" => values[(values.len() * 99).div_ceil(100).min(last + 1) - 1],
        other => panic!("{other}"),
    })
}

/// Which objectives' alarms fire between these instants.
fn broken(observed: &Observed, from: Timestamp) -> BTreeSet<&'static str> {
    let samples = observed.samples();
    OBJECTIVES
        .iter()
        .map(|(_, alarm, _)| *alarm)
        .filter(|alarm| {
            let alarm = Alarm::read(alarm, &[]);
            !alarm.fires(&samples, from, observed.clock.now()).is_empty()
        })
        .collect()
}

#[test]
fn every_objective_is_written_down_and_watched() {
    for (promise, alarm, threshold) in OBJECTIVES {
        let row = format!("| {promise} | `{alarm}` |");
        assert!(
            DOCUMENT.contains(&row),
            "docs/observability.md does not say:\n{row}"
        );
        let read = Alarm::read(alarm, &[]);
        assert_eq!(read.threshold, threshold, "{alarm}");
        assert!(read.breaching <= read.periods, "{alarm}");
        assert!(
            ["breaching", "notBreaching"].contains(&read.missing.as_str()),
            "{alarm}"
        );
    }
}

#[test]
fn every_alarm_on_our_metrics_watches_a_series_that_is_kept() {
    let mut ours = 0;
    for name in alarms() {
        for series in Alarm::read(name, &[]).series {
            assert!(series.period % 60 == 0, "{name}");
            if series.namespace != NAMESPACE {
                continue;
            }
            ours += 1;
            let metric = Metric::ALL
                .iter()
                .find(|metric| metric.name_and_unit().0 == series.metric)
                .unwrap_or_else(|| panic!("{name}: there is no metric {}", series.metric));
            let mut asked: BTreeSet<_> = series.dimensions.keys().map(String::as_str).collect();
            assert!(asked.remove(STACK), "{name} would hear other stacks");
            let kept = [Some(metric.dimensions()), metric.summed_up_by()];
            assert!(
                kept.into_iter()
                    .flatten()
                    .any(|kept| asked == kept.iter().copied().collect()),
                "{name}: {} is not kept by {asked:?}",
                series.metric
            );
        }
    }
    assert!(ours >= 8, "{ours}");
}

#[tokio::test(start_paused = true)]
async fn an_hour_in_which_all_is_well_fires_nothing() {
    let mut observed = Observed::start("").await;
    let start = observed.clock.now();
    for minute in 0..60_u32 {
        for part in 0..2 {
            let level = if minute % 5 == 0 { 2 } else { 100 };
            let name = format!("{minute}-{part}");
            observed.level(&name, &name, level).await;
        }
        observed.pass(1).await;
    }
    assert!(observed.vendor.requests().len() > 20, "people were told");
    assert_eq!(broken(&observed, start), BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_is_down_shows() {
    let mut observed = Observed::start("").await;
    let start = observed.clock.now();
    observed.vendor.is(Behaviour::Answer(503, String::new()));
    for number in 0..6 {
        observed
            .level(&format!("l{number}"), &format!("SKU-{number}"), 1)
            .await;
    }
    observed.pass(16).await;
    assert_eq!(
        broken(&observed, start),
        BTreeSet::from(["DeliverySuccessAlarm"])
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_vendor_shows() {
    let mut observed = Observed::start("").await;
    let start = observed.clock.now();
    observed
        .vendor
        .is(Behaviour::TakeAfter(Duration::from_secs(15)));
    for round in 0..3 {
        for number in 0..12 {
            let name = format!("{round}-{number}");
            observed.level(&name, &name, 1).await;
        }
        observed.pass(5).await;
    }
    assert_eq!(
        broken(&observed, start),
        BTreeSet::from(["SlowAlertsAlarm"])
    );
}

#[tokio::test(start_paused = true)]
async fn an_evaluator_that_stood_still_shows() {
    let mut observed = Observed::start("").await;
    let start = observed.clock.now();
    observed.faults.evaluator_runs(false);
    observed.level("l1", "OIL", 50).await;
    observed.pass(3).await;
    observed.faults.evaluator_runs(true);
    observed.pass(2).await;
    assert_eq!(broken(&observed, start), BTreeSet::from(["OldStreamAlarm"]));
}

/// Stock falls while the evaluator crashes, which goes on for so many minutes: what fires, of what
/// watches over records that are given up, once all is well again.
async fn crash_for(minutes: u32) -> BTreeSet<&'static str> {
    let mut observed = Observed::start("").await;
    // The look at everything that a new configuration asks for would find it.
    observed.pass(1).await;
    let start = observed.clock.now();
    let crashes = |yes| {
        observed
            .faults
            .evaluator_crashes
            .store(yes, Ordering::SeqCst)
    };
    crashes(true);
    for (sku, on_hand) in [("FEW", 1), ("MANY", 50)] {
        observed.level(sku, sku, on_hand).await;
    }
    observed.pass(minutes).await;
    assert_eq!(observed.vendor.requests().len(), 0);
    observed
        .faults
        .evaluator_crashes
        .store(false, Ordering::SeqCst);
    // Nobody does anything about it.
    observed.pass(7).await;
    let requests = observed.vendor.requests();
    assert_eq!(requests.len(), 1, "one alert, of one of two");
    assert!(String::from_utf8_lossy(&requests[0].body).contains("FEW"));
    let samples = observed.samples();
    let mut fired = BTreeSet::new();
    for name in ["RecordsGivenUpAlarm", "EvaluateFailuresAlarm"] {
        let alarm = Alarm::read(name, &[]);
        let fires = alarm.fires(&samples, start, observed.clock.now());
        if !fires.is_empty() {
            fired.insert(name);
        }
    }
    fired
}

#[tokio::test(start_paused = true)]
async fn what_an_evaluator_lost_by_crashing_is_found_without_anybodys_help_and_shows() {
    assert_eq!(crash_for(5).await, BTreeSet::from(["RecordsGivenUpAlarm"]));
}

#[tokio::test(start_paused = true)]
async fn an_evaluator_that_crashes_for_half_an_hour_shows_all_that_time() {
    let both = ["EvaluateFailuresAlarm", "RecordsGivenUpAlarm"];
    assert_eq!(crash_for(30).await, BTreeSet::from(both));
}

#[tokio::test(start_paused = true)]
async fn a_poison_message_shows_at_once_and_again_if_nobody_looks() {
    let mut observed = Observed::start("").await;
    let start = observed.clock.now();
    let url = observed.aws.queues().find("notify-webhook").unwrap().url();
    let send = observed.aws.sqs().send_message().queue_url(url);
    send.message_body("poison").send().await.unwrap();
    observed.pass(12).await;
    let fill = [("${Channel}", "webhook")];
    let depth = Alarm::read("Notify${Channel}FailuresAlarm", &fill);
    let age = Alarm::read("Notify${Channel}ForgottenAlarm", &fill);
    let fires = |alarm: &Alarm, observed: &Observed| {
        !alarm
            .fires(&observed.samples(), start, observed.clock.now())
            .is_empty()
    };
    assert!(fires(&depth, &observed), "somebody is to look");
    assert!(!fires(&age, &observed));
    observed.days_later(5).await;
    observed.pass(1).await;
    assert!(fires(&age, &observed), "nobody has looked");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_stands_still_shows() {
    let mut observed = Observed::start("").await;
    observed.pass(6).await;
    let start = observed.clock.now();
    observed.stop();
    observed.pass(6).await;
    assert_eq!(broken(&observed, start), BTreeSet::from(["HeartbeatAlarm"]));
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_says_old_things_again_and_again_costs_and_shows() {
    let mut observed = Observed::start("").await;
    let start = observed.clock.now();
    for number in 0..50 {
        for again in 0..10 {
            let id = format!("{number}-{again}");
            observed.level(&id, "OIL", 100 + number).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    observed.pass(1).await;
    assert_eq!(broken(&observed, start), BTreeSet::from(["CostAlarm"]));
}

#[tokio::test(start_paused = true)]
async fn the_modelled_price_is_what_was_counted() {
    let mut observed = Observed::start("").await;
    // The first of each kind has its function read the configuration.
    for (name, on_hand) in [("enough", 50), ("low", 1)] {
        observed.level(name, name, on_hand).await;
    }
    observed.pass(1).await;
    let spent = |observed: &Observed| -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for sample in observed.samples() {
            let function = sample.dimensions.get("Function");
            let counted = function.is_some_and(|function| function != "clock");
            if sample.metric == "CapacityUnits" && counted {
                *sums.entry(sample.dimensions["Kind"].clone()).or_default() += sample.value;
            }
        }
        sums
    };
    let mut rows = Vec::new();
    for (what, on_hand) in [("tells nobody", 50), ("tells one channel", 1)] {
        let before = spent(&observed);
        for number in 0..10 {
            let name = format!("{on_hand}-{number}");
            observed.level(&name, &name, on_hand).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let after = spent(&observed);
        let units =
            |kind: &str| (after[kind] - before.get(kind).copied().unwrap_or_default()) / 10.0;
        let (write, read) = (units("write"), units("read"));
        let dollars = write * 0.625e-3 + read * 0.125e-3;
        rows.push(format!(
            "| a webhook that {what} | {write} | {read} | {dollars:.4} |"
        ));
    }
    let missing: Vec<_> = rows.iter().filter(|row| !DOCUMENT.contains(*row)).collect();
    assert!(
        missing.is_empty(),
        "docs/observability.md does not say:\n{missing:#?}"
    );
}
