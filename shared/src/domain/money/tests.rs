//! Amounts as feeds write them, and prices that jump.

use super::*;
use proptest::prelude::*;

const EUROPE: MoneyStyle = MoneyStyle {
    currency: Currency::EUR,
    mark: DecimalMark::Comma,
};
const AMERICA: MoneyStyle = MoneyStyle {
    currency: Currency::USD,
    mark: DecimalMark::Point,
};

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

#[test]
fn amounts_as_feeds_write_them() {
    for (text, style, expected) in [
        ("10499 USD", AMERICA, "10499.00 USD"),
        ("239,950", AMERICA, "239950.00 USD"),
        ("$10,499.00", AMERICA, "10499.00 USD"),
        ("- 12.5", AMERICA, "-12.50 USD"),
        ("GBP 1,234,567.89", AMERICA, "1234567.89 GBP"),
        ("12,34,567 inr", AMERICA, "1234567.00 INR"),
        ("€ 239.950,00", EUROPE, "239950.00 EUR"),
        ("239.950,5 EUR", EUROPE, "239950.50 EUR"),
        ("1 234,50", EUROPE, "1234.50 EUR"),
        ("CHF 1'234'567,05", EUROPE, "1234567.05 CHF"),
        ("£0,005 GBP", EUROPE, "0.005 GBP"),
        ("239950 JPY", AMERICA, "239950 JPY"),
        ("1.5 KWD", AMERICA, "1.500 KWD"),
    ] {
        assert_eq!(
            Money::parse(text, style).unwrap().to_string(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn what_could_be_read_two_ways_is_refused() {
    for text in [
        "239,95",
        "1,2345",
        "1.2.3",
        "1,,234",
        ",5",
        "5.",
        "1,234 567",
        "1e5",
        "12-5",
        "$5 EUR",
        "¥500",
        "5 DOL",
        "5 XYZ USD",
        "0x10",
    ] {
        assert!(Money::parse(text, AMERICA).is_err(), "{text}");
    }
    assert_eq!(Money::parse(" $ ", AMERICA), Err(MoneyError::Empty));
    assert_eq!("5".parse::<Money>(), Err(MoneyError::NoCurrency));
    // More digits than a Decimal holds is refused, not rounded.
    let long = "0.12345678901234567890123456789012";
    assert!(matches!(
        Money::parse(long, AMERICA),
        Err(MoneyError::Amount { .. })
    ));
}

#[test]
fn rounding_and_smallest_units_follow_the_currency() {
    assert_eq!(money("10.005 USD").rounded(), money("10.01 USD"));
    assert_eq!(money("10.5 JPY").rounded(), money("11 JPY"));
    assert_eq!(money("10.99 USD").minor_units(), Some(1099));
    assert_eq!(money("1.234 KWD").minor_units(), Some(1234));
    assert_eq!(money("500 JPY").minor_units(), Some(500));
    assert_eq!(money("10.999 USD").minor_units(), None);
}

#[test]
fn the_amount_is_a_string_on_the_wire_and_never_a_float() {
    let json = serde_json::to_string(&money("10499.10 USD")).unwrap();
    assert_eq!(json, r#"{"amount":"10499.10","currency":"USD"}"#);
    assert_eq!(
        serde_json::from_str::<Money>(&json).unwrap(),
        money("10499.10 USD")
    );
    assert!(serde_json::from_str::<Money>(r#"{"amount":0.1,"currency":"USD"}"#).is_err());
    assert!(serde_json::from_str::<Money>(r#"{"amount":"1","currency":"US"}"#).is_err());
}

#[test]
fn suspicious_prices_are_held() {
    let held = |before: &str, now: &str| jump(Some(money(before)), money(now));
    assert_eq!(
        held("13998 USD", "1399800 USD"),
        Some(PriceAlarm::Hundredfold)
    );
    assert_eq!(
        held("1399800 USD", "13998 USD"),
        Some(PriceAlarm::Hundredfold)
    );
    assert_eq!(held("100 USD", "1000.01 USD"), Some(PriceAlarm::Tenfold));
    assert_eq!(held("1000.01 USD", "100 USD"), Some(PriceAlarm::Tenfold));
    assert_eq!(held("100 USD", "1000 USD"), None);
    assert_eq!(held("1000 USD", "100 USD"), None);
    assert_eq!(held("100 USD", "0 USD"), Some(PriceAlarm::Zero));
    assert_eq!(held("100 USD", "-1 USD"), Some(PriceAlarm::Negative));
    assert_eq!(held("100 USD", "100 EUR"), Some(PriceAlarm::OtherCurrency));
    assert_eq!(jump(None, money("1 USD")), None);
    assert_eq!(jump(None, money("0 USD")), Some(PriceAlarm::Zero));
    assert_eq!(held("0 USD", "13998 USD"), None);
}

fn any_amount() -> impl Strategy<Value = Decimal> {
    (any::<i64>(), 0u32..8).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale))
}

proptest! {
    #[test]
    fn printed_and_read_again(amount in any_amount(), code in "[A-Z]{3}") {
        let Ok(currency) = code.parse::<Currency>() else { return Ok(()) };
        let money = Money::new(amount, currency);
        prop_assert_eq!(money.to_string().parse(), Ok(money));
    }

    #[test]
    fn what_is_read_from_any_text_prints_as_what_was_read(
        text in "-?[0-9]{1,4}[-0-9.,' $]{0,12}( (EUR|USD|[A-Z]{3}))?"
    ) {
        if let Ok(money) = Money::parse(&text, EUROPE) {
            prop_assert_eq!(money.to_string().parse(), Ok(money));
        }
    }

    #[test]
    fn a_jump_is_the_same_up_and_down(one in 1i64..1_000_000_000, other in 1i64..1_000_000_000) {
        let (one, other) = (Decimal::new(one, 2), Decimal::new(other, 2));
        let (one, other) = (Money::new(one, Currency::USD), Money::new(other, Currency::USD));
        prop_assert_eq!(jump(Some(one), other), jump(Some(other), one));
    }

    #[test]
    fn every_hundredfold_is_caught(cents in 1i64..1_000_000_000_000) {
        let before = Money::new(Decimal::new(cents, 2), Currency::EUR);
        let now = Money::new(Decimal::from(cents), Currency::EUR);
        prop_assert_eq!(jump(Some(before), now), Some(PriceAlarm::Hundredfold));
    }
}
