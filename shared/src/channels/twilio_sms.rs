//! Text messages through Twilio. One configured channel has one recipient, so that a number that
//! fails never makes another one ring twice.
//!
//! Twilio has no idempotency key for messages: after an unknown outcome a rare double is possible.
//! An accepted message is queued, not delivered; what became of it comes later, by status callback.

use http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;

use super::settings::{BaseUrl, ConfigError, Configure, Field, Form};
use super::{Channel, ChannelError, ChannelKind, Envelope, Order, Step};
use crate::delivery::Outcome;
use crate::http::{Reply, Request};
use crate::render::words::below;
use crate::render::{Limits, Measure, gsm7};
use crate::secrets::SecretRef;

const KIND: ChannelKind = ChannelKind::TwilioSms;

/// Settings of a `twilio_sms` channel.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    account_sid: String,
    auth_token: Option<SecretRef>,
    api_key_sid: Option<String>,
    api_key_secret: Option<SecretRef>,
    to: String,
    from: Option<String>,
    messaging_service_sid: Option<String>,
    #[serde(default = "two")]
    max_segments: u8,
    status_callback: Option<BaseUrl>,
    #[serde(default = "official")]
    base_url: BaseUrl,
}

const fn two() -> u8 {
    2
}

#[expect(clippy::expect_used, reason = "a literal address, read by every test")]
fn official() -> BaseUrl {
    "https://api.twilio.com".parse().expect("an address")
}

impl Configure for Settings {
    const EXAMPLE: &'static str = r#"account_sid = "AC00000000000000000000000000000000"
auth_token = "env:LOTWIRE_TWILIO_AUTH_TOKEN"
from = "+15005550006"
to = "+393331234567""#;
    const ORDER: Order = Order::Latest;
    const FIELDS: &'static [Field] = &[
        Field::required("account_sid", Form::Text, "The account (AC…)."),
        Field::optional(
            "auth_token",
            Form::Secret,
            "The account's token; or use an API key.",
        ),
        Field::optional(
            "api_key_sid",
            Form::Text,
            "An API key (SK…); needs api_key_secret.",
        ),
        Field::optional("api_key_secret", Form::Secret, "The API key's secret."),
        Field::required("to", Form::Text, "The one recipient, as +393331234567."),
        Field::optional(
            "from",
            Form::Text,
            "A number or name of ours that may send; or use a messaging service.",
        ),
        Field::optional(
            "messaging_service_sid",
            Form::Text,
            "A messaging service (MG…) that picks the sender.",
        ),
        Field::optional(
            "max_segments",
            Form::Number,
            "The most parts that one alert may cost, 1 to 10; 2 unless set.",
        ),
        Field::optional(
            "status_callback",
            Form::Address,
            "Where Twilio reports what became of a message.",
        ),
        Field::optional(
            "base_url",
            Form::Address,
            "Where the API lives; https://api.twilio.com unless set.",
        ),
    ];

    fn check(&self) -> Result<(), ConfigError> {
        let fault = |field, problem: &str| Err(ConfigError::new(KIND, field, problem));
        if !is_sid("AC", &self.account_sid) {
            return fault("account_sid", "must be AC and 32 hexadecimal digits");
        }
        match (&self.auth_token, &self.api_key_sid, &self.api_key_secret) {
            (Some(_), None, None) => {}
            (None, Some(sid), Some(_)) if is_sid("SK", sid) => {}
            (None, Some(_), Some(_)) => {
                return fault("api_key_sid", "must be SK and 32 hexadecimal digits");
            }
            (None, Some(_), None) => return fault("api_key_secret", "is missing"),
            (None, None, Some(_)) => return fault("api_key_sid", "is missing"),
            _ => {
                return fault(
                    "auth_token",
                    "set either auth_token, or api_key_sid and api_key_secret",
                );
            }
        }
        let digits = self.to.strip_prefix('+').unwrap_or_default();
        if !(8..=15).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return fault("to", "must be + and 8 to 15 digits, such as +393331234567");
        }
        match (&self.from, &self.messaging_service_sid) {
            (Some(from), None) if !from.trim().is_empty() => {}
            (None, Some(sid)) if is_sid("MG", sid) => {}
            (None, Some(_)) => {
                return fault(
                    "messaging_service_sid",
                    "must be MG and 32 hexadecimal digits",
                );
            }
            _ => return fault("from", "set either from or messaging_service_sid"),
        }
        if !(1..=10).contains(&self.max_segments) {
            return fault("max_segments", "must be 1 to 10");
        }
        Ok(())
    }

    fn secret_refs(&self) -> Vec<&SecretRef> {
        self.auth_token.iter().chain(&self.api_key_secret).collect()
    }

    fn build(
        &self,
        secret: &dyn Fn(&SecretRef) -> SecretString,
    ) -> Result<Box<dyn Channel>, ConfigError> {
        let (user, password) = match (&self.auth_token, &self.api_key_sid, &self.api_key_secret) {
            (_, Some(sid), Some(key)) => (sid, key),
            (Some(token), _, _) => (&self.account_sid, token),
            _ => return Err(ConfigError::new(KIND, "auth_token", "is missing")),
        };
        let account = self.account_sid.as_str();
        Ok(Box::new(TwilioSms {
            url: self
                .base_url
                .at(["2010-04-01", "Accounts", account, "Messages.json"]),
            user: user.clone(),
            password: secret(password),
            settings: self.clone(),
        }))
    }
}

fn is_sid(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

struct TwilioSms {
    url: Url,
    user: String,
    password: SecretString,
    settings: Settings,
}

impl Channel for TwilioSms {
    fn step(&self, envelope: &Envelope<'_>, replies: &[Reply]) -> Result<Step, ChannelError> {
        match replies {
            [] => self.request(envelope).map(Step::Send),
            [.., last] => Ok(Step::Done(outcome(last, envelope))),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            title: None,
            text: Measure::Segments(self.parts()),
        }
    }

    fn accepted(&self, request: &Request) -> Reply {
        let digest = hex::encode(&Sha256::digest(&request.body)[..16]);
        let reply = json!({"sid": format!("SM{digest}"), "status": "queued", "error_code": null});
        Reply::new(StatusCode::CREATED, reply.to_string())
    }

    fn secrets(&self) -> Vec<SecretString> {
        vec![self.password.clone()]
    }
}

impl TwilioSms {
    fn parts(&self) -> usize {
        usize::from(self.settings.max_segments)
    }

    fn request(&self, envelope: &Envelope<'_>) -> Result<Request, ChannelError> {
        let body = body(envelope, self.parts());
        let mut form = vec![("To", self.settings.to.as_str())];
        form.extend(
            self.settings
                .from
                .iter()
                .map(|from| ("From", from.as_str())),
        );
        let service = self.settings.messaging_service_sid.iter();
        form.extend(service.map(|sid| ("MessagingServiceSid", sid.as_str())));
        form.push(("Body", &body));
        let callback = self.settings.status_callback.iter();
        form.extend(callback.map(|address| ("StatusCallback", address.url().as_str())));
        Request::post(self.url.clone())
            .form(&form)
            .basic(&self.user, &self.password)
            .map_err(ChannelError::request(KIND))
    }
}

/// The text, and what else there is room for.
fn body(envelope: &Envelope<'_>, parts: usize) -> String {
    let room = Measure::Segments(parts);
    let whole = below(envelope.message, envelope.text, room);
    gsm7::fit(&whole, parts).into_owned()
}

#[derive(Debug, Default, Deserialize)]
struct Created {
    sid: Option<String>,
    #[serde(default)]
    status: String,
}

#[derive(Debug, Default, Deserialize)]
struct Fault {
    code: Option<u32>,
}

fn outcome(reply: &Reply, envelope: &Envelope<'_>) -> Outcome {
    let usual = Outcome::of(reply.status, &reply.headers, envelope.now);
    if reply.status.is_success() {
        return match reply.json::<Created>().unwrap_or_default() {
            Created { status, .. }
                if matches!(status.as_str(), "failed" | "undelivered" | "canceled") =>
            {
                Outcome::rejected(format!("Twilio took the message and says {status}"))
            }
            Created { sid: Some(sid), .. } => Outcome::delivered(Some(sid)),
            // Not what Twilio answers: something between us and Twilio spoke.
            Created { sid: None, .. } => Outcome::Unknown,
        };
    }
    // Branch on the code; the words may hold the recipient's number.
    let code = reply.json::<Fault>().unwrap_or_default().code;
    match (code, &usual) {
        (Some(20429 | 21611), _) => Outcome::Limited {
            after: crate::delivery::outcome::retry_after(&reply.headers, envelope.now),
        },
        (Some(20003), _) => Outcome::denied("Twilio 20003: bad credentials"),
        (Some(code), Outcome::Rejected { .. }) => {
            Outcome::rejected(format!("Twilio {code}: {}", meaning(code)))
        }
        (Some(code), Outcome::Denied { .. }) => {
            Outcome::denied(format!("Twilio {code}: {}", meaning(code)))
        }
        _ => usual,
    }
}

const fn meaning(code: u32) -> &'static str {
    match code {
        21211 => "the recipient's number is not valid",
        21212 => "the sender is not valid",
        21408 => "the recipient's country is not enabled for this account",
        21606 => "the sender is not ours, or cannot send text messages",
        21608 => "a trial account sends to verified numbers only",
        21610 => "the recipient has opted out; switch this channel off",
        21612 => "there is no route from this sender to this recipient",
        21614 => "the recipient's number is not mobile",
        21617 => "the text is too long",
        30002 => "the account is suspended",
        _ => "see twilio.com/docs/api/errors",
    }
}

#[cfg(test)]
mod tests;
