//! Alarms as the template has them, evaluated over samples as CloudWatch does.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use minijinja::Environment;
use serde_json::Value;
use shared::metrics::{NAMESPACE, STACK, UNDEPLOYED};

use crate::cloudformation::{Stack, source};
use crate::observed::Sample;

/// Where alarms go in these tests.
pub(crate) const TOPIC: &str = "arn:aws:sns:eu-south-1:111122223333:lotwire-alarms";
const COMPARISONS: [&str; 3] = [
    "GreaterThanThreshold",
    "GreaterThanOrEqualToThreshold",
    "LessThanThreshold",
];
const STATISTICS: [&str; 6] = ["Sum", "Average", "SampleCount", "Maximum", "Minimum", "p99"];

/// A series of numbers, of which a statistic is taken in each period.
pub(crate) struct Series {
    id: String,
    pub(crate) namespace: String,
    pub(crate) metric: String,
    pub(crate) dimensions: BTreeMap<String, String>,
    period: i64,
    statistic: String,
}

/// An alarm, as the template has it.
pub(crate) struct Alarm {
    pub(crate) series: Vec<Series>,
    /// What it looks at: one expression over its series.
    pub(crate) answers: Vec<String>,
    periods: usize,
    breaching: usize,
    pub(crate) threshold: f64,
    comparison: String,
    missing: String,
}

impl Alarm {
    /// The one of this name, in the template as it stands.
    pub(crate) fn named(name: &str) -> Self {
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
                "AWS/Backup" => &[&["BackupVaultName"]],
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
        // A number that is missing makes the whole missing; only aggregates pass over it, and `FILL`.
        if let Some(list) = expression.strip_prefix("MAX([") {
            let parts = list.trim_end_matches("])").split(", ");
            let parts = parts.filter_map(|part| {
                let (id, bound) = part.split_once(" / ")?;
                Some(known[id]? / bound.parse::<f64>().ok()?)
            });
            return parts.max_by(f64::total_cmp);
        }
        if let Some(list) = expression.strip_prefix("SUM([") {
            let parts = list.trim_end_matches("])").split(", ");
            let parts = parts.filter_map(|part| {
                let (times, id) = part.split_once(" * ").unwrap_or(("1", part));
                Some(known[id]? * times.parse::<f64>().ok()?)
            });
            return parts.reduce(|sum, part| sum + part);
        }
        let filled = |id: &str| expression.contains(&format!("FILL({id}, "));
        if known.iter().any(|(id, it)| it.is_none() && !filled(id)) {
            return None;
        }
        let mut environment = Environment::new();
        environment.add_function(
            "IF",
            |test: bool, yes: f64, no: f64| if test { yes } else { no },
        );
        environment.add_function("FILL", |it: Option<f64>, or: f64| it.unwrap_or(or));
        let compiled = environment.compile_expression(expression).unwrap();
        let value = compiled.eval(minijinja::Value::from_pairs(known));
        f64::try_from(value.unwrap_or_else(|error| panic!("{expression}: {error:#}"))).ok()
    }

    /// At which of the periods between these instants it is in ALARM.
    pub(crate) fn fires(
        &self,
        samples: &[Sample],
        from: Timestamp,
        until: Timestamp,
    ) -> Vec<Timestamp> {
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
                    let whole = value["Fn::GetAtt"][1] == "QueueName";
                    let queue = if whole {
                        &value["Fn::GetAtt"][0]
                    } else {
                        &Value::Null
                    };
                    let named = [value, &value["Ref"], queue, &value["Fn::Sub"]];
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
