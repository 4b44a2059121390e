//! The life of an alert: what is remembered of one subject and kind, and the step from one look at
//! the world to the next.
//!
//! ```text
//!          breached            it held for `pending`
//!  Quiet ───────────► Pending ───────────────────────► Open ◄────────────┐ breached again, or
//!    ▲                   │                               │               │ short of recovery
//!    │◄──────────────────┘ no longer breached            │ recovered     │
//!    │                                                   ▼               │
//!    └──── decisively, or it held for `keep_firing` ── Recovering ───────┘
//! ```
//!
//! While it is open, people are told of further falls and reminded. An alert may be open and nobody
//! told: while its feed is down, or while those concerned know of a graver one. Only what was told is
//! later told to be over, with the reason. Repeated crossings are damped: one notice, then silence
//! until it has been steady, then one message of how it stands.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::alert::{Ending, RevisionKind, Severity, named};
use super::id::LocationId;
use super::rule::{Check, Condition, Depth, Rule};

mod manner;
mod telling;

pub use manner::{Manner, OwnManner, Span};
use telling::{Flapping, tell};
pub use telling::{NO_LONGER_OUT, STILL_OPEN, depth_told, says_why_now, still_low, told_by_itself};

/// What is remembered of one subject and kind between two looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Where it stands.
    #[serde(rename = "p", default)]
    pub phase: Phase,
    /// What was looked at when this watch last changed. Anything older is old news.
    #[serde(rename = "e", default)]
    pub evaluated: Seen,
    /// Whether the rule fired when it was last possible to tell.
    #[serde(rename = "b", default, skip_serializing_if = "std::ops::Not::not")]
    pub breached: bool,
    /// The check by which it last crossed the threshold.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub crossed: Option<Check>,
    /// When it last crossed the threshold, either way; empty while damped.
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub flips: Vec<Moment>,
    /// Until when messages are held because it flaps.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub damped_until: Option<Moment>,
    /// The alerts that people were told something of within a day: the last [`MOST_SPOKEN_OF`].
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub spoken_of: Vec<Spoken>,
}

/// How many alerts a watch remembers to have spoken of.
const MOST_SPOKEN_OF: usize = 3;
/// For how long: a delivery is tried for a day.
const SPOKEN_FOR: SignedDuration = SignedDuration::from_hours(24);

/// An alert that something was said of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken {
    /// Its id.
    #[serde(rename = "a")]
    pub alert: String,
    /// When, last.
    #[serde(rename = "t")]
    pub at: Moment,
}

/// How far the world was known at a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Seen {
    /// The revision of the one thing that is watched.
    Revision(u64),
    /// For a sum: the revision of each member that was counted. A member that comes or goes has no
    /// say in whether a look is old: only those that both looks counted have.
    Members(BTreeMap<LocationId, u64>),
}

impl Default for Seen {
    fn default() -> Self {
        Self::Revision(0)
    }
}

impl From<u64> for Seen {
    fn from(revision: u64) -> Self {
        Self::Revision(revision)
    }
}

impl Seen {
    /// Whether something was looked at that has changed by the other look.
    pub fn is_older_than(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Revision(this), Self::Revision(other)) => this < other,
            (Self::Members(these), Self::Members(others)) => these
                .iter()
                .any(|(member, this)| others.get(member).is_some_and(|other| this < other)),
            _ => false,
        }
    }
}

/// Where an alert stands in its life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing is wrong.
    #[default]
    #[serde(rename = "q")]
    Quiet,
    /// The rule fires, but not yet for long enough.
    #[serde(rename = "p")]
    Pending {
        /// Since when it fires.
        #[serde(rename = "s")]
        since: Moment,
    },
    /// An alert is open.
    #[serde(rename = "o")]
    Open(Episode),
    /// An alert is open, and the stock is back above the recovery level.
    #[serde(rename = "r")]
    Recovering {
        /// Since when.
        #[serde(rename = "s")]
        since: Moment,
        /// The alert.
        #[serde(rename = "e")]
        episode: Episode,
    },
}

/// One alert, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// The alert's id.
    #[serde(rename = "a")]
    pub alert: String,
    /// When it opened.
    #[serde(rename = "o")]
    pub opened_at: Moment,
    /// How many revisions people were told; 0 while nobody was told that it opened.
    #[serde(rename = "n", default)]
    pub revision: u32,
    /// The severity that people were last told; before that, the one it opened with.
    #[serde(rename = "s")]
    pub severity: Severity,
    /// The change that opened it. Alerts of one change are one message for each person.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The check by which it last fired.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// The places over which it last fired, where it is over a sum; rows of before do not say it.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<LocationId>,
    /// How deep a fall people know of.
    #[serde(rename = "l", default, skip_serializing_if = "is_threshold")]
    pub depth: Depth,
    /// When people were last told something.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Moment>,
    /// Why nobody was told that it opened.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Withheld>,
    /// Whether some were left out, because they know of a graver alert.
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub owed: bool,
    /// What those who know of a graver alert know of this one.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
    /// The topics that people were told of.
    #[serde(rename = "y", default, skip_serializing_if = "Topics::is_empty")]
    pub topics: Topics,
    /// What of its facts people were told; rows of before do not say it.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<BTreeSet<u32>>,
    /// Since when there are facts that people were not told.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub news_since: Option<Moment>,
}

/// The things that one alert may be about at a time, of which people are told of each once: a bit for
/// each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Topics(u64);

impl Topics {
    /// No topic.
    pub const NONE: Self = Self(0);

    /// The topics of these numbers; all from 63 on are one.
    pub fn of(numbers: impl IntoIterator<Item = usize>) -> Self {
        let bits = numbers.into_iter().map(|number| 1 << number.min(63));
        Self(bits.fold(0, |all, bit: u64| all | bit))
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Those that are not among the others.
    #[must_use]
    pub const fn beyond(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Those of both.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_threshold(depth: &Depth) -> bool {
    *depth == Depth::Threshold
}

/// A fact as the number by which an alert knows that people were told of it.
pub fn fact(words: &str) -> u32 {
    let digest = Sha256::digest(words.as_bytes());
    let first = digest.iter().take(4);
    first.fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

named!(
    /// Why an alert that is open is kept from people.
    Withheld {
        /// The source that states the stock cannot be believed at the moment.
        SourceDown => "source_down",
        /// All who would be told know of a graver or more specific alert that is open.
        Covered => "covered",
    }
);

named!(
    /// What people know of an alert because of a graver one on the same item.
    Beside {
        /// They know of the graver one, which is open.
        Covered => "covered",
        /// The end of the graver one has told them that more is left than this one is about.
        Above => "above",
    }
);

/// A point in time, stored as whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")] pub Timestamp,
);

/// One look at the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What the rule says.
    pub condition: Condition,
    /// How much it matters, now.
    pub severity: Severity,
    /// How long it must fire before the alert opens.
    pub pending: SignedDuration,
    /// How long a marginal recovery must hold before the alert is over.
    pub keep_firing: SignedDuration,
    /// How people are told while it is open.
    pub manner: Manner,
    /// How far stock has fallen.
    pub depth: Depth,
    /// What it is about, where that may be several things.
    pub topics: Topics,
    /// The facts that people are to know while it is open, each as a number that tells it from others.
    pub facts: BTreeSet<u32>,
    /// Those of them that are no news, although nobody has noted that people were told.
    pub old_facts: BTreeSet<u32>,
    /// For how long more facts may come before people are told of one.
    pub gathers: SignedDuration,
    /// What the rule checks now.
    pub check: Option<Check>,
    /// The places that are added up, where it is over a sum.
    pub places: Vec<LocationId>,
    /// Why people are not to be told, if they are not.
    pub withheld: Option<Withheld>,
    /// When what was looked at is settled, while many changes that come together change it.
    pub settles_at: Option<Timestamp>,
    /// Whether some of those who would be told know of a graver alert.
    pub partly_covered: bool,
    /// Why an alert that ends with this look is over.
    pub ending: Ending,
}

impl Verdict {
    /// What a rule says of a condition, with the rule's own steadiness and severity.
    pub fn under(rule: &Rule, condition: Condition, account: Manner) -> Self {
        Self {
            condition,
            severity: rule.severity,
            pending: rule.pending,
            keep_firing: rule.keep_firing,
            manner: account.with(&rule.manner),
            ..Self::unwatched(Ending::Recovered)
        }
    }

    /// Where no rule applies, or no longer: nothing can be wrong, and what was open is over.
    pub const fn unwatched(ending: Ending) -> Self {
        Self {
            condition: Condition::Clear,
            severity: Severity::Info,
            pending: SignedDuration::ZERO,
            keep_firing: SignedDuration::ZERO,
            manner: Manner::QUIET,
            depth: Depth::Threshold,
            topics: Topics::NONE,
            facts: BTreeSet::new(),
            old_facts: BTreeSet::new(),
            gathers: SignedDuration::ZERO,
            check: None,
            places: Vec::new(),
            withheld: None,
            settles_at: None,
            partly_covered: false,
            ending,
        }
    }
}

/// What opens an alert.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opening {
    /// The alert's id.
    pub alert: String,
    /// The change that opens it.
    pub cause: Option<String>,
}

/// What follows from one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What to remember; when it equals the watch there is nothing to write.
    pub next: Watch,
    /// What to tell people.
    pub announce: Option<Announcement>,
    /// When the passing of time alone may change it, if nothing else happens.
    pub due: Option<Timestamp>,
}

/// A revision of an alert, to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The alert's id.
    pub alert: String,
    /// Counts the alert's revisions from 1.
    pub revision: u32,
    /// What this revision says.
    pub change: RevisionKind,
    /// Who is to hear it.
    pub audience: Audience,
    /// When the alert opened; earlier than now when the message was held back.
    pub opened_at: Timestamp,
    /// Why it is over, if it is.
    pub ending: Option<Ending>,
    /// What else to say.
    pub note: Option<String>,
}

/// Who is to hear a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// All whom it concerns.
    Everybody,
    /// Those who were not told yet: they knew of a graver alert, which is over.
    TheRest,
    /// All whom it concerns and whom nothing else reminds.
    Unreminded,
}

impl Watch {
    /// Remembers that something is said of an alert now.
    pub fn speaks_of(&mut self, alert: &str, now: Timestamp) {
        self.spoken_of
            .retain(|spoken| spoken.is_recent(now) && spoken.alert != alert);
        self.spoken_of.push(Spoken {
            alert: alert.to_owned(),
            at: Moment(now),
        });
        let beyond = self.spoken_of.len().saturating_sub(MOST_SPOKEN_OF);
        self.spoken_of.drain(..beyond);
    }

    /// The open alert, told or not.
    pub fn episode(&self) -> Option<&Episode> {
        match &self.phase {
            Phase::Open(episode) | Phase::Recovering { episode, .. } => Some(episode),
            Phase::Quiet | Phase::Pending { .. } => None,
        }
    }

    /// Whether an alert that people know of has recovered by this verdict, and is over with it.
    pub fn ends_told(&self, verdict: &Verdict, now: Timestamp) -> bool {
        let is_damped = self.damped_until.is_some_and(|until| until.0 > now);
        self.episode().is_some_and(Episode::told)
            && verdict.condition == Condition::Clear
            && verdict.ending.is_recovery()
            && verdict.settles_at.is_none()
            && !is_damped
    }

    /// Since when an alert is open, unless what is wrong is right again by now.
    pub const fn open_since(&self) -> Option<Moment> {
        match &self.phase {
            Phase::Open(episode) => Some(episode.opened_at),
            Phase::Quiet | Phase::Pending { .. } | Phase::Recovering { .. } => None,
        }
    }

    /// Whether what its open alert says is so now, and does not go back and forth: only of that people are
    /// reminded.
    pub fn holds_steadily(&self, now: Timestamp) -> bool {
        let flaps = self.damped_until.is_some_and(|until| until.0 > now);
        self.open_since().is_some() && !flaps
    }

    /// Whether an alert is open that nobody was told of. What kept it silent has an end of its own
    /// (the feed is back, the graver alert is over), and whoever sees that end looks again.
    pub fn is_withheld(&self) -> bool {
        self.episode().is_some_and(|episode| !episode.told())
    }

    /// Whether somebody is to be told once a graver alert is over.
    pub fn waits_for_graver(&self) -> bool {
        self.episode().is_some_and(|episode| {
            episode.owed || !episode.told() && episode.withheld == Some(Withheld::Covered)
        })
    }

    /// Counts a crossing of the threshold; true when it is the one too many. That is a fall: that it goes
    /// back and forth is told with what is wrong, and an end as long as it is one.
    fn starts_to_flap(&mut self, verdict: &Verdict, now: Timestamp) -> bool {
        let breached = match verdict.condition {
            Condition::Breached => true,
            Condition::Marginal | Condition::Clear => false,
            Condition::Held | Condition::NoData => return false,
        };
        if breached == self.breached {
            return false;
        }
        self.breached = breached;
        let before = std::mem::replace(&mut self.crossed, verdict.check);
        if !verdict.ending.is_recovery() {
            self.flips.clear();
        }
        // What crosses it because somebody has moved it, or taken it away, does not go back and forth.
        let was_moved = before.is_some() && before != verdict.check;
        let manner = &verdict.manner;
        if manner.flap_limit == 0 || was_moved || !verdict.ending.is_recovery() {
            return false;
        }
        if self.damped_until.is_some() {
            self.damped_until = Some(after(now, manner.flap_steady));
            return false;
        }
        self.flips
            .retain(|flip| now.duration_since(flip.0) <= manner.flap_window);
        self.flips.push(Moment(now));
        let flapping = breached && self.flips.len() > manner.flap_limit as usize;
        if flapping {
            self.flips.clear();
            self.damped_until = Some(after(now, manner.flap_steady));
        }
        flapping
    }
}

impl Spoken {
    /// Whether what was said may still be on its way.
    pub fn is_recent(&self, now: Timestamp) -> bool {
        now.duration_since(self.at.0) < SPOKEN_FOR
    }
}

impl Episode {
    /// Whether people were told of it.
    pub const fn told(&self) -> bool {
        self.revision > 0
    }

    /// Whether nobody knows of it, as they know of a graver alert, and stock has fallen further since.
    pub fn falls_unheard(&self, verdict: &Verdict) -> bool {
        let is_covered = self.withheld == Some(Withheld::Covered);
        !self.told() && is_covered && verdict.depth > self.depth
    }

    /// Whether people know of it, and all that is new is that stock has fallen further.
    pub fn falls_further(&self, verdict: &Verdict) -> bool {
        self.told() && verdict.depth > self.depth && verdict.severity <= self.severity
    }
}

/// Takes one look at the world; `None` when it is older than what the watch already knows.
///
/// `seen` is the revision of what was looked at. A second look at the same revision is welcome (time
/// has passed, a season has begun, the feed is back) and changes nothing by itself, so a stream record
/// that is delivered again does no harm.
pub fn step(
    watch: &Watch,
    verdict: &Verdict,
    now: Timestamp,
    seen: &Seen,
    opening: impl FnOnce() -> Opening,
) -> Option<Step> {
    if seen.is_older_than(&watch.evaluated) {
        return None;
    }
    let mut next = watch.clone();
    if verdict.manner.flap_limit == 0 {
        next.flips.clear();
        next.damped_until = None;
    }
    let settled = next.damped_until.take_if(|until| until.0 <= now).is_some();
    let starts_to_flap = next.starts_to_flap(verdict, now);
    // What crosses the threshold only now has not been steady where it is.
    let settled = settled && next.breached == watch.breached;
    if !verdict.ending.is_recovery() {
        // What nobody watches any longer does not flap either.
        next.damped_until = None;
    }
    let damped = next.damped_until.is_some();

    let (phase, ended) = advance(next.phase, verdict, now, damped, opening);
    next.phase = phase;

    let announce = match (ended, &mut next.phase) {
        (Some(mut episode), _) => episode.told().then(|| {
            let steady = settled.then(|| verdict.manner.steady());
            Announcement {
                ending: Some(verdict.ending),
                ..episode.announce(RevisionKind::Resolved, steady, now)
            }
        }),
        (None, Phase::Open(episode) | Phase::Recovering { episode, .. }) => {
            let flapping = match (starts_to_flap, damped, settled) {
                (true, ..) => Flapping::Begins,
                (false, true, _) => Flapping::GoesOn,
                (false, false, true) => Flapping::IsOver,
                (false, false, false) => Flapping::Not,
            };
            tell(episode, verdict, flapping, now)
        }
        (None, _) => None,
    };
    if let Some(settles_at) = verdict.settles_at.filter(|_| next != *watch) {
        // Neither begins nor ends anything: what follows may take it back.
        return Some(Step {
            next: watch.clone(),
            announce: None,
            due: Some(settles_at),
        });
    }
    let due = due(&next, verdict);
    if next != *watch {
        next.evaluated = seen.clone();
    }
    Some(Step {
        next,
        announce,
        due,
    })
}

/// The next phase, and the alert that is over with it.
fn advance(
    phase: Phase,
    verdict: &Verdict,
    now: Timestamp,
    damped: bool,
    opening: impl FnOnce() -> Opening,
) -> (Phase, Option<Episode>) {
    if verdict.condition == Condition::NoData {
        return (phase, None);
    }
    let (recovering_since, episode) = match phase {
        Phase::Quiet => return (begin(Moment(now), verdict, now, opening), None),
        Phase::Pending { since } => return (begin(since, verdict, now, opening), None),
        Phase::Open(episode) => (Moment(now), episode),
        Phase::Recovering { since, episode } => (since, episode),
    };
    let over = match verdict.condition {
        Condition::Clear => true,
        // To wait spares people an end and a beginning, and nobody was told of either.
        Condition::Marginal => {
            !episode.told() || after(recovering_since.0, verdict.keep_firing).0 <= now
        }
        Condition::Breached | Condition::Held | Condition::NoData => {
            return (Phase::Open(episode), None);
        }
    };
    // While it flaps, an alert that people know of stays open until it is steady.
    if over && !(damped && episode.told()) {
        (Phase::Quiet, Some(episode))
    } else {
        let since = recovering_since;
        (Phase::Recovering { since, episode }, None)
    }
}

/// The phase of a watch without an alert.
fn begin(
    since: Moment,
    verdict: &Verdict,
    now: Timestamp,
    opening: impl FnOnce() -> Opening,
) -> Phase {
    if verdict.condition != Condition::Breached {
        Phase::Quiet
    } else if after(since.0, verdict.pending).0 > now {
        Phase::Pending { since }
    } else {
        let Opening { alert, cause } = opening();
        Phase::Open(Episode {
            alert,
            opened_at: Moment(now),
            revision: 0,
            severity: verdict.severity,
            cause,
            check: None,
            places: Vec::new(),
            depth: Depth::Threshold,
            told_at: None,
            withheld: None,
            owed: false,
            beside: None,
            topics: Topics::NONE,
            facts: None,
            news_since: None,
        })
    }
}

/// When time alone may change it.
fn due(next: &Watch, verdict: &Verdict) -> Option<Timestamp> {
    let held_back = |episode: &Episode| next.damped_until.filter(|_| episode.told());
    let due = match (&next.phase, verdict.condition) {
        (Phase::Pending { since }, Condition::Breached) => Some(after(since.0, verdict.pending)),
        (Phase::Recovering { since, episode }, Condition::Marginal) => {
            held_back(episode).max(Some(after(since.0, verdict.keep_firing)))
        }
        (Phase::Recovering { episode, .. }, Condition::Clear) => held_back(episode),
        // What is kept from people for its feed's sake is looked at when the feed is back.
        (Phase::Open(_), Condition::Breached) if verdict.withheld == Some(Withheld::SourceDown) => {
            None
        }
        (Phase::Open(episode), Condition::Breached) => {
            let held = held_back(episode);
            let reminder = episode.reminder(&verdict.manner);
            let next = reminder.into_iter().chain(episode.news_due(verdict)).min();
            let reminder = next.map(|at| held.map_or(at, |held| held.max(at)));
            held.filter(|_| verdict.withheld.is_none()).or(reminder)
        }
        _ => None,
    };
    due.map(|moment| moment.0)
}

fn after(at: Timestamp, span: SignedDuration) -> Moment {
    Moment(at.saturating_add(span).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests;
