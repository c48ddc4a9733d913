//! The time, read here and nowhere else in the daemons' shells, and times as people read them.
//!
//! A fleet has one clock, that of its NATS server: bans end by it, and events count by it. A daemon measures how far it is
//! ahead of the host's boot clock, and goes by [`follow_bus`] from then on; nobody's setting of the wall clock changes
//! anything any more. Before the first measure, and in a program that measures nothing, the wall clock counts.

use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::time::{ClockId, clock_gettime};
use secbeat_common::wire::PERMANENT;

use crate::config::HumanDuration;

/// The bus's clock less the boot clock, in microseconds.
static DIFFERENCE_US: AtomicI64 = AtomicI64::new(UNMEASURED);
const UNMEASURED: i64 = i64::MIN;

/// Has this process go by the bus's clock, which is `difference_us` microseconds ahead of the boot clock.
pub fn follow_bus(difference_us: i64) {
    DIFFERENCE_US.store(difference_us, Relaxed);
}

/// The time, as finely as it tells.
#[must_use]
pub fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(now_us()).unwrap_or_default())
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> i64 {
    now_us() / 1000
}

/// Microseconds since the Unix epoch.
#[must_use]
pub fn now_us() -> i64 {
    match DIFFERENCE_US.load(Relaxed) {
        UNMEASURED => wall_us(),
        difference_us => boot_us().saturating_add(difference_us),
    }
}

/// The host's wall clock, by which its other programs go: microseconds since the Unix epoch.
#[must_use]
pub fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The same in milliseconds.
#[must_use]
pub fn wall_ms() -> i64 {
    wall_us() / 1000
}

/// Returns when it was what the host's wall clock called `wall_ms`, both in milliseconds since the Unix epoch.
#[must_use]
pub fn from_wall_ms(at_ms: i64) -> i64 {
    match DIFFERENCE_US.load(Relaxed) {
        UNMEASURED => at_ms,
        difference_us => {
            let ahead_us = wall_us().saturating_sub(boot_us()).saturating_sub(difference_us);
            at_ms.saturating_sub(ahead_us / 1000)
        }
    }
}

/// Microseconds since the host started, the time in which it was suspended included. Nobody sets this clock.
#[must_use]
pub fn boot_us() -> i64 {
    // The kernel has had this clock since 2.6.39; without it nothing is certain, ever.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(i64::MAX, |time| {
        time.tv_sec()
            .saturating_mul(1_000_000)
            .saturating_add(time.tv_nsec() / 1000)
    })
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

/// Returns how long `ms` is, to the second: `4m 58s`; `ended` when not positive.
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
