//! How old, or how far ahead, a signed message may be.

use jiff::{SignedDuration, Timestamp};

use super::SignatureError;

/// Five minutes either way, unless configured otherwise: what the Standard Webhooks libraries use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayWindow {
    tolerance: SignedDuration,
}

impl ReplayWindow {
    /// A window of `tolerance` before and after now; a negative one counts as none.
    pub fn of(tolerance: SignedDuration) -> Self {
        Self {
            tolerance: tolerance.max(SignedDuration::ZERO),
        }
    }

    /// Our clock minus the sender's, if that is within the window.
    pub fn check(self, sent: Timestamp, now: Timestamp) -> Result<SignedDuration, SignatureError> {
        let skew = now.duration_since(sent);
        let skew_seconds = skew.as_secs();
        if skew > self.tolerance {
            Err(SignatureError::TimestampTooOld { skew_seconds })
        } else if skew < -self.tolerance {
            Err(SignatureError::TimestampTooNew { skew_seconds })
        } else {
            Ok(skew)
        }
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::of(SignedDuration::from_mins(5))
    }
}

/// Reads a time in seconds since 1970, digits only.
pub fn unix_seconds(text: &str) -> Option<Timestamp> {
    Timestamp::from_second(digits(text)?).ok()
}

/// Reads a time in milliseconds since 1970, digits only.
pub fn unix_milliseconds(text: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(digits(text)?).ok()
}

fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}
