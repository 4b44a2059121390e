//! Senders that cannot sign: a secret in a header, or HTTP basic authentication.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{LiveSecrets, SignatureError, Verified, sole_header};

/// Compares digests, so that not even a secret's length shows in the time taken.
fn same(one: &[u8], other: &[u8]) -> Choice {
    Sha256::digest(one)
        .as_slice()
        .ct_eq(Sha256::digest(other).as_slice())
}

/// Checks that `header` (in lower case) holds one of the secrets.
pub fn verify_header(
    header: &'static str,
    headers: &HeaderMap,
    secrets: &LiveSecrets,
) -> Result<Verified, SignatureError> {
    verify_value(sole_header(headers, header)?, secrets)
}

/// Checks a secret found elsewhere: in a path, or after `Bearer `.
pub fn verify_value(value: &[u8], secrets: &LiveSecrets) -> Result<Verified, SignatureError> {
    secrets
        .find(|secret| same(secret, value).into())
        .ok_or(SignatureError::Mismatch)
}

/// Checks `Authorization: Basic …` against a user name and its live passwords.
pub fn verify_basic(
    headers: &HeaderMap,
    user: &str,
    passwords: &LiveSecrets,
) -> Result<Verified, SignatureError> {
    let malformed = || SignatureError::Malformed {
        header: "authorization",
    };
    let value = sole_header(headers, "authorization")?;
    let (scheme, credentials) = value.split_at_checked(6).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return Err(malformed());
    }
    let decoded = STANDARD
        .decode(credentials.trim_ascii())
        .map_err(|_| malformed())?;
    let colon = decoded
        .iter()
        .position(|b| *b == b':')
        .ok_or_else(malformed)?;
    let (name, password) = (&decoded[..colon], &decoded[colon + 1..]);
    let right_name = same(name, user.as_bytes());
    passwords
        .find(|secret| (same(secret, password) & right_name).into())
        .ok_or(SignatureError::Mismatch)
}
