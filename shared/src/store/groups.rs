//! Groups of alerts: when each speaks next, what waits in it, and what its messages covered.
//!
//! A member is written in the transaction that writes its intent, so nothing that belongs to a group
//! can be missing from it; no two members share a row, so a storm of them does not meet in one. The
//! group's own row is written only when its schedule changes. Whoever lets a group fall quiet looks
//! for members once more afterwards; whoever adds a member looks at the schedule afterwards. So one
//! of the two sees the other.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::intents::{Intent, IntentState, KEPT, intent_row};
use super::keys;
use super::row::{Expect, Page, Row, Stored, Write, Written};
use super::{Store, StoreError};
use crate::delivery::verdict::QUEUE_REACH;
use crate::domain::alert::{AlertState, Severity};
use crate::domain::event::millis;
use crate::domain::group::{Belongs, FlushId, GroupId, Phase, Schedule};
use crate::domain::id::ChannelName;
use crate::domain::message::Message;
use crate::domain::watch::Moment;

/// How long after a group should have spoken the clock looks after it.
const GRACE: SignedDuration = SignedDuration::from_mins(1);

/// How long before its time the clock hands a group to the queue, which is punctual.
const LEAD: SignedDuration = SignedDuration::from_mins(2);

/// When the clock looks after a message that nobody has settled.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);

/// When the clock looks again after an intent that its group has in hand.
const IN_GOOD_HANDS: SignedDuration = SignedDuration::from_hours(24);

/// A group, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub id: GroupId,
    /// The channel on which it speaks.
    pub channel: ChannelName,
    /// The channel's kind: which queue and notifier carry its messages.
    pub kind: String,
    /// What it gathers, and its pace.
    pub belongs: Belongs,
    /// Where it stands.
    pub schedule: Schedule,
    /// What its message on the way covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covers: Option<Covers>,
    /// How far it has come with what it is to say next, which took longer than one look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gathering: Option<Gathering>,
    /// Its channel was found not live: until then nothing is gathered before the channel is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_live_until: Option<Moment>,
    /// When the clock looks after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Moment>,
}

/// The pages on which a message's members are listed, and how many of them are settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covers {
    /// Whose pages: a gathering that was overtaken left others.
    pub token: String,
    /// How many there are.
    pub pages: u32,
    /// How many are settled, from the first.
    pub settled: u32,
    /// What further looks have listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<Pages>,
}

/// What one look has listed of what a message covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pages {
    /// Whose pages.
    pub token: String,
    /// How many there are.
    pub pages: u32,
}

/// How far a message has come that is gathered over several looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathering {
    /// Whether it brings to mind what is open.
    pub reminder: bool,
    /// Where to go on among the members.
    pub cursor: Option<(u64, Option<String>)>,
    /// The alerts that were counted.
    pub total: u32,
    /// Those of them that are over.
    pub resolved: u32,
    /// Those that matter most so far.
    pub foremost: Vec<Member>,
    /// What was listed.
    pub listed: Vec<Pages>,
    /// Whether something goes on waiting, since the same is being told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps: bool,
}

impl Covers {
    /// All that the looks at a message have listed; `None` if that is nothing.
    pub fn of(listed: Vec<Pages>) -> Option<Self> {
        let mut listed = listed.into_iter();
        let Pages { token, pages } = listed.next()?;
        Some(Self {
            token,
            pages,
            settled: 0,
            further: listed.collect(),
        })
    }

    /// What is still to be settled, if anything is.
    pub fn left(self) -> Option<Self> {
        match self.settled < self.pages {
            true => Some(self),
            false => Self::of(self.further)?.left(),
        }
    }
}

/// A revision in its group: what is needed to choose those that are named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The alert.
    pub alert: String,
    /// Its revision.
    pub revision: u32,
    /// Whether the alert is over with it.
    pub over: bool,
    /// How much it matters.
    pub severity: Severity,
    /// When it was written.
    #[serde(with = "millis")]
    pub at: Timestamp,
}

/// A member that a message covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// The member.
    pub member: Member,
    /// Whether it is its alert's last revision in this message.
    pub last: bool,
    /// Whether the message says nothing of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unheard: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The alert of the same item that says what is left now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overtaken_by: Option<String>,
}

/// Which members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that wait to be told, each alert's in order.
    Waiting,
    /// Those that were told and may still be open.
    Told,
}

impl Member {
    /// Behind it begin the members that come after it.
    pub(crate) fn place(&self, group: &GroupId) -> String {
        keys::waiting(group, &self.alert, self.revision).sk
    }

    /// Whether it tells the end of an alert that began in an earlier revision. News that is over as
    /// soon as it is told has one revision only.
    pub const fn is_end(&self) -> bool {
        self.over && self.revision > 1
    }
}

impl Group {
    /// The group of an intent that has one.
    fn of(intent: &Intent) -> Option<Self> {
        let belongs = intent.group.as_deref()?;
        Some(Self {
            id: belongs.id(&intent.channel),
            channel: intent.channel.clone(),
            kind: intent.kind.clone(),
            belongs: belongs.clone(),
            schedule: Schedule::default(),
            covers: None,
            gathering: None,
            not_live_until: None,
            due_at: None,
        })
    }

    /// Its message on the way, or the one that comes next.
    pub fn message(&self) -> FlushId {
        let last = FlushId {
            group: self.id.clone(),
            number: self.schedule.flushes,
        };
        match self.schedule.phase {
            Phase::Sending => last,
            _ => last.next(),
        }
    }

    /// The intent to deliver that message: to be announced from the moment that its time is known,
    /// and written when its time has come.
    pub fn intent(&self, now: Timestamp) -> Intent {
        Intent::new(
            self.message().to_string(),
            1,
            self.channel.clone(),
            self.kind.clone(),
            now,
            later(now, GRACE),
        )
    }

    /// With another schedule, and the time at which the clock looks after it.
    #[must_use]
    pub fn scheduled(&self, schedule: Schedule, now: Timestamp) -> Self {
        let due_at = match schedule.phase {
            Phase::Quiet => None,
            Phase::Sending => Some(later(now, PATIENCE)),
            Phase::Waiting(at) | Phase::Reminding(at) => {
                let near = at.0.duration_since(now) <= QUEUE_REACH;
                Some(later(at.0, if near { GRACE } else { -LEAD }))
            }
        };
        Self {
            schedule,
            due_at: due_at.map(Moment),
            ..self.clone()
        }
    }
}

fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

impl Store {
    /// Sees to it that an intent's group speaks, now that the intent waits in it. The group, if it
    /// has to be announced for that; `None` if it is seen to, or the intent has no group.
    pub async fn enroll(&self, intent: &Intent) -> Result<Option<Group>, StoreError> {
        const OPERATION: &str = "enroll an intent in its group";
        let Some(mut group) = Group::of(intent) else {
            return Ok(None);
        };
        for tries in 0.. {
            let stored = self.group(&group.id).await?;
            if let Some(stored) = &stored {
                // Its way of speaking is that of who came last.
                let Group { belongs, kind, .. } = group;
                group = Group {
                    belongs,
                    kind,
                    ..stored.data.clone()
                };
            }
            let now = self.clock.now();
            let Some(schedule) = group.schedule.joined(now, &group.belongs.pace) else {
                return Ok(None);
            };
            let expect = Expect::from_read(stored.as_ref());
            let joined = group.scheduled(schedule, now);
            if self.put(OPERATION, group_row(&joined)?, expect).await? {
                return Ok(Some(joined));
            }
            self.after_conflict(OPERATION, tries).await?;
        }
        Ok(None)
    }

    /// Sees to it that a group speaks in which something waits. The group as it stands then.
    pub async fn wake(&self, id: &GroupId) -> Result<Option<Group>, StoreError> {
        for tries in 0.. {
            let Some(stored) = self.group(id).await? else {
                break;
            };
            let now = self.clock.now();
            let pace = &stored.data.belongs.pace;
            let Some(schedule) = stored.data.schedule.joined(now, pace) else {
                return Ok(Some(stored.data));
            };
            let woken = stored.data.scheduled(schedule, now);
            if self.regroup(&stored, &woken).await? {
                return Ok(Some(woken));
            }
            self.after_conflict("wake a group of alerts", tries).await?;
        }
        Ok(None)
    }

    /// Has a group that is to speak later speak now; the clock announces it. `false` if it need not be
    /// told.
    pub async fn hasten(&self, id: &GroupId) -> Result<bool, StoreError> {
        for tries in 0.. {
            let Some(stored) = self.group(id).await? else {
                break;
            };
            let now = self.clock.now();
            let Some(schedule) = stored.data.schedule.hastened(now) else {
                break;
            };
            let mut sooner = stored.data.scheduled(schedule, now);
            sooner.due_at = Some(Moment(now));
            if self.regroup(&stored, &sooner).await? {
                return Ok(true);
            }
            self.after_conflict("hasten a group of alerts", tries)
                .await?;
        }
        Ok(false)
    }

    /// One group.
    pub async fn group(&self, id: &GroupId) -> Result<Option<Stored<Group>>, StoreError> {
        self.get("read a group of alerts", &keys::group(id)).await
    }

    /// Replaces a group: `false` if it has changed since it was read.
    pub async fn regroup(&self, from: &Stored<Group>, to: &Group) -> Result<bool, StoreError> {
        let expect = Expect::Version(from.version);
        self.put("write a group of alerts", group_row(to)?, expect)
            .await
    }

    /// Writes a group's message with the intent to deliver it: `false` if the group has changed since
    /// it was read, and neither is written.
    pub async fn begin_message(
        &self,
        from: &Stored<Group>,
        sending: &Group,
        message: &Message,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let intent = sending.intent(now);
        let revision = keys::revision(&intent.alert, intent.revision);
        let writes = vec![
            Write::Put(group_row(sending)?, Expect::Version(from.version)),
            Write::Put(
                Row::new(revision, "revision", message)?.expires(later(now, KEPT)),
                Expect::Absent,
            ),
            Write::Put(intent_row(&intent)?, Expect::Absent),
        ];
        let written = self.transact("begin a group's message", writes).await?;
        Ok(written == Written::Done)
    }

    /// A page of a group's members; the cursor is the page's end.
    pub async fn members(
        &self,
        group: &GroupId,
        which: Which,
        cursor: Option<(u64, Option<String>)>,
        limit: i32,
    ) -> Result<(Vec<Member>, Option<(u64, Option<String>)>), StoreError> {
        let (shard, after) = cursor.unwrap_or_default();
        let page: Page<Stored<Member>> = self
            .page_of_partition(
                "read the members of a group",
                &keys::members(group, shard),
                which.prefix(),
                after.as_deref(),
                limit,
            )
            .await?;
        let next = match page.next {
            Some(after) => Some((shard, Some(after))),
            None if shard + 1 < keys::SHARDS => Some((shard + 1, None)),
            None => None,
        };
        let members = page.items.into_iter().map(|stored| stored.data).collect();
        Ok((members, next))
    }

    /// Whether a group has any such members.
    pub async fn has_members(&self, group: &GroupId, which: Which) -> Result<bool, StoreError> {
        let mut cursor = None;
        loop {
            let (found, next) = self.members(group, which, cursor, 1).await?;
            match next {
                _ if !found.is_empty() => return Ok(true),
                None => return Ok(false),
                next => cursor = next,
            }
        }
    }

    /// Lists members that a message covers. A page can be written again: it says the same.
    pub async fn write_covered(
        &self,
        message: &FlushId,
        token: &str,
        page: u32,
        covered: &[Covered],
    ) -> Result<(), StoreError> {
        let key = keys::covered(&message.to_string(), token, page);
        let row = Row::new(key, "covered", &covered)?;
        let row = row.expires(later(self.clock.now(), KEPT));
        self.put("list what a group's message covers", row, Expect::Anything)
            .await?;
        Ok(())
    }

    /// A page of the members that a message covers.
    pub async fn covered(
        &self,
        message: &FlushId,
        token: &str,
        page: u32,
    ) -> Result<Vec<Covered>, StoreError> {
        let key = keys::covered(&message.to_string(), token, page);
        let stored = self.get("read what a group's message covers", &key).await?;
        Ok(stored.map(|stored| stored.data).unwrap_or_default())
    }

    /// Puts on record that a message carried one of its members, and takes the member out of those
    /// that wait. May be repeated.
    ///
    /// A message that did not leave carried nobody: its members go on waiting.
    pub async fn settle_member(
        &self,
        group: &Group,
        covered: &Covered,
        carrier: &Intent,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "settle a member of a group";
        let Covered {
            member,
            last,
            unheard,
            reason,
            overtaken_by,
        } = covered;
        // A message that did not leave carried nobody; that it may have arrived is for its members to know.
        let is_void = matches!(
            carrier.state,
            IntentState::NotSent | IntentState::Superseded
        );
        let mut is_left_out = false;
        for tries in 0.. {
            let key = (&member.alert, member.revision, &group.channel);
            let Some(stored) = self.intent(key.0, key.1, key.2).await? else {
                break;
            };
            if !stored.data.is_unsettled() {
                break;
            }
            if *unheard && !(is_void && overtaken_by.is_some()) {
                // Read after the intent, which whoever ends that alert has written anew with its end.
                if let Some(other) = overtaken_by
                    && !self.is_open(other).await?
                {
                    return Ok(());
                }
                // An older version has written none.
                let reason = reason.as_deref().unwrap_or("it is no longer so");
                if self.supersede(&stored, reason).await? {
                    is_left_out = overtaken_by.is_some();
                    break;
                }
                self.after_conflict(OPERATION, tries).await?;
                continue;
            }
            if is_void {
                let mut after = stored.data.clone();
                after.perhaps_sent |= carrier.perhaps_sent && !unheard;
                if carrier.state == IntentState::NotSent {
                    after.state = IntentState::NotSent;
                    after.last_outcome.clone_from(&carrier.last_outcome);
                }
                if after == stored.data || self.put_intent(&stored, &after).await? {
                    return Ok(());
                }
                self.after_conflict(OPERATION, tries).await?;
                continue;
            }
            let after = Intent {
                state: carrier.state,
                attempts: carrier.attempts,
                perhaps_sent: carrier.perhaps_sent,
                receipt: carrier.receipt.clone(),
                last_outcome: carrier.last_outcome.clone(),
                carried_by: Some(carrier.alert.clone()),
                ..stored.data
            };
            let expect = Expect::Version(stored.version);
            if self.put(OPERATION, intent_row(&after)?, expect).await? {
                break;
            }
            self.after_conflict(OPERATION, tries).await?;
        }
        // What another has overtaken is brought to mind, too, once that is over.
        if *last && group.belongs.pace.repeat.is_some() {
            let told = keys::told(&group.id, &member.alert);
            if member.over {
                self.delete(OPERATION, &told, Expect::Anything).await?;
            } else {
                let row = Row::new(told, "member", member)?;
                self.put(OPERATION, row, Expect::Anything).await?;
            }
        }
        let waiting = keys::waiting(&group.id, &member.alert, member.revision);
        self.delete(OPERATION, &waiting, Expect::Anything).await?;
        if is_left_out {
            // If the other is over by now, its end has had this one wait again.
            let key = (&member.alert, member.revision, &group.channel);
            let stored = self.intent(key.0, key.1, key.2).await?;
            if stored.is_some_and(|stored| stored.data.is_unsettled()) {
                let row = Row::new(waiting, "member", member)?;
                self.put(OPERATION, row, Expect::Anything).await?;
            }
        }
        Ok(())
    }

    async fn is_open(&self, alert: &str) -> Result<bool, StoreError> {
        let alert = self.alert(alert).await?;
        Ok(alert.is_some_and(|alert| alert.state == AlertState::Open))
    }

    /// Forgets an alert that was told and is over.
    pub async fn forget_told(&self, group: &GroupId, alert: &str) -> Result<(), StoreError> {
        let told = keys::told(group, alert);
        self.delete("forget a told alert", &told, Expect::Anything)
            .await?;
        Ok(())
    }

    /// Whether a group's message is on the way: its own intent is watched by the clock then.
    pub async fn is_under_way(&self, group: &Group) -> Result<bool, StoreError> {
        if group.schedule.phase != Phase::Sending {
            return Ok(false);
        }
        let message = group.message().to_string();
        let intent = self.intent(&message, 1, &group.channel).await?;
        Ok(intent.is_some_and(|intent| intent.data.state == IntentState::Pending))
    }

    /// Has the clock look at a group again: `false` if somebody else has changed it.
    pub async fn put_off_group(
        &self,
        overdue: &Stored<Group>,
        again: SignedDuration,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let at = overdue.data.schedule.phase.at();
        let ahead = at.filter(|at| *at > now).map(|at| later(at, GRACE));
        let group = Group {
            due_at: Some(Moment(ahead.unwrap_or(later(now, again)))),
            ..overdue.data.clone()
        };
        self.regroup(overdue, &group).await
    }

    /// Leaves a group that was put off as due as it was, unless somebody has changed it.
    pub async fn take_back_group(&self, overdue: &Stored<Group>) -> Result<(), StoreError> {
        let expect = Expect::Version(overdue.version + 1);
        let row = group_row(&overdue.data)?;
        self.put("leave a group due", row, expect).await?;
        Ok(())
    }

    /// Leaves an overdue intent to its group, which is seen to: `false` if somebody else changed it.
    pub async fn leave_to_group(&self, overdue: &Stored<Intent>) -> Result<bool, StoreError> {
        let due_at = later(self.clock.now(), IN_GOOD_HANDS);
        self.put_off(overdue, due_at).await
    }
}

impl Which {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Waiting => keys::WAITING,
            Self::Told => keys::TOLD,
        }
    }
}

/// The row by which an intent waits in its group, if it has one.
pub(super) fn member_row(
    intent: &Intent,
    (over, severity): (bool, Severity),
) -> Result<Option<Row>, StoreError> {
    let Some(belongs) = &intent.group else {
        return Ok(None);
    };
    let group = belongs.id(&intent.channel);
    let member = Member {
        alert: intent.alert.clone(),
        revision: intent.revision,
        over,
        severity,
        at: intent.created_at,
    };
    let key = keys::waiting(&group, &intent.alert, intent.revision);
    Row::new(key, "member", &member).map(Some)
}

fn group_row(group: &Group) -> Result<Row, StoreError> {
    let row = Row::new(keys::group(&group.id), "group", group)?;
    let covers_more = |covers: &Covers| !covers.further.is_empty();
    let is_beyond = group.gathering.is_some() || group.covers.as_ref().is_some_and(covers_more);
    let row = row.beyond_first_format(is_beyond);
    let row = row.due(group.due_at.map(|at| at.0));
    // Kept for longer than its messages: their numbers must not come again.
    Ok(match (group.schedule.phase, group.schedule.last) {
        (Phase::Quiet, Some(last)) => row.expires(later(later(last.0, KEPT), KEPT)),
        _ => row,
    })
}
