//! The service levels of `docs/observability.md`, and that their alarms say so when they are not kept:
//! the alarms are read from `template.yaml` and evaluated, as CloudWatch does, over what the stack
//! recorded while something was wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use shared::metrics::{Metric, NAMESPACE, STACK, UNDEPLOYED};

use crate::alarm::{Alarm, TOPIC};
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
        "writing a thousand changes of stock takes table capacity for at most 3 cents",
        "CostAlarm",
        0.03,
    ),
];

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
        for metric in metrics {
            let labelled = metric["ReturnData"] == false || metric["Label"].is_string();
            if !labelled || !metric["Id"].is_string() {
                faults.push(format!("{name} has no name for {metric}"));
            }
        }
        for series in &alarm.series {
            if series.namespace != NAMESPACE {
                continue;
            }
            let mut asked: BTreeSet<_> = series.dimensions.keys().map(String::as_str).collect();
            let ours = series
                .dimensions
                .get(STACK)
                .is_some_and(|stack| stack == UNDEPLOYED);
            if !asked.remove(STACK) || !ours {
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

/// What is wrong with the alarms of a stack that has nobody to tell.
pub(crate) fn silent_faults(stack: &Stack) -> Vec<String> {
    let mut faults = loud_faults(stack);
    for (name, _) in stack.of_type("AWS::CloudWatch::Alarm") {
        // What it costs is shown on the dashboard too; and where nothing is copied no copy fails.
        let paid = [
            "CostAlarm",
            "SpendingAlarm",
            "DeliverySuccessAlarm",
            "CopiesFailedAlarm",
        ];
        if paid.contains(&name) {
            faults.push(format!("{name} is paid for"));
        }
    }
    faults
}

/// Which alarms tell somebody where nobody is named.
pub(crate) fn loud_faults(stack: &Stack) -> Vec<String> {
    let alarms = stack.of_type("AWS::CloudWatch::Alarm");
    let loud = alarms.filter(|(_, alarm)| {
        alarm.get("AlarmActions").is_some() || alarm.get("OKActions").is_some()
    });
    loud.map(|(name, _)| format!("{name} tells somebody"))
        .collect()
}

#[test]
fn every_alarm_is_whole_tells_somebody_and_watches_a_series_that_is_kept() {
    let stack = Stack::of(&source(), &[("AlarmTopicArn", TOPIC)]);
    let faults = faults(&stack);
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(stack.of_type("AWS::CloudWatch::Alarm").count() > 20);
    assert_eq!(silent_faults(&Stack::usual()), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_evaluator_that_hears_of_no_change_shows() {
    let mut observed = Observed::start("").await;
    observed.pass(1).await;
    for runs in [true, false] {
        observed.faults.evaluator_runs(runs);
        let start = observed.clock.now();
        for number in 0..60 {
            let name = format!("{runs}-{number}");
            observed.level(&name, &name, 50).await;
        }
        observed.pass(20).await;
        let alarm = Alarm::named("DeafEvaluatorAlarm");
        let fires = !alarm
            .fires(&observed.samples(), start, observed.clock.now())
            .is_empty();
        assert_eq!(fires, !runs);
    }
}

#[tokio::test(start_paused = true)]
async fn a_destination_shows_for_as_long_as_it_is_left_alone() {
    let mut observed = Observed::start("").await;
    observed.vendor.is(Behaviour::Answer(503, String::new()));
    for number in 0..6 {
        let sku = format!("SKU-{number}");
        observed.level(&sku, &sku, 1).await;
    }
    observed.pass(5).await;
    let start = observed.clock.now();
    observed.pass(40).await;
    let alarm = Alarm::named("BreakerOpenAlarm");
    let fires = |observed: &Observed, from| {
        alarm
            .fires(&observed.samples(), from, observed.clock.now())
            .len()
    };
    // Its period is five minutes; the first and last may be cut.
    assert!(fires(&observed, start) >= 8, "{}", fires(&observed, start));
    observed.vendor.is(Behaviour::Take);
    observed.pass(30).await;
    let later = observed.clock.now();
    observed.pass(15).await;
    assert_eq!(fires(&observed, later), 0);
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
async fn a_vendor_that_fails_often_shows_and_one_retry_beside_a_few_messages_does_not() {
    let mut observed = Observed::start("").await;
    let fires = |observed: &Observed, from: Timestamp| {
        let alarm = Alarm::named("DeliverySuccessAlarm");
        let fires = alarm.fires(&observed.samples(), from, observed.clock.now());
        !fires.is_empty()
    };
    let send = async |observed: &Observed, round: &str, fails: &[bool]| {
        for (number, fails) in fails.iter().enumerate() {
            observed.vendor.is(match fails {
                true => Behaviour::Answer(503, String::new()),
                false => Behaviour::Take,
            });
            let name = format!("{round}-{number}");
            observed.level(&name, &name, 1).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        observed.vendor.is(Behaviour::Take);
    };
    let start = observed.clock.now();
    let mut once = [false; 12];
    once[0] = true;
    send(&observed, "few", &once).await;
    observed.pass(16).await;
    let asked = observed.vendor.requests().len();
    assert!((13..20).contains(&asked), "{asked} attempts");
    assert!(!fires(&observed, start), "one of {asked}");

    let start = observed.clock.now();
    let mut often = [false; 30];
    often.iter_mut().step_by(3).for_each(|fails| *fails = true);
    send(&observed, "many", &often).await;
    observed.pass(16).await;
    assert!(fires(&observed, start));
}

/// An hour in which 200 sources of files are looked at every 15 minutes, without anything new, while 60 changes
/// of stock take so many units each.
fn quiet_hour(units: f64) -> Vec<Sample> {
    let at: Timestamp = "2026-11-30T12:30:00Z".parse().unwrap();
    let sample = |metric: &str, dimensions: &[(&str, &str)], value| Sample {
        namespace: NAMESPACE.to_owned(),
        metric: metric.to_owned(),
        dimensions: [&[(STACK, UNDEPLOYED)], dimensions]
            .concat()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        at,
        value,
    };
    let mut samples = vec![sample("EventsApplied", &[], 60.0)];
    let written = (0..60)
        .map(|_| ("evaluate", units))
        .chain((0..800).map(|_| ("sync", 1.0)));
    for (function, units) in written {
        let kind = ("Kind", "write");
        samples.push(sample("CapacityUnits", &[kind], units));
        let both = [("Function", function), kind];
        samples.push(sample("CapacityUnits", &both, units));
    }
    samples
}

#[test]
fn looks_at_many_sources_neither_set_the_cost_alarm_off_nor_hide_what_changes_cost() {
    let alarm = Alarm::named("CostAlarm");
    let (from, until) = ("2026-11-30T12:00:00Z", "2026-11-30T13:00:00Z");
    let fires = |units| {
        let samples = quiet_hour(units);
        !alarm
            .fires(&samples, from.parse().unwrap(), until.parse().unwrap())
            .is_empty()
    };
    assert!(!fires(23.0), "an alert for each change");
    assert!(fires(100.0), "4 times as much");
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
        let place = format!("nowhere-{number}");
        let lost = json!({ "sku": "LOST", "location": place, "on_hand": 1 });
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
        .is(Behaviour::TakeAfter(Duration::from_secs(18)));
    for round in 0..3 {
        // More than the instances of a notifier send side by side.
        for number in 0..60 {
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
        for again in 0..40 {
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
