//! The environment of each function, as `NAME=value` lines: read, or refused without quoting a value.

use std::collections::BTreeMap;

use shared::config::environment::{
    ApiEnv, AwsEnv, ClockEnv, EnvironmentError, EvaluateEnv, IngestEnv, NotifyEnv, SyncEnv,
};

type Variables<'a> = BTreeMap<&'a str, &'a str>;

/// What no variable can be read from but one that takes any text.
const UNREADABLE: &str = "\u{7f}";

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let variables: Variables<'_> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    check(|set| AwsEnv::read(of(set)).err(), &variables);
    check(|set| IngestEnv::read(of(set)).err(), &variables);
    check(|set| SyncEnv::read(of(set)).err(), &variables);
    check(|set| EvaluateEnv::read(of(set)).err(), &variables);
    check(|set| NotifyEnv::read(of(set)).err(), &variables);
    check(|set| ClockEnv::read(of(set)).err(), &variables);
    check(|set| ApiEnv::read(of(set)).err(), &variables);
}

fn of<'a>(variables: &Variables<'a>) -> impl Fn(&str) -> Option<String> {
    |name| variables.get(name).map(|value| (*value).to_owned())
}

/// An error names variables. What they hold may be a secret, so nothing of it is in the text, which
/// is the same whatever unreadable value stood there.
fn check(refused: impl Fn(&Variables<'_>) -> Option<EnvironmentError>, variables: &Variables<'_>) {
    let Some(error) = refused(variables) else {
        return;
    };
    assert!(!error.problems.is_empty());
    let mut others = variables.clone();
    for problem in &error.problems {
        let name = problem.split(' ').next().unwrap_or_default();
        assert!(
            name.chars().all(|c| c.is_ascii_uppercase() || c == '_'),
            "{problem:?}"
        );
        if let Some(value) = others.get_mut(name).filter(|value| !value.is_empty()) {
            *value = UNREADABLE;
        }
    }
    assert_eq!(refused(&others), Some(error), "an error depends on a value");
}
