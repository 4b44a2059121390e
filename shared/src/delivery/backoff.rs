//! When the next attempt is due.
//!
//! The schedule lives in the table, as the due time of the intent, so it outlasts any process. It is
//! steep at first, because most faults are short, and ends within a day, because an older stock
//! alert is not news.

use jiff::SignedDuration;
use sha2::{Digest, Sha256};

/// The waits after the first, second, … failed attempt. With the jitter at its worst they stay
/// below 24 hours in all.
const WAITS: [SignedDuration; 9] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_secs(30),
    SignedDuration::from_mins(2),
    SignedDuration::from_mins(10),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(5),
    SignedDuration::from_hours(10),
];

/// How far a wait is spread: ± this share of it.
const SPREAD: f64 = 0.2;

/// The wait after `attempt` attempts (counted from 1) have failed, or `None` when it is time to
/// give up.
///
/// `jitter` in `0..=1` picks the place within ±20 %. What the vendor asked for is a floor: the
/// wait is never shorter, and is spread upwards only, so that a crowd held back together does not come
/// back together.
pub fn next(
    attempt: u32,
    retry_after: Option<SignedDuration>,
    jitter: f64,
) -> Option<SignedDuration> {
    let index = usize::try_from(attempt.saturating_sub(1)).ok()?;
    let jitter = if jitter.is_finite() {
        jitter.clamp(0.0, 1.0)
    } else {
        0.5
    };
    let scheduled = WAITS
        .get(index)?
        .mul_f64(1.0 - SPREAD + 2.0 * SPREAD * jitter);
    let floor = retry_after.unwrap_or_default();
    Some(scheduled.max(floor + floor.mul_f64(SPREAD * jitter)))
}

/// The wait of a message that was one too many at once: as long as the vendor asked, and a second where it
/// did not. How long its destination is left alone is not this message's.
pub fn limited(asked: Option<SignedDuration>, jitter: f64) -> SignedDuration {
    let floor = asked.unwrap_or_default().max(SignedDuration::from_secs(1));
    floor + floor.mul_f64(SPREAD * jitter)
}

/// How often an intent is attempted before it is given up.
pub const fn attempts() -> usize {
    WAITS.len() + 1
}

/// A fraction in `0..1` that is the same for the same key and attempt, and spread evenly over keys.
///
/// Jitter only has to keep a crowd apart; taken from the key, it also repeats exactly in a test.
pub fn jitter(key: &str, attempt: u32) -> f64 {
    let digest = Sha256::new()
        .chain_update(key.as_bytes())
        .chain_update(attempt.to_be_bytes())
        .finalize();
    let bits = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIDDLE: f64 = 0.5;

    #[test]
    fn the_schedule_is_the_documented_one() {
        let waits: Vec<i64> = (1..)
            .map_while(|attempt| next(attempt, None, MIDDLE))
            .map(|wait| wait.as_secs())
            .collect();
        assert_eq!(waits, [5, 30, 120, 600, 1800, 3600, 7200, 18000, 36000]);
        assert_eq!(waits.len() + 1, attempts());
    }

    #[test]
    fn a_day_is_enough_even_at_the_worst_jitter() {
        let total: SignedDuration = (1..)
            .map_while(|attempt| next(attempt, None, 1.0))
            .fold(SignedDuration::ZERO, |sum, wait| sum + wait);
        assert!(total < SignedDuration::from_hours(24), "{total}");
        assert!(total > SignedDuration::from_hours(20), "{total}");
    }

    #[test]
    fn a_vendor_that_asks_for_an_hour_is_asked_again_after_it_and_a_bit() {
        let hour = SignedDuration::from_hours(1);
        for jitter in [0.0, 1.0] {
            let wait = next(1, Some(hour), jitter).unwrap();
            assert!(wait >= hour && wait <= hour.mul_f64(1.2), "{wait}");
        }
        // It was an attempt like another: the schedule ends as it would have.
        assert_eq!(
            next(u32::try_from(attempts()).unwrap(), Some(hour), MIDDLE),
            None
        );
    }

    #[test]
    fn jitter_repeats_and_differs() {
        assert_eq!(
            jitter("a/1/slack", 1).to_bits(),
            jitter("a/1/slack", 1).to_bits()
        );
        assert_ne!(
            jitter("a/1/slack", 1).to_bits(),
            jitter("a/1/slack", 2).to_bits()
        );
        let mean = (0..1000)
            .map(|n| jitter(&format!("alert-{n}"), 1))
            .sum::<f64>()
            / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_a_fifth_of_the_schedule(attempt in 1u32..10, jitter in 0.0f64..=1.0) {
            let wait = next(attempt, None, jitter).unwrap().as_secs_f64();
            let planned = WAITS[attempt as usize - 1].as_secs_f64();
            prop_assert!(wait >= planned * 0.799 && wait <= planned * 1.201);
        }

        #[test]
        fn never_earlier_than_the_vendor_asked(attempt in any::<u32>(), seconds in 0i64..=3_600, jitter in any::<f64>()) {
            let asked = SignedDuration::from_secs(seconds);
            match next(attempt, Some(asked), jitter) {
                Some(wait) => prop_assert!(wait >= asked && wait > SignedDuration::ZERO),
                None => prop_assert!(attempt as usize >= attempts()),
            }
        }

        #[test]
        fn a_later_attempt_never_waits_less(attempt in 1u32..9, jitter in 0.0f64..=1.0) {
            prop_assert!(next(attempt, None, jitter) < next(attempt + 1, None, jitter));
        }
    }
}
