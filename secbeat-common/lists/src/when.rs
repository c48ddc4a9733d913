//! Ends and lengths as lists write them.

use std::time::Duration;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use secbeat_daemon::{config::MAX_DURATION, term::Term};

use super::list::End;

/// Numbers from here on are times, in seconds since 1970 (2001); smaller ones are lengths.
const FIRST_TIME: i64 = 1_000_000_000;
/// Numbers from here on are times in milliseconds.
const FIRST_MS: i64 = 100_000_000_000;
/// Times before it are none: the year 1 is what Go writes for a time that nobody set.
const YEAR_TWO: Timestamp = Timestamp::constant(-62_104_060_800, 0);
/// What says that there is no end.
const ENDLESS: [&str; 4] = ["permanent", "never", "forever", "infinite"];

/// The length that `text` is, such as `4h`, `167h59m59.5s`, `3600` or `permanent`.
///
/// # Errors
///
/// Returns an error if it is invalid.
pub(super) fn length(text: &str) -> Result<End, String> {
    let text = text.trim();
    if ENDLESS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Ok(End::For(Term::Permanent));
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds_long(seconds);
    }
    // Go's, of a decision that has ended.
    let (is_over, length) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    match length.parse::<Term>() {
        Ok(_) if is_over => Ok(End::PAST),
        Ok(term) => Ok(End::For(term)),
        Err(_) if is_zero(length) => Ok(End::PAST),
        Err(why) => Err(why),
    }
}

/// `0s`, `0h0m0s`.
fn is_zero(length: &str) -> bool {
    let digits = || length.chars().filter(char::is_ascii_digit);
    digits().next().is_some() && digits().all(|digit| digit == '0') && length.is_ascii()
}

/// So many seconds; zero and less have ended.
pub(super) fn seconds_long(seconds: i64) -> Result<End, String> {
    let length = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    match length {
        Duration::ZERO => Ok(End::PAST),
        length if length > MAX_DURATION => Err(format!("{seconds} seconds are over ten years")),
        length => Ok(End::For(Term::For(length))),
    }
}

/// The end that `text` is: a time, in `zone` if it has no offset, or a length from now on.
///
/// # Errors
///
/// Returns an error if it is invalid.
pub(super) fn end(text: &str, zone: &TimeZone) -> Result<End, String> {
    let text = text.trim();
    match text.parse::<i64>() {
        Ok(number) if number >= FIRST_MS => time(Timestamp::from_millisecond(number)),
        Ok(number) if number >= FIRST_TIME => time(Timestamp::from_second(number)),
        Ok(number) => seconds_long(number),
        Err(_) => match at(text, zone) {
            // No time at all, as Go writes it.
            Some(at) if at < YEAR_TWO => Ok(End::For(Term::Permanent)),
            Some(at) => Ok(End::At(at)),
            None => length(text).map_err(|_| {
                format!("`{text}` is neither a time such as 2026-11-20T10:00:00Z nor a duration such as 4h")
            }),
        },
    }
}

fn time(at: Result<Timestamp, jiff::Error>) -> Result<End, String> {
    at.map(End::At).map_err(|error| error.to_string())
}

/// A time with an offset, or one in `zone`: with `T` or a blank, or a date alone.
pub(super) fn at(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    match text.strip_suffix(" UTC") {
        Some(text) => TimeZone::UTC.to_timestamp(text.parse().ok()?).ok(),
        None => zone.to_timestamp(text.parse::<DateTime>().ok()?).ok(),
    }
}
