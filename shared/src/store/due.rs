//! What time alone sets off: the `due` index, read shard by shard.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};

use super::alerts::{Unwritten, Watched};
use super::groups::Group;
use super::intents::{BROUGHT_BACK, Intent, IntentState, intent_row};
use super::jobs::Reexamination;
use super::keys::{self, Key};
use super::received::Received;
use super::row::{Expect, Page, Stored};
use super::waits::{NewNames, is_new_names};
use super::{Store, StoreError};
use crate::delivery::verdict::{RECHECK, later};
use crate::domain::alert::Severity;
use crate::domain::id::{ChannelName, ConnectorName};
use crate::domain::watch::Moment;

const OPERATION: &str = "read what is due";
/// A job's next page is due within these: see the back-off of pages that fail.
const LOOKED_AHEAD: SignedDuration = SignedDuration::from_hours(6);

/// How many deliveries of a shard are looked at for those that wait for their channel. A longer queue is
/// left to the clock.
const IN_A_QUEUE: usize = 100;

/// How long the clock leaves alone what it could not deal with, at first.
const AGAIN: SignedDuration = SignedDuration::from_mins(1);
/// Doublings of it: to some eight hours.
const DOUBLINGS: u32 = 9;

/// When the clock looks again at what it could not deal with so often: what is stuck must not keep it
/// from the rest of its shard, for ever.
pub(super) fn backed_off(now: Timestamp, tries: u32) -> Timestamp {
    let again = AGAIN * (1 << tries.saturating_sub(1).min(DOUBLINGS));
    now.checked_add(again).unwrap_or(Timestamp::MAX)
}

/// Something that fell due.
#[derive(Debug, Clone)]
pub enum Due {
    /// A delivery that nobody has settled in time.
    Intent(Box<Stored<Intent>>),
    /// A group of alerts that is to speak soon, or that nobody saw to.
    Group(Box<Stored<Group>>),
    /// A watch whose answer time alone may have changed.
    Watch(Box<Stored<Watched>>),
    /// Intents of a revision that nobody has written yet.
    Unwritten(Box<Stored<Unwritten>>),
    /// A job that is to begin now, or a page of it that nobody saw to.
    Job(Box<Stored<Reexamination>>),
    /// A webhook that was kept and never wholly applied.
    Received(Box<Stored<Received>>),
    /// A configuration that may name what something waits for.
    Names(Stored<NewNames>),
}

impl Store {
    /// The shards of the index; each is read on its own, from its beginning.
    pub fn due_shards() -> Range<u64> {
        0..keys::DUE_SHARDS
    }

    /// A page of the keys of what fell due by then in one shard, oldest first.
    ///
    /// The index lags behind the table a little: [`Store::due`] says whether a key still is due.
    pub async fn due_page(
        &self,
        shard: u64,
        by: Timestamp,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Key>, StoreError> {
        self.due_keys(shard, by, cursor, limit).await
    }

    /// The jobs that are under way or about to begin. Those that go by a name that is known are asked for
    /// by it, so that no queue hides them; of each shard so many places are looked at for others.
    pub async fn jobs_under_way(
        &self,
        connectors: impl Iterator<Item = &ConnectorName>,
        most: usize,
    ) -> Result<Vec<Reexamination>, StoreError> {
        let by = self.clock.now().saturating_add(LOOKED_AHEAD);
        let by = by.unwrap_or(Timestamp::MAX);
        let mut jobs = self.known_jobs(connectors).await?;
        jobs.retain(|job| job.is_due(by));
        for shard in Self::due_shards() {
            let (mut cursor, mut seen) = (None, 0);
            loop {
                let page = self.due_keys(shard, by, cursor.as_deref(), 100).await?;
                seen += page.items.len();
                for key in page.items.iter().filter(|key| key.sk == "job") {
                    let stored = self.get::<Reexamination>(OPERATION, key).await?;
                    let other = stored.map(|stored| stored.data);
                    jobs.extend(other.filter(|job| jobs.iter().all(|known| known.id != job.id)));
                }
                cursor = page.next;
                if cursor.is_none() || seen >= most {
                    break;
                }
            }
        }
        Ok(jobs)
    }

    /// What is due under a key, or `None` if it is settled meanwhile.
    pub async fn due(&self, key: &Key, by: Timestamp) -> Result<Option<Due>, StoreError> {
        if key.sk.starts_with("intent#") {
            let stored = self.get::<Intent>(OPERATION, key).await?;
            let due =
                stored.filter(|stored| stored.data.is_unsettled() && stored.data.due_at <= by);
            return Ok(due.map(|stored| Due::Intent(Box::new(stored))));
        }
        if key.sk.starts_with("watch#") || key.sk.contains("#watch#") {
            let stored = self.get::<Watched>(OPERATION, key).await?;
            let due = stored.filter(|stored| stored.data.due.is_some_and(|due| due.0 <= by));
            return Ok(due.map(|stored| Due::Watch(Box::new(stored))));
        }
        if key.sk.starts_with("unwritten#") {
            let stored = self.get::<Unwritten>(OPERATION, key).await?;
            let due = stored.filter(|stored| stored.data.is_overdue(by));
            return Ok(due.map(|stored| Due::Unwritten(Box::new(stored))));
        }
        if key.sk == "group" {
            let stored = self.get::<Group>(OPERATION, key).await?;
            let due = stored.filter(|stored| stored.data.due_at.is_some_and(|at| at.0 <= by));
            return Ok(due.map(|stored| Due::Group(Box::new(stored))));
        }
        if key.sk == "job" {
            let stored = self.get::<Reexamination>(OPERATION, key).await?;
            let due = stored.filter(|stored| stored.data.is_due(by));
            return Ok(due.map(|stored| Due::Job(Box::new(stored))));
        }
        if is_new_names(key) {
            let stored = self.get::<NewNames>(OPERATION, key).await?;
            let due = stored.filter(|stored| stored.data.is_due(by));
            return Ok(due.map(Due::Names));
        }
        if key.pk.starts_with("R#") {
            let stored = self.get::<Received>(OPERATION, key).await?;
            let due = stored.filter(|stored| stored.data.is_overdue(by));
            return Ok(due.map(|stored| Due::Received(Box::new(stored))));
        }
        Ok(None)
    }

    /// What was not sent on these channels because they were not live, the gravest first: the messages, and
    /// of what is gathered those of the groups, which speak now. Of the messages at most so many; the clock
    /// has the rest looked at.
    pub async fn unsent(
        &self,
        in_use: impl Fn(&ChannelName) -> bool,
        most: usize,
    ) -> Result<Vec<Intent>, StoreError> {
        let now = self.clock.now();
        let by = later(now, RECHECK.1);
        let (mut unsent, mut groups) = (Vec::new(), BTreeSet::new());
        for shard in Self::due_shards() {
            let (mut cursor, mut looked_at) = (None, 0);
            loop {
                let mut page = self.due_keys(shard, by, cursor.as_deref(), 100).await?;
                let waits = |key: &Key| {
                    let intent = key.sk.strip_prefix("intent#");
                    let channel = intent.and_then(|it| it.split_once('#')?.1.parse().ok());
                    key.sk == "group" || channel.is_some_and(|it| in_use(&it))
                };
                page.items.retain(waits);
                looked_at += page.items.len();
                for key in &page.items {
                    let due = match self.due(key, by).await {
                        Err(error) if !error.is_transient() => continue,
                        due => due?,
                    };
                    match due {
                        Some(Due::Group(stored))
                            if stored.data.not_live_until.is_some()
                                && in_use(&stored.data.channel) =>
                        {
                            groups.insert(stored.data.id);
                        }
                        Some(Due::Intent(stored))
                            if stored.data.state == IntentState::NotSent
                                && stored.data.group.is_none()
                                && in_use(&stored.data.channel) =>
                        {
                            let severity = self.severity_of(&stored.data).await?;
                            unsent.push((severity, stored.data));
                        }
                        _ => {}
                    }
                }
                cursor = page.next;
                if cursor.is_none() || unsent.len() >= most || looked_at >= IN_A_QUEUE {
                    break;
                }
            }
        }
        unsent.sort_by_key(|(severity, it)| (Reverse(*severity), it.created_at));
        let unsent = unsent.into_iter().map(|(_, intent)| intent);
        let mut unsent: Vec<_> = unsent.take(most).collect();
        for id in groups {
            if self.hasten(&id).await? {
                let group = self.group(&id).await?;
                unsent.extend(group.map(|group| group.data.intent(now)));
            }
        }
        Ok(unsent)
    }

    async fn severity_of(&self, intent: &Intent) -> Result<Option<Severity>, StoreError> {
        let alert = self.alert(&intent.alert).await?;
        Ok(alert.map(|alert| alert.severity))
    }

    /// Has the clock look now at an intent that was not sent, because a later one waits for it.
    pub async fn bring_back(&self, unsent: &Stored<Intent>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let earlier = unsent.data.brought_back;
        if earlier.is_some_and(|at| now.duration_since(at.0) < BROUGHT_BACK) {
            return Ok(()); // the clock is about to
        }
        let mut first = unsent.data.clone();
        (first.due_at, first.brought_back) = (now, Some(Moment(now)));
        let expect = Expect::Version(unsent.version);
        let row = intent_row(&first)?;
        self.put("bring back a delivery intent", row, expect)
            .await?;
        Ok(())
    }

    /// Has the clock look at an overdue intent again then, and not before: `false` if somebody
    /// has it in hand, who will set its time.
    pub async fn put_off(
        &self,
        overdue: &Stored<Intent>,
        due_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut later = overdue.data.clone();
        later.due_at = due_at;
        let row = intent_row(&later)?;
        let expect = Expect::Version(overdue.version);
        self.put("put off a delivery intent", row, expect).await
    }

    /// Leaves an intent that was put off as due as it was, unless somebody has it in hand.
    pub async fn take_back_intent(&self, overdue: &Stored<Intent>) -> Result<(), StoreError> {
        let expect = Expect::Version(overdue.version + 1);
        let row = intent_row(&overdue.data)?;
        self.put("leave a delivery intent due", row, expect).await?;
        Ok(())
    }
}
