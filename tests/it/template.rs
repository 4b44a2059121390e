//! `template.yaml` against the code: what both must say, they say alike.
//!
//! The template is read as text, by its indentation: CloudFormation's short forms are more than YAML.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use shared::channels::ChannelKind;
use shared::config::Config;
use shared::config::environment::{
    ApiEnv, ClockEnv, EnvironmentError, EvaluateEnv, IngestEnv, NotifyEnv, SyncEnv,
};
use shared::metrics::{Metric, NAMESPACE};
use shared::store::schema;

const TEMPLATE: &str = include_str!("../../template.yaml");
const SETTINGS: &str = include_str!("../../samconfig.toml");

/// The lines under a key, down to the next line that is indented no deeper.
fn block(key: &str) -> String {
    let mut lines = TEMPLATE
        .lines()
        .skip_while(|line| line.trim_start_matches([' ', '-']) != key);
    let head = lines.next().unwrap_or_else(|| panic!("no {key}"));
    let depth = head.len() - key.len();
    lines
        .take_while(|line| line.trim().is_empty() || indent(line) > depth)
        .fold(String::new(), |text, line| text + line + "\n")
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The names of the environment variables that a block sets.
fn variables(block: &str) -> BTreeSet<String> {
    let name = |c: char| c.is_ascii_uppercase() || c == '_';
    let mut found = BTreeSet::new();
    for (at, _) in block.match_indices(": ") {
        let before = &block[..at];
        let start = before.rfind(|c| !name(c)).map_or(0, |place| place + 1);
        let word = &before[start..];
        if word.len() > 3 {
            found.insert(word.to_owned());
        }
    }
    found
}

/// Has a function read the environment that the template gives it: nothing is missing, and nothing
/// is set that the function does not ask for.
fn reads<T>(
    key: &str,
    read: impl FnOnce(&dyn Fn(&str) -> Option<String>) -> Result<T, EnvironmentError>,
) {
    let mut set = variables(&block(key));
    set.extend(variables(&block("Globals:")));
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
        panic!("{key} {error}");
    }
    let asked = asked.into_inner();
    let unread: Vec<_> = set.difference(&asked).collect();
    assert!(
        unread.is_empty(),
        "{key} sets {unread:?}, which nobody reads"
    );
}

#[test]
fn each_function_gets_the_environment_it_reads() {
    reads("Ingest:", |given| IngestEnv::read(given));
    reads("Api:", |given| ApiEnv::read(given));
    reads("Sync:", |given| SyncEnv::read(given));
    reads("Evaluate:", |given| EvaluateEnv::read(given));
    reads("Clock:", |given| ClockEnv::read(given));
    reads("\"Notify${Channel}\":", |given| NotifyEnv::read(given));
}

/// How the template calls a kind: CloudFormation's names have no underscores.
fn listed(kind: ChannelKind) -> String {
    kind.name().replace('_', "")
}

/// The value of `name: value` in a block, to the end of its line or entry.
fn value<'a>(block: &'a str, name: &str) -> &'a str {
    let found = block.split(&format!("{name}: ")).nth(1);
    let found = found.unwrap_or_else(|| panic!("no {name} in\n{block}"));
    let end = found.find([',', '\n', '}']).unwrap_or(found.len());
    found[..end].trim()
}

fn number(block: &str, name: &str) -> u64 {
    value(block, name).parse().unwrap()
}

#[test]
fn every_kind_of_channel_can_be_deployed_and_is_unless_told_otherwise() {
    let kinds: Vec<_> = ChannelKind::ALL.iter().copied().map(listed).collect();
    let list = format!("Default: {}", kinds.join(","));
    let parameter = block("Channels:");
    assert!(parameter.contains(&list), "expected {list} in\n{parameter}");
    let rows = block("ChannelKinds:");
    for kind in ChannelKind::ALL {
        let row = format!(
            "{}: {{ Kind: {}, Code: functions/notify, MaximumConcurrency: ",
            listed(*kind),
            kind.name()
        );
        let found = rows.lines().find_map(|line| line.trim().strip_prefix(&row));
        let found = found.unwrap_or_else(|| panic!("expected {row} in\n{rows}"));
        let concurrency: u64 = found.trim_end_matches(" }").parse().unwrap();
        // What SQS takes.
        assert!((2..=1_000).contains(&concurrency), "{row}{concurrency}");
    }
    assert_eq!(rows.matches("{ Kind: ").count(), ChannelKind::ALL.len());
    let notifiers = block("\"Fn::ForEach::Notifiers\":");
    assert!(notifiers.contains("- Channel\n    - !Ref Channels\n"));
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
    for environment in ["dev", "prod"] {
        let given = &settings[environment]["global"]["parameters"]["parameter_overrides"];
        let given = given.as_array().unwrap().iter();
        let given: BTreeMap<_, _> = given
            .map(|given| given.as_str().unwrap().split_once('=').unwrap())
            .collect();
        for name in given.keys() {
            assert!(
                block("Parameters:").contains(&format!("  {name}:\n    Type: ")),
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
fn a_function_is_read_from_nowhere_but_its_own_secrets() {
    let paths = |name: &str| -> BTreeSet<String> {
        let block = block(name);
        let lines = block
            .lines()
            .filter(|line| line.contains("${SecretsPath}/"));
        lines
            .filter_map(|line| line.split("${SecretsPath}/").nth(1))
            .map(|path| path.trim_end_matches(['"', ']']).to_owned())
            .collect()
    };
    let set = |paths: &[&str]| paths.iter().map(ToString::to_string).collect();
    let connectors = ["Ingest", "Api", "Sync", "Clock"];
    assert_eq!(
        paths("ReadConnectorSecrets:"),
        set(&["connectors/*"]),
        "of connectors"
    );
    for function in ["Ingest", "Api", "Sync", "Evaluate", "Clock"] {
        let own = match function {
            "Api" => set(&["api-token", "api-token-previous"]),
            _ => set(&[]),
        };
        let role = format!("{function}Role:");
        assert_eq!(paths(&role), own, "{function}");
        assert_eq!(
            block(&role).contains("!Ref ReadConnectorSecrets"),
            connectors.contains(&function),
            "{function}"
        );
    }
    let notifier = "\"Notify${Channel}Role\":";
    assert_eq!(paths(notifier), set(&["channels/${Kind}/*"]));
    assert!(!block(notifier).contains("ReadConnectorSecrets"));
    // The references that functions are given are ones that their roles may read.
    let given = block("Api:");
    for token in ["api-token", "api-token-previous"] {
        assert!(given.contains(&format!("ssm:/${{SecretsPath}}/{token}")));
    }
}

#[test]
fn times_fit_together() {
    let functions = block("Functions:");
    for name in ["Ingest", "Api", "Sync", "Evaluate", "Clock"] {
        let timeout = number(&block(&format!("{name}:")), "Timeout") * 1_000;
        let row = functions
            .lines()
            .find(|line| line.contains(&format!("{name}: {{")));
        let alarm = number(row.unwrap(), "NearTimeoutMs");
        assert!(alarm < timeout && alarm >= timeout / 5 * 4, "{name}");
    }
    let notifier = block("\"Notify${Channel}\":");
    let timeout = number(&notifier, "Timeout");
    let slowest = value(&notifier, "SEND_TIMEOUT_MS").trim_matches('"');
    let slowest: u64 = slowest.parse().unwrap();
    let batch = number(&notifier, "BatchSize") * slowest;
    let alarm = number(&block("\"Notify${Channel}DurationAlarm\":"), "Threshold");
    assert!(
        batch < alarm && alarm < timeout * 1_000,
        "{batch} {alarm} {timeout}"
    );
    // Six times, as AWS advises, so that a throttled invocation lets no message out a second time.
    for (queue, timeout) in [
        ("\"Notify${Channel}Queue\":", timeout),
        ("SyncQueue:", number(&block("Sync:"), "Timeout")),
        ("EvaluateFailures:", number(&block("Evaluate:"), "Timeout")),
    ] {
        assert_eq!(number(&block(queue), "VisibilityTimeout"), 6 * timeout);
    }
}

#[test]
fn silence_is_noticed() {
    let alarm = block("HeartbeatAlarm:");
    let (metric, _) = Metric::Heartbeat.name_and_unit();
    assert_eq!(value(&alarm, "MetricName"), metric);
    assert_eq!(value(&alarm, "Namespace"), NAMESPACE);
    assert_eq!(value(&alarm, "TreatMissingData"), "breaching");
}

#[test]
fn nothing_is_open_or_unencrypted() {
    let queues = TEMPLATE.matches("Type: AWS::SQS::Queue\n").count();
    assert_eq!(
        TEMPLATE.matches("SqsManagedSseEnabled: true").count(),
        queues
    );
    assert_eq!(TEMPLATE.matches("Type: AWS::SNS::Topic\n").count(), 1);
    assert!(block("Topic:").contains("KmsMasterKeyId: alias/aws/sns"));
    assert!(block("Table:").contains("SSEEnabled: true"));
    // Whom a policy lets in from outside of the account's own roles, it names.
    let mut statements = TEMPLATE.split("- Sid: ").skip(1);
    assert!(statements.all(|statement| {
        !statement.contains("Principal: \"*\"") || statement.contains("Effect: Deny")
    }));
    let wildcards = TEMPLATE.matches("Resource: \"*\"").count();
    assert_eq!(wildcards, 1, "only traces cannot be narrowed");
}

#[test]
fn the_stream_is_filtered_to_what_is_evaluated() {
    let pattern = json!({ "dynamodb": { "NewImage": { "t": { "S": schema::EVALUATED_KINDS } } } });
    let line = format!("- Pattern: '{pattern}'");
    let changes = block("Evaluate:");
    assert!(
        changes.lines().any(|found| found.trim() == line),
        "expected {line}"
    );
}

#[test]
fn the_table_is_the_one_the_code_uses() {
    let table = block("Table:");
    let expect = |text: String| assert!(table.contains(&text), "expected {text} in\n{table}");
    let keys = |partition: &str, sort: &str| {
        [
            format!("- {{ AttributeName: {partition}, KeyType: HASH }}\n"),
            format!("- {{ AttributeName: {sort}, KeyType: RANGE }}\n"),
        ]
    };
    let [partition, sort] = keys(schema::PARTITION_KEY, schema::SORT_KEY);
    expect(format!("KeySchema:\n        {partition}        {sort}"));
    for index in schema::INDEXES {
        let [partition, sort] = keys(index.partition_key, index.sort_key);
        let projection = if index.whole_items {
            "ALL"
        } else {
            "KEYS_ONLY"
        };
        expect(format!(
            "- IndexName: {}\n          KeySchema:\n            {partition}            {sort}          Projection: {{ ProjectionType: {projection} }}",
            index.name
        ));
    }
    let indexes = table.matches("- IndexName:").count();
    assert_eq!(indexes, schema::INDEXES.len());
    expect(format!(
        "AttributeName: {}, Enabled: true",
        schema::TTL_ATTRIBUTE
    ));
    expect("StreamViewType: NEW_AND_OLD_IMAGES".to_owned());
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
