//! Reading JSON that somebody else wrote: bounded, exact, and with a pointer to what is wrong.
//!
//! `null`, an empty text and words such as `N/A` are all *no data*: a reader answers `None` for
//! them, and whoever needs the value says what that means. Numbers may be written as numbers or as
//! text; they are read exactly, never through a float.

use std::borrow::Cow;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::push::{ParseError, Problem, Reason};
use crate::config::words;
use crate::feeds::value::may_be_thousands;

/// Levels of nesting that a body may have.
pub(crate) const DEPTH_MOST: usize = 32;
/// Characters that one text may have.
const TEXT_MOST: usize = 2_000;
/// More units than anybody stocks; keeps every later sum far from overflow.
const QUANTITY_MOST: i64 = 1_000_000_000_000;

/// Reads a body, bounded in depth.
pub(crate) fn document(body: &[u8]) -> Result<Value, ParseError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if depth(body) > DEPTH_MOST {
        return Err(ParseError::TooDeep { most: DEPTH_MOST });
    }
    serde_json::from_slice(body).map_err(|error| ParseError::NotJson {
        problem: error.to_string(),
    })
}

/// How deep brackets are nested, texts left out; an upper bound if the body is not JSON.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Why a value cannot be used; where it stands is known to the caller.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    reason: Reason,
    sentence: String,
}

impl Wrong {
    pub(crate) fn new(reason: Reason, sentence: impl Into<String>) -> Self {
        Self {
            reason,
            sentence: sentence.into(),
        }
    }

    fn of_type(expected: &str, found: &Value) -> Self {
        let found = match found {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        Self::new(
            Reason::WrongType,
            format!("should be {expected}, and is {found}"),
        )
    }

    /// The same with the value that it is about, where that is short and can be no secret.
    fn showing(mut self, key: &str, value: &Value) -> Self {
        let text = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => return self,
        };
        if self.reason == Reason::InvalidValue
            && let Some(shown) = shown(key, &text)
        {
            self.sentence = format!("{}: {shown}", self.sentence);
        }
        self
    }

    pub(crate) fn at(self, pointer: String) -> Problem {
        Problem {
            reason: self.reason,
            pointer,
            sentence: self.sentence,
            awaits: None,
        }
    }
}

/// What a reader answers: `None` is no data.
pub(crate) type Read<T> = Result<Option<T>, Wrong>;

/// An object, and the pointer to it.
#[derive(Debug, Clone)]
pub(crate) struct Object<'v> {
    fields: &'v Map<String, Value>,
    pointer: String,
}

impl<'v> Object<'v> {
    /// The value as an object, or what is wrong with it.
    pub(crate) fn of(value: &'v Value, pointer: impl Into<String>) -> Result<Self, Problem> {
        let pointer = pointer.into();
        match value {
            Value::Object(fields) => Ok(Self { fields, pointer }),
            other => Err(Wrong::of_type("an object", other).at(pointer)),
        }
    }

    /// The pointer to the object itself.
    pub(crate) fn pointer(&self) -> &str {
        &self.pointer
    }

    pub(crate) fn pointer_to(&self, key: &str) -> String {
        let key = key.replace('~', "~0").replace('/', "~1");
        format!("{}/{key}", self.pointer)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &'v str> + use<'v> {
        self.fields.keys().map(String::as_str)
    }

    /// The field, unless it is missing or `null`.
    pub(crate) fn value(&self, key: &str) -> Option<&'v Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    /// The field as `read` understands it; `None` is no data.
    pub(crate) fn get<T>(
        &self,
        key: &str,
        read: impl FnOnce(&'v Value) -> Read<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.fields.get(key) else {
            return Ok(None);
        };
        read(value).map_err(|wrong| wrong.showing(key, value).at(self.pointer_to(key)))
    }

    /// The field, which must be there.
    pub(crate) fn need<T>(
        &self,
        key: &str,
        read: impl FnOnce(&'v Value) -> Read<T>,
    ) -> Result<T, Problem> {
        self.get(key, read)?
            .ok_or_else(|| Wrong::new(Reason::MissingField, "is missing").at(self.pointer_to(key)))
    }

    /// A quantity, which must be stated.
    pub(crate) fn need_quantity(&self, key: &str) -> Result<i64, Problem> {
        self.get(key, quantity)?
            .ok_or_else(|| self.no_quantity(key))
    }

    /// That the quantity is not stated.
    pub(crate) fn no_quantity(&self, key: &str) -> Problem {
        let sentence = "no quantity is stated; that is no data, not zero";
        Wrong::new(Reason::MissingQuantity, sentence).at(self.pointer_to(key))
    }

    /// The named fields as far as they are plain values: what quarantine shows of a row.
    pub(crate) fn excerpt(&self, keys: &[&str]) -> Value {
        let shown = keys.iter().filter_map(|key| {
            let value = match self.fields.get(*key)? {
                Value::String(text) => Value::String(text.chars().take(64).collect()),
                Value::Array(_) | Value::Object(_) => return None,
                plain => plain.clone(),
            };
            Some(((*key).to_owned(), value))
        });
        Value::Object(shown.collect())
    }
}

/// A value for a person, unless it might be a secret.
fn shown(key: &str, text: &str) -> Option<String> {
    // Digits and what stands between them: a number, a day or a time, or nearly one.
    let of_digits = |c: char| c.is_ascii_digit() || "+-.,:/ TZ".contains(c);
    if text.len() <= 32 && text.chars().all(of_digits) {
        return Some(format!("`{text}`"));
    }
    words::shown_unless_secret(key, text)
}

/// Whether a text says that there is no value.
fn is_no_data(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "" | "n/a" | "na" | "-" | "--" | "null" | "none" | "nan" | "unknown"
    )
}

/// Text, trimmed; an empty one is no data.
pub(crate) fn text(value: &Value) -> Read<&str> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.chars().nth(TEXT_MOST).is_some() => Err(Wrong::new(
            Reason::OutOfRange,
            format!("has more than {TEXT_MOST} characters"),
        )),
        Value::String(text) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        other => Err(Wrong::of_type("text", other)),
    }
}

/// A JSON body with these members only, at whatever depth. What has no others, or is no JSON, stays byte
/// for byte.
pub(crate) fn only<'a>(body: &'a [u8], members: &[&str]) -> Cow<'a, [u8]> {
    fn strip(value: &mut Value, members: &[&str]) -> bool {
        match value {
            Value::Object(object) => {
                let before = object.len();
                object.retain(|name, _| members.contains(&name.as_str()));
                let stripped = object.len() < before;
                let inner = object.values_mut();
                inner.fold(stripped, |all, value| strip(value, members) | all)
            }
            Value::Array(list) => {
                let inner = list.iter_mut();
                inner.fold(false, |all, value| strip(value, members) | all)
            }
            _ => false,
        }
    }
    let read = serde_json::from_slice::<Value>(body).ok();
    let stripped = read.and_then(|mut value| {
        let stripped = strip(&mut value, members);
        stripped.then(|| serde_json::to_vec(&value).ok()).flatten()
    });
    stripped.map_or(Cow::Borrowed(body), Cow::Owned)
}

/// A name that some systems write as text and some as a whole number.
pub(crate) fn name(value: &Value) -> Read<String> {
    match value {
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(Some(number.to_string())),
        Value::Null | Value::String(_) => Ok(text(value)?.map(str::to_owned)),
        other => Err(Wrong::of_type("text or a whole number", other)),
    }
}

/// A text that is parsed through its type's own door.
pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(value: &Value) -> Read<T> {
    let Some(name) = name(value)? else {
        return Ok(None);
    };
    match name.parse() {
        Ok(parsed) => Ok(Some(parsed)),
        Err(error) => Err(Wrong::new(Reason::InvalidValue, error.to_string())),
    }
}

/// A number, exactly as written.
pub(crate) fn decimal(value: &Value) -> Read<Decimal> {
    let written = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.to_string(),
        Value::String(text) if is_no_data(text.trim()) => return Ok(None),
        Value::String(text) => text.trim().to_owned(),
        other => return Err(Wrong::of_type("a number", other)),
    };
    match Decimal::from_str_exact(&written) {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(Wrong::new(Reason::InvalidValue, "is not a plain number")),
    }
}

/// A whole number.
pub(crate) fn whole(value: &Value) -> Read<i64> {
    if value
        .as_str()
        .is_some_and(|text| may_be_thousands(text, &['.']))
    {
        let problem = "may be thousands or a fraction; write it as a number, or without a mark";
        return Err(Wrong::new(Reason::InvalidValue, problem));
    }
    let Some(number) = decimal(value)? else {
        return Ok(None);
    };
    if !number.is_integer() {
        return Err(Wrong::new(Reason::InvalidValue, "is not a whole number"));
    }
    match i64::try_from(number) {
        Ok(whole) => Ok(Some(whole)),
        Err(_) => Err(Wrong::new(Reason::OutOfRange, "is too large")),
    }
}

/// A number of units; negative where a source has promised more than it has.
pub(crate) fn quantity(value: &Value) -> Read<i64> {
    match whole(value)? {
        Some(units) if units.unsigned_abs() > QUANTITY_MOST.unsigned_abs() => Err(Wrong::new(
            Reason::OutOfRange,
            format!("is beyond {QUANTITY_MOST} units"),
        )),
        units => Ok(units),
    }
}

/// A number of units that cannot be negative.
pub(crate) fn count(value: &Value) -> Read<i64> {
    match quantity(value)? {
        Some(units) if units < 0 => Err(Wrong::new(Reason::OutOfRange, "is negative")),
        units => Ok(units),
    }
}

/// An instant: RFC 3339 with an offset, or seconds or milliseconds since 1970.
pub(crate) fn time(value: &Value) -> Read<Timestamp> {
    let problem = "is not a time with an offset, such as 2026-11-22T09:15:00Z";
    let wrong = || Wrong::new(Reason::InvalidValue, problem);
    match value {
        Value::Number(number) => {
            let since_1970 = number.as_i64().ok_or_else(wrong)?;
            // Milliseconds passed this mark in 1973; seconds will in the year 5138.
            let read = if since_1970.unsigned_abs() < 100_000_000_000 {
                Timestamp::from_second(since_1970)
            } else {
                Timestamp::from_millisecond(since_1970)
            };
            read.map(Some).map_err(|_| wrong())
        }
        other => match text(other)? {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| wrong()),
        },
    }
}

/// A day: `2026-01-31` or `20260131`; `0` and the year 1 stand for none.
pub(crate) fn day(value: &Value) -> Read<Date> {
    let Some(written) = name(value)? else {
        return Ok(None);
    };
    if written.bytes().all(|b| b == b'0') || written.starts_with("0001-01-01") {
        return Ok(None);
    }
    let day = if written.len() == 8 && written.bytes().all(|b| b.is_ascii_digit()) {
        Date::strptime("%Y%m%d", &written).ok()
    } else {
        written.get(..10).and_then(|day| day.parse().ok())
    };
    match day {
        Some(day) => Ok(Some(day)),
        None => Err(Wrong::new(Reason::InvalidValue, "is not a day")),
    }
}

/// True or false.
pub(crate) fn flag(value: &Value) -> Read<bool> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(*flag)),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Ok(Some(true)),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Ok(Some(false)),
        other => Err(Wrong::of_type("true or false", other)),
    }
}

/// A list.
pub(crate) fn list(value: &Value) -> Read<&[Value]> {
    match value {
        Value::Null => Ok(None),
        Value::Array(rows) => Ok(Some(rows)),
        other => Err(Wrong::of_type("a list", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_missing_quantity_is_no_data_however_it_is_written() {
        for nothing in [
            json!(null),
            json!(""),
            json!(" "),
            json!("N/A"),
            json!("-"),
            json!("NaN"),
        ] {
            let row = json!({ "on_hand": nothing });
            let row = Object::of(&row, "/data").unwrap();
            let problem = row.need_quantity("on_hand").unwrap_err();
            assert_eq!(problem.reason, Reason::MissingQuantity, "{nothing}");
            assert_eq!(problem.pointer, "/data/on_hand");
        }
    }

    #[test]
    fn numbers_are_read_exactly_as_numbers_or_as_text() {
        for (value, expected) in [
            (json!(4), 4),
            (json!("4"), 4),
            (json!(" 4 "), 4),
            (json!(4.0), 4),
            (json!("4.0"), 4),
            (serde_json::from_str("1.000").unwrap(), 1),
            (json!(-2), -2),
            (json!("0"), 0),
        ] {
            assert_eq!(quantity(&value), Ok(Some(expected)), "{value}");
        }
        for value in [
            json!(4.5),
            json!("four"),
            json!("4 pcs"),
            json!(1e300),
            json!(u64::MAX),
            json!("1,000"),
            json!("1.000"),
            json!(1_000_000_000_001_i64),
            json!(true),
            json!([4]),
        ] {
            assert!(quantity(&value).is_err(), "{value}");
        }
        let cents = decimal(&json!(18920.10)).unwrap().unwrap();
        assert_eq!(cents.to_string(), "18920.1");
    }

    #[test]
    fn a_time_without_an_offset_is_refused() {
        assert!(time(&json!("2026-11-22T09:15:00")).is_err());
        let at: Timestamp = "2026-11-22T09:15:00Z".parse().unwrap();
        for same in [
            json!("2026-11-22T04:15:00-05:00"),
            json!(at.as_second()),
            json!(at.as_millisecond()),
        ] {
            assert_eq!(time(&same), Ok(Some(at)), "{same}");
        }
    }

    #[test]
    fn days_as_a_dealer_system_writes_them() {
        let day = |written: Value| day(&written).unwrap().map(|day| day.to_string());
        assert_eq!(day(json!("20060116")).as_deref(), Some("2006-01-16"));
        assert_eq!(day(json!(20060116)).as_deref(), Some("2006-01-16"));
        assert_eq!(
            day(json!("2012-10-15T00:00:00")).as_deref(),
            Some("2012-10-15")
        );
        for none in [
            json!("0"),
            json!(0),
            json!("0001-01-01T00:00:00"),
            json!(""),
        ] {
            assert_eq!(day(none), None);
        }
    }

    #[test]
    fn depth_is_counted_outside_texts_only() {
        assert!(document(format!("{}1{}", "[".repeat(32), "]".repeat(32)).as_bytes()).is_ok());
        let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
        assert_eq!(
            document(deep.as_bytes()),
            Err(ParseError::TooDeep { most: 32 })
        );
        let text = format!("\"\\\"{}\"", "[".repeat(99));
        assert!(document(text.as_bytes()).is_ok());
        // Brackets without end must not reach a recursive reader.
        assert!(document("[".repeat(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn pointers_are_escaped() {
        let row = json!({ "a/b~c": [] });
        let row = Object::of(&row, "").unwrap();
        assert_eq!(row.get("a/b~c", text).unwrap_err().pointer, "/a~1b~0c");
    }
}
