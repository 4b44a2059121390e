//! A group of alerts, from the moment it is to speak to the record of what it said.
//!
//! A group's message is a delivery like any other: an intent with one revision, leased, tried, put
//! off and given up in the same way and under a key of its own. What is particular stands here.
//! Before it: gather what waits, and freeze the words and the members that they cover, in one write
//! with the intent, so that every try says the same. After it: put on record what became of each
//! member, page by page, so that a storm's message may be settled over several looks.

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::deliver::{DeliverError, Delivered, Deliverer, RECORDING};
use super::gather::{Gathered, Gathers};
use super::verdict::later;
use crate::bus::IntentRef;
use crate::domain::group::{FlushId, Left, Phase};
use crate::domain::watch::Moment;
use crate::store::groups::{Covers, Group, Which};
use crate::store::intents::{Intent, IntentState};
use crate::store::{StoreError, Stored};

/// A time as near as this is waited for here; queues count in whole seconds.
const AT_HAND: SignedDuration = SignedDuration::from_secs(1);

/// How long a group whose channel is not live waits before it gathers again what it cannot send.
const NOT_LIVE: SignedDuration = SignedDuration::from_mins(5);

/// How often meanwhile it is asked whether the channel is live.
const ASK_WHETHER_LIVE: SignedDuration = SignedDuration::from_mins(1);

/// How soon a group looks again after what it keeps while the same is being told.
const KEPT: SignedDuration = SignedDuration::from_secs(5);

/// How many members are settled side by side.
const SIDE_BY_SIDE: usize = 16;

/// How often a group that changes under our hands is read again.
const TRIES: u32 = 5;

/// What came of the moment at which a group was to speak.
enum Begun {
    /// Its message is written, or was before.
    Message,
    /// It has nothing to say; it may have later.
    Nothing(Option<Timestamp>),
    /// There is more to gather than one look can, or others keep changing it.
    Unfinished,
}

impl Deliverer {
    /// Looks at one message of a group: begins it when its time has come, delivers it, and puts on
    /// record what became of its members.
    pub(super) async fn look_at_group(
        &self,
        which: &IntentRef,
        message: &FlushId,
        deadline: Timestamp,
    ) -> Result<Delivered, DeliverError> {
        let Some(group) = self.store.group(&message.group).await? else {
            return Ok(Delivered::Missing);
        };
        if group.data.message() != *message {
            return Ok(Delivered::Settled);
        }
        if let Some(at) = group.data.schedule.phase.at() {
            let wait = at.duration_since(self.store.clock().now());
            if wait > AT_HAND {
                return Ok(Delivered::Again(self.until(at)));
            }
            tokio::time::sleep(wait.max(SignedDuration::ZERO).unsigned_abs()).await;
            if let Some(at) = self.wait_until_live(&group).await? {
                return Ok(Delivered::Again(self.until(at)));
            }
            match self.begin(message, deadline).await? {
                Begun::Message => {}
                Begun::Nothing(None) => return Ok(Delivered::Settled),
                Begun::Nothing(Some(at)) => return Ok(Delivered::Again(self.until(at))),
                Begun::Unfinished => return Ok(Delivered::Again(SignedDuration::ZERO)),
            }
        } else if group.data.schedule.phase == Phase::Quiet {
            return Ok(Delivered::Settled);
        }
        let left = deadline.duration_since(self.store.clock().now());
        if left < self.time_needed() {
            // There is time for a whole try with the next look.
            return Ok(Delivered::Again(SignedDuration::ZERO));
        }
        match self.deliver_intent(which, deadline).await? {
            Delivered::Done(_) | Delivered::Settled => {
                self.conclude_group(which, message, deadline).await
            }
            other => Ok(other),
        }
    }

    /// When a group asks again whether its channel is live; `None` if it is, or if it is time to put on
    /// record what waits for that.
    async fn wait_until_live(
        &self,
        group: &Stored<Group>,
    ) -> Result<Option<Timestamp>, DeliverError> {
        let now = self.store.clock().now();
        let until = group.data.not_live_until.map(|until| until.0);
        let Some(until) = until.filter(|until| *until > now) else {
            return Ok(None);
        };
        if self.is_live(&group.data.channel).await? {
            return Ok(None);
        }
        let at = later(now, ASK_WHETHER_LIVE).min(until);
        let rest = group.data.scheduled(group.data.schedule.again(at), now);
        self.store.regroup(group, &rest).await?;
        Ok(Some(at))
    }

    /// Freezes what the group has to say, if anything.
    async fn begin(&self, message: &FlushId, deadline: Timestamp) -> Result<Begun, DeliverError> {
        // The other half is for the rest: to send, or to put on record that nothing is told.
        let now = self.store.clock().now();
        let spare = deadline.duration_since(now) - self.time_needed();
        let until = later(now, spare.max(SignedDuration::ZERO) / 2);
        for _ in 0..TRIES {
            let Some(group) = self.store.group(&message.group).await? else {
                return Ok(Begun::Nothing(None));
            };
            if group.data.message() != *message {
                return Ok(Begun::Nothing(None));
            }
            if group.data.schedule.phase == Phase::Sending {
                return Ok(Begun::Message);
            }
            let token = format!("{:016x}", self.store.chance().bits());
            let gathers = self.gather(&group.data, message, &token, until);
            let gathered = match gathers.await? {
                Gathers::All(gathered) => gathered,
                Gathers::PartOf(so_far) => {
                    let mut on = group.data.clone();
                    on.gathering = Some(so_far);
                    if self.store.regroup(&group, &on).await? {
                        return Ok(Begun::Unfinished);
                    }
                    continue;
                }
            };
            // It is so as of now, however long it took.
            let now = self.store.clock().now();
            let Some(words) = gathered.message(message, now) else {
                if let Some(covers) = Covers::of(gathered.listed) {
                    // All that waits is over, and nobody was told that it began.
                    let stop_at = deadline.checked_sub(RECORDING);
                    let stop_at = stop_at.unwrap_or(Timestamp::MIN);
                    if !self
                        .settle_unheard(&group.data, (message, covers), now, stop_at)
                        .await?
                    {
                        // The rest is gathered anew.
                        let mut on = group.data.clone();
                        on.gathering = None;
                        self.store.regroup(&group, &on).await?;
                        return Ok(Begun::Unfinished);
                    }
                }
                if gathered.keeps {
                    let at = later(now, KEPT);
                    let mut rest = group.data.scheduled(group.data.schedule.again(at), now);
                    rest.gathering = None;
                    if self.store.regroup(&group, &rest).await? {
                        return Ok(Begun::Nothing(Some(at)));
                    }
                    continue;
                }
                if let Some(at) = self.fall_quiet(&group).await? {
                    return Ok(Begun::Nothing(at));
                }
                continue;
            };
            let mut sending = group.data.scheduled(group.data.schedule.begun(now), now);
            sending.not_live_until = None;
            sending.gathering = None;
            sending.covers = Covers::of(gathered.listed.clone());
            if self
                .store
                .begin_message(&group, &sending, &words, now)
                .await?
            {
                let Gathered {
                    total, resolved, ..
                } = gathered;
                tracing::info!(group = %message.group, message = message.number,
                    channel = %group.data.channel, total, resolved, "a group of alerts speaks");
                return Ok(Begun::Message);
            }
        }
        Ok(Begun::Unfinished)
    }

    /// Records what became of a message's members, and when the group speaks next.
    async fn conclude_group(
        &self,
        which: &IntentRef,
        message: &FlushId,
        deadline: Timestamp,
    ) -> Result<Delivered, DeliverError> {
        let stop_at = deadline.checked_sub(RECORDING).unwrap_or(Timestamp::MIN);
        let carrier = self
            .store
            .intent(&which.alert, which.revision, &which.channel)
            .await?;
        let Some(Stored {
            data: mut carrier, ..
        }) = carrier
        else {
            return Ok(Delivered::Missing);
        };
        // A message that was not sent is void. Its members go on waiting, for the next, and know if it may
        // have arrived.
        let void = carrier.state == IntentState::Superseded;
        let not_live = void
            && carrier
                .last_outcome
                .as_ref()
                .is_some_and(|words| words.starts_with(IntentState::NotSent.name()));
        if not_live {
            carrier.state = IntentState::NotSent;
        }
        loop {
            let Some(group) = self.store.group(&message.group).await? else {
                return Ok(Delivered::Settled);
            };
            let sending = group.data.schedule.phase == Phase::Sending;
            if !sending || group.data.message() != *message {
                return Ok(Delivered::Settled);
            }
            let left = group.data.covers.clone().and_then(Covers::left);
            let is_told = !void || not_live || carrier.perhaps_sent;
            let Some(mut covers) = left.filter(|_| is_told) else {
                if void {
                    let now = self.store.clock().now();
                    let again = match not_live {
                        true => later(now, ASK_WHETHER_LIVE),
                        false => now,
                    };
                    let mut rest = group.data.scheduled(group.data.schedule.again(again), now);
                    rest.covers = None;
                    rest.not_live_until = not_live.then(|| Moment(later(now, NOT_LIVE)));
                    if self.store.regroup(&group, &rest).await? {
                        return Ok(Delivered::Next(self.until(again)));
                    }
                    continue;
                }
                match self.fall_quiet(&group).await? {
                    Some(None) => return Ok(Delivered::Settled),
                    Some(Some(at)) => return Ok(Delivered::Next(self.until(at))),
                    None => continue,
                }
            };
            if self.store.clock().now() >= stop_at {
                return Ok(Delivered::Again(SignedDuration::ZERO));
            }
            self.settle_page(&group.data, message, &covers, &carrier)
                .await?;
            covers.settled += 1;
            let on = Group {
                covers: Some(covers),
                ..group.data.clone()
            };
            // Somebody else may have been faster; then the page is settled, and the next is not.
            self.store.regroup(&group, &on).await?;
        }
    }

    /// Settles members of which nothing is to be told. Whether there was time for all of them.
    async fn settle_unheard(
        &self,
        group: &Group,
        (message, covers): (&FlushId, Covers),
        now: Timestamp,
        stop_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let nobody = group.intent(now);
        let mut left = covers.left();
        while let Some(mut covers) = left {
            if self.store.clock().now() >= stop_at {
                return Ok(false);
            }
            self.settle_page(group, message, &covers, &nobody).await?;
            covers.settled += 1;
            left = covers.left();
        }
        Ok(true)
    }

    async fn settle_page(
        &self,
        group: &Group,
        message: &FlushId,
        covers: &Covers,
        carrier: &Intent,
    ) -> Result<(), StoreError> {
        let page = self
            .store
            .covered(message, &covers.token, covers.settled)
            .await?;
        // Made first and run after: a stream of async closures is not `Send` for every lifetime.
        let pending: Vec<_> = page
            .iter()
            .map(|covered| self.store.settle_member(group, covered, carrier))
            .collect();
        stream::iter(pending)
            .buffer_unordered(SIDE_BY_SIDE)
            .try_collect::<()>()
            .await
    }

    /// Ends a turn of the group, and says when it speaks next, if ever. `None` if the group has
    /// changed since it was read.
    async fn fall_quiet(
        &self,
        group: &Stored<Group>,
    ) -> Result<Option<Option<Timestamp>>, DeliverError> {
        let id = &group.data.id;
        let pace = &group.data.belongs.pace;
        let left = Left {
            waiting: self.store.has_members(id, Which::Waiting).await?,
            // Also while its route does not remind: it may again.
            open: pace.repeat.is_some() && self.store.has_members(id, Which::Told).await?,
            kept_silent: matches!(group.data.schedule.phase, Phase::Reminding(_)),
        };
        let now = self.store.clock().now();
        let mut rest = group
            .data
            .scheduled(group.data.schedule.over(left, now, pace), now);
        rest.covers = None;
        rest.gathering = None;
        if !self.store.regroup(group, &rest).await? {
            return Ok(None);
        }
        if left.waiting || !self.store.has_members(id, Which::Waiting).await? {
            return Ok(Some(rest.schedule.phase.at()));
        }
        // It joined after the first look and saw us still at it.
        Ok(self
            .store
            .wake(id)
            .await?
            .map(|group| group.schedule.phase.at()))
    }

    /// How long a queue holds a look back: whole seconds, and none too many. The rest is waited for
    /// when the look comes.
    fn until(&self, at: Timestamp) -> SignedDuration {
        let wait = at.duration_since(self.store.clock().now());
        SignedDuration::from_secs(wait.as_secs().max(0))
    }
}
