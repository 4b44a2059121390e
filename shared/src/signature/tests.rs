//! Vectors from `tests/fixtures/signatures`, and what no change to a message may survive.

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::Value;

use super::window::{unix_milliseconds, unix_seconds};
use super::*;

const STANDARD_VECTORS: &str =
    include_str!("../../../tests/fixtures/signatures/standard-webhooks.json");
const VENDOR_VECTORS: &str = include_str!("../../../tests/fixtures/signatures/vendors.json");

fn headers<const N: usize>(pairs: [(&str, &str); N]) -> HeaderMap {
    pairs
        .into_iter()
        .map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                value.parse::<HeaderValue>().unwrap(),
            )
        })
        .collect()
}

fn live(secrets: &[&str]) -> LiveSecrets {
    LiveSecrets::new(&texts(secrets)).unwrap()
}

fn texts(secrets: &[&str]) -> Vec<SecretString> {
    secrets
        .iter()
        .map(|secret| SecretString::from(*secret))
        .collect()
}

/// The first vector of a vendor.
fn vector(vendor: &str) -> Value {
    let all: Value = serde_json::from_str(VENDOR_VECTORS).unwrap();
    all[vendor][0].clone()
}

fn text<'v>(vector: &'v Value, field: &str) -> &'v str {
    vector[field].as_str().unwrap()
}

#[test]
fn vendors_that_sign_the_body() {
    let schemes = [
        ("shopify", HmacSha256::base64("x-shopify-hmac-sha256")),
        ("asana", HmacSha256::hex("x-hook-signature")),
        (
            "jira",
            HmacSha256::hex("x-hub-signature").prefixed("sha256="),
        ),
        (
            "notion",
            HmacSha256::hex("x-notion-signature").prefixed("sha256="),
        ),
        (
            "whatsapp-cloud",
            HmacSha256::hex("x-hub-signature-256").prefixed("sha256="),
        ),
        (
            "pagerduty",
            HmacSha256::hex("x-pagerduty-signature").prefixed("v1="),
        ),
    ];
    for (vendor, scheme) in schemes {
        let vector = vector(vendor);
        let headers = headers([(text(&vector, "header"), text(&vector, "value"))]);
        let body = text(&vector, "body").as_bytes();
        let secrets = live(&["a newer secret", text(&vector, "secret")]);

        let verified = scheme.verify(&headers, &[body], &secrets);
        assert!(verified.is_ok_and(Verified::by_old_secret), "{vendor}");
        assert_eq!(
            scheme.verify(&headers, &[body, b" "], &secrets),
            Err(SignatureError::Mismatch),
            "{vendor}"
        );
        let alone = live(&[text(&vector, "secret")]);
        assert_eq!(scheme.sign(&[body], &alone), text(&vector, "value"));
    }
}

#[test]
fn vendors_that_sign_more_than_the_body() {
    let zendesk = vector("zendesk");
    let message = [text(&zendesk, "timestamp"), text(&zendesk, "body")].map(str::as_bytes);
    let signed = headers([(text(&zendesk, "header"), text(&zendesk, "value"))]);
    let scheme = HmacSha256::base64("x-zendesk-webhook-signature");
    assert!(
        scheme
            .verify(&signed, &message, &live(&[text(&zendesk, "secret")]))
            .is_ok()
    );

    let hubspot = vector("hubspot");
    let parts = ["method", "uri", "body", "timestamp"];
    let message = parts.map(|part| text(&hubspot, part).as_bytes());
    let signed = headers([(text(&hubspot, "header"), text(&hubspot, "value"))]);
    let scheme = HmacSha256::base64("x-hubspot-signature-v3");
    assert!(
        scheme
            .verify(&signed, &message, &live(&[text(&hubspot, "secret")]))
            .is_ok()
    );
    let sent = unix_milliseconds(text(&hubspot, "timestamp")).unwrap();
    assert_eq!(sent.to_string(), "2026-11-22T09:15:00.123Z");

    let mailgun = vector("mailgun");
    let message = [text(&mailgun, "timestamp"), text(&mailgun, "token")].map(str::as_bytes);
    let value = text(&mailgun, "value").as_bytes();
    assert!(
        HmacSha256::hex("signature.signature")
            .verify_value(value, &message, &live(&[text(&mailgun, "secret")]))
            .is_ok()
    );
}

#[test]
fn a_body_signature_is_missing_malformed_or_wrong() {
    let scheme = HmacSha256::hex("x-hub-signature-256").prefixed("sha256=");
    let secrets = live(&["secret"]);
    let verify = |headers: &HeaderMap| scheme.verify(headers, &[b"body"], &secrets);
    let reason = |headers: &HeaderMap| verify(headers).unwrap_err().reason();

    let right = scheme.sign(&[b"body"], &secrets);
    let mut signed = headers([("X-Hub-Signature-256", right.as_str())]);
    assert!(verify(&signed).is_ok_and(|verified| !verified.by_old_secret()));
    signed.append("x-hub-signature-256", HeaderValue::from_static("sha256="));
    assert_eq!(
        reason(&signed),
        "signature_malformed",
        "two signatures are one too many"
    );

    assert_eq!(reason(&HeaderMap::new()), "signature_missing");
    let zeros = format!("sha256={}", "0".repeat(64));
    assert_eq!(
        reason(&headers([("x-hub-signature-256", zeros.as_str())])),
        "signature_mismatch"
    );
    for malformed in [
        "",
        "sha256=",
        "sha1=0",
        &right["sha256=".len()..],
        &right[..70],
    ] {
        let headers = headers([("x-hub-signature-256", malformed)]);
        assert_eq!(reason(&headers), "signature_malformed", "{malformed:?}");
    }
}

struct Standard {
    headers: HeaderMap,
    body: String,
    secret: String,
    sent: Timestamp,
}

fn standard_vectors() -> Vec<Standard> {
    let vectors: Vec<Value> = serde_json::from_str(STANDARD_VECTORS).unwrap();
    assert!(!vectors.is_empty());
    let read = |vector: &Value| {
        let timestamp = vector["timestamp"].as_i64().unwrap();
        Standard {
            headers: headers([
                (standard::ID, text(vector, "id")),
                (standard::TIMESTAMP, timestamp.to_string().as_str()),
                (standard::SIGNATURE, text(vector, "signature")),
            ]),
            body: text(vector, "body").to_owned(),
            secret: text(vector, "secret").to_owned(),
            sent: Timestamp::from_second(timestamp).unwrap(),
        }
    };
    vectors.iter().map(read).collect()
}

impl Standard {
    fn verify_at(&self, later: i64) -> Result<Verified, SignatureError> {
        let now = self.sent + SignedDuration::from_secs(later);
        let secrets = standard::secrets(&texts(&[&self.secret])).unwrap();
        standard::verify(
            &self.headers,
            self.body.as_bytes(),
            &secrets,
            ReplayWindow::default(),
            now,
        )
    }
}

#[test]
fn standard_webhooks_vectors_verify_and_are_what_we_sign() {
    for vector in standard_vectors() {
        let verified = vector.verify_at(7).unwrap();
        assert_eq!(verified.secret, 0);
        assert_eq!(verified.skew, Some(SignedDuration::from_secs(7)));

        let id = vector.headers[standard::ID].to_str().unwrap();
        let secrets = standard::secrets(&texts(&[&vector.secret])).unwrap();
        let signed = standard::sign(id, vector.sent, vector.body.as_bytes(), &secrets);
        assert_eq!(signed, vector.headers[standard::SIGNATURE]);
    }
}

#[test]
fn the_replay_window_is_five_minutes_either_way_and_the_skew_is_told() {
    let message = &standard_vectors()[0];
    for inside in [-300, -299, 0, 299, 300] {
        assert!(message.verify_at(inside).is_ok(), "{inside}");
    }
    let old = message.verify_at(301).unwrap_err();
    assert_eq!(
        (old.reason(), old.skew_seconds()),
        ("timestamp_too_old", Some(301))
    );
    let new = message.verify_at(-301).unwrap_err();
    assert_eq!(
        (new.reason(), new.skew_seconds()),
        ("timestamp_too_new", Some(-301))
    );
    assert_eq!(
        new.to_string(),
        "the message was signed 301 s in the future"
    );

    let hour = ReplayWindow::of(SignedDuration::from_hours(1));
    let now = message.sent + SignedDuration::from_secs(3599);
    assert!(hour.check(message.sent, now).is_ok());
    assert!(
        ReplayWindow::of(-SignedDuration::from_hours(1))
            .check(message.sent, message.sent)
            .is_ok()
    );
}

#[test]
fn a_forged_time_is_a_mismatch_and_moves_no_skew_metric() {
    let mut message = standard_vectors().remove(0);
    message
        .headers
        .insert(standard::TIMESTAMP, HeaderValue::from_static("1"));
    assert_eq!(message.verify_at(0), Err(SignatureError::Mismatch));
}

#[test]
fn a_signed_text_cannot_be_divided_anew() {
    let secrets = live(&["secret"]);
    let at = Timestamp::from_second(1_768_469_400).unwrap();
    // "a.1768469400.1768469401.rest" was signed for the first division of it.
    let signature = standard::sign("a", at, b"1768469401.rest", &secrets);
    let check = |id, timestamp, body: &[u8]| {
        let headers = headers([
            (standard::ID, id),
            (standard::TIMESTAMP, timestamp),
            (standard::SIGNATURE, signature.as_str()),
        ]);
        standard::verify(&headers, body, &secrets, ReplayWindow::default(), at)
    };
    assert!(check("a", "1768469400", b"1768469401.rest").is_ok());
    assert_eq!(
        check("a.1768469400", "1768469401", b"rest"),
        Err(SignatureError::Malformed {
            header: standard::ID
        })
    );
}

#[test]
fn several_signatures_rotation_and_unknown_versions() {
    let mut message = standard_vectors().remove(0);
    let old = message.secret.clone();
    let new = "whsec_bmV3ZXIgc2VjcmV0IG9mIHR3ZW50eSBmb3VyIGJ5dGVz";
    let both = standard::secrets(&texts(&[new, &old])).unwrap();
    let body = message.body.as_bytes();
    let window = ReplayWindow::default();
    let check = |headers: &HeaderMap, secrets: &LiveSecrets| {
        standard::verify(headers, body, secrets, window, message.sent)
    };

    // We know both, the sender signs with the old one only.
    assert!(check(&message.headers, &both).is_ok_and(Verified::by_old_secret));

    // The sender signs with both, we know one or the other.
    let id = message.headers[standard::ID].to_str().unwrap().to_owned();
    let signed = standard::sign(&id, message.sent, body, &both);
    let offered = format!("v1a,AAAA v9,what {signed}");
    let offered = HeaderValue::try_from(offered).unwrap();
    let mut headers = message.headers.clone();
    headers.insert(standard::SIGNATURE, offered);
    for known in [new, old.as_str()] {
        let known = standard::secrets(&texts(&[known])).unwrap();
        assert!(check(&headers, &known).is_ok());
    }

    for (value, reason) in [
        ("v2,AAAA v1a,BBBB", "signature_malformed"),
        ("", "signature_malformed"),
        ("v1", "signature_malformed"),
        ("v1,", "signature_mismatch"),
    ] {
        let value = HeaderValue::from_static(value);
        message.headers.insert(standard::SIGNATURE, value);
        let error = standard::verify(
            &message.headers,
            message.body.as_bytes(),
            &both,
            window,
            message.sent,
        );
        assert_eq!(error.unwrap_err().reason(), reason);
    }
}

#[test]
fn what_is_missing_is_named() {
    for (header, reason) in [
        (standard::ID, "signature_missing"),
        (standard::TIMESTAMP, "timestamp_missing"),
        (standard::SIGNATURE, "signature_missing"),
    ] {
        let mut message = standard_vectors().remove(0);
        message.headers.remove(header);
        let error = message.verify_at(0).unwrap_err();
        assert_eq!(error.reason(), reason);
        assert!(error.to_string().contains(header), "{error}");
    }
    for wrong in ["", "now", "-5", "1e9", "99999999999999999999"] {
        let mut message = standard_vectors().remove(0);
        let wrong = HeaderValue::from_static(wrong);
        message.headers.insert(standard::TIMESTAMP, wrong);
        assert_eq!(
            message.verify_at(0).unwrap_err().reason(),
            "timestamp_malformed"
        );
    }
}

#[test]
fn slack_signs_version_time_and_body() {
    let vector = vector("slack");
    let body = text(&vector, "body").as_bytes();
    let signed = headers([
        (text(&vector, "timestampHeader"), text(&vector, "timestamp")),
        (text(&vector, "header"), text(&vector, "value")),
    ]);
    let secrets = live(&[text(&vector, "secret")]);
    let sent = unix_seconds(text(&vector, "timestamp")).unwrap();
    let window = ReplayWindow::default();
    let late = |seconds| {
        let now = sent + SignedDuration::from_secs(seconds);
        slack::verify(&signed, body, &secrets, window, now)
    };
    assert_eq!(late(299).unwrap().skew.unwrap().as_secs(), 299);
    assert_eq!(late(301).unwrap_err().reason(), "timestamp_too_old");
    assert_eq!(
        slack::verify(&signed, b"payload=", &secrets, window, sent),
        Err(SignatureError::Mismatch)
    );
}

#[test]
fn a_secret_in_a_header() {
    let vector = vector("telegram");
    let header = "x-telegram-bot-api-secret-token";
    let sent = headers([(text(&vector, "header"), text(&vector, "value"))]);
    let known = live(&["newer", text(&vector, "secret")]);
    assert!(shared_secret::verify_header(header, &sent, &known).is_ok_and(Verified::by_old_secret));
    let wrong = live(&["tg-Example_secret-2"]);
    assert_eq!(
        shared_secret::verify_header(header, &sent, &wrong),
        Err(SignatureError::Mismatch)
    );
}

#[test]
fn basic_authentication() {
    let passwords = live(&["open sesame", "old:one"]);
    let check = |value: &str| {
        shared_secret::verify_basic(&headers([("authorization", value)]), "Aladdin", &passwords)
            .map(|verified| verified.secret)
            .map_err(|error| error.reason())
    };
    // The example of RFC 7617.
    assert_eq!(check("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Ok(0));
    assert_eq!(check("basic QWxhZGRpbjpvbGQ6b25l"), Ok(1));
    // "Aladdix:open sesame", "Aladdin:", then nothing of the kind.
    assert_eq!(
        check("Basic QWxhZGRpeDpvcGVuIHNlc2FtZQ=="),
        Err("signature_mismatch")
    );
    assert_eq!(check("Basic QWxhZGRpbjo="), Err("signature_mismatch"));
    for malformed in ["", "Basic", "Basic !", "Bearer abc", "Basic QWxhZGRpbg=="] {
        assert_eq!(check(malformed), Err("signature_malformed"), "{malformed}");
    }
}

#[test]
fn secrets_that_would_let_anybody_in_are_refused() {
    assert_eq!(LiveSecrets::new(&[]).unwrap_err(), SecretsError::None);
    assert_eq!(
        LiveSecrets::new(&texts(&["good", ""])).unwrap_err(),
        SecretsError::Empty { number: 2 }
    );
    assert_eq!(
        standard::secrets(&texts(&["whsec_"])).unwrap_err(),
        SecretsError::Empty { number: 1 }
    );
    let error = standard::secrets(&texts(&["whsec_hunter2!"])).unwrap_err();
    assert_eq!(error, SecretsError::NotBase64 { number: 1 });
    assert!(!error.to_string().contains("hunter2"));
    assert_eq!(format!("{:?}", live(&["hunter2", "x"])), "LiveSecrets(2)");
}

/// `bytes` with one bit changed.
fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let index = bit / 8 % bytes.len();
    bytes[index] ^= 1 << (bit % 8);
    bytes
}

proptest! {
    #[test]
    fn one_flipped_bit_of_a_standard_webhook_is_refused(part in 0usize..4, bit: usize, which in 0usize..2) {
        let mut message = standard_vectors().remove(which);
        let parts = [standard::ID, standard::TIMESTAMP, standard::SIGNATURE];
        let secrets = standard::secrets(&texts(&[&message.secret])).unwrap();
        let mut body = message.body.clone().into_bytes();
        match parts.get(part) {
            Some(header) => {
                let value = flipped(message.headers[*header].as_bytes(), bit);
                // What is no header value does not arrive as one.
                let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
                message.headers.insert(*header, value);
            }
            None => body = flipped(&body, bit),
        }
        // A window that never closes, so that nothing but the signature can refuse it.
        let open = ReplayWindow::of(SignedDuration::MAX);
        prop_assert!(standard::verify(&message.headers, &body, &secrets, open, message.sent).is_err());
    }

    #[test]
    fn one_flipped_bit_of_a_signed_body_is_refused(body in proptest::collection::vec(any::<u8>(), 1..200), in_body: bool, bit: usize) {
        let secrets = live(&["secret"]);
        for scheme in [HmacSha256::hex("x-signature").prefixed("sha256="), HmacSha256::base64("x-signature")] {
            let signature = scheme.sign(&[&body], &secrets);
            prop_assert!(scheme.verify_value(signature.as_bytes(), &[&body], &secrets).is_ok());
            let refused = if in_body {
                scheme.verify_value(signature.as_bytes(), &[&flipped(&body, bit)], &secrets)
            } else {
                scheme.verify_value(&flipped(signature.as_bytes(), bit), &[&body], &secrets)
            };
            prop_assert!(refused.is_err());
        }
    }

    #[test]
    fn what_we_sign_verifies(id in "[a-zA-Z0-9_]{1,40}", body: Vec<u8>, second in 0i64..4_000_000_000, key in proptest::collection::vec(any::<u8>(), 1..64)) {
        let secrets = LiveSecrets::from_keys([secrecy::SecretSlice::from(key)]).unwrap();
        let at = Timestamp::from_second(second).unwrap();
        let signed = headers([
            (standard::ID, id.as_str()),
            (standard::TIMESTAMP, second.to_string().as_str()),
            (standard::SIGNATURE, standard::sign(&id, at, &body, &secrets).as_str()),
        ]);
        prop_assert!(standard::verify(&signed, &body, &secrets, ReplayWindow::default(), at).is_ok());
    }
}
