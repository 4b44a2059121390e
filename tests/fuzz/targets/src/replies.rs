//! What vendors answer.
//!
//! The head names a way of setting a channel up, a status and headers; the body is the vendor's. A
//! channel gets the same answer to everything it asks. It comes to an end, and what it makes of the
//! answer is bounded, fit for a log, and holds no secret.

use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use shared::channels::{Channel, ChannelKind, Envelope, Step};
use shared::delivery::Outcome;
use shared::delivery::outcome::{reset_at, retry_after};
use shared::domain::message::Message;
use shared::http::Reply;

use crate::input::{first_line, headers, split};
use crate::templates;

/// The longest wait that a vendor can impose.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(1);
/// An exchange is given up after so many requests.
const MOST_REQUESTS: usize = 8;

/// How each channel may be set up.
const SETUPS: &[(&str, ChannelKind, &str)] = &[
    (
        "slack api",
        ChannelKind::Slack,
        "token = 'env:SLACK_TOKEN'\nchannel = 'C0123456789'",
    ),
    ("slack webhook", ChannelKind::Slack, "url = 'env:SLACK_URL'"),
    (
        "twilio",
        ChannelKind::TwilioSms,
        "account_sid = 'AC00000000000000000000000000000001'\nauth_token = 'env:TWILIO_TOKEN'\n\
         to = '+393331234567'\nfrom = '+15005550006'",
    ),
    (
        "sendgrid",
        ChannelKind::SendGrid,
        "api_key = 'env:SENDGRID_KEY'\nfrom = 'alerts@example.com'\nto = ['parts@example.com']",
    ),
    (
        "webhook",
        ChannelKind::Webhook,
        "url = 'https://customer.example.net/events'\nsecret = 'env:WEBHOOK_SECRET'",
    ),
];

pub(crate) fn run(bytes: &[u8]) {
    let (head, body) = split(bytes);
    let (line, lines) = first_line(head);
    let Some((name, status)) = line.rsplit_once(' ') else {
        return;
    };
    let status = status
        .parse()
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok());
    let (Some(status), Some(channel)) = (status, channel(name)) else {
        return;
    };
    let headers = headers(lines);
    waits(&headers);
    let mut reply = Reply::new(status, body.to_vec());
    reply.headers = headers;
    let message = templates::least();
    let outcome = exchanged(&*channel, &message, &reply);
    let secrets = channel.secrets();
    check(&outcome.masked(&secrets), &secrets);
}

fn channel(name: &str) -> Option<Box<dyn Channel>> {
    let (_, kind, settings) = SETUPS.iter().find(|(known, ..)| *known == name)?;
    let table = settings.parse().expect("TOML");
    let settings = kind.settings(table).expect("settings");
    let channel = settings.build(|reference| {
        SecretString::from(match reference.to_string().as_str() {
            "env:SLACK_URL" => {
                "https://hooks.slack.com/services/T00000000/B00000000/hunter2hunter2"
            }
            "env:WEBHOOK_SECRET" => "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
            _ => "hunter2-hunter2-hunter2",
        })
    });
    Some(channel.expect("a channel"))
}

fn now() -> Timestamp {
    Timestamp::from_second(1_795_356_960).expect("in range")
}

/// However a vendor writes it, a wait is neither negative nor longer than a day.
fn waits(headers: &HeaderMap) {
    for wait in [
        retry_after(headers, now()),
        reset_at(headers, "x-ratelimit-reset", now()),
    ] {
        assert!(wait.is_none_or(bounded), "{wait:?}");
    }
}

fn bounded(wait: SignedDuration) -> bool {
    (SignedDuration::ZERO..=LONGEST_WAIT).contains(&wait)
}

/// The steps of a channel whose vendor always answers the same.
fn exchanged(channel: &dyn Channel, message: &Message, reply: &Reply) -> Outcome {
    let envelope = Envelope {
        message,
        title: "Low stock",
        text: "Two are left.",
        key: "0199b6a1/1/stock-room",
        now: now(),
        attempt: 2,
        thread: None,
    };
    let mut replies = Vec::new();
    while replies.len() <= MOST_REQUESTS {
        match channel.step(&envelope, &replies) {
            Ok(Step::Done(outcome)) => return outcome,
            Ok(Step::Send(_) | Step::Ask(_)) => replies.push(reply.clone()),
            Err(error) => panic!("a message cannot be put into a request: {error}"),
        }
    }
    panic!("not done after {MOST_REQUESTS} requests");
}

fn check(outcome: &Outcome, secrets: &[SecretString]) {
    let said = match outcome {
        Outcome::Delivered { receipt } => {
            let receipt = receipt.as_deref().unwrap_or_default();
            assert!(receipt.chars().count() <= 200, "{receipt:?}");
            assert!(!receipt.contains(char::is_control), "{receipt:?}");
            receipt
        }
        Outcome::Denied { reason } | Outcome::Rejected { reason } | Outcome::NotSent { reason } => {
            assert!(
                reason.chars().count() <= 200 && !reason.is_empty(),
                "{reason:?}"
            );
            assert!(!reason.contains(char::is_control), "{reason:?}");
            reason
        }
        Outcome::Retry { after } | Outcome::Limited { after } => {
            assert!(after.is_none_or(bounded), "{after:?}");
            ""
        }
        Outcome::Unknown => "",
    };
    // An honest vendor does not echo our credentials; a careless one must not get them into a log.
    for secret in secrets {
        let secret = secret.expose_secret();
        assert!(!said.contains(secret), "{} shows a secret", outcome.name());
    }
    let json = serde_json::to_string(outcome).expect("an outcome is kept");
    assert_eq!(serde_json::from_str(&json).ok().as_ref(), Some(outcome));
}
