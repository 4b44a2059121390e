//! How one value of the document becomes one typed setting.
//!
//! A type says three things of itself: how it is read, what it expects (for messages and the
//! reference page), and its JSON Schema. The macros of [`super::declare`] derive all three, with
//! serde for the stored form, from one declaration, so that none of them can be forgotten.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use jiff::{SignedDuration, civil};
use serde_json::{Value, json};
use toml::de::DeValue;
use url::Url;

use super::declare::parsed;
use super::document::Node;
use super::error::Problems;
use super::slips;
use crate::domain::{ChannelName, ConnectorName, GroupName, LocationId, ProductId};
use crate::http::no_address;

/// A type that a value of the document can be read into.
pub(crate) trait Setting: Sized {
    /// Reads the value, or adds what is wrong with it.
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self>;
    /// What the value should be: `a duration such as "15m"`.
    fn expected() -> String;
    /// The JSON Schema of the value.
    fn schema() -> Value;
}

/// A table whose fields may stand in a larger table.
pub(crate) trait Section: Sized {
    /// Reads its fields; the caller finishes the table.
    fn take(
        fields: &mut super::document::Fields<'_, '_>,
        problems: &mut Problems<'_>,
    ) -> Option<Self>;
    /// Its fields, for the schema and the reference page.
    fn described() -> Vec<Described>;
}

impl<T: Section> Section for Box<T> {
    fn take(
        fields: &mut super::document::Fields<'_, '_>,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        T::take(fields, problems).map(Self::new)
    }
    fn described() -> Vec<Described> {
        T::described()
    }
}

/// What the schema and the reference page say of one field.
pub(crate) struct Described {
    pub(crate) key: &'static str,
    pub(crate) doc: String,
    pub(crate) expected: String,
    pub(crate) schema: Value,
    /// The default in its stored form; `None` for a field that must be given.
    pub(crate) default: Option<Value>,
}

/// The JSON Schema of a table with exactly these fields.
pub(crate) fn table_schema(fields: &[Described]) -> Value {
    let mut properties = serde_json::Map::new();
    for field in fields {
        let mut schema = field.schema.clone();
        schema["description"] = json!(field.doc);
        match &field.default {
            None | Some(Value::Null) => {}
            Some(default) => schema["default"] = default.clone(),
        }
        properties.insert(field.key.to_owned(), schema);
    }
    let required: Vec<_> = fields
        .iter()
        .filter(|f| f.default.is_none())
        .map(|f| f.key)
        .collect();
    let mut table =
        json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

/// The sentence about a name that is none of those known.
pub(crate) fn unknown_choice(node: &Node<'_>, what: &str, found: &str, names: &[&str]) -> String {
    let found = super::words::shown(&node.path, found);
    format!(
        "unknown {what} {found}; use {}",
        super::words::one_of(names)
    )
}

/// The JSON Schema of a table that is one of several kinds; `common` fields stand in each.
pub(crate) fn kinds_schema(
    common: fn() -> Vec<Described>,
    kinds: Vec<(&'static str, String, Vec<Described>)>,
) -> Value {
    let each = kinds.into_iter().map(|(kind, doc, own)| {
        let fields: Vec<_> = common().into_iter().chain(own).collect();
        let mut schema = table_schema(&fields);
        schema["description"] = json!(doc);
        schema["properties"]["kind"] = json!({ "const": kind, "description": "Which kind it is." });
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        schema["required"] = std::iter::once(json!("kind")).chain(required).collect();
        schema
    });
    json!({ "oneOf": each.collect::<Vec<_>>() })
}

pub(crate) fn parse<T: FromStr<Err: Display>>(
    node: &Node<'_>,
    text: &str,
    problems: &mut Problems<'_>,
) -> Option<T> {
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            node.refuse(problems, format!("{error}"));
            None
        }
    }
}

parsed!(
    LocationId => "a location's id",
    GroupName => "a location group's name",
    ConnectorName => "a connector's name",
    ChannelName => "a channel's name",
    ProductId => "a SKU, or a model line such as `line:bentley/bentayga`",
);

impl Setting for String {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let text = node.text(&Self::expected(), problems)?;
        if text.trim().is_empty() {
            node.refuse(problems, "is empty; leave it out or give some text");
            return None;
        }
        Some(text.to_owned())
    }
    fn expected() -> String {
        "text".to_owned()
    }
    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

impl Setting for bool {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        match node.value {
            DeValue::Boolean(value) => Some(*value),
            _ => node.mismatch(&Self::expected(), problems),
        }
    }
    fn expected() -> String {
        "`true` or `false`".to_owned()
    }
    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}

macro_rules! whole_numbers {
    ($($ty:ty),+) => { $(
        impl Setting for $ty {
            fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
                let expected = Self::expected();
                let DeValue::Integer(number) = node.value else {
                    return node.mismatch(&expected, problems);
                };
                let value = i64::from_str_radix(number.as_str(), number.radix()).ok().and_then(|n| Self::try_from(n).ok());
                if value.is_none() {
                    node.refuse(problems, format!("{number} is out of range; expected {expected}"));
                }
                value
            }
            fn expected() -> String {
                match Self::MIN {
                    0 => format!("a whole number from 0 to {}", i64::try_from(Self::MAX).unwrap_or(i64::MAX)),
                    _ => "a whole number".to_owned(),
                }
            }
            fn schema() -> Value {
                match Self::MIN {
                    0 => json!({ "type": "integer", "minimum": 0 }),
                    _ => json!({ "type": "integer" }),
                }
            }
        }
    )+ };
}
whole_numbers!(u16, u32, u64, i64);

impl Setting for SignedDuration {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let expected = Self::expected();
        let text = node.text(&expected, problems)?;
        match text.parse::<SignedDuration>() {
            Ok(span) if !span.is_negative() => Some(span),
            Ok(_) => {
                node.refuse(
                    problems,
                    format!("a duration cannot be negative; give {expected}"),
                );
                None
            }
            Err(_) => {
                let found = super::words::shown(&node.path, text);
                node.refuse(
                    problems,
                    format!("{found} is not a duration; give {expected}"),
                );
                None
            }
        }
    }
    fn expected() -> String {
        "a duration such as `15m` or `1h 30m`".to_owned()
    }
    fn schema() -> Value {
        json!({ "type": "string", "examples": ["15m", "1h 30m"] })
    }
}

/// A local date and time; a date alone is the first moment of that day.
impl Setting for civil::DateTime {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let expected = Self::expected();
        let text = match node.value {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(at) => at.to_string(),
            _ => return node.mismatch(&expected, problems),
        };
        // An offset would be dropped by the parser, and the season would begin at the wrong hour.
        let has_offset = text.parse::<jiff::Timestamp>().is_ok();
        if has_offset {
            node.refuse(
                problems,
                "has an offset, but is read by each location's own calendar; leave the offset out",
            );
            return None;
        }
        let read = text.parse().ok();
        if read.is_none() {
            node.refuse(problems, format!("is not a date or time; give {expected}"));
        }
        read
    }
    fn expected() -> String {
        "a local date or time such as `2026-12-01` or `2026-12-01T08:00:00`".to_owned()
    }
    fn schema() -> Value {
        json!({ "type": "string", "examples": ["2026-12-01", "2026-12-01T08:00:00"] })
    }
}

impl Setting for Url {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let text = node.text(&Self::expected(), problems)?;
        match Url::parse(text) {
            Ok(url) if url.has_host() && url.password().is_none() => Some(url),
            Ok(url) if url.password().is_some() => {
                node.refuse(
                    problems,
                    "holds a password; give it as a secret reference in its own field",
                );
                None
            }
            Ok(_) => {
                node.refuse(
                    problems,
                    format!("names no host; give {}", Self::expected()),
                );
                None
            }
            Err(error) => {
                let why = no_address(error);
                node.refuse(problems, format!("{why}; give {}", Self::expected()));
                None
            }
        }
    }
    fn expected() -> String {
        "an address such as `https://stock.example.com/`".to_owned()
    }
    fn schema() -> Value {
        json!({ "type": "string", "format": "uri" })
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        T::read(node, problems).map(Some)
    }
    fn expected() -> String {
        T::expected()
    }
    fn schema() -> Value {
        T::schema()
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        if node.value.as_array().is_none() {
            let advice = holds_tables::<T>().then(|| slips::of_list(node, problems));
            return node.mismatch_with(&Self::expected(), advice.flatten(), problems);
        }
        // Collected first: every element is read, also those after a bad one.
        let read: Vec<Option<T>> = node
            .elements()
            .map(|element| T::read(&element, problems))
            .collect();
        read.into_iter().collect()
    }
    fn expected() -> String {
        format!("a list, each {}", T::expected())
    }
    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

/// Whether the values of a list or table are tables themselves.
fn holds_tables<T: Setting>() -> bool {
    T::expected().starts_with("a table")
}

/// A type that can stand before the `=` in a table.
pub(crate) trait Key: Ord + Sized {
    fn from_key(key: &str) -> Result<Self, String>;
}

macro_rules! keys {
    ($($ty:ty),+) => { $(
        impl Key for $ty {
            fn from_key(key: &str) -> Result<Self, String> {
                key.parse().map_err(|error| format!("{error}"))
            }
        }
    )+ };
}
keys!(LocationId, ConnectorName, ChannelName);

impl Key for String {
    fn from_key(key: &str) -> Result<Self, String> {
        match key.trim() {
            "" => Err("an empty key names nothing".to_owned()),
            key => Ok(key.to_owned()),
        }
    }
}

impl<K: Key, V: Setting> Setting for BTreeMap<K, V> {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        if node.value.as_table().is_none() {
            let advice = holds_tables::<V>().then(|| slips::of_table(node, true, problems));
            return node.mismatch_with(&Self::expected(), advice.flatten(), problems);
        }
        let mut read = Some(Self::new());
        let stray = slips::of_named(node).filter(|_| holds_tables::<V>());
        if let Some((first, advice)) = &stray {
            first.refuse(problems, advice.as_str());
            read = None;
        }
        for (key, child) in node.entries() {
            if stray.is_some() && slips::is_plain(child.value) {
                continue;
            }
            let key = K::from_key(key.get_ref())
                .map_err(|problem| problems.add(&key.span(), &child.path, problem))
                .ok();
            let value = V::read(&child, problems);
            read = read.zip(key.zip(value)).map(|(mut map, (key, value))| {
                // Two spellings of one key differ in blanks only; the text shows which.
                if map.insert(key, value).is_some() {
                    child.refuse(
                        problems,
                        "stands here twice, once with blanks around its key",
                    );
                }
                map
            });
        }
        read
    }
    fn expected() -> String {
        format!("a table, each value {}", V::expected())
    }
    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": V::schema() })
    }
}
