//! Numbers, prices, distances and names as people and exports write them.
//!
//! A text that could be read in two ways is refused with the reason, never guessed.

use std::borrow::Cow;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Deserialize;

use crate::domain::spelling::one_spelling;

/// What parts whole numbers from fractions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum DecimalMark {
    /// `1,234.56`
    #[default]
    #[serde(rename = "point", alias = ".")]
    Point,
    /// `1.234,56`
    #[serde(rename = "comma", alias = ",")]
    Comma,
}

/// How `03/04/2026` is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateOrder {
    /// 3 April.
    DayFirst,
    /// 4 March.
    MonthFirst,
}

/// The unit of a distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum DistanceUnit {
    /// Statute miles.
    #[serde(rename = "mi")]
    Miles,
    /// Kilometres.
    #[serde(rename = "km")]
    Kilometres,
}

impl DistanceUnit {
    /// Reads a unit word; an empty one is not a unit.
    pub fn parse(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "mi" | "mile" | "miles" | "smi" => Some(Self::Miles),
            "km" | "kms" | "kmt" | "kilometer" | "kilometers" | "kilometre" | "kilometres" => {
                Some(Self::Kilometres)
            }
            _ => None,
        }
    }
}

/// A distance and its unit, where either the cell or the settings state one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distance {
    /// How far.
    pub amount: Decimal,
    /// In what.
    pub unit: Option<DistanceUnit>,
}

/// An amount and its currency, where the cell, a column or the settings state one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// How much.
    pub amount: Decimal,
    /// ISO 4217 code, upper case.
    pub currency: Option<String>,
}

/// Whether a vehicle is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Never registered.
    New,
    /// Registered before.
    Used,
    /// Used, and certified by its maker's programme.
    Certified,
}

/// Why a text is not the value asked for.
pub type Why = &'static str;

/// Reads a decimal number, its thousands grouped or not.
pub fn decimal(text: &str, mark: DecimalMark) -> Result<Decimal, Why> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (point, group) = match mark {
        DecimalMark::Point => ('.', ','),
        DecimalMark::Comma => (',', '.'),
    };
    let (whole, fraction) = match digits.split_once(point) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let mut plain = String::with_capacity(digits.len() + 1);
    if negative {
        plain.push('-');
    }
    ungroup(whole, group, &mut plain)?;
    if let Some(fraction) = fraction {
        if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(not_a_number(fraction));
        }
        plain.push('.');
        plain.push_str(fraction);
    }
    Decimal::from_str_exact(&plain).map_err(|_| "the number has too many digits")
}

/// Appends the digits of a whole number. Groups must be of three and parted the same way.
fn ungroup(whole: &str, group: char, plain: &mut String) -> Result<(), Why> {
    let separator = whole
        .chars()
        .find(|c| *c == group || matches!(c, ' ' | '\'' | '\u{2019}' | '\u{a0}' | '\u{202f}'));
    for (index, part) in whole.split(|c| Some(c) == separator).enumerate() {
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(not_a_number(whole));
        }
        let right_size = if index == 0 {
            separator.is_none() || part.len() <= 3
        } else {
            part.len() == 3
        };
        if !right_size {
            return Err("thousands are not in groups of three; `decimal_mark` may be set wrongly");
        }
        plain.push_str(part);
    }
    Ok(())
}

fn not_a_number(text: &str) -> Why {
    let digits = text.bytes().any(|byte| byte.is_ascii_digit());
    if digits && text.contains(['e', 'E']) {
        "exponent notation: a spreadsheet has rounded the number"
    } else {
        "not a number"
    }
}

const UNCLEAR: Why = "it may be thousands or a fraction; say under `format` what `decimal_mark` is";

/// Refuses an amount such as `45.900` where nobody has said what the mark is.
pub(super) fn clear(amount: Decimal, mark: Option<DecimalMark>) -> Result<(), Why> {
    match mark {
        None if may_be_thousands(&amount.to_string(), &['.']) => Err(UNCLEAR),
        _ => Ok(()),
    }
}

/// Reads a whole number; `5.00` is one, `5.5` is not. Where nobody has said what the mark is, `1.000` may
/// be one or a thousand.
pub fn whole(text: &str, mark: Option<DecimalMark>) -> Result<i64, Why> {
    if mark.is_none() && may_be_thousands(text, &['.', ',']) {
        return Err(UNCLEAR);
    }
    let number = decimal(text, mark.unwrap_or_default())?;
    if !number.is_integer() {
        return Err("not a whole number");
    }
    number.to_i64().ok_or("the number is out of range")
}

/// Whether exactly three digits stand behind the only mark of a number, and no more than three before it:
/// they may be thousands, or a fraction.
pub fn may_be_thousands(text: &str, marks: &[char]) -> bool {
    let digits = text.trim().trim_start_matches(['-', '\u{2212}', '+']);
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    digits.split_once(marks).is_some_and(|(whole, rest)| {
        let whole_fits = (1..=3).contains(&whole.len()) && !whole.starts_with('0');
        whole_fits && rest.len() == 3 && is_digits(whole) && is_digits(rest)
    })
}

/// Reads an amount and the currency it states, if it does.
pub fn money(text: &str, mark: DecimalMark) -> Result<Money, Why> {
    let text = text.trim();
    let (number, stated) = if let Some(rest) = text.strip_suffix('€').or(text.strip_prefix('€'))
    {
        (rest, Some("EUR"))
    } else if let Some(rest) = text.strip_prefix('£') {
        (rest, Some("GBP"))
    } else if let Some(rest) = text.strip_prefix('$') {
        // Whose dollar is for the settings or a currency column to say.
        (rest, None)
    } else if let Some((rest, code)) = split_code(text) {
        (rest, Some(code))
    } else {
        (text, None)
    };
    Ok(Money {
        amount: decimal(number, mark)?,
        currency: stated.map(str::to_ascii_uppercase),
    })
}

/// `10499 USD` or `USD 10499`, taken apart.
fn split_code(text: &str) -> Option<(&str, &str)> {
    let edge = text.len().checked_sub(3)?;
    if let (Some(number), Some(code)) = (text.get(..edge), text.get(edge..))
        && is_currency(code)
    {
        return Some((number, code));
    }
    let (code, number) = (text.get(..3)?, text.get(3..)?);
    is_currency(code).then_some((number, code))
}

/// Whether this has the shape of an ISO 4217 code.
pub(crate) fn is_currency(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Reads a distance and the unit it states, if it does.
pub fn distance(text: &str, mark: DecimalMark) -> Result<Distance, Why> {
    let text = text.trim();
    let number = text.trim_end_matches(|c: char| c.is_alphabetic() || c == '.');
    let suffix = text[number.len()..].trim_end_matches('.');
    let unit = match suffix {
        "" => None,
        word => Some(DistanceUnit::parse(word).ok_or("not a unit of distance")?),
    };
    let amount = decimal(number, mark)?;
    if amount.is_sign_negative() && !amount.is_zero() {
        return Err("a distance below zero");
    }
    Ok(Distance { amount, unit })
}

/// Takes off what spreadsheets put around a text to keep its zeros: `="00123"`, `'00125`.
pub fn unguarded(text: &str) -> &str {
    let text = text.trim();
    let formula = text
        .strip_prefix("=\"")
        .and_then(|rest| rest.strip_suffix('"'));
    if let Some(inner) = formula.filter(|inner| !inner.contains('"')) {
        return inner.trim();
    }
    let code =
        |rest: &&str| !rest.is_empty() && !rest.contains(|c: char| c == '\'' || c.is_whitespace());
    text.strip_prefix('\'').filter(code).unwrap_or(text)
}

/// A cell that names something, in one spelling.
pub fn key(text: &str) -> Cow<'_, str> {
    match one_spelling(text.trim()) {
        Cow::Borrowed(name) => Cow::Borrowed(name),
        // A blank may have stood beside a character that does not show.
        Cow::Owned(name) => Cow::Owned(name.trim().to_owned()),
    }
}

/// What a spreadsheet leaves of a cell where its formula fails, in its user's language: `#N/A`, `#REF!`,
/// `#WERT!`.
pub const ERROR_VALUE: Why = "a formula of the spreadsheet has failed";

/// Whether a cell holds what a spreadsheet leaves where a formula fails.
pub fn is_error_value(text: &str) -> bool {
    let Some(name) = text.trim().strip_prefix('#') else {
        return false;
    };
    let unmarked = ["N/A", "NV", "N/D", "N/B", "GETTING_DATA"];
    let of_name = |c: char| c.is_uppercase() || matches!(c, '/' | '0' | '_' | '\u{a1}' | '\u{bf}');
    let marked = name.strip_suffix(['!', '?']);
    unmarked.contains(&name)
        || marked.is_some_and(|name| name.chars().count() > 1 && name.chars().all(of_name))
}

/// Why a cell cannot be what names a product, where a spreadsheet has spoilt it: as a failed formula, or
/// as a long number that it has rounded, `1,23457E+12`.
pub fn spoilt_key(text: &str) -> Option<Why> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_rounded = |text: &str| {
        text.split_once("E+").is_some_and(|(number, power)| {
            let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, "0"));
            whole.len() == 1
                && digits(whole)
                && digits(fraction)
                && power.len() > 1
                && digits(power)
        })
    };
    match text.trim() {
        text if is_error_value(text) => Some(ERROR_VALUE),
        text if is_rounded(text) => {
            Some("a spreadsheet has rounded the number; format the column as text")
        }
        _ => None,
    }
}

/// Reads yes or no.
pub fn flag(text: &str) -> Result<bool, Why> {
    match text.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" | "true" | "1" => Ok(true),
        "n" | "no" | "false" | "0" => Ok(false),
        _ => Err("neither yes nor no"),
    }
}

/// Reads a vehicle's condition. Under a header such as "Is New", `N` means no; elsewhere, new.
pub fn condition(text: &str, header: &str) -> Result<Condition, Why> {
    if super::columns::normal(header).starts_with("is") {
        let new = flag(text)?;
        return Ok(if new { Condition::New } else { Condition::Used });
    }
    match text.trim().to_ascii_lowercase().as_str() {
        "n" | "new" => Ok(Condition::New),
        "u" | "used" | "pre-owned" | "preowned" => Ok(Condition::Used),
        "c" | "cpo" | "certified" | "certified pre-owned" => Ok(Condition::Certified),
        _ => Err("neither new, used nor certified"),
    }
}

/// Parts a cell that lists several things. Addresses are parted only where a new one begins.
pub fn list(text: &str) -> Vec<&str> {
    let text = text.trim();
    let begins = |rest: &str| rest.starts_with("http://") || rest.starts_with("https://");
    if begins(text) {
        let mut parts = Vec::new();
        let mut start = 0;
        for (at, c) in text.char_indices() {
            let separates = matches!(c, '|' | ';' | ',') || c.is_whitespace();
            if separates && begins(text[at + c.len_utf8()..].trim_start()) {
                parts.push(text[start..at].trim());
                start = at + c.len_utf8();
            }
        }
        parts.push(text[start..].trim());
        parts.retain(|part| !part.is_empty());
        return parts;
    }
    let separator = ['|', ';', ','].into_iter().find(|c| text.contains(*c));
    text.split(|c| Some(c) == separator)
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Result<String, Why> {
        decimal(text, DecimalMark::Point).map(|number| number.to_string())
    }

    #[test]
    fn numbers_are_read_exactly_or_refused() {
        for (text, expected) in [
            ("239,950", "239950"),
            (" 1,234,567.80 ", "1234567.80"),
            ("1 234", "1234"),
            ("1\u{202f}234.5", "1234.5"),
            ("-3", "-3"),
            ("+12", "12"),
            ("0.05", "0.05"),
        ] {
            assert_eq!(number(text).as_deref(), Ok(expected), "{text:?}");
        }
        for text in [
            "",
            "POA",
            "2,56",
            "2,5600",
            "1,234 567",
            "1.2.3",
            ".5",
            "5.",
            "1E+05",
            "--1",
            "1,,000",
            "NaN",
            "0x10",
            "١٢",
            "12345678901234567890123456789012",
        ] {
            assert!(number(text).is_err(), "{text:?}");
        }
        assert!(number("1.2E+05").unwrap_err().contains("spreadsheet"));
    }

    #[test]
    fn the_decimal_comma_is_a_setting() {
        let comma = |text| decimal(text, DecimalMark::Comma).map(|number| number.to_string());
        assert_eq!(comma("1.234,56").as_deref(), Ok("1234.56"));
        assert_eq!(comma("2.560").as_deref(), Ok("2560"));
        assert!(comma("2.56").is_err());
    }

    #[test]
    fn quantities_are_whole() {
        let whole = |text| whole(text, Some(DecimalMark::Point));
        assert_eq!(whole("5.00"), Ok(5));
        assert_eq!(whole("1,200"), Ok(1200));
        assert!(whole("5.5").is_err());
        assert!(whole("9223372036854775808").is_err());
    }

    #[test]
    fn a_quantity_that_may_be_thousands_is_not_guessed() {
        for text in ["1.000", "1,000", "12.500", "-1,200", "100.000"] {
            let why = whole(text, None).unwrap_err();
            assert!(why.contains("decimal_mark"), "{text}: {why}");
        }
        assert_eq!(whole("1.000", Some(DecimalMark::Point)), Ok(1));
        assert_eq!(whole("1.000", Some(DecimalMark::Comma)), Ok(1_000));
        assert_eq!(whole("1,000", Some(DecimalMark::Comma)), Ok(1));
        for (text, units) in [
            ("1000", 1_000),
            ("1.0", 1),
            ("1.00", 1),
            ("1.0000", 1),
            ("0.000", 0),
            ("1000.000", 1_000),
            ("1,000,000", 1_000_000),
            ("1,000.00", 1_000),
            ("1 000", 1_000),
        ] {
            assert_eq!(whole(text, None), Ok(units), "{text}");
        }
        assert_eq!(whole("12.5", None), Err("not a whole number"));
    }

    #[test]
    fn an_amount_with_three_digits_behind_its_only_point_is_not_guessed() {
        let read = |text, mark: Option<DecimalMark>| {
            let amount = money(text, mark.unwrap_or_default())?.amount;
            clear(amount, mark).map(|()| amount.to_string())
        };
        for text in ["45.900", "\u{20ac} 45.900", "1.000 EUR", "-999.999"] {
            assert_eq!(read(text, None), Err(UNCLEAR), "{text}");
        }
        for (text, amount) in [
            ("45,900", "45900"),
            ("45.90", "45.90"),
            ("45,900.00", "45900.00"),
            ("1,045.900", "1045.900"),
            ("0.900", "0.900"),
        ] {
            assert_eq!(read(text, None).as_deref(), Ok(amount), "{text}");
        }
        let said = |mark| read("45.900", Some(mark));
        assert_eq!(said(DecimalMark::Point).as_deref(), Ok("45.900"));
        assert_eq!(said(DecimalMark::Comma).as_deref(), Ok("45900"));
    }

    #[test]
    fn money_keeps_the_currency_it_states() {
        let money =
            |text| money(text, DecimalMark::Point).map(|it| (it.amount.to_string(), it.currency));
        let usd = Some("USD".to_owned());
        assert_eq!(money("10499 USD"), Ok(("10499".into(), usd.clone())));
        assert_eq!(money("usd10,499.50"), Ok(("10499.50".into(), usd)));
        assert_eq!(money("239,950"), Ok(("239950".into(), None)));
        assert_eq!(money("$1,000"), Ok(("1000".into(), None)));
        assert_eq!(money("€ 5"), Ok(("5".into(), Some("EUR".into()))));
        assert!(money("POA").is_err());
        assert!(money("1 USD 2 USD").is_err());
    }

    #[test]
    fn distances_keep_the_unit_they_state() {
        let distance =
            |text| distance(text, DecimalMark::Point).map(|it| (it.amount.to_string(), it.unit));
        let (miles, km) = (Some(DistanceUnit::Miles), Some(DistanceUnit::Kilometres));
        assert_eq!(distance("2,560"), Ok(("2560".into(), None)));
        assert_eq!(distance("52777 miles"), Ok(("52777".into(), miles)));
        assert_eq!(distance("21034 km"), Ok(("21034".into(), km)));
        assert_eq!(distance("8mi."), Ok(("8".into(), miles)));
        assert!(distance("12 furlongs").is_err());
        assert!(distance("-1 km").is_err());
    }

    #[test]
    fn what_a_spreadsheet_puts_around_a_code_is_taken_off() {
        for (text, expected) in [
            ("=\"00123\"", "00123"),
            ("'00125", "00125"),
            (" =\"10\" ", "10"),
            ("=\"\"", ""),
            ("'68 Mustang", "'68 Mustang"),
            ("'quoted'", "'quoted'"),
            ("'", "'"),
            ("=1+1", "=1+1"),
            ("O'Neill", "O'Neill"),
        ] {
            assert_eq!(unguarded(text), expected, "{text}");
        }
    }

    #[test]
    fn names_that_look_alike_are_one() {
        for text in [
            "OIL\u{200b}-5",
            "\u{feff}OIL-5",
            "\u{202e}OIL-5\u{202c}",
            " OIL\u{ad}-5 ",
        ] {
            assert_eq!(key(text), "OIL-5", "{text:?}");
        }
        assert_eq!(key("S\u{30c}koda"), "\u{160}koda");
        assert_eq!(key("A\u{a0}B"), "A B");
        assert_eq!(key("A B"), "A B");
    }

    #[test]
    fn an_n_means_what_its_header_says() {
        assert_eq!(condition("N", "New/Used"), Ok(Condition::New));
        assert_eq!(condition("N", "Is New"), Ok(Condition::Used));
        assert_eq!(
            condition("CPO", "state_of_vehicle"),
            Ok(Condition::Certified)
        );
        assert!(condition("GOOD", "Condition").is_err());
    }

    #[test]
    fn lists_keep_commas_inside_addresses() {
        assert_eq!(
            list("https://a.example/w_1,h_2/x.jpg,https://a.example/2.jpg | http://b.example/3"),
            [
                "https://a.example/w_1,h_2/x.jpg",
                "https://a.example/2.jpg",
                "http://b.example/3"
            ]
        );
        assert_eq!(
            list("Naim audio; Tow bar, electric"),
            ["Naim audio", "Tow bar, electric"]
        );
        assert!(list(" ").is_empty());
    }

    proptest! {
        #[test]
        fn grouping_thousands_changes_nothing(number in -10_i64.pow(15)..10_i64.pow(15), cents in 0_u32..100) {
            let digits = number.unsigned_abs().to_string();
            let mut grouped = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index).is_multiple_of(3) {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            let sign = if number < 0 { "-" } else { "" };
            let plain = decimal(&format!("{sign}{digits}.{cents:02}"), DecimalMark::Point).unwrap();
            prop_assert_eq!(decimal(&format!("{sign}{grouped}.{cents:02}"), DecimalMark::Point), Ok(plain));
        }

        #[test]
        fn no_text_makes_them_panic(text in "\\PC{0,20}") {
            for mark in [DecimalMark::Point, DecimalMark::Comma] {
                drop((decimal(&text, mark), whole(&text, Some(mark)), money(&text, mark), distance(&text, mark)));
            }
            drop(list(&text));
            drop((unguarded(&text), key(&text)));
        }
    }
}
