//! Gathering alerts: which group a revision belongs to, and when the group speaks.
//!
//! A group is one channel's share of one route, for one combination of labels. Its schedule is a pure
//! step: quiet → waiting → sending → waiting or quiet. The first alert waits for company; after a
//! message the next comes no sooner than the interval allows; and where nothing new happens, what is
//! still open is brought to mind.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Subject;
use super::alert::{AlertKind, named};
use super::id::ChannelName;
use super::watch::Moment;

named!(
    /// What a route may tell its groups apart by.
    GroupLabel {
        /// The location, or the group of locations, that an alert is about.
        Location => "location",
        /// The kind of alert.
        Kind => "kind",
        /// The product: its SKU or model line; for a single vehicle its VIN.
        Product => "product",
        /// The product's category.
        Category => "category",
        /// The source, for alerts on a feed.
        Connector => "connector",
    }
);

/// How a group takes its time, and how much it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// How long a first alert waits for others.
    pub wait: SignedDuration,
    /// The least time between two messages.
    pub interval: SignedDuration,
    /// After how long what is still open is brought to mind; never if not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<SignedDuration>,
    /// The most alerts that one message names; it counts all of them.
    pub most: u32,
}

/// How a route gathers its alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grouping {
    /// What its groups are told apart by; nothing makes one group of all.
    pub by: Vec<GroupLabel>,
    /// Their pace.
    pub pace: Pace,
}

/// The group that a revision belongs to, as it was when the revision was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belongs {
    /// The route that gathers.
    pub route: String,
    /// What sets this group apart from the route's others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<(GroupLabel, String)>,
    /// The group's pace.
    pub pace: Pace,
}

impl Grouping {
    /// The group of an alert on this subject.
    pub fn group_of(
        &self,
        route: &str,
        kind: AlertKind,
        subject: &Subject,
        category: Option<&str>,
    ) -> Belongs {
        let value = |label: &GroupLabel| match (label, subject) {
            (GroupLabel::Kind, _) => Some(kind.to_string()),
            (GroupLabel::Category, _) => category.map(str::to_owned),
            (GroupLabel::Location, Subject::Position { location, .. }) => {
                Some(location.to_string())
            }
            (GroupLabel::Location, Subject::Group { group, .. }) => Some(format!("group {group}")),
            (
                GroupLabel::Product,
                Subject::Position { product, .. } | Subject::Group { product, .. },
            ) => Some(product.to_string()),
            (GroupLabel::Product, Subject::Unit { vin }) => Some(vin.clone()),
            (
                GroupLabel::Connector,
                Subject::Connector { connector } | Subject::Quarantine { connector, .. },
            ) => Some(connector.to_string()),
            _ => None,
        };
        let labels = self.by.iter();
        Belongs {
            route: route.to_owned(),
            labels: labels
                .filter_map(|label| Some((*label, value(label)?)))
                .collect(),
            pace: self.pace,
        }
    }
}

impl Belongs {
    /// The group's name on this channel.
    pub fn id(&self, channel: &ChannelName) -> GroupId {
        // Each part with its length, so that no two lists of parts read the same.
        let mut digest = Sha256::new();
        let mut part = |text: &str| {
            digest.update(text.len().to_be_bytes());
            digest.update(text.as_bytes());
        };
        part(&self.route);
        part(channel.as_str());
        for (label, value) in &self.labels {
            part(label.name());
            part(value);
        }
        GroupId(hex::encode(&digest.finalize()[..16]))
    }
}

/// What stands before a group's name: no alert's id begins so.
const PREFIX: &str = "g-";

/// Names a group: the same route, channel and labels give the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(String);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

/// Names one message of a group. It stands where an alert's id does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlushId {
    /// The group.
    pub group: GroupId,
    /// Counts the group's messages from 1.
    pub number: u32,
}

impl FlushId {
    /// The group's next message.
    pub fn next(&self) -> Self {
        Self {
            group: self.group.clone(),
            number: self.number.saturating_add(1),
        }
    }
}

impl fmt::Display for FlushId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.group, self.number)
    }
}

/// The text names no message of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a group's message")]
pub struct NoFlush;

impl FromStr for FlushId {
    type Err = NoFlush;
    fn from_str(text: &str) -> Result<Self, NoFlush> {
        let (name, number) = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('-'))
            .ok_or(NoFlush)?;
        let digits = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if name.len() != 32 || !digits(name) {
            return Err(NoFlush);
        }
        let id = Self {
            group: GroupId(name.to_owned()),
            number: number.parse().map_err(|_| NoFlush)?,
        };
        // One spelling only: it is a key.
        (id.to_string() == text).then_some(id).ok_or(NoFlush)
    }
}

/// Where a group stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Messages begun so far: the number of the last one.
    pub flushes: u32,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Moment>,
    /// What comes next.
    pub phase: Phase,
}

/// What a group does next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing.
    #[default]
    Quiet,
    /// It speaks at this time, of what has happened by then.
    Waiting(Moment),
    /// It speaks at this time if something is still open by then.
    Reminding(Moment),
    /// Its last message is on the way, or what that covered is being put on record.
    Sending,
}

impl Phase {
    /// When the group speaks next, if that is known.
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Self::Waiting(at) | Self::Reminding(at) => Some(at.0),
            Self::Quiet | Self::Sending => None,
        }
    }
}

/// What is left of a group once its message is settled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// Whether revisions came meanwhile.
    pub waiting: bool,
    /// Whether something that people were told of may still be open.
    pub open: bool,
    /// Whether it was time to bring that to mind, and something graver was told instead.
    pub kept_silent: bool,
}

impl Schedule {
    /// An alert waits to be told. `None` if the schedule holds as it is.
    #[must_use]
    pub fn joined(&self, now: Timestamp, pace: &Pace) -> Option<Self> {
        let soonest = self.soonest(later(now, pace.wait), pace);
        let at = match self.phase {
            Phase::Quiet => soonest,
            Phase::Reminding(at) => soonest.min(at.0),
            // Whoever is sending looks for latecomers afterwards.
            Phase::Waiting(_) | Phase::Sending => return None,
        };
        Some(self.with(Phase::Waiting(Moment(at))))
    }

    /// Somebody wants to hear now what it has to say. `None` if the schedule holds as it is.
    #[must_use]
    pub fn hastened(&self, now: Timestamp) -> Option<Self> {
        match self.phase {
            Phase::Waiting(at) if at.0 > now => Some(self.with(Phase::Waiting(Moment(now)))),
            _ => None,
        }
    }

    /// Its time has come, and there is something to say.
    #[must_use]
    pub fn begun(&self, now: Timestamp) -> Self {
        Self {
            flushes: self.flushes.saturating_add(1),
            last: Some(Moment(now)),
            phase: Phase::Sending,
        }
    }

    /// Its message was not sent: it speaks again at this time, of what is true by then.
    #[must_use]
    pub fn again(&self, at: Timestamp) -> Self {
        self.with(Phase::Waiting(Moment(at)))
    }

    /// Its time has come, and there is nothing to say; or its message is settled.
    #[must_use]
    pub fn over(&self, left: Left, now: Timestamp, pace: &Pace) -> Self {
        let phase = match (left.waiting, self.reminder(left, now, pace)) {
            // They have waited while the last message was under way.
            (true, _) => Phase::Waiting(Moment(self.soonest(now, pace))),
            (false, Some(at)) => Phase::Reminding(Moment(at.max(now))),
            (false, None) => Phase::Quiet,
        };
        self.with(phase)
    }

    /// A reminder keeps the beat of the interval: it comes with the first beat after its own time.
    fn reminder(&self, left: Left, now: Timestamp, pace: &Pace) -> Option<Timestamp> {
        let (last, repeat) = (self.last?.0, pace.repeat.filter(|_| left.open)?);
        let last = if left.kept_silent { now } else { last };
        let beat = pace.interval.as_millis().max(1);
        let beats = repeat.as_millis().max(1).saturating_add(beat - 1) / beat;
        let wait = i64::try_from(beats.saturating_mul(beat)).unwrap_or(i64::MAX);
        Some(later(last, SignedDuration::from_millis(wait)))
    }

    /// Not before the interval since the last message is over.
    fn soonest(&self, at: Timestamp, pace: &Pace) -> Timestamp {
        self.last
            .map_or(at, |last| at.max(later(last.0, pace.interval)))
    }

    fn with(&self, phase: Phase) -> Self {
        Self { phase, ..*self }
    }
}

fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
