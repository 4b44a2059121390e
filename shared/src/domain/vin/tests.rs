//! VINs as they come: mistyped, padded, European.

use super::*;
use proptest::prelude::*;

const SEVENTEEN: &str = "[0-9A-HJ-NPR-Z]{17}";

fn vin(text: &str) -> Vin {
    text.parse().unwrap()
}

/// A VIN with a right check digit, from any sixteen other characters.
fn checked(text: &str) -> Option<Vin> {
    let vin: Vin = text.parse().ok()?;
    match vin.check_digit() {
        CheckDigit::Matches | CheckDigit::Absent => Some(vin),
        CheckDigit::Differs { computed, .. } => format!("{}{computed}{}", &text[..8], &text[9..])
            .parse()
            .ok(),
    }
}

#[test]
fn check_digits_of_known_vins() {
    let known = [
        ("SCBCG2ZG0RC012345", CheckDigit::Matches),
        ("1HGCM82633A004352", CheckDigit::Matches),
        ("1M8GDM9AXKP042788", CheckDigit::Matches),
        ("SCBCP7ZA4KC073115", CheckDigit::Matches),
        ("SCBBR53W36C034889", CheckDigit::Matches),
        ("SJAAX14V4RC004321", CheckDigit::Matches),
        ("SJAAM2ZV0KC024861", differs('0', '8')),
        ("ZFF67NFA8C0189035", differs('8', '6')),
        ("WVGZZZ5NZJM131395", differs('Z', '6')),
        ("ZFA31200003123456", differs('0', '4')),
    ];
    for (text, expected) in known {
        assert_eq!(vin(text).check_digit(), expected, "{text}");
    }
}

fn differs(found: char, computed: char) -> CheckDigit {
    CheckDigit::Differs { found, computed }
}

#[test]
fn a_european_vin_is_flagged_and_blocked_only_where_the_law_says_so() {
    let european = vin("WVGZZZ5NZJM131395");
    let (found, computed) = ('Z', '6');
    assert_eq!(
        VinPolicy::default().judge(&european),
        VinVerdict::Flagged { found, computed }
    );
    assert_eq!(
        VinPolicy::Strict.judge(&european),
        VinVerdict::Refused { found, computed }
    );
    assert_eq!(VinPolicy::Off.judge(&european), VinVerdict::Accepted);
    assert_eq!(
        VinPolicy::Strict.judge(&vin("1HGCM82633A004352")),
        VinVerdict::Accepted
    );
}

#[test]
fn a_forbidden_letter_is_named_and_a_correction_suggested_but_not_made() {
    let error = "1hgcm82633aOO4352".parse::<Vin>().unwrap_err();
    assert_eq!(
        error,
        VinError::Character {
            position: 12,
            found: 'O',
            suggestion: Some(vin("1HGCM82633A004352"))
        }
    );
    assert_eq!(
        error.to_string(),
        "a VIN has no 'O', as at position 12; did you mean 1HGCM82633A004352?"
    );
    // Nothing to suggest where the character stands for nothing.
    let error = "1HGCM82633A0*4352".parse::<Vin>().unwrap_err();
    assert_eq!(error.to_string(), "a VIN has no '*', as at position 13");
}

#[test]
fn a_placeholder_is_refused_though_its_arithmetic_is_right() {
    for text in [
        "11111111111111111",
        "00000000000000000",
        "XXXXXXXXXXXXXXXXX",
    ] {
        assert!(
            matches!(text.parse::<Vin>(), Err(VinError::Repeated { .. })),
            "{text}"
        );
    }
    // Neither is it suggested.
    assert!(matches!(
        "IIIIIIIIIIIIIIIII".parse::<Vin>(),
        Err(VinError::Character {
            suggestion: None,
            ..
        })
    ));
}

#[test]
fn the_length_is_counted_and_short_numbers_are_explained() {
    assert_eq!("".parse::<Vin>(), Err(VinError::Length { found: 0 }));
    assert_eq!(
        "1HGCM82633A0043521".parse::<Vin>(),
        Err(VinError::Length { found: 18 })
    );
    let error = "194677S102345".parse::<Vin>().unwrap_err().to_string();
    assert!(
        error.contains("this has 13") && error.contains("1981"),
        "{error}"
    );
}

#[test]
fn makers_and_model_years() {
    let known = [
        ("1HGCM82633A004352", "1HG", Some(2003)),
        ("1M8GDM9AXKP042788", "1M8", Some(1989)),
        ("SCBCG2ZG0RC012345", "SCB", Some(2024)),
        ("ZFA31200003123456", "ZFA", None),
        // A low-volume maker: the other half of its key stands in positions 12 to 14.
        ("1F9CM82633AABC352", "1F9ABC", Some(2003)),
    ];
    for (text, wmi, year) in known {
        assert_eq!(vin(text).wmi().as_deref(), Some(wmi), "{text}");
        assert_eq!(vin(text).model_year_hint(), year, "{text}");
    }
}

#[test]
fn serde_goes_through_the_same_door() {
    let read: Vin = serde_json::from_str("\" 1hgcm82633a004352\"").unwrap();
    assert_eq!(read, vin("1HGCM82633A004352"));
    assert_eq!(
        serde_json::to_string(&read).unwrap(),
        "\"1HGCM82633A004352\""
    );
    assert!(serde_json::from_str::<Vin>("\"1HGCM82633A0043521\"").is_err());
}

#[test]
fn a_number_of_another_length_is_taken_where_that_is_declared() {
    let dealer_of_classics = VinRules {
        classic: true,
        ..VinRules::default()
    };
    for (written, kept) in [
        ("AR 750 543", "AR750543"),
        ("1e 37018", "1E37018"),
        ("113-044-12-012345", "11304412012345"),
        ("*DB5/1476/R*", "DB51476R"),
        ("LOIQ1234", "LOIQ1234"),
    ] {
        assert!(VinRules::default().read(written).is_err(), "{written}");
        let vin = dealer_of_classics.read(written).unwrap();
        assert_eq!(vin.as_str(), kept);
        assert_eq!(vin.check_digit(), CheckDigit::Absent);
        assert_eq!((vin.wmi(), vin.model_year_hint()), (None, None));
        assert_eq!(VinPolicy::Strict.judge(&vin), VinVerdict::Accepted);
        // As it is stored, and as people ask for it.
        let stored = serde_json::to_string(&vin).unwrap();
        assert_eq!(serde_json::from_str::<Vin>(&stored).unwrap(), vin);
        assert_eq!(Vin::known(kept), Ok(vin));
    }
    for written in [
        "",
        "N/A",
        "TBD",
        "UNKNOWN",
        "0000000",
        "AB\u{200b}123",
        "1HGCM82633A0043521",
    ] {
        assert!(dealer_of_classics.read(written).is_err(), "{written}");
    }
    // Seventeen characters are a VIN, or a typing error.
    let mistyped = dealer_of_classics.read("SCBCG2ZGORC012345").unwrap_err();
    assert!(mistyped.to_string().contains("did you mean"), "{mistyped}");
}

#[test]
fn a_policy_that_refuses_a_check_digit_says_which_would_fit() {
    let strict = VinRules {
        check_digit: VinPolicy::Strict,
        classic: false,
    };
    let refused = strict.read("WVGZZZ5NZJM131395").unwrap_err();
    assert_eq!(refused.to_string(), "the check digit is Z where 6 fits");
    assert!(VinRules::default().read("WVGZZZ5NZJM131395").is_ok());
}

proptest! {
    #[test]
    fn reading_any_text_gives_a_fixed_point_or_an_error(text in ".{0,40}") {
        if let Ok(read) = text.parse::<Vin>() {
            prop_assert_eq!(vin(read.as_str()), read);
        }
    }

    #[test]
    fn case_blanks_and_dashes_do_not_matter(
        text in SEVENTEEN,
        cut in 1usize..16,
        filler in "[ \t-]{1,3}",
    ) {
        let plain = text.parse::<Vin>();
        let typed = format!(" {}{filler}{}\n", text[..cut].to_lowercase(), &text[cut..]);
        prop_assert_eq!(typed.parse::<Vin>(), plain);
    }

    /// What the check digit is for: any one wrong character shows.
    #[test]
    fn one_mistyped_character_shows(
        text in SEVENTEEN,
        position in 0usize..17,
        digit in 0u32..10,
    ) {
        let Some(right) = checked(&text) else { return Ok(()) };
        let wrong = char::from_digit(digit, 10).unwrap();
        let old = right.as_str().as_bytes()[position];
        prop_assume!(position != 8 && value_of(char::from(old)) != digit);
        let mut mistyped = right.as_str().to_owned();
        mistyped.replace_range(position..=position, &wrong.to_string());
        prop_assert_ne!(vin(&mistyped).check_digit(), CheckDigit::Matches);
    }

    #[test]
    fn a_suggestion_is_a_vin_that_differs_only_where_a_forbidden_letter_stood(
        text in "[0-9A-Z]{17}"
    ) {
        if let Err(VinError::Character { suggestion: Some(suggested), .. }) = text.parse::<Vin>() {
            for (typed, proposed) in text.chars().zip(suggested.as_str().chars()) {
                prop_assert!(typed == proposed || matches!((typed, proposed), ('I', '1') | ('O' | 'Q', '0')));
            }
        }
    }
}
