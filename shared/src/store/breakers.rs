//! What is known of each channel's destination, one item a channel, shared by every notifier: its
//! circuit breaker, and why it is not live.
//!
//! The breaker's state machine is [`Breaker`]; here it is made durable. A conditional write decides
//! between notifiers that ask at once, so a half-open circuit lets one probe through, whoever sends it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::alerts::Announcement;
use super::intents::Intent;
use super::jobs::is_zero;
use super::row::{Expect, Row, Stored, Write, Written};
use super::{Store, StoreError, keys};
use crate::delivery::breaker::{Breaker, Change, Pass, Turn};
use crate::delivery::links::LinkKey;
use crate::delivery::outcome::Outcome;
use crate::delivery::verdict::{CREDENTIALS_WAIT, due_after, later};
use crate::domain::alert::{Severity, named};
use crate::domain::id::ChannelName;
use crate::domain::watch::Moment;

/// For how long a failure says something of a destination: the message that failed is tried five times in
/// the first quarter of an hour, and then within 36 minutes, unless the destination asks for more.
const LULL: SignedDuration = SignedDuration::from_mins(40);

/// How often it is asked whether a destination is back that something waits for.
const ASKED_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// What is tried again so soon comes by itself once its destination is back.
const SOON: SignedDuration = SignedDuration::from_mins(2);

/// For how long a destination is left alone that takes no more at once and does not say how long, at first
/// and at most: it doubles until something arrives.
const LIMITED: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(1), SignedDuration::from_mins(1));

/// How long after it fell due a message has been taken up, whatever was lost.
const TAKEN_UP: SignedDuration = SignedDuration::from_mins(5);

/// What is known of a channel's destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Whether it may be tried.
    pub breaker: Breaker,
    /// Why what was last sent there did not arrive and will not by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// That it cannot be reached, or answers that it cannot take anything now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
    /// That it refuses the credentials, while a message waits for that to be mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<Denied>,
    /// Until when, at the latest, a message that failed there is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_by: Option<Moment>,
    /// How many messages it has refused, or not taken for a day, since one arrived; but for those that
    /// somebody has sent again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: u32,
    /// The gravest of them, where it is not sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Undelivered>,
    /// The messages of groups, by their keys, that are not counted any more as something of them was sent
    /// again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub regained: BTreeSet<String>,
    /// When the first of them was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_since: Option<Moment>,
    /// Whether somebody has had all of them sent again that is still true: there is no more to be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_sent_again: bool,
    /// The gravest of the messages that failed lately and are tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_up: Option<Undelivered>,
    /// Since when it takes something again, until what waits for it is brought forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<Moment>,
    /// Until when it wants to be left alone: a limit is the destination's, not one message's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<Moment>,
    /// The last alert about its trouble that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_of: Option<String>,
}

impl Destination {
    /// Whether it fails or is slow, and a message waits for that to end.
    pub fn is_waited_for(&self, now: Timestamp) -> bool {
        let lasts = |until: &Option<Moment>| until.is_some_and(|until| now <= until.0);
        lasts(&self.tried_by) || lasts(&self.rests_until) || self.breaker.is_waited_for(now)
    }

    /// Whether it does not fail, and takes no more at once.
    pub fn is_limited(&self, now: Timestamp) -> bool {
        let lately = |it: &&Failing| it.since(now).is_some();
        let failing = self.failing.as_ref().filter(lately);
        failing.is_some_and(|it| it.limited > 0) && self.breaker.is_closed()
    }

    /// Whether a message waits for it, and nobody has asked for a while whether it is back.
    pub fn is_to_be_asked(&self, now: Timestamp) -> bool {
        let rests = self.rests_until.is_some_and(|until| until.0 > now);
        let failing = self.failing.as_ref().zip(self.tried_by);
        let failing = failing.map(|(it, by)| (it.until.0 - LULL, by, ASKED_EVERY));
        let denied = self.denied.as_ref();
        let denied = denied.map(|it| (it.at.0, it.tried_by, CREDENTIALS_WAIT));
        !rests
            && self.breaker.may_be_asked(now)
            && failing.or(denied).is_some_and(|(asked, tried_by, every)| {
                tried_by.0 > now && now.duration_since(asked) >= every
            })
    }

    /// Nothing that it has refused is to be told any more.
    fn forget_lost(&mut self) {
        (self.refused, self.lost) = (0, None);
        (self.lost_since, self.is_sent_again) = (None, false);
        self.regained.clear();
    }

    /// Takes a message off the count of those that did not arrive: it is sent again. Several alerts may have
    /// been in one.
    fn regain(&mut self, lost: &Intent) {
        let key = lost.key();
        if lost.carried_by.is_some() && !self.regained.insert(key.clone()) {
            return;
        }
        // Of what a group carried nobody knows when; what was lost before has been told.
        let at = lost.tries.last().map(|made| Moment(made.at));
        let is_counted = at.is_none_or(|at| self.lost_since.is_some_and(|since| since <= at));
        self.refused = self.refused.saturating_sub(u32::from(is_counted));
        let none = self.refused == 0;
        self.lost.take_if(|lost| lost.key == key || none);
        if none {
            self.regained.clear();
        }
    }

    /// Counts one as lost that was sent again and is left out now, while nothing arrives there.
    fn loses_after_all(&mut self) {
        let is_told = self.trouble.as_ref().is_some_and(|it| it.alert.is_some());
        self.refused = self.refused.saturating_add(u32::from(is_told));
    }

    /// Whether nothing is held against it.
    fn is_sound(&self) -> bool {
        *self
            == Self {
                told_of: self.told_of.clone(),
                back: self.back,
                ..Self::default()
            }
    }
}

/// A message that did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undelivered {
    /// Its delivery's [key](crate::store::intents::Intent::key).
    pub key: String,
    /// Its text, or the beginning of it.
    pub text: String,
    /// How much it matters; an older version has not written that.
    #[serde(default = "least")]
    pub severity: Severity,
}

const fn least() -> Severity {
    Severity::Info
}

impl Undelivered {
    /// Takes the place of another that matters less, or of itself in other words.
    fn supplants(&self, known: &mut Option<Self>) {
        let stays = |it: &Self| it.key != self.key && it.severity >= self.severity;
        if !known.as_ref().is_some_and(stays) {
            *known = Some(self.clone());
        }
    }
}

/// What an attempt makes of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It has arrived, or is settled otherwise.
    Settled,
    /// It is tried again after this long.
    Again(SignedDuration),
    /// It will not arrive. The attempt began then.
    Lost(Timestamp),
}

/// Attempts that failed one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    since: Moment,
    until: Moment,
    /// What was wrong with the last of them, where that is known in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How often it took no more at once, if that was all that was wrong with the last of them. Attempts
    /// made side by side count as one.
    #[serde(default, skip_serializing_if = "is_zero")]
    limited: u32,
}

impl Failing {
    /// Since when, if it was tried lately: of a destination that nobody tries nothing is known.
    pub fn since(&self, now: Timestamp) -> Option<Timestamp> {
        (now <= self.until.0).then_some(self.since.0)
    }
}

/// An attempt at which a destination refused the credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// When that was.
    at: Moment,
    /// Until when, at the latest, a message that it refused is tried again.
    tried_by: Moment,
}

named!(
    /// Why a channel does not reach anybody.
    TroubleKind {
        /// Credentials are missing or of no use, so nothing is sent.
        NotLive => "not_live",
        /// The destination refuses what it is sent.
        Refused => "refused",
    }
);

/// Why a channel does not reach anybody until a person has mended it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What kind of trouble.
    pub kind: TroubleKind,
    /// In words.
    pub reason: String,
    /// Since when.
    pub since: Moment,
    /// The alert that tells people on other channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
}

impl Store {
    /// What the links in this installation's messages are made with; made when it is first asked for.
    pub async fn link_key(&self) -> Result<LinkKey, StoreError> {
        const OPERATION: &str = "read the key of links";
        let key = keys::link_key();
        // Of two that make one at once, the first to write is right: the other reads it.
        for _ in 0..3 {
            if let Some(stored) = self.get::<String>(OPERATION, &key).await? {
                return Ok(LinkKey::new(stored.data));
            }
            let random = [Uuid::new_v4(), Uuid::new_v4()].map(|part| part.simple().to_string());
            let row = Row::new(key.clone(), "link", &random.concat())?;
            self.put(OPERATION, row, Expect::Absent).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// What is known of a channel's destination: nothing, if nothing was ever noted.
    pub async fn destination(&self, channel: &ChannelName) -> Result<Destination, StoreError> {
        let stored = self.stored_destination(channel).await?;
        Ok(stored.map(|stored| stored.data).unwrap_or_default())
    }

    async fn stored_destination(
        &self,
        channel: &ChannelName,
    ) -> Result<Option<Stored<Destination>>, StoreError> {
        self.get("read a channel's destination", &keys::breaker(channel))
            .await
    }

    /// A channel's circuit; closed if nothing was ever noted about it.
    pub async fn breaker(&self, channel: &ChannelName) -> Result<Breaker, StoreError> {
        Ok(self.destination(channel).await?.breaker)
    }

    /// Asks for the right to make one attempt on a channel. Also answers whether nothing is held against
    /// its destination: then there is nothing that a delivered message would have to clear.
    pub async fn ask_breaker(&self, channel: &ChannelName) -> Result<(Turn, bool), StoreError> {
        self.change_destination("ask a circuit breaker", channel, |to, now| {
            let is_sound = to.is_sound();
            let rests = to.rests_until.map(|until| until.0);
            let turn = match rests.filter(|until| *until > now) {
                Some(until) => Turn::Wait { until },
                None => to.breaker.ask(now),
            };
            (turn, is_sound)
        })
        .await
    }

    /// Has a destination that is waited for tried with the next message.
    pub async fn hasten_breaker(&self, channel: &ChannelName) -> Result<(), StoreError> {
        self.change_destination("hasten a circuit breaker", channel, |to, now| {
            to.breaker.hasten(now);
            to.rests_until = None;
        })
        .await
    }

    /// Lets a destination be asked anew that a process was asking which is known to be gone.
    pub async fn forget_probe(&self, channel: &ChannelName) -> Result<(), StoreError> {
        if self.destination(channel).await?.breaker.is_closed() {
            return Ok(());
        }
        self.change_destination("forget a probe", channel, |to, now| {
            to.breaker.forget_probe(now);
        })
        .await
    }

    /// Notes that all is brought forward that waited for a destination to take something again.
    pub async fn is_brought_forward(
        &self,
        channel: &ChannelName,
        back: Moment,
    ) -> Result<(), StoreError> {
        self.change_destination("note what is brought forward", channel, |to, _| {
            to.back.take_if(|since| *since == back);
        })
        .await
    }

    /// Notes that no message waited by then for a destination to accept its credentials.
    pub async fn none_is_denied(
        &self,
        channel: &ChannelName,
        by: Timestamp,
    ) -> Result<(), StoreError> {
        self.change_destination("note that nothing waits", channel, |to, _| {
            to.denied.take_if(|it| it.at.0 <= by);
        })
        .await
    }

    /// Notes that somebody has had sent again whatever a destination has refused and is still true. The rest
    /// did not arrive.
    pub(super) async fn all_is_sent_again(&self, channel: &ChannelName) -> Result<(), StoreError> {
        self.change_destination("note what is sent again", channel, |to, _| {
            to.is_sent_again = to.refused > 0;
        })
        .await
    }

    /// Writes deliveries that are made again, and takes what was lost of them off the count, in one. `false`
    /// if one of them has changed since it was read.
    pub(super) async fn regain(
        &self,
        channel: &ChannelName,
        writes: &[Write],
        lost: &[Intent],
    ) -> Result<bool, StoreError> {
        let step = |to: &mut Destination| lost.iter().for_each(|it| to.regain(it));
        self.write_beside("send again what did not arrive", channel, writes, step)
            .await
    }

    /// Writes deliveries that are left out, of which one was sent again after it was lost and is lost after
    /// all. `false` if one of them has changed since it was read.
    pub(super) async fn lose_after_all(
        &self,
        channel: &ChannelName,
        writes: &[Write],
    ) -> Result<bool, StoreError> {
        let step = Destination::loses_after_all;
        self.write_beside("note what is lost", channel, writes, step)
            .await
    }

    /// Writes this, and what it makes of a destination, in one: whoever died in between would leave a count
    /// that nobody puts right. `false` if any of it has changed since it was read.
    async fn write_beside(
        &self,
        operation: &'static str,
        channel: &ChannelName,
        writes: &[Write],
        step: impl Fn(&mut Destination),
    ) -> Result<bool, StoreError> {
        for attempt in 0.. {
            let stored = self.stored_destination(channel).await?;
            let before = stored.as_ref().map(|stored| stored.data.clone());
            let before = before.unwrap_or_default();
            let mut after = before.clone();
            step(&mut after);
            let mut all = writes.to_vec();
            if after != before {
                let row = Row::new(keys::breaker(channel), "breaker", &after)?;
                all.push(Write::Put(row, Expect::from_read(stored.as_ref())));
            }
            match self.transact(operation, all).await? {
                Written::Done => return Ok(true),
                Written::Unexpected(unmet) if unmet.iter().take(writes.len()).any(|it| *it) => {
                    return Ok(false);
                }
                Written::Unexpected(_) => self.after_conflict(operation, attempt).await?,
            }
        }
        Err(StoreError::Contended { operation })
    }

    /// Notes what came of an attempt that [`Store::ask_breaker`] allowed, and whether it was slow; or,
    /// without a pass, of one at which nothing could be sent. The outcome comes with what is known of it in
    /// words. Also answers what was known of the destination before.
    pub async fn tell_breaker(
        &self,
        channel: &ChannelName,
        pass: Option<Pass>,
        (outcome, why): (&Outcome, Option<&str>),
        slow: bool,
        (message, fate): (&Undelivered, Fate),
    ) -> Result<(Option<Change>, Destination), StoreError> {
        self.change_destination("tell a circuit breaker", channel, |to, now| {
            let before = to.clone();
            let fails = to.failing.as_ref().and_then(|it| it.since(now)).is_some();
            // Nobody knows what became of what failed before.
            to.held_up.take_if(|_| !fails && before.trouble.is_none());
            match outcome {
                Outcome::Retry { .. } | Outcome::Limited { .. } | Outcome::Unknown => {
                    let known = to.failing.take().filter(|it| it.since(now).is_some());
                    let limits = known.as_ref().map_or(0, |it| it.limited);
                    let rests = to.rests_until.is_some_and(|until| until.0 > now);
                    let limited = match outcome {
                        Outcome::Limited { .. } if rests && limits > 0 => limits,
                        Outcome::Limited { .. } => limits.saturating_add(1),
                        _ => 0,
                    };
                    let asked = match outcome {
                        Outcome::Retry { after } => after.unwrap_or_default(),
                        Outcome::Limited { after } => {
                            let asked = after.filter(|after| after.is_positive());
                            asked
                                .unwrap_or((LIMITED.0 * (1 << (limited - 1).min(6))).min(LIMITED.1))
                        }
                        _ => SignedDuration::ZERO,
                    };
                    let rests_until = now.checked_add(asked);
                    let rests_until = rests_until.ok().filter(|until| *until > now);
                    to.rests_until = to.rests_until.max(rests_until.map(Moment));
                    let until = now.checked_add(asked.saturating_add(LULL));
                    to.failing = Some(Failing {
                        since: known.map_or(Moment(now), |it| it.since),
                        until: Moment(until.unwrap_or(now)),
                        why: why.map(str::to_owned),
                        limited,
                    });
                }
                _ => to.failing = None,
            }
            to.tried_by = match (&to.failing, fate) {
                (None, _) => None,
                (Some(_), Fate::Again(wait)) => {
                    let by = later(due_after(now, wait), TAKEN_UP);
                    to.tried_by.max(Some(Moment(by)))
                }
                (Some(_), _) => to.tried_by.filter(|by| by.0 >= now),
            };
            let known = to.denied.take();
            to.denied = match (outcome, fate) {
                (Outcome::Denied { .. }, Fate::Again(wait)) => {
                    let by = Moment(later(due_after(now, wait), TAKEN_UP));
                    let by = known.map_or(by, |it| it.tried_by.max(by));
                    let at = Moment(now);
                    Some(Denied { at, tried_by: by })
                }
                (Outcome::Delivered { .. }, _) => None,
                _ => known,
            };
            let arrived = matches!(outcome, Outcome::Delivered { .. });
            to.rests_until.take_if(|until| until.0 <= now);
            match fate {
                Fate::Lost(at) => {
                    let since = to.lost_since.filter(|_| to.refused > 0);
                    to.lost_since = Some(since.map_or(Moment(at), |since| since.min(Moment(at))));
                    to.refused = to.refused.saturating_add(1);
                    to.is_sent_again = false;
                    message.supplants(&mut to.lost);
                    to.held_up.take_if(|it| it.key == message.key);
                }
                Fate::Again(_) => message.supplants(&mut to.held_up),
                Fate::Settled => {}
            }
            if arrived {
                to.held_up = None;
                if to.trouble.as_ref().is_none_or(|it| it.alert.is_none()) {
                    to.forget_lost();
                }
            }
            // One that people were told of ends with the alert, in one transaction.
            to.trouble
                .take_if(|trouble| arrived && trouble.alert.is_none());
            let change = pass.and_then(|pass| to.breaker.record(pass, outcome, slow, now));
            let soon = later(due_after(now, SOON), TAKEN_UP);
            let waits = before.tried_by.is_some_and(|by| by.0 > soon);
            if change == Some(Change::Closed) || (arrived && (waits || before.trouble.is_some())) {
                to.back = Some(Moment(now));
            }
            (change, before)
        })
        .await
    }

    /// Notes that a channel is in trouble, and writes the alert about it: `false` if its trouble is
    /// known, and nothing is written.
    pub async fn begin_trouble(
        &self,
        channel: &ChannelName,
        trouble: &Trouble,
        alert: Option<&Announcement>,
    ) -> Result<bool, StoreError> {
        self.begin_trouble_if(channel, trouble, alert, |_| true)
            .await
    }

    /// The same as long as it holds of what is known of the destination by then.
    pub(crate) async fn begin_trouble_if(
        &self,
        channel: &ChannelName,
        trouble: &Trouble,
        alert: Option<&Announcement>,
        holds: impl Fn(&Destination) -> bool,
    ) -> Result<bool, StoreError> {
        self.change_trouble(channel, alert, |to| {
            let known = to.trouble.as_ref();
            // Of one that nobody was told of people are told when it is worth telling.
            let new = known.is_none_or(|it| it.alert.is_none() && trouble.alert.is_some());
            let new = new && holds(to);
            if new {
                to.trouble = Some(trouble.clone());
            }
            new
        })
        .await
    }

    /// Notes that a channel's trouble is over, and writes the last revision of the alert about it:
    /// `false` if there was none.
    pub async fn end_trouble(
        &self,
        channel: &ChannelName,
        alert: &Announcement,
    ) -> Result<bool, StoreError> {
        self.change_trouble(channel, Some(alert), |to| {
            let Some(trouble) = to.trouble.take() else {
                return false;
            };
            to.forget_lost();
            to.told_of = trouble.alert;
            true
        })
        .await
    }

    /// Writes a further revision of the alert about a channel's trouble: `false` if that is over.
    pub async fn tell_trouble(
        &self,
        channel: &ChannelName,
        id: &str,
        alert: &Announcement,
    ) -> Result<bool, StoreError> {
        self.change_trouble(channel, Some(alert), |to| {
            let known = to.trouble.as_ref().and_then(|it| it.alert.as_deref());
            known == Some(id)
        })
        .await
    }

    async fn change_trouble(
        &self,
        channel: &ChannelName,
        alert: Option<&Announcement>,
        change: impl Fn(&mut Destination) -> bool,
    ) -> Result<bool, StoreError> {
        const OPERATION: &str = "note a channel's trouble";
        for attempt in 0.. {
            let stored = self.stored_destination(channel).await?;
            let mut after = stored
                .as_ref()
                .map(|it| it.data.clone())
                .unwrap_or_default();
            if !change(&mut after) {
                return Ok(false);
            }
            let expect = Expect::from_read(stored.as_ref());
            let row = Row::new(keys::breaker(channel), "breaker", &after)?;
            let writes = vec![Write::Put(row, expect)];
            let told = alert.map(std::slice::from_ref).unwrap_or_default();
            if self.announce_with(OPERATION, writes, told).await? {
                return Ok(true);
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// Applies a step to the state as it is now, and writes it only if it changed.
    async fn change_destination<T>(
        &self,
        operation: &'static str,
        channel: &ChannelName,
        step: impl Fn(&mut Destination, jiff::Timestamp) -> T,
    ) -> Result<T, StoreError> {
        let key = keys::breaker(channel);
        for attempt in 0.. {
            let stored = self.get::<Destination>(operation, &key).await?;
            let before = stored.as_ref().map(|stored| stored.data.clone());
            let before = before.unwrap_or_default();
            let mut after = before.clone();
            let answer = step(&mut after, self.clock.now());
            if after == before {
                return Ok(answer);
            }
            let row = Row::new(key.clone(), "breaker", &after)?;
            let expect = Expect::from_read(stored.as_ref());
            if self.put(operation, row, expect).await? {
                return Ok(answer);
            }
            self.after_conflict(operation, attempt).await?;
        }
        Err(StoreError::Contended { operation })
    }
}
