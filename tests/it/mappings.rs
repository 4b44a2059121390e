//! Event-source mappings, schedules and queues of `template.yaml` against those of the local stack, which
//! the code is tested with; and that a restored table takes the place of the old one everywhere.

use lotwire::engine::{Pattern, QueueMapping, StartingPosition, StreamMapping};
use serde_json::{Value, json};
use shared::store::schema;

use crate::cloudformation::{REGION, Stack, source};
use crate::observed::Observed;
use crate::roles;

/// What the local stack's mappings are, which the code is tested with.
pub(crate) struct Local {
    stream: StreamMapping,
    /// As what a process reads it.
    lanes: Vec<StreamMapping>,
    pub(crate) queues: Vec<QueueMapping>,
}

impl Local {
    pub(crate) async fn built() -> Self {
        let observed = Observed::start("").await;
        let stream = observed.stack.stream();
        Self {
            lanes: observed.stack.lanes(&stream),
            stream,
            queues: observed.stack.queues(),
        }
    }
}

fn responses(mapped: bool) -> Value {
    if mapped {
        json!(["ReportBatchItemFailures"])
    } else {
        Value::Null
    }
}

/// Where the mappings and schedules differ from the local stack's.
pub(crate) fn faults(stack: &Stack, local: &Local) -> Vec<String> {
    let mut faults = Vec::new();
    let mut compare = |name: &str, expected: Value| {
        let kind = if name.ends_with("Tick") {
            "AWS::Events::Rule"
        } else {
            "AWS::Lambda::EventSourceMapping"
        };
        let found = stack.typed(name, kind);
        if *found != expected {
            faults.push(format!("{name} is\n{found}\nand not\n{expected}"));
        }
    };
    let stream = &local.stream;
    let filters = schema::evaluated_changes();
    let failures = stream.on_failure.as_deref();
    assert_eq!(failures, Some("evaluate-failures"));
    let parsed = filters.each_ref().map(|it| Pattern::parse(it).unwrap());
    assert_eq!(stream.filters, parsed);
    assert_eq!(stream.starting_position, StartingPosition::TrimHorizon);
    compare(
        "EvaluateChanges",
        json!({
            "FunctionName": { "Ref": "Evaluate" },
            "Stream": { "Fn::GetAtt": ["Table", "StreamArn"] },
            "StartingPosition": "TRIM_HORIZON",
            "BatchSize": stream.batch_size,
            "MaximumBatchingWindowInSeconds": stream.batching_window.as_secs(),
            "ParallelizationFactor": 4,
            "FunctionResponseTypes": responses(stream.report_batch_item_failures),
            "BisectBatchOnFunctionError": stream.bisect_batch_on_function_error,
            "MaximumRetryAttempts": stream.maximum_retry_attempts,
            "MaximumRecordAgeInSeconds": stream.maximum_record_age.map(|age| age.as_secs()),
            "DestinationConfig": {
                "OnFailure": { "Type": "SQS", "Destination": { "Fn::GetAtt": ["EvaluateFailures", "Arn"] } },
            },
            "FilterCriteria": {
                "Filters": filters.map(|filter| json!({ "Pattern": filter.to_string() })),
            },
        }),
    );
    let kind = |queue: &str| {
        queue
            .strip_prefix("notify-")
            .map(|kind| kind.replace('_', ""))
    };
    for queue in &local.queues {
        let (name, function, of, concurrency) = match (queue.queue.as_str(), kind(&queue.queue)) {
            ("sync", _) => (
                "SyncRuns".to_owned(),
                "Sync".to_owned(),
                "SyncQueue".to_owned(),
                json!(10),
            ),
            ("evaluate-failures", _) => {
                let of = "EvaluateFailures".to_owned();
                (
                    "EvaluateGivenUp".to_owned(),
                    "Evaluate".to_owned(),
                    of,
                    json!(2),
                )
            }
            (_, Some(kind)) => {
                let most = &source()["Mappings"]["ChannelKinds"][&kind]["MaximumConcurrency"];
                let function = format!("Notify{kind}");
                (
                    format!("{function}Intents"),
                    function.clone(),
                    format!("{function}Queue"),
                    most.clone(),
                )
            }
            (other, None) => panic!("{other}"),
        };
        let mut expected = json!({
            "FunctionName": { "Ref": function },
            "Queue": { "Fn::GetAtt": [of, "Arn"] },
            "BatchSize": queue.batch_size,
            "ScalingConfig": { "MaximumConcurrency": concurrency },
            "FunctionResponseTypes": responses(queue.report_batch_item_failures),
        });
        if name == "SyncRuns" {
            expected["Enabled"] = json!(true);
        }
        compare(&name, expected);
    }
    let schedule = |rate: &str, words: &str| json!({ "Schedule": rate, "Description": words });
    compare(
        "ClockTick",
        schedule("rate(1 minute)", "Whatever time alone sets off"),
    );
    let mut tick = schedule(
        "rate(15 minutes)",
        "Queues one run per connector that is read on a schedule",
    );
    tick["State"] = json!("ENABLED");
    compare("SyncTick", tick);
    let mappings = stack.of_type("AWS::Lambda::EventSourceMapping").count();
    if mappings != local.queues.len() + 1 {
        faults.push(format!("{mappings} mappings"));
    }
    for queue in stack.of_type("AWS::SQS::Queue").map(|(name, _)| name) {
        let work = ["SyncQueue"].contains(&queue) || queue.ends_with("Queue");
        let failures = if queue == "SyncQueue" {
            "SyncFailures"
        } else {
            "NotifyFailures"
        };
        let redrive = json!({
            "deadLetterTargetArn": { "Fn::GetAtt": [failures, "Arn"] }, "maxReceiveCount": 5,
        });
        let expected = if work { redrive } else { Value::Null };
        if stack.properties(queue)["RedrivePolicy"] != expected {
            faults.push(format!("what fails on {queue} goes elsewhere"));
        }
    }
    faults
}

#[tokio::test(start_paused = true)]
async fn mappings_and_schedules_are_those_of_the_local_stack() {
    let faults = faults(&Stack::usual(), &Local::built().await);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The kinds of rows that a record may be of, and one that no version knows yet.
fn kinds() -> Vec<&'static str> {
    let others = [
        "alert",
        "intent",
        "ledger",
        "names",
        "watch",
        "received",
        "rule_renamed",
        "new",
    ];
    schema::EVALUATED_KINDS.into_iter().chain(others).collect()
}

/// A record as the stream has it: of a row that is there for the first time, is another, or is there no more.
fn records() -> Vec<(String, Value)> {
    let image = |kind: &str| json!({ "pk": { "S": "P#OIL" }, "t": { "S": kind } });
    let mut records = Vec::new();
    for now in kinds() {
        let inserted = json!({ "NewImage": image(now) });
        records.push(("INSERT", now.to_owned(), inserted));
        let removed = json!({ "OldImage": image(now) });
        records.push(("REMOVE", now.to_owned(), removed));
        for before in kinds() {
            let changed = json!({ "OldImage": image(before), "NewImage": image(now) });
            records.push(("MODIFY", format!("{before} to {now}"), changed));
        }
    }
    let record = |(event, of, images)| {
        let record = json!({ "eventName": event, "dynamodb": images });
        (format!("{event} {of}"), record)
    };
    records.into_iter().map(record).collect()
}

/// By the template's own filters: what is evaluated on AWS is evaluated by a process, too, and by one of its
/// two mappings alone.
#[tokio::test(start_paused = true)]
async fn a_process_evaluates_each_change_that_the_template_lets_through_and_none_twice() {
    let stack = Stack::usual();
    let mapping = stack.typed("EvaluateChanges", "AWS::Lambda::EventSourceMapping");
    let filters = mapping["FilterCriteria"]["Filters"].as_array().unwrap();
    let filters: Vec<_> = filters
        .iter()
        .map(|it| serde_json::from_str(it["Pattern"].as_str().unwrap()).unwrap())
        .map(|it: Value| Pattern::parse(&it).unwrap())
        .collect();
    let lanes = Local::built().await.lanes;
    assert!(lanes.len() > 1);
    let takes = |filters: &[Pattern], record: &Value| filters.iter().any(|it| it.matches(record));
    let mut taken = 0;
    for (name, record) in records() {
        let is_taken = takes(&filters, &record);
        let by = lanes.iter().filter(|it| takes(&it.filters, &record));
        let by: Vec<_> = by.map(|it| it.lane).collect();
        assert_eq!(by.len(), usize::from(is_taken), "{name}: {by:?}");
        taken += by.len();
    }
    // Of each kind what is new and what was anything before, and of rules what is gone.
    let evaluated = schema::EVALUATED_KINDS.len();
    assert_eq!(taken, evaluated + evaluated * kinds().len() + 1);
}

/// What a deployment after a restore is given.
pub(crate) const RESTORED: [(&str, &str); 6] = [
    ("Channels", "slack"),
    // And with the parts that not everybody has.
    ("SubnetIds", "subnet-a,subnet-b"),
    ("SecurityGroupIds", "sg-a"),
    ("BackupCopyVaultArn", VAULT),
    ("TableSuffix", "-restored-1"),
    ("TableStreamLabel", "2026-11-28T06:00:00.000"),
];

/// Where backups are copied to.
pub(crate) const VAULT: &str = "arn:aws:backup:eu-west-1:111122223333:backup-vault:lotwire";

/// What, after a restore, is still about the table that was left.
pub(crate) fn restored_faults(stack: &Stack) -> Vec<String> {
    let mut faults = roles::faults(stack);
    // Of the very table that the functions have.
    let stream = json!({ "Fn::Sub": format!(
        "arn:${{AWS::Partition}}:dynamodb:{REGION}:${{AWS::AccountId}}:\
         table/${{Table}}-restored-1/stream/2026-11-28T06:00:00.000"
    ) });
    if stack.properties("EvaluateChanges")["Stream"] != stream {
        faults.push("another stream is evaluated".to_owned());
    }
    let table = json!({ "Fn::Sub": "${Table}-restored-1" });
    for (name, function) in stack.of_type("AWS::Lambda::Function") {
        if function["Environment"]["Variables"]["TABLE_NAME"] != table {
            faults.push(format!("{name} has another table"));
        }
    }
    let backed_up = json!([{ "Fn::Sub": "${Table.Arn}-restored-1" }]);
    if stack.properties("BackupSelection")["BackupSelection"]["Resources"] != backed_up {
        faults.push("another table is copied".to_owned());
    }
    let all = json!(stack.resources).to_string();
    if all
        .replace("${Table.Arn}-restored-1", "")
        .contains("${Table.Arn}")
    {
        faults.push("a role is about another table".to_owned());
    }
    faults
}

#[test]
fn after_a_restore_everything_is_about_the_restored_table() {
    let faults = restored_faults(&Stack::of(&source(), &RESTORED));
    assert!(faults.is_empty(), "{faults:#?}");
}
