//! How people are told of an alert that is open: how soon they are reminded, whether they hear of
//! further falls, and when repeated crossings count as flapping.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::domain::rule::seconds;

pub(super) const FLAPPING: &str = "Flapping: no more messages until it has been steady for ";
pub(super) const STEADY: &str = "It has been steady for ";

/// What holds for an account's alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manner {
    /// After how long what is still open is brought to mind; zero is never.
    #[serde(with = "seconds")]
    pub remind_every: SignedDuration,
    /// Whether people are told when stock has fallen to half of the threshold, and to nothing.
    pub further_falls: bool,
    /// More crossings of the threshold than this within the window are flapping; zero is never.
    pub flap_limit: u32,
    /// The time over which crossings are counted.
    #[serde(with = "seconds")]
    pub flap_window: SignedDuration,
    /// How long it must be steady before people are told anything again.
    #[serde(with = "seconds")]
    pub flap_steady: SignedDuration,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            remind_every: SignedDuration::from_hours(24),
            further_falls: true,
            flap_limit: 4,
            flap_window: SignedDuration::from_hours(1),
            flap_steady: SignedDuration::from_mins(30),
        }
    }
}

impl Manner {
    /// Says nothing beyond a beginning and an end, and holds nothing back.
    pub const QUIET: Self = Self {
        remind_every: SignedDuration::ZERO,
        further_falls: false,
        flap_limit: 0,
        flap_window: SignedDuration::ZERO,
        flap_steady: SignedDuration::ZERO,
    };

    /// The account's manner with what a rule has of its own.
    #[must_use]
    pub fn with(self, own: &OwnManner) -> Self {
        Self {
            remind_every: own.remind_every.map_or(self.remind_every, |own| own.0),
            further_falls: own.further_falls.unwrap_or(self.further_falls),
            flap_limit: own.flap_limit.unwrap_or(self.flap_limit),
            flap_window: own.flap_window.map_or(self.flap_window, |own| own.0),
            flap_steady: own.flap_steady.map_or(self.flap_steady, |own| own.0),
        }
    }

    /// What flapping means here, in a sentence.
    pub fn flapping(&self) -> String {
        format!(
            "{FLAPPING}{}. It has gone back and forth more than {} times within {}.",
            in_words(self.flap_steady),
            self.flap_limit,
            in_words(self.flap_window)
        )
    }

    pub(super) fn steady(&self) -> String {
        format!("{STEADY}{}.", in_words(self.flap_steady))
    }
}

/// What a rule does otherwise than the account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnManner {
    /// Its reminders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_every: Option<Span>,
    /// Whether it tells of further falls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub further_falls: Option<bool>,
    /// Its limit of crossings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flap_limit: Option<u32>,
    /// The time over which they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flap_window: Option<Span>,
    /// How long it must be steady.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flap_steady: Option<Span>,
}

impl OwnManner {
    /// Whether the rule is as the account.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A span of time, stored as whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(#[serde(with = "seconds")] pub SignedDuration);

fn in_words(span: SignedDuration) -> String {
    let (hours, minutes, seconds) = (span.as_hours(), span.as_mins() % 60, span.as_secs() % 60);
    match (hours, minutes) {
        (0, 0) if seconds == 1 => "1 second".to_owned(),
        (0, 0) => format!("{seconds} seconds"),
        (0, 1) if seconds == 0 => "1 minute".to_owned(),
        (0, 1) => format!("{} seconds", span.as_secs()),
        (0, minutes) => format!("{minutes} minutes"),
        (1, 0) => "1 hour".to_owned(),
        (hours, 0) => format!("{hours} hours"),
        (1, 1) => "1 hour 1 minute".to_owned(),
        (1, minutes) => format!("1 hour {minutes} minutes"),
        (hours, 1) => format!("{hours} hours 1 minute"),
        (hours, minutes) => format!("{hours} hours {minutes} minutes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_said_as_people_say_it() {
        for (seconds, words) in [
            (1, "1 second"),
            (30, "30 seconds"),
            (60, "1 minute"),
            (90, "90 seconds"),
            (300, "5 minutes"),
            (3_600, "1 hour"),
            (3_660, "1 hour 1 minute"),
            (5_400, "1 hour 30 minutes"),
            (86_400, "24 hours"),
        ] {
            assert_eq!(in_words(SignedDuration::from_secs(seconds)), words);
        }
    }
}
