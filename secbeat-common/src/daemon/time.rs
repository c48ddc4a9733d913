//! The wall clock, read here and nowhere else in the daemons' shells, and times as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC with milliseconds: `2026-11-20T10:00:07.000Z`.
#[must_use]
pub fn rfc3339(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

/// How long `ms` is, to the second: `4m 58s`; `ended` when not positive.
#[must_use]
pub fn left(ms: i64) -> String {
    match u64::try_from(ms) {
        Ok(ms @ 1..) => {
            humantime::format_duration(std::time::Duration::from_secs(ms.div_ceil(1000))).to_string()
        }
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
    }
}
