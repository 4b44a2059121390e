//! `lotwire.toml`: what is accepted is kept without loss; what is not names its places.

use shared::config::{Config, ConfigErrors};
use shared::installation::Installation;

const NAME: &str = "lotwire.toml";

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Config::check(text, NAME) {
        Ok(config) => accepted(config),
        Err(errors) => refused(&errors, text),
    }
}

fn accepted(config: Config) {
    let json = config.to_json().expect("a configuration serializes");
    let again = Config::from_json(&json).expect("what is kept can be read");
    assert_eq!(again, config, "kept as {json}");
    drop(config.summary());
    // What was accepted can be put in force.
    let installation = Installation::new(1, config);
    installation.expect("an accepted configuration is consistent");
}

fn refused(errors: &ConfigErrors, text: &str) {
    assert!(!errors.0.is_empty(), "refused without a reason");
    let lines: Vec<_> = text.split('\n').collect();
    for error in &errors.0 {
        assert_eq!(error.file, NAME);
        assert!(!error.problem.is_empty());
        let line = error.line.checked_sub(1).and_then(|line| lines.get(line));
        let line = line.unwrap_or_else(|| panic!("{error} lies outside of the text"));
        let characters = line.chars().count();
        assert!(
            (1..=characters + 1).contains(&error.column),
            "{error} in {line:?}"
        );
    }
}
