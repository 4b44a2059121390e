//! The one way out: every outgoing HTTP call of every vendor goes through here.
//!
//! | file | what it holds |
//! |---|---|
//! | `request.rs` | [`Request`] and [`Reply`] as plain data, so that a vendor's module needs no I/O |
//! | `client.rs` | [`Http`]: the real [`Transport`], with time limits and no redirects |
//! | `guard.rs` | [`Guard`]: where nobody's configuration may make us call |
//! | `mask.rs` | [`mask()`]: a request as it may be shown, with no secret in it |

mod client;
mod guard;
mod mask;
mod request;

pub use client::{Downloads, Http, HttpSettings, HttpSetupError};
pub use guard::{Allowed, AllowedError, Guard, Refusal};
pub use mask::{MaskedRequest, mask, mask_words};
pub use request::{Reply, Request, RequestError};

use async_trait::async_trait;
use url::Url;

/// Why a text is no address, for people.
pub fn no_address(error: url::ParseError) -> String {
    match error {
        url::ParseError::RelativeUrlWithoutBase => "it does not begin with https://".to_owned(),
        other => other.to_string(),
    }
}

/// Sends a request and brings the reply; layers (pacing, measuring, a test's recorder) wrap one
/// around another.
#[async_trait]
pub trait Transport: Send + Sync {
    /// One attempt: never repeated here, because only the caller knows whether that is safe.
    async fn call(&self, request: Request) -> Result<Reply, TransportError>;

    /// Why a call to this address would be refused, as far as can be told before its name is resolved.
    fn refusal(&self, _url: &Url) -> Option<String> {
        None
    }
}

/// Why there is no reply to go by. Names the host, never the URL: paths and queries hold tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Against the rules for outgoing calls: never sent, and never will be.
    #[error("call to {host} refused: {refusal}")]
    Refused {
        /// Whom the request was for.
        host: String,
        /// Which rule.
        refusal: Refusal,
    },
    /// No connection (name, network or TLS): surely not processed.
    #[error("no connection to {host}: {reason}")]
    NotSent {
        /// Whom the request was for.
        host: String,
        /// What went wrong, in the network's words.
        reason: String,
    },
    /// Sent, and no reply came: perhaps processed, perhaps not.
    #[error("no answer from {host}: {reason}")]
    NoAnswer {
        /// Whom the request was sent to.
        host: String,
        /// What went wrong, in the network's words.
        reason: String,
    },
    /// A reply came but its body is not whole. Its status is good for whoever sent something;
    /// whoever reads must not take the part for the whole.
    #[error("{host} answered {} with an incomplete body: {reason}", .reply.status)]
    Incomplete {
        /// Who answered.
        host: String,
        /// Status, headers and as much of the body as there is.
        reply: Box<Reply>,
        /// What went wrong.
        reason: String,
    },
}
