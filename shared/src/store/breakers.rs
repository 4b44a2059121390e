//! The circuit breakers, one item a channel, shared by every notifier.
//!
//! The state machine is [`Breaker`]; here it is made durable. A conditional write decides between
//! notifiers that ask at once, so a half-open circuit lets one probe through, whoever sends it.

use super::keys;
use super::row::{Expect, Row};
use super::{Store, StoreError};
use crate::delivery::breaker::{Breaker, Change, Pass, Turn};
use crate::delivery::outcome::Outcome;
use crate::domain::id::ChannelName;

impl Store {
    /// A channel's circuit; closed if nothing was ever noted about it.
    pub async fn breaker(&self, channel: &ChannelName) -> Result<Breaker, StoreError> {
        let key = keys::breaker(channel);
        let stored = self.get("read a circuit breaker", &key).await?;
        Ok(stored.map(|stored| stored.data).unwrap_or_default())
    }

    /// Asks for the right to make one attempt on a channel.
    pub async fn ask_breaker(&self, channel: &ChannelName) -> Result<Turn, StoreError> {
        self.change_breaker("ask a circuit breaker", channel, |breaker, now| {
            breaker.ask(now)
        })
        .await
    }

    /// Notes what came of an attempt that [`Store::ask_breaker`] allowed.
    pub async fn tell_breaker(
        &self,
        channel: &ChannelName,
        pass: Pass,
        outcome: &Outcome,
    ) -> Result<Option<Change>, StoreError> {
        self.change_breaker("tell a circuit breaker", channel, |breaker, now| {
            breaker.record(pass, outcome, now)
        })
        .await
    }

    /// Applies a step to the state as it is now, and writes it only if it changed.
    async fn change_breaker<T>(
        &self,
        operation: &'static str,
        channel: &ChannelName,
        step: impl Fn(&mut Breaker, jiff::Timestamp) -> T,
    ) -> Result<T, StoreError> {
        let key = keys::breaker(channel);
        for attempt in 0.. {
            let stored = self.get::<Breaker>(operation, &key).await?;
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
