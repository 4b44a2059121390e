//! Cutting to a channel's limits: at a character boundary, visibly, and with the count of what
//! was left out kept right.

use std::borrow::Cow;

use super::gsm7;

/// The room that a channel gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the title; nothing where a message is text, and nothing beside it.
    pub title: Option<Measure>,
    /// For the text.
    pub text: Measure,
}

/// How a channel counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Unicode characters.
    Characters(usize),
    /// Bytes of UTF-8.
    Bytes(usize),
    /// Parts of a text message.
    Segments(usize),
}

/// What stands where something was cut.
const ELLIPSIS: char = '…';

/// Whether the text is no longer than the measure allows.
pub fn fits(text: &str, most: Measure) -> bool {
    match most {
        Measure::Characters(most) => text.chars().count() <= most,
        Measure::Bytes(most) => text.len() <= most,
        Measure::Segments(most) => gsm7::fits(text, most),
    }
}

/// The text, cut with an ellipsis if it is longer than the measure allows.
pub fn fit(text: &str, most: Measure) -> Cow<'_, str> {
    match most {
        Measure::Characters(most) => fit_by(text, most, |_| 1),
        Measure::Bytes(most) => fit_by(text, most, char::len_utf8),
        Measure::Segments(most) => gsm7::fit(text, most),
    }
}

/// As [`fit`], where a character may cost more than one: escaped text, UTF-16.
pub fn fit_by(text: &str, most: usize, cost: impl Fn(char) -> usize) -> Cow<'_, str> {
    let room = most.checked_sub(cost(ELLIPSIS));
    let mut used = 0;
    let mut cut = 0;
    for (at, character) in text.char_indices() {
        used += cost(character);
        if used > most {
            return match room {
                Some(_) => Cow::Owned(format!("{}{ELLIPSIS}", text[..cut].trim_end())),
                None => Cow::Borrowed(""),
            };
        }
        if room.is_some_and(|room| used <= room) {
            cut = at + character.len_utf8();
        }
    }
    Cow::Borrowed(text)
}

/// As many of the lines as fit, and how many more there are; never a line cut in two unless it is the
/// only one that is shown.
pub fn fit_lines(lines: &[String], most: usize, cost: impl Fn(char) -> usize) -> String {
    let size = |text: &str| text.chars().map(&cost).sum::<usize>();
    let rest = |shown: usize| match lines.len() - shown {
        0 => String::new(),
        more => format!("\n… and {more} more"),
    };
    let mut kept = String::new();
    let mut best = String::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            kept.push('\n');
        }
        kept.push_str(line);
        if size(&kept) > most {
            break;
        }
        let whole = kept.clone() + &rest(index + 1);
        if size(&whole) <= most {
            best = whole;
        }
    }
    if !best.is_empty() || lines.is_empty() {
        return best;
    }
    // Not even the first line fits: it is cut, and the rest is counted.
    let rest = rest(1);
    match most.checked_sub(size(&rest)) {
        Some(room) if room > 1 => fit_by(&lines[0], room, &cost).into_owned() + &rest,
        _ => fit_by(&format!("{} entries", lines.len()), most, &cost).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_is_visible_and_never_splits_a_character() {
        assert_eq!(fit("Prüfung", Measure::Characters(7)), "Prüfung");
        assert_eq!(fit("Prüfung", Measure::Characters(4)), "Prü…");
        assert_eq!(fit("Prüfung", Measure::Bytes(6)), "Pr…");
        assert_eq!(fit("ab cdef", Measure::Characters(4)), "ab…");
        assert_eq!(fit("abc", Measure::Bytes(2)), "");
    }

    #[test]
    fn the_lines_left_out_are_counted() {
        let lines: Vec<String> = (1..=500).map(|n| format!("SKU-{n:03}")).collect();
        let shown = fit_lines(&lines, 60, |_| 1);
        assert_eq!(
            shown,
            "SKU-001\nSKU-002\nSKU-003\nSKU-004\nSKU-005\n… and 495 more"
        );
        assert_eq!(fit_lines(&lines[..2], 60, |_| 1), "SKU-001\nSKU-002");
        assert_eq!(fit_lines(&[], 60, |_| 1), "");
        let long = ["x".repeat(90), "y".into()];
        assert_eq!(
            fit_lines(&long, 20, |_| 1),
            format!("{}…\n… and 1 more", "x".repeat(6))
        );
    }

    proptest! {
        #[test]
        fn whatever_is_cut_fits(text in "\\PC{0,80}", most in 0usize..90) {
            let characters = fit(&text, Measure::Characters(most));
            prop_assert!(characters.chars().count() <= most);
            prop_assert!(fit(&text, Measure::Bytes(most)).len() <= most);
            if text.chars().count() <= most {
                prop_assert_eq!(characters.as_ref(), text.as_str());
            }
        }

        #[test]
        fn shown_and_counted_lines_are_all_lines(count in 1usize..400, width in 1usize..40, most in 30usize..500) {
            let lines: Vec<String> = (0..count).map(|_| "x".repeat(width)).collect();
            let shown = fit_lines(&lines, most, |_| 1);
            prop_assert!(shown.chars().count() <= most);
            let more = shown.rsplit_once("… and ").map_or(0, |(_, rest)| {
                rest.trim_end_matches(" more").parse::<usize>().unwrap()
            });
            let listed = shown.lines().filter(|line| line.starts_with('x')).count();
            prop_assert_eq!(listed + more, count);
        }
    }
}
