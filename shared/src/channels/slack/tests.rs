use super::*;
use crate::channels::conformance::{channel, concluded, envelope, fault, sent};
use crate::domain::alert::AlertKind;
use crate::render::samples;

const API: &str = "token = 'env:SLACK_TOKEN'\nchannel = 'C0123456789'";
const WEBHOOK: &str = "url = 'env:SLACK_URL'";

fn answer(body: Value) -> Reply {
    Reply::new(StatusCode::OK, body.to_string())
}

#[test]
fn later_revisions_join_the_first_ones_thread() {
    let api = channel(KIND, API);
    let posted = answer(json!({"ok": true, "channel": "C0123456789", "ts": "1768469400.000100"}));
    let message = samples::low_stock();
    let Outcome::Delivered { receipt } = concluded(&*api, &envelope(&message), &[posted]) else {
        panic!("not delivered");
    };
    let resolved = samples::full(AlertKind::LowStock, RevisionKind::Resolved);
    let envelope = Envelope {
        thread: receipt.as_deref(),
        ..envelope(&resolved)
    };
    let body = sent(&*api, &envelope, &[]);
    assert_eq!(body["thread_ts"], "1768469400.000100");
    assert_eq!(body["reply_broadcast"], false);
    let escalated = samples::full(AlertKind::LowStock, RevisionKind::Escalated);
    let envelope = Envelope {
        message: &escalated,
        ..envelope
    };
    assert_eq!(sent(&*api, &envelope, &[])["reply_broadcast"], true);
    // An incoming webhook is told nothing it could thread by.
    assert_eq!(
        sent(&*channel(KIND, WEBHOOK), &envelope, &[])["thread_ts"],
        Value::Null
    );
}

#[test]
fn a_thread_that_is_gone_does_not_lose_the_message() {
    let api = channel(KIND, API);
    let resolved = samples::full(AlertKind::LowStock, RevisionKind::Resolved);
    let threaded = Envelope {
        thread: Some("C0123456789/1.2"),
        ..envelope(&resolved)
    };
    let gone = answer(json!({"ok": false, "error": "cannot_reply_to_message"}));
    let again = sent(&*api, &threaded, std::slice::from_ref(&gone));
    assert_eq!(again["thread_ts"], Value::Null);
    assert_eq!(again["channel"], "C0123456789");
    let twice = [gone.clone(), gone.clone()];
    assert_eq!(
        concluded(&*api, &threaded, &twice),
        Outcome::rejected("cannot_reply_to_message")
    );
    let refused = answer(json!({"ok": false, "error": "is_archived"}));
    assert_eq!(
        concluded(&*api, &threaded, &[refused]),
        Outcome::rejected("is_archived")
    );
    assert_eq!(
        concluded(&*api, &envelope(&resolved), &[gone]).name(),
        "rejected"
    );
}

#[test]
fn a_limit_that_comes_as_a_200_is_waited_for_too() {
    let api = channel(KIND, API);
    let message = samples::low_stock();
    let mut limited = answer(json!({"ok": false, "error": "ratelimited"}));
    limited
        .headers
        .insert("retry-after", http::HeaderValue::from_static("7"));
    let after = Some(SignedDuration::from_secs(7));
    assert_eq!(
        concluded(&*api, &envelope(&message), &[limited]),
        Outcome::Limited { after }
    );
}

#[test]
fn each_of_slacks_names_has_its_meaning() {
    let names = include_str!("../../../../tests/fixtures/slack/errors.json");
    let names: Vec<String> = serde_json::from_str(names).unwrap();
    let meanings: Vec<_> = names
        .iter()
        .map(|name| format!("{name}: {}", named(name, None).unwrap().name()))
        .filter(|meaning| !meaning.ends_with("rejected"))
        .collect();
    insta::assert_snapshot!(meanings.join("\n"));
    assert_eq!(named("<html>", None), None);
    assert_eq!(named("", None), None);
}

#[test]
fn what_a_name_holds_is_no_markup() {
    let mut message = samples::low_stock();
    message.location = Some("<!channel> & <https://evil.example.com|here>".into());
    let body = sent(&*channel(KIND, API), &envelope(&message), &[]);
    let field = &body["blocks"][2]["fields"][0]["text"];
    let expected = "Location\n&lt;!channel&gt; &amp; &lt;https://evil.example.com|here&gt;";
    assert_eq!(field, expected);
}

#[test]
fn a_link_that_no_button_takes_is_left_out() {
    let mut message = samples::low_stock();
    message.link = Some("not a link".into());
    let body = sent(&*channel(KIND, API), &envelope(&message), &[]);
    let types = body["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["type"].as_str().unwrap());
    assert_eq!(
        types.collect::<Vec<_>>(),
        ["header", "section", "section", "context"]
    );
}

#[test]
fn settings_are_one_way_or_the_other() {
    assert_eq!(
        fault(KIND, ""),
        "slack channel, token: set either url, or token and channel"
    );
    assert_eq!(
        fault(KIND, "url = 'env:A'\nchannel = 'C1'"),
        "slack channel, url: set either url, or token and channel"
    );
    assert_eq!(
        fault(KIND, "token = 'env:A'"),
        "slack channel, channel: a token needs the channel to post to"
    );
    let settings = KIND.settings(WEBHOOK.parse().unwrap()).unwrap();
    for (secret, problem) in [
        (
            "xoxb-hunter2",
            "slack channel, url: not an address: it does not begin with https://",
        ),
        (
            "https://hooks.slack.com",
            "slack channel, url: the address has no path",
        ),
    ] {
        let error = settings
            .build(|_| SecretString::from(secret))
            .err()
            .unwrap();
        assert_eq!(error.to_string(), problem);
    }
}
