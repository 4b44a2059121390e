//! A signed webhook to any system, as Standard Webhooks has it: receivers verify it with ready-made
//! libraries, and recognise a repeated delivery by its id.
//!
//! Other than a vendor, a customer may be mending the endpoint: an ordinary 4xx is tried again. Two
//! answers stand out: 410 (switch it off) and 401 or 403 (they do not accept our signature).

use http::{HeaderName, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::settings::{BaseUrl, ConfigError, Configure, Field, Form};
use super::{Channel, ChannelError, ChannelKind, Envelope, Order, Step};
use crate::delivery::Outcome;
use crate::delivery::outcome::retry_after;
use crate::http::{Reply, Request};
use crate::render::{Limits, Measure, fit};
use crate::secrets::SecretRef;
use crate::signature::LiveSecrets;
use crate::signature::standard::{self, ID, SIGNATURE, TIMESTAMP};

const KIND: ChannelKind = ChannelKind::Webhook;

/// Receivers are advised to accept this much.
const BODY: usize = 20 * 1024;
/// The longest single text in a body that would otherwise be too big, in bytes. Even if JSON had to
/// escape every one of them, sixfold, all texts together would leave room.
const TEXT: usize = 300;

/// Settings of a `webhook` channel.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    url: BaseUrl,
    secret: SecretRef,
    previous_secret: Option<SecretRef>,
}

impl Configure for Settings {
    const EXAMPLE: &'static str = r#"url = "https://customer.example.net/events"
secret = "env:LOTWIRE_WEBHOOK_SECRET""#;
    const ORDER: Order = Order::Each;
    const FIELDS: &'static [Field] = &[
        Field::required("url", Form::Address, "Where to post to."),
        Field::required(
            "secret",
            Form::Secret,
            "The signing secret (whsec_ and base64).",
        ),
        Field::optional(
            "previous_secret",
            Form::Secret,
            "The secret before it, which signs as well until the receiver has changed over.",
        ),
    ];

    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    fn secret_refs(&self) -> Vec<&SecretRef> {
        std::iter::once(&self.secret)
            .chain(&self.previous_secret)
            .collect()
    }

    fn stand_in(&self, _: &SecretRef) -> SecretString {
        SecretString::from("whsec_bm90IHNldCwgbm90IHNldCwgbm90IHNldCE=")
    }

    fn build(
        &self,
        secret: &dyn Fn(&SecretRef) -> SecretString,
    ) -> Result<Box<dyn Channel>, ConfigError> {
        let written: Vec<_> = self.secret_refs().into_iter().map(secret).collect();
        let keys = standard::secrets(&written)
            .map_err(|error| ConfigError::new(KIND, "secret", error.to_string()))?;
        Ok(Box::new(Webhook {
            url: self.url.clone(),
            keys,
            written,
        }))
    }
}

struct Webhook {
    url: BaseUrl,
    keys: LiveSecrets,
    written: Vec<SecretString>,
}

impl Channel for Webhook {
    fn step(&self, envelope: &Envelope<'_>, replies: &[Reply]) -> Result<Step, ChannelError> {
        match replies {
            [] => self.request(envelope).map(Step::Send),
            [.., last] => Ok(Step::Done(outcome(last, envelope))),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            title: Some(Measure::Bytes(600)),
            text: Measure::Bytes(4 * 1024),
        }
    }

    fn accepted(&self, _: &Request) -> Reply {
        Reply::new(StatusCode::NO_CONTENT, "")
    }

    fn secrets(&self) -> Vec<SecretString> {
        self.written.clone()
    }
}

impl Webhook {
    fn request(&self, envelope: &Envelope<'_>) -> Result<Request, ChannelError> {
        let body = body(envelope);
        let id = id(envelope.key);
        let signature = standard::sign(&id, envelope.now, body.as_bytes(), &self.keys);
        let timestamp = envelope.now.as_second().to_string();
        Request::post(self.url.url().clone())
            .header(HeaderName::from_static(ID), &id)
            .and_then(|request| request.header(HeaderName::from_static(TIMESTAMP), &timestamp))
            .and_then(|request| request.header(HeaderName::from_static(SIGNATURE), &signature))
            .map(|request| request.body("application/json", body))
            .map_err(ChannelError::request(KIND))
    }
}

/// The key as an id: no full stop, and two keys never become one.
fn id(key: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/' | b':' | b'#');
    key.bytes()
        .map(|byte| match byte {
            byte if plain(byte) => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The body, below 20 KB whatever the message holds.
fn body(envelope: &Envelope<'_>) -> String {
    let message = envelope.message;
    let about = message
        .digest
        .as_ref()
        .map_or(message.kind.name(), |_| "group");
    let event = |data: &Value| {
        json!({
            "type": format!("stock.{about}.{}", message.change),
            "timestamp": message.at.to_string(),
            "data": data,
        })
        .to_string()
    };
    let mut data = message.as_sent();
    // Where a rule is written is the installation's own business.
    data.as_object_mut().map(|data| data.remove("why"));
    data["title"] = json!(envelope.title);
    data["text"] = json!(envelope.text);
    let whole = event(&data);
    if whole.len() < BODY {
        return whole;
    }
    // Too long: of a group, as many alerts are kept as fit; it has no notes.
    if let Some(alerts) = data["digest"]["alerts"].as_array().cloned() {
        let with = |kept: usize| {
            let mut data = data.clone();
            data["digest"]["alerts"] = json!(alerts[..kept]);
            data["digest"]["overtaken"] = json!([]);
            event(&data)
        };
        let counts: Vec<usize> = (0..=alerts.len()).collect();
        let fitting = counts.partition_point(|&kept| with(kept).len() < BODY);
        return with(fitting.saturating_sub(1));
    }
    // Too long: every text is cut, then as many notes are kept as fit, and the others are counted.
    if message.link.as_ref().is_some_and(|link| link.len() > TEXT) {
        // Half a link leads nowhere.
        data["link"] = Value::Null;
    }
    cut_texts(&mut data);
    let notes = data["notes"].as_array().cloned().unwrap_or_default();
    let with = |kept: usize| {
        let mut data = data.clone();
        data["notes"] = json!(notes[..kept]);
        data["notes_left_out"] = json!(notes.len() - kept);
        event(&data)
    };
    let counts: Vec<usize> = (0..=notes.len()).collect();
    let fitting = counts.partition_point(|&kept| with(kept).len() < BODY);
    with(fitting.saturating_sub(1))
}

fn cut_texts(value: &mut Value) {
    match value {
        Value::String(text) => *text = fit(text, Measure::Bytes(TEXT)).into_owned(),
        Value::Array(values) => values.iter_mut().for_each(cut_texts),
        Value::Object(values) => values.values_mut().for_each(cut_texts),
        _ => {}
    }
}

fn outcome(reply: &Reply, envelope: &Envelope<'_>) -> Outcome {
    match Outcome::of(reply.status, &reply.headers, envelope.now) {
        Outcome::Rejected { .. } if reply.status == StatusCode::GONE => {
            Outcome::rejected("HTTP 410: the endpoint is gone; switch it off")
        }
        Outcome::Rejected { .. } => Outcome::Retry {
            after: retry_after(&reply.headers, envelope.now),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::channels::conformance::{channel, concluded, envelope};
    use crate::render::samples;

    const SETTINGS: &str = "url = 'https://customer.example.net/hook'\nsecret = 'env:NEW_SECRET'";

    #[test]
    fn an_endpoint_that_is_gone_is_to_be_switched_off() {
        let message = samples::low_stock();
        let channel = channel(KIND, SETTINGS);
        let gone = Reply::new(StatusCode::GONE, "");
        let outcome = concluded(&*channel, &envelope(&message), &[gone]);
        let reason = "HTTP 410: the endpoint is gone; switch it off";
        assert_eq!(outcome, Outcome::rejected(reason));
    }

    #[test]
    fn a_secret_of_another_form_is_refused_and_not_quoted() {
        let settings = KIND.settings(SETTINGS.parse().unwrap()).unwrap();
        let error = settings
            .build(|_| SecretString::from("hunter2!"))
            .err()
            .unwrap();
        assert_eq!(error.field, "secret");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_full_body_keeps_as_many_notes_as_it_can() {
        let mut message = samples::low_stock();
        message.notes = (0..2000).map(|n| format!("note {n:04}")).collect();
        let body = body(&envelope(&message));
        // One more note, with its quotes and comma, would not fit.
        let note = "\"note 0000\",".len();
        assert!((BODY - note..BODY).contains(&body.len()), "{}", body.len());
    }

    #[test]
    fn a_link_too_long_for_a_full_body_is_dropped_whole() {
        let mut message = samples::low_stock();
        message.location = Some("x".repeat(30_000));
        let data = |message: &_| -> Value {
            let body: Value = serde_json::from_str(&body(&envelope(message))).unwrap();
            body["data"].clone()
        };
        assert_eq!(data(&message)["link"], json!(message.link));
        message.link = Some(format!("https://stock.example.com/{}", "p".repeat(400)));
        assert_eq!(data(&message)["link"], Value::Null);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn an_id_has_no_full_stop_and_is_the_keys_own(a in "[a-z./%-]{1,12}", b in "[a-z./%-]{1,12}") {
            prop_assert!(!id(&a).contains('.'));
            prop_assert_eq!(id(&a) == id(&b), a == b);
        }

        #[test]
        fn a_body_stays_below_twenty_kilobytes(
            product in "\\PC{0,400}|\u{1}{0,9000}", place in "\\PC{0,400}|\u{1}{0,9000}", notes in prop::collection::vec("\\PC{0,90}", 0..300)
        ) {
            let mut message = samples::low_stock();
            let count = notes.len();
            (message.product, message.location, message.notes) = (product, Some(place), notes);
            let body = body(&envelope(&message));
            prop_assert!(body.len() < BODY, "{} bytes", body.len());
            let body: Value = serde_json::from_str(&body).unwrap();
            let kept = body["data"]["notes"].as_array().map_or(0, Vec::len);
            let left_out = body["data"]["notes_left_out"].as_u64().unwrap_or_default();
            prop_assert_eq!(kept + usize::try_from(left_out).unwrap(), count);
        }
    }
}
