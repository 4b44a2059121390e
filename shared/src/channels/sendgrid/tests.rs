use jiff::SignedDuration;

use super::*;
use crate::channels::conformance::{channel, concluded, envelope, fault, sent};
use crate::render::samples;

const BASIC: &str = "api_key = 'env:SENDGRID_KEY'\nfrom = 'alerts@example.com'\n";
const TO: &str = "to = ['parts@example.com']\n";

fn reply(status: u16, body: &'static str) -> Reply {
    Reply::new(StatusCode::from_u16(status).unwrap(), body)
}

#[test]
fn the_reset_time_is_waited_for() {
    let message = samples::low_stock();
    let envelope = envelope(&message);
    let mut limited = reply(429, "");
    let reset = (envelope.now.as_second() + 40).to_string();
    limited.headers.insert(RESET, reset.parse().unwrap());
    let channel = channel(KIND, &format!("{BASIC}{TO}"));
    let after = Some(SignedDuration::from_secs(40));
    assert_eq!(
        concluded(&*channel, &envelope, &[limited]),
        Outcome::Limited { after }
    );
}

#[test]
fn a_refusal_quotes_the_field() {
    let message = samples::low_stock();
    let channel = channel(KIND, &format!("{BASIC}{TO}"));
    let refused = |body| concluded(&*channel, &envelope(&message), &[reply(400, body)]);
    assert_eq!(
        refused(r#"{"errors":[{"field":"from","message":"not\nverified"}]}"#),
        Outcome::rejected("HTTP 400: from: notverified")
    );
    assert_eq!(
        refused(r#"{"errors":[{"field":null,"message":"bad"}]}"#),
        Outcome::rejected("HTTP 400: bad")
    );
    assert_eq!(refused("<html>"), Outcome::rejected("HTTP 400"));
}

#[test]
fn the_sandbox_is_asked_for_and_then_believed() {
    let message = samples::low_stock();
    let channel = channel(KIND, &format!("{BASIC}{TO}sandbox = true"));
    let mail = sent(&*channel, &envelope(&message), &[]);
    assert_eq!(mail["mail_settings"]["sandbox_mode"]["enable"], true);
    assert_eq!(
        concluded(&*channel, &envelope(&message), &[reply(200, "")]),
        Outcome::Delivered { receipt: None }
    );
}

#[test]
fn a_region_has_its_own_address() {
    let message = samples::low_stock();
    for (region, host) in [
        ("", "api.sendgrid.com"),
        ("region = 'eu'", "api.eu.sendgrid.com"),
    ] {
        let channel = channel(KIND, &format!("{BASIC}{TO}{region}"));
        let Step::Send(request) = channel.step(&envelope(&message), &[]).unwrap() else {
            panic!("nothing was sent");
        };
        assert_eq!(request.host(), host);
    }
}

#[test]
fn what_a_name_holds_is_no_markup() {
    let mut message = samples::low_stock();
    message.location = Some("<script>\"&'".into());
    message.notes = vec!["<b>".into()];
    let mail = sent(
        &*channel(KIND, &format!("{BASIC}{TO}")),
        &envelope(&message),
        &[],
    );
    let html = mail["content"][1]["value"].as_str().unwrap();
    assert!(
        html.contains("<td>&lt;script&gt;&quot;&amp;&#39;</td>"),
        "{html}"
    );
    assert!(html.contains("<ul><li>&lt;b&gt;</li></ul>"), "{html}");
}

#[test]
fn each_setting_is_checked() {
    for (settings, expected) in [
        (
            "api_key = 'env:A'\nfrom = 'x'\nto = ['a@b.c']".into(),
            "from: is not a mail address",
        ),
        (
            format!("{BASIC}to = []"),
            "to: must name 1 to 1000 recipients",
        ),
        (
            format!("{BASIC}to = ['a@b.c', 'a,b@c.d']"),
            "to: entry 2 is not a mail address",
        ),
        (
            format!("{BASIC}to = ['a@b.c', 'A@B.c']"),
            "to: entry 2 is there twice",
        ),
        (
            format!("{BASIC}{TO}from_name = 'Lagerübersicht'"),
            "from_name: must be ASCII",
        ),
        (
            format!("{BASIC}{TO}reply_to = 'x'"),
            "reply_to: is not a mail address",
        ),
        (
            format!("{BASIC}{TO}template_id = '5'"),
            "template_id: must be a dynamic template, d-…",
        ),
    ] {
        assert_eq!(
            fault(KIND, &settings),
            format!("sendgrid channel, {expected}")
        );
    }
}
