//! The one place that rolls dice: jitter, and the random part of identifiers.
//!
//! A simulation seeds it, so that a run repeats exactly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use uuid::Uuid;

/// A shared source of randomness (SplitMix64). Not for keys or tokens.
#[derive(Debug, Clone)]
pub struct Chance(Arc<AtomicU64>);

impl Chance {
    /// Seeded by the operating system.
    pub fn from_system() -> Self {
        Self::seeded(Uuid::new_v4().as_u64_pair().0)
    }

    /// Seeded by the caller: the same seed gives the same sequence.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// The next 64 bits.
    pub fn bits(&self) -> u64 {
        let mut z = self
            .0
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to but not including 1.
    pub fn fraction(&self) -> f64 {
        // 53 bits are exactly representable.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let numerator = (self.bits() >> 11) as f64;
        numerator / 9_007_199_254_740_992.0
    }

    /// A time-ordered identifier (UUID version 7) for something made at `at`.
    pub fn id(&self, at: Timestamp) -> String {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.bits().to_be_bytes());
        random[8..].copy_from_slice(&self.bits().to_be_bytes()[..2]);
        let millis = u64::try_from(at.as_millisecond()).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &random)
            .into_uuid()
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_ids_follow_time() {
        let draw = |seed| {
            let chance = Chance::seeded(seed);
            [chance.bits(), chance.bits()]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let chance = Chance::seeded(1);
        let early = chance.id(Timestamp::from_second(1_000).unwrap());
        let late = chance.id(Timestamp::from_second(1_001).unwrap());
        assert!(early < late);
        assert!((0..1000).all(|_| (0.0..1.0).contains(&chance.fraction())));
    }
}
