//! What an attempt needs: the settings and credentials in force, and the words.
//!
//! Whatever keeps an attempt from being made is decided here, before anything is sent.

use std::collections::HashMap;

use jiff::SignedDuration;
use secrecy::SecretString;

use super::Outcome;
use super::deliver::{DeliverError, Deliverer, Made, attempt};
use crate::channels::settings::ConfigError;
use crate::channels::{Channel, ChannelKind};
use crate::config::channel::{Channel as Configured, Delivery};
use crate::domain::id::ChannelName;
use crate::domain::message::Message;
use crate::render::fit;
use crate::secrets::{SecretError, SecretRef};
use crate::store::StoreError;
use crate::store::intents::Intent;

/// What an attempt on a channel that is at most once says when an earlier one was lost.
const PERHAPS: &str = "outcome unknown: an earlier attempt may have been delivered";

/// Everything that an attempt needs.
pub(super) struct Errand {
    pub(super) name: ChannelName,
    pub(super) kind: ChannelKind,
    pub(super) at_most_once: bool,
    pub(super) channel: Box<dyn Channel>,
    pub(super) references: Vec<SecretRef>,
    /// Whether all credentials are set.
    pub(super) real: bool,
    pub(super) message: Message,
    pub(super) title: String,
    pub(super) text: String,
    pub(super) thread: Option<String>,
    pub(super) per_second: Option<u32>,
}

/// Whether an attempt can be made.
pub(super) enum Prepared {
    Ready(Box<Errand>),
    /// No request is made; this is what came of it.
    Not(Outcome),
}

/// A channel, and whether it may really send.
struct Credentialed {
    channel: Box<dyn Channel>,
    references: Vec<SecretRef>,
    real: bool,
}

impl Deliverer {
    /// Gathers what an attempt needs.
    pub(super) async fn prepare(&self, intent: &Intent) -> Result<Prepared, DeliverError> {
        let lost = self.recover_lost_attempt(intent).await?;
        let installation = self.installations.current().await?;
        let name = &intent.channel;
        let configured = match installation.config.channels.get(name) {
            None => {
                let reason = format!("channel `{name}` is no longer in the configuration");
                return Ok(Prepared::Not(Outcome::rejected(reason)));
            }
            Some(channel) if !channel.common.enabled => {
                let reason = format!("channel `{name}` is switched off");
                return Ok(Prepared::Not(Outcome::rejected(reason)));
            }
            Some(channel) => channel,
        };
        let at_most_once = configured.common.delivery == Delivery::AtMostOnce;
        if lost && at_most_once {
            return Ok(Prepared::Not(Outcome::rejected(PERHAPS)));
        }
        let Some(message) = self.store.revision(&intent.alert, intent.revision).await? else {
            return Ok(Prepared::Not(Outcome::rejected(
                "the table does not hold what this revision says",
            )));
        };
        let credentialed = match self.channel(configured).await {
            Ok(credentialed) => credentialed,
            Err(outcome) => return Ok(Prepared::Not(outcome)),
        };
        let thread = match intent.revision {
            0 | 1 => None,
            _ => self.store.first_receipt(&intent.alert, name).await?,
        };
        let words = self.wording.of(&installation).render(&message, name);
        if let Some(error) = &words.fallback {
            tracing::warn!(channel = %name, %error, "a template failed; the default speaks");
        }
        let limits = credentialed.channel.limits();
        Ok(Prepared::Ready(Box::new(Errand {
            name: name.clone(),
            kind: configured.kind,
            at_most_once,
            channel: credentialed.channel,
            references: credentialed.references,
            real: credentialed.real,
            message,
            title: fit(&words.title, limits.title).into_owned(),
            text: fit(&words.text, limits.text).into_owned(),
            thread,
            per_second: configured.common.max_per_second.map(|rate| rate.get()),
        })))
    }

    /// Whether the try before this one never reported back. If so, it is put on record: nobody
    /// knows whether it was delivered.
    async fn recover_lost_attempt(&self, intent: &Intent) -> Result<bool, StoreError> {
        let before = intent.attempts.saturating_sub(1);
        if before == 0 {
            return Ok(false);
        }
        let attempts = self.store.attempts_of(&intent.alert).await?;
        let reported = attempts.iter().any(|attempt| {
            attempt.number == before
                && attempt.revision == intent.revision
                && attempt.channel == intent.channel
        });
        if reported {
            return Ok(false);
        }
        let detail = "its notifier ended before it could say what came of it";
        let lost = Made {
            at: self.store.clock().now(),
            outcome: Outcome::Unknown,
            status: None,
            detail: Some(detail.to_owned()),
            at_most_once: false,
        };
        let attempt = attempt(intent, before, &lost, SignedDuration::ZERO);
        self.store.record_attempt(&attempt).await?;
        Ok(true)
    }

    /// The channel with its credentials; or, where somebody stands in for vendors, with placeholders
    /// for those that are missing.
    async fn channel(&self, configured: &Configured) -> Result<Credentialed, Outcome> {
        let settings = configured.settings().map_err(misconfigured)?;
        let references: Vec<SecretRef> = settings.secret_refs().into_iter().cloned().collect();
        let mut known: HashMap<SecretRef, SecretString> = HashMap::new();
        let mut missing = None;
        for reference in &references {
            match self.secrets.get(reference).await {
                Ok(value) => {
                    known.insert(reference.clone(), value);
                }
                Err(error @ SecretError::NotSet { .. }) => missing = missing.or(Some(error)),
                Err(error @ SecretError::Failed { .. }) => {
                    tracing::warn!(%error, "a secret could not be read");
                    return Err(Outcome::Retry { after: None });
                }
            }
        }
        let real = missing.is_none();
        if let Some(error) = missing
            && !self.outgoing.stands_in()
        {
            return Err(Outcome::denied(error.to_string()));
        }
        let built = if real {
            settings.build(|reference| known.get(reference).cloned().unwrap_or_default())
        } else {
            settings.build_unsent()
        };
        let channel = built.map_err(misconfigured)?;
        Ok(Credentialed {
            channel,
            references,
            real,
        })
    }
}

/// A person has to mend it: as with credentials that are refused.
fn misconfigured(error: ConfigError) -> Outcome {
    Outcome::denied(error.to_string())
}
