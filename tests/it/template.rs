//! `template.yaml` against the code: what both must say, they say alike.
//!
//! The template is read as text, by its indentation: CloudFormation's short forms are more than YAML.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::json;
use shared::channels::ChannelKind;
use shared::config::environment::{
    ApiEnv, ClockEnv, EnvironmentError, EvaluateEnv, IngestEnv, NotifyEnv, SyncEnv,
};
use shared::store::schema;

const TEMPLATE: &str = include_str!("../../template.yaml");

/// The lines under a key, down to the next line that is indented no deeper.
fn block(key: &str) -> String {
    let mut lines = TEMPLATE.lines().skip_while(|line| line.trim() != key);
    let head = lines.next().unwrap_or_else(|| panic!("no {key}"));
    let depth = indent(head);
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
                "API_TOKEN" => "ssm:/lotwire/api-token",
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

#[test]
fn every_kind_of_channel_is_deployed() {
    let map = block("Channel:");
    let (ids, kinds): (Vec<_>, Vec<_>) = map
        .lines()
        .filter_map(|line| line.trim().trim_end_matches(" }").split_once(": { Kind: "))
        .unzip();
    let names: Vec<_> = ChannelKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(kinds, names);
    let list = format!("- [{}]", ids.join(", "));
    let channels = block("\"Fn::ForEach::Channels\":");
    assert!(
        channels.lines().any(|line| line.trim() == list),
        "expected {list}"
    );
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
