//! Settings of one delimited feed, as they stand in `lotwire.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::charset::Charset;
use super::value::{DateOrder, DecimalMark, DistanceUnit};

/// How one feed is written, and how much of it is accepted at most.
///
/// Every field has a default that suits an ordinary CSV export, so an empty table is a valid one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedFormat {
    /// What separates fields.
    pub delimiter: Delimiter,
    /// How bytes become text.
    pub charset: Charset,
    /// Whether `"` encloses fields; off, it is an ordinary character.
    pub quoting: bool,
    /// Lines to drop before the header (or, without one, before the first row).
    pub skip_lines: u32,
    /// Whether the file names its columns. If not, `names` must.
    pub header: bool,
    /// Column names in order, for a file without a header.
    pub names: Vec<String>,
    /// Canonical column → header names to accept for it; wins over the built-in aliases.
    pub columns: BTreeMap<String, Names>,
    /// Canonical columns without which the whole file is refused.
    pub required: Vec<String>,
    /// What parts whole numbers from fractions. The other mark groups thousands. Unset, it is the point,
    /// and a quantity that could be read in two ways is invalid.
    pub decimal_mark: Option<DecimalMark>,
    /// How dates such as `03/04/2026` are to be read; unset, they are invalid.
    pub date_order: Option<DateOrder>,
    /// IANA zone of times that state none; unset, such times are invalid.
    pub time_zone: Option<String>,
    /// Unit of distances that state none.
    pub distance_unit: Option<DistanceUnit>,
    /// ISO 4217 currency of prices that state none.
    pub currency: Option<String>,
    /// Words that mean "no data", compared ignoring case.
    pub no_data: Vec<String>,
    /// What `""` says, as opposed to nothing at all between two delimiters.
    pub quoted_empty: QuotedEmpty,
    /// Whether the last line has a line end. Unset, it is learnt from what the source always does.
    pub final_newline: Option<bool>,
    /// The last line, where the feed closes with a count: text with `{rows}` in it.
    pub trailer: Option<TrailerPattern>,
    /// Rows read at most.
    pub max_rows: u64,
    /// Bytes read at most, as delivered.
    pub max_bytes: u64,
    /// Bytes read at most after unpacking gzip.
    pub max_expanded_bytes: u64,
    /// How many times larger than its gzip a feed may be.
    pub max_ratio: u64,
    /// Bytes a single field may have.
    pub max_field_bytes: usize,
    /// Bytes a row may have; bounds how far a quote that is never closed is followed.
    pub max_row_bytes: usize,
}

impl Default for FeedFormat {
    fn default() -> Self {
        Self {
            delimiter: Delimiter::Auto,
            charset: Charset::Auto,
            quoting: true,
            skip_lines: 0,
            header: true,
            names: Vec::new(),
            columns: BTreeMap::new(),
            required: Vec::new(),
            decimal_mark: None,
            date_order: None,
            time_zone: None,
            distance_unit: None,
            currency: None,
            no_data: ["n/a", "#n/a", "null", "-", "--"].map(String::from).into(),
            quoted_empty: QuotedEmpty::NoData,
            final_newline: None,
            trailer: None,
            max_rows: 2_000_000,
            max_bytes: 1 << 30,
            max_expanded_bytes: 2 << 30,
            max_ratio: 200,
            max_field_bytes: 64 << 10,
            max_row_bytes: 256 << 10,
        }
    }
}

impl FeedFormat {
    /// Refuses settings that contradict themselves, naming the field.
    pub fn check(&self) -> Result<(), FormatError> {
        if !self.header && self.names.is_empty() {
            return Err(FormatError::NoNames);
        }
        if self.header && !self.names.is_empty() {
            return Err(FormatError::NamesAndHeader);
        }
        if let Some(zone) = &self.time_zone
            && jiff::tz::TimeZone::get(zone).is_err()
        {
            return Err(FormatError::TimeZone(zone.clone()));
        }
        if let Some(code) = &self.currency
            && !super::value::is_currency(code)
        {
            return Err(FormatError::Currency(code.clone()));
        }
        Ok(())
    }
}

/// Why a [`FeedFormat`] cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// `header = false` without `names`.
    #[error("header = false needs names: the columns in order")]
    NoNames,
    /// `names` although the file has a header.
    #[error("names is for files without a header: set header = false, or use columns")]
    NamesAndHeader,
    /// Not an IANA time zone.
    #[error("time_zone {0:?} is not an IANA time zone")]
    TimeZone(String),
    /// Not an ISO 4217 code.
    #[error("currency {0:?} is not a three-letter ISO 4217 code")]
    Currency(String),
}

/// One header name or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a header name or a list of them")]
pub enum Names {
    /// `vin = "Chassis No"`
    One(String),
    /// `vin = ["VIN", "Chassis No"]`
    Several(Vec<String>),
}

impl Names {
    /// The names, in order of preference.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

/// What separates fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Delimiter {
    /// The candidate that splits the first line into the most known columns, then the most fields.
    #[default]
    Auto,
    /// This ASCII character.
    Byte(u8),
}

impl Delimiter {
    /// What `auto` chooses from.
    pub const CANDIDATES: [u8; 4] = [b',', b'\t', b'|', b';'];
}

impl TryFrom<String> for Delimiter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match (text.as_str(), text.as_bytes()) {
            ("auto", _) => Ok(Self::Auto),
            ("tab", _) => Ok(Self::Byte(b'\t')),
            (_, &[byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => {
                Ok(Self::Byte(byte))
            }
            _ => Err(format!(
                "delimiter {text:?}: expected \"auto\", \"tab\" or one ASCII character"
            )),
        }
    }
}

/// What a quoted empty field (`""`) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotedEmpty {
    /// The same as nothing: no data.
    #[default]
    NoData,
    /// For text, "clear this field". A number is still no data.
    Empty,
}

/// A closing line that counts the rows before it, such as `TRAILER,{rows}` or `#rows={rows}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TrailerPattern {
    before: String,
    after: String,
}

impl TrailerPattern {
    /// The count, if `line` is a trailer. Blanks and quotes around its parts do not matter.
    pub(crate) fn rows(&self, line: &str) -> Option<u64> {
        let plain: String = line
            .chars()
            .filter(|c| *c != '"' && !c.is_whitespace())
            .collect();
        let digits = plain
            .strip_prefix(&self.before)?
            .strip_suffix(&self.after)?;
        // A count padded with delimiters ("TRAILER,3,,,") comes from spreadsheets.
        let digits = digits.trim_end_matches([',', ';', '|']);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok()
    }
}

impl TryFrom<String> for TrailerPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain: String = text
            .chars()
            .filter(|c| *c != '"' && !c.is_whitespace())
            .collect();
        match plain.split_once("{rows}") {
            Some((before, after)) if !before.is_empty() || !after.is_empty() => Ok(Self {
                before: before.into(),
                after: after.into(),
            }),
            _ => Err(format!(
                "trailer {text:?}: expected text with {{rows}} in it, such as \"TRAILER,{{rows}}\""
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_the_default_and_a_typo_is_refused() {
        assert_eq!(
            toml::from_str::<FeedFormat>("").unwrap(),
            FeedFormat::default()
        );
        let error = toml::from_str::<FeedFormat>("delimeter = ','").unwrap_err();
        assert!(error.to_string().contains("delimeter"), "{error}");
    }

    #[test]
    fn every_setting_reads_from_toml() {
        let format: FeedFormat = toml::from_str(
            r##"
            delimiter = "tab"
            charset = "windows-1252"
            quoting = false
            skip_lines = 2
            required = ["vin"]
            decimal_mark = "comma"
            date_order = "day_first"
            time_zone = "Europe/Berlin"
            distance_unit = "km"
            currency = "EUR"
            no_data = ["k.A."]
            quoted_empty = "empty"
            trailer = "#rows={rows}"
            max_rows = 10
            [columns]
            vin = "Fahrgestellnummer"
            price = ["Preis", "VK"]
            "##,
        )
        .unwrap();
        format.check().unwrap();
        assert_eq!(format.delimiter, Delimiter::Byte(b'\t'));
        assert_eq!(format.columns["price"].as_slice(), ["Preis", "VK"]);
        assert_eq!(format.trailer.unwrap().rows("#rows=12"), Some(12));
    }

    #[test]
    fn contradictions_are_named() {
        for (text, words) in [
            ("header = false", "names"),
            ("names = ['vin']", "header = false"),
            ("time_zone = 'Mars/Base'", "Mars/Base"),
            ("currency = 'euro'", "euro"),
        ] {
            let format: FeedFormat = toml::from_str(text).unwrap();
            let error = format.check().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        for text in ["delimiter = '\"'", "delimiter = 'ab'", "trailer = 'END'"] {
            assert!(toml::from_str::<FeedFormat>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_trailer_is_its_pattern_and_nothing_else() {
        let pattern = TrailerPattern::try_from("TRAILER,{rows}".to_owned()).unwrap();
        assert_eq!(pattern.rows("TRAILER,123"), Some(123));
        assert_eq!(pattern.rows("\"TRAILER\", 123,,,"), Some(123));
        for other in ["TRAILER,", "TRAILER,12x", "TRAILER,-1", "X,TRAILER,1"] {
            assert_eq!(pattern.rows(other), None, "{other}");
        }
    }
}
