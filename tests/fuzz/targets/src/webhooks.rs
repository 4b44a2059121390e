//! Webhook bodies of every connector, from the signature check to the stock they leave.
//!
//! The head names a setup, and the headers that the sender adds; the body is signed here, so that
//! every input gets past the check it would otherwise die at.

mod setups;
mod stock;

use http::HeaderMap;
use jiff::Timestamp;
use shared::connectors::{Connector, Delivery, ParseError, Parsed, Problem, Push, Signed};
use shared::domain::event::StockEvent;

use self::setups::Setup;
use crate::input::{first_line, headers, one_bit_off, split};

pub(crate) fn run(bytes: &[u8]) {
    let (head, body) = split(bytes);
    let (name, lines) = first_line(head);
    let Some(setup) = Setup::named(name) else {
        return;
    };
    let connector = setup.connector();
    let push = connector
        .push
        .as_deref()
        .expect("each of them takes webhooks");
    // Whatever the sender writes into its headers, without the secret it is not believed.
    let forged = headers(lines);
    assert!(
        push.verify(&delivery(&forged, body)).is_err(),
        "a forged delivery"
    );
    let mut genuine = headers(lines);
    setup.sign(&mut genuine, body);
    let delivery = delivery(&genuine, body);
    let Ok(signed) = push.verify(&delivery) else {
        // The lines may have given a header twice, of which either could be the forged one.
        assert!(
            genuine.keys_len() < genuine.len(),
            "a signed delivery is refused"
        );
        return;
    };
    tampered_with(push, &genuine, body);
    let read = read(push, &signed);
    assert_eq!(read, self::read(push, &signed), "read twice");
    let kept = push.keepable(body);
    let kept = Signed::kept(self::delivery(&genuine, &kept));
    assert_eq!(read, self::read(push, &kept), "read from what is kept");
    match read {
        Ok(parsed) => {
            check(&connector, &parsed);
            stock::check(&parsed.events);
        }
        Err(refused) => {
            assert!(matches!(refused.status(), 400 | 422));
            assert!(!refused.to_string().is_empty());
            assert!(refused.pointer().is_none_or(is_pointer), "{refused}");
        }
    }
}

fn delivery<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Delivery<'a> {
    Delivery {
        method: "POST",
        headers,
        query: None,
        body,
        source_ip: None,
        received: now(),
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_795_356_960).expect("in range")
}

fn read(push: &dyn Push, signed: &Signed<'_>) -> Result<Parsed, ParseError> {
    push.wanted(signed)?;
    push.parse(signed, setups::names())
}

/// A body with one bit changed is not believed under the signature of the body.
fn tampered_with(push: &dyn Push, genuine: &HeaderMap, body: &[u8]) {
    if let Some(changed) = one_bit_off(body) {
        assert!(
            push.verify(&delivery(genuine, &changed)).is_err(),
            "a changed body"
        );
    }
}

fn check(connector: &Connector, parsed: &Parsed) {
    for event in &parsed.events {
        assert_eq!(event.source, connector.name);
        let json = serde_json::to_string(event).expect("an event serializes");
        let again: StockEvent = serde_json::from_str(&json).expect("an event is read again");
        // Versions are kept in whole milliseconds; what was kept once is kept without loss.
        let kept_again = serde_json::to_string(&again).expect("an event serializes");
        assert_eq!(kept_again, json);
        assert_eq!((&again.id, again.at), (&event.id, event.at));
    }
    for rejected in &parsed.quarantine {
        let Problem {
            pointer, sentence, ..
        } = &rejected.problem;
        assert!(is_pointer(pointer), "{pointer:?}");
        assert!(!sentence.is_empty());
        let excerpt = rejected.excerpt.to_string();
        assert!(
            excerpt.len() <= 16 * 1024,
            "an excerpt of {} bytes",
            excerpt.len()
        );
    }
}

fn is_pointer(text: &str) -> bool {
    text.parse::<shared::config::JsonPointer>().is_ok()
}
