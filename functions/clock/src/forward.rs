//! What waits for a channel whose destination takes something again, and what finds out whether one does.

use jiff::Timestamp;
use shared::domain::id::ChannelName;
use shared::store::StoreError;
use shared::store::breakers::Destination;

use super::sweep::{AGAIN, Message};
use super::{Ticked, Ticker};

/// How many messages of a channel are brought forward in one tick; the next goes on.
const MOST: usize = 500;

impl Ticker {
    /// Has tried now what waits for its own time: all of it if its destination is back, the gravest first, and
    /// one message if nobody has asked for a while whether it is. It stays noted that there is more to bring
    /// forward until all of it is on its queue.
    pub(crate) async fn bring_forward(
        &self,
        channel: &ChannelName,
        destination: &Destination,
        stop_at: Timestamp,
    ) -> Result<Ticked, StoreError> {
        let mut ticked = Ticked::default();
        let now = self.store.clock().now();
        let back = destination.back;
        if back.is_none() && !destination.is_to_be_asked(now) {
            return Ok(ticked);
        }
        let (mut waiting, mut is_all) = self.store.waiting(channel, stop_at).await?;
        match back {
            Some(_) => {
                let count = waiting.len();
                waiting.retain(|it| !it.data.is_left_alone(now));
                is_all &= waiting.len() == count;
            }
            None => {
                if waiting.is_empty() && is_all {
                    self.store.none_is_denied(channel, now).await?;
                }
                // What was not tried yet may wait for another.
                let asks = waiting.iter().position(|it| it.data.has_failed());
                waiting.drain(..asks.unwrap_or_default());
                waiting.truncate(1);
            }
        }
        is_all &= waiting.len() <= MOST;
        let due_at = now.checked_add(AGAIN).unwrap_or(Timestamp::MAX);
        let mut messages = Vec::new();
        for stored in waiting.into_iter().take(MOST) {
            if self.is_over(stop_at) {
                is_all = false;
                break;
            }
            let forward = self.store.bring_forward(&stored, back.is_some(), due_at);
            if let Some(intent) = forward.await? {
                messages.push(Message::of(intent, stored));
            }
        }
        let count = messages.len();
        is_all &= self.announce(messages, &mut ticked).await == count;
        if let Some(back) = back.filter(|_| is_all) {
            self.store.is_brought_forward(channel, back).await?;
        }
        if count > 0 {
            tracing::info!(%channel, count, "what waits for its destination is tried now");
        }
        Ok(ticked)
    }
}
