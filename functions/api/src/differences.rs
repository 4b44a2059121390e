//! What differs between two configurations, setting by setting.

use std::collections::BTreeMap;

use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::config::Config;

/// One setting that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Where, in the document's own words: `rules.north-oil.threshold`.
    pub path: String,
    /// What stands there now; null if nothing does.
    pub before: Value,
    /// What would; null if nothing would.
    pub after: Value,
}

impl fmt::Display for Difference {
    /// `~ rules.north-oil.threshold: 12 -> 20`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self.path.as_str() {
            "" => "everything",
            path => path,
        };
        match (&self.before, &self.after) {
            (Value::Null, after) => write!(f, "+ {path}: {after}"),
            (before, Value::Null) => write!(f, "- {path}: {before}"),
            (before, after) => write!(f, "~ {path}: {before} -> {after}"),
        }
    }
}

/// The settings that differ, by path. What is new or gone as a whole is one difference.
pub fn between(before: Option<&Config>, after: &Config) -> Vec<Difference> {
    let before = before.map(as_document).unwrap_or_default();
    let mut found = Vec::new();
    compare("", &before, &as_document(after), &mut found);
    found
}

/// The configuration as its document writes it, defaults included: what is stored is arranged for the
/// functions that read it, and nobody ever wrote `check.units`.
fn as_document(config: &Config) -> Value {
    let mut tree = named(serde_json::to_value(config).unwrap_or_default());
    for (section, arrange) in ARRANGED {
        let entries = tree.get_mut(section).and_then(Value::as_object_mut);
        for entry in entries.into_iter().flat_map(|it| it.values_mut()) {
            if let Value::Object(entry) = entry {
                arrange(entry);
            }
        }
    }
    tree
}

type Table = Map<String, Value>;
/// A section, and what is done to each of its entries.
type Arrangement = (&'static str, fn(&mut Table));

/// How the entries of a section are arranged differently in the document.
const ARRANGED: [Arrangement; 5] = [
    ("locations", |location| drop(location.remove("id"))),
    ("connectors", |connector| lift(connector, "settings", &[])),
    ("channels", |channel| lift(channel, "settings", &[])),
    ("routes", |route| {
        lift(route, "grouping", &[("by", "group_by")]);
        let pace = [
            ("wait", "group_wait"),
            ("interval", "group_interval"),
            ("repeat", "repeat_interval"),
            ("most", "max_alerts"),
        ];
        lift(route, "pace", &pace);
        drop(route.remove("name"));
    }),
    ("rules", |rule| {
        lift(rule, "scope", &[]);
        let check = [
            ("baseline_tenths", "times_usual"),
            ("baseline_days", "usual_days"),
        ];
        lift(rule, "check", &check);
        let units = rule.remove("units");
        rule.extend(units.map(|units| ("threshold".to_owned(), units)));
        if let Some(tenths) = rule.get_mut("times_usual") {
            *tenths = tenths.as_f64().map(|tenths| tenths / 10.0).into();
        }
        for name in ["pending", "keep_firing"] {
            in_duration_words(rule, name);
        }
        // Where a rule was written says nothing of what it does, and moves with every edit.
        for name in ["id", "origin"] {
            drop(rule.remove(name));
        }
    }),
];

/// Has the members of an inner table stand in the outer one, some under other names.
fn lift(table: &mut Table, name: &str, renamed: &[(&str, &str)]) {
    let Some(Value::Object(inner)) = table.remove(name) else {
        return;
    };
    for (name, value) in inner {
        let other = renamed.iter().find(|(from, _)| *from == name);
        table.insert(other.map_or(name, |(_, to)| (*to).to_owned()), value);
    }
}

/// Seconds as a duration.
fn in_duration_words(table: &mut Table, name: &str) {
    if let Some(value) = table.get_mut(name)
        && let Some(seconds) = value.as_i64()
    {
        *value = spoken(SignedDuration::from_secs(seconds)).into();
    }
}

fn spoken(span: SignedDuration) -> String {
    format!("{span:#}").replace(' ', "")
}

/// Lists of named things as tables by name, so that moving one is no difference.
fn named(value: Value) -> Value {
    match value {
        Value::Array(list) if !list.is_empty() && list.iter().all(|it| name_of(it).is_some()) => {
            let entries = list.into_iter().map(|it| {
                let name = name_of(&it).unwrap_or_default();
                (name, named(it))
            });
            Value::Object(entries.collect())
        }
        Value::Object(map) => {
            let entries = map.into_iter().filter(|(_, it)| !it.is_null());
            Value::Object(entries.map(|(name, it)| (name, named(it))).collect())
        }
        // A duration is stored as ISO 8601 writes it.
        Value::String(text) if text.starts_with('P') => match text.parse::<SignedDuration>() {
            Ok(span) => spoken(span).into(),
            Err(_) => text.into(),
        },
        other => other,
    }
}

fn name_of(value: &Value) -> Option<String> {
    let name = value.get("id").or_else(|| value.get("name"))?;
    name.as_str().map(str::to_owned)
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    let (Value::Object(was), Value::Object(is)) = (before, after) else {
        found.push(Difference {
            path: path.to_owned(),
            before: before.clone(),
            after: after.clone(),
        });
        return;
    };
    let names: BTreeMap<_, ()> = was.keys().chain(is.keys()).map(|name| (name, ())).collect();
    for name in names.into_keys() {
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        let side = |map: &serde_json::Map<_, _>| map.get(name).cloned().unwrap_or_default();
        compare(&path, &side(was), &side(is), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../local/sample/lotwire.toml");
    const REFERENCE: &str = include_str!("../../../docs/configuration.md");

    fn config(text: &str) -> Config {
        Config::check(text, "lotwire.toml").unwrap()
    }

    /// Every value of a document with its path.
    fn leaves(path: &str, value: &Value, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    leaves(&format!("{path}.{name}"), value, found);
                }
            }
            other => found.push((path.to_owned(), other.clone())),
        }
    }

    fn at<'v>(tree: &'v Value, path: &str) -> Option<&'v Value> {
        fn find<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
            if path.is_empty() {
                return Some(value);
            }
            // A key may have dots in it.
            value.as_object()?.iter().find_map(|(name, value)| {
                let rest = path.strip_prefix(name.as_str())?;
                match rest.strip_prefix('.') {
                    Some(rest) => find(value, rest),
                    None => rest.is_empty().then_some(value),
                }
            })
        }
        find(tree, path.trim_start_matches('.'))
    }

    #[test]
    fn every_value_of_a_document_stands_where_the_document_has_it() {
        let written: Value = toml::from_str::<toml::Table>(SAMPLE)
            .map(|table| serde_json::to_value(table).unwrap())
            .unwrap();
        let mut written_leaves = Vec::new();
        leaves("", &named(written), &mut written_leaves);
        let tree = as_document(&config(SAMPLE));
        assert!(written_leaves.len() > 100);
        for (path, value) in written_leaves {
            let entry_name = path.ends_with(".name") && !path.starts_with(".account");
            // Seasons hold dates, which TOML has a type of its own for.
            if path.ends_with(".seasons") || (entry_name && !path.starts_with(".locations")) {
                continue;
            }
            assert_eq!(at(&tree, &path), Some(&value), "{path}");
        }
    }

    #[test]
    fn every_word_of_a_difference_is_one_of_the_documents() {
        let tree = as_document(&config(SAMPLE));
        let mut found = Vec::new();
        leaves("", &tree, &mut found);
        for (path, _) in found {
            let key = path.rsplit('.').next().unwrap();
            let in_a_table_of_names = ["locations.", "pointers.", "events.", "statuses."]
                .iter()
                .any(|table| path.matches('.').count() > 3 && path.contains(table));
            if in_a_table_of_names {
                continue;
            }
            assert!(REFERENCE.contains(&format!("`{key}`")), "{path}");
        }
    }

    #[test]
    fn what_changed_is_told_as_it_was_written() {
        let before = config(SAMPLE);
        for (from, to, told) in [
            (
                "threshold = 12",
                "threshold = 14",
                "~ rules.north-oil.threshold: 12 -> 14",
            ),
            (
                "pending = \"10m\"",
                "pending = \"1h 30m\"",
                "~ rules.chargers.pending: \"10m\" -> \"1h30m\"",
            ),
            (
                "stale_after = \"45m\"",
                "stale_after = \"2h\"",
                "~ connectors.stock-files.stale_after: \"45m\" -> \"2h\"",
            ),
            (
                "to = \"+393331234567\"",
                "to = \"+393331234568\"",
                "~ channels.duty-phone.to: \"+393331234567\" -> \"+393331234568\"",
            ),
            (
                "at_least = 3\n",
                "at_least = 3\ntimes_usual = 2.5\n",
                "+ rules.selling-fast.times_usual: 2.5",
            ),
            (
                "channels = [\"duty-phone\"]",
                "channels = [\"duty-phone\"]\ngroup_by = []",
                "+ routes.urgent-to-the-duty-phone.group_by: []",
            ),
        ] {
            assert!(SAMPLE.contains(from), "{from}");
            let after = config(&SAMPLE.replacen(from, to, 1));
            let told_lines: Vec<_> = between(Some(&before), &after)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert!(
                told_lines.iter().any(|line| line == told),
                "{told}: {told_lines:?}"
            );
        }
    }
}
