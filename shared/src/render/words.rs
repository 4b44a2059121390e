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
/// Where there is too little room for the text and what stands [`below`] it, the item's name is
/// shortened first: what is said of the item matters more than the end of a long name.
pub fn worded(
    templates: &Templates,
    message: &Message,
    channel: &ChannelName,
    limits: Limits,
) -> Worded {
    let message = visible(message);
    let has_room = |text: &str| {
        let whole = match limits.title {
            None => [vec![text.to_owned()], below(&message, text)]
                .concat()
                .join("\n"),
            Some(_) => text.to_owned(),
        };
        fit::fits(&whole, limits.text)
    };
    let mut words = templates.render(&message, channel);
    let mut named = message.clone();
    let mut length = message.product.chars().count();
    while length > SHORT_NAME && !has_room(&words.text) {
        length = (length * 4 / 5).max(SHORT_NAME);
        named.product = fit(&message.product, Measure::Characters(length)).into_owned();
        words.text = templates.render(&named, channel).text;
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

/// What a reader needs below a text that has nothing beside it: where it is, or, where no place is
/// concerned, the first thing to know; then the link. What the text says is not said again.
pub fn below(message: &Message, text: &str) -> Vec<String> {
    let place = message.location.as_ref();
    let first = match message.subject {
        Subject::Position { .. } | Subject::Group { .. } => {
            place.filter(|place| !text.contains(place.as_str()))
        }
        Subject::Unit { .. }
        | Subject::Connector { .. }
        | Subject::Channel { .. }
        | Subject::Quarantine { .. } => message.notes.first().or(place),
    };
    first.into_iter().chain(&message.link).cloned().collect()
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
            let whole = [vec![words.text.clone()], below(&message, &words.text)].concat().join("\n");
            assert!(fit::fits(&whole, limits.text), "{whole}");
            assert_eq!(words.message.product, name.trim());
        }
    }

    #[test]
    fn a_place_that_the_text_names_is_not_said_again_below_it() {
        let message = crate::render::samples::low_stock();
        let place = message.location.clone().unwrap();
        let is_below = |text: &str| below(&message, text).contains(&place);
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
