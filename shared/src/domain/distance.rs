//! Distances as odometers show them: a whole number and its unit.

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use super::numeral::ungrouped;

/// Miles or kilometres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DistanceUnit {
    /// International miles of 1.609344 km.
    #[serde(rename = "mi")]
    Miles,
    /// Kilometres.
    #[serde(rename = "km")]
    Kilometres,
}

/// A whole distance and the unit it was read in, never converted unless asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Distance {
    /// How many of the unit.
    pub whole: u32,
    /// Of what.
    pub unit: DistanceUnit,
}

/// Why a text is no distance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DistanceError {
    /// Nothing there: no data, which is not zero.
    #[error("a distance is missing")]
    Empty,
    /// Not a whole number.
    #[error("{text:?} is not a whole distance")]
    Number {
        /// The number as written.
        text: String,
    },
    /// Neither miles nor kilometres.
    #[error("{unit:?} is not a unit of distance (mi or km)")]
    Unit {
        /// The unit as written.
        unit: String,
    },
    /// No unit written, and none to assume.
    #[error("a distance needs its unit (mi or km)")]
    NoUnit,
}

impl DistanceUnit {
    /// `mi` or `km`.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Miles => "mi",
            Self::Kilometres => "km",
        }
    }

    /// Exactly, by definition of the international mile.
    fn in_kilometres(self) -> Decimal {
        match self {
            Self::Miles => Decimal::new(1_609_344, 6),
            Self::Kilometres => Decimal::ONE,
        }
    }
}

impl FromStr for DistanceUnit {
    type Err = DistanceError;

    fn from_str(text: &str) -> Result<Self, DistanceError> {
        match text.trim().trim_end_matches('.').to_lowercase().as_str() {
            "mi" | "mile" | "miles" | "mls" | "smi" => Ok(Self::Miles),
            "km" | "kms" | "kmt" | "kilometre" | "kilometres" | "kilometer" | "kilometers" => {
                Ok(Self::Kilometres)
            }
            _ => Err(DistanceError::Unit {
                unit: shortened(text.trim()),
            }),
        }
    }
}

impl Distance {
    /// A distance in miles.
    pub fn miles(whole: u32) -> Self {
        Self {
            whole,
            unit: DistanceUnit::Miles,
        }
    }

    /// A distance in kilometres.
    pub fn kilometres(whole: u32) -> Self {
        Self {
            whole,
            unit: DistanceUnit::Kilometres,
        }
    }

    /// Reads `12,345 mi`, `12 345 km` or `12.345`, in `default` where no unit is written.
    ///
    /// Odometers count in whole units, so a mark before three digits parts groups whichever it is,
    /// and a fraction is accepted only if it is nought.
    pub fn parse(text: &str, default: Option<DistanceUnit>) -> Result<Self, DistanceError> {
        let text = text.trim();
        let (number, unit) = match text.find(|c: char| c.is_alphabetic()) {
            Some(start) => (text[..start].trim_end(), Some(text[start..].parse()?)),
            None => (text, None),
        };
        if number.is_empty() {
            return Err(DistanceError::Empty);
        }
        let whole = whole_number(number).ok_or_else(|| DistanceError::Number {
            text: shortened(number),
        })?;
        let unit = unit.or(default).ok_or(DistanceError::NoUnit)?;
        Ok(Self { whole, unit })
    }

    /// The distance in another unit: exact into kilometres, to 28 digits into miles.
    pub fn exactly_in(self, unit: DistanceUnit) -> Decimal {
        if self.unit == unit {
            return Decimal::from(self.whole);
        }
        Decimal::from(self.whole) * self.unit.in_kilometres() / unit.in_kilometres()
    }

    /// The distance in another unit, rounded half up, for people to read.
    pub fn rounded_in(self, unit: DistanceUnit) -> u64 {
        let rounded = self
            .exactly_in(unit)
            .round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
        u64::try_from(rounded).unwrap_or(u64::MAX)
    }
}

fn whole_number(text: &str) -> Option<u32> {
    let digits = match text.rsplit_once(['.', ',']) {
        // `12345.0` and `12,345.00`: a fraction of nought, unless it is a group of three.
        Some((whole, fraction))
            if fraction.len() != 3
                && !fraction.is_empty()
                && fraction.bytes().all(|b| b == b'0') =>
        {
            whole
        }
        _ => text,
    };
    ungrouped(digits, |c| matches!(c, '.' | ','))?.parse().ok()
}

/// An error names what it met, but not a page of it.
fn shortened(text: &str) -> String {
    text.chars().take(24).collect()
}

impl FromStr for Distance {
    type Err = DistanceError;

    fn from_str(text: &str) -> Result<Self, DistanceError> {
        Self::parse(text, None)
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.whole, self.unit.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DistanceUnit::{Kilometres, Miles};
    use proptest::prelude::*;

    #[test]
    fn readings_as_feeds_write_them() {
        let read = |text| Distance::parse(text, Some(Miles));
        for (text, expected) in [
            ("12345", Distance::miles(12_345)),
            (" 12,345 ", Distance::miles(12_345)),
            ("12.345 km", Distance::kilometres(12_345)),
            ("12 345 Kilometres", Distance::kilometres(12_345)),
            ("12345.0 mi.", Distance::miles(12_345)),
            ("1,234,567.00", Distance::miles(1_234_567)),
            ("0 km", Distance::kilometres(0)),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_whole_distance_is_refused() {
        let refused = |text| Distance::parse(text, Some(Miles)).unwrap_err().to_string();
        assert_eq!(refused("  "), "a distance is missing");
        assert_eq!(refused("km"), "a distance is missing");
        assert_eq!(refused("-5"), "\"-5\" is not a whole distance");
        assert_eq!(refused("12.5 mi"), "\"12.5\" is not a whole distance");
        assert_eq!(refused("1,23 km"), "\"1,23\" is not a whole distance");
        assert_eq!(
            refused("99999999999"),
            "\"99999999999\" is not a whole distance"
        );
        assert_eq!(
            refused("12 furlongs"),
            "\"furlongs\" is not a unit of distance (mi or km)"
        );
        assert_eq!("12".parse::<Distance>(), Err(DistanceError::NoUnit));
    }

    #[test]
    fn conversion_is_exact_into_kilometres() {
        assert_eq!(
            Distance::miles(1_000_000)
                .exactly_in(Kilometres)
                .to_string(),
            "1609344.000000"
        );
        assert_eq!(Distance::miles(12_345).rounded_in(Kilometres), 19_867);
        assert_eq!(Distance::kilometres(19_867).rounded_in(Miles), 12_345);
    }

    proptest! {
        #[test]
        fn printed_and_read_again(whole: u32, miles: bool) {
            let unit = if miles { Miles } else { Kilometres };
            let distance = Distance { whole, unit };
            prop_assert_eq!(distance.to_string().parse(), Ok(distance));
            let json = serde_json::to_string(&distance).unwrap();
            prop_assert_eq!(serde_json::from_str::<Distance>(&json).unwrap(), distance);
        }

        /// A mile is longer than a kilometre, so rounding there and back loses nothing.
        #[test]
        fn miles_survive_the_way_through_kilometres(whole in 0u32..2_000_000_000) {
            let kilometres = Distance::miles(whole).rounded_in(Kilometres);
            let back = Distance::kilometres(u32::try_from(kilometres).unwrap()).rounded_in(Miles);
            prop_assert_eq!(back, u64::from(whole));
        }

        #[test]
        fn what_is_read_from_any_text_prints_as_what_was_read(
            text in "[0-9]{1,4}[-0-9.,' ]{0,12}( ?(mi|km|Miles|.{1,4}))?"
        ) {
            if let Ok(distance) = Distance::parse(&text, Some(Miles)) {
                prop_assert_eq!(distance.to_string().parse(), Ok(distance));
            }
        }
    }
}
