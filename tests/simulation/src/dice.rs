//! Dice: everything that is left to chance in a simulated world, by its seed.

use shared::chance::Chance;

/// A seeded source of choices. Each purpose has its own, so that one more throw for one of them
/// changes nothing for the others.
#[derive(Debug, Clone)]
pub struct Dice(Chance);

impl Dice {
    /// The dice of one purpose in one world.
    pub fn of(seed: u64, purpose: &str) -> Self {
        // FNV-1a.
        let mixed = purpose.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(Chance::seeded(seed.rotate_left(32) ^ mixed))
    }

    /// The same sequence as a source for the product itself.
    pub fn chance(&self) -> Chance {
        self.0.clone()
    }

    /// From 0 up to but not including `bound`; 0 if that is 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.0.bits().checked_rem(bound).unwrap_or(0)
    }

    /// From `low` up to and including `high`.
    pub fn between(&self, low: i64, high: i64) -> i64 {
        let span = high.abs_diff(low).saturating_add(1);
        low.saturating_add_unsigned(self.below(span))
    }

    /// True with this probability.
    pub fn happens(&self, probability: f64) -> bool {
        self.0.fraction() < probability
    }

    /// One of several.
    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        let index = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        &from[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_has_its_own_dice_and_a_seed_repeats() {
        let draw = |seed, purpose| {
            let dice = Dice::of(seed, purpose);
            [dice.below(u64::MAX), dice.below(u64::MAX)]
        };
        assert_eq!(draw(1, "plan"), draw(1, "plan"));
        assert_ne!(draw(1, "plan"), draw(1, "faults"));
        assert_ne!(draw(1, "plan"), draw(2, "plan"));
        let dice = Dice::of(3, "range");
        assert!((0..200).all(|_| (-2..=2).contains(&dice.between(-2, 2))));
    }
}
