//! An item as it is stored: its key, its kind, its version, and where it is listed.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use super::keys::{self, Key, Listed};
use super::schema::TTL_ATTRIBUTE;

/// Writes that one transaction takes.
pub(super) const TRANSACTION: usize = 100;

pub(super) type Item = HashMap<String, AttributeValue>;

/// The attribute that says of which format an item is; without it, of the first.
pub const FORMAT_ATTRIBUTE: &str = "f";
/// The attribute that counts how often a row was written.
pub const VERSION_ATTRIBUTE: &str = "v";
/// The kinds of item that are of another format than their first, and of which.
///
/// For some minutes of a deployment functions of two versions work on one table, and what the older does
/// not know of an item it drops when it writes the item back. Where that must not happen, because a field
/// is new that nothing gives back or an old one means something else, the kind's number goes up with the
/// change: what has a higher number than a function knows, it leaves as it is, and tries again later. Where
/// few rows have such a field, the others stay of the first format ([`Row::beyond_first_format`]).
const FORMATS: [(&str, u64); 6] = [
    ("group", 2),
    ("order_line", 3),
    ("position", 2),
    ("product", 2),
    ("rule", 2),
    ("unit", 2),
];

fn format_of(kind: &str) -> u64 {
    let known = FORMATS.iter().find(|(of, _)| *of == kind);
    known.map_or(1, |(_, format)| *format)
}

/// Whether an item of this kind, with this format if it says one, is beyond what this version knows.
pub fn is_newer(kind: &str, format: Option<&str>) -> bool {
    let format = format.map_or(1, |format| format.parse().unwrap_or(u64::MAX));
    format > format_of(kind)
}
/// An item to be written: its key, what it is, and where it is listed.
#[derive(Debug, Clone)]
pub struct Row {
    pub(super) key: Key,
    kind: &'static str,
    format: u64,
    data: AttributeValue,
    listed: Option<Listed>,
    due: Option<Timestamp>,
    expires: Option<Timestamp>,
}

/// An item as it was read.
#[derive(Debug, Clone)]
pub struct Stored<T> {
    /// Its key.
    pub key: Key,
    /// The version that a write must name to replace it.
    pub version: u64,
    /// What it says.
    pub data: T,
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No such item.
    Absent,
    /// This version of it.
    Version(u64),
    /// Whatever is there.
    Anything,
}

impl Expect {
    /// What a write that replaces `stored`, or creates it, expects.
    pub fn from_read<T>(stored: Option<&Stored<T>>) -> Self {
        stored.map_or(Self::Absent, |stored| Self::Version(stored.version))
    }
}

/// One part of a transaction.
#[derive(Debug, Clone)]
pub enum Write {
    /// Write the item if what is there is as expected. The new version is one more than expected.
    Put(Row, Expect),
    /// Remove the item if it is as expected.
    Delete(Key, Expect),
    /// Write nothing; only insist.
    Check(Key, Expect),
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// All of it is written.
    Done,
    /// Nothing is; true where the expectation was not met.
    Unexpected(Vec<bool>),
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The same page of something else, if each of its items can be that.
    pub fn try_map<U, E>(self, each: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        Ok(Page {
            items: self.items.into_iter().map(each).collect::<Result<_, _>>()?,
            next: self.next,
        })
    }

    /// The same page of something else.
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(each).collect(),
            next: self.next,
        }
    }
}

impl Row {
    /// An item of this kind (`t`) with this content.
    pub fn new<T: Serialize>(key: Key, kind: &'static str, data: &T) -> Result<Self, StoreError> {
        let data = serde_dynamo::to_attribute_value(data)
            .map_err(|error| StoreError::aws("encode an item", error))?;
        Ok(Self {
            key,
            kind,
            format: format_of(kind),
            data,
            listed: None,
            due: None,
            expires: None,
        })
    }

    /// Whether an older version would lose something of it: if not, it is of the first format, and each
    /// version may write it.
    pub fn beyond_first_format(self, is_beyond: bool) -> Self {
        self.beyond_format(1, is_beyond)
    }

    /// Whether a version that knows this format and none after it would lose something of it.
    pub fn beyond_format(mut self, format: u64, is_beyond: bool) -> Self {
        if !is_beyond {
            self.format = format;
        }
        self
    }

    /// Puts it on a list.
    pub fn listed(mut self, listed: Listed) -> Self {
        self.listed = Some(listed);
        self
    }

    /// Has the clock look at it then.
    pub fn due(mut self, at: Option<Timestamp>) -> Self {
        self.due = at;
        self
    }

    /// Lets the table remove it some time after then.
    pub fn expires(mut self, at: Timestamp) -> Self {
        self.expires = Some(at);
        self
    }

    /// As it is written now.
    pub(super) fn item(self, expect: Expect, now: Timestamp) -> Item {
        let version = match expect {
            Expect::Absent => 1,
            Expect::Version(version) => version + 1,
            // Who has read what stood there must not find the version that he has read.
            Expect::Anything => u64::try_from(now.as_microsecond()).unwrap_or(1),
        };
        let text = AttributeValue::S;
        let mut item = Item::from([
            ("pk".to_owned(), text(self.key.pk.clone())),
            ("sk".to_owned(), text(self.key.sk.clone())),
            ("t".to_owned(), text(self.kind.to_owned())),
            (
                VERSION_ATTRIBUTE.to_owned(),
                AttributeValue::N(version.to_string()),
            ),
            ("d".to_owned(), self.data),
        ]);
        if self.format > 1 {
            let format = AttributeValue::N(self.format.to_string());
            item.insert(FORMAT_ATTRIBUTE.to_owned(), format);
        }
        if let Some(listed) = self.listed {
            item.insert("lpk".to_owned(), text(listed.list));
            item.insert("lsk".to_owned(), text(listed.place));
        }
        if let Some(due) = self.due {
            item.insert(
                "dpk".to_owned(),
                text(keys::due_list(keys::shard(&self.key.pk, keys::DUE_SHARDS))),
            );
            item.insert(
                "dsk".to_owned(),
                text(format!("{:015}", due.as_millisecond())),
            );
        }
        if let Some(expires) = self.expires {
            item.insert(
                TTL_ATTRIBUTE.to_owned(),
                AttributeValue::N(expires.as_second().to_string()),
            );
        }
        item
    }
}

/// A text in parts of so many bytes at most, for items that hold no more.
pub(super) fn parts_of(text: &str, most: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (part, tail) = rest.split_at(rest.floor_char_boundary(most));
        parts.push(part.to_owned());
        rest = tail;
    }
    parts
}

/// Reads an item's content.
pub fn read<T: DeserializeOwned>(
    operation: &'static str,
    mut item: Item,
) -> Result<Stored<T>, StoreError> {
    let key = Key::new(
        text(&item, "pk").unwrap_or_default(),
        text(&item, "sk").unwrap_or_default(),
    );
    let unreadable = |problem: String| StoreError::Unreadable {
        operation,
        key: format!("{}|{}", key.pk, key.sk),
        problem,
    };
    let format = item.get(FORMAT_ATTRIBUTE);
    let format = format.and_then(|format| format.as_n().ok());
    if is_newer(
        &text(&item, "t").unwrap_or_default(),
        format.map(String::as_str),
    ) {
        let key = format!("{}|{}", key.pk, key.sk);
        return Err(StoreError::Newer { operation, key });
    }
    let version = item
        .get(VERSION_ATTRIBUTE)
        .and_then(|v| v.as_n().ok())
        .and_then(|v| v.parse().ok())
        .ok_or_else(|| unreadable("it has no version".into()))?;
    let data = item
        .remove("d")
        .ok_or_else(|| unreadable("it has no content".into()))?;
    let data =
        serde_dynamo::from_attribute_value(data).map_err(|error| unreadable(error.to_string()))?;
    Ok(Stored { key, version, data })
}

pub(super) fn text(item: &Item, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_the_format_that_it_needs_and_no_higher_one() {
        let format = |kind, is_beyond| {
            let row = Row::new(keys::new_names(), kind, &1).unwrap();
            let item = row
                .beyond_first_format(is_beyond)
                .item(Expect::Absent, Timestamp::UNIX_EPOCH);
            item.get(FORMAT_ATTRIBUTE).cloned()
        };
        let second = Some(AttributeValue::N("2".to_owned()));
        assert_eq!(format("position", true), second);
        assert_eq!(format("position", false), None);
        assert_eq!(format("watch", true), None, "it has but one");
    }
}
