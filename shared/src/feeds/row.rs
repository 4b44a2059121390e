//! One row, read cell by cell with types that keep "not there" apart from "nothing in it".

use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use super::format::{FeedFormat, QuotedEmpty};
use super::header::Header;
use super::times::{self, Instant};
use super::value::{self, Condition, DateOrder, DecimalMark, Distance, DistanceUnit, Money, Why};

/// One cell, read as a `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell<T> {
    /// The file has no such column: leave what is known alone.
    Absent,
    /// The column is there, the cell says nothing. Never zero.
    NoData,
    /// A value.
    Value(T),
    /// A text that is not a `T`.
    Invalid(Invalid),
}

impl<T> Cell<T> {
    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }

    /// Parses a value further, into a domain type say.
    pub fn and_then<U>(self, parse: impl FnOnce(T) -> Result<U, Invalid>) -> Cell<U> {
        match self {
            Self::Absent => Cell::Absent,
            Self::NoData => Cell::NoData,
            Self::Invalid(invalid) => Cell::Invalid(invalid),
            Self::Value(value) => parse(value).map_or_else(Cell::Invalid, Cell::Value),
        }
    }
}

/// A text that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The text, shortened.
    pub found: String,
    /// What is wrong with it.
    pub why: String,
}

impl Invalid {
    /// Says why `found` is not what was asked for.
    pub fn new(found: &str, why: impl Into<String>) -> Self {
        Self {
            found: shorten(found, 40),
            why: why.into(),
        }
    }
}

/// A row set aside, with everything a person needs to find and mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {why} (found {found:?})", .column.as_ref().map(|name| format!(", column {name}")).unwrap_or_default())]
pub struct BadRow {
    /// Line of the file on which the row begins, counted from 1.
    pub line: u64,
    /// The canonical column or header name, if one cell is to blame.
    pub column: Option<String>,
    /// What was found, shortened.
    pub found: String,
    /// What is wrong with it.
    pub why: String,
}

/// What a row needs to know about its file.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) header: Header,
    mark: Option<DecimalMark>,
    date_order: Option<DateOrder>,
    zone: Option<TimeZone>,
    distance_unit: Option<DistanceUnit>,
    currency: Option<String>,
    no_data: Vec<String>,
    quoted_empty: QuotedEmpty,
}

impl Sheet {
    pub(super) fn new(header: Header, format: &FeedFormat) -> Self {
        let zone = format.time_zone.as_deref();
        Self {
            header,
            mark: format.decimal_mark,
            date_order: format.date_order,
            zone: zone.and_then(|name| TimeZone::get(name).ok()),
            distance_unit: format.distance_unit,
            currency: format.currency.as_deref().map(str::to_ascii_uppercase),
            no_data: format.no_data.clone(),
            quoted_empty: format.quoted_empty,
        }
    }
}

/// One readable row: it has exactly as many fields as the header.
#[derive(Debug, Clone)]
pub struct Row {
    pub(super) line: u64,
    pub(super) sheet: Arc<Sheet>,
    /// All fields, one after another.
    pub(super) text: String,
    pub(super) fields: Vec<Field>,
}

/// Where a field ends in [`Row::text`], and whether it was quoted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) end: usize,
    pub(super) quoted: bool,
}

impl Row {
    /// Line of the file on which the row begins, counted from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The file's header.
    pub fn header(&self) -> &Header {
        &self.sheet.header
    }

    /// The fields as written, in the file's order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        (0..self.fields.len()).map(|position| self.field(position).0)
    }

    /// The text of a canonical column, without the blanks around it.
    pub fn text(&self, column: &str) -> Cell<&str> {
        match self.sheet.header.position(column) {
            None => Cell::Absent,
            Some(position) => self.at(position),
        }
    }

    /// The text under a header name, for columns that have no canonical name.
    pub fn named(&self, name: &str) -> Cell<&str> {
        let mut names = self.sheet.header.names().iter();
        match names.position(|found| found == name) {
            None => Cell::Absent,
            Some(position) => self.at(position),
        }
    }

    /// A whole number, such as a quantity or a year.
    pub fn quantity(&self, column: &str) -> Cell<i64> {
        self.parse(column, |text| value::whole(text, self.sheet.mark))
    }

    /// A decimal number.
    pub fn decimal(&self, column: &str) -> Cell<Decimal> {
        self.parse(column, |text| {
            value::decimal(text, self.sheet.mark.unwrap_or_default())
        })
    }

    /// A calendar date.
    pub fn date(&self, column: &str) -> Cell<Date> {
        let sheet = &self.sheet;
        self.parse(column, |text| {
            times::date(text, sheet.date_order, sheet.zone.as_ref())
        })
    }

    /// A point in time.
    pub fn instant(&self, column: &str) -> Cell<Instant> {
        let sheet = &self.sheet;
        self.parse(column, |text| {
            times::instant(text, sheet.date_order, sheet.zone.as_ref())
        })
    }

    /// Yes or no.
    pub fn flag(&self, column: &str) -> Cell<bool> {
        self.parse(column, value::flag)
    }

    /// Several texts in one cell.
    pub fn list(&self, column: &str) -> Cell<Vec<&str>> {
        self.parse(column, |text| Ok(value::list(text)))
    }

    /// New, used or certified; a `certified` column that says yes makes used certified.
    pub fn condition(&self) -> Cell<Condition> {
        let header = self.sheet.header.source_of("condition").unwrap_or_default();
        let stated = self.parse("condition", |text| value::condition(text, header));
        match stated {
            Cell::Value(Condition::Used) if self.flag("certified") == Cell::Value(true) => {
                Cell::Value(Condition::Certified)
            }
            stated => stated,
        }
    }

    /// A distance. Its unit: the cell's own, else the `odometer_unit` column's, else the
    /// header's ("Kms"), else the settings'.
    pub fn distance(&self, column: &str) -> Cell<Distance> {
        let source = self.sheet.header.source_of(column).unwrap_or_default();
        let mut beside = DistanceUnit::parse(source);
        if let Cell::Value(word) = self.text("odometer_unit") {
            let Some(unit) = DistanceUnit::parse(word) else {
                return Cell::Invalid(Invalid::new(word, "not a unit of distance"));
            };
            beside = Some(unit);
        }
        self.parse(column, |text| {
            let mut distance = value::distance(text, self.sheet.mark.unwrap_or_default())?;
            value::clear(distance.amount, self.sheet.mark)?;
            match (distance.unit, beside) {
                (Some(stated), Some(other)) if stated != other => {
                    return Err("the cell and its column state different units");
                }
                (None, beside) => distance.unit = beside.or(self.sheet.distance_unit),
                _ => {}
            }
            Ok(distance)
        })
    }

    /// An amount of money. Its currency: the cell's own, else the `currency` column's, else the
    /// settings'.
    pub fn money(&self, column: &str) -> Cell<Money> {
        let beside = match self.text("currency") {
            Cell::Value(code) if value::is_currency(code) => Some(code.to_ascii_uppercase()),
            Cell::Value(other) => {
                return Cell::Invalid(Invalid::new(other, "not an ISO 4217 currency code"));
            }
            _ => None,
        };
        self.parse(column, |text| {
            let mut money = value::money(text, self.sheet.mark.unwrap_or_default())?;
            match (&money.currency, beside) {
                (Some(stated), Some(other)) if *stated != other => {
                    return Err("the cell and the currency column state different currencies");
                }
                (None, beside) => money.currency = beside.or_else(|| self.sheet.currency.clone()),
                _ => {}
            }
            Ok(money)
        })
    }

    /// Refuses an amount such as `45.900` where nobody has said what `decimal_mark` is. Not of a currency
    /// that has three decimals.
    pub fn clear(&self, amount: Decimal) -> Result<(), Invalid> {
        let refused = |why| Invalid::new(&amount.to_string(), why);
        value::clear(amount, self.sheet.mark).map_err(refused)
    }

    /// This row as a bad one, because of one column's cell.
    pub fn bad(&self, column: &str, invalid: Invalid) -> BadRow {
        BadRow {
            line: self.line,
            column: Some(column.to_owned()),
            found: invalid.found,
            why: invalid.why,
        }
    }

    fn parse<'a, T>(
        &'a self,
        column: &str,
        parse: impl FnOnce(&'a str) -> Result<T, Why>,
    ) -> Cell<T> {
        match self.text(column) {
            // Cleared text is still no number.
            Cell::Value("") => Cell::NoData,
            cell => cell.and_then(|text| parse(text).map_err(|why| Invalid::new(text, why))),
        }
    }

    fn at(&self, position: usize) -> Cell<&str> {
        let (text, quoted) = self.field(position);
        let text = value::unguarded(text);
        if text.is_empty() {
            return if quoted && self.sheet.quoted_empty == QuotedEmpty::Empty {
                Cell::Value("")
            } else {
                Cell::NoData
            };
        }
        let words = &self.sheet.no_data;
        if words.iter().any(|word| word.eq_ignore_ascii_case(text)) {
            return Cell::NoData;
        }
        Cell::Value(text)
    }

    fn field(&self, position: usize) -> (&str, bool) {
        let start = match position {
            0 => 0,
            _ => self.fields[position - 1].end,
        };
        let field = self.fields[position];
        (&self.text[start..field.end], field.quoted)
    }
}

/// At most `limit` characters of `text`.
pub fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
