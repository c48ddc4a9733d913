//! Start of a transaction, in milliseconds since the Unix epoch.

use jiff::{civil::DateTime, fmt::strtime, tz::TimeZone};

/// No time zone is further from UTC, in seconds (RFC 9557 and POSIX allow less than a day).
const FURTHEST: i64 = 26 * 3600;
/// Time zones differ from UTC by whole quarters of an hour.
const QUARTER: i64 = 900;

/// `21/Nov/2026:11:04:44.038069 +0000`, of `ModSecurity` 2; the fraction may be missing.
pub(super) fn with_zone(text: &str) -> Option<i64> {
    let time = strtime::parse("%d/%b/%Y:%H:%M:%S%.f %z", text).ok()?;
    Some(time.to_timestamp().ok()?.as_millisecond())
}

/// `Sat Nov 21 11:04:44 2026`, of libmodsecurity: as asctime(3) writes it, in the time zone of the server's process.
///
/// `id` is the transaction's. Unless the server chose another, it begins with the ten digits of the second since the
/// epoch: it is taken if it lies where the time of day may lie. Otherwise the time of day is in `zone`.
pub(super) fn of_day(text: &str, id: &str, zone: &TimeZone) -> Option<i64> {
    let civil: DateTime = strtime::parse("%a %b %d %H:%M:%S %Y", text)
        .ok()?
        .to_datetime()
        .ok()?;
    let as_utc = TimeZone::UTC.to_timestamp(civil).ok()?.as_second();
    let digits = id.get(..10).filter(|ten| ten.bytes().all(|b| b.is_ascii_digit()));
    let second = digits.and_then(|digits| digits.parse::<i64>().ok());
    match second.filter(|second| is_offset(as_utc - second)) {
        Some(second) => second.checked_mul(1000),
        None => Some(zone.to_timestamp(civil).ok()?.as_millisecond()),
    }
}

fn is_offset(seconds: i64) -> bool {
    seconds.abs() <= FURTHEST && seconds % QUARTER == 0
}

/// Nanoseconds since the epoch, as Coraza writes it, or the seconds of its documentation.
pub(super) fn unix(time: i64) -> Option<i64> {
    const MOST_SECONDS: i64 = 99_999_999_999;
    if (1..=MOST_SECONDS).contains(&time) {
        return Some(time * 1000);
    }
    (time > 0).then_some(time / 1_000_000)
}
