//! A TOML document as a tree of nodes that know their path and their place in the text.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::error::Problems;
use super::setting::{Setting, unknown_choice};
use super::slips;
use super::words::{last_of, nearest, one_of};

/// A value of the document, with its path and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node<'d> {
    /// `rules.milano-oil.boundary`
    pub(crate) path: String,
    /// Where the value stands.
    pub(crate) span: Range<usize>,
    /// The value.
    pub(crate) value: &'d DeValue<'d>,
}

impl<'d> Node<'d> {
    /// The whole document.
    pub(crate) fn root(document: &'d Spanned<DeValue<'d>>) -> Self {
        Self::new(String::new(), document)
    }

    fn new(path: String, value: &'d Spanned<DeValue<'d>>) -> Self {
        Self {
            path,
            span: value.span(),
            value: value.get_ref(),
        }
    }

    /// The field of that name, if this is a table that has it.
    pub(crate) fn get(&self, key: &str) -> Option<Node<'d>> {
        let value = self.value.as_table()?.get(key)?;
        Some(Node::new(self.path_to(key), value))
    }

    /// The fields of a table, each with the place of its key; nothing for any other value.
    pub(crate) fn entries(
        &self,
    ) -> impl Iterator<Item = (&'d Spanned<std::borrow::Cow<'d, str>>, Node<'d>)> {
        let table = self.value.as_table();
        let base = self.path.clone();
        table
            .into_iter()
            .flat_map(|table| table.iter())
            .map(move |(key, value)| {
                let path = join(&base, key.get_ref());
                (key, Node::new(path, value))
            })
    }

    /// The elements of a list; nothing for any other value. An element that has a `name` goes by it.
    pub(crate) fn elements(&self) -> impl Iterator<Item = Node<'d>> {
        let list = self.value.as_array();
        let base = self.path.clone();
        list.into_iter()
            .flat_map(|list| list.iter())
            .enumerate()
            .map(move |(index, value)| {
                let name = value
                    .get_ref()
                    .as_table()
                    .and_then(|table| table.get("name"));
                let path = match name.and_then(|name| name.get_ref().as_str()) {
                    Some(name) if !name.is_empty() => join(&base, name),
                    _ => format!("{base}[{}]", index + 1),
                };
                Node::new(path, value)
            })
    }

    /// Adds a problem with this value.
    pub(crate) fn refuse(&self, problems: &mut Problems<'_>, problem: impl Into<String>) {
        problems.add(&self.span, &self.path, problem);
    }

    /// Adds a problem with a field of this table, or with the table where it lacks that field.
    pub(crate) fn refuse_field(
        &self,
        problems: &mut Problems<'_>,
        key: &str,
        problem: impl Into<String>,
    ) {
        let span = self
            .get(key)
            .map_or_else(|| self.span.clone(), |field| field.span);
        problems.add(&span, &self.path_to(key), problem);
    }

    /// The value as text, or a problem.
    pub(crate) fn text(&self, expected: &str, problems: &mut Problems<'_>) -> Option<&'d str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => self.mismatch(expected, problems),
        }
    }

    /// Adds the problem that the value is of the wrong kind.
    pub(crate) fn mismatch<T>(&self, expected: &str, problems: &mut Problems<'_>) -> Option<T> {
        self.mismatch_with(expected, None, problems)
    }

    /// The same, with what to write instead.
    pub(crate) fn mismatch_with<T>(
        &self,
        expected: &str,
        advice: Option<String>,
        problems: &mut Problems<'_>,
    ) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let advice = advice.map(|advice| format!("; {advice}"));
        let advice = advice.unwrap_or_default();
        self.refuse(
            problems,
            format!("expected {expected}, found {found}{advice}"),
        );
        None
    }

    /// The last part of the path: the field's own name.
    pub(crate) fn name(&self) -> &str {
        last_of(&self.path)
    }

    fn path_to(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

/// A path one step longer; a key that is not a bare one stands in quotes.
fn join(base: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let key = if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        format!("\"{}\"", super::words::shortened(key))
    };
    if base.is_empty() {
        key
    } else {
        format!("{base}.{key}")
    }
}

/// Reads the fields of one table, and remembers which keys it was asked for.
pub(crate) struct Fields<'n, 'd> {
    node: &'n Node<'d>,
    asked: Vec<&'static str>,
    /// Without a known kind it is unknown which keys belong here.
    kind_unknown: bool,
}

impl<'n, 'd> Fields<'n, 'd> {
    /// The fields of a table, or a problem if the node is anything else.
    pub(crate) fn of(node: &'n Node<'d>, problems: &mut Problems<'_>) -> Option<Self> {
        match node.value.as_table() {
            Some(_) => Some(Self {
                node,
                asked: Vec::new(),
                kind_unknown: false,
            }),
            None => {
                let advice = slips::of_table(node, false, problems);
                node.mismatch_with("a table", advice, problems)
            }
        }
    }

    /// A field that must be there.
    pub(crate) fn required<T: Setting>(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<T> {
        match self.child(key) {
            Some(child) => T::read(&child, problems),
            None => {
                let expected = T::expected();
                self.node
                    .refuse_field(problems, key, format!("missing; give {expected}"));
                None
            }
        }
    }

    /// A field that has a default.
    pub(crate) fn or<T: Setting>(
        &mut self,
        key: &'static str,
        default: impl FnOnce() -> T,
        problems: &mut Problems<'_>,
    ) -> Option<T> {
        match self.child(key) {
            Some(child) => T::read(&child, problems),
            None => Some(default()),
        }
    }

    /// The `kind` that tells tables of one sort apart.
    pub(crate) fn kind(
        &mut self,
        kinds: &[&'static str],
        problems: &mut Problems<'_>,
    ) -> Option<&'static str> {
        let kind = self.kind_among(kinds, problems);
        self.kind_unknown = kind.is_none();
        kind
    }

    fn kind_among(
        &mut self,
        kinds: &[&'static str],
        problems: &mut Problems<'_>,
    ) -> Option<&'static str> {
        let expected = one_of(kinds);
        let Some(child) = self.child("kind") else {
            self.node
                .refuse_field(problems, "kind", format!("missing; use {expected}"));
            return None;
        };
        let text = child.text(&expected, problems)?;
        let kind = kinds.iter().copied().find(|kind| *kind == text);
        if kind.is_none() {
            child.refuse(problems, unknown_choice(&child, "kind", text, kinds));
        }
        kind
    }

    /// The fields that nobody has asked for, taken out for another reader.
    pub(crate) fn rest(
        &self,
    ) -> impl Iterator<Item = (&'d Spanned<std::borrow::Cow<'d, str>>, Node<'d>)> {
        let asked = self.asked.clone();
        self.node
            .entries()
            .filter(move |(key, _)| !asked.contains(&key.get_ref().as_ref()))
    }

    /// The keys that were asked for.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &'static str> {
        self.asked.iter().copied()
    }

    /// Every key that was not asked for is a problem.
    pub(crate) fn finish(self, problems: &mut Problems<'_>) {
        if self.kind_unknown {
            return;
        }
        for (key, child) in self.rest() {
            let problem = match child.path.as_str() {
                "ownership.reserved" | "ownership.incoming" => {
                    "no key: it comes with the level of whoever owns `on_hand`; leave it out"
                        .to_owned()
                }
                _ => unknown_key(key.get_ref(), &self.asked),
            };
            problems.add(&key.span(), &child.path, problem);
        }
    }

    fn child(&mut self, key: &'static str) -> Option<Node<'d>> {
        self.asked.push(key);
        self.node.get(key)
    }
}

/// The sentence about a key that nobody knows.
pub(crate) fn unknown_key(key: &str, known: &[&str]) -> String {
    match nearest(key, known) {
        Some(meant) => format!("unknown key; did you mean `{meant}`?"),
        None => format!("unknown key; use {}", one_of(known)),
    }
}
