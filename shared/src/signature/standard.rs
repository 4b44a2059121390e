//! Standard Webhooks `v1`: what senders of that scheme send us, and what our own signed webhook
//! channel sends. The specification is at www.standardwebhooks.com.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use subtle::ConstantTimeEq;

use super::hmac::{Encoding, digest};
use super::window::unix_seconds;
use super::{
    LiveSecrets, ReplayWindow, SecretsError, SignatureError, Verified, sole_header, sole_timestamp,
};

/// The message's identity: equal on every attempt.
pub const ID: &str = "webhook-id";
/// The attempt's time, in seconds since 1970.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// `v1,` and base64, once for each secret that is good.
pub const SIGNATURE: &str = "webhook-signature";

const VERSION: &str = "v1,";
const SECRET_PREFIX: &str = "whsec_";

/// Reads secrets as the specification writes them, `whsec_` and base64, newest first.
///
/// As in the reference libraries the prefix may be left out.
pub fn secrets(written: &[SecretString]) -> Result<LiveSecrets, SecretsError> {
    let keys = written.iter().enumerate().map(|(index, secret)| {
        let text = secret.expose_secret();
        STANDARD
            .decode(text.strip_prefix(SECRET_PREFIX).unwrap_or(text))
            .map(SecretSlice::from)
            .map_err(|_| SecretsError::NotBase64 { number: index + 1 })
    });
    LiveSecrets::from_keys(keys.collect::<Result<Vec<_>, _>>()?)
}

/// Checks a message: any one signature of version 1 may match, other versions are passed over.
pub fn verify(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &LiveSecrets,
    window: ReplayWindow,
    now: Timestamp,
) -> Result<Verified, SignatureError> {
    let id = sole_header(headers, ID)?;
    // With a full stop in it, the signed text could be divided in more than one way.
    if id.is_empty() || id.contains(&b'.') {
        return Err(SignatureError::Malformed { header: ID });
    }
    let timestamp = sole_timestamp(headers, TIMESTAMP)?;
    let sent =
        unix_seconds(timestamp).ok_or(SignatureError::TimestampMalformed { header: TIMESTAMP })?;
    let offered = signatures(sole_header(headers, SIGNATURE)?)?;

    let message = signed_text(id, timestamp, body);
    let verified = secrets
        .find(|key| {
            let expected = Encoding::Base64.encode(&digest(key, &message));
            let expected = expected.as_bytes();
            offered.iter().any(|one| one.ct_eq(expected).into())
        })
        .ok_or(SignatureError::Mismatch)?;
    // Only a time that was really signed says anything about a clock.
    let skew = window.check(sent, now)?;
    Ok(Verified {
        skew: Some(skew),
        ..verified
    })
}

/// The value of the [`SIGNATURE`] header: one signature for each live secret, newest first, so
/// that a receiver may change to the new one when it likes.
///
/// `id` must not contain a full stop; `attempted` goes into the [`TIMESTAMP`] header as seconds.
pub fn sign(id: &str, attempted: Timestamp, body: &[u8], secrets: &LiveSecrets) -> String {
    let timestamp = attempted.as_second().to_string();
    let message = signed_text(id.as_bytes(), &timestamp, body);
    let signatures: Vec<String> = secrets
        .keys()
        .map(|key| {
            let signature = Encoding::Base64.encode(&digest(key, &message));
            format!("{VERSION}{signature}")
        })
        .collect();
    signatures.join(" ")
}

fn signed_text<'m>(id: &'m [u8], timestamp: &'m str, body: &'m [u8]) -> [&'m [u8]; 5] {
    [id, b".", timestamp.as_bytes(), b".", body]
}

/// The signatures of version 1 among those offered.
fn signatures(value: &[u8]) -> Result<Vec<&[u8]>, SignatureError> {
    let malformed = SignatureError::Malformed { header: SIGNATURE };
    let mut ours = Vec::new();
    for entry in value
        .split(|b| *b == b' ')
        .filter(|entry| !entry.is_empty())
    {
        if !entry.contains(&b',') {
            return Err(malformed);
        }
        ours.extend(entry.strip_prefix(VERSION.as_bytes()));
    }
    if ours.is_empty() {
        return Err(malformed);
    }
    Ok(ours)
}
