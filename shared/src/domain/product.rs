//! What a threshold counts: a SKU, or a vehicle model line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::{IdError, Sku, checked, printable};
use super::spelling::without_accents;

/// A product: `OIL-5W40` (a SKU) or `line:bentley/continental-gt` (all units of a make and model).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProductId(Box<str>);

/// How model lines are named; no SKU is.
pub(super) const LINE: &str = "line:";

impl ProductId {
    /// The model line that a unit of this make and model counts towards.
    ///
    /// ```
    /// use shared::domain::ProductId;
    /// let line = ProductId::model_line("BENTLEY", " Continental  GT ")?;
    /// assert_eq!(line.as_str(), "line:bentley/continental-gt");
    /// # Ok::<(), shared::domain::IdError>(())
    /// ```
    pub fn model_line(make: &str, model: &str) -> Result<Self, IdError> {
        let make = checked(
            "make",
            &folded(make),
            60,
            printable,
            "no control characters",
        )?;
        let model = checked(
            "model",
            &folded(model),
            60,
            printable,
            "no control characters",
        )?;
        Ok(Self(format!("{LINE}{make}/{model}").into()))
    }

    /// The product as text, in the form that keys, addresses and messages use.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Make and model in their folded form, when this is a model line.
    pub fn line(&self) -> Option<(&str, &str)> {
        self.0.strip_prefix(LINE)?.split_once('/')
    }

    /// As people call it, as far as its name tells: `line:bentley/continental-gt` is Bentley Continental GT.
    pub fn in_words(&self) -> String {
        match self.line() {
            Some((make, model)) => format!("{} {}", capitalised(make), capitalised(model)),
            None => self.to_string(),
        }
    }
}

/// `continental-gt` → `Continental GT`: short words are abbreviations more often than not.
fn capitalised(folded: &str) -> String {
    let word = |word: &str| match word.chars().next() {
        _ if word.len() <= 2 => word.to_uppercase(),
        Some(first) => first.to_uppercase().chain(word.chars().skip(1)).collect(),
        None => String::new(),
    };
    folded.split('-').map(word).collect::<Vec<_>>().join(" ")
}

/// Lower case, without accents, and every run of blanks or dashes made one dash, so that two systems'
/// spellings meet.
fn folded(text: &str) -> String {
    without_accents(text)
        .replace('/', "-")
        .split(|c: char| c.is_whitespace() || c == '-')
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

impl From<Sku> for ProductId {
    fn from(sku: Sku) -> Self {
        // No SKU is named as model lines are, so this reads back as what it is.
        Self(sku.as_str().into())
    }
}

impl FromStr for ProductId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let text = checked("product", text, 128, printable, "no control characters")?;
        match text.strip_prefix(LINE).map(|line| line.split_once('/')) {
            Some(Some((make, model))) => Self::model_line(make, model),
            Some(None) => Err(IdError::Character {
                what: "product",
                position: text.chars().count(),
                character: text.chars().last().unwrap_or(':'),
                allowed: "a model line is written line:make/model",
            }),
            None => Ok(Self(text)),
        }
    }
}

impl TryFrom<String> for ProductId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ProductId> for String {
    fn from(product: ProductId) -> Self {
        product.0.into()
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_a_model_are_one_line() {
        let a = ProductId::model_line("Bentley", "CONTINENTAL GT").unwrap();
        let b = ProductId::model_line("BENTLEY ", "continental-gt").unwrap();
        assert_eq!(a, b);
        assert_eq!(a.line(), Some(("bentley", "continental-gt")));
        assert_eq!(
            "line:Bentley/Continental GT".parse::<ProductId>().unwrap(),
            a
        );
    }

    /// Half of the systems that a dealer has write no accents.
    #[test]
    fn a_make_with_and_without_accents_is_one_line() {
        let line = |make, model| ProductId::model_line(make, model).unwrap();
        assert_eq!(line("Citroën", "C3"), line("CITROEN", "c3"));
        assert_eq!(line("Škoda", "Octavia"), line("Skoda", "OCTAVIA"));
        assert_eq!(line("Renault", "Mégane"), line("RENAULT", "Megane"));
        assert_eq!(
            line("Bentley\u{200b}", "Conti\u{ad}nental\u{a0}GT"),
            line("Bentley", "Continental GT")
        );
        assert_eq!(
            "line:CITROËN/C3".parse::<ProductId>().unwrap(),
            line("citroen", "c3"),
            "as a rule names it"
        );
    }

    #[test]
    fn half_a_model_line_is_refused() {
        assert!("line:bentley".parse::<ProductId>().is_err());
        assert!(ProductId::model_line("Bentley", "").is_err());
    }
}
