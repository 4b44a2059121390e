//! The outbox: every request that left for a channel or a system, exactly as it was, without its
//! secrets; and where credentials are not set, the request that would have left.
//!
//! | file | job |
//! |---|---|
//! | `entries.rs` | the last entries, in memory and in a file that survives restarts |
//! | `page.rs` | `GET /outbox` and `GET /outbox.json` |

mod entries;
mod page;

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use shared::clock::Clock;
use shared::delivery::{Outgoing, Party, Sender};
use shared::http::{MaskedRequest, Reply, Request, Transport, TransportError, mask};
use url::Url;

pub use entries::{OutboxEntry, Whose};

use entries::Entries;

/// Carries requests as the wire does where credentials are set; shows them, and answers as the
/// vendor would, where they are not. Clones share everything.
#[derive(Clone)]
pub struct Outbox {
    entries: Arc<Entries>,
    wire: Arc<dyn Transport>,
    clock: Clock,
}

impl Outbox {
    /// An outbox that ends with the process.
    pub fn in_memory(wire: Arc<dyn Transport>, clock: Clock) -> Self {
        Self {
            entries: Arc::new(Entries::in_memory()),
            wire,
            clock,
        }
    }

    /// An outbox kept in a file of this directory.
    pub fn open(directory: &Path, wire: Arc<dyn Transport>, clock: Clock) -> io::Result<Self> {
        let entries = Entries::open(&directory.join("outbox.jsonl"))?;
        Ok(Self {
            entries: Arc::new(entries),
            wire,
            clock,
        })
    }

    /// The last entries, newest first.
    pub fn entries(&self) -> Vec<OutboxEntry> {
        self.entries.newest_first()
    }

    /// `GET /outbox` and `GET /outbox.json`, to be served beside the gateway.
    pub fn routes(&self) -> axum::Router {
        page::routes(self.clone())
    }

    fn record(&self, sender: &Sender<'_>, shown: MaskedRequest, sent: bool, reply: Option<&Reply>) {
        let entry = OutboxEntry {
            whose: match sender.party {
                Party::Channel(name) => Whose::Channel(name.clone()),
                Party::System(name) => Whose::System(name.clone()),
            },
            kind: sender.kind.to_owned(),
            request: shown,
            at: self.clock.now(),
            sent,
            missing: sender.missing.map(str::to_owned),
            status: reply.map(|reply| reply.status.as_u16()),
        };
        if let Err(error) = self.entries.add(entry) {
            tracing::warn!(%error, "the outbox file could not be written");
        }
    }
}

#[async_trait]
impl Outgoing for Outbox {
    fn stands_in(&self) -> bool {
        true
    }

    fn refusal(&self, url: &Url) -> Option<String> {
        self.wire.refusal(url)
    }

    async fn carry(&self, sender: &Sender<'_>, request: Request) -> Result<Reply, TransportError> {
        let shown = mask(&request, sender.secrets);
        if sender.missing.is_some() {
            let reply = (sender.accepted)(&request);
            self.record(sender, shown, false, Some(&reply));
            return Ok(reply);
        }
        let answer = self.wire.call(request).await;
        let (sent, reply) = match &answer {
            Ok(reply) => (true, Some(reply)),
            Err(TransportError::Incomplete { reply, .. }) => (true, Some(&**reply)),
            Err(TransportError::NoAnswer { .. }) => (true, None),
            Err(TransportError::NotSent { .. } | TransportError::Refused { .. }) => (false, None),
        };
        self.record(sender, shown, sent, reply);
        answer
    }
}

#[cfg(test)]
mod tests;
