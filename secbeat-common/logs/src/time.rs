//! Times as servers write them.

use jiff::{Timestamp, civil::DateTime, fmt::temporal::DateTimeParser, tz::TimeZone};

/// Bytes of `10/Oct/2023:11:06:56 +0200`.
pub(super) const TIME_LEN: usize = 26;
/// Bytes of `10/Oct/2023:11:06:56`.
const LOCAL_LEN: usize = 20;

/// Bytes of `2023-10-10`, which alone says no time.
const DATE_LEN: usize = 10;

const RFC_3339: DateTimeParser = DateTimeParser::new();

const DAY_S: i64 = 86_400;
const MONTH_DAYS: [u8; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Parses exactly `10/Oct/2023:11:06:56 +0200` (years 0000–9999, a leap second counts as the second before it) to
/// milliseconds since the Unix epoch. `None` for anything else, dates that do not exist included.
#[must_use]
pub fn parse_time(text: &[u8]) -> Option<i64> {
    let text: &[u8; TIME_LEN] = text.try_into().ok()?;
    let (local, offset) = text.split_first_chunk::<LOCAL_LEN>()?;
    let &[b' ', sign, h0, h1, m0, m1] = offset else {
        return None;
    };
    let mut all = Digits::default();
    let (hours, minutes) = (all.pair(h0, h1), all.pair(m0, m1));
    if all.wrong || hours > 23 || minutes > 59 {
        return None;
    }
    let offset = i64::from(hours * 3600 + minutes * 60);
    let offset = match sign {
        b'+' => offset,
        b'-' => -offset,
        _ => return None,
    };
    Some((local_seconds(local)? - offset) * 1000)
}

/// `10/Oct/2023:11:06:56`, as seconds since the epoch if it were UTC.
fn local_seconds(text: &[u8; LOCAL_LEN]) -> Option<i64> {
    let &[
        d0,
        d1,
        b'/',
        n0,
        n1,
        n2,
        b'/',
        y0,
        y1,
        y2,
        y3,
        b':',
        h0,
        h1,
        b':',
        m0,
        m1,
        b':',
        s0,
        s1,
    ] = text
    else {
        return None;
    };
    let month = month([n0, n1, n2])?;
    let mut all = Digits::default();
    let (day, hour, minute, second) = (
        all.pair(d0, d1),
        all.pair(h0, h1),
        all.pair(m0, m1),
        all.pair(s0, s1),
    );
    let year = all.pair(y0, y1) * 100 + all.pair(y2, y3);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last_day = u32::from(MONTH_DAYS[month]) + u32::from(is_leap && month == 1);
    if all.wrong || day == 0 || day > last_day || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days(i64::from(year), month, i64::from(day));
    Some(days * DAY_S + i64::from(hour * 3600 + minute * 60 + second.min(59)))
}

/// From 0.
const fn month(name: [u8; 3]) -> Option<usize> {
    Some(match &name {
        b"Jan" => 0,
        b"Feb" => 1,
        b"Mar" => 2,
        b"Apr" => 3,
        b"May" => 4,
        b"Jun" => 5,
        b"Jul" => 6,
        b"Aug" => 7,
        b"Sep" => 8,
        b"Oct" => 9,
        b"Nov" => 10,
        b"Dec" => 11,
        _ => return None,
    })
}

/// Reads pairs of digits, and remembers whether one was none: asked once, not at each.
#[derive(Default)]
struct Digits {
    wrong: bool,
}

impl Digits {
    fn pair(&mut self, tens: u8, ones: u8) -> u32 {
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        self.wrong |= tens > 9 || ones > 9;
        u32::from(tens) * 10 + u32::from(ones)
    }
}

/// Where a time without one was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zone(TimeZone);

impl Zone {
    pub(super) const UTC: Self = Self(TimeZone::UTC);

    pub(super) const fn new(zone: TimeZone) -> Self {
        Self(zone)
    }

    /// Milliseconds since the epoch, from those that would be right in UTC.
    fn resolve(&self, local_ms: i64) -> Option<i64> {
        if self.0 == TimeZone::UTC {
            return Some(local_ms);
        }
        let local = Timestamp::from_millisecond(local_ms).ok()?;
        self.resolve_civil(TimeZone::UTC.to_datetime(local))
    }

    fn resolve_civil(&self, local: DateTime) -> Option<i64> {
        Some(self.0.to_timestamp(local).ok()?.as_millisecond())
    }
}

/// `10/Oct/2023:11:06:56` or `10/Oct/2023:11:06:56.789` in a time zone.
pub(super) fn parse_clf_local(text: &[u8], zone: &Zone) -> Option<i64> {
    let (local, fraction) = text.split_first_chunk::<LOCAL_LEN>()?;
    let ms = match fraction {
        [] => 0,
        [b'.', digits @ ..] => fraction_ms(digits)?,
        _ => return None,
    };
    zone.resolve(local_seconds(local)? * 1000 + ms)
}

/// Any time that a server writes: as [`parse_time`] and `parse_clf_local` take it, RFC 3339 with or without an offset, or
/// seconds since the epoch with or without a fraction.
pub(super) fn parse_any(text: &[u8], zone: &Zone) -> Option<i64> {
    if text.get(2) == Some(&b'/') {
        return parse_time(text).or_else(|| parse_clf_local(text, zone));
    }
    if let [y0, y1, y2, y3, b'/', n0, n1, b'/', rest @ ..] = text {
        let text = [&[*y0, *y1, *y2, *y3, b'-', *n0, *n1, b'-'], rest].concat();
        return parse_any(&text, zone);
    }
    if text.get(4) == Some(&b'-') && text.len() > DATE_LEN {
        if let Ok(time) = RFC_3339.parse_timestamp(text) {
            return Some(time.as_millisecond());
        }
        return zone.resolve_civil(RFC_3339.parse_datetime(text).ok()?);
    }
    let dot = memchr::memchr(b'.', text);
    let (seconds, fraction) = dot.map_or((text, &b""[..]), |dot| (&text[..dot], &text[dot + 1..]));
    if seconds.is_empty() || seconds.len() > 19 {
        return None;
    }
    if dot.is_none() {
        return from_epoch(digits(seconds)? as f64);
    }
    digits(seconds)?
        .checked_mul(1000)?
        .checked_add(fraction_ms(fraction)?)
}

/// The fraction of a second in whole milliseconds.
fn fraction_ms(text: &[u8]) -> Option<i64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| i64::from(text.get(at).unwrap_or(&b'0') - b'0');
    Some(digit(0) * 100 + digit(1) * 10 + digit(2))
}

/// Milliseconds since the epoch, from seconds; from milli-, micro- or nanoseconds if the number is too large for seconds of
/// this age.
pub(super) fn from_epoch(number: f64) -> Option<i64> {
    let ms = match number {
        n if n < 0.0 => return None,
        n if n < 1e11 => n * 1e3,
        n if n < 1e14 => n,
        n if n < 1e17 => n / 1e3,
        n if n < 1e20 => n / 1e6,
        _ => return None,
    };
    Some(ms.round() as i64)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |n, byte| {
        byte.is_ascii_digit().then(|| n * 10 + i64::from(byte - b'0'))
    })
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; `month` from 0. Counts years from March, so that the leap
/// day is the last of its year (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: usize, day: i64) -> i64 {
    let from_march = (month as i64 + 10) % 12;
    let year = if month < 2 { year - 1 } else { year };
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use jiff::{fmt::strtime, tz::Offset};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_golden() {
        assert_eq!(parse_time(b"01/Jan/1970:00:00:00 +0000"), Some(0));
        assert_eq!(parse_time(b"10/Oct/2023:11:06:56 +0200"), Some(1_696_928_816_000));
        assert_eq!(parse_time(b"31/Dec/1969:19:00:00 -0500"), Some(0));
        assert_eq!(parse_time(b"29/Feb/2000:23:59:60 +0000"), Some(951_868_799_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "10/Oct/2023:11:06:56",
            "29/Feb/2023:11:06:56 +0200",
            "29/Feb/1900:11:06:56 +0200",
            "31/Apr/2023:11:06:56 +0200",
            "00/Oct/2023:11:06:56 +0200",
            "10/oct/2023:11:06:56 +0200",
            "10/Oct/2023:24:06:56 +0200",
            "10/Oct/2023:11:60:56 +0200",
            "10/Oct/2023:11:06:61 +0200",
            "10/Oct/2023:11:06:56 00200",
            "10/Oct/2023:11:06:56 +2400",
            "10/Oct/2023:11:06:56 +020 ",
            "10/Oct/2023 11:06:56 +0200",
            "+1/Oct/2023:11:06:56 +0200",
        ] {
            assert_eq!(parse_time(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn every_servers_time_is_understood() {
        const AT: i64 = 1_696_928_816_000;
        for (text, at_ms) in [
            ("10/Oct/2023:11:06:56 +0200", AT),
            ("10/Oct/2023:09:06:56", AT),
            ("10/Oct/2023:09:06:56.789", AT + 789),
            ("2023-10-10T09:06:56Z", AT),
            ("2023-10-10T11:06:56.789123456+02:00", AT + 789),
            ("2023-10-10T09:06:56", AT),
            ("1696928816", AT),
            ("1696928816.789", AT + 789),
            ("1696928816.7", AT + 700),
            ("1696928816789", AT + 789),
        ] {
            assert_eq!(parse_any(text.as_bytes(), &Zone::UTC), Some(at_ms), "{text}");
        }
        for text in [
            "",
            "-",
            ".5",
            "1e9",
            "1696928816.",
            "-1",
            "99999999999999999999",
            "2023-10-10",
            "10/10/2023",
            "\u{ff}\u{ff}",
        ] {
            assert_eq!(parse_any(text.as_bytes(), &Zone::UTC), None, "{text}");
        }
    }

    #[test]
    fn numbers_tell_their_unit() {
        for number in [
            1.693_840_791_756_499_5e9,
            1.693_840_791_756e12,
            1.693_840_791_756_499e15,
            1.693_840_791_756_499e18,
        ] {
            assert_eq!(from_epoch(number), Some(1_693_840_791_756), "{number}");
        }
        for number in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(from_epoch(number), None, "{number}");
        }
    }

    #[test]
    fn a_time_without_an_offset_is_of_the_zone_given() {
        let zone = Zone::new(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap());
        for (text, utc) in [
            ("10/Jul/2023:11:06:56.5", "2023-07-10T09:06:56.5Z"),
            ("10/Jan/2023:11:06:56", "2023-01-10T10:06:56Z"),
            ("2023-07-10T11:06:56", "2023-07-10T09:06:56Z"),
            // Twice: the first time it was summer.
            ("29/Oct/2023:02:30:00", "2023-10-29T00:30:00Z"),
        ] {
            let expected = utc.parse::<Timestamp>().unwrap().as_millisecond();
            assert_eq!(parse_any(text.as_bytes(), &zone), Some(expected), "{text}");
        }
        assert_eq!(
            parse_any(b"2023-07-10T11:06:56Z", &zone),
            parse_any(b"2023-07-10T11:06:56Z", &Zone::UTC)
        );
    }

    proptest! {
        #[test]
        fn times_equal_jiffs(second in -62_000_000_000i64..253_000_000_000, minutes in -23 * 60 - 59..=23 * 60 + 59i32) {
            let offset = Offset::from_seconds(minutes * 60).unwrap();
            let zoned = Timestamp::from_second(second).unwrap().to_zoned(offset.to_time_zone());
            let text = strtime::format("%d/%b/%Y:%H:%M:%S %z", &zoned).unwrap();
            prop_assert_eq!(parse_time(text.as_bytes()), Some(second * 1000), "{}", text);
        }

        #[test]
        fn any_date_is_one_for_us_if_it_is_one_for_jiff(
            day in 0..33u8, month in 0..12usize, year in 0..10_000u16, hour in 0..26u8, minute in 0..62u8,
        ) {
            let name = &"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * month..3 * month + 3];
            let text = format!("{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:07 +0000");
            let theirs = strtime::parse("%d/%b/%Y:%H:%M:%S %z", &text).and_then(|time| time.to_timestamp());
            prop_assert_eq!(parse_time(text.as_bytes()), theirs.ok().map(|t| t.as_millisecond()), "{}", text);
        }
    }
}
