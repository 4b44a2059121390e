//! Ways of telling people: one file per channel, and one line in the list below.
//!
//! A channel says what to send and reads what comes back. It never sends: that is
//! [`exchange`](mod@crate::delivery::exchange), the same for all of them, so that the outbox can show what nobody
//! sends, and a channel can be tested without a network.
//!
//! | file | job |
//! |---|---|
//! | `<channel>.rs` | a vendor: settings, request, reply → outcome |
//! | [`settings`] | what settings share: fields, addresses, errors that name the field |
//! | `conformance.rs` | what every channel must get right, run over [`ChannelKind::ALL`] |

pub mod settings;

#[cfg(test)]
mod conformance;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::delivery::Outcome;
use crate::domain::alert::{AlertKind, RevisionKind};
use crate::domain::message::Message;
use crate::http::{Reply, Request, RequestError};
use crate::render::{Limits, samples};
use crate::secrets::SecretRef;
use settings::{ConfigError, Configure, Field};

/// One message on its way to one channel.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// What happened.
    pub message: &'a Message,
    /// The rendered title, one line, already fitted to the channel's limits.
    pub title: &'a str,
    /// The rendered text, already fitted to the channel's limits.
    pub text: &'a str,
    /// The idempotency key: alert, revision and channel. The same on every attempt.
    pub key: &'a str,
    /// The time of this attempt.
    pub now: Timestamp,
    /// Counts the attempts from 1.
    pub attempt: u32,
    /// The receipt of the alert's first message on this channel, if there was one.
    pub thread: Option<&'a str>,
}

/// What a channel wants done next.
#[derive(Debug)]
pub enum Step {
    /// Send this; it has an effect, so an answer that stays out leaves the outcome unknown.
    Send(Request),
    /// Send this; it has no effect that matters (a token, a search), so it may simply be repeated.
    Ask(Request),
    /// That was all.
    Done(Outcome),
}

/// Why a channel cannot put a message into a request. Never quotes a value.
#[derive(Debug, thiserror::Error)]
#[error("{channel}: {problem}")]
pub struct ChannelError {
    /// The kind of channel.
    pub channel: &'static str,
    /// What is wrong.
    pub problem: String,
}

impl ChannelError {
    pub(crate) fn new(kind: ChannelKind, problem: impl ToString) -> Self {
        Self {
            channel: kind.name(),
            problem: problem.to_string(),
        }
    }

    pub(crate) fn request(kind: ChannelKind) -> impl Fn(RequestError) -> Self {
        move |error| Self::new(kind, error)
    }
}

/// Which of an alert's revisions a channel is told. They leave in their order either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Each of them: programs keep books.
    Each,
    /// What is true now: one that a later one has overtaken before it left is not sent, nor is the end
    /// of an alert of which nothing left. For people, and for whatever keeps one object per alert.
    Latest,
}

/// One configured destination where people are told. No I/O.
pub trait Channel: Send + Sync {
    /// What comes next, given the vendor's replies so far: none on the first call, and one more on
    /// each call after a [`Step::Send`] or [`Step::Ask`].
    fn step(&self, envelope: &Envelope<'_>, replies: &[Reply]) -> Result<Step, ChannelError>;

    /// The room for title and text.
    fn limits(&self) -> Limits;

    /// A reply as the vendor gives it when all is well: what the outbox answers where no
    /// credentials are set.
    fn accepted(&self, request: &Request) -> Reply;

    /// What must never be shown.
    fn secrets(&self) -> Vec<SecretString>;
}

/// The first request that a channel would make to tell of something: where its messages go.
pub fn first_request(channel: &dyn Channel) -> Option<Request> {
    let message = samples::full(AlertKind::LowStock, RevisionKind::Opened);
    let envelope = Envelope {
        title: &message.product,
        text: &message.product,
        key: &message.alert,
        now: message.at,
        attempt: 1,
        thread: None,
        message: &message,
    };
    match channel.step(&envelope, &[]) {
        Ok(Step::Send(request) | Step::Ask(request)) => Some(request),
        Ok(Step::Done(_)) | Err(_) => None,
    }
}

macro_rules! channels {
    ($($(#[$doc:meta])* $module:ident => $Variant:ident,)+) => {
        $(pub mod $module;)+

        /// Every kind of channel there is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum ChannelKind { $($(#[$doc])* $Variant),+ }

        impl ChannelKind {
            /// All of them, in the order of the list.
            pub const ALL: &[Self] = &[$(Self::$Variant),+];

            /// The name in configuration, queues and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$Variant => stringify!($module)),+ }
            }

            /// What may be set, for documentation.
            pub const fn documentation(self) -> &'static [Field] {
                match self { $(Self::$Variant => <$module::Settings as Configure>::FIELDS),+ }
            }

            /// Settings with as little as it needs, in TOML.
            pub const fn example(self) -> &'static str {
                match self { $(Self::$Variant => <$module::Settings as Configure>::EXAMPLE),+ }
            }

            /// Which of an alert's revisions such a channel is told.
            pub const fn order(self) -> Order {
                match self { $(Self::$Variant => <$module::Settings as Configure>::ORDER),+ }
            }

            /// Reads and checks the settings of one configured channel.
            pub fn settings(self, table: toml::Table) -> Result<ChannelSettings, ConfigError> {
                match self {
                    $(Self::$Variant => settings::read(self, table).map(ChannelSettings::$Variant)),+
                }
            }
        }

        /// The settings of one configured channel: checked, and without a secret's value.
        #[derive(Debug, Clone, PartialEq)]
        pub enum ChannelSettings {
            $(
                #[doc = concat!("Settings of a `", stringify!($module), "` channel.")]
                $Variant($module::Settings)
            ),+
        }

        impl ChannelSettings {
            /// Which kind of channel they are for.
            pub const fn kind(&self) -> ChannelKind {
                match self { $(Self::$Variant(_) => ChannelKind::$Variant),+ }
            }

            /// The secrets that must be fetched before [`ChannelSettings::build`].
            pub fn secret_refs(&self) -> Vec<&SecretRef> {
                match self { $(Self::$Variant(settings) => settings.secret_refs()),+ }
            }

            /// The channel itself. Fails if a secret's value is not of the form the vendor gives out.
            pub fn build(
                &self,
                secret: impl Fn(&SecretRef) -> SecretString,
            ) -> Result<Box<dyn Channel>, ConfigError> {
                match self { $(Self::$Variant(settings) => settings.build(&secret)),+ }
            }

            /// The channel with stand-ins for its secrets: for the outbox, where none are set.
            pub fn build_unsent(&self) -> Result<Box<dyn Channel>, ConfigError> {
                match self {
                    $(Self::$Variant(settings) => settings.build(&|secret| settings.stand_in(secret))),+
                }
            }
        }
    };
}

/// A name that no kind of channel has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no channel {name:?}; there are {}", names())]
pub struct UnknownChannel {
    /// The name that was asked for.
    pub name: String,
}

fn names() -> String {
    let names: Vec<_> = ChannelKind::ALL.iter().map(|kind| kind.name()).collect();
    names.join(", ")
}

impl FromStr for ChannelKind {
    type Err = UnknownChannel;
    fn from_str(name: &str) -> Result<Self, UnknownChannel> {
        let mut kinds = Self::ALL.iter().copied();
        let name = name.trim();
        kinds
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownChannel { name: name.into() })
    }
}

impl ChannelKind {
    /// The name in the deployed stack's list of kinds: CloudFormation's names have no underscores.
    pub fn in_stack(self) -> String {
        self.name().replace('_', "")
    }

    /// The kind that a stack lists by this name.
    pub fn listed(name: &str) -> Option<Self> {
        let mut kinds = Self::ALL.iter().copied();
        kinds.find(|kind| [kind.name(), &kind.in_stack()].contains(&name))
    }
}

impl TryFrom<String> for ChannelKind {
    type Error = UnknownChannel;
    fn try_from(name: String) -> Result<Self, UnknownChannel> {
        name.parse()
    }
}

impl From<ChannelKind> for String {
    fn from(kind: ChannelKind) -> Self {
        kind.name().into()
    }
}

impl fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// A new channel: its file, and its line here.
channels! {
    /// Slack, by incoming webhook or by `chat.postMessage`.
    slack => Slack,
    /// Text messages through Twilio.
    twilio_sms => TwilioSms,
    /// Mail through SendGrid.
    sendgrid => SendGrid,
    /// A signed webhook (Standard Webhooks) to any system.
    webhook => Webhook,
}
