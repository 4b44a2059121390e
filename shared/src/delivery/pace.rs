//! No more messages a second than a destination wants, within one instance of a notifier. A channel's
//! limit is therefore instances × pace; what still exceeds it is told so by a 429 and comes back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

use crate::domain::alert::Severity;
use crate::domain::id::ChannelName;

/// How late at most who is sent away comes back: queues count in whole seconds.
const LATE: Duration = Duration::from_secs(1);

/// For how long after a destination took no more at once it is given a message a second and no more; and how
/// far ahead its next turn is put at most.
const LIMITED: Duration = Duration::from_mins(1);

/// When each channel's next turn is.
#[derive(Debug, Default)]
pub struct Paces(Mutex<HashMap<ChannelName, Turns>>);

#[derive(Debug, Clone, Copy)]
struct Turns {
    /// The next that is free.
    next: Instant,
    /// When the next who is sent away comes back, by how much its message matters: one after the other, and
    /// not all for one turn. What matters less takes no turn until those who matter more are back.
    back: [Option<Instant>; Severity::ALL.len()],
    /// Until when the destination is given less than it takes, since it took no more.
    limited: Option<Instant>,
}

impl Turns {
    const fn new(now: Instant) -> Self {
        Self {
            next: now,
            back: [None; Severity::ALL.len()],
            limited: None,
        }
    }
}

/// The next turn is further away than one is willing to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFar {
    /// After how long to ask again.
    pub wait: SignedDuration,
}

impl Paces {
    /// Waits for a channel's next turn, if it comes within `patience`, and answers whether it had to wait; takes
    /// none otherwise, and is to come back before all that matters less.
    pub async fn turn(
        &self,
        channel: &ChannelName,
        (per_second, severity): (u32, Severity),
        patience: SignedDuration,
    ) -> Result<bool, TooFar> {
        let turn = self.take(channel, (per_second, severity), patience)?;
        let waits = turn > Instant::now();
        tokio::time::sleep_until(turn).await;
        Ok(waits)
    }

    /// Notes that a destination takes no more at once, for so long: what waits for it has turns from then on,
    /// so that the gravest leave first and the rest does not come all at once.
    pub fn limit(&self, channel: &ChannelName, wait: SignedDuration) {
        let now = Instant::now();
        let wait = wait.unsigned_abs();
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = channels.entry(channel.clone());
        let turns = turns.or_insert(Turns::new(now));
        turns.next = turns.next.max(now + wait.min(LIMITED));
        turns.limited = turns.limited.max(Some(now + wait + LIMITED));
    }

    /// How many messages a second a destination is given that took no more lately.
    pub fn limited(&self, channel: &ChannelName) -> Option<u32> {
        let channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = channels.get(channel)?.limited?;
        (Instant::now() < until).then_some(1)
    }

    fn take(
        &self,
        channel: &ChannelName,
        (per_second, severity): (u32, Severity),
        patience: SignedDuration,
    ) -> Result<Instant, TooFar> {
        let now = Instant::now();
        let apart = Duration::from_secs(1) / per_second.max(1);
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = channels.entry(channel.clone());
        let turns = turns.or_insert(Turns::new(now));
        let span = |from: Instant| SignedDuration::try_from(from - now);
        let rank = severity as usize;
        let graver = turns.back[rank + 1..].iter().flatten().max();
        let kept = graver.map(|back| *back + LATE.saturating_sub(apart));
        let kept = kept.filter(|until| *until > now);
        let turn = turns.next.max(now).max(kept.unwrap_or(now));
        if kept.is_some() || span(turn).unwrap_or(SignedDuration::MAX) > patience {
            let back = turns.back[rank].map_or(turn, |back| back.max(turn));
            for those_after in &mut turns.back[..=rank] {
                *those_after = Some((*those_after).max(Some(back)).unwrap_or(back) + apart);
            }
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
            paces
                .turn(&ops(), (4, Severity::Warning), PATIENCE)
                .await
                .unwrap();
            let expected = Duration::from_millis(250) * turn;
            // Tokio's timer counts in whole milliseconds.
            assert!(start.elapsed() - expected <= Duration::from_millis(1));
        }
        let (other, before) = ("other".parse().unwrap(), Instant::now());
        paces
            .turn(&other, (1, Severity::Warning), PATIENCE)
            .await
            .unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_too_long_takes_no_turn_and_comes_back_when_one_is_likely() {
        use Severity::{Critical, Info, Warning};
        let (ops, paces) = (ops(), Paces::default());
        let turn = |severity| paces.turn(&ops, (1, severity), SignedDuration::from_millis(500));
        turn(Warning).await.unwrap();
        // What is graver comes back first, and those of one severity in their order.
        for (severity, seconds) in [
            (Warning, 1),
            (Warning, 2),
            (Info, 3),
            (Critical, 1),
            (Critical, 2),
            (Warning, 5),
            (Info, 7),
        ] {
            let wait = SignedDuration::from_secs(seconds);
            assert_eq!(turn(severity).await, Err(TooFar { wait }));
        }
        // It finds its turn free.
        tokio::time::advance(Duration::from_millis(600)).await;
        let wait = SignedDuration::from_millis(5_400);
        assert_eq!(turn(Warning).await, Err(TooFar { wait }));
        assert_eq!(turn(Critical).await, Ok(true));
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
                    turns.extend(paces.take(&ops(), (rate, Severity::Warning), SignedDuration::from_hours(1)).ok());
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
