//! What a text message really costs.
//!
//! A part carries 160 characters of the GSM 7-bit alphabet, or 70 UTF-16 units once a single
//! character lies outside it; joined parts carry 153 or 67. An en dash alone more than halves the
//! room, so look-alikes are replaced where that brings the whole text into the small alphabet, and
//! left alone where it would not.

use std::borrow::Cow;

/// The longest body that vendors accept, in characters, whatever the parts.
const LONGEST: usize = 1600;

/// The 7-bit alphabet (GSM 03.38), without letters, digits and the extension table.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà";

/// Characters of the extension table: two units each.
const EXTENDED: &str = "\u{c}^{}\\[~]|€";

const ELLIPSIS: &str = "...";

#[derive(Clone, Copy)]
struct Alphabet {
    alone: usize,
    joined: usize,
    cost: fn(char) -> usize,
}

const SEVEN_BIT: Alphabet = Alphabet {
    alone: 160,
    joined: 153,
    cost: |c| if EXTENDED.contains(c) { 2 } else { 1 },
};

const UCS2: Alphabet = Alphabet {
    alone: 70,
    joined: 67,
    cost: char::len_utf16,
};

fn is_seven_bit(c: char) -> bool {
    c.is_ascii_alphanumeric() || BASIC.contains(c) || EXTENDED.contains(c)
}

fn look_alike(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "-",
        '‘' | '’' | '‚' | '′' | '`' | '´' => "'",
        '“' | '”' | '„' | '″' | '«' | '»' => "\"",
        '…' => "...",
        '→' => "->",
        '≤' => "<=",
        '≥' => ">=",
        '×' => "x",
        '•' | '·' => "-",
        '\u{a0}' | '\u{2009}' | '\u{202f}' | '\t' => " ",
        '\u{200b}' | '\u{feff}' => "",
        _ => return None,
    })
}

/// The text with look-alikes replaced if that makes it a 7-bit text and no dearer; otherwise as it is.
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_seven_bit)
        || !text
            .chars()
            .all(|c| is_seven_bit(c) || look_alike(c).is_some())
    {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match look_alike(c) {
            Some(other) if !is_seven_bit(c) => plain.push_str(other),
            _ => plain.push(c),
        }
    }
    // A text full of "…" grows threefold: it may be dearer in the small alphabet.
    if segments(&plain) > segments(text) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(plain)
}

/// How many parts the text takes as it stands. A character is never split between two parts.
pub fn segments(text: &str) -> usize {
    let alphabet = if text.chars().all(is_seven_bit) {
        SEVEN_BIT
    } else {
        UCS2
    };
    let units: usize = text.chars().map(alphabet.cost).sum();
    if units <= alphabet.alone {
        return usize::from(units > 0);
    }
    let (mut parts, mut used) = (1, 0);
    for cost in text.chars().map(alphabet.cost) {
        if used + cost > alphabet.joined {
            parts += 1;
            used = 0;
        }
        used += cost;
    }
    parts
}

/// Whether the text needs no more parts than this.
pub fn fits(text: &str, most: usize) -> bool {
    let text = plain(text);
    segments(&text) <= most && text.chars().count() <= LONGEST
}

/// The text with look-alikes replaced where that helps, cut to at most so many parts.
///
/// What is cut off has no say in the alphabet: up to the first character outside the small one,
/// there is room for more than twice as much.
pub fn fit(text: &str, most: usize) -> Cow<'_, str> {
    if fits(text, most) {
        return plain(text);
    }
    // A longer beginning never takes fewer parts, so the longest one that fits can be searched for.
    let cut = |end: usize| {
        let beginning = format!("{}{ELLIPSIS}", text[..end].trim_end());
        plain(&beginning).into_owned()
    };
    let ends: Vec<usize> = text
        .char_indices()
        .map(|(end, _)| end)
        .take(LONGEST)
        .collect();
    let fitting = ends.partition_point(|&end| fits(&cut(end), most));
    match fitting.checked_sub(1) {
        Some(last) => Cow::Owned(cut(ends[last])),
        None => Cow::Borrowed(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_are_counted_as_carriers_do() {
        for (text, expected) in [
            (String::new(), 0),
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            // 153 is odd: a part holds 76 euro signs, and the next one is not split.
            ("€".repeat(152), 2),
            ("€".repeat(153), 3),
            ("–".repeat(70), 1),
            ("–".repeat(71), 2),
            ("🚗".repeat(35), 1),
            ("🚗".repeat(36), 2),
            ("🚗".repeat(67), 3),
        ] {
            assert_eq!(
                segments(&text),
                expected,
                "{} characters",
                text.chars().count()
            );
        }
    }

    #[test]
    fn the_usual_sentence_costs_one_part_not_two() {
        let text = "Low stock: Abarth 595 competizione – just 2 units left at Milano Nord, 4 days.";
        assert_eq!(segments(text), 2);
        let plain = plain(text);
        assert_eq!(
            plain,
            "Low stock: Abarth 595 competizione - just 2 units left at Milano Nord, 4 days."
        );
        assert_eq!(segments(&plain), 1);
    }

    #[test]
    fn a_text_that_needs_the_large_alphabet_keeps_its_dashes() {
        assert_eq!(plain("在庫 – 2"), "在庫 – 2");
        assert_eq!(plain("Größe 2"), "Größe 2");
        // As 7-bit text it would be 210 characters long.
        let dots = "…".repeat(70);
        assert_eq!(plain(&dots), dots);
    }

    #[test]
    fn a_cut_text_fills_its_parts() {
        let cut = fit(&"a".repeat(1000), 2).into_owned();
        assert_eq!((cut.len(), segments(&cut)), (306, 2));
        assert!(cut.ends_with("a..."));
        assert_eq!(fit("在庫", 0), "");
    }

    #[test]
    fn what_is_cut_off_does_not_choose_the_alphabet() {
        let text = format!("“{}” 在庫", "a".repeat(400));
        assert_eq!(segments(&text), 7);
        // Up to the quotation marks the small alphabet has room for 306 characters, the large one for 134.
        let cut = fit(&text, 2).into_owned();
        assert_eq!(cut, format!("\"{}...", "a".repeat(302)));
        assert_eq!(fit(&cut, 2), cut);
        // What stays does.
        let text = format!("在庫 “{}”", "a".repeat(400));
        assert_eq!(fit(&text, 2), format!("在庫 “{}...", "a".repeat(127)));
    }

    proptest! {
        #[test]
        fn a_cut_text_never_costs_more(text in "([a-z €–]|\\PC){0,900}", most in 1usize..5) {
            let cut = fit(&text, most);
            prop_assert!(segments(&cut) <= most, "{} parts", segments(&cut));
            prop_assert!(cut.chars().count() <= LONGEST);
            prop_assert_eq!(fit(&cut, most), cut.as_ref());
        }

        #[test]
        fn replacing_look_alikes_never_costs_more(text in "[a-z€–→…’ ]{0,300}") {
            prop_assert!(segments(&plain(&text)) <= segments(&text).max(1));
        }
    }
}
