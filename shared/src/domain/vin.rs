//! Vehicle identification numbers: one spelling for each, wherever it was typed.
//!
//! A [`Vin`] is normalised once, at the door; letters that no VIN has are named and a correction
//! is *suggested*, never made. The check digit is law in North America and free elsewhere, so it
//! is advice here and [`VinPolicy`] says what to do with it. No maker table is carried: take the
//! make from the feed ([`Vin::wmi`] is there for those who have one).
//!
//! Before model year 1981 makers numbered their vehicles as they liked. A dealer of such cars declares
//! so ([`VinRules::classic`]); for everybody else a number of another length is a typing error.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const LENGTH: usize = 17;
/// How long a maker's number from before 1981 may be.
const CLASSIC: std::ops::Range<usize> = 4..LENGTH;
const CHECK_POSITION: usize = 9;
const WEIGHTS: [u32; LENGTH] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
/// Position 10, in the order of the years of one thirty-year cycle.
const YEAR_CODES: &str = "ABCDEFGHJKLMNPRSTVWXY123456789";

/// A 17-character vehicle identification number (ISO 3779): upper case, without I, O or Q; or, where
/// that is declared, a maker's number from before 1981.
///
/// Its text is read by [`VinRules::read`] where it comes from outside, and by [`Vin::known`] where it
/// was taken before. `FromStr` reads the seventeen characters only.
///
/// ```
/// use shared::domain::vin::Vin;
///
/// let vin: Vin = " scbcp7za4kc-073115 ".parse()?;
/// assert_eq!(vin.as_str(), "SCBCP7ZA4KC073115");
/// assert_eq!(vin.wmi().as_deref(), Some("SCB"));
/// # Ok::<(), shared::domain::vin::VinError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Vin(Box<str>);

/// Why a text is no VIN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VinError {
    /// Too short or too long, once blanks and dashes are gone.
    #[error("a VIN has 17 characters, this has {found}{}", before_1981(*.found))]
    Length {
        /// Characters counted.
        found: usize,
    },
    /// A character that no VIN contains.
    #[error("a VIN has no {found:?}, as at position {position}{}", did_you_mean(.suggestion.as_ref()))]
    Character {
        /// Counted from 1, blanks and dashes left out.
        position: usize,
        /// The offending character, upper case.
        found: char,
        /// The VIN it would be if I, O and Q stood for 1, 0 and 0: to be confirmed by a person.
        suggestion: Option<Vin>,
    },
    /// One character seventeen times: a placeholder, though its check digit may be right.
    #[error("a VIN does not repeat {found:?} seventeen times")]
    Repeated {
        /// The repeated character.
        found: char,
    },
    /// Neither a VIN nor a maker's number from before 1981.
    #[error("a vehicle's number has 4 to 17 letters and digits, this is {found:?}")]
    Unusable {
        /// What was written, shortened.
        found: String,
    },
    /// A check digit that does not fit, where the policy wants one that does.
    #[error("the check digit is {found} where {computed} fits")]
    CheckDigit {
        /// What stands in position 9.
        found: char,
        /// What the arithmetic gives.
        computed: char,
    },
}

fn before_1981(found: usize) -> &'static str {
    if CLASSIC.contains(&found) {
        " (for shorter numbers, from before model year 1981, set `guards.classic_vins`)"
    } else {
        ""
    }
}

fn did_you_mean(suggestion: Option<&Vin>) -> String {
    suggestion.map_or_else(String::new, |vin| format!("; did you mean {vin}?"))
}

/// What the check digit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckDigit {
    /// Position 9 is what the other sixteen characters call for.
    Matches,
    /// It is not: a typing error, or a VIN from outside North America.
    Differs {
        /// What stands in position 9.
        found: char,
        /// What the arithmetic gives.
        computed: char,
    },
    /// A number from before 1981 has none.
    Absent,
}

/// How seriously a market takes the check digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VinPolicy {
    /// North America: a wrong check digit refuses the VIN.
    Strict,
    /// Elsewhere: accepted, and flagged for a person to look at.
    #[default]
    Warn,
    /// The check digit is not looked at.
    Off,
}

/// What becomes of a VIN under a [`VinPolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VinVerdict {
    /// Nothing to say against it.
    Accepted,
    /// Accepted, with a check digit that does not fit.
    Flagged {
        /// What stands in position 9.
        found: char,
        /// What the arithmetic gives.
        computed: char,
    },
    /// Not accepted: the policy wants a check digit that fits.
    Refused {
        /// What stands in position 9.
        found: char,
        /// What the arithmetic gives.
        computed: char,
    },
}

impl VinPolicy {
    /// Applies the policy to one VIN.
    pub fn judge(self, vin: &Vin) -> VinVerdict {
        match (self, vin.check_digit()) {
            (Self::Off, _) | (_, CheckDigit::Matches | CheckDigit::Absent) => VinVerdict::Accepted,
            (Self::Warn, CheckDigit::Differs { found, computed }) => {
                VinVerdict::Flagged { found, computed }
            }
            (Self::Strict, CheckDigit::Differs { found, computed }) => {
                VinVerdict::Refused { found, computed }
            }
        }
    }
}

/// Which numbers of vehicles are taken from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VinRules {
    /// What becomes of a check digit that does not fit.
    pub check_digit: VinPolicy,
    /// Whether vehicles may have numbers of other lengths, as they had before model year 1981.
    pub classic: bool,
}

impl VinRules {
    /// Reads a number that somebody else wrote.
    pub fn read(self, text: &str) -> Result<Vin, VinError> {
        let vin = match text.parse::<Vin>() {
            Err(error) if self.classic => Vin::classic(text).ok_or(error)?,
            read => read?,
        };
        match self.check_digit.judge(&vin) {
            VinVerdict::Refused { found, computed } => {
                Err(VinError::CheckDigit { found, computed })
            }
            VinVerdict::Accepted | VinVerdict::Flagged { .. } => Ok(vin),
        }
    }
}

impl Vin {
    /// A number that was taken before, or that is only compared with those that were: of any length.
    pub fn known(text: &str) -> Result<Self, VinError> {
        match text.parse() {
            Ok(vin) => Ok(vin),
            Err(VinError::Length { .. }) => Self::classic(text).ok_or_else(|| VinError::Unusable {
                found: text.chars().take(24).collect(),
            }),
            Err(error) => Err(error),
        }
    }

    /// A maker's number from before 1981: letters and digits, of which there are fewer than seventeen.
    fn classic(text: &str) -> Option<Self> {
        let is_mark = |c: char| is_filler(c) || matches!(c, '/' | '.' | '*');
        let number: String = text
            .chars()
            .filter(|c| !is_mark(*c))
            .map(|c| c.to_ascii_uppercase())
            .take(LENGTH)
            .collect();
        let usable = CLASSIC.contains(&number.chars().count())
            && number.chars().all(|c| c.is_ascii_alphanumeric())
            && number.contains(|c: char| c.is_ascii_digit())
            && !is_repeated(&number);
        usable.then(|| Self(number.into()))
    }

    /// The characters: seventeen, or fewer for a vehicle from before 1981.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a VIN as they have been since model year 1981.
    fn is_standard(&self) -> bool {
        self.0.len() == LENGTH
    }

    /// Compares position 9 with the check digit of the other sixteen characters.
    pub fn check_digit(&self) -> CheckDigit {
        if !self.is_standard() {
            return CheckDigit::Absent;
        }
        let sum: u32 = self
            .0
            .chars()
            .zip(WEIGHTS)
            .map(|(c, weight)| value_of(c) * weight)
            .sum();
        let computed = match sum % 11 {
            10 => 'X',
            rest => char::from_digit(rest, 10).unwrap_or('X'),
        };
        let found = self.at(CHECK_POSITION);
        if found == computed {
            CheckDigit::Matches
        } else {
            CheckDigit::Differs { found, computed }
        }
    }

    /// The world manufacturer identifier: the first three characters, or the six-character key of
    /// a low-volume maker (third character `9`), whose other half stands in positions 12 to 14.
    pub fn wmi(&self) -> Option<Cow<'_, str>> {
        if !self.is_standard() {
            return None;
        }
        Some(if self.at(3) == '9' {
            Cow::Owned(format!("{}{}", &self.0[..3], &self.0[11..14]))
        } else {
            Cow::Borrowed(&self.0[..3])
        })
    }

    /// The model year that position 10 stands for, if it is a year code.
    ///
    /// Reliable for cars built for North America only. Prefer the feed's own year, and use this to
    /// warn when the two differ.
    pub fn model_year_hint(&self) -> Option<i16> {
        if !self.is_standard() {
            return None;
        }
        let in_cycle = YEAR_CODES.find(self.at(10))?;
        let cycle = if self.at(7).is_ascii_digit() {
            1980
        } else {
            2010
        };
        Some(cycle + i16::try_from(in_cycle).ok()?)
    }

    /// The character at a position counted from 1; every character is one byte.
    fn at(&self, position: usize) -> char {
        char::from(self.0.as_bytes()[position - 1])
    }
}

/// The check-digit value of a character that a VIN may hold.
fn value_of(c: char) -> u32 {
    match c {
        '0'..='9' => u32::from(c) - u32::from('0'),
        'A'..='H' => u32::from(c) - u32::from('A') + 1,
        'J'..='R' => u32::from(c) - u32::from('J') + 1,
        _ => u32::from(c) - u32::from('S') + 2,
    }
}

fn is_foreign(c: char) -> bool {
    !matches!(c, '0'..='9' | 'A'..='Z') || matches!(c, 'I' | 'O' | 'Q')
}

fn is_filler(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

fn suggestion(typed: &str) -> Option<Vin> {
    let swapped = typed.replace('I', "1").replace(['O', 'Q'], "0");
    let readable = !swapped.contains(is_foreign) && !is_repeated(&swapped);
    readable.then(|| Vin(swapped.into()))
}

fn is_repeated(text: &str) -> bool {
    text.chars().all(|c| text.starts_with(c))
}

impl FromStr for Vin {
    type Err = VinError;

    fn from_str(text: &str) -> Result<Self, VinError> {
        let mut characters = text.chars().filter(|c| !is_filler(*c));
        let vin: String = characters
            .by_ref()
            .take(LENGTH)
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let found = vin.chars().count() + characters.count();
        if found != LENGTH {
            return Err(VinError::Length { found });
        }
        if let Some((index, foreign)) = vin.chars().enumerate().find(|(_, c)| is_foreign(*c)) {
            return Err(VinError::Character {
                position: index + 1,
                found: foreign,
                suggestion: suggestion(&vin),
            });
        }
        let vin = Self(vin.into());
        if is_repeated(&vin.0) {
            return Err(VinError::Repeated { found: vin.at(1) });
        }
        Ok(vin)
    }
}

impl TryFrom<String> for Vin {
    type Error = VinError;

    fn try_from(text: String) -> Result<Self, VinError> {
        Self::known(&text)
    }
}

impl From<Vin> for String {
    fn from(vin: Vin) -> Self {
        vin.0.into()
    }
}

impl AsRef<str> for Vin {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests;
