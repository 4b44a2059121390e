//! Who carries a vendor's requests: the wire; or, on a laptop, an outbox that shows them.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use secrecy::SecretString;

use crate::domain::id::{ChannelName, ConnectorName};
use crate::http::{Reply, Request, Transport, TransportError};

/// On whose behalf a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party<'a> {
    /// A channel where people are told.
    Channel(&'a ChannelName),
    /// A connected system.
    System(&'a ConnectorName),
}

/// What whoever carries a request knows of its sender.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// On whose behalf it goes out.
    pub party: Party<'a>,
    /// The vendor's name in the configuration.
    pub kind: &'a str,
    /// Whether all credentials are set. If not, the request holds placeholders and must not be sent.
    pub real: bool,
    /// What the vendor answers when all is well.
    pub accepted: &'a (dyn Fn(&Request) -> Reply + Send + Sync),
    /// What must never be shown.
    pub secrets: &'a [SecretString],
}

/// Carries requests on behalf of channels and systems.
#[async_trait]
pub trait Outgoing: Send + Sync {
    /// Whether it answers for a vendor whose credentials are missing. Where it does not, such a
    /// message is a failed attempt and [`Outgoing::carry`] is not called.
    fn stands_in(&self) -> bool;

    /// One attempt at one request.
    async fn carry(&self, sender: &Sender<'_>, request: Request) -> Result<Reply, TransportError>;
}

/// The real thing: every request goes to its vendor, and nobody answers in the vendor's stead.
#[derive(Clone)]
pub struct Wire(pub Arc<dyn Transport>);

#[async_trait]
impl Outgoing for Wire {
    fn stands_in(&self) -> bool {
        false
    }

    async fn carry(&self, sender: &Sender<'_>, request: Request) -> Result<Reply, TransportError> {
        if sender.real {
            return self.0.call(request).await;
        }
        Err(TransportError::NotSent {
            host: request.host().to_owned(),
            reason: "its credentials are not set".to_owned(),
        })
    }
}

/// One sender's side of an [`Outgoing`], for [`exchange`](super::exchange()); remembers why the last
/// request had no reply.
pub(crate) struct Line<'a> {
    outgoing: &'a dyn Outgoing,
    sender: Sender<'a>,
    problem: Mutex<Option<String>>,
}

impl<'a> Line<'a> {
    pub(crate) fn new(outgoing: &'a dyn Outgoing, sender: Sender<'a>) -> Self {
        Self {
            outgoing,
            sender,
            problem: Mutex::default(),
        }
    }

    /// Why the last request had no reply, if it had none. Names the host, never the URL.
    pub(crate) fn problem(&self) -> Option<String> {
        self.noted().clone()
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for Line<'_> {
    async fn call(&self, request: Request) -> Result<Reply, TransportError> {
        let answer = self.outgoing.carry(&self.sender, request).await;
        *self.noted() = answer.as_ref().err().map(ToString::to_string);
        answer
    }
}
