use http::HeaderValue;
use jiff::SignedDuration;

use super::*;
use crate::channels::conformance::{channel, concluded, envelope, fault, sent};
use crate::domain::Subject;
use crate::domain::alert::{AlertKind, RevisionKind};
use crate::domain::message::Message;
use crate::domain::watch::Manner;
use crate::render::words::worded;
use crate::render::{Templates, samples};

const ACCOUNT: &str = "account_sid = 'AC00000000000000000000000000000001'\n";
const TOKEN: &str = "auth_token = 'env:TWILIO_TOKEN'\n";
const WAY: &str = "to = '+393331234567'\nfrom = '+15005550006'\n";

fn text(settings: &str, message: &Message) -> String {
    let channel = channel(KIND, &format!("{ACCOUNT}{TOKEN}{WAY}{settings}"));
    let name = "ops".parse().unwrap();
    let words = worded(&Templates::new(), message, &name, channel.limits());
    let envelope = Envelope {
        message: &words.message,
        text: &words.text,
        ..envelope(message)
    };
    sent(&*channel, &envelope, &[])["Body"]
        .as_str()
        .unwrap()
        .into()
}

#[test]
fn the_less_room_there_is_the_less_is_said_and_the_link_goes_last() {
    let message = samples::low_stock();
    assert_eq!(
        text("max_segments = 1", &message),
        "Low stock: Oil 5W-40 (OIL-5W40) - just 2 units left.\n\
         Milano Nord\n\
         https://stock.example.com/p/OIL-5W40?at=milano"
    );
    let mut long = message.clone();
    long.link = Some(format!("https://stock.example.com/{}", "p".repeat(200)));
    assert!(text("max_segments = 1", &long).ends_with("left.\nMilano Nord"));
    assert!(text("max_segments = 3", &long).ends_with("ppp"));
}

/// Whoever reads only that none is left takes it for the last word.
#[test]
fn that_nothing_more_is_sent_and_that_it_is_a_reminder_is_said_however_little_room_there_is() {
    let flapping = Manner::default().flapping();
    let reminder = "A reminder: this is still so.".to_owned();
    let changed = "It last changed at 2026-01-15 10:30 CET.".to_owned();
    let name = "Brake disc, ventilated, front axle, with pads and sensor, original ".repeat(5);
    for kind in [AlertKind::OutOfStock, AlertKind::LowStock] {
        for product in ["Oil", name.as_str()] {
            for link in ["https://stock.example.com/p/OIL", &"p".repeat(300)] {
                for (notes, said) in [
                    (
                        vec![flapping.clone()],
                        "no more messages until it has been steady for 30 minutes",
                    ),
                    (vec![reminder.clone(), changed.clone()], "A reminder: "),
                ] {
                    let message = Message {
                        product: product.to_owned(),
                        link: Some(link.to_owned()),
                        notes,
                        ..samples::bare(kind, RevisionKind::Updated)
                    };
                    for parts in 1..=3 {
                        let text = text(&format!("max_segments = {parts}"), &message);
                        assert!(text.contains(said), "{text}");
                        assert!(gsm7::segments(&text) <= parts, "{text}");
                        assert!(text.contains("(OIL-5W40)"), "{text}");
                    }
                }
            }
        }
    }
    let message = Message {
        notes: vec![reminder, changed.clone()],
        ..samples::low_stock()
    };
    assert!(text("", &message).contains(&changed));
    // Somebody's own words take all the room.
    let own = Message {
        product: "x".repeat(200),
        notes: message.notes.clone(),
        ..message
    };
    let said = below(&own, &"Own words. ".repeat(40), Measure::Segments(1));
    assert!(said.ends_with("\nA reminder: this is still so."), "{said}");
}

#[test]
fn both_who_claim_a_vehicle_are_named_and_what_is_left_out_is_counted() {
    let mut message = samples::bare(AlertKind::Conflict, RevisionKind::Opened);
    message.product = "Bentley Continental GT Speed SCBCG2ZG0RC012345".into();
    message.notes = vec![
        "It was sold at Bentley London Berkeley Square, by the word of dealertrack. The sale stands.".into(),
        "marketplace says that it was sold at Bentley Milano Nord.".into(),
    ];
    message.link = Some(format!("https://stock.example.com/{}", "p".repeat(120)));
    let said = text("", &message);
    for note in &message.notes {
        assert!(said.contains(note.as_str()), "{said}");
    }
    let mut message = samples::bare(AlertKind::FeedFlawed, RevisionKind::Opened);
    message.notes = (1..=9)
        .map(|number| {
            format!("Row {number} has a quantity that cannot be read, so that it is left out.")
        })
        .collect();
    let said = text("", &message);
    let shown = said.matches("Row ").count();
    assert!(shown > 1, "{said}");
    assert!(said.contains(&format!("and {} more", 9 - shown)), "{said}");
}

/// One name, two sizes.
#[test]
fn a_product_is_told_from_others_of_its_name_by_a_sku_that_is_short_enough() {
    let named = |product: &str, sku: &str| {
        let location = "milano".parse().unwrap();
        let message = Message {
            product: product.into(),
            subject: Subject::Position {
                product: sku.parse().unwrap(),
                location,
            },
            ..samples::low_stock()
        };
        text("", &message).lines().next().unwrap().to_owned()
    };
    let said = |name: &str| format!("Low stock: {name} - just 2 units left.");
    assert_eq!(named("Engine oil", "OIL-1L"), said("Engine oil (OIL-1L)"));
    assert_eq!(named("Engine oil", "OIL-5L"), said("Engine oil (OIL-5L)"));
    assert_eq!(named("OIL-1L", "OIL-1L"), said("OIL-1L"));
    assert_eq!(named("Oil oil-1l", "OIL-1L"), said("Oil oil-1l"));
    assert_eq!(named("Engine oil", &"9".repeat(40)), said("Engine oil"));
    let line = "line:bentley/continental-gt";
    assert_eq!(
        named("Bentley Continental GT", line),
        said("Bentley Continental GT")
    );
}

#[test]
fn one_foreign_letter_makes_the_text_dear_and_is_kept() {
    let mut message = samples::low_stock();
    message.location = Some("東京".into());
    let text = text("", &message);
    assert!(
        text.ends_with("left.\n東京\nhttps://stock.example.com/p/OIL-5W40?at=milano"),
        "{text}"
    );
    assert_eq!(gsm7::segments(&text), 2, "{text}");
}

#[test]
fn a_busy_sender_waits_as_long_as_it_is_told() {
    let message = samples::low_stock();
    let channel = channel(KIND, &format!("{ACCOUNT}{TOKEN}{WAY}"));
    let mut busy = Reply::new(StatusCode::TOO_MANY_REQUESTS, "{\"code\":20429}");
    assert_eq!(
        concluded(&*channel, &envelope(&message), &[busy.clone()]),
        Outcome::Limited { after: None }
    );
    busy.headers
        .insert("retry-after", HeaderValue::from_static("7"));
    let after = Some(SignedDuration::from_secs(7));
    assert_eq!(
        concluded(&*channel, &envelope(&message), &[busy]),
        Outcome::Limited { after }
    );
    let stopped = Reply::new(StatusCode::BAD_REQUEST, "{\"code\":21610}");
    assert_eq!(
        concluded(&*channel, &envelope(&message), &[stopped]),
        Outcome::rejected("Twilio 21610: the recipient has opted out; switch this channel off")
    );
}

#[test]
fn each_setting_is_checked() {
    for (settings, expected) in [
        (
            format!("account_sid = 'AC1'\n{TOKEN}{WAY}"),
            "account_sid: must be AC and 32 hexadecimal digits",
        ),
        (
            format!("{ACCOUNT}{WAY}"),
            "auth_token: set either auth_token, or api_key_sid and api_key_secret",
        ),
        (
            format!("{ACCOUNT}{WAY}api_key_sid = 'SK1'"),
            "api_key_secret: is missing",
        ),
        (
            format!("{ACCOUNT}{WAY}api_key_secret = 'env:A'"),
            "api_key_sid: is missing",
        ),
        (
            format!("{ACCOUNT}{TOKEN}to = '0039333'\nfrom = 'x'"),
            "to: must be + and 8 to 15 digits, such as +393331234567",
        ),
        (
            format!("{ACCOUNT}{TOKEN}to = '+393331234567'"),
            "from: set either from or messaging_service_sid",
        ),
        (
            format!("{ACCOUNT}{TOKEN}{WAY}messaging_service_sid = 'MG1'"),
            "from: set either from or messaging_service_sid",
        ),
        (
            format!("{ACCOUNT}{TOKEN}{WAY}max_segments = 0"),
            "max_segments: must be 1 to 10",
        ),
    ] {
        assert_eq!(
            fault(KIND, &settings),
            format!("twilio_sms channel, {expected}")
        );
    }
}
