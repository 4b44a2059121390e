//! `template.yaml` against the code and the local stack: what both must say, they say alike.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shared::channels::ChannelKind;
use shared::config::environment::{
    ApiEnv, ClockEnv, EnvironmentError, EvaluateEnv, IngestEnv, NotifyEnv, SyncEnv,
};
use shared::metrics::{Metric, NAMESPACE};
use shared::store::schema;

use crate::alarm::{Alarm, TOPIC};
use crate::cloudformation::{Stack, source};
use crate::documents::DEPLOYMENT;
use crate::mappings::VAULT;

const SETTINGS: &str = include_str!("../../samconfig.toml");

/// How many resources CloudFormation takes in a stack; what is left is for parts to come.
const MOST_RESOURCES: usize = 500;

/// Variables that are for the logs, and for the extension that secrets are read through.
const READ_BY_OTHERS: [&str; 2] = ["RUST_LOG", "PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED"];

/// Has a function read the environment that the template gives it: nothing is missing, and nothing
/// is set that the function does not ask for.
fn reads<T>(
    function: &str,
    read: impl FnOnce(&dyn Fn(&str) -> Option<String>) -> Result<T, EnvironmentError>,
) {
    let stack = Stack::usual();
    let variables = &stack.properties(function)["Environment"]["Variables"];
    let set: BTreeSet<_> = variables.as_object().unwrap().keys().cloned().collect();
    let asked = RefCell::new(BTreeSet::from(READ_BY_OTHERS.map(str::to_owned)));
    let given = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        set.contains(name).then(|| {
            let value = match name {
                "TOPIC_ARN" => "arn:aws:sns:eu-south-1:111122223333:intents",
                "API_TOKEN" | "API_TOKEN_PREVIOUS" => "ssm:/lotwire/api-token",
                "CHANNEL" | "CHANNELS" => "webhook",
                "SEND_TIMEOUT_MS" => "8000",
                "RAW_RETENTION_DAYS" => "30",
                "INTAKE" => "closed",
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

#[test]
fn every_kind_of_channel_can_be_deployed_and_is_unless_told_otherwise() {
    let source = source();
    let kinds: Vec<_> = ChannelKind::ALL
        .iter()
        .copied()
        .map(ChannelKind::in_stack)
        .collect();
    assert_eq!(source["Parameters"]["Channels"]["Default"], kinds.join(","));
    let rows = source["Mappings"]["ChannelKinds"].as_object().unwrap();
    assert_eq!(rows.len(), ChannelKind::ALL.len());
    let stack = Stack::usual();
    for kind in ChannelKind::ALL {
        let row = &rows[&kind.in_stack()];
        assert_eq!(row["Kind"], kind.name());
        assert_eq!(row["Code"], "functions/notify");
        // What SQS takes.
        let concurrency = row["MaximumConcurrency"].as_u64().unwrap();
        assert!((2..=1_000).contains(&concurrency), "{row}");
        let function = stack.properties(&format!("Notify{}", kind.in_stack()));
        assert_eq!(function["Environment"]["Variables"]["CHANNEL"], kind.name());
        assert_eq!(function["CodeUri"], "functions/notify");
        // As people know it, and not as CloudFormation spells it.
        let alarm = stack.properties(&format!("Notify{}Alarm", kind.in_stack()));
        let description = alarm["AlarmDescription"].as_str().unwrap();
        assert!(
            description.starts_with(&format!("{kind}: ")),
            "{description}"
        );
    }
}

#[test]
fn the_api_knows_which_kinds_are_deployed() {
    let api = Stack::of(&source(), &[("Channels", "slack,twiliosms")]);
    let variables = &api.properties("Api")["Environment"]["Variables"];
    let listed = &variables["CHANNELS"]["Fn::Join"];
    assert_eq!(*listed, json!([",", ["slack", "twiliosms"]]));
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
        ("SubnetIds", "subnet-a,subnet-b"),
        ("SecurityGroupIds", "sg-a"),
        ("BackupCopyVaultArn", VAULT),
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
    let (source_of_27, names) = with_kinds(27 - ChannelKind::ALL.len());
    let channels = [("Channels", names.as_str()), ("AlarmTopicArn", TOPIC)];
    let watched = Stack::of(&source_of_27, &channels);
    let alarms = watched.of_type("AWS::CloudWatch::Alarm");
    let metrics: usize = alarms.map(|(_, alarm)| Alarm::of(alarm).metrics()).sum();
    let mappings = watched.of_type("AWS::Lambda::EventSourceMapping");
    let polled = mappings.filter(|(_, it)| !it["Queue"].is_null()).count();
    let price = format!("${}.{}0 a month", metrics / 10, metrics % 10);
    let said = format!("{metrics} metrics of alarms at 0.10 ({price}), {polled} mappings");
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
fn production_is_not_deployed_before_somebody_is_told_of_its_alarms() {
    let settings: toml::Table = SETTINGS.parse().unwrap();
    let given = &settings["prod"]["global"]["parameters"]["parameter_overrides"];
    let given = given.as_array().unwrap().iter();
    let mut given: Vec<_> = given
        .map(|given| given.as_str().unwrap().split_once('=').unwrap())
        .collect();
    let refused = Stack::refusals(&source(), &given);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("AlarmTopicArn"), "{refused:?}");
    given.push(("AlarmTopicArn", TOPIC));
    assert_eq!(Stack::refusals(&source(), &given), [""; 0]);
    assert_eq!(Stack::refusals(&source(), &[]), [""; 0], "a trial");
}

#[test]
fn what_is_only_half_given_is_refused() {
    for (given, lacks) in [
        (&[("DomainName", "stock.example.com")][..], "CertificateArn"),
        (&[("CertificateArn", "arn:aws:acm:x")], "DomainName"),
        (&[("SubnetIds", "subnet-a,subnet-b")], "SecurityGroupIds"),
        (&[("SecurityGroupIds", "sg-a")], "SubnetIds"),
        (&[("Architecture", "x86_64")], "SecretsExtension"),
        (&[("TableSuffix", "-restored")], "TableStreamLabel"),
        (
            &[("TableStreamLabel", "2026-01-01T00:00:00.000")],
            "TableSuffix",
        ),
    ] {
        let refused = Stack::refusals(&source(), given);
        assert_eq!(refused.len(), 1, "{given:?}: {refused:?}");
        assert!(refused[0].contains(lacks), "{given:?}: {refused:?}");
    }
    let network = [("SubnetIds", "subnet-a"), ("SecurityGroupIds", "sg-a")];
    assert_eq!(Stack::refusals(&source(), &network), [""; 0]);
}

#[test]
fn a_region_without_a_layer_of_the_templates_needs_one_to_be_named() {
    let mut source = source();
    let regions = &source["Rules"]["ExtensionIsKnownInRegion"]["Assertions"][0]["Assert"];
    let regions = regions["Fn::Contains"][0].as_array().unwrap();
    let known = source["Mappings"]["Region"].as_object().unwrap().keys();
    let known: Vec<_> = known.map(|name| json!(name)).collect();
    assert_eq!(*regions, known);
    let list = "/Rules/ExtensionIsKnownInRegion/Assertions/0/Assert/Fn::Contains/0";
    *source.pointer_mut(list).unwrap() = json!(["elsewhere"]);
    let refused = Stack::refusals(&source, &[]);
    assert_eq!(refused.len(), 1, "{refused:?}");
    let named = [("SecretsExtension", "arn:aws:lambda:x")];
    assert_eq!(Stack::refusals(&source, &named), [""; 0]);
}

/// Who sends what is refused can be told, for a while.
#[test]
fn the_access_log_names_each_callers_address_and_is_kept_for_a_time_of_its_own() {
    let stack = Stack::of(
        &source(),
        &[("AccessLogDays", "3"), ("LogRetentionDays", "90")],
    );
    for (name, logs) in stack.of_type("AWS::Logs::LogGroup") {
        let expected = if name == "GatewayLogs" { "3" } else { "90" };
        assert_eq!(logs["RetentionInDays"], expected, "{name}");
    }
    let format = stack.properties("HttpApiStage")["AccessLogSettings"]["Format"].to_string();
    assert!(format.contains("$context.identity.sourceIp"), "{format}");
    // Which connector was called; what admits to a page stands in its query.
    assert!(format.contains("$context.path\\\""), "{format}");
    for secret in ["header", "query", "authorizer"] {
        assert!(!format.contains(secret), "{format}");
    }
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
            let known = ChannelKind::ALL
                .iter()
                .any(|it| it.in_stack() == listed_kind);
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

/// Lambda counts how often a message leads back to the same function, and takes the 17th time for a
/// mistake: the message would end among those that failed.
#[test]
fn whoever_puts_work_back_on_the_queue_that_it_comes_from_may_do_so_without_end() {
    let stack = Stack::usual();
    let mut loops = BTreeSet::new();
    for (_, mapping) in stack.of_type("AWS::Lambda::EventSourceMapping") {
        let queue = &mapping["Queue"]["Fn::GetAtt"][0];
        let function = mapping["FunctionName"]["Ref"].as_str().unwrap();
        let variables = &stack.properties(function)["Environment"]["Variables"];
        // The code knows the queues that its environment names, and no other.
        let mut given = variables.as_object().unwrap().values();
        if !queue.is_null() && given.any(|value| value["Ref"] == *queue) {
            loops.insert(function);
        }
    }
    assert_eq!(loops.len(), 1 + ChannelKind::ALL.len(), "{loops:?}");
    for (name, function) in stack.of_type("AWS::Lambda::Function") {
        let allowed = function["RecursiveLoop"] == "Allow";
        assert_eq!(allowed, loops.contains(name), "{name}");
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
    let told =
        |stack: &Stack| stack.properties("Api")["Environment"]["Variables"]["INTAKE"].clone();
    assert_eq!(
        (told(&closed), told(&Stack::usual())),
        (json!("closed"), json!("open"))
    );
    // What is in the table already goes on being told.
    assert_eq!(closed.properties("EvaluateChanges")["Enabled"], Value::Null);
}

/// A flood of webhooks is not to keep people and programs from asking, nor the other way round.
#[test]
fn each_way_in_has_a_rate_of_its_own() {
    let given = [
        ("GatewayRate", "300"),
        ("ApiRate", "40"),
        ("ApiBurst", "80"),
    ];
    let stack = Stack::of(&source(), &given);
    let stage = stack.properties("HttpApiStage");
    let rate = |rate: Value, burst: Value| json!({ "ThrottlingRateLimit": rate, "ThrottlingBurstLimit": burst });
    assert_eq!(
        stage["DefaultRouteSettings"],
        rate(json!("40"), json!("80"))
    );
    let of = |route: &str| {
        let key = stack.properties(route)["RouteKey"].as_str().unwrap();
        stage["RouteSettings"][key].clone()
    };
    assert_eq!(of("HooksRoute"), rate(json!("300"), json!(500)));
    assert_eq!(of("HealthRoute"), rate(json!(10), json!(20)));
    assert_eq!(of("ApiRoute"), Value::Null);
    // The settings of a route that is not there yet would be refused.
    let made_before = json!(["HooksRoute", "HealthRoute"]);
    assert_eq!(stack.resources["HttpApiStage"]["DependsOn"], made_before);
}

/// What calls out from a network of one's own has its fixed address; what is called has no need of it.
#[test]
fn only_those_who_call_out_are_in_a_network_if_there_is_one() {
    let given = [
        ("SubnetIds", "subnet-a,subnet-b"),
        ("SecurityGroupIds", "sg-a"),
    ];
    let inside = json!({ "SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"] });
    for (stack, there) in [
        (Stack::of(&source(), &given), inside),
        (Stack::usual(), Value::Null),
    ] {
        for (name, function) in stack.of_type("AWS::Lambda::Function") {
            let calls_out = name == "Sync" || name.starts_with("Notify");
            let expected = if calls_out { &there } else { &Value::Null };
            assert_eq!(function["VpcConfig"], *expected, "{name}");
        }
    }
}

#[test]
fn a_table_is_warmed_together_with_the_index_that_is_written_as_often() {
    let warmed = Stack::of(&source(), &[("WarmThroughput", "12000")]);
    let writes = json!({ "WriteUnitsPerSecond": "12000" });
    for (stack, expected) in [(warmed, writes), (Stack::usual(), Value::Null)] {
        let table = stack.properties("Table");
        assert_eq!(table["WarmThroughput"], expected);
        assert_eq!(table["GlobalSecondaryIndexes"][0]["IndexName"], "list");
        assert_eq!(
            table["GlobalSecondaryIndexes"][0]["WarmThroughput"],
            expected
        );
    }
}

#[test]
fn a_copy_in_another_region_is_made_of_the_table_in_use_where_it_is_asked_for() {
    let given = [
        ("BackupCopyVaultArn", VAULT),
        ("TableSuffix", "-restored-1"),
    ];
    let stack = Stack::of(&source(), &given);
    let plan = &stack.properties("BackupPlan")["BackupPlan"]["BackupPlanRule"][0];
    assert_eq!(plan["CopyActions"][0]["DestinationBackupVaultArn"], VAULT);
    assert_eq!(plan["TargetBackupVault"], json!({ "Ref": "BackupVault" }));
    let selection = stack.properties("BackupSelection");
    assert_eq!(selection["BackupPlanId"], json!({ "Ref": "BackupPlan" }));
    assert_eq!(
        selection["BackupSelection"]["IamRoleArn"],
        json!({ "Fn::GetAtt": ["BackupRole", "Arn"] })
    );
    let table = json!([{ "Fn::Sub": "${Table.Arn}-restored-1" }]);
    assert_eq!(selection["BackupSelection"]["Resources"], table);
    let usual = Stack::usual();
    assert!(
        !usual
            .resources
            .keys()
            .any(|name| name.starts_with("Backup"))
    );
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
