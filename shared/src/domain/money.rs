//! Money: an exact decimal and its ISO 4217 currency, and the guard against a price that jumps.

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

pub use super::numeral::DecimalMark;
use super::numeral::plain_decimal;

/// Active ISO 4217 codes whose smaller unit is a hundredth.
const TWO_DIGITS: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV \
    BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN \
    ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR \
    KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN \
    NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP \
    SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES \
    WST XCD XCG YER ZAR ZMW ZWG";
const NO_DIGITS: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
const THREE_DIGITS: &str = "BHD IQD JOD KWD LYD OMR TND";
const FOUR_DIGITS: &str = "CLF UYW";
/// Where a bare `$` may stand for the currency assumed.
const DOLLARS: &str =
    "USD CAD AUD NZD SGD HKD MXN TWD BBD BMD BND BSD BZD FJD GYD JMD KYD LRD NAD SBD SRD TTD XCD";

/// A currency in use, by its ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// An exact amount of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Money {
    /// The amount in the currency's main unit; a string on the wire, so that nothing makes a
    /// float of it on the way.
    #[serde(with = "rust_decimal::serde::str")]
    pub amount: Decimal,
    /// What it is an amount of.
    pub currency: Currency,
}

/// How a source writes money, where the text itself does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoneyStyle {
    /// The currency of an amount that names none.
    pub currency: Currency,
    /// What parts the whole from the fraction.
    pub mark: DecimalMark,
}

/// Why a text is no money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Nothing there: no data, which is not zero.
    #[error("an amount of money is missing")]
    Empty,
    /// Not a number in this style.
    #[error("{text:?} is not an amount of money")]
    Amount {
        /// The amount as written.
        text: String,
    },
    /// Not an active ISO 4217 code, nor a sign that can be told.
    #[error("{text:?} is not a currency (ISO 4217)")]
    Currency {
        /// The currency as written.
        text: String,
    },
    /// No currency written, and none to assume.
    #[error("an amount of money needs its currency")]
    NoCurrency,
}

fn listed(list: &str, code: &str) -> bool {
    list.split_ascii_whitespace().any(|listed| listed == code)
}

impl Currency {
    /// US dollar.
    pub const USD: Self = Self(*b"USD");
    /// Euro.
    pub const EUR: Self = Self(*b"EUR");
    /// Pound sterling.
    pub const GBP: Self = Self(*b"GBP");

    /// The three-letter code.
    pub fn code(&self) -> &str {
        // Three upper-case ASCII letters, or `from_str` would have refused them.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// How many digits stand after the decimal mark: 2 for most, 0 for JPY, 3 for KWD.
    pub fn minor_digits(self) -> u32 {
        let code = self.code();
        [(NO_DIGITS, 0), (THREE_DIGITS, 3), (FOUR_DIGITS, 4)]
            .into_iter()
            .find_map(|(list, digits)| listed(list, code).then_some(digits))
            .unwrap_or(2)
    }

    /// The currency that a sign or code stands for, where `assumed` is at home.
    fn from_sign(text: &str, assumed: Option<Self>) -> Result<Self, MoneyError> {
        let unknown = || MoneyError::Currency {
            text: shortened(text),
        };
        match text {
            "€" => Ok(Self::EUR),
            "£" => Ok(Self::GBP),
            "US$" => Ok(Self::USD),
            "$" => assumed
                .filter(|assumed| listed(DOLLARS, assumed.code()))
                .ok_or_else(unknown),
            "¥" => assumed
                .filter(|assumed| matches!(assumed.code(), "JPY" | "CNY"))
                .ok_or_else(unknown),
            _ => text.parse(),
        }
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let code = text.trim().to_ascii_uppercase();
        let lists = [TWO_DIGITS, NO_DIGITS, THREE_DIGITS, FOUR_DIGITS];
        <[u8; 3]>::try_from(code.as_bytes())
            .ok()
            .filter(|_| lists.iter().any(|list| listed(list, &code)))
            .map(Self)
            .ok_or_else(|| MoneyError::Currency {
                text: shortened(text.trim()),
            })
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, MoneyError> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Money {
    /// An amount of a currency.
    pub fn new(amount: Decimal, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Reads `10499 USD`, `$10,499.00`, `239.950,00 €` or a bare `239,950`, as `style` says.
    ///
    /// Groups have to be written well: with a decimal point, `239,95` is refused, not guessed at.
    pub fn parse(text: &str, style: MoneyStyle) -> Result<Self, MoneyError> {
        Self::read(text, Some(style.currency), style.mark)
    }

    fn read(text: &str, assumed: Option<Currency>, mark: DecimalMark) -> Result<Self, MoneyError> {
        let text = text.trim();
        let is_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '\u{2212}');
        let start = text.find(is_number).ok_or(MoneyError::Empty)?;
        let end = text
            .rfind(|c: char| c.is_ascii_digit())
            .map_or(text.len(), |last| last + 1)
            .max(start);
        let (before, number, after) = (&text[..start], &text[start..end], &text[end..]);
        let named = match (before.trim(), after.trim()) {
            ("", "") => None,
            (sign, "") | ("", sign) => Some(Currency::from_sign(sign, assumed)?),
            (before, after) => {
                let (one, other) = (
                    Currency::from_sign(before, assumed)?,
                    Currency::from_sign(after, assumed)?,
                );
                if one != other {
                    return Err(MoneyError::Currency {
                        text: shortened(text),
                    });
                }
                Some(one)
            }
        };
        // `Decimal` rounds away what it cannot hold; an amount that does not fit is refused.
        let amount = plain_decimal(number, mark)
            .and_then(|plain| Decimal::from_str_exact(&plain).ok())
            .ok_or_else(|| MoneyError::Amount {
                text: shortened(number),
            })?;
        let currency = named.or(assumed).ok_or(MoneyError::NoCurrency)?;
        Ok(Self { amount, currency })
    }

    /// The amount rounded, half away from zero, to what the currency can pay.
    pub fn rounded(self) -> Self {
        let digits = self.currency.minor_digits();
        let amount = self
            .amount
            .round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero);
        Self { amount, ..self }
    }

    /// The amount in the smallest unit (cents), if it is a whole number of them.
    pub fn minor_units(self) -> Option<i64> {
        let factor = Decimal::from(10_i64.pow(self.currency.minor_digits()));
        let minor = self.amount.checked_mul(factor)?;
        (minor.is_integer()).then(|| i64::try_from(minor).ok())?
    }
}

/// An error names what it met, but not a page of it.
fn shortened(text: &str) -> String {
    text.chars().take(24).collect()
}

/// Reads what [`Display`](fmt::Display) writes: `10499.00 USD`, a decimal point and a code.
impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        Self::read(text, None, DecimalMark::Point)
    }
}

/// At least the digits the currency has: `10499.00 USD`, `239950 JPY`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut amount = self.amount.normalize();
        let digits = self.currency.minor_digits();
        if amount.scale() < digits {
            amount.rescale(digits);
        }
        write!(f, "{amount} {}", self.currency)
    }
}

/// Why a new price is held for a person to look at before anybody is shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceAlarm {
    /// Nothing costs nothing.
    Zero,
    /// Nothing costs less than nothing.
    Negative,
    /// Exactly a hundred times the old price, or a hundredth: cents taken for the main unit.
    Hundredfold,
    /// More than ten times the old price, or less than a tenth.
    Tenfold,
    /// Another currency than before, so the two cannot be compared.
    OtherCurrency,
}

impl fmt::Display for PriceAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "the price is zero",
            Self::Negative => "the price is below zero",
            Self::Hundredfold => "the price changed exactly a hundredfold, as if cents were meant",
            Self::Tenfold => "the price changed more than tenfold",
            Self::OtherCurrency => "the price changed its currency",
        })
    }
}

/// Looks at a new price beside the one before it.
///
/// ```
/// use shared::domain::money::{Money, PriceAlarm, jump};
///
/// let (before, now): (Money, Money) = ("13998 USD".parse()?, "1399800 USD".parse()?);
/// assert_eq!(jump(Some(before), now), Some(PriceAlarm::Hundredfold));
/// # Ok::<(), shared::domain::money::MoneyError>(())
/// ```
pub fn jump(previous: Option<Money>, new: Money) -> Option<PriceAlarm> {
    if new.amount.is_zero() {
        return Some(PriceAlarm::Zero);
    }
    if new.amount.is_sign_negative() {
        return Some(PriceAlarm::Negative);
    }
    // A price that was itself held says nothing about the next one.
    let previous = previous.filter(|previous| previous.amount > Decimal::ZERO)?;
    if previous.currency != new.currency {
        return Some(PriceAlarm::OtherCurrency);
    }
    let (low, high) = if previous.amount < new.amount {
        (previous.amount, new.amount)
    } else {
        (new.amount, previous.amount)
    };
    // Where the product does not fit a Decimal it is above anything that does.
    if low.checked_mul(Decimal::ONE_HUNDRED) == Some(high) {
        return Some(PriceAlarm::Hundredfold);
    }
    low.checked_mul(Decimal::TEN)
        .is_some_and(|ten_times| high > ten_times)
        .then_some(PriceAlarm::Tenfold)
}

#[cfg(test)]
mod tests;
