//! Titles and texts that users write.
//!
//! The head, if there is one, is a message as it is kept; the body is the template. One that passes
//! its check renders every message there is, in bounds; one that does not names a line.

use shared::domain::alert::{AlertKind, RevisionKind};
use shared::domain::message::Message;
use shared::render::gsm7;
use shared::render::{Measure, TemplateError, TemplateTexts, Templates, fit};

use crate::input::split;

/// A result is cut off here.
const LONGEST: usize = 64 * 1024;

pub(crate) fn run(bytes: &[u8]) {
    let (head, body) = split(bytes);
    let Ok(source) = std::str::from_utf8(body) else {
        return;
    };
    let mut messages = vec![least()];
    messages.extend(serde_json::from_str::<Message>(head));
    let mut templates = Templates::new();
    let texts = TemplateTexts {
        title: Some(source.to_owned()),
        text: Some(source.to_owned()),
        resolved_title: Some(source.to_owned()),
        resolved_text: Some(source.to_owned()),
    };
    let kind = messages
        .last()
        .map_or(AlertKind::LowStock, |message| message.kind);
    let kept = templates.set(kind, None, texts);
    let accepted = Templates::check(source);
    assert!(kept.is_ok() || accepted.is_err(), "accepted, and not kept");
    for error in [kept, accepted].into_iter().filter_map(Result::err) {
        names_a_line(&error, source);
    }
    // Whatever was refused is not in force: the words are then our own.
    for message in &messages {
        rendered(&templates, message, source);
    }
}

fn names_a_line(error: &TemplateError, source: &str) {
    let lines = source.split('\n').count();
    assert!(
        (1..=lines).contains(&error.line),
        "line {} of {lines}: {error}",
        error.line
    );
    assert!(!error.problem.is_empty());
}

fn rendered(templates: &Templates, message: &Message, source: &str) {
    let channel = "stock-room".parse().expect("a channel's name");
    let words = templates.render(message, &channel);
    assert!(words.title.len() <= LONGEST && words.text.len() <= LONGEST);
    assert!(!words.title.contains(['\n', '\r']), "{:?}", words.title);
    if let Some(error) = &words.fallback {
        names_a_line(error, source);
    }
    assert_eq!(templates.render(message, &channel), words, "rendered twice");
    fitted(&words.text);
}

/// What a channel gets is within its limits, and all of the text if that is.
fn fitted(text: &str) {
    let measures = [
        Measure::Characters(1),
        Measure::Characters(150),
        Measure::Characters(3_000),
        Measure::Segments(1),
        Measure::Segments(3),
        Measure::Bytes(3),
        Measure::Bytes(600),
        Measure::Bytes(4 * 1024),
    ];
    for measure in measures {
        let cut = fit(text, measure);
        let (size, most) = match measure {
            Measure::Characters(most) => (cut.chars().count(), most),
            Measure::Bytes(most) => (cut.len(), most),
            Measure::Segments(most) => (gsm7::segments(&cut), most),
        };
        assert!(size <= most, "{size} of {most} ({measure:?})");
        assert_eq!(fit(&cut, measure), cut, "cut twice ({measure:?})");
    }
}

/// A message that says as little as one may.
pub(crate) fn least() -> Message {
    Message {
        alert: "0199b6a1".to_owned(),
        revision: 1,
        correlation: None,
        ending: None,
        renamed_to: None,
        renamed_name: None,
        digest: None,
        change: RevisionKind::Opened,
        kind: AlertKind::LowStock,
        severity: shared::domain::Severity::Warning,
        subject: shared::domain::Subject::Position {
            product: "OIL-5W40".parse().expect("a product"),
            location: "milano".parse().expect("a location"),
        },
        at: jiff::Timestamp::UNIX_EPOCH,
        product: "Oil 5W-40".to_owned(),
        location: None,
        zone: "UTC".to_owned(),
        before: None,
        after: None,
        threshold: None,
        basis: None,
        rule: None,
        why: None,
        days_of_supply: None,
        sold: None,
        notes: Vec::new(),
        link: None,
    }
}
