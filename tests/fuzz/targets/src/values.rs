//! Numbers, money, distances, identifiers: what is read prints as itself, and is read again.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::config::{HeaderName, JsonPointer, Network, ShopName};
use shared::domain::ProductId;
use shared::domain::distance::{Distance, DistanceUnit};
use shared::domain::id::{ChannelName, ConnectorName, EventId, GroupName, LocationId, RuleId, Sku};
use shared::domain::money::{self, Currency, DecimalMark, Money, MoneyStyle};
use shared::domain::vin::{CheckDigit, Vin, VinError, VinPolicy, VinVerdict};
use shared::feeds::{times, value};
use shared::secrets::SecretRef;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    identifier::<Sku>(text, 128);
    identifier::<LocationId>(text, 64);
    identifier::<GroupName>(text, 64);
    identifier::<ConnectorName>(text, 48);
    identifier::<ChannelName>(text, 48);
    identifier::<RuleId>(text, 200);
    identifier::<EventId>(text, 256);
    identifier::<ProductId>(text, 128);
    same_when_read_again::<SecretRef>(text);
    same_when_read_again::<JsonPointer>(text);
    same_when_read_again::<HeaderName>(text);
    same_when_read_again::<ShopName>(text);
    same_when_read_again::<Network>(text);
    vin(text);
    amounts(text);
    distances(text);
    cells(text);
}

/// Parse → print → parse is the same, and so is the way through JSON.
fn same_when_read_again<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: Display> + Display + PartialEq + Debug + Serialize + DeserializeOwned,
{
    let read = match text.parse::<T>() {
        Ok(read) => read,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "an error says something");
            return None;
        }
    };
    let printed = read.to_string();
    let again = printed.parse::<T>();
    assert_eq!(again.as_ref().ok(), Some(&read), "printed as {printed:?}");
    let json = serde_json::to_string(&read).expect("a text serializes");
    assert_eq!(serde_json::from_str::<T>(&json).ok(), Some(read));
    again.ok()
}

fn identifier<T>(text: &str, most: usize)
where
    T: FromStr<Err: Display> + Display + PartialEq + Debug + Serialize + DeserializeOwned,
{
    let Some(id) = same_when_read_again::<T>(text) else {
        return;
    };
    let id = id.to_string();
    assert!((1..=most).contains(&id.chars().count()), "{id:?}");
    assert!(!id.chars().any(char::is_control), "{id:?}");
    assert_eq!(id, id.trim());
}

fn vin(text: &str) {
    if let Some(vin) = same_when_read_again::<Vin>(text) {
        assert_eq!(vin.as_str().len(), 17);
        assert!(matches!(vin.wmi().map(|wmi| wmi.len()), Some(3 | 6)));
        assert!(
            vin.model_year_hint()
                .is_none_or(|year| (1980..=2039).contains(&year))
        );
        let refused = matches!(VinPolicy::Strict.judge(&vin), VinVerdict::Refused { .. });
        assert_eq!(refused, vin.check_digit() != CheckDigit::Matches);
    }
    if let Err(VinError::Character {
        position,
        suggestion,
        ..
    }) = text.parse::<Vin>()
    {
        assert!((1..=17).contains(&position));
        if let Some(suggested) = suggestion {
            assert_eq!(suggested.as_str().parse(), Ok(suggested.clone()));
        }
    }
}

fn amounts(text: &str) {
    same_when_read_again::<Money>(text);
    same_when_read_again::<Currency>(text);
    for mark in [DecimalMark::Point, DecimalMark::Comma] {
        let style = MoneyStyle {
            currency: Currency::EUR,
            mark,
        };
        let Ok(amount) = Money::parse(text, style) else {
            continue;
        };
        assert_eq!(amount.to_string().parse(), Ok(amount));
        let rounded = amount.rounded();
        assert_eq!(rounded.rounded(), rounded);
        if let Some(minor) = amount.minor_units() {
            let scale = amount.currency.minor_digits();
            assert_eq!(Decimal::new(minor, scale), amount.amount);
        }
        // Nothing jumps against itself, unless it is no price at all.
        if amount.amount > Decimal::ZERO {
            assert_eq!(money::jump(Some(amount), amount), None);
        }
    }
}

fn distances(text: &str) {
    same_when_read_again::<Distance>(text);
    for unit in [DistanceUnit::Miles, DistanceUnit::Kilometres] {
        if let Ok(distance) = Distance::parse(text, Some(unit)) {
            assert_eq!(distance.to_string().parse(), Ok(distance));
            assert_eq!(
                distance.rounded_in(distance.unit),
                u64::from(distance.whole)
            );
        }
    }
}

/// What a cell of a feed may be read as. A number that is read prints as the same number.
fn cells(text: &str) {
    for mark in [value::DecimalMark::Point, value::DecimalMark::Comma] {
        if let Ok(number) = value::decimal(text, mark) {
            let plain = number.to_string();
            assert_eq!(
                value::decimal(&plain, value::DecimalMark::Point),
                Ok(number)
            );
        }
        if let Ok(whole) = value::whole(text, Some(mark)) {
            assert_eq!(value::whole(&whole.to_string(), Some(mark)), Ok(whole));
        }
        if let Ok(money) = value::money(text, mark) {
            assert!(money.currency.is_none_or(|code| code.len() == 3));
        }
        if let Ok(distance) = value::distance(text, mark) {
            assert!(distance.amount >= Decimal::ZERO);
        }
    }
    for order in [
        None,
        Some(value::DateOrder::DayFirst),
        Some(value::DateOrder::MonthFirst),
    ] {
        if let Ok(date) = times::date(text, order, None) {
            assert_eq!(times::date(&date.to_string(), None, None), Ok(date));
        }
    }
    if let Ok(instant) = times::instant(text, None, Some(&jiff::tz::TimeZone::UTC)) {
        // The clocks of UTC do not change.
        assert!(!matches!(instant, times::Instant::Repeated { .. }));
        let at = instant.by(jiff::Timestamp::MIN, jiff::SignedDuration::ZERO);
        let exact = times::Instant::One(at);
        assert_eq!(times::instant(&at.to_string(), None, None), Ok(exact));
    }
    let parts = value::list(text);
    assert!(parts.iter().map(|part| part.len()).sum::<usize>() <= text.len());
    for said in [
        value::flag(text).err(),
        value::condition(text, "Is New").err(),
    ] {
        assert!(said.is_none_or(|why| !why.is_empty()));
    }
}
