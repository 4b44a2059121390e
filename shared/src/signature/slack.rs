//! Slack's `v0` signature of what Slack sends us (interactions, slash commands, events).

use http::HeaderMap;
use jiff::Timestamp;

use super::window::unix_seconds;
use super::{HmacSha256, LiveSecrets, ReplayWindow, SignatureError, Verified, sole_timestamp};

const TIMESTAMP: &str = "x-slack-request-timestamp";
const SIGNATURE: HmacSha256 = HmacSha256::hex("x-slack-signature").prefixed("v0=");

/// Checks a request from Slack against the app's signing secrets.
pub fn verify(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &LiveSecrets,
    window: ReplayWindow,
    now: Timestamp,
) -> Result<Verified, SignatureError> {
    let timestamp = sole_timestamp(headers, TIMESTAMP)?;
    let sent =
        unix_seconds(timestamp).ok_or(SignatureError::TimestampMalformed { header: TIMESTAMP })?;
    let message = [b"v0:", timestamp.as_bytes(), b":", body];
    let verified = SIGNATURE.verify(headers, &message, secrets)?;
    // Only a time that was really signed says anything about a clock.
    let skew = window.check(sent, now)?;
    Ok(Verified {
        skew: Some(skew),
        ..verified
    })
}
