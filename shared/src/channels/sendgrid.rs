//! Mail through SendGrid: with a dynamic template of the user's, which is given the whole message,
//! or with text and HTML of our own.
//!
//! An accepted mail is queued, not delivered. SendGrid has no idempotency key; ours goes along as a
//! custom argument, so that its events can be told apart.

use http::{HeaderName, HeaderValue, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::settings::{BaseUrl, ConfigError, Configure, Field, Form};
use super::{Channel, ChannelError, ChannelKind, Envelope, Order, Step};
use crate::delivery::Outcome;
use crate::delivery::outcome::reset_at;
use crate::http::{Reply, Request};
use crate::render::facts::local_time;
use crate::render::words::html_escaped;
use crate::render::{Limits, Measure, facts};
use crate::secrets::SecretRef;

const KIND: ChannelKind = ChannelKind::SendGrid;

const RECIPIENTS: usize = 1000;
const MESSAGE_ID: HeaderName = HeaderName::from_static("x-message-id");
const RESET: &str = "x-ratelimit-reset";

/// Settings of a `sendgrid` channel.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    api_key: SecretRef,
    from: String,
    from_name: Option<String>,
    to: Vec<String>,
    reply_to: Option<String>,
    template_id: Option<String>,
    #[serde(default)]
    region: Region,
    #[serde(default)]
    sandbox: bool,
    base_url: Option<BaseUrl>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Region {
    #[default]
    Global,
    Eu,
}

impl Region {
    #[expect(clippy::expect_used, reason = "literal addresses, read by every test")]
    fn base_url(self) -> BaseUrl {
        let address = match self {
            Self::Global => "https://api.sendgrid.com",
            Self::Eu => "https://api.eu.sendgrid.com",
        };
        address.parse().expect("an address")
    }
}

impl Configure for Settings {
    const EXAMPLE: &'static str = r#"api_key = "env:LOTWIRE_SENDGRID_API_KEY"
from = "stock@example.com"
to = ["parts@example.com"]"#;
    const ORDER: Order = Order::Latest;
    const FIELDS: &'static [Field] = &[
        Field::required(
            "api_key",
            Form::Secret,
            "An API key (SG.…) that may send mail.",
        ),
        Field::required(
            "from",
            Form::Text,
            "The sender's address, verified with SendGrid.",
        ),
        Field::optional("from_name", Form::Text, "The sender's name, in ASCII."),
        Field::required(
            "to",
            Form::Texts,
            "The recipients' addresses; one mail names them all.",
        ),
        Field::optional("reply_to", Form::Text, "Where answers go."),
        Field::optional(
            "template_id",
            Form::Text,
            "A dynamic template (d-…); our own text and HTML unless set.",
        ),
        Field::optional(
            "region",
            Form::Text,
            "global or eu; a key works only in its own. global unless set.",
        ),
        Field::optional(
            "sandbox",
            Form::Flag,
            "Have SendGrid check the mail and send nothing.",
        ),
        Field::optional(
            "base_url",
            Form::Address,
            "Where the API lives; by region unless set.",
        ),
    ];

    fn check(&self) -> Result<(), ConfigError> {
        let fault = |field, problem: &str| Err(ConfigError::new(KIND, field, problem));
        if !is_address(&self.from) {
            return fault("from", "is not a mail address");
        }
        if self.from_name.as_ref().is_some_and(|name| !name.is_ascii()) {
            return fault("from_name", "must be ASCII");
        }
        if !(1..=RECIPIENTS).contains(&self.to.len()) {
            return fault("to", "must name 1 to 1000 recipients");
        }
        if let Some(index) = self.to.iter().position(|address| !is_address(address)) {
            return fault("to", &format!("entry {} is not a mail address", index + 1));
        }
        let twice = |(index, address): (usize, &String)| {
            let same = |other: &String| other.eq_ignore_ascii_case(address);
            self.to[..index].iter().any(same).then_some(index)
        };
        if let Some(index) = self.to.iter().enumerate().find_map(twice) {
            return fault("to", &format!("entry {} is there twice", index + 1));
        }
        if self
            .reply_to
            .as_ref()
            .is_some_and(|address| !is_address(address))
        {
            return fault("reply_to", "is not a mail address");
        }
        match &self.template_id {
            Some(id) if !id.starts_with("d-") => {
                fault("template_id", "must be a dynamic template, d-…")
            }
            _ => Ok(()),
        }
    }

    fn secret_refs(&self) -> Vec<&SecretRef> {
        vec![&self.api_key]
    }

    fn build(
        &self,
        secret: &dyn Fn(&SecretRef) -> SecretString,
    ) -> Result<Box<dyn Channel>, ConfigError> {
        let base = self.base_url.clone();
        let base = base.unwrap_or_else(|| self.region.base_url());
        Ok(Box::new(SendGrid {
            url: base.at(["v3", "mail", "send"]),
            api_key: secret(&self.api_key),
            settings: self.clone(),
        }))
    }
}

/// Catches what was clearly meant as something else; only the mail itself proves an address.
fn is_address(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ',' | ';' | '<' | '>');
    text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.contains('@') && !text.contains(odd)
    })
}

struct SendGrid {
    url: Url,
    api_key: SecretString,
    settings: Settings,
}

impl Channel for SendGrid {
    fn step(&self, envelope: &Envelope<'_>, replies: &[Reply]) -> Result<Step, ChannelError> {
        match replies {
            [] => self.request(envelope).map(Step::Send),
            [.., last] => Ok(Step::Done(self.outcome(last, envelope))),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            title: Some(Measure::Characters(200)),
            text: Measure::Characters(10_000),
        }
    }

    fn accepted(&self, request: &Request) -> Reply {
        if self.settings.sandbox {
            return Reply::new(StatusCode::OK, "");
        }
        let mut reply = Reply::new(StatusCode::ACCEPTED, "");
        let id = hex::encode(&Sha256::digest(&request.body)[..11]);
        if let Ok(id) = HeaderValue::from_str(&id) {
            reply.headers.insert(MESSAGE_ID, id);
        }
        reply
    }

    fn secrets(&self) -> Vec<SecretString> {
        vec![self.api_key.clone()]
    }
}

impl SendGrid {
    fn request(&self, envelope: &Envelope<'_>) -> Result<Request, ChannelError> {
        Request::post(self.url.clone())
            .bearer(&self.api_key)
            .and_then(|request| request.json(&self.mail(envelope)))
            .map_err(ChannelError::request(KIND))
    }

    fn mail(&self, envelope: &Envelope<'_>) -> Value {
        let settings = &self.settings;
        let message = envelope.message;
        let to: Vec<_> = settings
            .to
            .iter()
            .map(|email| json!({"email": email}))
            .collect();
        let mut mail = json!({
            "from": {"email": settings.from},
            "personalizations": [{
                "to": to,
                "custom_args": {
                    "lotwire_key": envelope.key,
                    "alert": message.alert,
                    "revision": message.revision.to_string(),
                },
            }],
            "categories": [message.kind.name()],
        });
        if let Some(name) = &settings.from_name {
            mail["from"]["name"] = json!(name);
        }
        if let Some(email) = &settings.reply_to {
            mail["reply_to"] = json!({"email": email});
        }
        if let Some(id) = &settings.template_id {
            mail["template_id"] = json!(id);
            mail["personalizations"][0]["dynamic_template_data"] = template_data(envelope);
        } else {
            mail["subject"] = json!(envelope.title);
            mail["content"] = json!([
                {"type": "text/plain", "value": plain(envelope)},
                {"type": "text/html", "value": html(envelope)},
            ]);
        }
        if settings.sandbox {
            mail["mail_settings"] = json!({"sandbox_mode": {"enable": true}});
        }
        mail
    }

    fn outcome(&self, reply: &Reply, envelope: &Envelope<'_>) -> Outcome {
        let usual = Outcome::of(reply.status, &reply.headers, envelope.now);
        let receipt = || reply.header(&MESSAGE_ID).map(str::to_owned);
        match (reply.status.as_u16(), usual) {
            (202, _) => Outcome::delivered(receipt()),
            // A portal that wants us to log in says more.
            (200, _) if reply.body.trim_ascii().is_empty() => match self.settings.sandbox {
                true => Outcome::delivered(receipt()),
                false => Outcome::rejected("SendGrid checked the mail and sent nothing (sandbox)"),
            },
            // Not what SendGrid answers: something between us and SendGrid spoke.
            (200..=299, _) => Outcome::Unknown,
            (429, Outcome::Limited { after }) => Outcome::Limited {
                after: after.or_else(|| reset_at(&reply.headers, RESET, envelope.now)),
            },
            (_, Outcome::Rejected { reason }) => Outcome::rejected(worded(reason, reply)),
            (_, Outcome::Denied { reason }) => Outcome::denied(worded(reason, reply)),
            (_, other) => other,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct Faults {
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    field: Option<String>,
    message: Option<String>,
}

/// The status with SendGrid's own words on the first fault.
fn worded(status: String, reply: &Reply) -> String {
    let faults = reply.json::<Faults>().unwrap_or_default().errors;
    let first = faults.into_iter().next();
    let words = first.map(|fault| [fault.field, fault.message].map(Option::unwrap_or_default));
    match words {
        Some([field, message]) if field.is_empty() => format!("{status}: {message}"),
        Some([field, message]) => format!("{status}: {field}: {message}"),
        None => status,
    }
}

/// The message as a webhook is sent it, and what a mail adds, for a template of the user's.
fn template_data(envelope: &Envelope<'_>) -> Value {
    let mut data = envelope.message.as_sent();
    data.as_object_mut().map(|data| data.remove("why"));
    data["title"] = json!(envelope.title);
    data["text"] = json!(envelope.text);
    data["local_time"] = json!(local_time(envelope.message));
    let facts = facts(envelope.message).into_iter();
    data["facts"] = facts
        .map(|fact| json!({"label": fact.label, "value": fact.value}))
        .collect();
    data
}

fn plain(envelope: &Envelope<'_>) -> String {
    let message = envelope.message;
    let mut lines = vec![envelope.text.to_owned(), String::new()];
    lines.extend(
        facts(message)
            .iter()
            .map(|fact| format!("{}: {}", fact.label, fact.value)),
    );
    if !message.notes.is_empty() {
        lines.push(String::new());
        lines.extend(message.notes.iter().map(|note| format!("- {note}")));
    }
    if let Some(link) = &message.link {
        lines.extend([String::new(), link.clone()]);
    }
    lines.join("\n")
}

fn html(envelope: &Envelope<'_>) -> String {
    let message = envelope.message;
    let rows: String = facts(message)
        .iter()
        .map(|fact| {
            let (label, value) = (html_escaped(fact.label), html_escaped(&fact.value));
            format!("<tr><th align=\"left\">{label}</th><td>{value}</td></tr>")
        })
        .collect();
    let notes: String = message
        .notes
        .iter()
        .map(|note| format!("<li>{}</li>", html_escaped(note)))
        .collect();
    let notes = if notes.is_empty() {
        notes
    } else {
        format!("<ul>{notes}</ul>")
    };
    let link = message
        .link
        .as_deref()
        .map(|link| format!("<p><a href=\"{}\">Open</a></p>", html_escaped(link)));
    let text = html_escaped(envelope.text).replace('\n', "<br>");
    format!(
        "<p>{text}</p><table>{rows}</table>{notes}{}",
        link.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests;
