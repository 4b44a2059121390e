//! Who carries a vendor's requests: the wire; or, on a laptop, an outbox that shows them.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use secrecy::SecretString;
use tracing::Instrument;
use tracing::field::Empty;
use url::Url;

use crate::domain::Correlation;
use crate::domain::id::{ChannelName, ConnectorName};
use crate::http::{Reply, Request, Transport, TransportError};

/// Carries the id of what a request goes back to. Vendors ignore headers that they do not know.
pub const CORRELATION: HeaderName = HeaderName::from_static("x-correlation-id");

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
    /// What keeps it from being live, such as credentials that are not set. If anything does, the
    /// request holds placeholders and must not be sent.
    pub missing: Option<&'a str>,
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

    /// Why no request to this address is made, as far as can be told beforehand.
    fn refusal(&self, _url: &Url) -> Option<String> {
        None
    }

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

    fn refusal(&self, url: &Url) -> Option<String> {
        self.0.refusal(url)
    }

    async fn carry(&self, sender: &Sender<'_>, request: Request) -> Result<Reply, TransportError> {
        match sender.missing {
            None => self.0.call(request).await,
            Some(missing) => Err(TransportError::NotSent {
                host: request.host().to_owned(),
                reason: missing.to_owned(),
            }),
        }
    }
}

/// One sender's side of an [`Outgoing`], for [`exchange`](super::exchange()); remembers why the last
/// request had no reply.
pub(crate) struct Line<'a> {
    outgoing: &'a dyn Outgoing,
    correlation: Option<&'a Correlation>,
    sender: Sender<'a>,
    problem: Mutex<Option<String>>,
}

impl<'a> Line<'a> {
    pub(crate) fn new(
        outgoing: &'a dyn Outgoing,
        correlation: Option<&'a Correlation>,
        sender: Sender<'a>,
    ) -> Self {
        Self {
            outgoing,
            correlation,
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
    async fn call(&self, mut request: Request) -> Result<Reply, TransportError> {
        let id = self
            .correlation
            .map(|id| HeaderValue::from_str(id.as_str()));
        if let Some(Ok(id)) = id {
            request.headers.insert(CORRELATION, id);
        }
        let (method, host) = (request.method.as_str(), request.host());
        let span = tracing::info_span!("vendor request", method, host, status = Empty);
        let answer = self.outgoing.carry(&self.sender, request);
        let answer = answer.instrument(span.clone()).await;
        if let Ok(reply) = &answer {
            span.record("status", reply.status.as_u16());
        }
        *self.noted() = answer.as_ref().err().map(ToString::to_string);
        answer
    }
}
