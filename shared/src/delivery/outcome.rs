//! What came of an attempt. Decided once, where the reply is read; nothing later looks at a status.

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::http::{TransportError, mask_words};

/// The longest that a vendor's `Retry-After` is believed. Real ones are seconds to minutes; one of a day
/// would park an alert until nobody needs it.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(1);

/// The longest piece of a vendor's words that is kept, in characters.
const LONGEST_REASON: usize = 200;

/// The longest text that is taken for a vendor's id, in characters: what is longer is none.
const LONGEST_RECEIPT: usize = 200;

/// What came of one attempt to tell somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The vendor took it.
    Delivered {
        /// The vendor's id for it, where it gives one.
        receipt: Option<String>,
    },
    /// Surely not taken: again later, and not before `after` has passed.
    Retry {
        /// How long the vendor asked us to wait, up to an hour.
        after: Option<SignedDuration>,
    },
    /// Surely not taken, because too much is sent there at once: again after that time, or a little.
    Limited {
        /// How long the vendor asked us to wait, up to an hour.
        after: Option<SignedDuration>,
    },
    /// Perhaps taken: again later, under the same idempotency key.
    Unknown,
    /// The credentials are not accepted: one alert to the owner, not a hundred retries.
    Denied {
        /// Why, in words fit for a log.
        reason: String,
    },
    /// Cannot succeed as it is: given up, now.
    Rejected {
        /// Why, in words fit for a log.
        reason: String,
    },
    /// Nothing left, because the channel is not live: credentials are missing or of no use.
    NotSent {
        /// Why, in words fit for a log.
        reason: String,
    },
}

impl Outcome {
    /// The usual reading of a reply; a channel overrides only what its vendor does differently.
    pub fn of(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Self {
        let after = retry_after(headers, now);
        match (status.as_u16(), after) {
            (200..=299, _) => Self::Delivered { receipt: None },
            (401 | 403, _) => Self::denied(format!("HTTP {}", status.as_u16())),
            // Whoever names a time to come back has not done the work.
            (429, after) => Self::Limited { after },
            // What is on the way and wants us to log in, or to go elsewhere, has not done it either.
            (300..=399 | 408 | 425 | 503, after) | (500..=599, after @ Some(_)) => {
                Self::Retry { after }
            }
            (500..=599, None) => Self::Unknown,
            (other, _) => Self::rejected(format!("HTTP {other}")),
        }
    }

    /// Taken, under this id if it can be one: not empty, of bounded length, without control characters.
    pub fn delivered(receipt: Option<String>) -> Self {
        let is_id = |id: &String| {
            (1..=LONGEST_RECEIPT).contains(&id.chars().count()) && !id.contains(char::is_control)
        };
        Self::Delivered {
            receipt: receipt.filter(is_id),
        }
    }

    /// Without secrets, since a vendor may answer with what it was sent: masked in words; an id with
    /// one in it is none.
    #[must_use]
    pub fn masked(self, secrets: &[SecretString]) -> Self {
        match self {
            Self::Delivered { receipt } => Self::Delivered {
                receipt: receipt.filter(|id| mask_words(id, secrets) == *id),
            },
            Self::Denied { reason } => Self::denied(mask_words(&reason, secrets)),
            Self::Rejected { reason } => Self::rejected(mask_words(&reason, secrets)),
            Self::NotSent { reason } => Self::not_sent(mask_words(&reason, secrets)),
            other @ (Self::Retry { .. } | Self::Limited { .. } | Self::Unknown) => other,
        }
    }

    /// The same of a refusal, with the status of its reply: a vendor's word says little by itself.
    #[must_use]
    pub(crate) fn with_status(self, status: Option<StatusCode>) -> Self {
        let Some(status) = status.filter(|status| !status.is_success()) else {
            return self;
        };
        let says = |reason: String| match reason.starts_with("HTTP ") {
            true => reason,
            false => format!("HTTP {}: {reason}", status.as_u16()),
        };
        match self {
            Self::Denied { reason } => Self::denied(says(reason)),
            Self::Rejected { reason } => Self::rejected(says(reason)),
            other => other,
        }
    }

    /// Refused for good. Control characters are dropped and a long text is cut.
    pub fn rejected(reason: impl AsRef<str>) -> Self {
        Self::Rejected {
            reason: bounded(reason.as_ref()),
        }
    }

    /// Refused for want of credentials. Control characters are dropped and a long text is cut.
    pub fn denied(reason: impl AsRef<str>) -> Self {
        Self::Denied {
            reason: bounded(reason.as_ref()),
        }
    }

    /// Not sent, because the channel is not live. Control characters are dropped and a long text is cut.
    pub fn not_sent(reason: impl AsRef<str>) -> Self {
        Self::NotSent {
            reason: bounded(reason.as_ref()),
        }
    }

    /// Why it failed, where that is known in words.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Denied { reason } | Self::Rejected { reason } | Self::NotSent { reason } => {
                Some(reason)
            }
            Self::Delivered { .. } | Self::Retry { .. } | Self::Limited { .. } | Self::Unknown => {
                None
            }
        }
    }

    /// Whether the destination, rather than this one message, is in trouble.
    pub fn blames_destination(&self) -> bool {
        matches!(
            self,
            Self::Retry { .. } | Self::Unknown | Self::Denied { .. }
        )
    }

    /// The name used in the attempt ledger and in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Retry { .. } | Self::Limited { .. } => "retry",
            Self::Unknown => "unknown",
            Self::Denied { .. } => "denied",
            Self::Rejected { .. } => "rejected",
            Self::NotSent { .. } => "not_sent",
        }
    }
}

/// What a request that got no reply means, if it may have had an effect.
impl From<TransportError> for Outcome {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Refused { .. } => Self::not_sent(error.to_string()),
            TransportError::NotSent { .. } => Self::Retry { after: None },
            TransportError::NoAnswer { .. } | TransportError::Incomplete { .. } => Self::Unknown,
        }
    }
}

/// How long `Retry-After` asks us to wait, up to an hour: whole seconds, or the time left until an HTTP date.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse::<u64>() {
        Ok(seconds) => Some(wait(seconds)),
        Err(_) => rfc2822::parse(value)
            .ok()
            .map(|until| until_then(until.timestamp(), now)),
    }
}

/// How long a header holding the Unix second of a rate limit's reset asks us to wait, up to an hour.
pub fn reset_at(headers: &HeaderMap, name: &str, now: Timestamp) -> Option<SignedDuration> {
    let second = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
    let until = Timestamp::from_second(second).ok()?;
    Some(until_then(until, now))
}

fn wait(seconds: u64) -> SignedDuration {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    SignedDuration::from_secs(seconds).min(LONGEST_WAIT)
}

fn until_then(until: Timestamp, now: Timestamp) -> SignedDuration {
    until
        .duration_since(now)
        .clamp(SignedDuration::ZERO, LONGEST_WAIT)
}

fn bounded(reason: &str) -> String {
    reason
        .chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_REASON)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Timestamp {
        "2026-01-15T09:30:00Z".parse().unwrap()
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    fn read(status: u16, headers: &HeaderMap) -> Outcome {
        Outcome::of(StatusCode::from_u16(status).unwrap(), headers, now())
    }

    #[test]
    fn what_can_be_no_id_is_no_receipt() {
        for (id, is_one) in [
            ("SM123", true),
            ("C0123456789/1768469400.000100", true),
            ("", false),
            ("SM1\n23", false),
            (&"S".repeat(200), true),
            (&"S".repeat(201), false),
        ] {
            let receipt = is_one.then(|| id.to_owned());
            assert_eq!(
                Outcome::delivered(Some(id.to_owned())),
                Outcome::Delivered { receipt },
                "{id:?}"
            );
        }
    }

    #[test]
    fn what_a_vendor_echoes_shows_no_secret() {
        let secrets = [SecretString::from("hunter2-hunter2")];
        let echoed = || Some("m-hunter2-hunter2".to_owned());
        let nothing = Outcome::Delivered { receipt: None };
        assert_eq!(Outcome::delivered(echoed()).masked(&secrets), nothing);
        let fine = Outcome::delivered(Some("m-1".to_owned()));
        assert_eq!(fine.clone().masked(&secrets), fine);
        assert_eq!(
            Outcome::denied("no hunter2-hunter2").masked(&secrets),
            Outcome::denied("no ****")
        );
        assert_eq!(
            Outcome::rejected("no hunter2-hunter2").masked(&secrets),
            Outcome::rejected("no ****")
        );
    }

    #[test]
    fn a_refusal_says_its_status() {
        let status = |number| Some(StatusCode::from_u16(number).unwrap());
        for (reason, number, says) in [
            ("no_service", 404, "HTTP 404: no_service"),
            ("HTTP 400: to: is missing", 400, "HTTP 400: to: is missing"),
            ("channel_not_found", 200, "channel_not_found"),
        ] {
            let refused = Outcome::rejected(reason).with_status(status(number));
            assert_eq!(refused, Outcome::rejected(says));
            let denied = Outcome::denied(reason).with_status(status(number));
            assert_eq!(denied, Outcome::denied(says));
        }
        let unknown = Outcome::Unknown.with_status(status(500));
        assert_eq!(unknown, Outcome::Unknown);
    }

    #[test]
    fn every_status_has_one_reading() {
        let none = HeaderMap::new();
        for (status, name) in [
            (200, "delivered"),
            (202, "delivered"),
            (302, "retry"),
            (400, "rejected"),
            (401, "denied"),
            (403, "denied"),
            (404, "rejected"),
            (408, "retry"),
            (410, "rejected"),
            (413, "rejected"),
            (425, "retry"),
            (429, "retry"),
            (500, "unknown"),
            (502, "unknown"),
            (503, "retry"),
            (504, "unknown"),
            (529, "unknown"),
        ] {
            assert_eq!(read(status, &none).name(), name, "{status}");
        }
        assert_eq!(
            read(404, &none),
            Outcome::Rejected {
                reason: "HTTP 404".into()
            }
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let seven = Some(SignedDuration::from_secs(7));
        let retry = |value| read(429, &headers("retry-after", value));
        assert_eq!(retry("7"), Outcome::Limited { after: seven });
        assert_eq!(
            retry("Thu, 15 Jan 2026 09:30:07 GMT"),
            Outcome::Limited { after: seven }
        );
        let past = Some(SignedDuration::ZERO);
        assert_eq!(
            retry("Thu, 15 Jan 2026 09:00:00 GMT"),
            Outcome::Limited { after: past }
        );
        assert_eq!(retry("soon"), Outcome::Limited { after: None });
        let hour = Some(SignedDuration::from_hours(1));
        for longer in [
            "3601",
            "86400",
            "99999999999999999",
            "Fri, 16 Jan 2026 09:30:00 GMT",
        ] {
            assert_eq!(retry(longer), Outcome::Limited { after: hour }, "{longer}");
        }
    }

    #[test]
    fn a_server_fault_that_names_a_time_did_not_do_the_work() {
        let seven = Some(SignedDuration::from_secs(7));
        let reply = read(502, &headers("retry-after", "7"));
        assert_eq!(reply, Outcome::Retry { after: seven });
    }

    #[test]
    fn a_reset_time_is_a_wait() {
        let name = "x-ratelimit-reset";
        let reset = |value: &str| reset_at(&headers(name, value), name, now());
        let second = now().as_second();
        assert_eq!(
            reset(&(second + 40).to_string()),
            Some(SignedDuration::from_secs(40))
        );
        assert_eq!(
            reset(&(second - 40).to_string()),
            Some(SignedDuration::ZERO)
        );
        assert_eq!(
            reset(&(second + 86_400).to_string()),
            Some(SignedDuration::from_hours(1))
        );
        assert_eq!(reset("later"), None);
        assert_eq!(reset("99999999999999999"), None);
    }

    #[test]
    fn an_outcome_survives_storage() {
        for outcome in [
            Outcome::Delivered {
                receipt: Some("m1".into()),
            },
            Outcome::Retry {
                after: Some(SignedDuration::from_secs(7)),
            },
            Outcome::Limited { after: None },
            Outcome::Unknown,
            Outcome::denied("HTTP 401"),
            Outcome::rejected("no such\nchannel"),
            Outcome::not_sent("env:TOKEN is not set"),
        ] {
            let text = serde_json::to_string(&outcome).unwrap();
            assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_a_wait_negative_or_endless(value in "[ -~]{0,40}", status in 100u16..600) {
            if let Outcome::Retry { after: Some(after) } | Outcome::Limited { after: Some(after) } = read(status, &headers("retry-after", &value)) {
                prop_assert!(after >= SignedDuration::ZERO && after <= LONGEST_WAIT);
            }
        }
    }
}
