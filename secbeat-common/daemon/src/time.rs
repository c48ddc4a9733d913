//! The wall clock, read here and nowhere else in the daemons' shells, and times as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secbeat_common::wire::PERMANENT;

use crate::config::HumanDuration;

/// The wall clock, as finely as it tells.
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> i64 {
    let since = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The time so many milliseconds after the Unix epoch; what is before it counts as it.
#[must_use]
pub fn from_ms(at_ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at_ms).unwrap_or_default())
}

/// RFC 3339 in UTC with milliseconds: `2026-11-20T10:00:07.000Z`.
#[must_use]
pub fn rfc3339(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

/// [`rfc3339`] of the end of a ban; `None` if it has none.
#[must_use]
pub fn end(expires_at_ms: i64) -> Option<String> {
    (expires_at_ms != PERMANENT).then(|| rfc3339(expires_at_ms))
}

/// Milliseconds from `now_ms` to the end of a ban; `None` if it has none.
#[must_use]
pub fn ms_to_end(expires_at_ms: i64, now_ms: i64) -> Option<i64> {
    (expires_at_ms != PERMANENT).then(|| expires_at_ms.saturating_sub(now_ms))
}

/// [`left`] for a ban that may have no end: `never`.
#[must_use]
pub fn ends_in(ms: Option<i64>) -> String {
    ms.map_or_else(|| NEVER.to_owned(), left)
}

/// What people read for the end of a ban that has none.
pub const NEVER: &str = "never";

/// How long `ms` is, to the second: `4m 58s`; `ended` when not positive.
#[must_use]
pub fn left(ms: i64) -> String {
    match u64::try_from(ms) {
        Ok(ms @ 1..) => HumanDuration(Duration::from_secs(ms.div_ceil(1000))).to_string(),
        _ => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_expect() {
        assert_eq!(rfc3339(1_795_168_807_000), "2026-11-20T10:00:07.000Z");
        assert_eq!(left(298_100), "4m 59s");
        assert_eq!(left(0), "ended");
        assert_eq!(
            [Some(298_100), Some(-1), None].map(ends_in),
            ["4m 59s", "ended", "never"]
        );
    }

    #[test]
    fn a_ban_without_end_has_none() {
        assert_eq!((end(PERMANENT), ms_to_end(PERMANENT, 5)), (None, None));
        assert_eq!(ms_to_end(7, 5), Some(2));
        assert_eq!(end(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
    }
}
