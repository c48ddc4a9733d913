//! Times as servers write them.

#[cfg(test)]
mod tests;

use std::cell::Cell;

use jiff::{Timestamp, tz::TimeZone};

use crate::marks::repeated;

/// Bytes of `10/Oct/2023:11:06:56 +0200`.
pub(super) const TIME_LEN: usize = 26;
/// Bytes of `10/Oct/2023:11:06:56`.
const LOCAL_LEN: usize = 20;
/// Bytes of `2023-10-10T11:06:56`.
const ISO_LEN: usize = 19;

/// Bytes of `:11:06:56`.
const CLOCK_LEN: usize = 9;
/// The offset of times in which cPanel writes the month first. No other server writes it.
const CPANEL: &[u8] = b" -0000";

const DAY_S: i64 = 86_400;
/// Larger times since the epoch are not in seconds.
const EPOCH_SECONDS: i64 = 100_000_000_000;
const MONTH_DAYS: [u8; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Parses exactly `10/Oct/2023:11:06:56 +0200` (years 0000–9999, a leap second counts as the second before it) to
/// milliseconds since the Unix epoch. `None` for anything else, dates that do not exist included.
#[inline]
#[must_use]
pub fn parse_time(text: &[u8]) -> Option<i64> {
    let text: &[u8; TIME_LEN] = text.try_into().ok()?;
    LAST_CLF
        .with(|last| Last::or_read(last, text, read_time))
        .map(|second| second * 1000)
}

/// As [`parse_time`], in seconds.
fn read_time(text: &[u8; TIME_LEN]) -> Option<i64> {
    let (local, offset) = text.split_first_chunk::<LOCAL_LEN>()?;
    let &[b' ', sign, h0, h1, m0, m1] = offset else {
        return None;
    };
    let mut all = Digits::default();
    let (hours, minutes) = (all.pair(h0, h1), all.pair(m0, m1));
    if all.wrong || hours > 23 || minutes > 59 {
        return None;
    }
    Some(read_local_seconds(local)? - signed(sign, hours, minutes)?)
}

/// An offset in seconds.
fn signed(sign: u8, hours: u32, minutes: u32) -> Option<i64> {
    let offset = i64::from(hours * 3600 + minutes * 60);
    match sign {
        b'+' => Some(offset),
        b'-' => Some(-offset),
        _ => None,
    }
}

/// The last time that was read, since the next line mostly has the same: the text, and the seconds that it stands for. No text
/// begins with zero.
#[derive(Clone, Copy)]
struct Last<const LEN: usize> {
    text: [u8; LEN],
    second: i64,
}

impl<const LEN: usize> Last<LEN> {
    const fn none() -> Cell<Self> {
        Cell::new(Self {
            text: [0; LEN],
            second: 0,
        })
    }

    /// Returns what `text` was the last time, or else is by `read`.
    #[inline]
    fn or_read(
        last: &Cell<Self>,
        text: &[u8; LEN],
        read: impl FnOnce(&[u8; LEN]) -> Option<i64>,
    ) -> Option<i64> {
        let known = last.get();
        if known.text == *text {
            return Some(known.second);
        }
        let second = read(text)?;
        last.set(Self { text: *text, second });
        Some(second)
    }
}

thread_local! {
    static LAST_CLF: Cell<Last<TIME_LEN>> = const { Last::none() };
    static LAST_ISO: Cell<Last<ISO_LEN>> = const { Last::none() };
}

/// Splits `2023-10-10T11:06:56`, or with a space, as seconds since the epoch if it were UTC.
#[inline]
fn split_iso(text: &[u8]) -> Option<(i64, &[u8])> {
    let (iso, rest) = text.split_first_chunk()?;
    let read = |iso: &[u8; ISO_LEN]| {
        let (day, clock) = split_date(iso)?;
        let (second, _) = split_clock(clock.strip_prefix(b"T").or(clock.strip_prefix(b" "))?)?;
        Some(day + second)
    };
    let second = LAST_ISO.with(|last| Last::or_read(last, iso, read))?;
    Some((second, rest))
}

fn read_local_seconds(text: &[u8; LOCAL_LEN]) -> Option<i64> {
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
    if all.wrong {
        return None;
    }
    Some(date_seconds(year, month, day)? + clock_seconds(hour, minute, second)?)
}

/// The beginning of a day that exists, in seconds since the epoch; `month` from 0.
fn date_seconds(year: u32, month: usize, day: u32) -> Option<i64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last_day = u32::from(*MONTH_DAYS.get(month)?) + u32::from(is_leap && month == 1);
    let is_day = (1..=last_day).contains(&day);
    is_day.then(|| days(i64::from(year), month, i64::from(day)) * DAY_S)
}

/// A leap second counts as the second before it.
fn clock_seconds(hour: u32, minute: u32, second: u32) -> Option<i64> {
    let is_time = hour < 24 && minute < 60 && second < 61;
    is_time.then(|| i64::from(hour * 3600 + minute * 60 + second.min(59)))
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

/// Time zone of logged times that name none.
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
        let local = TimeZone::UTC.to_datetime(Timestamp::from_millisecond(local_ms).ok()?);
        Some(self.0.to_timestamp(local).ok()?.as_millisecond())
    }
}

/// Any time that a server writes, and nothing else; see [`split_time`]. The name of a time zone may follow: `UTC` and `GMT` are what
/// they say, any other stands for `zone`.
pub(super) fn parse_any(text: &[u8], zone: &Zone) -> Option<i64> {
    let Some((at_ms, rest)) = split_time(text, zone) else {
        return parse_zone_before_year(text, zone);
    };
    match rest {
        b"" => Some(at_ms),
        [b' ', name @ ..] => parse_in_named_zone(text, name, zone),
        [b'[', name @ .., b']'] => {
            let time = &text[..text.len() - rest.len()];
            (has_offset(time) && is_name_of_tzdb(name)).then_some(at_ms)
        }
        _ => None,
    }
}

/// `Sat Nov 21 10:06:56 UTC 2026`, as Java and `date` write it.
#[cold]
fn parse_zone_before_year(text: &[u8], zone: &Zone) -> Option<i64> {
    let mut words = text.rsplitn(3, |byte| *byte == b' ');
    let (year, name, time) = (words.next()?, words.next()?, words.next()?);
    let is_year = year.len() == 4 && time.first()?.is_ascii_alphabetic();
    let text = [time, b" ", year, b" ", name].concat();
    is_year.then(|| parse_in_named_zone(&text, name, zone)).flatten()
}

/// Whether a date and a time of day end with an offset.
fn has_offset(time: &[u8]) -> bool {
    let behind = time.get(ISO_LEN..).unwrap_or_default();
    behind.ends_with(b"Z") || behind.iter().any(|byte| matches!(byte, b'+' | b'-'))
}

/// Whether it may be a name as `Europe/Berlin`, which Java writes behind the offset.
fn is_name_of_tzdb(name: &[u8]) -> bool {
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(byte);
    name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().all(is_of_name)
}

/// A time before the name of its zone.
#[cold]
fn parse_in_named_zone(text: &[u8], name: &[u8], zone: &Zone) -> Option<i64> {
    let is_name = (2..=5).contains(&name.len()) && name.iter().all(u8::is_ascii_uppercase);
    let time = &text[..text.len() - name.len() - 1];
    // A number since the epoch has no zone.
    let zone = if matches!(name, b"UTC" | b"GMT") {
        &Zone::UTC
    } else {
        zone
    };
    let (at_ms, rest) = split_time(time, zone).filter(|_| is_name && time.contains(&b':'))?;
    rest.is_empty().then_some(at_ms)
}

/// Splits any time that a server writes, in milliseconds since the Unix epoch, from what follows it:
///
/// - a date, and after `T`, a space, a tab or a colon the time of day. The date is `10/Oct/2023`, `10/10/2023` (day first, but
///   before ` -0000` the month), `2023-10-10` or `2023/10/10`. A fraction may follow after `.` or `,`, and an offset (`Z`, `+02`, `+0200`, `+02:00`),
///   with or without a space before it. Without an offset, the time is of `zone`;
/// - `Tue Oct 10 11:06:56 2023`, as C's `ctime` writes it, with or without a fraction;
/// - `Tue, 10 Oct 2023 09:06:56`, as HTTP has it, and without the comma, as Hiawatha writes it;
/// - a number of seconds, milliseconds, microseconds or nanoseconds since the epoch, with or without a fraction.
pub(super) fn split_time<'a>(text: &'a [u8], zone: &Zone) -> Option<(i64, &'a [u8])> {
    // Where a date has what divides it.
    if let [_, _, b'0'..=b'9', _, b'0'..=b'9', ..] = text {
        return split_epoch(text);
    }
    if let Some((second, rest)) = split_iso(text) {
        return split_rest(second, rest, zone);
    }
    if let Some((day, rest)) = split_date(text) {
        let rest = match rest.split_first()? {
            (b'T' | b't' | b' ' | b'\t' | b':', rest) => rest,
            _ => return None,
        };
        let (second, rest) = split_clock(rest)?;
        return split_rest(day + second, rest, zone);
    }
    if text.first()?.is_ascii_alphabetic() {
        return match text.get(3..5) {
            Some([b',', _] | [b' ', b'0'..=b'9']) => split_http_date(text, zone),
            _ => split_ctime(text, zone),
        };
    }
    split_epoch(text)
}

/// A time at the beginning of a text that `then` follows, with or without the name of a zone before it: the time, in milliseconds since
/// the Unix epoch, and where it ends.
pub(super) fn find_end(text: &[u8], then: &[u8], zone: &Zone) -> Option<(i64, usize)> {
    let (at_ms, rest) = split_time(text, zone)?;
    let end = text.len() - rest.len();
    if rest.starts_with(then) {
        return Some((at_ms, end));
    }
    let name = rest.strip_prefix(b" ")?;
    let end = end + 1 + name.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let at_ms = parse_any(&text[..end], zone).filter(|_| text[end..].starts_with(then))?;
    Some((at_ms, end))
}

/// Splits what may follow date and clock: a fraction and an offset. `second` is what they are if they were UTC.
fn split_rest<'a>(second: i64, rest: &'a [u8], zone: &Zone) -> Option<(i64, &'a [u8])> {
    let (ms, rest) = split_fraction(rest)?;
    let local_ms = second * 1000 + ms;
    Some(match split_offset(rest) {
        Some((offset, rest)) => (local_ms - offset * 1000, rest),
        None => (zone.resolve(local_ms)?, rest),
    })
}

/// A date, as seconds since the epoch.
fn split_date(text: &[u8]) -> Option<(i64, &[u8])> {
    let mut all = Digits::default();
    let (year, month, day, rest) = match *text {
        [
            y0,
            y1,
            y2,
            y3,
            sep @ (b'-' | b'/'),
            n0,
            n1,
            sep1,
            d0,
            d1,
            ref rest @ ..,
        ] if sep == sep1 => {
            let year = all.pair(y0, y1) * 100 + all.pair(y2, y3);
            (
                year,
                all.pair(n0, n1).checked_sub(1)? as usize,
                all.pair(d0, d1),
                rest,
            )
        }
        [
            d0,
            d1,
            sep @ (b'/' | b'-'),
            n0,
            n1,
            n2,
            sep1,
            y0,
            y1,
            y2,
            y3,
            ref rest @ ..,
        ] if sep == sep1 => {
            let year = all.pair(y0, y1) * 100 + all.pair(y2, y3);
            (year, month([n0, n1, n2])?, all.pair(d0, d1), rest)
        }
        [d0, d1, b'/', n0, n1, b'/', y0, y1, y2, y3, ref rest @ ..] => {
            let year = all.pair(y0, y1) * 100 + all.pair(y2, y3);
            let (day, month) = match rest.get(CLOCK_LEN..CLOCK_LEN + CPANEL.len()) {
                Some(CPANEL) => (all.pair(n0, n1), all.pair(d0, d1)),
                _ => (all.pair(d0, d1), all.pair(n0, n1)),
            };
            (year, month.checked_sub(1)? as usize, day, rest)
        }
        _ => return None,
    };
    if all.wrong {
        return None;
    }
    Some((date_seconds(year, month, day)?, rest))
}

/// `11:06:56`, as seconds of the day.
fn split_clock(text: &[u8]) -> Option<(i64, &[u8])> {
    let &[h0, h1, b':', m0, m1, b':', s0, s1, ref rest @ ..] = text else {
        return None;
    };
    let mut all = Digits::default();
    let (hour, minute, second) = (all.pair(h0, h1), all.pair(m0, m1), all.pair(s0, s1));
    if all.wrong {
        return None;
    }
    Some((clock_seconds(hour, minute, second)?, rest))
}

/// The fraction of a second in whole milliseconds; 0 if there is none.
fn split_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.' | b',', fraction @ ..] = text else {
        return Some((0, text));
    };
    let (digits, rest) = split_digits(fraction);
    // What follows may be the next field.
    if digits.is_empty() && text[0] == b',' {
        return Some((0, text));
    }
    Some((fraction_ms(digits)?, rest))
}

/// An offset from UTC in seconds.
fn split_offset(text: &[u8]) -> Option<(i64, &[u8])> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, h0, h1, m0, m1, rest) = match text {
        [b'Z' | b'z', rest @ ..] => {
            let is_end = rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric());
            return is_end.then_some((0, rest));
        }
        &[sign @ (b'+' | b'-'), h0, h1, b':', m0, m1, ref rest @ ..] => (sign, h0, h1, m0, m1, rest),
        &[sign @ (b'+' | b'-'), h0, h1, m0 @ b'0'..=b'9', m1, ref rest @ ..] => (sign, h0, h1, m0, m1, rest),
        &[sign @ (b'+' | b'-'), h0, h1, ref rest @ ..] => (sign, h0, h1, b'0', b'0', rest),
        _ => return None,
    };
    let mut all = Digits::default();
    let (hours, minutes) = (all.pair(h0, h1), all.pair(m0, m1));
    let is_end = rest.first().is_none_or(|byte| !byte.is_ascii_digit());
    if all.wrong || hours > 23 || minutes > 59 || !is_end {
        return None;
    }
    Some((signed(sign, hours, minutes)?, rest))
}

/// `Tue Oct 10 11:06:56 2023`.
fn split_ctime<'a>(text: &'a [u8], zone: &Zone) -> Option<(i64, &'a [u8])> {
    let &[w0, w1, w2, b' ', n0, n1, n2, b' ', d0, d1, b' ', ref rest @ ..] = text else {
        return None;
    };
    let is_weekday = [w0, w1, w2].iter().all(u8::is_ascii_alphabetic);
    let mut all = Digits::default();
    let day = all.pair(if d0 == b' ' { b'0' } else { d0 }, d1);
    let (second, rest) = split_clock(rest)?;
    let (ms, rest) = split_fraction(rest)?;
    let &[b' ', y0, y1, y2, y3, ref rest @ ..] = rest else {
        return None;
    };
    let year = all.pair(y0, y1) * 100 + all.pair(y2, y3);
    if all.wrong || !is_weekday {
        return None;
    }
    let day = date_seconds(year, month([n0, n1, n2])?, day)?;
    Some((zone.resolve((day + second) * 1000 + ms)?, rest))
}

/// `Tue, 10 Oct 2023 09:06:56`, with or without the comma, and an offset if there is one.
fn split_http_date<'a>(text: &'a [u8], zone: &Zone) -> Option<(i64, &'a [u8])> {
    let (weekday, rest) = text.split_first_chunk::<3>()?;
    let &[
        b' ',
        d0,
        d1,
        b' ',
        n0,
        n1,
        n2,
        b' ',
        y0,
        y1,
        y2,
        y3,
        b' ',
        ref rest @ ..,
    ] = rest.strip_prefix(b",").unwrap_or(rest)
    else {
        return None;
    };
    let is_weekday = weekday.iter().all(u8::is_ascii_alphabetic);
    let mut all = Digits::default();
    let (day, year) = (all.pair(d0, d1), all.pair(y0, y1) * 100 + all.pair(y2, y3));
    if all.wrong || !is_weekday {
        return None;
    }
    let day = date_seconds(year, month([n0, n1, n2])?, day)?;
    let (second, rest) = split_clock(rest)?;
    split_rest(day + second, rest, zone)
}

/// A time since the epoch, with or without a fraction.
fn split_epoch(text: &[u8]) -> Option<(i64, &[u8])> {
    split_usual_epoch(text).or_else(|| split_any_epoch(text))
}

/// Ten digits, a dot and three: a time in seconds of this age, as most servers write it.
#[inline]
fn split_usual_epoch(text: &[u8]) -> Option<(i64, &[u8])> {
    let (first, rest) = text.split_first_chunk()?;
    let &[s0, s1, b'.', m0, m1, m2, ref rest @ ..] = rest else {
        return None;
    };
    let first = eight_digits(*first)?;
    let mut all = Digits::default();
    let (last, ms) = (all.pair(s0, s1), all.pair(m0, m1) * 10 + all.pair(b'0', m2));
    if all.wrong || rest.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    Some(((first * 100 + i64::from(last)) * 1000 + i64::from(ms), rest))
}

/// The number that eight digits are: pairs of them at once, then pairs of pairs.
const fn eight_digits(text: [u8; 8]) -> Option<i64> {
    let text = u64::from_le_bytes(text);
    let tens = repeated(b'0');
    if text & repeated(0xf0) != tens || text.wrapping_add(repeated(6)) & repeated(0xf0) != tens {
        return None;
    }
    let ones = text & repeated(0x0f);
    let pairs = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((((fours * 10_000) + (fours >> 32)) & 0xffff_ffff) as i64)
}

fn split_any_epoch(text: &[u8]) -> Option<(i64, &[u8])> {
    let (number, rest) = split_number(text)?;
    let [b'.', fraction @ ..] = rest else {
        return Some((from_epoch(number as f64)?, rest));
    };
    let (fraction, rest) = split_digits(fraction);
    let fraction = fraction_ms(fraction)?;
    if number < EPOCH_SECONDS {
        return Some((number * 1000 + fraction, rest));
    }
    Some((from_epoch(number as f64)?, rest))
}

/// A whole number of 1 to 19 digits.
fn split_number(text: &[u8]) -> Option<(i64, &[u8])> {
    let mut number = 0_u64;
    let mut length = 0;
    while let Some(digit) = text
        .get(length)
        .map(|byte| byte.wrapping_sub(b'0'))
        .filter(|digit| *digit < 10)
    {
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        length += 1;
    }
    let number = i64::try_from(number).ok().filter(|_| (1..20).contains(&length))?;
    Some((number, &text[length..]))
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
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
/// this age. A number of 14 digits is `20261121110656`, a date, rather than a time in a far century.
pub(super) fn from_epoch(number: f64) -> Option<i64> {
    let ms = match number {
        n if n < 0.0 => return None,
        n if n < EPOCH_SECONDS as f64 => n * 1e3,
        n if n < 1e13 => n,
        n if n < 1e14 => return None,
        n if n < 1e17 => n / 1e3,
        n if n < 1e20 => n / 1e6,
        _ => return None,
    };
    Some(ms.round() as i64)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; `month` from 0. Counts years from March, so that the leap
/// day is the last of its year (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: usize, day: i64) -> i64 {
    let from_march = (month as i64 + 10) % 12;
    let year = if month < 2 { year - 1 } else { year };
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}
