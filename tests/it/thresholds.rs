//! Alarms over made-up samples: what is more than an alarm should bear, and what is not yet.

use std::time::Duration;

use jiff::Timestamp;
use shared::store::schema::{DUE_INDEX, LIST_INDEX};

use crate::alarm::{Alarm, TOPIC};
use crate::cloudformation::{Stack, source};
use crate::mappings::VAULT;
use crate::observed::Sample;

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
        let senders_repeat = ["IngestAlarm", "ApiAlarm"].contains(&name);
        assert!(
            with("Throttles", 20.0) && with("Throttles", 1.0) != senders_repeat,
            "{name}"
        );
        assert!(!with("Throttles", 0.0), "{name}");
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

/// Samples of the alarm's series of these metrics: minute, and value.
fn samples(alarm: &Alarm, given: &[(&str, i64, f64)]) -> Vec<Sample> {
    let from = Timestamp::UNIX_EPOCH.as_second();
    let of = |(metric, minute, value): &(&str, i64, f64)| {
        let series = alarm.series.iter().find(|series| series.metric == *metric);
        let series = series.unwrap();
        Sample {
            namespace: series.namespace.clone(),
            metric: series.metric.clone(),
            dimensions: series.dimensions.clone(),
            at: Timestamp::from_second(from + minute * 60).unwrap(),
            value: *value,
        }
    };
    given.iter().map(of).collect()
}

/// In how many of its periods within these minutes it fires.
fn times(name: &str, given: &[(&str, i64, f64)], minutes: i64) -> usize {
    let alarm = Alarm::named(name);
    let until = Timestamp::from_second(minutes * 60).unwrap();
    alarm
        .fires(&samples(&alarm, given), Timestamp::UNIX_EPOCH, until)
        .len()
}

#[test]
fn a_gateway_is_in_trouble_by_the_share_of_what_it_answers() {
    for (name, metric) in [
        ("GatewayErrorsAlarm", "5xx"),
        ("GatewayThrottledAlarm", "GatewayThrottled"),
    ] {
        let fires = |bad: f64, all: f64| {
            let of = |minute| [(metric, minute, bad), ("Count", minute, all)];
            times(name, &[of(0), of(5), of(10)].concat(), 15) > 0
        };
        // A rush of 250 a second, and a quiet night.
        assert!(
            !fires(100.0, 75_000.0) && fires(1_000.0, 75_000.0),
            "{name}"
        );
        assert!(!fires(3.0, 10.0) && fires(8.0, 10.0), "{name}");
    }
}

/// A file of 5,000 rows that has 40 bad ones is read four times an hour; of a small sender most is bad.
#[test]
fn what_goes_to_quarantine_shows_by_its_share() {
    let fires = |given: &[(&str, f64)]| {
        let given = given.iter().map(|(metric, value)| (*metric, 0, *value));
        times("QuarantineAlarm", &given.collect::<Vec<_>>(), 60) > 0
    };
    let held = |count: f64| ("EventsQuarantined", count);
    assert!(!fires(&[held(160.0), ("EventsDuplicate", 19_840.0)]));
    assert!(!fires(&[
        held(160.0),
        ("EventsApplied", 9_000.0),
        ("EventsDuplicate", 9_000.0)
    ]));
    assert!(fires(&[
        held(160.0),
        ("EventsApplied", 20.0),
        ("EventsDuplicate", 20.0)
    ]));
    // Of a first load, in which each row is a change, 8 in 100.
    assert!(fires(&[held(160.0), ("EventsApplied", 1_840.0)]));
    assert!(fires(&[held(30.0)]), "nothing can be used");
    assert!(!fires(&[held(25.0)]), "so few are borne");
}

/// A table that puts off what is asked of an index shows this nowhere but in the index's own numbers.
#[test]
fn a_table_or_an_index_that_puts_reads_or_writes_off_shows() {
    let alarm = Alarm::named("TableThrottledAlarm");
    let mut watched: Vec<_> = alarm
        .series
        .iter()
        .map(|series| {
            let index = series.dimensions.get("GlobalSecondaryIndexName");
            (index.map_or("", String::as_str), series.metric.as_str())
        })
        .collect();
    watched.sort_unstable();
    let expected: Vec<_> = ["", DUE_INDEX, LIST_INDEX]
        .into_iter()
        .flat_map(|index| ["ReadThrottleEvents", "WriteThrottleEvents"].map(|it| (index, it)))
        .collect();
    assert_eq!(watched, expected);
    let until = Timestamp::from_second(300).unwrap();
    for series in &alarm.series {
        assert_eq!(series.namespace, "AWS/DynamoDB");
        let fires = |times: f64| {
            let sample = Sample {
                namespace: series.namespace.clone(),
                metric: series.metric.clone(),
                dimensions: series.dimensions.clone(),
                at: Timestamp::UNIX_EPOCH,
                value: times,
            };
            let fired = alarm.fires(&[sample], Timestamp::UNIX_EPOCH, until);
            !fired.is_empty()
        };
        let of = (&series.metric, &series.dimensions);
        assert!(fires(alarm.threshold + 1.0), "{of:?}");
        assert!(!fires(alarm.threshold), "a burst: {of:?}");
    }
    assert!(alarm.fires(&[], Timestamp::UNIX_EPOCH, until).is_empty());
    // So many the parameter says.
    let given = [("AlarmTopicArn", TOPIC), ("TableThrottles", "7")];
    let stack = Stack::of(&source(), &given);
    let told = Alarm::of(stack.properties("TableThrottledAlarm"));
    assert!((told.threshold - 7.0).abs() < f64::EPSILON);
}

#[test]
fn work_that_is_stuck_for_a_quarter_of_an_hour_shows_and_what_succeeds_sooner_does_not() {
    let stuck = |minutes: &[i64]| {
        let every =
            (0..60).map(|minute| ("StuckWork", minute, f64::from(minutes.contains(&minute))));
        times("StuckWorkAlarm", &every.collect::<Vec<_>>(), 60)
    };
    // As it is tried again, ever later.
    assert!(stuck(&[0, 1, 3, 7, 15, 31]) > 1);
    assert_eq!(stuck(&[0, 1, 3, 7]), 0);
}

#[test]
fn a_table_that_is_paid_for_by_the_hour_shows_and_reading_everything_anew_does_not() {
    let hour = |write: f64, read: f64| {
        let alarm = Alarm::named("SpendingAlarm");
        let by = |kind: &str| {
            alarm
                .series
                .iter()
                .find(|it| it.dimensions["Kind"] == kind)
                .unwrap()
        };
        let of = |kind: &str, value| Sample {
            namespace: by(kind).namespace.clone(),
            metric: by(kind).metric.clone(),
            dimensions: by(kind).dimensions.clone(),
            at: Timestamp::UNIX_EPOCH,
            value,
        };
        let until = Timestamp::from_second(3_600).unwrap();
        let samples = [of("write", write), of("read", read)];
        !alarm
            .fires(&samples, Timestamp::UNIX_EPOCH, until)
            .is_empty()
    };
    assert!(
        !hour(1e5, 1e7),
        "an apply over a million positions, or as many rows of files"
    );
    assert!(hour(1e7, 0.0));
}

#[test]
fn what_is_put_back_again_and_again_shows_for_as_long_as_it_is() {
    let alarm = Alarm::named("DeliveriesRedrivenAlarm");
    let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
    let fires = |minutes: &[i64], from: i64, until: i64| {
        let given: Vec<_> = minutes
            .iter()
            .map(|minute| ("DeliveriesRedriven", *minute, 1.0))
            .collect();
        let fired = alarm.fires(&samples(&alarm, &given), at(0), at(until));
        fired.into_iter().filter(|time| *time >= at(from)).count()
    };
    // A notifier that stood still for twenty minutes, and messages that were lost hours apart.
    assert_eq!(fires(&[6, 11, 21], 0, 600), 0);
    assert_eq!(fires(&[6, 246, 486], 0, 600), 0);
    // One that nobody takes, as the clock puts it back: after an hour and a half, in each half-hour.
    let stuck = [6, 11, 21, 41, 81, 141, 202, 263, 324, 385, 446, 507];
    assert_eq!(fires(&stuck, 90, 510), 14);
    // And not for ever after.
    assert_eq!(fires(&stuck, 720, 900), 0);
}

#[test]
fn two_days_without_a_copy_in_the_other_region_show_whatever_the_reason() {
    let given = [("AlarmTopicArn", TOPIC), ("BackupCopyVaultArn", VAULT)];
    let stack = Stack::of(&source(), &given);
    let alarm = Alarm::of(stack.properties("CopiesFailedAlarm"));
    let day = 24 * 60;
    let until = Timestamp::from_second(5 * day * 60).unwrap();
    let fires = |copied: &[(&str, i64, f64)]| {
        let copied = samples(&alarm, copied);
        alarm.fires(&copied, Timestamp::UNIX_EPOCH, until).len()
    };
    let copy = |on: i64| ("NumberOfCopyJobsCompleted", on * day + 200, 1.0);
    assert_eq!(fires(&[0, 1, 2, 3, 4].map(copy)), 0);
    assert_eq!(fires(&[0, 2, 4].map(copy)), 0, "one that comes late");
    assert_eq!(fires(&[0, 1, 4].map(copy)), 1);
    assert_eq!(fires(&[0].map(copy)), 3, "and none since");
}
