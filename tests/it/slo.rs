//! The service levels of `docs/observability.md`, and that their alarms say so when they are not kept:
//! the alarms are read from `template.yaml` and evaluated, as CloudWatch does, over what the stack
//! recorded while something was wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use minijinja::Environment;
use serde_json::{Value, json};
use shared::metrics::{Metric, NAMESPACE, STACK, UNDEPLOYED};

use crate::cloudformation::{Stack, source};
use crate::observed::{Behaviour, Observed, Sample};
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

/// Where alarms go in these tests.
pub(crate) const TOPIC: &str = "arn:aws:sns:eu-south-1:111122223333:lotwire-alarms";
const COMPARISONS: [&str; 3] = [
    "GreaterThanThreshold",
    "GreaterThanOrEqualToThreshold",
    "LessThanThreshold",
];
const STATISTICS: [&str; 6] = ["Sum", "Average", "SampleCount", "Maximum", "Minimum", "p99"];

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
pub(crate) struct Alarm {
    series: Vec<Series>,
    /// What it looks at: one expression over its series.
    answers: Vec<String>,
    periods: usize,
    breaching: usize,
    threshold: f64,
    comparison: String,
    missing: String,
}

impl Alarm {
    /// The one of this name, in the template as it stands.
    fn named(name: &str) -> Self {
        Self::of(Stack::of(&source(), &[("AlarmTopicArn", TOPIC)]).properties(name))
    }

    /// Of a resource's properties.
    pub(crate) fn of(alarm: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // A parameter's value is text.
        let number = |value: &Value| match value.as_str() {
            Some(text) => text.parse().ok(),
            None => value.as_f64(),
        };
        let metrics = alarm["Metrics"].as_array();
        let (series, answers) = match metrics {
            None => {
                let mut series = Series::read(alarm, alarm);
                series.id = "it".to_owned();
                (vec![series], vec!["it".to_owned()])
            }
            Some(metrics) => {
                let of = metrics
                    .iter()
                    .filter(|metric| metric["MetricStat"].is_object());
                let series = of.map(|metric| {
                    let stat = &metric["MetricStat"];
                    let mut series = Series::read(&stat["Metric"], stat);
                    series.id = text(&metric["Id"]);
                    series
                });
                let told = metrics
                    .iter()
                    .filter(|metric| metric["ReturnData"] != false);
                (
                    series.collect(),
                    told.map(|metric| text(&metric["Expression"])).collect(),
                )
            }
        };
        let whole = |key: &str| alarm[key].as_u64().and_then(|it| usize::try_from(it).ok());
        let periods = whole("EvaluationPeriods").unwrap_or_default();
        Self {
            series,
            answers,
            periods,
            breaching: whole("DatapointsToAlarm").unwrap_or(periods),
            threshold: number(&alarm["Threshold"]).unwrap_or(f64::NAN),
            comparison: text(&alarm["ComparisonOperator"]),
            missing: text(&alarm["TreatMissingData"]),
        }
    }

    /// How many metrics it watches.
    pub(crate) fn metrics(&self) -> usize {
        self.series.len()
    }

    /// What is wrong with it in itself.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |is: bool, otherwise: &str| {
            if !is {
                faults.push(otherwise.to_owned());
            }
        };
        let [answer] = self.answers.as_slice() else {
            return vec![format!("it has {} answers", self.answers.len())];
        };
        let words = answer.split(|c: char| !c.is_ascii_lowercase());
        let asked: BTreeSet<_> = words.filter(|word| !word.is_empty()).collect();
        let known: BTreeSet<_> = self
            .series
            .iter()
            .map(|series| series.id.as_str())
            .collect();
        expect(asked == known, "its expression is not of its series");
        expect(self.periods > 0, "no period");
        expect(self.breaching <= self.periods, "it never fires");
        expect(self.threshold.is_finite(), "no threshold");
        expect(
            COMPARISONS.contains(&self.comparison.as_str()),
            "no comparison",
        );
        expect(
            ["breaching", "notBreaching"].contains(&self.missing.as_str()),
            "missing data",
        );
        for series in &self.series {
            expect(series.period > 0 && series.period % 60 == 0, "a period");
            expect(series.period == self.period(), "periods that differ");
            let known = STATISTICS.contains(&series.statistic.as_str());
            expect(known, "a statistic");
            let dimensions: Vec<_> = series.dimensions.keys().map(String::as_str).collect();
            let theirs: &[&[&str]] = match series.namespace.as_str() {
                "AWS/Lambda" => &[&["FunctionName"]],
                "AWS/SQS" => &[&["QueueName"]],
                "AWS/ApiGateway" => &[&["ApiId"]],
                "AWS/DynamoDB" => &[&["TableName"], &["GlobalSecondaryIndexName", "TableName"]],
                NAMESPACE => continue,
                _ => &[],
            };
            expect(
                theirs.contains(&dimensions.as_slice()),
                "dimensions that nothing has",
            );
        }
        faults
    }

    /// When it fires, in words.
    pub(crate) fn condition(&self) -> String {
        let sign = match self.comparison.as_str() {
            "GreaterThanThreshold" => ">",
            "GreaterThanOrEqualToThreshold" => "≥",
            _ => "<",
        };
        let told = self.series.iter().map(|series| {
            let of = series.dimensions.iter().filter(|(name, _)| *name != STACK);
            let of: String = of
                .map(|(name, value)| format!(", {name} {value}"))
                .collect();
            let name = if self.series.len() > 1 {
                format!("{} = ", series.id)
            } else {
                String::new()
            };
            format!("{name}{} of {}{of}", series.statistic, series.metric)
        });
        let told = told.collect::<Vec<_>>().join("; ");
        let told = match self.answers.first() {
            Some(expression) if expression != "it" => format!("`{expression}` with {told}"),
            _ => told,
        };
        let missing = if self.missing == "breaching" {
            "; also without data"
        } else {
            ""
        };
        let (times, periods) = (self.breaching, self.periods);
        let minutes = self.period() / 60;
        format!(
            "{told} {sign} {}, {times} of {periods} × {minutes} min{missing}",
            self.threshold
        )
    }

    fn period(&self) -> i64 {
        self.series.first().map_or(0, |series| series.period)
    }

    /// The answer of one period; `None` where there is none.
    fn answer(&self, samples: &[Sample], from: i64) -> Option<f64> {
        let mut known = BTreeMap::new();
        for series in &self.series {
            let within = samples.iter().filter(|sample| series.has(sample, from));
            let values: Vec<_> = within.map(|sample| sample.value).collect();
            known.insert(series.id.clone(), statistic(&series.statistic, values));
        }
        let expression = &self.answers[0];
        if expression == "it" {
            return known["it"];
        }
        // A number that is missing makes the whole missing, and only aggregates pass over it.
        if let Some(list) = expression.strip_prefix("MAX([") {
            let parts = list.trim_end_matches("])").split(", ");
            let parts = parts.filter_map(|part| {
                let (id, bound) = part.split_once(" / ")?;
                Some(known[id]? / bound.parse::<f64>().ok()?)
            });
            return parts.max_by(f64::total_cmp);
        }
        if known.values().any(Option::is_none) {
            return None;
        }
        let mut environment = Environment::new();
        environment.add_function(
            "IF",
            |test: bool, yes: f64, no: f64| if test { yes } else { no },
        );
        let compiled = environment.compile_expression(expression).unwrap();
        let value = compiled.eval(minijinja::Value::from_pairs(known));
        f64::try_from(value.unwrap_or_else(|error| panic!("{expression}: {error:#}"))).ok()
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
                    "GreaterThanOrEqualToThreshold" => value >= self.threshold,
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
                    let value = &dimension["Value"];
                    let named = [
                        value,
                        &value["Ref"],
                        &value["Fn::GetAtt"][0],
                        &value["Fn::Sub"],
                    ];
                    let named = named.into_iter().find_map(|it| it.as_str());
                    (text(&dimension["Name"]), local(named.unwrap_or_default()))
                })
                .collect(),
            period: stat["Period"].as_i64().unwrap_or_default(),
            statistic: statistic.unwrap_or_default().to_owned(),
        }
    }

    fn has(&self, sample: &Sample, from: i64) -> bool {
        sample.namespace == self.namespace
            && sample.metric == self.metric
            && sample.dimensions == self.dimensions
            && (from..from + self.period).contains(&sample.at.as_second())
    }
}

/// The local name of a resource of the template: `NotifyFailures` → `notify-failures`.
fn local(name: &str) -> String {
    if name == "AWS::StackName" {
        return UNDEPLOYED.to_owned();
    }
    match name.strip_suffix("Failures") {
        Some(of) => format!("{}-failures", of.to_lowercase()),
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
        "Minimum" => values[0],
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
            let alarm = Alarm::named(alarm);
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
        let read = Alarm::named(alarm);
        assert_eq!(read.threshold, threshold, "{alarm}");
    }
}

/// What is wrong with the alarms.
pub(crate) fn faults(stack: &Stack) -> Vec<String> {
    let mut faults = Vec::new();
    let filters = stack.of_type("AWS::Logs::MetricFilter");
    let of_logs: BTreeSet<_> = filters
        .flat_map(|(_, filter)| filter["MetricTransformations"].as_array().cloned())
        .flatten()
        .filter(|made| {
            made["MetricNamespace"] == NAMESPACE && made["Dimensions"][0]["Key"] == STACK
        })
        .filter_map(|made| made["MetricName"].as_str().map(str::to_owned))
        .collect();
    for (name, properties) in stack.of_type("AWS::CloudWatch::Alarm") {
        let alarm = Alarm::of(properties);
        faults.extend(
            alarm
                .faults()
                .into_iter()
                .map(|fault| format!("{name}: {fault}")),
        );
        for told in ["AlarmActions", "OKActions"] {
            if properties[told] != json!([TOPIC]) {
                faults.push(format!("{name} tells nobody ({told})"));
            }
        }
        if !properties["AlarmDescription"].is_string()
            && properties["AlarmDescription"]["Fn::Sub"].is_null()
        {
            faults.push(format!("{name} says nothing"));
        }
        let metrics = properties["Metrics"].as_array().into_iter().flatten();
        for metric in metrics.filter(|metric| metric["ReturnData"] != false) {
            if !metric["Label"].is_string() {
                faults.push(format!("{name} has no label"));
            }
        }
        for series in &alarm.series {
            if series.namespace != NAMESPACE {
                continue;
            }
            let mut asked: BTreeSet<_> = series.dimensions.keys().map(String::as_str).collect();
            if !asked.remove(STACK) {
                faults.push(format!("{name} would hear other stacks"));
            }
            let mut metrics = Metric::ALL.iter();
            let metric = metrics.find(|metric| metric.name_and_unit().0 == series.metric);
            let kept = metric.map_or_else(Vec::new, |metric| {
                let kept = [Some(metric.dimensions()), metric.summed_up_by()];
                kept.into_iter()
                    .flatten()
                    .map(|kept| kept.iter().copied().collect())
                    .collect()
            });
            if !kept.contains(&asked) && !of_logs.contains(&series.metric) {
                faults.push(format!(
                    "{name}: {} is not kept by {asked:?}",
                    series.metric
                ));
            }
        }
    }
    faults
}

#[test]
fn every_alarm_is_whole_tells_somebody_and_watches_a_series_that_is_kept() {
    let stack = Stack::of(&source(), &[("AlarmTopicArn", TOPIC)]);
    let faults = faults(&stack);
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(stack.of_type("AWS::CloudWatch::Alarm").count() > 20);
    let silent = Stack::of(&source(), &[]);
    for (name, alarm) in silent.of_type("AWS::CloudWatch::Alarm") {
        assert!(
            alarm["AlarmActions"].is_null() && alarm["OKActions"].is_null(),
            "{name}"
        );
    }
}

#[test]
fn an_alarm_over_several_signals_fires_for_each_of_them() {
    let stack = Stack::usual();
    let at: Timestamp = "2026-01-15T09:00:00Z".parse().unwrap();
    for (name, properties) in stack.of_type("AWS::CloudWatch::Alarm") {
        let alarm = Alarm::of(properties);
        if !alarm.answers[0].starts_with("MAX(") {
            continue;
        }
        let with = |metric: &str, value: f64| {
            let of = alarm.series.iter().filter(|series| series.metric == metric);
            let samples: Vec<_> = of
                .map(|series| Sample {
                    namespace: series.namespace.clone(),
                    metric: series.metric.clone(),
                    dimensions: series.dimensions.clone(),
                    at,
                    value,
                })
                .collect();
            !alarm
                .fires(&samples, at, at + Duration::from_secs(300))
                .is_empty()
        };
        let clock = name == "ClockAlarm";
        assert!(
            with("Errors", 3.0) && with("Errors", 1.0) != clock,
            "{name}"
        );
        assert!(with("Throttles", 1.0) && !with("Throttles", 0.0), "{name}");
        assert!(
            with("Duration", 300_000.0) && !with("Duration", 5_000.0),
            "{name}"
        );
        let waits = name.starts_with("Notify");
        assert_eq!(
            with("ApproximateAgeOfOldestMessage", 301.0),
            waits,
            "{name}"
        );
        assert!(!with("ApproximateAgeOfOldestMessage", 200.0), "{name}");
    }
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
async fn a_destination_that_is_left_alone_and_events_that_nobody_can_use_show() {
    let mut observed = Observed::start("").await;
    let start = observed.clock.now();
    let fires = |name: &str, observed: &Observed| {
        let alarm = Alarm::named(name);
        !alarm
            .fires(&observed.samples(), start, observed.clock.now())
            .is_empty()
    };
    observed.vendor.is(Behaviour::Answer(503, String::new()));
    for number in 0..25 {
        let lost = json!({ "sku": format!("LOST-{number}"), "location": "nowhere", "on_hand": 1 });
        observed
            .post(&format!("l{number}"), "stock.level", lost)
            .await;
    }
    assert!(!fires("QuarantineAlarm", &observed), "so many are borne");
    let lost = json!({ "sku": "LOST", "location": "nowhere", "on_hand": 1 });
    observed.post("last", "stock.level", lost).await;
    assert!(!fires("BreakerOpenAlarm", &observed));
    for number in 0..6 {
        let sku = format!("SKU-{number}");
        observed.level(&sku, &sku, 1).await;
    }
    observed.pass(3).await;
    assert!(fires("QuarantineAlarm", &observed));
    assert!(fires("BreakerOpenAlarm", &observed));
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
        let alarm = Alarm::named(name);
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
    let depth = Alarm::named("NotifyFailuresAlarm");
    let age = Alarm::named("NotifyForgottenAlarm");
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
