//! What may stand in a message: one line of visible characters, whatever a name was given as.
//!
//! Names come from files and vendors. A line break in one forges a fact in a text message, and a
//! mark that turns the reading direction makes 12 read as 21.

use super::fit::{self, Limits, Measure, fit};
use super::templates::{TemplateError, Templates};
use crate::domain::message::Message;
use crate::domain::{ChannelName, Subject};

/// Text as HTML shows it literally, in an element or in a quoted attribute.
pub fn html_escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// A message as one channel is given it.
#[derive(Debug, Clone)]
pub struct Worded {
    /// What happened, with every name on one line.
    pub message: Message,
    /// One line, fitted to the channel.
    pub title: String,
    /// The text, fitted to the channel.
    pub text: String,
    /// Why the user's template was passed over, if it was.
    pub fallback: Option<TemplateError>,
}

/// A name that is no longer than this is never shortened.
const SHORT_NAME: usize = 20;

/// Puts a message into words for a channel.
///
/// Where there is too little room for the text and what has to stand [`below`] it, the item's name is
/// shortened first: what is said of the item matters more than the end of a long name.
pub fn worded(
    templates: &Templates,
    message: &Message,
    channel: &ChannelName,
    limits: Limits,
) -> Worded {
    let message = visible(message);
    // Where nothing stands beside the text, it has to tell two products of one name apart.
    let alone = limits.title.is_none();
    let rendered = |message: &Message| match alone {
        true => templates.render_alone(message, channel),
        false => templates.render(message, channel),
    };
    let has_room = |text: &str| {
        let whole = match alone {
            // A vehicle's number, at the end of its name, is worth more than the link.
            true => with_below(&message, text, 1, is_of_stock(&message)),
            false => text.to_owned(),
        };
        fit::fits(&whole, limits.text)
    };
    let mut words = rendered(&message);
    let mut named = message.clone();
    let mut length = message.product.chars().count();
    while length > SHORT_NAME && !has_room(&words.text) {
        length = (length * 4 / 5).max(SHORT_NAME);
        named.product = fit(&message.product, Measure::Characters(length)).into_owned();
        words.text = rendered(&named).text;
    }
    Worded {
        title: match limits.title {
            Some(most) => fit(&words.title, most).into_owned(),
            None => words.title,
        },
        text: fit(&words.text, limits.text).into_owned(),
        fallback: words.fallback,
        message,
    }
}

/// A text that has nothing beside it with what a reader needs below it, as far as there is room: the notes,
/// where it is, and the link. Of the notes the first says most, and is shortened rather than left out; what
/// the text says is not said again.
pub fn below(message: &Message, text: &str, room: Measure) -> String {
    let most = message.notes.len().max(1);
    // Another note says more than the link.
    let mut tries = (1..=most)
        .rev()
        .flat_map(|notes| [true, false].map(|link| with_below(message, text, notes, link)));
    if let Some(whole) = tries.find(|whole| fit::fits(whole, room)) {
        return whole;
    }
    let Some(note) = message.notes.first() else {
        return fit(text, room).into_owned();
    };
    let first = note.split_inclusive(". ").next().unwrap_or(note).trim_end();
    if first.chars().count() > SHORT_NOTE {
        return fit(&format!("{text}\n{note}"), room).into_owned();
    }
    let mut length = text.chars().count();
    loop {
        let whole = format!("{}\n{first}", fit(text, Measure::Characters(length)));
        if fit::fits(&whole, room) || length == 0 {
            return whole;
        }
        length = length * 9 / 10;
    }
}

/// A note that is no longer than this is never shortened.
const SHORT_NOTE: usize = 80;

const fn is_of_stock(message: &Message) -> bool {
    matches!(
        message.subject,
        Subject::Position { .. } | Subject::Group { .. }
    )
}

/// A text with so many of the notes below it.
fn with_below(message: &Message, text: &str, notes: usize, link: bool) -> String {
    let is_of_stock = is_of_stock(message);
    let place = message.location.iter();
    let place = place.filter(|place| !text.contains(place.as_str()));
    let place = place.filter(|_| is_of_stock || message.notes.is_empty());
    let left = message.notes.len().saturating_sub(notes);
    let left = (left > 0 && !is_of_stock).then(|| format!("… and {left} more"));
    let said = message.notes.iter().take(notes);
    let said = said.filter(|note| !text.contains(note.as_str()));
    let link = message.link.iter().filter(|_| link);
    let lines = said.chain(&left).chain(place).chain(link);
    let lines = lines.map(String::as_str);
    let lines: Vec<_> = std::iter::once(text).chain(lines).collect();
    lines.join("\n")
}

/// Puts a message into words for no channel in particular, whole: for a page.
pub fn plainly(templates: &Templates, message: &Message) -> Worded {
    let message = visible(message);
    let words = templates.by_default(&message);
    Worded {
        title: words.title,
        text: words.text,
        fallback: None,
        message,
    }
}

/// The message with every text that others wrote as one line of visible characters.
fn visible(message: &Message) -> Message {
    let mut message = message.clone();
    let mut clean = |text: &mut String| *text = one_line(text);
    clean(&mut message.product);
    message.location.as_mut().map(&mut clean);
    message.rule.as_mut().map(&mut clean);
    message.why.as_mut().map(&mut clean);
    message.notes.iter_mut().for_each(&mut clean);
    message.notes.retain(|note| !note.is_empty());
    if message.product.is_empty() {
        // Something has to stand there, and it is the only other name that there is.
        message.product = one_line(&message.subject.to_string());
    }
    if let Some(digest) = &mut message.digest {
        for alert in digest.alerts.iter_mut().chain(&mut digest.overtaken) {
            *alert = visible(alert);
        }
    }
    message
}

/// One line: a break, a tab or another control character is a space, runs of spaces are one, and
/// what has no width of its own or turns the direction is dropped.
pub fn one_line(text: &str) -> String {
    let spaced: String = text
        .chars()
        .filter(|c| !is_invisible(*c))
        .map(|c| if is_break(c) { ' ' } else { c })
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_break(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Unicode's format characters, and what is drawn as nothing.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_one_line_of_visible_characters() {
        for (given, shown) in [
            ("Oil\r\nAvailable: 900", "Oil Available: 900"),
            ("Oil\u{202e}04-W5\u{202c}", "Oil04-W5"),
            ("O\u{200b}il\u{feff}", "Oil"),
            ("a\u{0}b\u{1b}[31m", "a b [31m"),
            ("a\u{2028}b\u{85}c", "a b c"),
            ("*Sale* _now_ ~5~ <b>&amp;", "*Sale* _now_ ~5~ <b>&amp;"),
            (" \t ", ""),
        ] {
            assert_eq!(one_line(given), shown, "{given:?}");
        }
    }

    #[test]
    fn a_name_of_nothing_visible_gives_way_to_the_number() {
        let mut message = crate::render::samples::low_stock();
        message.product = "\u{200b}\u{202e}".into();
        assert_eq!(visible(&message).product, "OIL-5W40 at milano");
    }

    #[test]
    fn a_long_name_is_cut_before_what_is_said_of_it() {
        let mut message = crate::render::samples::low_stock();
        let limits = Limits {
            title: None,
            text: Measure::Segments(2),
        };
        let channel = "sms".parse().unwrap();
        for name in [
            "Brake disc, ventilated, front axle, with pads and sensor, original ".repeat(6),
            "Tarcza hamulcowa wentylowana, oś przednia, komplet z klockami i czujnikiem zużycia, oryginał".into(),
        ] {
            message.product = name.clone();
            let words = worded(&Templates::new(), &message, &channel, limits);
            assert!(words.text.contains(&name[..15]), "{}", words.text);
            assert!(words.text.ends_with("just 2 units left."), "{}", words.text);
            let whole = with_below(&message, &words.text, 1, true);
            assert!(fit::fits(&whole, limits.text), "{whole}");
            assert_eq!(words.message.product, name.trim());
        }
    }

    #[test]
    fn a_place_that_the_text_names_is_not_said_again_below_it() {
        let message = crate::render::samples::low_stock();
        let place = message.location.clone().unwrap();
        let is_below = |text: &str| {
            let whole = below(&message, text, Measure::Segments(2));
            whole[text.len()..].contains(&place)
        };
        assert!(is_below("Low stock: Oil 5W-40 – just 2 units left."));
        assert!(!is_below(
            "Low stock: Oil 5W-40 at Milano Nord – just 2 units left."
        ));
    }

    proptest! {
        #[test]
        fn whatever_is_given_is_one_line(text in any::<String>()) {
            let line = one_line(&text);
            prop_assert!(!line.contains(|c: char| is_break(c) || is_invisible(c)));
            prop_assert_eq!(one_line(&line), line.clone());
        }
    }
}
