//! Rows that add up the rows above them, as exports of spreadsheets have at their end: no products.
//!
//! A word alone proves nothing, and a sum alone neither: a SKU may be `TOTAL`, and of two products one may
//! have as much as the other. A row is a total where it is called one, and its quantities are those of all
//! rows above it, or of those since the last total, of which there are two at least.

use shared::feeds::row::{Cell, Row};

use crate::flaw::{Flaw, TOTAL};
use crate::rows::{Reading, Statement};

/// What a total is called.
const WORDS: [&str; 20] = [
    "total",
    "totals",
    "grand total",
    "subtotal",
    "sum",
    "summe",
    "gesamt",
    "gesamtsumme",
    "zwischensumme",
    "endsumme",
    "insgesamt",
    "totale",
    "totaal",
    "total général",
    "total general",
    "somme",
    "suma",
    "summa",
    "soma",
    "razem",
];

/// The columns that are added up.
const ADDED: [&str; 2] = ["on_hand", "available"];

/// Quantities of rows, by [`ADDED`].
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    rows: u64,
    units: [i64; ADDED.len()],
}

/// Reads the rows of a file from its beginning.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    all: Sum,
    since: Sum,
}

impl Totals {
    /// What a row states; that it states nothing, if it is a total.
    pub(crate) fn statement(
        &mut self,
        reading: &Reading<'_>,
        row: &Row,
    ) -> Result<Statement, Flaw> {
        let units = ADDED.map(|column| row.quantity(column).value());
        if let Some(word) = called_total(row)
            && (self.all.is(units) || self.since.is(units))
        {
            self.since = Sum::default();
            let sentence = format!(
                "The row {word:?} is the total of rows above it, so it was not taken for a product."
            );
            return Err(Flaw::new(None, TOTAL, sentence).of_word(word));
        }
        for sum in [&mut self.all, &mut self.since] {
            sum.add(units);
        }
        reading.statement(row)
    }
}

impl Sum {
    fn add(&mut self, units: [Option<i64>; ADDED.len()]) {
        self.rows += 1;
        for (sum, units) in self.units.iter_mut().zip(units) {
            *sum = sum.saturating_add(units.unwrap_or(0));
        }
    }

    /// Whether a row has these sums, as far as it has any. Nothing but zeros adds up to anything.
    fn is(&self, units: [Option<i64>; ADDED.len()]) -> bool {
        let mut both = self.units.iter().zip(units);
        self.rows > 1
            && units.iter().flatten().any(|units| *units != 0)
            && both.all(|(sum, units)| units.is_none_or(|units| units == *sum))
    }
}

/// The word for a total in the place of a row's key: where it has none, in its first field.
fn called_total(row: &Row) -> Option<&str> {
    let filled = |column| match row.text(column) {
        Cell::Value(text) if !text.is_empty() => Some(text),
        _ => None,
    };
    if filled("vin").is_some() {
        return None;
    }
    let first = || row.fields().find(|field| !field.trim().is_empty());
    let word = filled("sku").or_else(first)?.trim();
    let plain = word.trim_end_matches([':', '.', ' ']).to_lowercase();
    WORDS.contains(&plain.as_str()).then_some(word)
}
