//! What people are told of an alert that is open.

use jiff::{SignedDuration, Timestamp};

use super::manner::{FLAPPING, STEADY};
use super::{Announcement, Audience, Beside, Episode, Manner, Moment, Verdict, Withheld, after};
use crate::domain::alert::{AlertKind, RevisionKind};
use crate::domain::rule::{Check, Condition, Depth};

impl Episode {
    pub(super) fn announce(
        &mut self,
        change: RevisionKind,
        note: Option<String>,
        now: Timestamp,
    ) -> Announcement {
        self.revision += 1;
        self.told_at = Some(Moment(now));
        Announcement {
            alert: self.alert.clone(),
            revision: self.revision,
            change,
            audience: Audience::Everybody,
            opened_at: self.opened_at.0,
            ending: None,
            note,
        }
    }

    /// When people are reminded of it.
    pub(super) fn reminder(&self, manner: &Manner) -> Option<Moment> {
        let told_at = self
            .told_at
            .filter(|_| manner.remind_every > SignedDuration::ZERO)?;
        Some(after(told_at.0, manner.remind_every))
    }

    /// When people are told of facts that they do not know yet: at once, or when it was seen what else comes.
    /// An alert that goes on having news has it gathered for longer.
    pub(super) fn news_due(&self, verdict: &Verdict) -> Option<Moment> {
        let gathered = after(self.news_since?.0, verdict.gathers);
        let last = self.told_at.filter(|_| self.revision > 1);
        Some(
            match last.filter(|_| verdict.gathers > SignedDuration::ZERO) {
                Some(last) => gathered.max(after(last.0, BETWEEN_NEWS)),
                None => gathered,
            },
        )
    }

    /// Takes note of facts that people do not know yet. What is no fact any more is forgotten, so that it is
    /// news when it is one again.
    fn learns(&mut self, verdict: &Verdict, now: Timestamp) {
        if verdict.facts.is_empty() {
            return;
        }
        let known = self.facts.get_or_insert_with(|| verdict.facts.clone());
        known.retain(|fact| verdict.facts.contains(fact));
        known.extend(&verdict.old_facts);
        let is_news = !verdict.facts.is_subset(known);
        self.news_since = is_news.then(|| self.news_since.unwrap_or(Moment(now)));
    }

    /// Takes note of whether people know of a graver alert. Once that is over they know by its end how much
    /// is left, and a fall from there is news again.
    fn stands_beside(&mut self, verdict: &Verdict) {
        let is_covered = verdict.partly_covered || verdict.withheld == Some(Withheld::Covered);
        let breached = verdict.condition == Condition::Breached;
        if is_covered {
            self.beside = Some(Beside::Covered);
        } else if self.beside == Some(Beside::Covered) && verdict.withheld.is_none() {
            self.beside = (!breached).then_some(Beside::Above);
            self.depth = verdict.depth;
        }
    }
}

/// Whether crossings of the threshold are so many that messages are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flapping {
    Not,
    Begins,
    GoesOn,
    IsOver,
}

/// What to tell of an alert that is open.
pub(super) fn tell(
    episode: &mut Episode,
    verdict: &Verdict,
    flapping: Flapping,
    now: Timestamp,
) -> Option<Announcement> {
    let damped = matches!(flapping, Flapping::Begins | Flapping::GoesOn);
    let breached = verdict.condition == Condition::Breached;
    let threshold = |check: Option<Check>| check.and_then(|check| Some(check.threshold()?.units));
    let before = threshold(episode.check);
    if breached {
        episode.check = verdict.check;
        episode.places.clone_from(&verdict.places);
    }
    // It may not have fallen at all.
    let moved = before
        .zip(threshold(verdict.check))
        .filter(|(old, new)| old != new);
    let facts = || Some(verdict.facts.clone()).filter(|facts| !facts.is_empty());
    let manner = &verdict.manner;
    let reminder_is_due = breached
        && !damped
        && episode
            .reminder(manner)
            .is_some_and(|reminder| reminder.0 <= now);
    if !episode.told() {
        episode.withheld = verdict.withheld;
        if breached && verdict.withheld == Some(Withheld::Covered) {
            episode.depth = verdict.depth;
        }
        return (breached && verdict.withheld.is_none()).then(|| {
            episode.severity = verdict.severity;
            episode.depth = verdict.depth;
            episode.owed = verdict.partly_covered;
            episode.beside = verdict.partly_covered.then_some(Beside::Covered);
            episode.topics = verdict.topics;
            episode.facts = facts();
            episode.announce(RevisionKind::Opened, damped.then(|| manner.flapping()), now)
        });
    }
    episode.stands_beside(verdict);
    if breached {
        episode.learns(verdict, now);
    }
    match verdict.withheld {
        Some(Withheld::SourceDown) => return None,
        Some(Withheld::Covered) => {
            // Those concerned know of worse: once that is over, this is no news to them.
            if breached && !damped {
                episode.depth = episode.depth.max(verdict.depth);
            }
            if reminder_is_due {
                episode.told_at = Some(Moment(now));
            }
            return None;
        }
        None => {}
    }
    if !breached || flapping == Flapping::GoesOn {
        return None;
    }
    let escalates = verdict.severity > episode.severity;
    let falls = manner.further_falls && verdict.depth > episode.depth;
    let returns = episode.beside == Some(Beside::Above);
    let owes = episode.owed && !verdict.partly_covered;
    let widens = !verdict.topics.beyond(episode.topics).is_empty();
    let gathered = episode.news_due(verdict).is_some_and(|due| due.0 <= now);
    // Not all are reminded, and news is for everybody.
    let news = gathered || reminder_is_due && episode.news_since.is_some();
    episode.topics = episode.topics.with(verdict.topics);
    episode.severity = episode.severity.max(verdict.severity);
    episode.depth = episode.depth.max(verdict.depth);
    episode.beside = episode.beside.filter(|_| !returns);
    episode.owed &= !owes;
    let change = match escalates {
        true => RevisionKind::Escalated,
        false => RevisionKind::Updated,
    };
    let (audience, note) = if flapping == Flapping::Begins {
        (Audience::Everybody, Some(manner.flapping()))
    } else if escalates || falls {
        let note = falls.then(|| fallen(verdict.depth, moved)).flatten();
        (Audience::Everybody, note)
    } else if flapping == Flapping::IsOver {
        (Audience::Everybody, Some(manner.steady()))
    } else if widens || news || returns {
        (Audience::Everybody, None)
    } else if owes {
        (Audience::TheRest, None)
    } else if reminder_is_due {
        (Audience::Unreminded, Some(STILL_OPEN.to_owned()))
    } else {
        return None;
    };
    if audience != Audience::TheRest {
        episode.facts = facts();
        episode.news_since = None;
    }
    Some(Announcement {
        audience,
        ..episode.announce(change, note, now)
    })
}

/// How far apart an alert's news is told at least, from its second message on.
const BETWEEN_NEWS: SignedDuration = SignedDuration::from_mins(30);

/// What a reminder says first.
pub const STILL_OPEN: &str = "A reminder: this is still so.";

const REMINDER: &str = "A reminder: ";

/// Whether a note says why people are told now, and not what is so: that it goes back and forth, that it has
/// been steady, or that this is a reminder.
pub fn says_why_now(note: &str) -> bool {
    [FLAPPING, STEADY, REMINDER]
        .iter()
        .any(|it| note.starts_with(it))
}

/// What is said with an alert on what was out of stock until now.
pub const NO_LONGER_OUT: &str = "It is no longer out of stock.";

const STILL_LOW: &str = "It is still low: the threshold is ";

/// What the end of an out of stock says where little is left.
pub fn still_low(threshold: i64) -> String {
    format!("{STILL_LOW}{threshold}.")
}

/// The kind of alert of the same item that says by itself what a note does.
pub fn told_by_itself(note: &str) -> Option<AlertKind> {
    match note {
        NO_LONGER_OUT => Some(AlertKind::OutOfStock),
        low if low.starts_with(STILL_LOW) => Some(AlertKind::LowStock),
        _ => None,
    }
}

const HALF: &str = "It has fallen further, to half of the threshold.";
const ZERO: &str = "It has fallen further: nothing is left.";
const AT_MOST_HALF: &str = ": what is left is at most half of it.";

/// How far down stock is by a note that says so.
pub fn depth_told(note: &str) -> Option<Depth> {
    match note {
        HALF => Some(Depth::Half),
        ZERO => Some(Depth::Zero),
        moved if moved.ends_with(AT_MOST_HALF) => Some(Depth::Half),
        _ => None,
    }
}

fn fallen(depth: Depth, moved: Option<(i64, i64)>) -> Option<String> {
    match (depth, moved) {
        (Depth::Threshold, _) => None,
        (Depth::Half, Some((old, new))) => Some(format!(
            "The threshold is now {new}, it was {old}{AT_MOST_HALF}"
        )),
        (Depth::Half, None) => Some(HALF.to_owned()),
        (Depth::Zero, _) => Some(ZERO.to_owned()),
    }
}
