//! Stock against a threshold.

use serde::{Deserialize, Serialize};

use super::{Basis, Boundary, Threshold};
use crate::domain::alert::named;
use crate::domain::message::Stock;

/// What one look at the world says about a rule. What follows from it is [`crate::domain::watch`]'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The quantity is not known; nothing follows from it, neither a beginning nor an end.
    NoData,
    /// The rule fires.
    Breached,
    /// Not firing, but short of the recovery level: an alert that is open stays open.
    Held,
    /// Recovered by so little that it has to last before it counts.
    Marginal,
    /// Recovered beyond doubt, or never near.
    Clear,
}

named!(
    /// How far stock has fallen below the threshold that it crossed.
    Depth {
        /// It has reached the threshold.
        Threshold => "threshold",
        /// It has reached half of it.
        Half => "half",
        /// Nothing is left.
        Zero => "zero",
    }
);

#[expect(
    clippy::derivable_impls,
    reason = "the macro that declares it derives no default"
)]
impl Default for Depth {
    fn default() -> Self {
        Self::Threshold
    }
}

impl Basis {
    /// The quantity that is compared.
    pub fn of(self, stock: &Stock) -> i64 {
        match self {
            Self::OnHand => stock.on_hand,
            Self::Available => stock.available,
            Self::Projected => stock.projected(),
        }
    }
}

impl Threshold {
    /// Whether this quantity fires.
    pub const fn fires_at(&self, quantity: i64) -> bool {
        match self.boundary {
            Boundary::AtOrBelow => quantity <= self.units,
            Boundary::Below => quantity < self.units,
        }
    }

    /// The least quantity that does not fire.
    pub(crate) const fn least_quiet(&self) -> i64 {
        match self.boundary {
            Boundary::AtOrBelow => self.units.saturating_add(1),
            Boundary::Below => self.units,
        }
    }

    /// The quantity from which an open alert may be over.
    pub fn recovery_level(&self) -> i64 {
        self.recovery
            .map_or(self.least_quiet(), |level| level.max(self.least_quiet()))
    }

    /// The quantity from which it is over at once: the recovery level or twice the threshold,
    /// whichever is more. A full delivery is no flicker.
    pub fn decisive_level(&self) -> i64 {
        self.recovery_level().max(self.units.saturating_mul(2))
    }

    /// How far this stock has fallen. A threshold of zero has no further depths.
    pub fn depth(&self, stock: &Stock) -> Depth {
        let quantity = self.basis.of(stock);
        if self.units <= 0 {
            Depth::Threshold
        } else if quantity <= 0 {
            Depth::Zero
        } else if quantity.saturating_mul(2) <= self.units {
            Depth::Half
        } else {
            Depth::Threshold
        }
    }

    /// What an imported number of units makes of it: the way to recovery keeps its length.
    #[must_use]
    pub fn with_units(self, units: i64) -> Self {
        let shift = units.saturating_sub(self.units);
        Self {
            units,
            recovery: self.recovery.map(|level| level.saturating_add(shift)),
            ..self
        }
    }

    /// What this stock says; `None` is a quantity that nobody stated, and never zero.
    pub fn judge(&self, stock: Option<&Stock>) -> Condition {
        let Some(stock) = stock else {
            return Condition::NoData;
        };
        let quantity = self.basis.of(stock);
        if self.fires_at(quantity) {
            Condition::Breached
        } else if quantity < self.recovery_level() {
            Condition::Held
        } else if quantity < self.decisive_level() {
            Condition::Marginal
        } else {
            Condition::Clear
        }
    }
}

/// The stock of a group: the sum over its members, or nothing known if one member's is not.
///
/// A member that never had the product is not a member here; leave it out.
pub fn total<'a>(members: impl IntoIterator<Item = Option<&'a Stock>>) -> Option<Stock> {
    members
        .into_iter()
        .try_fold(Stock::default(), |sum, member| {
            member.map(|stock| Stock {
                on_hand: sum.on_hand.saturating_add(stock.on_hand),
                reserved: sum.reserved.saturating_add(stock.reserved),
                available: sum.available.saturating_add(stock.available),
                incoming: sum.incoming.saturating_add(stock.incoming),
                unavailable: sum.unavailable.saturating_add(stock.unavailable),
                backordered: sum.backordered.saturating_add(stock.backordered),
            })
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Condition::{Breached, Clear, Held, Marginal, NoData};
    use super::*;
    use crate::domain::rule::{Check, Over};

    fn at(units: i64) -> Threshold {
        Threshold {
            units,
            boundary: Boundary::AtOrBelow,
            basis: Basis::Available,
            recovery: None,
            over: Over::Each,
        }
    }

    #[test]
    fn stock_falls_by_half_and_to_nothing() {
        let depths = |units: i64, stocks: &[i64]| -> Vec<Depth> {
            let depth = |left: &i64| at(units).depth(&stock(*left, 0));
            stocks.iter().map(depth).collect()
        };
        use Depth::{Half, Threshold as Whole, Zero};
        assert_eq!(
            depths(5, &[5, 3, 2, 1, 0, -1]),
            [Whole, Whole, Half, Half, Zero, Zero]
        );
        assert_eq!(depths(1, &[1, 0]), [Whole, Zero]);
        assert_eq!(depths(0, &[0, -2]), [Whole, Whole]);
    }

    fn stock(on_hand: i64, reserved: i64) -> Stock {
        Stock {
            on_hand,
            reserved,
            available: on_hand - reserved,
            ..Stock::default()
        }
    }

    #[test]
    fn the_boundary_is_what_it_says() {
        let (or_below, below) = (
            at(3),
            Threshold {
                boundary: Boundary::Below,
                ..at(3)
            },
        );
        let table = [(2, true, true), (3, true, false), (4, false, false)];
        for (quantity, fires_at_or_below, fires_below) in table {
            assert_eq!(
                or_below.fires_at(quantity),
                fires_at_or_below,
                "{quantity} ≤ 3"
            );
            assert_eq!(below.fires_at(quantity), fires_below, "{quantity} < 3");
        }
    }

    #[test]
    fn three_of_five_reserved_is_low_only_by_what_is_available() {
        let five = Stock {
            incoming: 4,
            ..stock(5, 3)
        };
        let table = [
            (Basis::OnHand, Marginal),
            (Basis::Available, Breached),
            (Basis::Projected, Clear),
        ];
        for (basis, expected) in table {
            assert_eq!(
                Threshold { basis, ..at(3) }.judge(Some(&five)),
                expected,
                "{basis}"
            );
        }
        let owed = Stock {
            backordered: 4,
            ..five
        };
        assert_eq!(
            Threshold {
                basis: Basis::Projected,
                ..at(3)
            }
            .judge(Some(&owed)),
            Breached
        );
    }

    #[test]
    fn a_quantity_that_nobody_stated_is_not_zero() {
        assert_eq!(at(3).judge(None), NoData);
        assert_eq!(at(3).judge(Some(&Stock::default())), Breached);
    }

    #[test]
    fn recovery_has_three_shades() {
        let table = [
            // (threshold, recovery, what 0, 1, 2, ... units say)
            (
                at(3),
                None,
                &[
                    Breached, Breached, Breached, Breached, Marginal, Marginal, Clear,
                ][..],
            ),
            (
                at(2),
                Some(5),
                &[Breached, Breached, Breached, Held, Held, Clear, Clear],
            ),
            (
                at(3),
                Some(5),
                &[
                    Breached, Breached, Breached, Breached, Held, Marginal, Clear,
                ],
            ),
            (
                Threshold {
                    boundary: Boundary::Below,
                    ..at(2)
                },
                None,
                &[Breached, Breached, Marginal, Marginal, Clear],
            ),
            (at(1), None, &[Breached, Breached, Clear, Clear]),
            (at(0), None, &[Breached, Clear]),
        ];
        for (threshold, recovery, expected) in table {
            let threshold = Threshold {
                recovery,
                ..threshold
            };
            let said: Vec<_> = (0..)
                .zip(expected)
                .map(|(n, _)| threshold.judge(Some(&stock(n, 0))))
                .collect();
            assert_eq!(said, expected, "{threshold:?}");
        }
    }

    #[test]
    fn out_of_stock_is_a_threshold_of_zero() {
        let none_left = Check::OutOfStock {
            basis: Basis::Available,
        }
        .threshold()
        .unwrap();
        assert_eq!(none_left.judge(Some(&stock(5, 5))), Breached);
        assert_eq!(none_left.judge(Some(&stock(5, 4))), Clear);
    }

    #[test]
    fn another_number_moves_the_recovery_level_along() {
        let raised = Threshold {
            recovery: Some(5),
            ..at(3)
        }
        .with_units(10);
        assert_eq!(
            (
                raised.units,
                raised.recovery_level(),
                raised.decisive_level()
            ),
            (10, 12, 20)
        );
    }

    #[test]
    fn each_location_and_their_sum_are_two_questions() {
        // (stock of the members, which of them are low by themselves, whether the sum is)
        let table: [(&[i64], &[bool], bool); 4] = [
            (&[3, 3], &[true, true], false),
            (&[1, 2], &[true, true], true),
            (&[4, 0], &[false, true], false),
            (&[4, 4], &[false, false], false),
        ];
        for (units, each, sum) in table {
            let stocks: Vec<_> = units.iter().map(|n| stock(*n, 0)).collect();
            let leaves: Vec<_> = stocks
                .iter()
                .map(|s| at(3).judge(Some(s)) == Breached)
                .collect();
            assert_eq!(leaves, each, "{units:?}");
            let group = total(stocks.iter().map(Some));
            assert_eq!(at(3).judge(group.as_ref()) == Breached, sum, "{units:?}");
        }
        assert_eq!(total([Some(&stock(9, 0)), None]), None);
    }

    proptest! {
        #[test]
        fn more_stock_never_looks_worse(
            units in 0_i64..50, recovery in proptest::option::of(0_i64..100), below: bool, less in -20_i64..200, more in 0_i64..50,
        ) {
            let boundary = if below { Boundary::Below } else { Boundary::AtOrBelow };
            let threshold = Threshold { recovery, boundary, ..at(units) };
            let rank = |quantity| match threshold.judge(Some(&stock(quantity, 0))) {
                NoData => unreachable!("a stated quantity is data"),
                Breached => 0,
                Held => 1,
                Marginal => 2,
                Clear => 3,
            };
            prop_assert!(rank(less) <= rank(less + more));
            prop_assert_eq!(rank(less) == 0, threshold.fires_at(less));
        }
    }
}
