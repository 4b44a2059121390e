//! Settings that another module owns: kept as they stand, and checked by that module's own types.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::document::{Node, unknown_key};
use super::error::Problems;
use super::setting::Setting;
use super::words::shown;

/// A table of settings whose shape another module knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Foreign(Map<String, Value>);

impl Foreign {
    /// The settings as JSON.
    pub(crate) fn value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// The settings as the type of the module that owns them.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(self.value())
    }

    /// The settings as a TOML table.
    pub(crate) fn table(&self) -> toml::Table {
        // Whatever was read from TOML can be written as TOML; it holds no null.
        toml::Table::try_from(&self.0).unwrap_or_default()
    }

    pub(crate) fn insert(&mut self, key: &str, value: Value) {
        self.0.insert(key.to_owned(), value);
    }
}

impl Setting for Foreign {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        if node.value.as_table().is_none() {
            return node.mismatch(&Self::expected(), problems);
        }
        match json_of(node, problems)? {
            Value::Object(map) => Some(Self(map)),
            _ => None,
        }
    }
    fn expected() -> String {
        "a table".to_owned()
    }
    fn schema() -> Value {
        json!({ "type": "object" })
    }
}

/// The value as JSON; dates become text.
pub(crate) fn json_of(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Value> {
    Some(match node.value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(_) => json!(i64::read(node, problems)?),
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => json!(number),
            _ => return node.mismatch("a finite number", problems),
        },
        DeValue::Boolean(value) => json!(value),
        DeValue::Datetime(at) => json!(at.to_string()),
        DeValue::Array(_) => {
            let elements: Vec<_> = node
                .elements()
                .map(|element| json_of(&element, problems))
                .collect();
            Value::Array(elements.into_iter().collect::<Option<_>>()?)
        }
        DeValue::Table(_) => {
            let fields: Vec<_> = node
                .entries()
                .map(|(key, child)| {
                    json_of(&child, problems).map(|value| (key.get_ref().to_string(), value))
                })
                .collect();
            Value::Object(fields.into_iter().collect::<Option<_>>()?)
        }
    })
}

/// Reads a table into another module's type.
///
/// serde stops at the first fault. So that all are told, the faulty field is taken out and the rest
/// read again; every round takes one field away, so it ends.
pub(crate) fn read_into<T: DeserializeOwned>(
    node: &Node<'_>,
    problems: &mut Problems<'_>,
) -> Option<T> {
    let mut value = node.value.clone();
    let mut faultless = true;
    loop {
        let spanned = Spanned::new(node.span.clone(), value.clone());
        let error = match T::deserialize(ValueDeserializer::from(spanned)) {
            Ok(read) => return faultless.then_some(read),
            Err(error) => error,
        };
        let at = error.span().and_then(|span| Fault::at(node, &span));
        match at {
            // A field missing only because it was just taken out is no news.
            None if !faultless && error.message().starts_with("missing field") => return None,
            None => {
                node.refuse(problems, reworded(&node.path, error.message()));
                return None;
            }
            Some(fault) => {
                problems.add(
                    &fault.span,
                    &fault.path,
                    reworded(&fault.path, error.message()),
                );
                faultless = false;
                if !take_out(&mut value, &fault.keys) {
                    return None;
                }
            }
        }
    }
}

/// The field that an error is about.
struct Fault {
    path: String,
    span: Range<usize>,
    keys: Vec<String>,
}

impl Fault {
    /// The innermost field whose key or value is at `span`; none if it is the table as a whole.
    fn at(node: &Node<'_>, span: &Range<usize>) -> Option<Self> {
        let covers = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end;
        node.entries().find_map(|(key, child)| {
            let on_key = covers(&key.span());
            if !on_key && !covers(&child.span) && Self::at(&child, span).is_none() {
                return None;
            }
            let name = key.get_ref().to_string();
            let inner = if on_key { None } else { Self::at(&child, span) };
            Some(match inner {
                Some(mut inner) => {
                    inner.keys.insert(0, name);
                    inner
                }
                None => Self {
                    path: child.path.clone(),
                    span: if on_key {
                        key.span()
                    } else {
                        child.span.clone()
                    },
                    keys: vec![name],
                },
            })
        })
    }
}

fn take_out(value: &mut DeValue<'_>, keys: &[String]) -> bool {
    let (Some((first, rest)), DeValue::Table(table)) = (keys.split_first(), value) else {
        return false;
    };
    match (rest, table.get_mut(first.as_str())) {
        ([], Some(_)) => table.remove(first.as_str()).is_some(),
        (_, Some(inner)) => take_out(inner.get_mut(), rest),
        (_, None) => false,
    }
}

/// Rust's name for a type in people's words.
fn plainly(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 up",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a string" => "text",
        "a sequence" => "a list",
        other => other,
    }
}

/// serde's sentence in our words, and without the value, which may be a secret.
pub(crate) fn reworded(path: &str, message: &str) -> String {
    let quoted = |text: &str| -> Vec<String> {
        text.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let names = quoted(message);
        if let Some((found, known)) = names.split_first() {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            return if message.starts_with("unknown field") {
                unknown_key(found, &known)
            } else {
                format!(
                    "unknown value {}; use {}",
                    shown(path, found),
                    super::words::one_of(&known)
                )
            };
        }
    }
    if message.starts_with("invalid ")
        && let Some((_, expected)) = message.rsplit_once(", expected ")
    {
        return format!("expected {}", plainly(expected));
    }
    message.to_owned()
}
