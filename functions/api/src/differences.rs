//! What differs between two configurations, setting by setting.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use shared::config::Config;

/// One setting that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// Where: `rules.north-oil.check.units`.
    pub(crate) path: String,
    /// What stands there now; null if nothing does.
    pub(crate) before: Value,
    /// What would; null if nothing would.
    pub(crate) after: Value,
}

/// The settings that differ, by path. What is new or gone as a whole is one difference.
pub(crate) fn between(before: Option<&Config>, after: &Config) -> Vec<Difference> {
    let tree = |config: &Config| named(serde_json::to_value(config).unwrap_or_default());
    let before = before.map(tree).unwrap_or_default();
    let mut found = Vec::new();
    compare("", &before, &tree(after), &mut found);
    found
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
            // Where a rule was written says nothing of what it does, and moves with every edit.
            let entries = map.into_iter().filter(|(name, _)| name != "origin");
            Value::Object(entries.map(|(name, it)| (name, named(it))).collect())
        }
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
