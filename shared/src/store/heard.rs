//! How old is what is known of stock, for who is reminded of it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::domain::Position;
use crate::domain::id::ConnectorName;
use crate::domain::message::Message;
use crate::installation::Installation;

/// What a reminder says first where a sender is silent.
pub const NOTHING_NEWER: &str = "A reminder: nothing newer is known.";

const CHANGED: &str = "It last changed at ";
const SILENT: &str = " has not been heard from since ";

/// Whether a note of a message says how old is what is known.
pub fn says_how_old(note: &str) -> bool {
    let is_sender = |text: &str| text.parse::<ConnectorName>().is_ok();
    let silent = note.split_once(SILENT);
    note.starts_with(CHANGED) || silent.is_some_and(|(sender, _)| is_sender(sender))
}

/// How old is what is known, in sentences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// When it last changed.
    pub changed: Option<String>,
    /// Who has said nothing since.
    pub silent: Vec<String>,
}

impl Heard {
    /// What a reminder says of it.
    pub fn notes(self) -> impl Iterator<Item = String> {
        self.changed.into_iter().chain(self.silent)
    }
}

impl Store {
    /// When the stock of these positions last changed, where that is known of each; and of the senders that
    /// state it, those of which nothing was heard after `since`. Of a file that no longer comes there is an
    /// alert of its own. `message`: in which this is said.
    pub async fn heard_of(
        &self,
        positions: &[&Position],
        installation: &Installation,
        since: Timestamp,
        message: &Message,
    ) -> Result<Heard, StoreError> {
        let changed: Option<Vec<_>> = positions.iter().map(|it| it.changed_at).collect();
        let changed = changed.and_then(|changed| changed.into_iter().max());
        let changed = changed.map(|it| format!("{CHANGED}{}.", message.local(it.0)));
        let sources = &installation.authority().quantities;
        let mut senders = BTreeMap::new();
        for position in positions {
            let Some(owner) = position.owner(sources) else {
                continue;
            };
            let known = installation.config.connectors.get(owner);
            let known = known.filter(|known| known.common.enabled);
            if known.is_some_and(|known| known.settings.silence().is_some()) {
                let stated = senders.entry(owner).or_default();
                *stated = position.stated_at(sources).max(*stated);
            }
        }
        let mut silent = Vec::new();
        for (sender, stated) in senders {
            // A webhook is not kept for ever, and what it has stated is.
            let last = self.last_webhook(sender).await?.max(stated);
            if let Some(last) = last.filter(|last| *last <= since) {
                let last = message.local(last);
                silent.push(format!("{sender}{SILENT}{last}."));
            }
        }
        Ok(Heard { changed, silent })
    }
}
