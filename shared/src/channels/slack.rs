//! Slack: an incoming webhook (one secret address = one channel), or `chat.postMessage`, which also
//! keeps the revisions of an alert in one thread.
//!
//! Slack answers 200 to most failures, so an outcome comes from the body. It offers no public
//! idempotency key: after an unknown outcome a rare double is possible.
//! Unconfirmed by Slack: the limit of all text in a message (11,341 characters were once refused);
//! what is built here stays below 10,000.

use http::StatusCode;
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::settings::{BaseUrl, ConfigError, Configure, Field, Form};
use super::{Channel, ChannelError, ChannelKind, Envelope, Order, Step};
use crate::delivery::Outcome;
use crate::delivery::outcome::retry_after;
use crate::domain::alert::RevisionKind;
use crate::domain::message::Message;
use crate::http::{Reply, Request};
use crate::render::fit::{fit_by, fit_lines};
use crate::render::{Limits, Measure, facts};
use crate::secrets::SecretRef;

const KIND: ChannelKind = ChannelKind::Slack;

/// Slack's own limits, in characters after escaping.
const HEADER: usize = 150;
const SECTION: usize = 3000;
const FIELDS: usize = 10;
const LINK: usize = 3000;
/// Our own, to stay below the limit of the whole message.
const FIELD: usize = 300;
const NOTES: usize = 2000;
const NOTIFICATION: usize = 500;

/// A workspace that is being moved takes a while.
const BEING_MOVED: SignedDuration = SignedDuration::from_mins(30);

/// Settings of a `slack` channel: either `url`, or `token` and `channel`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    url: Option<SecretRef>,
    token: Option<SecretRef>,
    channel: Option<String>,
    #[serde(default = "official")]
    base_url: BaseUrl,
}

#[expect(clippy::expect_used, reason = "a literal address, read by every test")]
fn official() -> BaseUrl {
    "https://slack.com/api".parse().expect("an address")
}

impl Configure for Settings {
    const EXAMPLE: &'static str = r#"token = "env:LOTWIRE_SLACK_TOKEN"
channel = "C0123456789""#;
    const ORDER: Order = Order::Latest;
    const FIELDS: &'static [Field] = &[
        Field::optional(
            "url",
            Form::Secret,
            "The address of an incoming webhook; the address itself is the secret.",
        ),
        Field::optional(
            "token",
            Form::Secret,
            "A bot token (xoxb-…) with the scope chat:write; needs channel.",
        ),
        Field::optional(
            "channel",
            Form::Text,
            "The id of the channel (C0123456789) that the bot posts to.",
        ),
        Field::optional(
            "base_url",
            Form::Address,
            "Where the Web API lives; https://slack.com/api unless set.",
        ),
    ];

    fn check(&self) -> Result<(), ConfigError> {
        let fault = |field, problem: &str| Err(ConfigError::new(KIND, field, problem));
        match (&self.url, &self.token, &self.channel) {
            (Some(_), None, None) => Ok(()),
            (Some(_), _, _) => fault("url", "set either url, or token and channel"),
            (None, None, _) => fault("token", "set either url, or token and channel"),
            (None, Some(_), None) => fault("channel", "a token needs the channel to post to"),
            (None, Some(_), Some(channel)) if channel.trim().is_empty() => {
                fault("channel", "is empty")
            }
            (None, Some(_), Some(_)) => Ok(()),
        }
    }

    fn secret_refs(&self) -> Vec<&SecretRef> {
        self.url.iter().chain(&self.token).collect()
    }

    fn stand_in(&self, reference: &SecretRef) -> SecretString {
        SecretString::from(if self.url.as_ref() == Some(reference) {
            "https://hooks.slack.com/services/not/set"
        } else {
            "not-set"
        })
    }

    fn build(
        &self,
        secret: &dyn Fn(&SecretRef) -> SecretString,
    ) -> Result<Box<dyn Channel>, ConfigError> {
        Ok(Box::new(match (&self.url, &self.token, &self.channel) {
            (None, Some(token), Some(channel)) => Slack::Api {
                url: self.base_url.at(["chat.postMessage"]),
                token: secret(token),
                channel: channel.trim().to_owned(),
            },
            (Some(url), _, _) => Slack::Webhook {
                url: webhook_address(&secret(url))?,
            },
            _ => return Err(ConfigError::new(KIND, "token", "set url or token")),
        }))
    }
}

fn webhook_address(secret: &SecretString) -> Result<Url, ConfigError> {
    let address: BaseUrl = secret
        .expose_secret()
        .parse()
        .map_err(|problem: String| ConfigError::new(KIND, "url", problem))?;
    if address.url().path() == "/" {
        // The path is what is kept secret; without one this is some other address.
        return Err(ConfigError::new(KIND, "url", "the address has no path"));
    }
    Ok(address.url().clone())
}

enum Slack {
    Webhook {
        url: Url,
    },
    Api {
        url: Url,
        token: SecretString,
        channel: String,
    },
}

impl Channel for Slack {
    fn step(&self, envelope: &Envelope<'_>, replies: &[Reply]) -> Result<Step, ChannelError> {
        let thread = envelope.thread.and_then(timestamp_of);
        match replies {
            [] => self.request(envelope, thread).map(Step::Send),
            // The thread is gone or closed, and Slack has surely not posted: begin anew.
            [only] if thread.is_some() && self.cannot_thread(only) => {
                self.request(envelope, None).map(Step::Send)
            }
            [.., last] => Ok(Step::Done(self.outcome(last, envelope))),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            title: Some(Measure::Characters(HEADER)),
            text: Measure::Characters(SECTION),
        }
    }

    fn accepted(&self, request: &Request) -> Reply {
        match self {
            Self::Webhook { .. } => Reply::new(StatusCode::OK, "ok"),
            Self::Api { channel, .. } => {
                let digest = Sha256::digest(&request.body);
                let number = digest.iter().fold(0_u64, |sum, byte| {
                    (sum * 256 + u64::from(*byte)) % 1_000_000
                });
                let ts = format!("1700000000.{number:06}");
                let reply = json!({"ok": true, "channel": channel, "ts": ts, "message": {}});
                Reply::new(StatusCode::OK, reply.to_string())
            }
        }
    }

    fn secrets(&self) -> Vec<SecretString> {
        vec![match self {
            Self::Webhook { url } => SecretString::from(&url[url::Position::BeforePath..]),
            Self::Api { token, .. } => token.clone(),
        }]
    }
}

impl Slack {
    fn request(
        &self,
        envelope: &Envelope<'_>,
        thread: Option<&str>,
    ) -> Result<Request, ChannelError> {
        let mut body = post(envelope);
        let request = match self {
            Self::Webhook { url } => Request::post(url.clone()),
            Self::Api {
                url,
                token,
                channel,
            } => {
                body["channel"] = json!(channel);
                body["mrkdwn"] = json!(false);
                if let Some(thread) = thread {
                    body["thread_ts"] = json!(thread);
                    // An escalation that only the thread shows is easily overlooked.
                    let escalated = envelope.message.change == RevisionKind::Escalated;
                    body["reply_broadcast"] = json!(escalated);
                }
                let request = Request::post(url.clone());
                request.bearer(token).map_err(ChannelError::request(KIND))?
            }
        };
        Ok(request.body("application/json; charset=utf-8", body.to_string()))
    }

    fn cannot_thread(&self, reply: &Reply) -> bool {
        let answer = reply.json::<Answer>().unwrap_or_default();
        matches!(self, Self::Api { .. })
            && !answer.ok
            && matches!(
                answer.error.as_deref(),
                Some(
                    "cannot_reply_to_message"
                        | "thread_not_found"
                        | "message_not_found"
                        | "restricted_action_non_threadable_channel"
                        | "restricted_action_thread_locked"
                )
            )
    }

    fn outcome(&self, reply: &Reply, envelope: &Envelope<'_>) -> Outcome {
        let usual = Outcome::of(reply.status, &reply.headers, envelope.now);
        let after = retry_after(&reply.headers, envelope.now);
        match self {
            Self::Webhook { .. } => match (reply.status.as_u16(), reply.text().trim()) {
                (200, "ok") => usual,
                // A name that Slack gives for a reason; its status says less.
                (200 | 400..=404 | 410, name) => match named(name, after) {
                    Some(outcome) => outcome,
                    None if reply.status == StatusCode::OK => Outcome::Unknown,
                    None => usual,
                },
                _ => usual,
            },
            Self::Api { .. } if !reply.status.is_success() => usual,
            Self::Api { .. } => match reply.json::<Answer>() {
                Ok(Answer {
                    ok: true,
                    channel: Some(channel),
                    ts: Some(ts),
                    ..
                }) => Outcome::delivered(Some(format!("{channel}/{ts}"))),
                Ok(Answer {
                    ok: false,
                    error: Some(name),
                    ..
                }) => named(&name, after).unwrap_or_else(|| Outcome::rejected("unnamed error")),
                // Not what Slack answers: something between us and Slack spoke.
                _ => Outcome::Unknown,
            },
        }
    }
}

/// What the Web API answers, with status 200 whatever happened.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    ok: bool,
    error: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
}

/// What one of Slack's error names means for us; `None` if it is no such name at all.
fn named(name: &str, after: Option<SignedDuration>) -> Option<Outcome> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > 80 || !name.chars().all(is_name) {
        return None;
    }
    Some(match name {
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => Outcome::Limited { after },
        "service_unavailable" | "internal_error" | "request_timeout" | "rollup_error" => {
            Outcome::Retry { after }
        }
        "team_added_to_org" => Outcome::Retry {
            after: after.or(Some(BEING_MOVED)),
        },
        "fatal_error" => Outcome::Unknown,
        "invalid_auth"
        | "not_authed"
        | "token_revoked"
        | "token_expired"
        | "invalid_token"
        | "account_inactive"
        | "missing_scope"
        | "not_allowed_token_type"
        | "no_permission"
        | "access_denied"
        | "accesslimited"
        | "app_access_restricted"
        | "ekm_access_denied"
        | "enterprise_is_restricted"
        | "org_login_required"
        | "two_factor_setup_required"
        | "action_prohibited" => Outcome::denied(name),
        other => Outcome::rejected(other),
    })
}

/// The message id within a receipt ("C0123456789/1768469400.000100").
fn timestamp_of(receipt: &str) -> Option<&str> {
    let (_, ts) = receipt.rsplit_once('/')?;
    (!ts.is_empty()).then_some(ts)
}

fn post(envelope: &Envelope<'_>) -> Value {
    let message = envelope.message;
    let mut blocks = vec![
        json!({"type": "header", "text": plain(escaped(envelope.title, HEADER))}),
        json!({"type": "section", "text": plain(escaped(envelope.text, SECTION))}),
    ];
    let fields: Vec<Value> = facts(message)
        .into_iter()
        .map(|fact| plain(format!("{}\n{}", fact.label, escaped(&fact.value, FIELD))))
        .collect();
    for fields in fields.chunks(FIELDS) {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    if !message.notes.is_empty() {
        let notes: Vec<String> = message
            .notes
            .iter()
            .map(|note| format!("• {note}"))
            .collect();
        let notes = fit_lines(&notes, NOTES, cost);
        blocks.push(json!({"type": "section", "text": plain(escape(&notes))}));
    }
    if let Some(link) = button(message) {
        blocks.push(link);
    }
    let about = format!("{} · {}", message.severity, message.change);
    blocks.push(json!({"type": "context", "elements": [plain(about)]}));
    json!({
        "text": escaped(envelope.text, NOTIFICATION),
        "blocks": blocks,
        "unfurl_links": false,
    })
}

fn button(message: &Message) -> Option<Value> {
    let link = message.link.as_deref()?;
    // A button without an address cannot be posted; a wrong one would cost us the whole alert.
    let fits = link.parse::<Url>().is_ok() && link.chars().count() <= LINK;
    fits.then(|| {
        let text = json!({"type": "plain_text", "text": "Open"});
        json!({"type": "actions", "elements": [{"type": "button", "action_id": "open", "text": text, "url": link}]})
    })
}

/// Text of which Slack reads no mark: a name may hold `*`, `_`, `~` or `:name:`, and no escape keeps
/// them from being eaten elsewhere.
fn plain(text: String) -> Value {
    // Slack refuses an empty text object.
    let text = if text.is_empty() { " ".into() } else { text };
    json!({"type": "plain_text", "text": text, "emoji": false})
}

fn escaped(text: &str, most: usize) -> String {
    escape(&fit_by(text, most, cost))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The room a character takes once escaped, counted as JavaScript does.
fn cost(character: char) -> usize {
    match character {
        '&' => 5,
        '<' | '>' => 4,
        other => other.len_utf16(),
    }
}

#[cfg(test)]
mod tests;
