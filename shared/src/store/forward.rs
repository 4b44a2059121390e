//! What waits for its own time is brought forward: all of it once its channel takes something again, and one
//! message every few minutes before that, to find out whether it does.
//!
//! A message that is brought forward and fails is tried at its own time all the same, and is given up no
//! sooner.

use std::cmp::Reverse;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::due::Due;
use super::intents::{Intent, IntentState};
use super::keys::Key;
use super::{Store, StoreError, Stored};
use crate::delivery::verdict::later;
use crate::domain::alert::Severity;
use crate::domain::id::ChannelName;
use crate::domain::watch::Moment;

/// A message waits no longer than this for its own time.
const AHEAD: SignedDuration = SignedDuration::from_hours(14);

/// What is tried within this comes by itself.
const SOON: SignedDuration = SignedDuration::from_secs(30);

/// So many of a channel's messages are read in one shard of what is due, the first that are: there may be very
/// many, and the next tick goes on.
const MOST_READ: usize = 64;

/// So many of them at once.
const SIDE_BY_SIDE: usize = 16;

/// How long a message is left alone that was brought forward and failed all the same: so long for each time.
const LEFT_ALONE: SignedDuration = SignedDuration::from_mins(5);

impl Intent {
    /// Whether its time is still to come, and it has been tried.
    pub const fn has_failed(&self) -> bool {
        self.attempts > self.forgiven
    }

    fn waits(&self, now: Timestamp) -> bool {
        let is_ours = self.state == IntentState::Pending && self.group.is_none();
        is_ours && !self.in_flight && self.not_before.duration_since(now) > SOON
    }

    /// Whether it was brought forward lately, and what is wrong may be the message.
    pub fn is_left_alone(&self, now: Timestamp) -> bool {
        let since = |at: Timestamp| now.duration_since(at);
        let times = i32::try_from(self.forwarded).unwrap_or(i32::MAX);
        let tried = self.tries.last().map(|made| since(made.at));
        tried.is_some_and(|ago| ago < LEFT_ALONE.saturating_mul(times))
    }
}

impl Store {
    /// What waits on a channel for its own time, the gravest first; what of it could be read by `until`, so
    /// many at most, and whether that is all.
    pub async fn waiting(
        &self,
        channel: &ChannelName,
        until: Timestamp,
    ) -> Result<(Vec<Stored<Intent>>, bool), StoreError> {
        let now = self.clock.now();
        self.due_on(channel, until, |it| it.waits(now)).await
    }

    /// The same of what is to be tried on a channel at all, and is of this sort.
    pub(crate) async fn due_on(
        &self,
        channel: &ChannelName,
        until: Timestamp,
        is_meant: impl Fn(&Intent) -> bool,
    ) -> Result<(Vec<Stored<Intent>>, bool), StoreError> {
        let by = later(self.clock.now(), AHEAD);
        let mut waiting = Vec::new();
        let mut is_all = true;
        'all: for shard in Self::due_shards() {
            let (mut cursor, mut read) = (None, 0);
            loop {
                if self.clock.now() >= until {
                    is_all = false;
                    break 'all;
                }
                let page = self.due_keys(shard, by, cursor.as_deref(), 100).await?;
                let is_ours = |key: &&Key| {
                    let intent = key.sk.strip_prefix("intent#");
                    let of = intent.and_then(|it| it.split_once('#'));
                    of.is_some_and(|(_, of)| of == channel.as_str())
                };
                let ours: Vec<_> = page.items.iter().filter(is_ours).collect();
                let room = MOST_READ - read;
                let looked = ours.iter().take(room).map(|key| self.due_intent(key, by));
                let looked: Vec<_> = looked.collect();
                let mut looked = stream::iter(looked).buffered(SIDE_BY_SIDE);
                while let Some(found) = looked.try_next().await? {
                    waiting.extend(found.filter(|(_, it)| is_meant(&it.data)));
                    if self.clock.now() >= until {
                        is_all = false;
                        break 'all;
                    }
                }
                read += ours.len();
                if read > MOST_READ {
                    is_all = false;
                    break;
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        waiting.sort_by_key(|(severity, it)| (Reverse(*severity), it.data.created_at));
        let waiting = waiting.into_iter().map(|(_, stored)| stored);
        Ok((waiting.collect(), is_all))
    }

    /// A delivery that is due by then, and how grave its alert is.
    async fn due_intent(
        &self,
        key: &Key,
        by: Timestamp,
    ) -> Result<Option<(Severity, Stored<Intent>)>, StoreError> {
        let due = match self.due(key, by).await {
            Err(error) if !error.is_transient() => return Ok(None),
            due => due?,
        };
        let Some(Due::Intent(stored)) = due else {
            return Ok(None);
        };
        // A group may have anything to say.
        let alert = self.alert(&stored.data.alert).await?;
        let severity = alert.map_or(Severity::Critical, |alert| alert.severity);
        Ok(Some((severity, *stored)))
    }

    /// Has a message tried now that waits for its own time; `is_back`: its destination takes something again.
    /// The clock looks after it at `due_at`. `None` if it has changed since it was read.
    pub async fn bring_forward(
        &self,
        waits: &Stored<Intent>,
        is_back: bool,
        due_at: Timestamp,
    ) -> Result<Option<Intent>, StoreError> {
        let now = self.clock.now();
        let data = &waits.data;
        let own = data.own_time.filter(|own| own.0 > now);
        let forward = Intent {
            not_before: now,
            due_at,
            own_time: own.or(data.has_failed().then_some(Moment(data.not_before))),
            forwarded: data.forwarded.saturating_add(u32::from(is_back)),
            ..data.clone()
        };
        let written = self.put_intent(waits, &forward).await?;
        Ok(written.then_some(forward))
    }
}
