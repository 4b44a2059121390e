use http::HeaderValue;
use jiff::SignedDuration;

use super::*;
use crate::channels::conformance::{channel, concluded, envelope, fault, sent};
use crate::domain::message::Message;
use crate::render::samples;

const ACCOUNT: &str = "account_sid = 'AC00000000000000000000000000000001'\n";
const TOKEN: &str = "auth_token = 'env:TWILIO_TOKEN'\n";
const WAY: &str = "to = '+393331234567'\nfrom = '+15005550006'\n";

fn text(settings: &str, message: &Message) -> String {
    let channel = channel(KIND, &format!("{ACCOUNT}{TOKEN}{WAY}{settings}"));
    sent(&*channel, &envelope(message), &[])["Body"]
        .as_str()
        .unwrap()
        .into()
}

#[test]
fn the_less_room_there_is_the_less_is_said_and_the_link_goes_last() {
    let message = samples::low_stock();
    assert_eq!(
        text("max_segments = 1", &message),
        "Low stock: Oil 5W-40 - just 2 units left.\n\
         Milano Nord\n\
         https://stock.example.com/p/OIL-5W40?at=milano"
    );
    let mut long = message.clone();
    long.link = Some(format!("https://stock.example.com/{}", "p".repeat(200)));
    assert!(text("max_segments = 1", &long).ends_with("left.\nMilano Nord"));
    assert!(text("max_segments = 3", &long).ends_with("ppp"));
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
        Outcome::Retry { after: None }
    );
    busy.headers
        .insert("retry-after", HeaderValue::from_static("7"));
    let after = Some(SignedDuration::from_secs(7));
    assert_eq!(
        concluded(&*channel, &envelope(&message), &[busy]),
        Outcome::Retry { after }
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
