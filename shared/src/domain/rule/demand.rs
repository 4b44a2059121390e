//! Units sold per day: whether that is fast, and how long the stock lasts.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::{Condition, Demand};

/// What the sales of a product say about a demand rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemandReading {
    /// Breached while it sells fast, otherwise clear.
    pub condition: Condition,
    /// Units sold in the window.
    pub sold: i64,
    /// The first later day on which the condition changes if nothing more is sold.
    pub changes_on: Option<Date>,
}

impl Demand {
    /// What these sales say today. Days are the location's calendar days; a day on which more came
    /// back than was sold counts as none sold.
    pub fn judge(&self, sold_by_day: &BTreeMap<Date, i64>, today: Date) -> DemandReading {
        let (fast, sold) = self.measured(sold_by_day, today);
        DemandReading {
            condition: if fast {
                Condition::Breached
            } else {
                Condition::Clear
            },
            sold,
            changes_on: self.changes_on(sold_by_day, today, fast, sold),
        }
    }

    /// Whether it sells fast on that day, and the units sold in the window that ends with it.
    fn measured(&self, sold_by_day: &BTreeMap<Date, i64>, on: Date) -> (bool, i64) {
        let (days, before) = (i64::from(self.days), i64::from(self.baseline_days));
        let sold = sold_between(sold_by_day, days_before(on, days - 1), on);
        let usual_pace = self.baseline_tenths.is_none_or(|tenths| {
            let (first, last) = (days_before(on, days - 1 + before), days_before(on, days));
            let usual = sold_between(sold_by_day, first, last);
            // sold / days ≥ (tenths / 10) × (usual / before), without a division
            let rate = i128::from(sold) * i128::from(before) * 10;
            rate >= i128::from(tenths) * i128::from(usual) * i128::from(days)
        });
        (sold >= self.at_least && usual_pace, sold)
    }

    fn changes_on(
        &self,
        sold_by_day: &BTreeMap<Date, i64>,
        today: Date,
        fast: bool,
        sold: i64,
    ) -> Option<Date> {
        // Without a sale the window only empties; it cannot fill up to a count it misses today.
        if sold < self.at_least {
            return None;
        }
        let window = i64::from(self.days);
        let reach = window + i64::from(self.baseline_days);
        let mut turns: Vec<Date> = sold_by_day
            .range(days_before(today, reach)..=today)
            // A day's sales leave the window, and later the baseline.
            .flat_map(|(day, _)| [days_after(*day, window), days_after(*day, reach)])
            .filter(|day| *day > today)
            .collect();
        turns.sort_unstable();
        turns.dedup();
        turns
            .into_iter()
            .find(|day| self.measured(sold_by_day, *day).0 != fast)
    }
}

/// The days, today included, over which messages take the rate of sale for days of supply.
pub const SUPPLY_WINDOW: u16 = 30;

/// Whole days that the available stock lasts at the rate of the last `window` days, today included.
///
/// `None` when nothing was sold: there is no rate, and "for ever" is not a number.
///
/// ```
/// # use std::collections::BTreeMap;
/// use jiff::civil::date;
/// use shared::domain::rule::days_of_supply;
/// let sold = BTreeMap::from([(date(2026, 11, 20), 2), (date(2026, 11, 22), 1)]);
/// assert_eq!(days_of_supply(10, &sold, date(2026, 11, 22), 7), Some(23)); // 10 ÷ (3 ÷ 7) = 23.3
/// assert_eq!(days_of_supply(10, &BTreeMap::new(), date(2026, 11, 22), 7), None);
/// ```
pub fn days_of_supply(
    available: i64,
    sold_by_day: &BTreeMap<Date, i64>,
    today: Date,
    window: u16,
) -> Option<i64> {
    let window = i64::from(window);
    let sold = sold_between(sold_by_day, days_before(today, window - 1), today);
    available.max(0).saturating_mul(window).checked_div(sold)
}

fn sold_between(sold_by_day: &BTreeMap<Date, i64>, first: Date, last: Date) -> i64 {
    if first > last {
        return 0;
    }
    let days = sold_by_day.range(first..=last);
    days.fold(0, |sum: i64, (_, sold)| sum.saturating_add((*sold).max(0)))
}

fn days_before(day: Date, days: i64) -> Date {
    day.saturating_sub(days.days())
}

fn days_after(day: Date, days: i64) -> Date {
    day.saturating_add(days.days())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::Condition::{Breached, Clear};
    use super::*;

    const TODAY: Date = date(2026, 11, 22);

    fn three_a_week() -> Demand {
        Demand {
            days: 7,
            at_least: 3,
            baseline_tenths: None,
            baseline_days: 28,
        }
    }

    /// Sales by how many days ago they were.
    fn sales(ago: &[(i64, i64)]) -> BTreeMap<Date, i64> {
        ago.iter()
            .map(|(days, sold)| (days_before(TODAY, *days), *sold))
            .collect()
    }

    #[test]
    fn three_in_seven_days_is_high_demand_until_one_of_them_is_a_week_old() {
        let none: &[(i64, i64)] = &[];
        let table = [
            (none, Clear, 0, None),
            (&[(0, 2)], Clear, 2, None),
            (&[(0, 3)], Breached, 3, Some(date(2026, 11, 29))),
            (
                &[(6, 1), (1, 1), (0, 1)],
                Breached,
                3,
                Some(date(2026, 11, 23)),
            ),
            (&[(7, 1), (1, 1), (0, 1)], Clear, 2, None),
            (&[(6, 1), (1, 3)], Breached, 4, Some(date(2026, 11, 28))),
            (&[(0, 3), (1, -2)], Breached, 3, Some(date(2026, 11, 29))),
        ];
        for (ago, condition, sold, changes_on) in table {
            let expected = DemandReading {
                condition,
                sold,
                changes_on,
            };
            assert_eq!(
                three_a_week().judge(&sales(ago), TODAY),
                expected,
                "{ago:?}"
            );
        }
    }

    #[test]
    fn a_sale_of_tomorrow_does_not_count_today() {
        let sold = BTreeMap::from([(date(2026, 11, 23), 9)]);
        assert_eq!(three_a_week().judge(&sold, TODAY).sold, 0);
    }

    #[test]
    fn a_pace_is_measured_against_the_products_own() {
        let thrice = Demand {
            baseline_tenths: Some(30),
            ..three_a_week()
        };
        // Four in the four weeks before is one a week: three this week is just three times that.
        let usual = [(8, 1), (15, 1), (22, 1), (29, 1)];
        let with = |week: &[(i64, i64)]| {
            thrice
                .judge(&sales(&[&usual[..], week].concat()), TODAY)
                .condition
        };
        assert_eq!(with(&[(1, 3)]), Breached);
        assert_eq!(with(&[(1, 2)]), Clear);
        // One more in the baseline, and three are no longer three times the usual.
        assert_eq!(with(&[(1, 3), (9, 1)]), Clear);
        // A product that never sold has no usual pace: the count decides.
        assert_eq!(thrice.judge(&sales(&[(1, 3)]), TODAY).condition, Breached);
        assert_eq!(thrice.judge(&sales(&[(1, 2)]), TODAY).condition, Clear);
    }

    #[test]
    fn days_of_supply_is_stock_over_rate() {
        let table = [
            (10, &[(0, 7)][..], Some(10)),
            (10, &[(0, 3)], Some(23)),
            (0, &[(0, 3)], Some(0)),
            (-4, &[(0, 3)], Some(0)),
            (10, &[(7, 5)], None),
            (10, &[(0, 0)], None),
            (10, &[(0, -2)], None),
        ];
        for (available, ago, days) in table {
            assert_eq!(
                days_of_supply(available, &sales(ago), TODAY, 7),
                days,
                "{available}, {ago:?}"
            );
        }
        assert_eq!(days_of_supply(10, &sales(&[(0, 3)]), TODAY, 0), None);
    }

    proptest! {
        #[test]
        fn the_condition_turns_on_the_day_foretold_and_not_before(
            ago in proptest::collection::btree_map(0_i64..60, -1_i64..6, 0..12),
            days in 1_u16..15,
            at_least in 1_i64..8,
            baseline_tenths in proptest::option::of(1_u32..60),
            baseline_days in 1_u16..40,
        ) {
            let rule = Demand { days, at_least, baseline_tenths, baseline_days };
            let sold = sales(&ago.into_iter().collect::<Vec<_>>());
            let now = rule.judge(&sold, TODAY);
            let first_change = (1..=120)
                .map(|later| days_after(TODAY, later))
                .find(|day| rule.judge(&sold, *day).condition != now.condition);
            prop_assert_eq!(now.changes_on, first_change);
        }
    }

    /// A small deterministic source of uniform numbers (SplitMix64), and Poisson counts by Knuth.
    struct Chance(u64);

    impl Chance {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut x = self.0;
            x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            f64::from(u32::try_from((x ^ (x >> 31)) >> 32).unwrap()) / f64::from(u32::MAX)
        }

        fn poisson(&mut self, mean: f64) -> i64 {
            let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(), 0);
            while product > limit {
                product *= self.uniform();
                count += 1;
            }
            count
        }
    }

    /// Twice the usual pace within one day, and at least ten sold: the rule for a product that
    /// usually sells ten a day. Chance alone fires it on 0.35 % of days (P[Poisson(10) ≥ 20]; a
    /// little more, since the baseline is itself a sample), and a step to three times the usual is
    /// seen the same day in 97.8 % (P[Poisson(30) ≥ 20]) and by the next in practically all.
    #[test]
    fn a_threefold_step_is_found_within_a_day_and_chance_rarely_mistaken_for_one() {
        let rule = Demand {
            days: 1,
            at_least: 10,
            baseline_tenths: Some(20),
            baseline_days: 28,
        };
        let mut chance = Chance(2026);
        let (trials, quiet_days) = (300, 30_i64);
        let (mut false_alarms, mut same_day, mut next_day) = (0, 0, 0);
        for _ in 0..trials {
            let mut sold = BTreeMap::new();
            let first = date(2026, 1, 1);
            for day in 0..28 + quiet_days {
                let today = days_after(first, day);
                sold.insert(today, chance.poisson(10.0));
                if day >= 28 && rule.judge(&sold, today).condition == Breached {
                    false_alarms += 1;
                }
            }
            let step = days_after(first, 28 + quiet_days);
            sold.insert(step, chance.poisson(30.0));
            let at_once = rule.judge(&sold, step).condition == Breached;
            sold.insert(days_after(step, 1), chance.poisson(30.0));
            let then = rule.judge(&sold, days_after(step, 1)).condition == Breached;
            same_day += i32::from(at_once);
            next_day += i32::from(at_once || then);
        }
        let days = f64::from(trials) * 30.0;
        let false_rate = f64::from(false_alarms) / days;
        println!(
            "false alarms on {:.2} % of days; found the same day {same_day}, by the next {next_day} of {trials}",
            false_rate * 100.0
        );
        assert!((0.001..0.008).contains(&false_rate), "{false_rate}");
        assert!(same_day * 100 >= trials * 95, "{same_day} of {trials}");
        assert_eq!(next_day, trials);
    }

    /// Without a minimum volume a slow product would cry wolf: two sold against one a month.
    #[test]
    fn a_minimum_volume_keeps_slow_products_quiet() {
        let mut chance = Chance(7);
        let rate = |rule: Demand, chance: &mut Chance| {
            let mut sold = BTreeMap::new();
            let (first, days) = (date(2020, 1, 1), 2_000);
            let fired = (0..days)
                .filter(|day| {
                    let today = days_after(first, *day);
                    sold.insert(today, chance.poisson(0.2));
                    rule.judge(&sold, today).condition == Breached
                })
                .count();
            u32::try_from(fired).unwrap()
        };
        let bare = Demand {
            days: 1,
            at_least: 1,
            baseline_tenths: Some(20),
            baseline_days: 28,
        };
        assert!(rate(bare, &mut chance) > 200);
        assert_eq!(
            rate(
                Demand {
                    at_least: 10,
                    ..bare
                },
                &mut chance
            ),
            0
        );
    }
}
