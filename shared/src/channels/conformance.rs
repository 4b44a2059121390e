//! What every channel must get right, run over [`ChannelKind::ALL`] through the real transport.

mod cases;
mod configuration;
mod documented;
mod leaks;
mod replies;
mod requests;
mod spec;

use jiff::Timestamp;

use self::cases::{Case, body, cases};
use super::*;
use crate::domain::ChannelName;
use crate::render::Templates;
use crate::render::words::{Worded, worded};

/// With a full stop, which not every vendor's key may hold.
const KEY: &str = "0199b6a1/1/ops.desk";

fn all() -> impl Iterator<Item = Case> {
    ChannelKind::ALL.iter().flat_map(|kind| cases(*kind))
}

/// A channel from settings in TOML, with dummies for its secrets.
pub(super) fn channel(kind: ChannelKind, settings: &str) -> Box<dyn Channel> {
    let settings = kind.settings(settings.parse().unwrap()).unwrap();
    let secret = |reference: &SecretRef| cases::secret(reference, "https://hooks.slack.com");
    settings.build(secret).unwrap()
}

/// The fault found with settings in TOML.
pub(super) fn fault(kind: ChannelKind, settings: &str) -> String {
    let settings = kind.settings(settings.parse().unwrap());
    settings.unwrap_err().to_string()
}

/// An envelope around a message, as the notifier makes it.
pub(super) fn envelope(message: &Message) -> Envelope<'_> {
    Envelope {
        message,
        title: "Inventory alert for Oil 5W-40",
        text: "Low stock: Oil 5W-40 – just 2 units left.",
        key: KEY,
        now: now(),
        attempt: 1,
        thread: None,
    }
}

/// What the channel sends next, as JSON.
pub(super) fn sent(
    channel: &dyn Channel,
    envelope: &Envelope<'_>,
    replies: &[Reply],
) -> serde_json::Value {
    match channel.step(envelope, replies).unwrap() {
        Step::Send(request) | Step::Ask(request) => body(&request),
        Step::Done(outcome) => panic!("nothing was sent: {outcome:?}"),
    }
}

/// What the channel makes of the replies.
pub(super) fn concluded(
    channel: &dyn Channel,
    envelope: &Envelope<'_>,
    replies: &[Reply],
) -> Outcome {
    match channel.step(envelope, replies).unwrap() {
        Step::Done(outcome) => outcome,
        other => panic!("not done: {other:?}"),
    }
}

fn now() -> Timestamp {
    "2026-01-15T09:31:00Z".parse().unwrap()
}

/// The whole way of a message: put into words for the channel, and into an envelope.
struct Letter {
    words: Worded,
}

impl Letter {
    fn new(message: Message, channel: &dyn Channel) -> Self {
        let name: ChannelName = "ops.desk".parse().unwrap();
        Self {
            words: worded(&Templates::new(), &message, &name, channel.limits()),
        }
    }

    fn envelope(&self) -> Envelope<'_> {
        Envelope {
            message: &self.words.message,
            title: &self.words.title,
            text: &self.words.text,
            key: KEY,
            now: now(),
            attempt: 1,
            thread: None,
        }
    }
}

/// The first request for a message.
fn request(channel: &dyn Channel, message: Message) -> Request {
    let letter = Letter::new(message, channel);
    match channel.step(&letter.envelope(), &[]).unwrap() {
        Step::Send(request) | Step::Ask(request) => request,
        Step::Done(outcome) => panic!("nothing was sent: {outcome:?}"),
    }
}
