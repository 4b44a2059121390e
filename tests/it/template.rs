//! `template.yaml` against the code and the local stack: what both must say, they say alike.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use lotwire::engine::{Pattern, QueueMapping, StartingPosition, StreamMapping};
use serde_json::{Value, json};
use shared::channels::ChannelKind;
use shared::config::Config;
use shared::config::environment::{
    ApiEnv, ClockEnv, EnvironmentError, EvaluateEnv, IngestEnv, NotifyEnv, SyncEnv, process,
};
use shared::metrics::{Metric, NAMESPACE};
use shared::store::schema;

use crate::cloudformation::{Stack, source};
use crate::observed::Observed;
use crate::slo::{Alarm, TOPIC};
use crate::{roles, slo};

const SETTINGS: &str = include_str!("../../samconfig.toml");

/// How many resources CloudFormation takes in a stack; what is left is for parts to come.
const MOST_RESOURCES: usize = 500;

/// Has a function read the environment that the template gives it: nothing is missing, and nothing
/// is set that the function does not ask for.
fn reads<T>(
    function: &str,
    read: impl FnOnce(&dyn Fn(&str) -> Option<String>) -> Result<T, EnvironmentError>,
) {
    let stack = Stack::usual();
    let variables = &stack.properties(function)["Environment"]["Variables"];
    let set: BTreeSet<_> = variables.as_object().unwrap().keys().cloned().collect();
    let asked = RefCell::new(BTreeSet::from(["RUST_LOG".to_owned()]));
    let given = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        set.contains(name).then(|| {
            let value = match name {
                "TOPIC_ARN" => "arn:aws:sns:eu-south-1:111122223333:intents",
                "API_TOKEN" | "API_TOKEN_PREVIOUS" => "ssm:/lotwire/api-token",
                "CHANNEL" => "webhook",
                "SEND_TIMEOUT_MS" => "8000",
                "RAW_RETENTION_DAYS" => "30",
                "ALLOWED_HOSTS" => "hooks.internal",
                name if name.ends_with("_URL") => {
                    "https://sqs.eu-south-1.amazonaws.com/111122223333/q"
                }
                _ => "lotwire",
            };
            value.to_owned()
        })
    };
    if let Err(error) = read(&given) {
        panic!("{function} {error}");
    }
    let asked = asked.into_inner();
    let unread: Vec<_> = set.difference(&asked).collect();
    assert!(
        unread.is_empty(),
        "{function} sets {unread:?}, which nobody reads"
    );
}

#[test]
fn each_function_gets_the_environment_it_reads() {
    reads("Ingest", |given| IngestEnv::read(given));
    reads("Api", |given| ApiEnv::read(given));
    reads("Sync", |given| SyncEnv::read(given));
    reads("Evaluate", |given| EvaluateEnv::read(given));
    reads("Clock", |given| ClockEnv::read(given));
    reads("Notifywebhook", |given| NotifyEnv::read(given));
}

/// How the template calls a kind: CloudFormation's names have no underscores.
fn listed(kind: ChannelKind) -> String {
    kind.name().replace('_', "")
}

#[test]
fn every_kind_of_channel_can_be_deployed_and_is_unless_told_otherwise() {
    let source = source();
    let kinds: Vec<_> = ChannelKind::ALL.iter().copied().map(listed).collect();
    assert_eq!(source["Parameters"]["Channels"]["Default"], kinds.join(","));
    let rows = source["Mappings"]["ChannelKinds"].as_object().unwrap();
    assert_eq!(rows.len(), ChannelKind::ALL.len());
    let stack = Stack::usual();
    for kind in ChannelKind::ALL {
        let row = &rows[&listed(*kind)];
        assert_eq!(row["Kind"], kind.name());
        assert_eq!(row["Code"], "functions/notify");
        // What SQS takes.
        let concurrency = row["MaximumConcurrency"].as_u64().unwrap();
        assert!((2..=1_000).contains(&concurrency), "{row}");
        let function = stack.properties(&format!("Notify{}", listed(*kind)));
        assert_eq!(function["Environment"]["Variables"]["CHANNEL"], kind.name());
        assert_eq!(function["CodeUri"], "functions/notify");
    }
}

/// A template that knows this many more kinds of channel, and the list of all.
fn with_kinds(more: usize) -> (Value, String) {
    let mut source = source();
    let mut names = source["Parameters"]["Channels"]["Default"]
        .as_str()
        .unwrap()
        .to_owned();
    let kinds = source["Mappings"]["ChannelKinds"].as_object_mut().unwrap();
    let one = kinds["webhook"].clone();
    for number in 0..more {
        kinds.insert(format!("kind{number}"), one.clone());
        names += &format!(",kind{number}");
    }
    (source, names)
}

#[test]
fn twenty_seven_kinds_of_channel_and_twenty_to_publish_to_fit_into_one_stack() {
    const KINDS: usize = 27 + 20;
    let (source, names) = with_kinds(KINDS - ChannelKind::ALL.len());
    let everything = [
        ("Channels", names.as_str()),
        ("AlarmTopicArn", TOPIC),
        ("DomainName", "stock.example.com"),
        (
            "CertificateArn",
            "arn:aws:acm:eu-south-1:111122223333:certificate/x",
        ),
    ];
    let stack = Stack::of(&source, &everything);
    let count = |of: &Stack| of.resources.len();
    assert_eq!(stack.of_type("AWS::Lambda::Function").count(), KINDS + 5);
    assert!(count(&stack) < MOST_RESOURCES - 50, "{}", count(&stack));
    let usual = Stack::of(&source, &everything[1..]);
    let per_kind = (count(&stack) - count(&usual)) / (KINDS - ChannelKind::ALL.len());
    let said = format!(
        "{} resources with {KINDS} kinds of channel, {per_kind} for each",
        count(&stack)
    );
    assert!(
        DEPLOYMENT.contains(&said),
        "docs/deploy.md does not say: {said}"
    );
    // CloudFormation's other limits.
    let entries = |key: &str| source[key].as_object().map_or(0, serde_json::Map::len);
    assert!(entries("Parameters") <= 60 && entries("Outputs") <= 60 && entries("Mappings") <= 60);
    for (name, map) in source["Mappings"].as_object().unwrap() {
        let rows = map.as_object().unwrap().values();
        let attributes: usize = rows.map(|row| row.as_object().unwrap().len()).sum();
        assert!(attributes <= 200, "{name}: {attributes}");
    }
    let size = json!(stack.resources).to_string().len();
    assert!(
        size < 900_000,
        "{size} bytes of the megabyte that a transformed template may have"
    );
}

/// SAM's cache looks at a function's own folder, and would deploy yesterday's `shared`.
#[test]
fn no_environment_builds_from_sams_cache() {
    let settings: toml::Table = SETTINGS.parse().unwrap();
    for (name, environment) in settings.iter().filter(|(_, value)| value.is_table()) {
        let cached = environment["build"]["parameters"].get("cached");
        assert!(cached.is_none(), "{name}");
    }
}

/// `sam build` compiles one function after the other: what two of them share with other features would
/// be compiled twice, the AWS SDK first of all.
#[test]
fn every_function_takes_the_same_features_of_what_they_share() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    // By package and function; build scripts may take other features than what runs.
    let mut taken = BTreeMap::<String, BTreeMap<&str, BTreeSet<String>>>::new();
    for function in ["ingest", "api", "sync", "evaluate", "clock", "notify"] {
        let mut cargo = std::process::Command::new(env!("CARGO"));
        cargo.args(["tree", "--locked", "--offline", "--no-dedupe"]);
        cargo.args(["--edges", "normal,build", "--prefix", "none"]);
        cargo.args(["--format", "{p}|{f}", "--package", function]);
        let tree = cargo.current_dir(root).output().unwrap();
        assert!(tree.status.success(), "{tree:?}");
        for line in String::from_utf8(tree.stdout).unwrap().lines() {
            let (package, features) = line.split_once('|').unwrap();
            let by = taken.entry(package.to_owned()).or_default();
            by.entry(function).or_default().insert(features.to_owned());
        }
    }
    assert!(taken.len() > 100, "{}", taken.len());
    taken.retain(|_, by| by.values().collect::<BTreeSet<_>>().len() > 1);
    assert!(taken.is_empty(), "{taken:#?}");
}

#[test]
fn each_environment_deploys_kinds_that_there_are() {
    let settings: toml::Table = SETTINGS.parse().unwrap();
    let parameters = &source()["Parameters"];
    for environment in ["dev", "prod"] {
        let given = &settings[environment]["global"]["parameters"]["parameter_overrides"];
        let given = given.as_array().unwrap().iter();
        let given: BTreeMap<_, _> = given
            .map(|given| given.as_str().unwrap().split_once('=').unwrap())
            .collect();
        for name in given.keys() {
            let known = parameters[*name].is_object();
            assert!(
                known,
                "{environment} gives {name}, which the template does not know"
            );
        }
        for listed_kind in given["Channels"].split(',') {
            let known = ChannelKind::ALL.iter().any(|it| listed(*it) == listed_kind);
            assert!(known, "{environment} lists {listed_kind}");
        }
    }
}

#[test]
fn times_fit_together() {
    let (stack, source) = (Stack::usual(), source());
    let seconds = |function: &str| stack.properties(function)["Timeout"].as_u64().unwrap();
    for name in ["Ingest", "Api", "Sync", "Evaluate", "Clock"] {
        let timeout = seconds(name) * 1_000;
        let row = &source["Mappings"]["Functions"][name];
        let alarm = row["NearTimeoutMs"].as_u64().unwrap();
        assert!(alarm < timeout && alarm >= timeout / 5 * 4, "{name}");
    }
    let notifier = &stack.properties("Notifywebhook")["Environment"]["Variables"];
    let slowest: u64 = notifier["SEND_TIMEOUT_MS"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let mapping = stack.properties("NotifywebhookIntents");
    let batch = mapping["BatchSize"].as_u64().unwrap() * slowest;
    let timeout = seconds("Notifywebhook");
    let alarm = stack.properties("NotifywebhookAlarm").to_string();
    assert!(alarm.contains("duration / 55000"), "{alarm}");
    assert!(
        batch < 55_000 && 55_000 < timeout * 1_000,
        "{batch} {timeout}"
    );
    // Six times, as AWS advises, so that a throttled invocation lets no message out a second time.
    for (queue, function) in [
        ("NotifywebhookQueue", "Notifywebhook"),
        ("SyncQueue", "Sync"),
        ("EvaluateFailures", "Evaluate"),
    ] {
        let hidden = stack.properties(queue)["VisibilityTimeout"].as_u64();
        assert_eq!(hidden, Some(6 * seconds(function)), "{queue}");
    }
}

#[test]
fn silence_is_noticed() {
    let stack = Stack::usual();
    let alarm = stack.properties("HeartbeatAlarm");
    let (metric, _) = Metric::Heartbeat.name_and_unit();
    assert_eq!(alarm["MetricName"], metric);
    assert_eq!(alarm["TreatMissingData"], "breaching");
}

#[test]
fn nothing_is_open_or_unencrypted() {
    let stack = Stack::usual();
    for (name, queue) in stack.of_type("AWS::SQS::Queue") {
        assert_eq!(queue["SqsManagedSseEnabled"], true, "{name}");
        // Over TLS alone, whoever it is.
        let policy = stack.properties(&format!("{name}Policy"));
        let own = json!({ "Fn::GetAtt": [name, "Arn"] });
        let denied = json!({
            "Sid": "OnlyOverTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": own,
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        });
        assert_eq!(policy["Queues"], json!([{ "Ref": name }]), "{name}");
        let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
        assert!(statements.contains(&denied), "{name}");
        // Whom a policy lets in from outside of the account's own roles, it names.
        for statement in statements.iter().filter(|it| it["Effect"] == "Allow") {
            let topic = json!({ "ArnEquals": { "aws:SourceArn": { "Ref": "Topic" } } });
            assert_eq!(
                statement["Principal"]["Service"], "sns.amazonaws.com",
                "{name}"
            );
            assert_eq!(statement["Condition"], topic, "{name}");
        }
    }
    assert_eq!(stack.of_type("AWS::SNS::Topic").count(), 1);
    assert_eq!(stack.properties("Topic")["KmsMasterKeyId"], "alias/aws/sns");
    let table = stack.properties("Table");
    assert_eq!(table["SSESpecification"], json!({ "SSEEnabled": true }));
}

/// The transform of language extensions refuses `RetainExceptOnCreate`.
#[test]
fn the_table_outlives_the_stack() {
    let stack = Stack::usual();
    let table = &stack.resources["Table"];
    assert_eq!(table["DeletionPolicy"], "Retain");
    assert_eq!(table["UpdateReplacePolicy"], "Retain");
    let recovery = json!({ "PointInTimeRecoveryEnabled": true });
    assert_eq!(
        table["Properties"]["PointInTimeRecoverySpecification"],
        recovery
    );
}

/// Lambda drops lines of JSON by their level, `debug` unless told otherwise, and takes a metric, which
/// has no level, for `info`: a level set there would silence alarms.
#[test]
fn what_is_logged_is_decided_in_one_place() {
    for level in ["error", "debug"] {
        let stack = Stack::of(&source(), &[("LogLevel", level)]);
        for (name, function) in stack.of_type("AWS::Lambda::Function") {
            assert_eq!(
                function["LoggingConfig"]["ApplicationLogLevel"], "TRACE",
                "{name}"
            );
            assert_eq!(function["LoggingConfig"]["LogFormat"], "JSON", "{name}");
            assert_eq!(
                function["Environment"]["Variables"]["RUST_LOG"], level,
                "{name}"
            );
        }
    }
}

#[test]
fn while_the_intake_is_closed_webhooks_are_refused_and_no_source_is_read() {
    let reserved = |given: &[(&str, &str)]| {
        Stack::of(&source(), given).properties("Ingest")["ReservedConcurrentExecutions"].clone()
    };
    assert_eq!(
        reserved(&[("Intake", "closed"), ("ReserveConcurrency", "yes")]),
        0
    );
    assert_eq!(
        reserved(&[("ReserveConcurrency", "yes"), ("IngestConcurrency", "7")]),
        "7"
    );
    assert_eq!(reserved(&[]), Value::Null);
    let closed = Stack::of(&source(), &[("Intake", "closed")]);
    assert_eq!(closed.properties("SyncRuns")["Enabled"], false);
    assert_eq!(closed.properties("SyncTick")["State"], "DISABLED");
    // What is in the table already goes on being told.
    assert_eq!(closed.properties("EvaluateChanges")["Enabled"], Value::Null);
}

/// What the local stack's mappings are, which the code is tested with.
pub(crate) struct Local {
    stream: StreamMapping,
    queues: Vec<QueueMapping>,
}

impl Local {
    pub(crate) async fn built() -> Self {
        let observed = Observed::start("").await;
        Self {
            stream: observed.stack.stream(),
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
fn mapping_faults(stack: &Stack, local: &Local) -> Vec<String> {
    let mut faults = Vec::new();
    let mut compare = |name: &str, expected: Value| {
        let found = stack.properties(name);
        if *found != expected {
            faults.push(format!("{name} is\n{found}\nand not\n{expected}"));
        }
    };
    let stream = &local.stream;
    let filter = json!({ "dynamodb": { "NewImage": { "t": { "S": schema::EVALUATED_KINDS } } } });
    let failures = stream.on_failure.as_deref();
    assert_eq!(failures, Some("evaluate-failures"));
    assert_eq!(stream.filters, [Pattern::parse(&filter).unwrap()]);
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
            "FilterCriteria": { "Filters": [{ "Pattern": filter.to_string() }] },
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
    let faults = mapping_faults(&Stack::usual(), &Local::built().await);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_dashboard_shows_metrics_that_there_are() {
    let stack = Stack::usual();
    let body = stack.properties("Dashboard")["DashboardBody"]["Fn::Sub"]
        .as_str()
        .unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let mut shown = BTreeSet::new();
    for widget in body["widgets"].as_array().unwrap() {
        for metric in widget["properties"]["metrics"].as_array().unwrap() {
            let searched = metric[0]["expression"].as_str();
            let name = match searched {
                Some(search) if search.contains("{Lotwire,") => {
                    let name = search.split("MetricName=\"").nth(1).unwrap();
                    let metric = name.split('"').next().unwrap();
                    let by = search.split("{Lotwire,Stack,").nth(1).unwrap();
                    let by: Vec<_> = by.split('}').next().unwrap().split(',').collect();
                    let known = Metric::ALL.iter().find(|it| it.name_and_unit().0 == metric);
                    assert_eq!(known.unwrap().dimensions(), by, "{metric}");
                    metric
                }
                _ if metric[0] == NAMESPACE => metric[1].as_str().unwrap(),
                _ => continue,
            };
            shown.insert(name.to_owned());
        }
    }
    let known = |name: &String| {
        name == "GatewayThrottled" || Metric::ALL.iter().any(|it| it.name_and_unit().0 == name)
    };
    assert!(shown.iter().all(known) && shown.len() >= 8, "{shown:?}");
}

#[test]
fn the_table_is_the_one_the_code_uses() {
    let stack = Stack::usual();
    let table = stack.properties("Table");
    let keys = |partition: &str, sort: &str| {
        json!([
            { "AttributeName": partition, "KeyType": "HASH" },
            { "AttributeName": sort, "KeyType": "RANGE" },
        ])
    };
    assert_eq!(
        table["KeySchema"],
        keys(schema::PARTITION_KEY, schema::SORT_KEY)
    );
    let indexes = schema::INDEXES.iter().map(|index| {
        let projection = if index.whole_items {
            "ALL"
        } else {
            "KEYS_ONLY"
        };
        json!({
            "IndexName": index.name,
            "KeySchema": keys(index.partition_key, index.sort_key),
            "Projection": { "ProjectionType": projection },
        })
    });
    assert_eq!(table["GlobalSecondaryIndexes"], indexes.collect::<Value>());
    let expiry = json!({ "AttributeName": schema::TTL_ATTRIBUTE, "Enabled": true });
    assert_eq!(table["TimeToLiveSpecification"], expiry);
    let stream = json!({ "StreamViewType": "NEW_AND_OLD_IMAGES" });
    assert_eq!(table["StreamSpecification"], stream);
}

/// A stack with one kind of channel, all of whose alarms tell somebody.
fn small(source: &Value) -> Stack {
    Stack::of(source, &[("Channels", "slack"), ("AlarmTopicArn", TOPIC)])
}

/// The documents' tables of what the template and its stack have, as they should be.
fn tables(source: &Value, stack: &Stack) -> [(&'static str, &'static str, String); 2] {
    let parameters = source["Parameters"].as_object().into_iter().flatten();
    let parameters = parameters.map(|(name, parameter)| {
        let default = &parameter["Default"];
        let default = default
            .as_str()
            .map_or_else(|| default.to_string(), str::to_owned);
        let default = if default.is_empty() {
            String::new()
        } else {
            format!("`{default}`")
        };
        let words = parameter["Description"].as_str().unwrap_or_default();
        let words = words.replace('<', "&lt;");
        format!("| `{name}` | {default} | {words} |\n")
    });
    let parameters = parameters.collect::<String>();
    let alarms = stack
        .of_type("AWS::CloudWatch::Alarm")
        .map(|(name, properties)| {
            let alarm = Alarm::of(properties);
            let words = properties["AlarmDescription"].as_str().unwrap_or_default();
            format!("| `{name}` | {words} | {} |\n", alarm.condition())
        });
    let alarms = alarms.collect::<String>();
    [
        (
            "docs/deploy.md",
            "| parameter | unless set | what |\n|---|---|---|\n",
            parameters,
        ),
        (
            "docs/observability.md",
            "| alarm | says | fires at |\n|---|---|---|\n",
            alarms,
        ),
    ]
}

/// What of the template the documents say otherwise.
fn document_faults(source: &Value, stack: &Stack, renew: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, head, rows) in tables(source, stack) {
        let file = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&file).unwrap();
        let (before, after) = text
            .split_once(head)
            .unwrap_or_else(|| panic!("{path}: no {head}"));
        let end = after.find("\n\n").map_or(after.len(), |end| end + 1);
        if after[..end] != rows {
            faults.push(format!(
                "{path} is out of date; run this test once with UPDATE_DOCS=1"
            ));
            if renew {
                std::fs::write(&file, format!("{before}{head}{rows}{}", &after[end..])).unwrap();
            }
        }
    }
    faults
}

#[test]
fn the_documents_list_every_parameter_and_alarm_as_it_is() {
    let stack = small(&source());
    document_faults(&source(), &stack, process("UPDATE_DOCS").is_some());
    let faults = document_faults(&source(), &stack, false);
    assert!(faults.is_empty(), "{faults:#?}");
    // Each metric of an alarm is paid for.
    let usual = Stack::of(&source(), &[("AlarmTopicArn", TOPIC)]);
    let alarms = usual.of_type("AWS::CloudWatch::Alarm");
    let metrics: usize = alarms.map(|(_, alarm)| Alarm::of(alarm).metrics()).sum();
    let said = format!("| {metrics} metrics, at 0.10:");
    assert!(
        DEPLOYMENT.contains(&said),
        "docs/deploy.md does not say: {said}"
    );
    for (name, _) in stack.of_type("AWS::CloudWatch::Alarm") {
        let name = name.replace("slack", "…");
        assert!(
            DEPLOYMENT.contains(&format!("`{name}`")),
            "docs/deploy.md does not say what to do about {name}"
        );
    }
}

/// The steps from here to each entry, as a pointer has them.
fn steps(here: &Value) -> Vec<String> {
    let escaped = |key: &String| key.replace('~', "~0").replace('/', "~1");
    match here {
        Value::Object(entries) => entries.keys().map(escaped).collect(),
        Value::Array(items) => (0..items.len()).map(|at| at.to_string()).collect(),
        _ => Vec::new(),
    }
}

/// Every entry below a place, however deep.
fn entries(source: &Value, place: &str, found: &mut Vec<String>) {
    for step in steps(source.pointer(place).unwrap_or(&Value::Null)) {
        let entry = format!("{place}/{step}");
        found.push(entry.clone());
        entries(source, &entry, found);
    }
}

/// It without one entry.
fn without(source: &Value, entry: &str) -> Value {
    let mut rest = source.clone();
    let (place, step) = entry.rsplit_once('/').unwrap();
    match rest.pointer_mut(place).unwrap() {
        Value::Object(entries) => drop(entries.remove(&step.replace("~1", "/").replace("~0", "~"))),
        Value::Array(items) => drop(items.remove(step.parse().unwrap())),
        _ => {}
    }
    rest
}

/// Where the template's mappings, roles and alarms stand below a place.
fn of_interest(source: &Value, place: &str, found: &mut Vec<(String, Looks)>) {
    let here = source.pointer(place).unwrap();
    match here["Type"].as_str() {
        Some("AWS::Serverless::Function") if here["Properties"]["Events"].is_object() => {
            found.push((format!("{place}/Properties/Events"), Looks::AtMappings));
        }
        Some("AWS::IAM::Role" | "AWS::IAM::ManagedPolicy") => {
            found.push((place.to_owned(), Looks::AtRoles));
        }
        Some("AWS::CloudWatch::Alarm") => found.push((place.to_owned(), Looks::AtAlarms)),
        _ => {
            for step in steps(here) {
                of_interest(source, &format!("{place}/{step}"), found);
            }
        }
    }
}

/// Who should notice.
#[derive(Debug, Clone, Copy)]
enum Looks {
    AtMappings,
    AtRoles,
    AtAlarms,
}

#[tokio::test(start_paused = true)]
async fn whatever_is_taken_from_mappings_roles_or_alarms_is_missed() {
    let mut local = Local::built().await;
    // One kind of channel stands for all of them: they are made by one loop.
    local
        .queues
        .retain(|queue| !queue.queue.starts_with("notify-") || queue.queue == "notify-slack");
    let done = roles::done("NotifyslackRole").await;
    let faults = |source: &Value, stack: &Stack, looks| match looks {
        Looks::AtMappings => mapping_faults(stack, &local),
        Looks::AtRoles => [roles::faults(stack), roles::table_faults(stack, &done)].concat(),
        Looks::AtAlarms => [slo::faults(stack), document_faults(source, stack, false)].concat(),
    };
    let whole = source();
    let (mut tried, mut unmissed) = (0, Vec::new());
    for step in steps(&whole["Resources"]) {
        let name = step.replace("~1", "/");
        // One resource, or one loop, at a time; what the others come to is known.
        let mut others = whole.clone();
        let body = others["Resources"].as_object_mut().unwrap().remove(&name);
        let others_stack = small(&others);
        others["Resources"] = json!({ name: body });
        let part = others;
        let mut places = Vec::new();
        of_interest(&part, "/Resources", &mut places);
        for (place, looks) in places {
            let mut cuts = Vec::new();
            entries(&part, &place, &mut cuts);
            for cut in cuts {
                let template = without(&part, &cut);
                let stack = others_stack.with(small(&template));
                tried += 1;
                if faults(&template, &stack, looks).is_empty() {
                    unmissed.push(cut);
                }
            }
            let stack = others_stack.with(small(&part));
            assert_eq!(
                faults(&part, &stack, looks),
                Vec::<String>::new(),
                "nothing is wrong with the whole"
            );
        }
    }
    assert!(tried > 500, "{tried}");
    assert!(
        unmissed.is_empty(),
        "of {tried} nobody missed:\n{unmissed:#?}"
    );
}

const DEPLOYMENT: &str = include_str!("../../docs/deploy.md");

/// The document's blocks in this language.
fn examples(language: &str) -> impl Iterator<Item = &'static str> {
    DEPLOYMENT
        .split("```")
        .skip(1)
        .step_by(2)
        .filter_map(move |block| block.strip_prefix(language)?.strip_prefix('\n'))
}

#[test]
fn the_documented_configuration_is_in_order_and_its_secrets_are_where_they_can_be_read() {
    let text: String = examples("toml").collect();
    let config = Config::check(&text, "deploy.md").unwrap_or_else(|errors| panic!("{errors}"));
    let kinds: BTreeSet<_> = ChannelKind::ALL.iter().map(|kind| kind.name()).collect();
    let secrets: Vec<_> = config
        .summary()
        .secrets
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(secrets.len(), 3, "{secrets:?}");
    for secret in secrets {
        let path = secret.strip_prefix("ssm:/lotwire-dev/").unwrap();
        let parts: Vec<_> = path.split('/').collect();
        let readable = match parts[..] {
            ["connectors", connector, _] => {
                config.connectors.contains_key(&connector.parse().unwrap())
            }
            ["channels", kind, _] => kinds.contains(kind),
            _ => false,
        };
        assert!(readable, "{secret}");
    }
}

#[test]
fn a_shell_can_read_every_documented_command() {
    let mut commands = 0;
    for example in examples("sh") {
        let mut shell = std::process::Command::new("bash");
        let read = shell.args(["-n", "-c", example]).output().unwrap();
        let said = String::from_utf8_lossy(&read.stderr);
        assert!(
            read.status.success() && said.is_empty(),
            "{said}\n{example}"
        );
        commands += example.lines().count();
    }
    assert!(commands > 50, "{commands} lines were found");
}
