//! Delivery intents: one per alert revision and channel, leased before the call, settled after it.
//!
//! The intent is the truth about a delivery; the queue only says "look at it". A notifier that
//! crashes leaves its lease behind, and when that has run out the clock puts the intent back on its
//! queue, under the same idempotency key (G6).
//!
//! An intent whose channel is not live is `not_sent`. It stays due, so that the clock has it looked at
//! until the channel is live or the alert is over.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::alerts::Alert;
use super::groups::member_row;
use super::keys::{self, Listed};
use super::row::{Expect, Page, Row, Stored, Write, Written, read};
use super::{Store, StoreError};
use crate::delivery::outcome::Outcome;
use crate::domain::alert::{AlertKind, AlertState, Severity, named};
use crate::domain::event::millis;
use crate::domain::group::Belongs;
use crate::domain::id::ChannelName;
use crate::domain::watch::Moment;
use crate::domain::{Correlation, Origin};

/// How long a delivery's record is kept.
pub(super) const KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);
/// How many tries an intent shows. One that is given up has had ten; more are of what was sent again.
pub const MOST_TRIES: usize = 100;
/// For how long it is remembered that a message was brought back.
pub(super) const BROUGHT_BACK: SignedDuration = SignedDuration::from_mins(2);
/// What a try says of a notifier that ended before it could say what came of it.
const LOST: &str = "its notifier ended before it could say what came of it";

/// What an attempt on a channel that is at most once says when an earlier one was lost.
pub(crate) const PERHAPS: &str = "outcome unknown: an earlier attempt may have been delivered";
/// How the words on an attempt begin of which nobody knows what came.
const UNKNOWN: &str = "unknown";

named!(
    /// Where a delivery stands.
    IntentState {
        /// Not yet delivered; it will be tried (again).
        Pending => "pending",
        /// The vendor took it.
        Delivered => "delivered",
        /// Nothing was sent, because the channel is not live; sent once it is, if still true.
        NotSent => "not_sent",
        /// Nothing more is sent: a later revision says what is true now, or the alert is over.
        Superseded => "superseded",
        /// The vendor will never take it as it is.
        Rejected => "rejected",
        /// Tried for as long as the schedule allows.
        Exhausted => "exhausted",
    }
);

/// That a channel is to carry an alert's revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The alert.
    pub alert: String,
    /// Its revision.
    pub revision: u32,
    /// The configured channel.
    pub channel: ChannelName,
    /// The channel's kind: which queue and notifier carry it.
    pub kind: String,
    /// Where it stands.
    pub state: IntentState,
    /// The alerts of the same subject of which something was said before: what of them is still on its
    /// way to this channel goes first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follows: Vec<String>,
    /// Tries so far, the running one included.
    pub attempts: u32,
    /// What came of each, in order, for people: the latest [`MOST_TRIES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Attempt>,
    /// How many of them do not count towards giving up: those before it was sent again, those that were one
    /// too many at once, and those before its own time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forgiven: u32,
    /// When it is to be tried by itself, of one that is tried before, because its destination may be back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_time: Option<Moment>,
    /// How often it was brought forward because its destination was back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forwarded: u32,
    /// Since when its destination takes no more at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_since: Option<Moment>,
    /// Whether a try is under way, or its notifier ended before it could say what came of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_flight: bool,
    /// Whether a try may have reached the vendor although nobody confirmed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub perhaps_sent: bool,
    /// Whether its channel had refused it, or not taken it for a day, before it was sent again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_lost: bool,
    /// What the revision goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// When the alert's revision was written.
    #[serde(with = "millis")]
    pub created_at: Timestamp,
    /// Not to be tried before then: a running try's lease, a back-off, a vendor's Retry-After.
    #[serde(with = "millis")]
    pub not_before: Timestamp,
    /// When the clock puts it back on its queue, in case the queue lost it.
    #[serde(with = "millis")]
    pub due_at: Timestamp,
    /// When a later message last had the clock bring it back, because it comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brought_back: Option<Moment>,
    /// When it was last found that its channel is not live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsent_at: Option<Moment>,
    /// The vendor's id of the delivered message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// What came of the last try, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_outcome: Option<String>,
    /// The group whose message carries it, if it is not sent on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Box<Belongs>>,
    /// The group's message that carried it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried_by: Option<String>,
}

/// A delivery of an open alert that is made after all.
#[derive(Debug, Clone)]
pub struct Retold {
    from: Stored<Intent>,
    to: Intent,
    about: (bool, Severity),
}

impl Retold {
    /// A delivery that is made again, by its group if it has one.
    pub(super) fn of(from: &Stored<Intent>, alert: &Alert, now: Timestamp) -> Self {
        Self {
            from: from.clone(),
            to: from.data.again(now),
            about: (alert.is_over(), alert.severity),
        }
    }

    /// The delivery, as it is written.
    pub const fn intent(&self) -> &Intent {
        &self.to
    }

    /// Whether it was settled before.
    pub fn is_made_anew(&self) -> bool {
        !self.from.data.is_unsettled()
    }

    pub(super) fn writes(&self) -> Result<Vec<Write>, StoreError> {
        let row = intent_row(&self.to)?;
        let mut writes = vec![Write::Put(row, Expect::Version(self.from.version))];
        let member = member_row(&self.to, self.about)?;
        writes.extend(member.map(|member| Write::Put(member, Expect::Anything)));
        Ok(writes)
    }
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Counts the tries from 1.
    pub number: u32,
    /// When it began.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// How long the vendor took, in milliseconds.
    pub duration_ms: u64,
    /// What came of it: `delivered`, `retry`, `unknown`, `denied`, `rejected`.
    pub outcome: String,
    /// The vendor's HTTP status, if it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The vendor's words, or ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What came of asking for an intent.
#[derive(Debug, Clone)]
pub enum Lease {
    /// It is ours until its `not_before`.
    Ours {
        /// The intent, this try counted.
        leased: Box<Stored<Intent>>,
        /// Whether the try before this one never said what came of it.
        lost: bool,
    },
    /// It is delivered, or given up: nothing to do.
    Settled,
    /// It is not sent on its own: its group's message carries it.
    Grouped,
    /// Not now: somebody else is at it, or it is to be tried later.
    Later(Timestamp),
    /// There is no such intent.
    Unknown,
}

impl Intent {
    /// A delivery that nobody has looked at yet; the clock does at `due_at`.
    pub fn new(
        alert: impl Into<String>,
        revision: u32,
        channel: ChannelName,
        kind: impl Into<String>,
        now: Timestamp,
        due_at: Timestamp,
    ) -> Self {
        Self {
            alert: alert.into(),
            revision,
            channel,
            kind: kind.into(),
            state: IntentState::Pending,
            attempts: 0,
            follows: Vec::new(),
            tries: Vec::new(),
            forgiven: 0,
            own_time: None,
            forwarded: 0,
            limited_since: None,
            in_flight: false,
            perhaps_sent: false,
            was_lost: false,
            origin: None,
            created_at: now,
            not_before: now,
            due_at,
            brought_back: None,
            unsent_at: None,
            receipt: None,
            last_outcome: None,
            group: None,
            carried_by: None,
        }
    }

    /// The same with this try on record, in place of what was noted of it when its lease ran out.
    #[must_use]
    pub fn with_try(mut self, attempt: Attempt) -> Self {
        let place = self
            .tries
            .partition_point(|known| known.number < attempt.number);
        self.tries.retain(|known| known.number != attempt.number);
        self.tries.insert(place, attempt);
        let beyond = self.tries.len().saturating_sub(MOST_TRIES);
        self.tries.drain(..beyond);
        self
    }

    /// Whether it may still be sent.
    pub const fn is_unsettled(&self) -> bool {
        matches!(self.state, IntentState::Pending | IntentState::NotSent)
    }

    /// When the try that arrived began; nothing of what a group's message carried, which has the tries.
    pub fn delivered_at(&self) -> Option<Timestamp> {
        self.arrived().map(|made| made.at)
    }

    /// When the vendor said that it arrived.
    pub fn answered_at(&self) -> Option<Timestamp> {
        let made = self.arrived()?;
        let took = SignedDuration::from_millis(i64::try_from(made.duration_ms).ok()?);
        made.at.checked_add(took).ok()
    }

    fn arrived(&self) -> Option<&Attempt> {
        let arrived = Outcome::Delivered { receipt: None }.name();
        let mut tries = self.tries.iter().rev();
        tries.find(|made| made.outcome == arrived)
    }

    /// Whether people were told, or may have been.
    pub const fn may_have_reached(&self) -> bool {
        matches!(self.state, IntentState::Delivered) || self.perhaps_sent || self.in_flight
    }

    /// Whether its channel has refused it, or not taken it for a day. What may have arrived, and must not
    /// twice, is not known to be lost.
    pub(crate) fn is_lost(&self) -> bool {
        let perhaps = |words: &str| words.starts_with(UNKNOWN) || words.ends_with(PERHAPS);
        match self.state {
            IntentState::Exhausted => true,
            IntentState::Rejected => !self.last_outcome.as_deref().is_some_and(perhaps),
            _ => false,
        }
    }

    /// Whether it was brought back just now, and found its channel not live all the same.
    pub fn is_in_vain(&self, now: Timestamp) -> bool {
        let lately = |at: &Moment| now.duration_since(at.0) < BROUGHT_BACK;
        let brought_back = self.brought_back.filter(lately);
        brought_back.is_some() && self.unsent_at > brought_back
    }

    /// To be told from the beginning: at once, or by its group, and again for as long as the schedule
    /// allows.
    #[must_use]
    pub(crate) fn again(&self, now: Timestamp) -> Self {
        Self {
            state: IntentState::Pending,
            was_lost: self.was_lost || self.is_lost(),
            carried_by: None,
            forgiven: self.attempts,
            own_time: None,
            forwarded: 0,
            limited_since: None,
            not_before: now,
            due_at: now,
            ..self.clone()
        }
    }

    /// Settled without having been sent, for this reason.
    #[must_use]
    pub fn superseded(&self, reason: &str) -> Self {
        Self {
            state: IntentState::Superseded,
            perhaps_sent: self.perhaps_sent || self.in_flight,
            in_flight: false,
            was_lost: false,
            last_outcome: Some(format!("superseded: {reason}")),
            ..self.clone()
        }
    }

    /// The same of one that was leased for nothing.
    #[must_use]
    pub(crate) fn left_out(&self, reason: &str) -> Self {
        Self {
            attempts: self.attempts.saturating_sub(1),
            in_flight: false,
            ..self.clone()
        }
        .superseded(reason)
    }

    /// The id of what it goes back to.
    pub fn correlation(&self) -> Option<&Correlation> {
        Some(&self.origin.as_ref()?.id)
    }

    /// The idempotency key: the same on every try, different for every revision and channel. Of what
    /// a group's message carried it is the message's.
    pub fn key(&self) -> String {
        match &self.carried_by {
            Some(message) => format!("{message}-1-{}", self.channel),
            None => format!("{}-{}-{}", self.alert, self.revision, self.channel),
        }
    }
}

impl Store {
    /// Takes an intent for `span`, if it is due and nobody else has it. Counts as a try.
    pub async fn lease(
        &self,
        alert: &str,
        revision: u32,
        channel: &ChannelName,
        span: SignedDuration,
    ) -> Result<Lease, StoreError> {
        const OPERATION: &str = "lease a delivery intent";
        let key = keys::intent(alert, revision, channel);
        let Some(stored) = self.get::<Intent>(OPERATION, &key).await? else {
            return Ok(Lease::Unknown);
        };
        let now = self.clock.now();
        if !stored.data.is_unsettled() {
            return Ok(Lease::Settled);
        }
        if stored.data.group.is_some() {
            return Ok(Lease::Grouped);
        }
        if stored.data.not_before > now {
            return Ok(Lease::Later(stored.data.not_before));
        }
        let mut ours = stored.data;
        // A try that was under way when its lease ran out may have reached the vendor.
        let lost = ours.in_flight;
        if lost {
            let unknown = Attempt {
                number: ours.attempts,
                at: now,
                duration_ms: 0,
                outcome: Outcome::Unknown.name().to_owned(),
                status: None,
                detail: Some(LOST.to_owned()),
            };
            ours = ours.with_try(unknown);
        }
        ours.perhaps_sent |= lost;
        ours.in_flight = true;
        ours.attempts += 1;
        ours.not_before = now.checked_add(span).unwrap_or(Timestamp::MAX);
        // Where the clock looks later anyway, the index need not be written: what comes of the try is
        // mostly written before either.
        ours.due_at = ours.due_at.max(ours.not_before);
        let row = intent_row(&ours)?;
        if self
            .put(OPERATION, row, Expect::Version(stored.version))
            .await?
        {
            return Ok(Lease::Ours {
                leased: Box::new(Stored {
                    key,
                    version: stored.version + 1,
                    data: ours,
                }),
                lost,
            });
        }
        // Somebody else was faster; theirs is the lease.
        Ok(Lease::Later(
            now.checked_add(span).unwrap_or(Timestamp::MAX),
        ))
    }

    /// Has a delivery made after all; where somebody else has changed it, that stands.
    pub async fn retell(&self, retold: &Retold) -> Result<(), StoreError> {
        self.transact("tell what was kept back", retold.writes()?)
            .await?;
        Ok(())
    }

    /// Takes an intent from a process that is known to be gone. One that waits goes on waiting.
    pub async fn take_over(&self, left: Stored<Intent>) -> Result<Intent, StoreError> {
        let now = self.clock.now();
        if left.data.not_before <= now || !left.data.in_flight {
            return Ok(left.data);
        }
        let ours = Intent {
            not_before: now,
            ..left.data.clone()
        };
        self.put_intent(&left, &ours).await?;
        Ok(ours)
    }

    /// Records what came of a try, and what it makes of the intent, in one write. `false` if the lease
    /// ran out and somebody else went on: the try is recorded, the intent is theirs.
    pub async fn settle(
        &self,
        leased: &Stored<Intent>,
        after: Intent,
        attempt: Attempt,
    ) -> Result<bool, StoreError> {
        const OPERATION: &str = "settle a delivery intent";
        let after = after.with_try(attempt.clone());
        let expect = Expect::Version(leased.version);
        if self.put(OPERATION, intent_row(&after)?, expect).await? {
            return Ok(true);
        }
        for tries in 0.. {
            let Some(theirs) = self.get::<Intent>(OPERATION, &leased.key).await? else {
                break;
            };
            // Written at first, and the table's answer lost on its way.
            let follows = theirs.version == leased.version + 1;
            if follows && !theirs.data.in_flight && theirs.data.state == after.state {
                return Ok(true);
            }
            // Whoever sends now holds the intent by its version. That this try's outcome is unknown is
            // on record.
            if theirs.data.in_flight {
                break;
            }
            let recorded = theirs.data.with_try(attempt.clone());
            let expect = Expect::Version(theirs.version);
            if self.put(OPERATION, intent_row(&recorded)?, expect).await? {
                break;
            }
            self.after_conflict(OPERATION, tries).await?;
        }
        Ok(false)
    }

    /// Puts an intent off until then, without counting a try (its destination is known to be down).
    /// At `due_at` the clock makes sure that it was not forgotten. `lost`: the try before this one never
    /// reported back, and nobody has settled yet what follows from that.
    pub async fn postpone(
        &self,
        leased: &Stored<Intent>,
        until: Timestamp,
        due_at: Timestamp,
        lost: bool,
    ) -> Result<bool, StoreError> {
        let mut later = leased.data.clone();
        later.attempts = later.attempts.saturating_sub(1);
        later.in_flight = lost;
        later.not_before = until;
        later.due_at = due_at;
        self.put(
            "postpone a delivery intent",
            intent_row(&later)?,
            Expect::Version(leased.version),
        )
        .await
    }

    /// One delivery.
    pub async fn intent(
        &self,
        alert: &str,
        revision: u32,
        channel: &ChannelName,
    ) -> Result<Option<Stored<Intent>>, StoreError> {
        let key = keys::intent(alert, revision, channel);
        self.get("read a delivery intent", &key).await
    }

    /// An alert's deliveries, all revisions.
    pub async fn intents_of(&self, alert: &str) -> Result<Vec<Intent>, StoreError> {
        const OPERATION: &str = "read an alert's deliveries";
        self.partition(OPERATION, &keys::alert_partition(alert), "intent#")
            .await?
            .into_iter()
            .map(|(_, item)| Ok(read::<Intent>(OPERATION, item)?.data))
            .collect()
    }

    /// The kinds of the channels that were told of an alert, as they were then.
    pub async fn kinds_told(
        &self,
        alert: &str,
    ) -> Result<BTreeMap<ChannelName, String>, StoreError> {
        let intents = self.intents_of(alert).await?;
        Ok(intents
            .into_iter()
            .map(|intent| (intent.channel, intent.kind))
            .collect())
    }

    /// Settles an intent of which nothing is to be sent any more. `false` if it has changed since it
    /// was read.
    pub async fn supersede(
        &self,
        stored: &Stored<Intent>,
        reason: &str,
    ) -> Result<bool, StoreError> {
        self.put_intent(stored, &stored.data.superseded(reason))
            .await
    }

    /// Settles an intent that is not sent after all: where it was lost before, and sent again, it counts as
    /// lost once more. `false` if it has changed since it was read.
    pub(crate) async fn leave_out(
        &self,
        from: &Stored<Intent>,
        to: &Intent,
    ) -> Result<bool, StoreError> {
        if !from.data.was_lost {
            return self.put_intent(from, to).await;
        }
        let write = Write::Put(intent_row(to)?, Expect::Version(from.version));
        self.lose_after_all(&from.data.channel, &[write]).await
    }

    /// Settles an intent that another makes pointless which is still to leave: that one is due at once, and
    /// written with it, so that whoever settles it otherwise knows. `false` if either has changed since it
    /// was read.
    pub(crate) async fn leave_to(
        &self,
        (leased, after): (&Stored<Intent>, &Intent),
        other: &Stored<Intent>,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let instead = Intent {
            not_before: other.data.not_before.min(now),
            due_at: now,
            ..other.data.clone()
        };
        let writes = vec![
            Write::Put(intent_row(after)?, Expect::Version(leased.version)),
            Write::Put(intent_row(&instead)?, Expect::Version(other.version)),
        ];
        if leased.data.was_lost {
            return self.lose_after_all(&leased.data.channel, &writes).await;
        }
        let written = self.transact("leave out what another says", writes).await?;
        Ok(written == Written::Done)
    }

    /// Writes an intent of which no try was made. `false` if it has changed since it was read.
    pub(crate) async fn put_intent(
        &self,
        from: &Stored<Intent>,
        to: &Intent,
    ) -> Result<bool, StoreError> {
        let expect = Expect::Version(from.version);
        self.put("write a delivery intent", intent_row(to)?, expect)
            .await
    }

    /// An alert's deliveries on one channel, all revisions in order.
    pub async fn intents_on(
        &self,
        alert: &str,
        channel: &ChannelName,
    ) -> Result<Vec<Stored<Intent>>, StoreError> {
        const OPERATION: &str = "read an alert's deliveries on a channel";
        let mut ours = self.stored_intents(OPERATION, alert).await?;
        ours.retain(|stored| &stored.data.channel == channel);
        Ok(ours)
    }

    async fn stored_intents(
        &self,
        operation: &'static str,
        alert: &str,
    ) -> Result<Vec<Stored<Intent>>, StoreError> {
        let partition = keys::alert_partition(alert);
        let rows = self.partition(operation, &partition, "intent#").await?;
        let rows = rows.into_iter();
        rows.map(|(_, item)| read(operation, item)).collect()
    }

    /// Of an alert that is open and called for, what another on the same item has kept from channels, or may
    /// just be keeping from them in a group; with what is to be written of it when the other is over.
    pub async fn kept_back(
        &self,
        alert: &str,
        called_for: &[AlertKind],
    ) -> Result<Vec<Retold>, StoreError> {
        let Some(alert) = self.alert(alert).await? else {
            return Ok(Vec::new());
        };
        if alert.state != AlertState::Open || !called_for.contains(&alert.kind) {
            return Ok(Vec::new());
        }
        let all = self.stored_intents("read an alert's deliveries", &alert.id);
        let last: BTreeMap<_, _> = all
            .await?
            .into_iter()
            .map(|stored| (stored.data.channel.clone(), stored))
            .collect();
        let now = self.clock.now();
        let kept_back = last.into_values().filter_map(|from| {
            let again = Retold::of(&from, &alert, now);
            match from.data.state {
                IntentState::Superseded => Some(again),
                // Written as it is, so that whoever leaves it out sees that it has to look again.
                _ if from.data.is_unsettled() && from.data.group.is_some() => Some(Retold {
                    to: from.data,
                    ..again
                }),
                _ => None,
            }
        });
        Ok(kept_back.collect())
    }

    /// A page of deliveries, newest first.
    pub async fn intents(
        &self,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Intent>, StoreError> {
        self.intents_since(Timestamp::UNIX_EPOCH, cursor, limit)
            .await
    }

    /// A page of deliveries of what was written since then, newest first.
    pub(super) async fn intents_since(
        &self,
        since: Timestamp,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Intent>, StoreError> {
        let from = Listed::spread("intents", since, "").place;
        let bounds = (Some(from.as_str()), None);
        let page = self
            .spread("list deliveries", "intents", bounds, true, cursor, limit)
            .await?;
        Ok(Page {
            items: page.items.into_iter().map(|stored| stored.data).collect(),
            next: page.next,
        })
    }
}

pub(super) fn intent_row(intent: &Intent) -> Result<Row, StoreError> {
    let key = keys::intent(&intent.alert, intent.revision, &intent.channel);
    let place = format!("{}#{:06}#{}", intent.alert, intent.revision, intent.channel);
    let due = intent.is_unsettled().then_some(intent.due_at);
    let expires = intent
        .created_at
        .checked_add(KEPT)
        .unwrap_or(Timestamp::MAX);
    Ok(Row::new(key, "intent", intent)?
        .listed(Listed::spread("intents", intent.created_at, &place))
        .due(due)
        .expires(expires))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u32, outcome: &str) -> Attempt {
        Attempt {
            number,
            at: Timestamp::UNIX_EPOCH,
            duration_ms: 1,
            outcome: outcome.to_owned(),
            status: None,
            detail: None,
        }
    }

    #[test]
    fn what_was_brought_back_and_not_sent_is_not_waited_for_until_it_may_be_brought_back_again() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1);
        let at = |seconds: i64| Some(Moment(now + SignedDuration::from_secs(seconds)));
        let is_in_vain = |brought_back, unsent_at| {
            let intent = Intent::new("a1", 1, "ops".parse().unwrap(), "slack", now, now);
            let intent = Intent {
                brought_back,
                unsent_at,
                ..intent
            };
            intent.is_in_vain(now)
        };
        assert!(!is_in_vain(None, None));
        assert!(!is_in_vain(None, at(-5)), "nobody has asked");
        assert!(!is_in_vain(at(-5), None), "the clock is about to");
        assert!(!is_in_vain(at(-5), at(-9)), "that was before");
        assert!(is_in_vain(at(-9), at(-5)));
        assert!(is_in_vain(at(-119), at(-5)));
        assert!(!is_in_vain(at(-120), at(-5)));
    }

    #[test]
    fn tries_stand_in_their_order_and_a_late_outcome_in_place_of_none() {
        let now = Timestamp::UNIX_EPOCH;
        let intent = Intent::new("a1", 1, "ops".parse().unwrap(), "slack", now, now)
            .with_try(attempt(1, "unknown"))
            .with_try(attempt(2, "retry"))
            .with_try(attempt(1, "delivered"));
        let shown: Vec<_> = intent
            .tries
            .iter()
            .map(|it| (it.number, &*it.outcome))
            .collect();
        assert_eq!(shown, [(1, "delivered"), (2, "retry")]);
        let many = (3..200).fold(intent, |it, number| it.with_try(attempt(number, "retry")));
        assert_eq!(many.tries.len(), MOST_TRIES);
        assert_eq!(many.tries[MOST_TRIES - 1].number, 199);
    }
}
