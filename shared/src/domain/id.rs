//! Identifiers that are parsed once and then trusted.
//!
//! Each is text that came from outside: a SKU in a feed, a location in the configuration. Parsing
//! gives it one spelling ([`super::spelling`]), trims it, bounds its length and refuses control
//! characters, so that no later layer has to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::spelling::one_spelling;

/// Why a piece of text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing is left after trimming.
    #[error("{what} is empty")]
    Empty {
        /// Which identifier was being read.
        what: &'static str,
    },
    /// Longer than the identifier may be.
    #[error("{what} has {found} characters; at most {most} are allowed")]
    TooLong {
        /// Which identifier was being read.
        what: &'static str,
        /// Characters found.
        found: usize,
        /// Characters allowed.
        most: usize,
    },
    /// A character that may not stand in it.
    #[error("{what}: character {position} ({character:?}) is not allowed; {allowed}")]
    Character {
        /// Which identifier was being read.
        what: &'static str,
        /// One-based position of the offending character.
        position: usize,
        /// The character itself.
        character: char,
        /// What would have been accepted.
        allowed: &'static str,
    },
    /// A beginning that means something else.
    #[error("{what} begins with {prefix:?}, which names {reserved_for}")]
    Reserved {
        /// Which identifier was being read.
        what: &'static str,
        /// The beginning.
        prefix: &'static str,
        /// What begins so.
        reserved_for: &'static str,
    },
}

pub(crate) fn checked(
    what: &'static str,
    text: &str,
    most: usize,
    accept: fn(char) -> bool,
    allowed: &'static str,
) -> Result<Box<str>, IdError> {
    let text = one_spelling(text);
    let text = text.trim();
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    let found = text.chars().count();
    if found > most {
        return Err(IdError::TooLong { what, found, most });
    }
    match text.chars().enumerate().find(|(_, c)| !accept(*c)) {
        Some((index, character)) => Err(IdError::Character {
            what,
            position: index + 1,
            character,
            allowed,
        }),
        None => Ok(text.into()),
    }
}

/// Declares a text newtype whose only door is `FromStr`; serde goes through it too.
macro_rules! text_id {
    (
        $(#[$doc:meta])* $name:ident, $what:literal, $most:literal, $accept:expr, $allowed:literal
        $(, never $prefix:path, $reserved_for:literal)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let id = checked($what, text, $most, $accept, $allowed)?;
                $(if id.starts_with($prefix) {
                    return Err(IdError::Reserved {
                        what: $what,
                        prefix: $prefix,
                        reserved_for: $reserved_for,
                    });
                })?
                Ok(Self(id))
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}
pub(crate) fn slug(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// What may stand in a header and in a log line without being quoted.
fn plain(c: char) -> bool {
    slug(c) || matches!(c, ':' | '/' | '+' | '=')
}

pub(crate) fn printable(c: char) -> bool {
    !c.is_control()
}

text_id!(
    /// A stock keeping unit, as the merchant writes it. Case matters.
    Sku, "SKU", 128, printable, "no control characters",
    never super::product::LINE, "a model line, whose stock is counted from its vehicles"
);
text_id!(
    /// A warehouse or a rooftop: the short name it has in the configuration.
    LocationId, "location", 64, slug, "use letters, digits, '-', '_' and '.'"
);
text_id!(
    /// A group of locations whose stock may be looked at as one.
    GroupName, "location group", 64, slug, "use letters, digits, '-', '_' and '.'"
);
text_id!(
    /// A configured connector: an external system, and the last part of its webhook address.
    ConnectorName, "connector", 48, slug, "use letters, digits, '-', '_' and '.'"
);
text_id!(
    /// A configured channel: one destination where people are told.
    ChannelName, "channel", 48, slug, "use letters, digits, '-', '_' and '.'"
);
text_id!(
    /// A threshold rule's name, unique in the configuration.
    RuleId, "rule", 200, printable, "no control characters"
);

text_id!(
    /// Names what a change goes back to, in every log line, row and request that follows from it.
    Correlation, "correlation id", 128, plain, "use letters, digits and -_.:/+="
);

text_id!(
    /// Names one event within its source, the same however often and by whichever path it arrives.
    EventId, "event id", 256, printable, "no control characters"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_trimmed_and_bounded() {
        assert_eq!("  AB-1 ".parse::<Sku>().unwrap().as_str(), "AB-1");
        assert_eq!(" ".parse::<Sku>(), Err(IdError::Empty { what: "SKU" }));
        assert_eq!(
            "a b".parse::<LocationId>().unwrap_err().to_string(),
            "location: character 2 (' ') is not allowed; use letters, digits, '-', '_' and '.'"
        );
        assert!("x".repeat(129).parse::<Sku>().is_err());
    }

    /// Spreadsheets, web pages and keyboards leave marks that nobody sees.
    #[test]
    fn two_skus_that_look_alike_are_one() {
        let sku = |text: &str| text.parse::<Sku>().unwrap();
        for alike in [
            "CAFE\u{301}-1",
            "CAF\u{c9}-1",
            "\u{feff}CAF\u{c9}-1",
            "CAF\u{c9}\u{200b}-1",
            "\u{202d}CAF\u{c9}-1\u{202c}",
            "\u{200e} CAF\u{c9}-1 \u{200f}",
            "CAF\u{c9}\u{ad}-1",
        ] {
            assert_eq!(sku(alike), sku("CAF\u{c9}-1"), "{}", alike.escape_unicode());
            let product: super::super::ProductId = alike.parse().unwrap();
            assert_eq!(product.as_str(), "CAF\u{c9}-1");
        }
        assert_eq!(
            "\u{200b}\u{feff}".parse::<Sku>(),
            Err(IdError::Empty { what: "SKU" })
        );
        let hidden = "\u{200b}line:bentley/bentayga";
        assert!(hidden.parse::<Sku>().is_err(), "no way around the prefix");
    }

    #[test]
    fn no_sku_is_named_as_model_lines_are() {
        for text in ["line:bentley/bentayga", "line:", " line:A/B"] {
            assert!(text.parse::<Sku>().is_err(), "{text}");
        }
        assert!("LINE:1".parse::<Sku>().is_ok());
        assert_eq!(
            "line:x".parse::<Sku>().unwrap_err().to_string(),
            "SKU begins with \"line:\", which names a model line, whose stock is counted from its \
             vehicles"
        );
    }

    #[test]
    fn serde_uses_the_same_door() {
        assert!(serde_json::from_str::<LocationId>("\"mil#1\"").is_err());
        let id: LocationId = serde_json::from_str("\"milano\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"milano\"");
    }
}
