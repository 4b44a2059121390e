//! No more messages a second than a destination wants, within one instance of a notifier. A channel's
//! limit is therefore instances × pace; what still exceeds it is told so by a 429 and comes back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

use crate::domain::id::ChannelName;

/// When each channel's next turn is.
#[derive(Debug, Default)]
pub struct Paces(Mutex<HashMap<ChannelName, Turns>>);

#[derive(Debug, Clone, Copy)]
struct Turns {
    /// The next that is free.
    next: Instant,
    /// When the next who is sent away comes back: one after the other, and not all for one turn.
    back: Instant,
}

/// The next turn is further away than one is willing to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFar {
    /// After how long to ask again.
    pub wait: SignedDuration,
}

impl Paces {
    /// Waits for a channel's next turn, if it comes within `patience`; takes none otherwise.
    pub async fn turn(
        &self,
        channel: &ChannelName,
        per_second: u32,
        patience: SignedDuration,
    ) -> Result<(), TooFar> {
        let turn = self.take(channel, per_second, patience)?;
        tokio::time::sleep_until(turn).await;
        Ok(())
    }

    fn take(
        &self,
        channel: &ChannelName,
        per_second: u32,
        patience: SignedDuration,
    ) -> Result<Instant, TooFar> {
        let now = Instant::now();
        let apart = Duration::from_secs(1) / per_second.max(1);
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = channels.entry(channel.clone()).or_insert(Turns {
            next: now,
            back: now,
        });
        let span = |from: Instant| SignedDuration::try_from(from - now);
        let turn = turns.next.max(now);
        if span(turn).unwrap_or(SignedDuration::MAX) > patience {
            let back = turns.back.max(turn);
            turns.back = back + apart;
            let wait = span(back).unwrap_or(SignedDuration::MAX);
            return Err(TooFar { wait });
        }
        turns.next = turn + apart;
        Ok(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATIENCE: SignedDuration = SignedDuration::from_secs(5);

    fn ops() -> ChannelName {
        "ops".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_evenly_apart_and_channels_do_not_share_them() {
        let (paces, start) = (Paces::default(), Instant::now());
        for turn in 0..5 {
            paces.turn(&ops(), 4, PATIENCE).await.unwrap();
            let expected = Duration::from_millis(250) * turn;
            // Tokio's timer counts in whole milliseconds.
            assert!(start.elapsed() - expected <= Duration::from_millis(1));
        }
        let (other, before) = ("other".parse().unwrap(), Instant::now());
        paces.turn(&other, 1, PATIENCE).await.unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_too_long_takes_no_turn_and_comes_back_when_one_is_likely() {
        let paces = Paces::default();
        let impatient = SignedDuration::from_millis(500);
        paces.turn(&ops(), 1, impatient).await.unwrap();
        for seconds in 1..=3 {
            let wait = SignedDuration::from_secs(seconds);
            assert_eq!(paces.turn(&ops(), 1, impatient).await, Err(TooFar { wait }));
        }
        tokio::time::advance(Duration::from_millis(600)).await;
        assert_eq!(paces.turn(&ops(), 1, impatient).await, Ok(()));
    }

    proptest! {
        /// However many ask at whatever times, no window of a second holds more than the pace.
        #[test]
        fn never_more_in_a_second_than_the_pace(
            rate in 1u32..50,
            gaps in prop::collection::vec(0u64..700, 1..120),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time().start_paused(true).build().unwrap();
            let turns: Vec<Instant> = runtime.block_on(async {
                let paces = Paces::default();
                let mut turns = Vec::new();
                for gap in gaps {
                    tokio::time::advance(Duration::from_millis(gap)).await;
                    turns.extend(paces.take(&ops(), rate, SignedDuration::from_hours(1)).ok());
                }
                turns
            });
            for (first, last) in turns.iter().zip(turns.iter().skip(rate as usize)) {
                // A thousand nanoseconds for the division of a second by the rate.
                prop_assert!(*last + Duration::from_micros(1) >= *first + Duration::from_secs(1));
            }
        }
    }
}
