//! `docs/deploy.md` and `docs/observability.md` against `template.yaml`: every parameter and alarm as it is,
//! commands that a shell can read, and a configuration that is in order.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::channels::ChannelKind;
use shared::config::Config;
use shared::config::environment::process;
use shared::delivery::Outcome;
use shared::metrics::Metric;

use crate::alarm::{Alarm, TOPIC};
use crate::cloudformation::{Stack, source};
use crate::mappings::VAULT;

pub(crate) const DEPLOYMENT: &str = include_str!("../../docs/deploy.md");

/// The document's blocks in this language.
fn examples(language: &str) -> impl Iterator<Item = &'static str> {
    blocks(DEPLOYMENT, language)
}

/// A text's blocks in this language.
fn blocks(text: &'static str, language: &str) -> impl Iterator<Item = &'static str> {
    text.split("```")
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

/// The name that a text begins with.
fn first_name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    end.map_or(text, |end| &text[..end])
}

/// The variables and functions that commands give a value or a body.
fn given(commands: &'static str) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    for line in commands.lines() {
        let line = line.trim();
        if let Some(local) = line.strip_prefix("local ") {
            names.extend(local.split_whitespace());
        }
        for word in line.split([' ', ';']) {
            let name = first_name(word);
            let rest = &word[name.len()..];
            if rest.starts_with('=') || rest.starts_with("()") {
                names.insert(name);
            }
        }
    }
    names
}

/// The variables that commands use, and those of these functions that they call.
fn needed(commands: &'static str, functions: &BTreeSet<&'static str>) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    for rest in commands.split('$').skip(1) {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let name = first_name(rest);
        let is_variable = name.starts_with(|c: char| c.is_ascii_alphabetic());
        let has_default = rest[name.len()..].starts_with(":-");
        if is_variable && !has_default {
            names.insert(name);
        }
    }
    for line in commands.lines() {
        for before in ["$(", "{ ", "&& ", "|| ", "; "] {
            let inside = line.split(before).skip(1).map(first_name);
            names.extend(inside.filter(|name| functions.contains(name)));
        }
        let first = first_name(line.trim());
        if functions.contains(first) {
            names.insert(first);
        }
    }
    names
}

/// The files of the repository that are written by hand, by their paths.
fn files() -> Vec<(String, std::path::PathBuf)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (mut files, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            let made = ["target", ".git", ".lotwire"].contains(&name.as_str())
                || name.ends_with("/target")
                || name.contains("node_modules");
            match path.is_dir() {
                true if !made => {
                    files.push((name, path.clone()));
                    folders.push(path);
                }
                false => files.push((name, path)),
                true => {}
            }
        }
    }
    files
}

/// Files, by as much of their paths as is said; types, constants, functions and tests, by their names.
#[test]
fn every_name_that_contributors_are_sent_to_exists() {
    let files = files();
    let is_source = |name: &str| {
        let source = [".rs", ".yaml", ".toml", ".sh", ".py"];
        source.iter().any(|ending| name.ends_with(ending))
    };
    let sources = files.iter().filter(|(name, _)| is_source(name));
    let text: String = sources
        .filter_map(|(_, path)| std::fs::read_to_string(path).ok())
        .collect();
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = text.split(|c| !part_of_name(c)).collect();
    let is_name = |name: &str| {
        let parts = name.trim_end_matches("()").split("::");
        let plain =
            name.contains(|c: char| c.is_ascii_uppercase()) || name.matches('_').count() > 2;
        plain
            && parts
                .clone()
                .all(|part| !part.is_empty() && part.chars().all(part_of_name))
    };
    let (mut paths, mut names, mut missing) = (0, 0, Vec::new());
    for document in [
        include_str!("../../CONTRIBUTING.md"),
        include_str!("../../docs/architecture.md"),
    ] {
        for name in document.split('`').skip(1).step_by(2) {
            let plain = !name.contains(['<', '{', ' ', ':', '#', '=', '*', '…', '@']);
            let is_path = plain
                && (name.contains('/') || name.ends_with(".rs"))
                && name.starts_with(|c: char| c.is_ascii_lowercase());
            let found = if is_path {
                paths += 1;
                let (whole, end) = (name.trim_end_matches('/'), format!("/{name}"));
                let end = end.trim_end_matches('/');
                files
                    .iter()
                    .any(|(path, _)| path == whole || path.ends_with(end))
            } else if is_name(name) {
                names += 1;
                let mut parts = name.trim_end_matches("()").split("::");
                parts.all(|part| words.contains(part))
            } else {
                continue;
            };
            if !found {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(paths > 120 && names > 60, "{paths} paths, {names} names");
}

/// Whoever comes back in a year has a new shell, and runs the names and one section.
#[test]
fn each_section_needs_the_names_and_nothing_else() {
    let begin = examples("sh").find(|block| block.starts_with("# names"));
    let begin = given(begin.unwrap());
    let lines = examples("sh").flat_map(str::lines);
    let functions: BTreeSet<_> = lines
        .filter_map(|line| Some(line.split_once("() {")?.0))
        .collect();
    let (mut looked, mut missing) = (0, Vec::new());
    let sections = DEPLOYMENT.split("\n## ");
    for section in sections.flat_map(|section| section.split("\n### ")) {
        let mut known = begin.clone();
        known.insert("PWD");
        for block in blocks(section, "sh") {
            known.extend(given(block));
            for name in needed(block, &functions) {
                looked += 1;
                if !known.contains(name) {
                    missing.push(format!("{name} in\n{block}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(looked > 50, "{looked}");
}

/// A parameter that is not named keeps the value that the stack has, so what a command switches, another
/// has to switch back by name.
#[test]
fn what_a_documented_command_switches_another_switches_back() {
    let commands: String = examples("sh").collect();
    let source = source();
    let parameters = source["Parameters"].as_object().unwrap();
    let mut switches = BTreeSet::new();
    for (name, parameter) in parameters {
        let Some(values) = parameter["AllowedValues"].as_array() else {
            continue;
        };
        let said =
            |value: &Value| commands.contains(&format!("{name}={}", value.as_str().unwrap_or("?")));
        let (said, unsaid): (Vec<_>, Vec<_>) = values.iter().partition(|value| said(value));
        if !said.is_empty() {
            assert!(
                unsaid.is_empty(),
                "{name} is set to {said:?}, and never to {unsaid:?}"
            );
            switches.insert(name.as_str());
        }
    }
    assert_eq!(switches, BTreeSet::from(["Intake", "PreviousApiToken"]));
    assert!(
        !commands.contains("-dev") && !commands.contains("-prod"),
        "one environment's names"
    );
}

/// What belongs to one region or account has to be made anew before work is taken up in another.
#[test]
fn each_parameter_that_a_document_names_is_one_and_those_of_one_region_are_listed_for_another() {
    let source = source();
    let parameters = source["Parameters"].as_object().unwrap();
    let commands: String = examples("sh").collect();
    let deployed = commands
        .lines()
        .filter(|line| line.starts_with("deploy "))
        .flat_map(str::split_whitespace)
        .filter_map(|word| word.trim_start_matches('"').split_once('='));
    let mut named = 0;
    for (name, _) in deployed {
        assert!(parameters.contains_key(name), "{name}");
        named += 1;
    }
    assert!(named > 5, "{named}");
    let (_, elsewhere) = DEPLOYMENT.split_once("**To take up work there,**").unwrap();
    let (before_the_stack, _) = elsewhere.split_once("2. A stack").unwrap();
    let regional = ["Arn", "Ids", "Extension", "SecretsPath"];
    for name in parameters.keys() {
        let is_regional = regional.iter().any(|end| name.ends_with(end));
        let is_listed = before_the_stack.contains(&format!("`{name}`"));
        assert!(is_listed || !is_regional, "{name}");
    }
}

/// Each series is paid for.
#[test]
fn the_documents_count_the_series_of_metrics_and_their_price() {
    let outcome = |of: &Outcome| match of {
        // One more, one more series for each channel.
        Outcome::Delivered { .. }
        | Outcome::Retry { .. }
        | Outcome::Limited { .. }
        | Outcome::Unknown
        | Outcome::Denied { .. }
        | Outcome::Rejected { .. }
        | Outcome::NotSent { .. } => of.name(),
    };
    let reason = String::new;
    let outcomes = [
        Outcome::Delivered { receipt: None },
        Outcome::Retry { after: None },
        Outcome::Limited { after: None },
        Outcome::Unknown,
        Outcome::Denied { reason: reason() },
        Outcome::Rejected { reason: reason() },
        Outcome::NotSent { reason: reason() },
    ];
    let outcomes: BTreeSet<_> = outcomes.iter().map(outcome).collect();
    let stack = small(&source());
    let values = |dimension: &&str| match *dimension {
        "Channel" => 1,
        "Outcome" => outcomes.len(),
        "Function" => stack.of_type("AWS::Lambda::Function").count(),
        "Kind" => 2,
        other => panic!("how many values has {other}?"),
    };
    // Those that are made of log lines by the template have no other dimension.
    let (mut of_a_channel, mut others) = (0, stack.of_type("AWS::Logs::MetricFilter").count());
    for metric in Metric::ALL {
        for kept in [Some(metric.dimensions()), metric.summed_up_by()]
            .into_iter()
            .flatten()
        {
            let series: usize = kept.iter().map(values).product();
            match kept.contains(&"Channel") {
                true => of_a_channel += series,
                false => others += series,
            }
        }
    }
    let all = |channels: usize| channels * of_a_channel + others;
    let dollars = |channels: usize| f64::from(u32::try_from(all(channels)).unwrap()) * 0.30;
    let observability = include_str!("../../docs/observability.md");
    for (document, said) in [
        (
            observability,
            format!("there are {of_a_channel} `h` + {others},"),
        ),
        (
            DEPLOYMENT,
            format!(
                "| CloudWatch metrics | {:.2} | {of_a_channel} per channel + {others} series of our own, at \
                 0.30, however many connectors there are: {} with one channel; {} with 10, ${:.0} |",
                dollars(1),
                all(1),
                all(10),
                dollars(10)
            ),
        ),
        (
            DEPLOYMENT,
            format!("the rest is ${:.0} of metrics", dollars(10)),
        ),
        (
            DEPLOYMENT,
            format!(
                "one channel of each {} series of metrics (${:.0})",
                all(27),
                dollars(27)
            ),
        ),
    ] {
        assert!(document.contains(&said), "it does not say: {said}");
    }
}

/// A stack with one kind of channel, all of whose alarms tell somebody, of copies too.
pub(crate) fn small(source: &Value) -> Stack {
    let given = [
        ("Channels", "slack"),
        ("AlarmTopicArn", TOPIC),
        ("BackupCopyVaultArn", VAULT),
    ];
    Stack::of(source, &given)
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
pub(crate) fn faults(source: &Value, stack: &Stack, renew: bool) -> Vec<String> {
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
    faults(&source(), &stack, process("UPDATE_DOCS").is_some());
    let found = faults(&source(), &stack, false);
    assert!(found.is_empty(), "{found:#?}");
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
