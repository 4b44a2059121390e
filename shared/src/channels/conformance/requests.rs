//! What is sent says what happened, within the vendor's limits, under one key.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::domain::alert::{AlertKind, RevisionKind};
use crate::http::mask;
use crate::render::samples;
use crate::signature::{ReplayWindow, standard};

/// Everything a body says, as one text: form fields or JSON strings and numbers.
fn said(request: &Request) -> String {
    fn collect(value: &serde_json::Value, text: &mut String) {
        match value {
            serde_json::Value::Array(values) => {
                values.iter().for_each(|value| collect(value, text))
            }
            serde_json::Value::Object(values) => values.iter().for_each(|(key, value)| {
                *text += &format!("{key}=");
                collect(value, text);
            }),
            serde_json::Value::String(one) => *text += &format!("{one}\n"),
            other => *text += &format!("{other}\n"),
        }
    }
    let mut text = String::new();
    collect(&body(request), &mut text);
    text
}

#[test]
fn the_message_contract_reaches_the_reader() {
    for case in all() {
        let channel = case.channel(case.home);
        let said = said(&request(&*channel, samples::low_stock()));
        // A text message is short: what, where, and a link to the rest.
        let short = channel.limits().title.is_none();
        let changed = ["5 → 2", "5 -> 2"]
            .iter()
            .any(|change| said.contains(change))
            || (said.contains("before=")
                && said.contains("available=5")
                && said.contains("available=2"));
        assert!(
            changed || short,
            "{}: old and new quantity in {said}",
            case.name
        );
        let said = said.to_lowercase();
        for wanted in [
            "just 2 units left",
            "milano nord",
            "oil",
            "https://stock.example.com/p/oil-5w40?at=milano",
        ] {
            assert!(said.contains(wanted), "{}: {wanted} in {said}", case.name);
        }
        for wanted in ["reserved", "threshold"] {
            assert!(said.contains(wanted) || short, "{}: {wanted}", case.name);
        }
        // Which rule, and where it is written, is for whoever asks to have it explained.
        assert!(!said.contains("3 or fewer"), "{}: {said}", case.name);
    }
}

/// Messages that strain the limits, each in its own way.
fn big_messages() -> Vec<Message> {
    let mut listing = samples::full(AlertKind::FeedSuspect, RevisionKind::Opened);
    listing.notes = (1..=500)
        .map(|n| format!("SKU-{n:05} <Oil & Filter> would be removed"))
        .collect();
    let mut wordy = samples::low_stock();
    wordy.product = "Größe 🚗 & <b>".repeat(400);
    wordy.location = Some("在庫 ".repeat(800));
    wordy.why = Some("x&".repeat(3000));
    wordy.link = Some(format!("https://stock.example.com/{}", "p".repeat(4000)));
    let mut bare = samples::bare(AlertKind::LowStock, RevisionKind::Resolved);
    bare.product = String::new();
    let mut many = samples::digest();
    if let Some(digest) = &mut many.digest {
        (digest.total, digest.open) = (50_000, 49_999);
        digest.alerts = vec![wordy.clone(); 25];
    }
    let few = samples::digest();
    vec![samples::low_stock(), listing, wordy, bare, many, few]
}

#[test]
fn a_request_keeps_to_the_vendors_description_and_limits_whatever_it_holds() {
    for case in all() {
        let channel = case.channel(case.home);
        for (index, message) in big_messages().into_iter().enumerate() {
            let faults = (case.faults)(&request(&*channel, message));
            assert!(
                faults.is_empty(),
                "{}, message {index}: {faults:?}",
                case.name
            );
        }
    }
}

/// What a name holds is shown as it is, and is no more than a name.
#[test]
fn a_name_forges_nothing_on_any_channel() {
    let mut message = samples::low_stock();
    message.product =
        "*Oil* _5W_ ~40~ `x` <b>&amp;\u{202e}99\u{200b}\r\nAvailable: 900\u{7}".into();
    message.location = Some("North\nStock recovered".into());
    message.notes = vec!["a\u{2028}b".into()];
    let name = "*Oil* _5W_ ~40~ `x` <b>&amp;99 Available: 900";
    for case in all() {
        let channel = case.channel(case.home);
        let said = said(&request(&*channel, message.clone()));
        let escaped = name
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let short = name.replace('`', "'");
        let literal = [name, &escaped, &short]
            .into_iter()
            .any(|name| said.contains(name));
        assert!(literal, "{}: {said}", case.name);
        assert!(
            said.contains("North Stock recovered"),
            "{}: {said}",
            case.name
        );
        for odd in ['\u{202e}', '\u{200b}', '\u{2028}', '\r', '\u{7}'] {
            assert!(!said.contains(odd), "{}: {odd:?} in {said}", case.name);
        }
        for forged in ["\nAvailable: 900", "\nStock recovered"] {
            assert!(!said.contains(forged), "{}: {said}", case.name);
        }
        assert!(
            !said.contains("mrkdwn\n"),
            "{}: Slack reads marks in {said}",
            case.name
        );
    }
}

#[test]
fn notes_left_out_are_counted() {
    // A text message says the first of them, and its link leads to the others.
    for case in all() {
        let channel = case.channel(case.home);
        if channel.limits().title.is_none() {
            continue;
        }
        let [_, listing, ..] = &big_messages()[..] else {
            panic!("four messages");
        };
        let said = said(&request(&*channel, listing.clone()));
        let shown = said.matches("would be removed").count();
        // Mail in two forms says everything twice.
        let forms = if case.name == "sendgrid_content" {
            2
        } else {
            1
        };
        let left_out = ["… and ", "... and ", "notes_left_out="]
            .iter()
            .find_map(|mark| {
                let (_, rest) = said.split_once(mark)?;
                rest.split(|c: char| !c.is_ascii_digit())
                    .next()?
                    .parse::<usize>()
                    .ok()
            });
        assert_eq!(
            shown / forms + left_out.unwrap_or_default(),
            500,
            "{}: {said}",
            case.name
        );
    }
}

#[test]
fn every_attempt_carries_the_same_key() {
    for case in all() {
        let channel = case.channel(case.home);
        let letter = Letter::new(samples::low_stock(), &*channel);
        let at = |attempt: u32, key| {
            let later = now() + SignedDuration::from_mins(10) * i32::try_from(attempt).unwrap();
            let envelope = Envelope {
                attempt,
                key,
                now: later,
                ..letter.envelope()
            };
            match channel.step(&envelope, &[]).unwrap() {
                Step::Send(request) => request,
                other => panic!("{other:?}"),
            }
        };
        let (first, third, other) = (at(1, KEY), at(3, KEY), at(1, "0199b6a1/2/ops.desk"));
        assert_eq!(first.body, third.body, "{}", case.name);
        if let Some(key) = case.key {
            assert_eq!(key(&first), key(&third), "{}", case.name);
            assert_ne!(key(&first), key(&other), "{}", case.name);
        }
    }
}

#[test]
fn the_golden_requests() {
    for case in all() {
        let channel = case.channel(case.home);
        let request = request(&*channel, samples::low_stock());
        let masked = mask(&request, &channel.secrets());
        let shown = serde_json::json!({
            "request": format!("{} {}", masked.method, masked.url),
            "headers": masked.headers,
            "body": body(&request),
        });
        insta::assert_json_snapshot!(case.name, shown);
    }
}

#[test]
fn a_webhook_is_signed_anew_on_each_attempt_with_both_secrets() {
    let case = cases(ChannelKind::Webhook).remove(0);
    let channel = case.channel(case.home);
    let letter = Letter::new(samples::low_stock(), &*channel);
    for (attempt, later) in [(1, 0), (2, 3600)] {
        let sent = now() + SignedDuration::from_secs(later);
        let envelope = Envelope {
            attempt,
            now: sent,
            ..letter.envelope()
        };
        let Step::Send(request) = channel.step(&envelope, &[]).unwrap() else {
            panic!("nothing was sent");
        };
        for name in ["env:NEW_SECRET", "env:OLD_SECRET"] {
            let keys = [cases::secret(&name.parse().unwrap(), "")];
            let keys = standard::secrets(&keys).unwrap();
            let window = ReplayWindow::default();
            let verified = standard::verify(&request.headers, &request.body, &keys, window, sent);
            assert!(verified.is_ok(), "{name}: {verified:?}");
        }
    }
}

/// Text as it may come from a feed: any script, markup, blanks, none at all.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,60}",
        "[&<>\"'*_~`|€ –\n]{0,400}",
        "(é|🚗|x ){0,900}"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_message_breaks_the_vendors_rules(
        product in texts(),
        location in prop::option::of(texts()),
        why in prop::option::of(texts()),
        link in prop::option::of("https://stock\\.example\\.com/[a-z?=&<]{0,300}|[ -~]{0,30}"),
        notes in prop::collection::vec(texts(), 0..8),
        kind in prop::sample::select(AlertKind::ALL),
        change in prop::sample::select(RevisionKind::ALL),
        quantity in any::<i64>(),
    ) {
        let mut message = samples::full(kind, change);
        message.days_of_supply = Some(quantity);
        (message.product, message.location, message.why) = (product, location, why);
        (message.link, message.notes) = (link, notes);
        for case in all() {
            let channel = case.channel(case.home);
            let faults = (case.faults)(&request(&*channel, message.clone()));
            prop_assert!(faults.is_empty(), "{}: {:?}", case.name, faults);
        }
    }
}
