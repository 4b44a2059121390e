//! Two messages on one item that leave a channel together: the graver one is told, and neither says what
//! the other does.
//!
//! Neither waits for the other. What is left out for another's sake is told after all where that one is
//! settled and was not sent.

use jiff::{SignedDuration, Timestamp};

use super::deliver::{DeliverError, Delivered, Deliverer};
use crate::bus::IntentRef;
use crate::domain::alert::{AlertKind, AlertState, RevisionKind};
use crate::domain::message::Message;
use crate::domain::watch::{Phase, told_by_itself};
use crate::store::alerts::Watched;
use crate::store::intents::{Intent, IntentState};
use crate::store::{StoreError, Stored};

/// So soon after one another, two alerts of an item come of one change.
const TOGETHER: SignedDuration = SignedDuration::from_mins(1);

/// How soon a message is looked at again where somebody else was faster.
const CONTENDED: SignedDuration = SignedDuration::from_secs(1);

impl Deliverer {
    /// The out of stock of the same item that is still to leave there, for a low stock that has waited. One
    /// that a group tells may leave much later, and one that was said before would not be the last word.
    pub(super) async fn graver_to_come(
        &self,
        intent: &Intent,
        message: &Message,
    ) -> Result<Option<Box<Stored<Intent>>>, StoreError> {
        if message.kind != AlertKind::LowStock || message.change == RevisionKind::Resolved {
            return Ok(None);
        }
        let watches = self.store.watches(&message.subject).await?;
        let mut watches = watches.iter().map(|stored| &stored.data);
        let out = watches.find_map(|it| match &it.watch.phase {
            Phase::Open(episode) if it.kind == AlertKind::OutOfStock => Some(episode),
            _ => None,
        });
        let Some(out) = out else {
            return Ok(None);
        };
        let intents = self.store.intents_on(&out.alert, &intent.channel).await?;
        let is_to_come = |it: &Stored<Intent>| {
            let waits = it.data.state == IntentState::Pending && !it.data.in_flight;
            waits && it.data.group.is_none() && it.data.created_at > intent.created_at
        };
        Ok(intents
            .into_iter()
            .next_back()
            .filter(is_to_come)
            .map(Box::new))
    }

    /// Leaves a message out for the sake of another, and sends that one in its place.
    pub(super) async fn leave_to(
        &self,
        leased: &Stored<Intent>,
        other: &Stored<Intent>,
        deadline: Timestamp,
    ) -> Result<Delivered, DeliverError> {
        let reason = format!("alert {} says what is left now", other.data.alert);
        let after = leased.data.left_out(&reason);
        if !self.store.leave_to((leased, &after), other).await? {
            return self.hold_back(leased, CONTENDED).await;
        }
        let left = deadline.duration_since(self.store.clock().now());
        if left < self.time_needed() {
            return Ok(Delivered::Done(IntentState::Superseded));
        }
        // Its own look, if the queue has it, may be far off.
        let instead = IntentRef::from(&other.data);
        Box::pin(self.deliver_intent(&instead, deadline)).await
    }

    /// Has told after all what was left out for the sake of an out of stock, of which no more is sent now.
    pub(super) async fn tell_what_this_kept_back(&self, leased: &Intent) -> Result<(), StoreError> {
        let Some(alert) = self.store.alert(&leased.alert).await? else {
            return Ok(());
        };
        if alert.kind != AlertKind::OutOfStock {
            return Ok(());
        }
        let all = self.store.intents_on(&alert.id, &leased.channel).await?;
        let says_so = |it: &Stored<Intent>| {
            it.data.state == IntentState::Delivered || it.data.revision > leased.revision
        };
        if all.iter().any(says_so) {
            return Ok(());
        }
        for Stored { data, .. } in self.store.watches(&alert.subject).await? {
            let Some(low) = data
                .watch
                .episode()
                .filter(|_| data.kind == AlertKind::LowStock)
            else {
                continue;
            };
            let kept_back = self.store.kept_back(&low.alert, &[AlertKind::LowStock]);
            for retold in kept_back.await? {
                if retold.is_made_anew() && retold.intent().channel == leased.channel {
                    self.store.retell(&retold).await?;
                }
            }
        }
        Ok(())
    }

    /// Takes from a message what another says that is sent there with it: that what was out is back, or that
    /// what is back is low.
    pub(super) async fn leave_out_what_another_says(
        &self,
        intent: &Intent,
        message: &mut Message,
    ) -> Result<(), StoreError> {
        if message
            .notes
            .iter()
            .all(|note| told_by_itself(note).is_none())
        {
            return Ok(());
        }
        let watches = self.store.watches(&message.subject).await?;
        let mut left = Vec::new();
        for note in std::mem::take(&mut message.notes) {
            let is_told = match told_by_itself(&note) {
                Some(kind) => self.is_sent_with(intent, kind, &watches).await?,
                None => false,
            };
            if !is_told {
                left.push(note);
            }
        }
        message.notes = left;
        Ok(())
    }

    /// Whether an alert of this kind on the same item has a message of its own there: that it is over of what
    /// was out, that it is open of what is low.
    async fn is_sent_with(
        &self,
        ours: &Intent,
        kind: AlertKind,
        watches: &[Stored<Watched>],
    ) -> Result<bool, StoreError> {
        let state = match kind {
            AlertKind::OutOfStock => AlertState::Resolved,
            _ => AlertState::Open,
        };
        let of_kind = watches.iter().filter(|it| it.data.kind == kind);
        for other in of_kind.flat_map(|it| &it.data.watch.spoken_of) {
            let Some(alert) = self.store.alert(&other.alert).await? else {
                continue;
            };
            let intents = self.store.intents_on(&other.alert, &ours.channel).await?;
            let is_sent = |Stored { data: it, .. }: &Stored<Intent>| {
                let apart = it.created_at.duration_since(ours.created_at).abs();
                let waits = it.state == IntentState::Pending && it.group.is_none();
                it.revision == alert.revision
                    && apart < TOGETHER
                    && (waits || it.state == IntentState::Delivered)
            };
            if alert.state == state && intents.last().is_some_and(is_sent) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
