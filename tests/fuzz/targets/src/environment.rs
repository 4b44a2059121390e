//! The environment of each function, as `NAME=value` lines: read, or refused without quoting a value.

use std::collections::HashMap;

use shared::config::environment::{
    ApiEnv, ClockEnv, EnvironmentError, EvaluateEnv, IngestEnv, NotifyEnv, SyncEnv,
};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let variables: HashMap<_, _> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let environment = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    check(IngestEnv::read(environment).err(), &variables);
    check(SyncEnv::read(environment).err(), &variables);
    check(EvaluateEnv::read(environment).err(), &variables);
    check(NotifyEnv::read(environment).err(), &variables);
    check(ClockEnv::read(environment).err(), &variables);
    check(ApiEnv::read(environment).err(), &variables);
}

/// An error names variables. What they hold may be a secret, so it does not stand in the text.
fn check(error: Option<EnvironmentError>, variables: &HashMap<&str, &str>) {
    let Some(error) = error else { return };
    assert!(!error.problems.is_empty());
    for problem in &error.problems {
        let name = problem.split(' ').next().unwrap_or_default();
        assert!(
            name.chars().all(|c| c.is_ascii_uppercase() || c == '_'),
            "{problem:?}"
        );
        let value = variables.get(name).copied().unwrap_or_default();
        assert!(
            value.len() < 24 || !problem.contains(value),
            "{problem:?} quotes its value"
        );
    }
}
