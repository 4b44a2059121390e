//! What is no longer so of an alert about a source by the time that it is told: a person has decided, or the
//! source is heard again, and whoever ends the alert has not come to it yet.

use jiff::SignedDuration;

use super::deliver::Deliverer;
use super::overtaken::Standing;
use super::verdict::recheck;
use crate::domain::alert::{AlertKind, RevisionKind, Subject};
use crate::domain::message::Message;
use crate::store::StoreError;
use crate::store::intents::Intent;

/// How soon after a source is heard again the end of its alert is written.
const WRITTEN: SignedDuration = SignedDuration::from_mins(5);

impl Deliverer {
    /// Whether what an alert about a source says is over, so that its end is about to be written.
    pub(super) async fn is_over_at_source(&self, message: &Message) -> Result<bool, StoreError> {
        if message.change == RevisionKind::Resolved {
            return Ok(false);
        }
        let store = &self.store;
        let connector = match &message.subject {
            Subject::Quarantine { connector, reason } => {
                let held = store.held_kind(connector, reason).await?;
                return Ok(held.is_some_and(|held| !held.data.open));
            }
            Subject::Connector { connector } => connector,
            _ => return Ok(false),
        };
        let health = store.feed_health(connector).await?;
        let health = health.as_ref().map(|health| &health.data);
        Ok(match message.kind {
            AlertKind::FeedSuspect => health.is_some_and(|it| it.suspicions.is_empty()),
            AlertKind::FeedFlawed => health.is_some_and(|it| it.remarks.is_empty()),
            AlertKind::FeedStale => {
                let read = health.and_then(|it| it.succeeded_at).map(|at| at.0);
                let heard = read.max(store.last_webhook(connector).await?);
                let is_new = |at| store.clock().now().duration_since(at) < WRITTEN;
                heard > Some(message.at) && heard.is_some_and(is_new)
            }
            _ => false,
        })
    }

    /// What is left of a message about a source that was held up.
    pub(super) async fn what_source_says_now(
        &self,
        intent: &Intent,
        message: &mut Message,
    ) -> Result<Standing, StoreError> {
        if self.is_over_at_source(message).await? {
            let now = self.store.clock().now();
            return Ok(Standing::Waits(recheck(intent.created_at, now)));
        }
        self.take_present_doubts(message).await?;
        Ok(Standing::Holds)
    }

    /// Has a message about a file that is not believed say what was decided of it by now.
    pub(super) async fn take_present_doubts(
        &self,
        message: &mut Message,
    ) -> Result<(), StoreError> {
        let Subject::Connector { connector } = &message.subject else {
            return Ok(());
        };
        let is_open = message.change != RevisionKind::Resolved;
        if is_open && message.kind == AlertKind::FeedSuspect {
            let health = self.store.feed_health(connector).await?;
            let doubts = health.map(|health| health.data.doubts());
            if let Some(doubts) = doubts.filter(|doubts| !doubts.is_empty()) {
                message.notes = doubts;
            }
        }
        Ok(())
    }
}
