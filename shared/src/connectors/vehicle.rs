//! What vendors say of a vehicle, in the names that units use.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;

use super::json::{Object, Read, Wrong, decimal, name, text, whole};
use super::names::Names;
use super::push::{Flaws, Problem, Reason};
use crate::domain::distance::{Distance, DistanceUnit};
use crate::domain::money::{Currency, DecimalMark, Money, MoneyStyle};
use crate::domain::unit::{Field, UnitState};
use crate::domain::{LocationId, Vin};

/// How a describing field of a unit is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Text,
    Number,
    Money,
    Distance,
    List,
}

/// The describing fields of a unit.
pub(super) const FIELDS: &[(&str, Sort)] = &[
    ("make", Sort::Text),
    ("model", Sort::Text),
    ("trim", Sort::Text),
    ("year", Sort::Number),
    ("body", Sort::Text),
    ("doors", Sort::Number),
    ("seats", Sort::Number),
    ("exterior_colour", Sort::Text),
    ("interior_colour", Sort::Text),
    ("condition", Sort::Text),
    ("mileage", Sort::Distance),
    ("price", Sort::Money),
    ("msrp", Sort::Money),
    ("engine", Sort::Text),
    ("transmission", Sort::Text),
    ("drivetrain", Sort::Text),
    ("fuel", Sort::Text),
    ("options", Sort::List),
    ("image_urls", Sort::List),
    ("link", Sort::Text),
    ("description", Sort::Text),
];

/// Entries that a list may have.
const LIST_MOST: usize = 200;

/// What a source leaves unsaid: the currency of its prices and the unit of its odometers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Implied {
    pub(super) currency: Option<Currency>,
    pub(super) distance: Option<DistanceUnit>,
}

/// The describing fields that an object in our own names states.
pub(super) fn fields(
    row: &Object<'_>,
    implied: Implied,
    flaws: &mut Flaws,
) -> BTreeMap<String, Field> {
    let read = FIELDS.iter().filter_map(|(key, sort)| {
        let field = flaws.optional(row.get(key, |value| field(value, *sort, implied)))?;
        Some(((*key).to_owned(), field))
    });
    read.collect()
}

/// One describing field.
pub(super) fn field(value: &Value, sort: Sort, implied: Implied) -> Read<Field> {
    Ok(match sort {
        Sort::Text => name(value)?.map(Field::Text),
        Sort::Number => whole(value)?.map(Field::Number),
        Sort::Money => money(value, implied.currency)?.map(Field::Money),
        Sort::Distance => distance(value, implied.distance)?.map(Field::Distance),
        Sort::List => words(value)?.map(Field::List),
    })
}

/// A VIN, which must be one. A whole number may be one, too, of a vehicle from before 1981.
pub(super) fn vin(value: &Value, names: &dyn Names) -> Read<Vin> {
    let Some(written) = name(value)? else {
        return Ok(None);
    };
    match names.vin(&written) {
        Ok(vin) => Ok(Some(vin)),
        Err(error) => {
            let written: String = written.chars().take(40).collect();
            let sentence = format!("{written:?} is no VIN: {error}");
            Err(Wrong::new(Reason::InvalidVin, sentence))
        }
    }
}

/// Where a vehicle is, which must be known for it to be offered there. One that is not for sale is not
/// for sale wherever it is: then a place that is not known is left out.
pub(super) fn place(
    read: Result<Option<LocationId>, Problem>,
    state: Option<UnitState>,
    flaws: &mut Flaws,
) -> Option<Option<LocationId>> {
    if state.is_some_and(|state| !state.is_offered()) {
        return Some(flaws.optional(read));
    }
    flaws.needed(read)
}

/// `"10499 USD"`, `{"amount": "10499", "currency": "USD"}`, or a bare number of the implied currency.
fn money(value: &Value, implied: Option<Currency>) -> Read<Money> {
    if let Value::Object(_) = value {
        return amount_and(value, "currency", |amount, currency| {
            let currency =
                currency
                    .parse()
                    .map_err(|error: crate::domain::money::MoneyError| {
                        Wrong::new(Reason::InvalidValue, error.to_string())
                    })?;
            Ok(Money::new(amount, currency))
        });
    }
    let bare = match value {
        Value::Number(_) => decimal(value)?,
        _ => text(value)?.and_then(|text| Decimal::from_str_exact(text).ok()),
    };
    match (bare, implied) {
        (Some(amount), Some(currency)) => return Ok(Some(Money::new(amount, currency))),
        (Some(_), None) => {
            let sentence = "an amount of money needs its currency, such as \"10499 USD\"";
            return Err(Wrong::new(Reason::InvalidValue, sentence));
        }
        (None, _) => {}
    }
    let Some(written) = text(value)? else {
        return Ok(None);
    };
    let read = match implied {
        None => written.parse(),
        Some(currency) => {
            let mark = DecimalMark::Point;
            Money::parse(written, MoneyStyle { currency, mark })
        }
    };
    match read {
        Ok(money) => Ok(Some(money)),
        Err(error) => Err(Wrong::new(Reason::InvalidValue, error.to_string())),
    }
}

/// `"2560 mi"`, `{"amount": 2560, "unit": "mi"}`, or a bare number of the implied unit.
fn distance(value: &Value, implied: Option<DistanceUnit>) -> Read<String> {
    let written = match value {
        Value::Object(_) => amount_and(value, "unit", |amount, unit| {
            Ok(format!("{} {unit}", amount.normalize()))
        })?,
        other => name(other)?,
    };
    let Some(written) = written else {
        return Ok(None);
    };
    match Distance::parse(&written, implied) {
        Ok(distance) => Ok(Some(distance.to_string())),
        Err(error) => Err(Wrong::new(Reason::InvalidValue, error.to_string())),
    }
}

/// An object of an amount and what it is an amount of; both or neither.
fn amount_and<T>(
    value: &Value,
    unit: &str,
    make: impl FnOnce(Decimal, &str) -> Result<T, Wrong>,
) -> Read<T> {
    let read = |key: &str| value.get(key).unwrap_or(&Value::Null);
    match (decimal(read("amount"))?, text(read(unit))?) {
        (None, _) => Ok(None),
        (Some(amount), Some(unit)) => make(amount, unit).map(Some),
        (Some(_), None) => {
            let sentence = format!("`{unit}` is missing beside `amount`");
            Err(Wrong::new(Reason::MissingField, sentence))
        }
    }
}

fn words(value: &Value) -> Read<Vec<String>> {
    let Some(entries) = super::json::list(value)? else {
        return Ok(None);
    };
    if entries.len() > LIST_MOST {
        let sentence = format!("has more than {LIST_MOST} entries");
        return Err(Wrong::new(Reason::OutOfRange, sentence));
    }
    let words: Result<Vec<_>, _> = entries.iter().map(name).collect();
    Ok(Some(words?.into_iter().flatten().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const AMERICAN: Implied = Implied {
        currency: Some(Currency::USD),
        distance: Some(DistanceUnit::Miles),
    };

    #[test]
    fn money_in_every_spelling_and_never_without_a_currency() {
        let read = |value: Value, implied| {
            money(&value, implied).map(|money| money.map(|money| money.to_string()))
        };
        let pounds = || Ok(Some("239950.00 GBP".to_owned()));
        assert_eq!(read(json!("239950 GBP"), None), pounds());
        assert_eq!(read(json!("£239,950.00"), None), pounds());
        assert_eq!(
            read(json!({"amount": 239950, "currency": "gbp"}), None),
            pounds()
        );
        assert_eq!(read(json!(239950), Some(Currency::GBP)), pounds());
        assert_eq!(read(json!("239,950"), Some(Currency::GBP)), pounds());
        assert_eq!(read(json!(""), None), Ok(None));
        for unclear in [
            json!(239950),
            json!("239950"),
            json!({"amount": 1}),
            json!("cheap"),
        ] {
            assert!(read(unclear.clone(), None).is_err(), "{unclear}");
        }
    }

    #[test]
    fn a_distance_keeps_its_unit() {
        let read = |value: Value, implied| distance(&value, implied);
        let expected = || Ok(Some("2560 mi".to_owned()));
        assert_eq!(read(json!("2,560 miles"), None), expected());
        assert_eq!(
            read(json!({"amount": 2560, "unit": "mi"}), None),
            expected()
        );
        assert_eq!(read(json!(2560), AMERICAN.distance), expected());
        assert_eq!(
            read(json!("21034 km"), AMERICAN.distance),
            Ok(Some("21034 km".to_owned()))
        );
        assert!(read(json!(2560), None).is_err());
        assert!(read(json!(-1), AMERICAN.distance).is_err());
    }
}
