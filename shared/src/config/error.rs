//! What is wrong with a document, and where.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong with a document, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {}{problem}", Prefix(.field))]
pub struct ConfigError {
    /// The document's name, as the reader gave it.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The character in that line, counted from 1.
    pub column: usize,
    /// The path of the field (`rules.milano-oil.boundary`); empty where the text is not even TOML.
    pub field: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

struct Prefix<'a>(&'a str);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            field => write!(f, "{field}: "),
        }
    }
}

/// Everything that is wrong with a document, in the order in which it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Collects problems while a document is read, so that all of them are told at once.
pub(crate) struct Problems<'s> {
    file: &'s str,
    text: &'s str,
    /// The byte at which each line begins.
    lines: Vec<usize>,
    found: Vec<ConfigError>,
}

impl<'s> Problems<'s> {
    /// An empty collection for this text.
    pub(crate) fn new(file: &'s str, text: &'s str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            file,
            text,
            lines: std::iter::once(0).chain(starts).collect(),
            found: Vec::new(),
        }
    }

    /// Adds a problem with what stands at `span`.
    pub(crate) fn add(&mut self, span: &Range<usize>, field: &str, problem: impl Into<String>) {
        let (line, column) = self.position(span.start);
        self.found.push(ConfigError {
            file: self.file.to_owned(),
            line,
            column,
            field: field.to_owned(),
            problem: problem.into(),
        });
    }

    /// The document's text.
    pub(crate) fn text(&self) -> &'s str {
        self.text
    }

    /// Whether nothing has been found so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// `lotwire.toml:41`, for the line on which `span` begins.
    pub(crate) fn origin(&self, span: &Range<usize>) -> String {
        format!("{}:{}", self.file, self.line(span))
    }

    /// The line on which `span` begins.
    pub(crate) fn line(&self, span: &Range<usize>) -> usize {
        self.position(span.start).0
    }

    /// The problems in the order of the text, or `value` if there are none.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, ConfigErrors> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => {
                self.found.sort_by_key(|error| (error.line, error.column));
                self.found.dedup();
                Err(ConfigErrors(self.found))
            }
        }
    }

    fn position(&self, byte: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= byte);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..byte).unwrap_or_default();
        (line.max(1), before.chars().count() + 1)
    }
}
