//! Who sent this? The checks every connector shares, on the raw bytes, in constant time.
//!
//! | where | scheme |
//! |---|---|
//! | [`HmacSha256`] | HMAC-SHA256 of the body (and what a vendor puts before it), hex or base64 |
//! | [`standard`] | Standard Webhooks `v1`: verifying what others send, signing what we send |
//! | [`slack`] | Slack's `v0` |
//! | [`shared_secret`] | a fixed header, or HTTP basic authentication |
//! | [`window`] | how old a signed message may be |
//!
//! Every check takes all [`LiveSecrets`] and says which one matched, so that a secret can be
//! rotated without losing an event and the last use of the old one can be seen in the log.

mod hmac;
pub mod shared_secret;
pub mod slack;
pub mod standard;
pub mod window;

pub(crate) use self::hmac::digest;
pub use self::hmac::{Encoding, HmacSha256};
pub use self::window::ReplayWindow;

use std::fmt;

use http::HeaderMap;
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// The secrets that are good now, newest first: never none, and none of them empty.
pub struct LiveSecrets(Vec<SecretSlice<u8>>);

/// Why a set of secrets cannot be used. Never says what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// Nothing to check against.
    #[error("no signing secret is configured")]
    None,
    /// An empty key would let anybody sign.
    #[error("signing secret {number} is empty")]
    Empty {
        /// Counted from 1, newest first.
        number: usize,
    },
    /// A Standard Webhooks secret is `whsec_` and base64.
    #[error("signing secret {number} is not base64 after its \"whsec_\"")]
    NotBase64 {
        /// Counted from 1, newest first.
        number: usize,
    },
}

impl LiveSecrets {
    /// Secrets whose text is the key, newest first.
    pub fn new(secrets: &[SecretString]) -> Result<Self, SecretsError> {
        let keys = secrets
            .iter()
            .map(|secret| secret.expose_secret().as_bytes().to_vec());
        Self::from_keys(keys.map(SecretSlice::from))
    }

    /// Keys of raw bytes, newest first.
    pub fn from_keys(
        keys: impl IntoIterator<Item = SecretSlice<u8>>,
    ) -> Result<Self, SecretsError> {
        let keys: Vec<_> = keys.into_iter().collect();
        if keys.is_empty() {
            return Err(SecretsError::None);
        }
        match keys.iter().position(|key| key.expose_secret().is_empty()) {
            Some(index) => Err(SecretsError::Empty { number: index + 1 }),
            None => Ok(Self(keys)),
        }
    }

    /// The keys, newest first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(ExposeSecret::expose_secret)
    }

    /// Which secret satisfies `matches`, newest first.
    pub(crate) fn find(&self, matches: impl Fn(&[u8]) -> bool) -> Option<Verified> {
        let secret = self.keys().position(matches)?;
        Some(Verified { secret, skew: None })
    }
}

/// How many, and nothing of what.
impl fmt::Debug for LiveSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveSecrets({})", self.0.len())
    }
}

/// A sender proven genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Verified {
    /// Which secret matched: 0 is the newest.
    pub secret: usize,
    /// Our clock minus the sender's, for schemes that sign a time.
    pub skew: Option<SignedDuration>,
}

impl Verified {
    /// Whether the sender has still to learn the newest secret.
    pub fn by_old_secret(self) -> bool {
        self.secret > 0
    }
}

/// Why a message is not taken for genuine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The header is not there.
    #[error("the {header} header is missing")]
    Missing {
        /// Which header.
        header: &'static str,
    },
    /// The header is there twice, or is not of the scheme's form.
    #[error("the {header} header is malformed")]
    Malformed {
        /// Which header.
        header: &'static str,
    },
    /// Made with another secret, or of another message.
    #[error("the signature does not match")]
    Mismatch,
    /// The signed time is not there.
    #[error("the {header} header is missing")]
    TimestampMissing {
        /// Which header.
        header: &'static str,
    },
    /// The signed time is no time.
    #[error("the {header} header holds no time")]
    TimestampMalformed {
        /// Which header.
        header: &'static str,
    },
    /// Sent too long ago: a replay, or a clock that is slow.
    #[error("the message was signed {skew_seconds} s ago")]
    TimestampTooOld {
        /// Our clock minus the sender's.
        skew_seconds: i64,
    },
    /// Sent in our future: a clock that is fast.
    #[error("the message was signed {} s in the future", .skew_seconds.unsigned_abs())]
    TimestampTooNew {
        /// Our clock minus the sender's: negative.
        skew_seconds: i64,
    },
}

impl SignatureError {
    /// The reason as machines read it: in answers, logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "signature_missing",
            Self::Malformed { .. } => "signature_malformed",
            Self::Mismatch => "signature_mismatch",
            Self::TimestampMissing { .. } => "timestamp_missing",
            Self::TimestampMalformed { .. } => "timestamp_malformed",
            Self::TimestampTooOld { .. } => "timestamp_too_old",
            Self::TimestampTooNew { .. } => "timestamp_too_new",
        }
    }

    /// Our clock minus the sender's, where that is what is wrong.
    pub fn skew_seconds(&self) -> Option<i64> {
        match self {
            Self::TimestampTooOld { skew_seconds } | Self::TimestampTooNew { skew_seconds } => {
                Some(*skew_seconds)
            }
            _ => None,
        }
    }
}

/// The value of a header that must be there exactly once: of two, either could be the forged one.
pub(crate) fn sole_header<'h>(
    headers: &'h HeaderMap,
    header: &'static str,
) -> Result<&'h [u8], SignatureError> {
    let mut values = headers.get_all(header).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(SignatureError::Missing { header }),
        (Some(value), None) => Ok(value.as_bytes()),
        (Some(_), Some(_)) => Err(SignatureError::Malformed { header }),
    }
}

/// As [`sole_header`], for the header with the signed time.
pub(crate) fn sole_timestamp<'h>(
    headers: &'h HeaderMap,
    header: &'static str,
) -> Result<&'h str, SignatureError> {
    match sole_header(headers, header) {
        Ok(value) => {
            std::str::from_utf8(value).map_err(|_| SignatureError::TimestampMalformed { header })
        }
        Err(SignatureError::Missing { header }) => Err(SignatureError::TimestampMissing { header }),
        Err(_) => Err(SignatureError::TimestampMalformed { header }),
    }
}

#[cfg(test)]
mod tests;
