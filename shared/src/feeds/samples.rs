//! What stands in the columns of a file, in a few numbers a column: enough to tell whether two columns of
//! two files are likely to be one under another name.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::columns::normal;
use super::row::Row;

/// Rows that are looked at.
pub const ROWS: usize = 50;
/// Different values of a column that are remembered.
const VALUES: usize = 24;

/// The columns of a file, by their names as they are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Samples(BTreeMap<String, Sample>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sample {
    /// Whether all of them are made of digits and their marks.
    numbers: bool,
    /// Digests of different values.
    values: BTreeSet<u32>,
}

impl Samples {
    /// Of a file's first rows.
    pub fn of<'r>(rows: impl IntoIterator<Item = &'r Row>) -> Self {
        let mut samples = Self::default();
        for row in rows.into_iter().take(ROWS) {
            for (name, value) in row.header().names().iter().zip(row.fields()) {
                samples.add(name, value.trim());
            }
        }
        samples
    }

    fn add(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let sample = self.0.entry(normal(name)).or_insert_with(|| Sample {
            numbers: true,
            values: BTreeSet::new(),
        });
        let of_number = |c: char| c.is_ascii_digit() || "+-., ".contains(c);
        sample.numbers &= value.chars().all(of_number);
        if sample.values.len() < VALUES {
            let mut hasher = DefaultHasher::new();
            value.to_lowercase().hash(&mut hasher);
            // Half of it says enough.
            let half = u32::try_from(hasher.finish() >> 32).unwrap_or_default();
            sample.values.insert(half);
        }
    }

    /// Whether a column of this file is likely to be one of another under another name: both hold numbers,
    /// or neither, and half of the values of one are the other's, too.
    pub fn are_alike(&self, name: &str, other: &Self, other_name: &str) -> bool {
        let (one, other) = (self.0.get(&normal(name)), other.0.get(&normal(other_name)));
        one.zip(other).is_some_and(|(one, other)| {
            let both = one.values.intersection(&other.values).count();
            let fewer = one.values.len().min(other.values.len());
            one.numbers == other.numbers && both * 2 >= fewer
        })
    }

    /// Takes over what a newer file has, and of the others those that are still expected.
    pub fn renew(&mut self, newer: Self, expected: &[String]) {
        let expected: BTreeSet<_> = expected.iter().map(|name| normal(name)).collect();
        self.0.retain(|name, _| expected.contains(name));
        self.0.extend(newer.0);
    }
}
