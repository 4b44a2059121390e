//! One spelling for texts that look alike, so that two systems mean the same thing by the same name.

use std::borrow::Cow;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

/// A text in Unicode's composed form (NFC), with plain blanks, and without characters that nobody sees:
/// zero-width spaces and joiners, marks of writing direction, soft hyphens, byte-order marks.
pub fn one_spelling(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let is_blank = |c: char| c.is_whitespace() && !c.is_control();
    let seen: String = text
        .chars()
        .filter(|c| !is_format(*c))
        .map(|c| if is_blank(c) { ' ' } else { c })
        .collect();
    Cow::Owned(composed(&seen))
}

/// A text for comparing only: lower case and without accents, so that `Citroën` meets `CITROEN`.
pub fn without_accents(text: &str) -> String {
    let lower = one_spelling(text).to_lowercase();
    if lower.is_ascii() {
        return lower;
    }
    let mut bare = String::with_capacity(lower.len());
    for c in DecomposingNormalizerBorrowed::new_nfkd()
        .normalize(&lower)
        .chars()
    {
        match c {
            // The accents of Latin, Greek and Cyrillic; in other scripts a mark makes another letter.
            '\u{300}'..='\u{36f}' => {}
            'ø' => bare.push('o'),
            'ł' => bare.push('l'),
            'đ' => bare.push('d'),
            'ı' => bare.push('i'),
            'æ' => bare.push_str("ae"),
            'œ' => bare.push_str("oe"),
            'ß' => bare.push_str("ss"),
            other => bare.push(other),
        }
    }
    composed(&bare)
}

/// Whether two names are one but for case, blanks and dashes.
pub fn same_name(one: &str, two: &str) -> bool {
    let folded = |name| -> String {
        let plain = one_spelling(name);
        let kept = plain
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-'));
        kept.flat_map(char::to_lowercase).collect()
    };
    folded(one) == folded(two)
}

fn composed(text: &str) -> String {
    ComposingNormalizerBorrowed::new_nfc()
        .normalize(text)
        .into_owned()
}

/// Unicode's general category Cf.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'..='\u{891}'
        | '\u{8e2}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0001}'
        | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accents_are_left_out_of_a_comparison_and_letters_are_not() {
        for (written, folded) in [
            ("Citroën", "citroen"),
            ("CITROE\u{308}N", "citroen"),
            ("Škoda", "skoda"),
            ("Mégane", "megane"),
            ("Lynk & Co", "lynk & co"),
            ("İstanbul", "istanbul"),
            ("Groß", "gross"),
            ("Bjørn", "bjorn"),
            ("ＴＯＹＯＴＡ", "toyota"),
        ] {
            assert_eq!(without_accents(written), folded);
        }
        // In Japanese the mark makes another letter: bu is not fu.
        assert_ne!(without_accents("ブ"), without_accents("フ"));
    }

    #[test]
    fn blanks_that_look_alike_are_one_blank() {
        for blank in ["\u{a0}", "\u{202f}", "\u{2003}", "\u{3000}"] {
            assert_eq!(one_spelling(&format!("AB{blank}1")), "AB 1");
        }
        // Control characters stay what they are, to be refused.
        assert_eq!(one_spelling("é\t1"), "é\t1");
    }

    proptest! {
        #[test]
        fn a_spelling_is_its_own_spelling(text in "\\PC{0,20}") {
            let once = one_spelling(&text).into_owned();
            prop_assert_eq!(&one_spelling(&once), &once);
        }
    }
}
