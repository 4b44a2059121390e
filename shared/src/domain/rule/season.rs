//! The number that is in force at a moment, by the location's calendar.

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

use super::{Check, Demand, Rule, Season, Threshold};

/// What a rule checks at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce<'a> {
    /// The check, with the season's number in it.
    pub check: Check,
    /// The season, when one is on.
    pub season: Option<&'a Season>,
    /// When a season next begins or ends, so that a clock can look again.
    pub changes_at: Option<Timestamp>,
}

impl Rule {
    /// What it checks now, in this time zone (for a group: the zone of its first location).
    ///
    /// Seasons are compared as instants, so that the hour which a clock change repeats cannot turn
    /// one on twice. A boundary that falls into a skipped hour is moved behind it.
    pub fn in_force(&self, now: Timestamp, zone: &TimeZone) -> InForce<'_> {
        let spans = || {
            self.seasons
                .iter()
                .map(|season| (season, season.span(zone)))
        };
        let season = spans()
            .find(|(_, (from, until))| *from <= now && now < *until)
            .map(|(season, _)| season);
        let changes_at = spans()
            .flat_map(|(_, (from, until))| [from, until])
            .filter(|at| *at > now)
            .min();
        InForce {
            check: season.map_or(self.check, |season| self.check.with_units(season.units)),
            season,
            changes_at,
        }
    }
}

impl Season {
    /// Its first moment and the first moment after it.
    pub fn span(&self, zone: &TimeZone) -> (Timestamp, Timestamp) {
        (instant(self.from, zone), instant(self.until, zone))
    }
}

/// The instant of a local time. Years at the end of the calendar stand for "always".
fn instant(local: civil::DateTime, zone: &TimeZone) -> Timestamp {
    zone.to_timestamp(local).unwrap_or(if local.year() < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

impl Check {
    fn with_units(self, units: i64) -> Self {
        match self {
            // The recovery level is one number for all seasons.
            Self::LowStock(threshold) => Self::LowStock(Threshold { units, ..threshold }),
            Self::HighDemand(demand) => Self::HighDemand(Demand {
                at_least: units,
                ..demand
            }),
            Self::OutOfStock { .. } => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;
    use crate::domain::rule::book::tests::low;

    fn season(from: &str, until: &str, units: i64) -> Season {
        Season {
            from: from.parse().unwrap(),
            until: until.parse().unwrap(),
            units,
        }
    }

    fn units(rule: &Rule, at: &str, zone: &TimeZone) -> (i64, Option<String>) {
        let now = rule.in_force(at.parse().unwrap(), zone);
        let threshold = now.check.threshold().unwrap();
        (threshold.units, now.changes_at.map(|at| at.to_string()))
    }

    /// "At 12, and at 20 in winter; over from 30."
    #[test]
    fn a_seasons_number_leaves_the_recovery_level_where_it_is() {
        let mut rule = low("oil", 12);
        let Check::LowStock(threshold) = &mut rule.check else {
            unreachable!("it is one of low stock");
        };
        threshold.recovery = Some(30);
        rule.seasons = vec![season("2026-11-15T00:00", "2027-02-15T00:00", 20)];
        for (at, units) in [("2026-10-01T00:00:00Z", 12), ("2026-12-01T00:00:00Z", 20)] {
            let now = rule.in_force(at.parse().unwrap(), &TimeZone::UTC);
            let threshold = now.check.threshold().unwrap();
            assert_eq!((threshold.units, threshold.recovery_level()), (units, 30));
        }
    }

    #[test]
    fn a_season_begins_and_ends_by_the_locations_calendar() {
        let mut rule = low("oil", 3);
        rule.seasons = vec![
            season("2026-12-01T00:00", "2027-01-07T00:00", 10),
            season("2027-06-01T00:00", "2027-07-01T00:00", 8),
        ];
        let (rome, york) = (
            TimeZone::get("Europe/Rome").unwrap(),
            TimeZone::get("America/New_York").unwrap(),
        );
        let table = [
            (&rome, "2026-11-30T22:59:59Z", 3, "2026-11-30T23:00:00Z"),
            (&rome, "2026-11-30T23:00:00Z", 10, "2027-01-06T23:00:00Z"),
            (&rome, "2027-01-06T22:59:59Z", 10, "2027-01-06T23:00:00Z"),
            (&rome, "2027-01-06T23:00:00Z", 3, "2027-05-31T22:00:00Z"),
            (&york, "2026-12-01T04:59:59Z", 3, "2026-12-01T05:00:00Z"),
            (&york, "2026-12-01T05:00:00Z", 10, "2027-01-07T05:00:00Z"),
        ];
        for (zone, at, expected, changes) in table {
            assert_eq!(
                units(&rule, at, zone),
                (expected, Some(changes.to_owned())),
                "{at}"
            );
        }
        assert_eq!(units(&rule, "2028-01-01T00:00:00Z", &rome), (3, None));
    }

    /// In Rome 2026-03-29 02:00–03:00 does not exist, and 2026-10-25 02:00–03:00 happens twice.
    #[test]
    fn on_the_nights_of_a_clock_change_a_season_is_on_once() {
        let rome = TimeZone::get("Europe/Rome").unwrap();
        let nights = [
            (
                "2026-03-29T02:30",
                "2026-03-29T05:00",
                "2026-03-29T01:30:00Z",
                "2026-03-29T03:00:00Z",
            ),
            (
                "2026-03-29T00:00",
                "2026-03-29T02:30",
                "2026-03-28T23:00:00Z",
                "2026-03-29T01:30:00Z",
            ),
            (
                "2026-10-25T02:30",
                "2026-10-25T05:00",
                "2026-10-25T00:30:00Z",
                "2026-10-25T04:00:00Z",
            ),
            (
                "2026-10-25T00:00",
                "2026-10-25T02:30",
                "2026-10-24T22:00:00Z",
                "2026-10-25T00:30:00Z",
            ),
        ];
        for (from, until, begins, ends) in nights {
            let mut rule = low("oil", 3);
            rule.seasons = vec![season(from, until, 10)];
            let (begins, ends): (Timestamp, Timestamp) =
                (begins.parse().unwrap(), ends.parse().unwrap());
            let mut at = begins - 6.hours();
            while at < ends + 6.hours() {
                let now = rule.in_force(at, &rome);
                assert_eq!(
                    now.season.is_some(),
                    begins <= at && at < ends,
                    "{from} at {at}"
                );
                let next = [begins, ends].into_iter().find(|edge| *edge > at);
                assert_eq!(now.changes_at, next, "{from} at {at}");
                at += 10.minutes();
            }
        }
    }

    #[test]
    fn a_season_without_an_end_is_always_on() {
        let mut rule = low("oil", 3);
        rule.seasons = vec![season("-009999-01-01T00:00", "9999-12-31T23:59:59", 10)];
        let rome = TimeZone::get("Europe/Rome").unwrap();
        assert_eq!(units(&rule, "2026-01-01T00:00:00Z", &rome).0, 10);
    }
}
