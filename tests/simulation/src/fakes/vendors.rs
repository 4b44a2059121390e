//! The vendors behind the channels: what they were asked, what they took, and what they answered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::RunId;
use serde_json::Value;
use shared::clock::Clock;
use shared::delivery::{Outgoing, Sender};
use shared::http::{Reply, Request, Transport, TransportError};

use super::secrets::{Keyring, of_channel, standard_signature};
use crate::dice::Dice;
use crate::faults::{Saboteur, Spell, Trouble};
use crate::places::Channel;
use crate::trace::Trace;

/// How a message begins that says that an alert is closed without a recovery; the product follows.
pub const CLOSED: &str = "Alert closed: ";

/// One request that reached a vendor.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Which channel's vendor.
    pub channel: Channel,
    /// When it arrived.
    pub at: Timestamp,
    /// Its place among everything that was noted.
    pub order: u64,
    /// The alert that it tells of, as the body says. A text message on an alert that is closed without a
    /// recovery has no words but ours, and names the product instead: see [`CLOSED`].
    pub alert: String,
    /// The revision, as the body says.
    pub revision: u32,
    /// The idempotency key, where the vendor has one.
    pub key: Option<String>,
    /// The run that it came from.
    pub run: Option<RunId>,
    /// Whether the vendor took the message.
    pub accepted: bool,
    /// The status that reached the asker, with when that was.
    pub answered: Option<(u16, Timestamp)>,
    /// How long the asker was told to stay away.
    pub retry_after: Option<SignedDuration>,
}

/// All vendors.
pub struct Vendors {
    clock: Clock,
    dice: Dice,
    keyring: Keyring,
    spells: Vec<Spell>,
    saboteur: Arc<Saboteur>,
    trace: Arc<Trace>,
    asked: Mutex<Vec<Asked>>,
    /// Forgets every nth request that it took: for showing that the checks notice.
    forgetful: Option<usize>,
}

impl Vendors {
    /// Vendors with these spells of trouble.
    pub fn new(
        clock: Clock,
        dice: Dice,
        keyring: Keyring,
        saboteur: Arc<Saboteur>,
        spells: Vec<Spell>,
        trace: Arc<Trace>,
    ) -> Self {
        Self {
            clock,
            dice,
            keyring,
            spells,
            saboteur,
            trace,
            asked: Mutex::default(),
            forgetful: None,
        }
    }

    /// Vendors that take every nth message and do not keep it.
    #[must_use]
    pub fn forgetful(self, every: Option<usize>) -> Self {
        Self {
            forgetful: every,
            ..self
        }
    }

    /// Every request, in order of arrival.
    pub fn asked(&self) -> Vec<Asked> {
        self.all().clone()
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, place: usize, change: impl FnOnce(&mut Asked)) {
        if let Some(asked) = self.all().get_mut(place) {
            change(asked);
        }
    }

    /// The trouble that a request meets now.
    fn trouble(&self, channel: Channel) -> Option<Trouble> {
        if !self.saboteur.is_active() {
            return None;
        }
        let now = self.saboteur.elapsed();
        let met = |spell: &&Spell| {
            spell.channel == channel
                && (spell.from..spell.until).contains(&now)
                && self.dice.happens(spell.share)
        };
        self.spells.iter().find(met).map(|spell| spell.trouble)
    }

    fn accept(&self, place: usize) {
        let forgets = self
            .forgetful
            .is_some_and(|every| place % every == every - 1);
        self.change(place, |asked| asked.accepted = !forgets);
    }

    async fn wait(&self) {
        tokio::time::sleep(Duration::from_millis(5 + self.dice.below(180))).await;
    }

    fn answer(&self, place: usize, reply: Reply, retry_after: Option<u64>) -> Reply {
        let mut reply = reply;
        if let Some(seconds) = retry_after {
            let seconds = http::HeaderValue::from(seconds);
            reply.headers.insert(http::header::RETRY_AFTER, seconds);
        }
        let answered = (reply.status.as_u16(), self.clock.now());
        self.trace
            .note(|| format!("vendor answers {}", reply.status));
        self.change(place, |asked| {
            asked.answered = Some(answered);
            asked.retry_after = retry_after
                .and_then(|seconds| i64::try_from(seconds).ok())
                .map(SignedDuration::from_secs);
        });
        reply
    }

    fn is_authentic(&self, channel: Channel, request: &Request) -> bool {
        let secret = self.keyring.theirs(of_channel(channel));
        let header = |name: &str| {
            let value = request.headers.get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        match channel {
            Channel::Erp | Channel::Audit => {
                let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
                let expected = standard_signature(&secret, id, at, &request.body);
                header("webhook-signature")
                    .split(' ')
                    .any(|one| one == expected)
            }
            Channel::Desk => header("authorization") == format!("Bearer {secret}"),
            Channel::Room | Channel::Floor | Channel::Phone | Channel::Night => true,
        }
    }

    async fn take(&self, channel: Channel, request: &Request) -> Result<Reply, TransportError> {
        let run = RunId::current();
        let (alert, revision) = told(channel, request);
        let key = match channel {
            Channel::Erp | Channel::Audit => request.headers.get("webhook-id"),
            _ => None,
        };
        let key = key.and_then(|key| key.to_str().ok()).map(str::to_owned);
        let host = request.host().to_owned();
        let trouble = self.trouble(channel);
        if trouble == Some(Trouble::Unreachable) {
            self.saboteur
                .note(Trouble::Unreachable.kind(), run.as_ref(), channel.name());
            let reason = "connection refused".to_owned();
            return Err(TransportError::NotSent { host, reason });
        }
        let order = self
            .trace
            .note(|| format!("vendor {} asked: {alert}/{revision}", channel.name()));
        let place = {
            let mut all = self.all();
            all.push(Asked {
                channel,
                at: self.clock.now(),
                order,
                alert,
                revision,
                key,
                run: run.clone(),
                accepted: false,
                answered: None,
                retry_after: None,
            });
            all.len() - 1
        };
        self.wait().await;
        self.saboteur.at_vendor("before", run.as_ref()).await;
        if !self.is_authentic(channel, request) {
            return Ok(self.answer(place, Reply::new(StatusCode::UNAUTHORIZED, ""), None));
        }
        if let Some(trouble) = trouble {
            self.saboteur
                .note(trouble.kind(), run.as_ref(), channel.name());
        }
        let perhaps = || {
            if self.dice.happens(0.5) {
                self.accept(place);
            }
        };
        let status = |status| Reply::new(status, "");
        match trouble {
            Some(Trouble::TooMany(seconds)) => {
                let reply = status(StatusCode::TOO_MANY_REQUESTS);
                return Ok(self.answer(place, reply, Some(seconds)));
            }
            Some(Trouble::Closed(seconds)) => {
                let reply = status(StatusCode::SERVICE_UNAVAILABLE);
                return Ok(self.answer(place, reply, Some(seconds)));
            }
            Some(Trouble::ServerError) => {
                perhaps();
                return Ok(self.answer(place, status(StatusCode::INTERNAL_SERVER_ERROR), None));
            }
            Some(Trouble::Silent) => {
                perhaps();
                // Longer than anybody waits.
                tokio::time::sleep(Duration::from_secs(300)).await;
                let reason = "no answer".to_owned();
                return Err(TransportError::NoAnswer { host, reason });
            }
            Some(Trouble::Broken) => {
                perhaps();
                let reason = "connection reset".to_owned();
                return Err(TransportError::NoAnswer { host, reason });
            }
            Some(Trouble::Unreachable) | None => {}
        }
        self.accept(place);
        self.wait().await;
        self.saboteur.at_vendor("after", run.as_ref()).await;
        Ok(self.answer(place, welcome(channel, place), None))
    }
}

/// What a vendor answers when all is well.
fn welcome(channel: Channel, place: usize) -> Reply {
    match channel {
        Channel::Erp | Channel::Audit => Reply::new(StatusCode::NO_CONTENT, ""),
        Channel::Room | Channel::Floor => Reply::new(StatusCode::OK, "ok"),
        Channel::Desk => {
            let mut reply = Reply::new(StatusCode::ACCEPTED, "");
            let id = http::HeaderValue::from(place);
            reply.headers.insert("x-message-id", id);
            reply
        }
        Channel::Phone | Channel::Night => {
            let body = serde_json::json!({ "sid": format!("SM{place}"), "status": "queued" });
            Reply::new(StatusCode::CREATED, body.to_string())
        }
    }
}

/// Which alert and revision a request tells of, as its body says.
fn told(channel: Channel, request: &Request) -> (String, u32) {
    let body = String::from_utf8_lossy(&request.body);
    let json: Value = serde_json::from_str(&body).unwrap_or_default();
    let words = match channel {
        Channel::Erp | Channel::Audit => {
            let data = &json["data"];
            let alert = data["alert"].as_str().unwrap_or_default().to_owned();
            let revision = data["revision"].as_u64().unwrap_or_default();
            return (alert, u32::try_from(revision).unwrap_or_default());
        }
        Channel::Desk => json["personalizations"][0]["custom_args"]["alert"]
            .as_str()
            .zip(json["personalizations"][0]["custom_args"]["revision"].as_str())
            .map(|(alert, revision)| format!("[{alert}/{revision}]"))
            .unwrap_or_default(),
        Channel::Room | Channel::Floor => body.into_owned(),
        Channel::Phone | Channel::Night => {
            let form = reqwest::Url::parse(&format!("https://{}/?{body}", channel.host()));
            let words = form.ok().and_then(|form| {
                let mut fields = form.query_pairs();
                let field = fields.find(|(name, _)| name == "Body");
                field.map(|(_, words)| words.into_owned())
            });
            let words = words.unwrap_or_default();
            if words.starts_with(CLOSED) {
                let until = words.find(" - ").unwrap_or(words.len());
                return (words[..until].to_owned(), 0);
            }
            words
        }
    };
    let inside = words
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(inside, _)| inside);
    // Slack's body is JSON with brackets of its own: the words are where a slash divides them.
    let named = words.split('[').find_map(|part| {
        let (inside, _) = part.split_once(']')?;
        let (alert, revision) = inside.split_once('/')?;
        Some((alert.to_owned(), revision.parse().ok()?))
    });
    named.unwrap_or_else(|| (inside.unwrap_or_default().to_owned(), 0))
}

#[async_trait]
impl Outgoing for Vendors {
    fn stands_in(&self) -> bool {
        false
    }

    async fn carry(&self, _: &Sender<'_>, request: Request) -> Result<Reply, TransportError> {
        let host = request.host();
        let body = String::from_utf8_lossy(&request.body);
        let is_for = |channel: &Channel| {
            let mark = channel.mark();
            channel.host() == host && (request.url.path().contains(mark) || body.contains(mark))
        };
        match Channel::ALL.into_iter().find(is_for) {
            Some(channel) => self.take(channel, &request).await,
            None => Err(TransportError::NotSent {
                host: host.to_owned(),
                reason: "no such host".to_owned(),
            }),
        }
    }
}

/// The secrets' transport: every secret here is in the environment.
pub struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn call(&self, request: Request) -> Result<Reply, TransportError> {
        Err(TransportError::NotSent {
            host: request.host().to_owned(),
            reason: "there is no extension here".to_owned(),
        })
    }
}
