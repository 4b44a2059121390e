//! Dates and times as people and exports write them.
//!
//! A text that could be read in two ways is refused with the reason, never guessed; a local time in the
//! hour that a clock change repeats is given with both of its instants.

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp, civil};

use super::value::{DateOrder, Why};

/// What a text says of a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instant {
    /// Which one it is.
    One(Timestamp),
    /// Some time within a minute or a day, of which no more is said.
    Within {
        /// Its beginning.
        first: Timestamp,
        /// Its last millisecond.
        last: Timestamp,
    },
    /// A local time in the hour that a clock change repeats.
    Repeated {
        /// As the hour came first.
        first: Timestamp,
        /// As it came again.
        again: Timestamp,
        /// The end of the repeated hour, by its last millisecond.
        end: Timestamp,
    },
}

impl Instant {
    /// The point in time, by when the text was written, give or take a clock's error.
    ///
    /// A repeated hour that had not come again by then had come first. Else nobody can tell, and it is the
    /// hour's end, or when the text was written: it is then not older than anything that it may be newer
    /// than, and of two texts of that hour the file's own order decides.
    pub fn by(self, written: Timestamp, error: SignedDuration) -> Timestamp {
        match self {
            Self::One(at) | Self::Within { first: at, .. } => at,
            Self::Repeated { first, again, .. } if again.duration_since(written) > error => first,
            Self::Repeated { again, end, .. } => end.min(written.max(again)),
        }
    }

    /// The same where what is told was still so when the text was written: the latest time that it may be.
    pub fn latest_by(self, written: Timestamp, error: SignedDuration) -> Timestamp {
        match self {
            Self::Within { first, last } => last.min(written.max(first)),
            other => other.by(written, error),
        }
    }
}

/// Reads a calendar date: ISO 8601, `02.01.2026`, with slashes or dashes if the order is known, or
/// an epoch time, by the calendar of `zone`. A time after the date is left out.
pub fn date(text: &str, order: Option<DateOrder>, zone: Option<&TimeZone>) -> Result<Date, Why> {
    let text = text.trim();
    if let Some(instant) = epoch(text) {
        let zone = zone.cloned().unwrap_or(TimeZone::UTC);
        return Ok(instant.to_zoned(zone).date());
    }
    day(day_and_time(text).0, order)
}

/// Reads an instant: RFC 3339, epoch seconds or milliseconds, or any date that [`date`] reads with a
/// time of 24 or 12 hours after it, local in `zone` unless it states an offset.
pub fn instant(
    text: &str,
    order: Option<DateOrder>,
    zone: Option<&TimeZone>,
) -> Result<Instant, Why> {
    let text = text.trim();
    if let Some(instant) = text.parse().ok().or_else(|| epoch(text)) {
        return Ok(Instant::One(instant));
    }
    let (date, time) = day_and_time(text);
    let date = day(date, order)?;
    let (time, offset, span) = match time {
        Some(time) => clock(time)?,
        None => (civil::Time::midnight(), None, Span::new().days(1)),
    };
    let local = date.to_datetime(time);
    // Where the next minute or day begins, which is not always 24 hours later.
    let next = local.checked_add(span).map_err(|_| "not a time")?;
    let within = |first: Timestamp, next: Option<Timestamp>| {
        let last = next.and_then(|next| next.checked_sub(SignedDuration::from_millis(1)).ok());
        match last.filter(|last| *last > first) {
            Some(last) => Instant::Within { first, last },
            None => Instant::One(first),
        }
    };
    if let Some(offset) = offset {
        let instant = offset.to_timestamp(local).map_err(|_| "not a time");
        return instant.map(|first| within(first, offset.to_timestamp(next).ok()));
    }
    let zone = zone.ok_or("a time without a zone: set `format.time_zone`")?;
    let instant = zone.to_ambiguous_timestamp(local);
    let AmbiguousOffset::Fold { before, after } = instant.offset() else {
        let instant = instant.compatible().map_err(|_| "not a time");
        let next = zone.to_ambiguous_timestamp(next).compatible().ok();
        return instant.map(|first| within(first, next));
    };
    let by = |offset: Offset| offset.to_timestamp(local).map_err(|_| "not a time");
    let (first, again) = (by(before)?, by(after)?);
    let changed = zone.following(first).next();
    let changed = changed.map_or(again, |change| change.timestamp());
    let last = again.duration_since(first) - SignedDuration::from_millis(1);
    Ok(Instant::Repeated {
        first,
        again,
        end: changed.saturating_add(last).unwrap_or(again),
    })
}

/// Ten digits are seconds and thirteen are milliseconds since 1970: nothing else is written so.
fn epoch(text: &str) -> Option<Timestamp> {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !text[whole.len()..].strip_prefix('.').is_none_or(digits) {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    match whole.len() {
        10 => Timestamp::from_second(number).ok(),
        13 => Timestamp::from_millisecond(number).ok(),
        _ => None,
    }
}

/// A date, and the time that follows it.
fn day_and_time(text: &str) -> (&str, Option<&str>) {
    match text.split_once(|c: char| matches!(c, 'T' | 't') || c.is_whitespace()) {
        Some((day, time)) => (day, Some(time.trim())),
        None => (text, None),
    }
}

fn day(text: &str, order: Option<DateOrder>) -> Result<Date, Why> {
    if let Ok(date) = text.parse() {
        return Ok(date);
    }
    let Some(separator) = ['.', '/', '-'].into_iter().find(|c| text.contains(*c)) else {
        return Err("not a date");
    };
    let parts: Vec<&str> = text.split(separator).collect();
    let [first, second, third] = parts[..] else {
        return Err("not a date");
    };
    let number = |text: &str| text.parse::<i16>().map_err(|_| "not a date");
    let (first_number, second, third) = (number(first)?, number(second)?, number(third)?);
    let (year, month, day) = if first.len() == 4 {
        (first_number, second, third)
    } else {
        let order = if separator == '.' {
            Some(DateOrder::DayFirst)
        } else {
            order
        };
        if third < 1000 {
            return Err("a date without a four-digit year");
        }
        match order {
            Some(DateOrder::DayFirst) => (third, second, first_number),
            Some(DateOrder::MonthFirst) => (third, first_number, second),
            None => {
                return Err(match (first_number, second) {
                    (13.., ..13) => "the day comes first: set `format.date_order` to `day_first`",
                    (..13, 13..) => {
                        "the month comes first: set `format.date_order` to `month_first`"
                    }
                    _ => "day and month could be swapped: set `format.date_order`",
                });
            }
        }
    };
    let (Ok(month), Ok(day)) = (month.try_into(), day.try_into()) else {
        return Err("not a day of the calendar; `format.date_order` may be set wrongly");
    };
    Date::new(year, month, day)
        .map_err(|_| "not a day of the calendar; `format.date_order` may be set wrongly")
}

/// `14:05`, `2:05:33 PM`, `14:05:33.25+02:00`; and how long what it names lasts: a minute, or where it has
/// seconds, nothing.
fn clock(text: &str) -> Result<(civil::Time, Option<Offset>, Span), Why> {
    const WRONG: Why = "not a time";
    let lower = text
        .to_ascii_lowercase()
        .replace("a.m.", "am")
        .replace("p.m.", "pm");
    let end = lower.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.'));
    let (digits, rest) = lower.split_at(end.unwrap_or(lower.len()));
    let rest = rest.trim();
    let half = rest.get(..2).filter(|half| matches!(*half, "am" | "pm"));
    let rest = rest[half.map_or(0, str::len)..].trim();
    let offset = match rest {
        "" => None,
        "z" | "utc" | "gmt" => Some(Offset::UTC),
        other => Some(numeric_offset(other).ok_or(WRONG)?),
    };
    let mut parts = digits.split(':');
    let mut next = || parts.next().unwrap_or("0");
    let whole = |text: &str| text.parse::<i8>().map_err(|_| WRONG);
    let (hour, minute, second) = (whole(next())?, whole(next())?, next());
    if parts.next().is_some() || !digits.contains(':') {
        return Err(WRONG);
    }
    let (second, fraction) = second.split_once('.').unwrap_or((second, ""));
    let nanos = format!("{fraction:0<9}");
    let nanos = nanos
        .get(..9)
        .and_then(|nanos| nanos.parse().ok())
        .ok_or(WRONG)?;
    let hour = match half {
        Some(_) if !(1..=12).contains(&hour) => return Err(WRONG),
        Some("pm") => hour % 12 + 12,
        Some(_) => hour % 12,
        None => hour,
    };
    let time = civil::Time::new(hour, minute, whole(second)?, nanos).map_err(|_| WRONG)?;
    let minutes = i64::from(digits.matches(':').count() == 1);
    Ok((time, offset, Span::new().minutes(minutes)))
}

/// `+02:00`, `-0500`, `+2`.
fn numeric_offset(text: &str) -> Option<Offset> {
    let sign = match text.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = text[1..].replace(':', "");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i32 = digits.parse().ok()?;
    let (hours, minutes) = match digits.len() {
        1 | 2 => (number, 0),
        4 => (number / 100, number % 100),
        _ => return None,
    };
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_not_guessed() {
        let expected = civil::date(2026, 4, 3);
        for text in [
            "2026-04-03",
            "20260403",
            "2026-04-03T10:00:00Z",
            "03.04.2026",
        ] {
            assert_eq!(date(text, None, None), Ok(expected), "{text}");
        }
        assert_eq!(
            date("03/04/2026", Some(DateOrder::DayFirst), None),
            Ok(expected)
        );
        assert_eq!(
            date("4/3/2026", Some(DateOrder::MonthFirst), None),
            Ok(expected)
        );
        for text in ["03/04/2026", "31.02.2026", "3.4.26", "today", "2026-13-01"] {
            assert!(date(text, None, None).is_err(), "{text}");
        }
    }

    #[test]
    fn a_date_of_one_order_only_says_which() {
        let why = |text| date(text, None, None).unwrap_err();
        assert!(why("11/28/2026").contains("`month_first`"));
        assert!(why("28/11/2026").contains("`day_first`"));
        assert!(why("11/12/2026").contains("could be swapped"));
    }

    #[test]
    fn local_times_need_a_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let expected = Instant::One("2026-07-01T08:00:00Z".parse().unwrap());
        let read = |text, zone| instant(text, None, zone);
        assert_eq!(read("2026-07-01T10:00:00+02:00", None), Ok(expected));
        assert_eq!(read("2026-07-01 10:00:00", Some(&berlin)), Ok(expected));
        assert!(read("2026-07-01 10:00:00", None).is_err());
    }

    #[test]
    fn times_are_read_as_spreadsheets_and_people_write_them() {
        let utc = TimeZone::UTC;
        let first = |read: Instant| read.by(Timestamp::MIN, SignedDuration::ZERO);
        let month_first = |text| instant(text, Some(DateOrder::MonthFirst), Some(&utc)).map(first);
        for (text, expected) in [
            ("11/28/2026 2:05:33 PM", "2026-11-28T14:05:33Z"),
            ("11/28/2026 2:05 p.m.", "2026-11-28T14:05:00Z"),
            ("1/5/2018 12:00:00 AM", "2018-01-05T00:00:00Z"),
            ("1/5/2018 12:30 PM", "2018-01-05T12:30:00Z"),
            ("28.11.2026 14:05", "2026-11-28T14:05:00Z"),
            ("2026/11/28 14:05", "2026-11-28T14:05:00Z"),
            ("11-28-2026 14:05:33.250", "2026-11-28T14:05:33.25Z"),
            ("20261128 14:05", "2026-11-28T14:05:00Z"),
            ("28.11.2026", "2026-11-28T00:00:00Z"),
            ("11/28/2026 14:05 +0200", "2026-11-28T12:05:00Z"),
            ("11/28/2026 14:05-05:00", "2026-11-28T19:05:00Z"),
            ("11/28/2026 14:05 UTC", "2026-11-28T14:05:00Z"),
            ("1795874733", "2026-11-28T14:05:33Z"),
            ("1795874733000", "2026-11-28T14:05:33Z"),
            ("1795874733.5", "2026-11-28T14:05:33Z"),
        ] {
            assert_eq!(month_first(text), Ok(expected.parse().unwrap()), "{text}");
        }
        let day_first = instant("28/11/2026 2:05 pm", Some(DateOrder::DayFirst), Some(&utc));
        let expected = "2026-11-28T14:05:00Z".parse().unwrap();
        assert_eq!(day_first.map(first), Ok(expected));
        for text in [
            "11/28/2026 13:05 PM",
            "11/28/2026 0:05 AM",
            "11/28/2026 25:00",
            "11/28/2026 14",
            "11/28/2026 14:05:06:07",
            "11/28/2026 14:05 CET",
            "28/11/2026 14:05",
            "179587473",
            "noon",
        ] {
            assert!(month_first(text).is_err(), "{text}");
        }
        let unknown = instant("11/28/2026 14:05", None, Some(&utc)).unwrap_err();
        assert!(unknown.contains("date_order"), "{unknown}");
    }

    #[test]
    fn a_time_without_seconds_is_within_its_minute_and_a_date_within_its_day() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let written = "2026-03-30T08:00:00Z".parse().unwrap();
        let latest = |text| {
            let read = instant(text, None, Some(&berlin)).unwrap();
            read.latest_by(written, SignedDuration::ZERO).to_string()
        };
        // The clocks went forward on the 29th.
        assert_eq!(latest("2026-03-29"), "2026-03-29T21:59:59.999Z");
        assert_eq!(latest("2026-03-30"), "2026-03-30T08:00:00Z");
        assert_eq!(latest("2026-03-30 09:30"), "2026-03-30T07:30:59.999Z");
        assert_eq!(latest("30.03.2026 09:30:00"), "2026-03-30T07:30:00Z");
        assert_eq!(latest("2026-03-30 09:30 +0200"), "2026-03-30T07:30:59.999Z");
        assert_eq!(latest("2026-03-31"), "2026-03-30T22:00:00Z", "it is ahead");
    }

    #[test]
    fn a_date_may_have_a_time_behind_it() {
        let expected = Ok(civil::date(2018, 1, 5));
        let order = Some(DateOrder::MonthFirst);
        assert_eq!(date("1/5/2018 12:00:00 AM", order, None), expected);
        assert_eq!(date("05.01.2018 23:59", None, None), expected);
        let sydney = TimeZone::get("Australia/Sydney").unwrap();
        // 2018-01-04T20:00Z is the 5th in Sydney.
        assert_eq!(date("1515096000", None, Some(&sydney)), expected);
    }

    /// On 25 October the clocks of Berlin go back from three to two, at 01:00 UTC.
    #[test]
    fn an_hour_that_comes_twice_is_told_by_when_it_was_written_or_taken_for_its_end() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let read = |text: &str, written: &str| {
            let instant = instant(text, None, Some(&berlin)).unwrap();
            let at = instant.by(written.parse().unwrap(), SignedDuration::from_mins(5));
            at.to_string()
        };
        for (local, written, expected) in [
            // It had not come again yet, or a clock is off by a little.
            ("02:40", "2026-10-25T00:50:00Z", "2026-10-25T00:40:00Z"),
            ("02:10", "2026-10-25T00:59:00Z", "2026-10-25T00:10:00Z"),
            ("02:10", "2026-10-25T01:08:00Z", "2026-10-25T01:10:00Z"),
            // It may be either.
            ("02:10", "2026-10-25T01:20:00Z", "2026-10-25T01:20:00Z"),
            ("02:40", "2026-10-25T04:00:00Z", "2026-10-25T01:59:59.999Z"),
            ("02:10", "2026-10-25T04:00:00Z", "2026-10-25T01:59:59.999Z"),
            // There is but one of these.
            ("01:59", "2026-10-25T04:00:00Z", "2026-10-24T23:59:00Z"),
            ("03:00", "2026-10-25T04:00:00Z", "2026-10-25T02:00:00Z"),
            (
                "02:10+02:00",
                "2026-10-25T04:00:00Z",
                "2026-10-25T00:10:00Z",
            ),
        ] {
            let text = format!("2026-10-25 {local}");
            assert_eq!(read(&text, written), expected, "{local} by {written}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in "\\PC{0,20}") {
            let order = Some(DateOrder::DayFirst);
            let zone = Some(&TimeZone::UTC);
            date(&text, order, None).ok();
            instant(&text, order, zone).ok();
        }
    }
}
