//! Bodies and queries, read strictly: everything that is wrong is told at once, by name.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use shared::feeds::value::may_be_thousands;

use crate::problem::{FieldError, Problem};
use crate::request::Request;

/// The fields of a body or of a query, taken out one by one.
pub(crate) struct Fields {
    left: Map<String, Value>,
    names: Vec<&'static str>,
    errors: Vec<FieldError>,
    error: fn(&str, String) -> FieldError,
}

impl Fields {
    /// Those of a JSON body.
    pub(crate) fn of_body(request: &Request) -> Result<Self, Problem> {
        if request.body().is_empty() {
            return Err(Problem::malformed("the body is empty; send a JSON object"));
        }
        let body: Value = serde_json::from_slice(request.body()).map_err(|error| {
            Problem::malformed(error.to_string())
                .with("line", error.line())
                .with("column", error.column())
        })?;
        match body {
            Value::Object(left) => Ok(Self::new(left, FieldError::body)),
            _ => Err(Problem::malformed("the body is not a JSON object")),
        }
    }

    /// Those of the query.
    pub(crate) fn of_query(request: &Request) -> Self {
        let mut fields = Self::new(Map::new(), FieldError::query);
        for (name, value) in &request.query {
            let value = Value::String(value.clone());
            if fields.left.insert(name.clone(), value).is_some() {
                fields.refuse(name, "is given twice");
            }
        }
        fields
    }

    fn new(left: Map<String, Value>, error: fn(&str, String) -> FieldError) -> Self {
        Self {
            left,
            names: Vec::new(),
            errors: Vec::new(),
            error,
        }
    }

    /// Adds what is wrong with a field.
    pub(crate) fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push((self.error)(name, detail.into()));
    }

    /// A field as it stands; null counts as left out.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.names.push(name);
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// A field that is written as text.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        match self.take(name)? {
            Value::String(text) => match text.parse() {
                Ok(value) => Some(value),
                Err(error) => {
                    self.refuse(name, error.to_string());
                    None
                }
            },
            other => {
                self.refuse(name, format!("is {}; text is expected", kind(&other)));
                None
            }
        }
    }

    /// The same, where it must be there.
    pub(crate) fn required<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        self.present(name).then(|| self.parsed(name))?
    }

    /// A whole number, as one or (in a query) as text.
    pub(crate) fn integer(&mut self, name: &'static str) -> Option<i64> {
        let value = self.take(name)?;
        let written = match &value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let unclear = value.is_string() && may_be_thousands(&written, &['.']);
        let number = whole(&written).filter(|_| !unclear);
        if number.is_none() {
            self.refuse(name, format!("`{written}` is not a whole number"));
        }
        number
    }

    /// The same, where it must be there.
    pub(crate) fn required_integer(&mut self, name: &'static str) -> Option<i64> {
        self.present(name).then(|| self.integer(name))?
    }

    /// `true` or `false` in a query; false when left out.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        self.parsed(name).unwrap_or(false)
    }

    /// An RFC 3339 time.
    pub(crate) fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        let text: String = self.parsed(name)?;
        let time = text.parse().ok();
        if time.is_none() {
            self.refuse(name, "is not a time such as 2026-01-15T09:30:00Z");
        }
        time
    }

    /// The same; or a local time or day of this zone, which begins with its first moment.
    pub(crate) fn time_in(&mut self, name: &'static str, zone: &TimeZone) -> Option<Timestamp> {
        let text: String = self.parsed(name)?;
        let local = || zone.to_timestamp(text.parse::<DateTime>().ok()?).ok();
        let time = text.parse().ok().or_else(local);
        if time.is_none() {
            let detail =
                "is neither a time such as 2026-01-15T09:30:00Z nor a day such as 2026-01-15";
            self.refuse(name, detail);
        }
        time
    }

    /// Text of a bounded length.
    pub(crate) fn text(&mut self, name: &'static str, most: usize) -> Option<String> {
        let text: String = self.parsed(name)?;
        let length = text.chars().count();
        if length > most || text.chars().any(char::is_control) {
            let problem = format!("must be one line of at most {most} characters");
            self.refuse(name, problem);
            return None;
        }
        Some(text).filter(|text| !text.trim().is_empty())
    }

    /// The page length: 1 to 200, 50 unless given.
    pub(crate) fn limit(&mut self) -> i32 {
        let given = self.integer("limit").unwrap_or(50);
        match i32::try_from(given) {
            Ok(limit @ 1..=200) => limit,
            _ => {
                self.refuse("limit", "is not from 1 to 200");
                50
            }
        }
    }

    fn present(&mut self, name: &'static str) -> bool {
        let present = self.left.get(name).is_some_and(|value| !value.is_null());
        if !present {
            self.names.push(name);
            self.left.remove(name);
            self.refuse(name, "is missing");
        }
        present
    }

    /// What was read, if nothing was wrong and nothing is left over.
    pub(crate) fn finish<T>(mut self, read: impl FnOnce() -> Option<T>) -> Result<T, Problem> {
        let names: Vec<_> = self.names.iter().map(|name| format!("`{name}`")).collect();
        let known = match names.len() {
            0 => "there are none here".to_owned(),
            _ => format!("known are {}", names.join(", ")),
        };
        for name in std::mem::take(&mut self.left).keys() {
            self.refuse(name, format!("is not known; {known}"));
        }
        match read() {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(Problem::invalid(self.errors)),
        }
    }
}

/// `2`, and `2.0` as programs write it that know only numbers with fractions.
fn whole(written: &str) -> Option<i64> {
    let whole = match written.split_once('.') {
        Some((whole, fraction)) => {
            let nothing = !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0');
            nothing.then_some(whole)?
        }
        None => written,
    };
    whole.parse().ok()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
