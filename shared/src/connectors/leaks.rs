//! Whatever goes wrong with a connector, its secrets are not in what is said of it, and neither is a
//! body that nobody has vouched for.
//!
//! A built connector cannot be printed at all: it has no `Debug`.

use http::HeaderValue;
use serde_json::json;

use super::bench::*;
use super::{BuildError, Connector, ConnectorKind, webhook_secrets};
use crate::clock::Clock;
use crate::telemetry;
use crate::testing::Captured;

/// What tells a secret of each kind, whatever is written around it.
fn telling(kind: ConnectorKind) -> [&'static str; 2] {
    secrets(kind).map(|secret| secret.trim_start_matches("whsec_"))
}

#[test]
fn no_secret_is_shown_whatever_is_delivered() {
    let log = Captured::default();
    let writer = log.clone();
    let everything = "trace".parse().unwrap();
    let subscriber = telemetry::in_lambda(move || writer.clone(), &everything, Clock::system());
    let _listening = tracing::subscriber::set_default(subscriber);
    let mut refused = 0;
    for sample in samples() {
        let connector = receiver(&sample);
        let push = connector.push.as_ref().unwrap();
        let secret = secrets(sample.kind)[0];
        let mut said = vec![format!("{:?}", settings(sample.kind))];

        // As it should be.
        let headers = signed(&sample, secret, now());
        let genuine = delivery(&headers, &sample.body, now());
        let proven = push.verify(&genuine).unwrap();
        said.push(format!("{genuine:?} {proven:?}"));
        said.push(format!("{:?}", push.wanted(&proven)));
        said.push(format!("{:?}", push.parse(&proven, &names())));

        // Signatures that are none: the secret itself in the place of one, nothing, not even text.
        let header = signature_header(sample.kind);
        for forged in [
            secret.as_bytes(),
            b"",
            b"\xff\xfe",
            b"v1,AAAA",
            b"sha256=00",
        ] {
            let mut headers = headers.clone();
            headers.insert(header, HeaderValue::from_bytes(forged).unwrap());
            let forged = delivery(&headers, &sample.body, now());
            let error = push.verify(&forged).unwrap_err();
            refused += 1;
            said.push(format!("{error} {error:?} {} {forged:?}", error.reason()));
        }
        let mut unsigned = headers.clone();
        unsigned.remove(header);
        let error = push
            .verify(&delivery(&unsigned, &sample.body, now()))
            .unwrap_err();
        said.push(format!("{error} {error:?}"));

        // Signed, and broken; the sender put the secret into it.
        for broken in [
            secret.to_owned(),
            format!("{{\"secret\": \"{secret}\""),
            format!("{{\"{secret}\": 1, \"type\": \"{secret}\", \"data\": \"{secret}\"}}"),
            format!("<{secret}>{secret}</a>"),
            format!("<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"{secret}\">]><a>&b;</a>"),
        ] {
            let broken = sample.with_bytes(broken);
            let headers = signed(&broken, secret, now());
            let delivery = delivery(&headers, &broken.body, now());
            let proven = push.verify(&delivery).unwrap();
            said.push(format!("{delivery:?} {proven:?}"));
            if let Err(error) = push.wanted(&proven) {
                said.push(format!("{error} {error:?}"));
            }
            if let Err(error) = push.parse(&proven, &names()) {
                refused += 1;
                said.push(format!("{error} {error:?}"));
            }
        }

        said.push(log.text());
        for words in said {
            for secret in telling(sample.kind) {
                assert!(!words.contains(secret), "{}: {words}", sample.name);
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_secret_that_cannot_be_right_is_refused_without_a_word_of_it() {
    for kind in ConnectorKind::ALL {
        let built = |secrets: &[&str]| -> Result<(), BuildError> {
            let name = "bench".parse().unwrap();
            Connector::build(name, &settings(*kind), &texts(secrets)).map(drop)
        };
        let mut errors = vec![built(&[]).unwrap_err(), built(&[""]).unwrap_err()];
        errors.extend(built(&["whsec_hunter2 hunter2"]).err());
        errors.extend(built(&[secrets(*kind)[0], "whsec_hunter2 hunter2"]).err());
        errors.extend(built(&["hunter2", ""]).err());
        for error in errors {
            let shown = format!("{error} {error:?} {:?}", error.problem);
            assert!(!shown.contains("hunter2"), "{}: {shown}", kind.name());
        }
        // A secret in the place of a reference to it.
        let plain = match kind {
            ConnectorKind::Dealertrack => json!({"verify": {"secret": "hunter2"}}),
            _ => json!({"webhook": {"secret": "hunter2"}}),
        };
        let mut stored = serde_json::to_value(settings(*kind)).unwrap();
        merge(&mut stored, plain);
        let error = serde_json::from_value::<crate::config::connector::ConnectorSettings>(stored);
        let error = error.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{}: {shown}", kind.name());
        assert_eq!(webhook_secrets(&settings(*kind)).len(), 1);
    }
}
