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
//! An alert may be open and nobody told: while its feed is down or a graver alert covers it. Only
//! what was told is later told to be over. Repeated crossings are damped: one notice, then silence
//! until it has been steady, then at most one message if people were left with the wrong picture.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::alert::{RevisionKind, Severity};
use super::rule::{Condition, Rule};

/// More crossings of the threshold than this within [`FLAP_WINDOW`] are flapping.
pub const FLAP_LIMIT: usize = 4;
/// The time over which crossings are counted.
pub const FLAP_WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// How long it must be steady before people are told anything again.
pub const STEADY: SignedDuration = SignedDuration::from_mins(30);

/// What is remembered of one subject and kind between two looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Where it stands.
    #[serde(rename = "p", default)]
    pub phase: Phase,
    /// The revision of the position that last changed this watch (for a group: the sum of its
    /// members' revisions). Anything older is old news.
    #[serde(rename = "e", default)]
    pub evaluated: u64,
    /// Whether the rule fired when it was last possible to tell.
    #[serde(rename = "b", default, skip_serializing_if = "std::ops::Not::not")]
    pub breached: bool,
    /// When it last crossed the threshold, either way; empty while damped.
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub flips: Vec<Moment>,
    /// Until when messages are held because it flaps.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub damped_until: Option<Moment>,
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
}

/// A point in time, stored as whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")] pub Timestamp,
);

/// One look at the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What the rule says.
    pub condition: Condition,
    /// How much it matters, now.
    pub severity: Severity,
    /// How long it must fire before the alert opens.
    pub pending: SignedDuration,
    /// How long a marginal recovery must hold before the alert is over.
    pub keep_firing: SignedDuration,
    /// Whether people are not to be told: its feed is down, or a graver alert covers it.
    pub inhibited: bool,
}

impl Verdict {
    /// What a rule says of a condition, with the rule's own steadiness and severity.
    pub fn under(rule: &Rule, condition: Condition, inhibited: bool) -> Self {
        Self {
            condition,
            severity: rule.severity,
            pending: rule.pending,
            keep_firing: rule.keep_firing,
            inhibited,
        }
    }

    /// Where no rule applies, or no longer: nothing can be wrong, and what was open is over.
    pub const fn without_rule() -> Self {
        Self {
            condition: Condition::Clear,
            severity: Severity::Info,
            pending: SignedDuration::ZERO,
            keep_firing: SignedDuration::ZERO,
            inhibited: false,
        }
    }
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
    /// When the alert opened; earlier than now when the message was held back.
    pub opened_at: Timestamp,
    /// What else to say.
    pub note: Option<String>,
}

impl Watch {
    /// The open alert, told or not.
    pub fn episode(&self) -> Option<&Episode> {
        match &self.phase {
            Phase::Open(episode) | Phase::Recovering { episode, .. } => Some(episode),
            Phase::Quiet | Phase::Pending { .. } => None,
        }
    }

    /// Whether an alert is open that nobody was told of. What kept it silent has an end of its own
    /// (the feed is back, the graver alert is over), and whoever sees that end looks again.
    pub fn is_withheld(&self) -> bool {
        self.episode().is_some_and(|episode| !episode.told())
    }

    /// Counts a crossing of the threshold; true when it is the one too many.
    fn starts_to_flap(&mut self, condition: Condition, now: Timestamp) -> bool {
        let breached = match condition {
            Condition::Breached => true,
            Condition::Marginal | Condition::Clear => false,
            Condition::Held | Condition::NoData => return false,
        };
        if breached == self.breached {
            return false;
        }
        self.breached = breached;
        if self.damped_until.is_some() {
            self.damped_until = Some(after(now, STEADY));
            return false;
        }
        self.flips
            .retain(|flip| now.duration_since(flip.0) <= FLAP_WINDOW);
        self.flips.push(Moment(now));
        let flapping = self.flips.len() > FLAP_LIMIT;
        if flapping {
            self.flips.clear();
            self.damped_until = Some(after(now, STEADY));
        }
        flapping
    }
}

impl Episode {
    /// Whether people were told of it.
    pub const fn told(&self) -> bool {
        self.revision > 0
    }

    fn announce(&mut self, change: RevisionKind, note: Option<String>) -> Announcement {
        self.revision += 1;
        Announcement {
            alert: self.alert.clone(),
            revision: self.revision,
            change,
            opened_at: self.opened_at.0,
            note,
        }
    }
}

/// Takes one look at the world; `None` when it is older than what the watch already knows.
///
/// `seen` is the revision of the position that was looked at. A second look at the same revision is
/// welcome (time has passed, a season has begun, the feed is back) and changes nothing by itself, so
/// a stream record that is delivered again does no harm.
pub fn step(
    watch: &Watch,
    verdict: &Verdict,
    now: Timestamp,
    seen: u64,
    new_alert_id: impl FnOnce() -> String,
) -> Option<Step> {
    if seen < watch.evaluated {
        return None;
    }
    let mut next = watch.clone();
    let settled = next.damped_until.take_if(|until| until.0 <= now).is_some();
    let starts_to_flap = next.starts_to_flap(verdict.condition, now);
    let damped_until = next.damped_until;

    let (phase, ended) = advance(
        next.phase,
        verdict,
        now,
        damped_until.is_some(),
        new_alert_id,
    );
    next.phase = phase;

    let announce = match (ended, &mut next.phase) {
        (Some(mut episode), _) => episode.told().then(|| {
            let steady = settled.then(|| format!("It has been steady for {}.", minutes(STEADY)));
            episode.announce(RevisionKind::Resolved, steady)
        }),
        (None, Phase::Open(episode) | Phase::Recovering { episode, .. }) if !verdict.inhibited => {
            tell(episode, verdict, damped_until.is_some(), starts_to_flap)
        }
        (None, _) => None,
    };
    let due = due(&next, verdict);
    if next != *watch {
        next.evaluated = seen;
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
    new_alert_id: impl FnOnce() -> String,
) -> (Phase, Option<Episode>) {
    if verdict.condition == Condition::NoData {
        return (phase, None);
    }
    let (recovering_since, episode) = match phase {
        Phase::Quiet => return (begin(Moment(now), verdict, now, new_alert_id), None),
        Phase::Pending { since } => return (begin(since, verdict, now, new_alert_id), None),
        Phase::Open(episode) => (Moment(now), episode),
        Phase::Recovering { since, episode } => (since, episode),
    };
    let over = match verdict.condition {
        Condition::Clear => true,
        Condition::Marginal => after(recovering_since.0, verdict.keep_firing).0 <= now,
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
    new_alert_id: impl FnOnce() -> String,
) -> Phase {
    if verdict.condition != Condition::Breached {
        Phase::Quiet
    } else if after(since.0, verdict.pending).0 > now {
        Phase::Pending { since }
    } else {
        Phase::Open(Episode {
            alert: new_alert_id(),
            opened_at: Moment(now),
            revision: 0,
            severity: verdict.severity,
        })
    }
}

/// What to tell of an alert that is open.
fn tell(
    episode: &mut Episode,
    verdict: &Verdict,
    damped: bool,
    starts_to_flap: bool,
) -> Option<Announcement> {
    let breached = verdict.condition == Condition::Breached;
    if !episode.told() {
        return breached.then(|| {
            episode.severity = verdict.severity;
            episode.announce(RevisionKind::Opened, damped.then(flapping))
        });
    }
    if starts_to_flap {
        return Some(episode.announce(RevisionKind::Updated, Some(flapping())));
    }
    (breached && !damped && verdict.severity > episode.severity).then(|| {
        episode.severity = verdict.severity;
        episode.announce(RevisionKind::Escalated, None)
    })
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
        (Phase::Open(episode), Condition::Breached) if verdict.severity > episode.severity => {
            held_back(episode).filter(|_| !verdict.inhibited)
        }
        _ => None,
    };
    due.map(|moment| moment.0)
}

fn after(at: Timestamp, span: SignedDuration) -> Moment {
    Moment(at.saturating_add(span).unwrap_or(Timestamp::MAX))
}

fn flapping() -> String {
    format!(
        "Flapping: it crossed its threshold more than {FLAP_LIMIT} times within {}. Messages are held \
         until it has been steady for {}.",
        minutes(FLAP_WINDOW),
        minutes(STEADY)
    )
}

fn minutes(span: SignedDuration) -> String {
    format!("{} minutes", span.as_mins())
}

#[cfg(test)]
mod tests;
