//! Points in time that different processes of one host agree on: the wall clock's, to the microsecond.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use secbeat_common::prefix::Prefix;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Milliseconds from `start` to `end`; negative when `end` came first.
#[must_use]
pub fn ms_between(start: SystemTime, end: SystemTime) -> f64 {
    match end.duration_since(start) {
        Ok(after) => after.as_secs_f64() * 1e3,
        Err(before) => before.duration().as_secs_f64() * -1e3,
    }
}

/// When the orchestrator decided to ban `source`, according to the audit line in its `log`. The last one, if there are
/// more; `None` while there is none.
#[must_use]
pub fn decided(log: &str, source: IpAddr) -> Option<SystemTime> {
    let mark = format!("banned target={} ", Prefix::single(source));
    let line = log.lines().rev().find(|line| line.contains(&mark))?;
    time_of_line(line, SystemTime::now())
}

/// The time with which a log line starts (RFC 3339, UTC), given that it lies within half a day of `now`.
fn time_of_line(line: &str, now: SystemTime) -> Option<SystemTime> {
    let clock = line
        .split_whitespace()
        .next()?
        .split_once('T')?
        .1
        .strip_suffix('Z')?;
    let mut parts = clock.splitn(3, ':');
    let hours: u64 = parts.next()?.parse().ok()?;
    let minutes: u64 = parts.next()?.parse().ok()?;
    let seconds = Duration::try_from_secs_f64(parts.next()?.parse().ok()?).ok()?;
    let of_day = Duration::from_secs(hours * 3600 + minutes * 60) + seconds;
    let since_epoch = now.duration_since(UNIX_EPOCH).ok()?;
    let today = since_epoch - Duration::from_secs(since_epoch.as_secs() % DAY.as_secs());
    let today = UNIX_EPOCH + Duration::from_secs(today.as_secs());
    let candidates = [today.checked_sub(DAY)?, today, today + DAY].map(|midnight| midnight + of_day);
    candidates
        .into_iter()
        .min_by(|a, b| ms_between(now, *a).abs().total_cmp(&ms_between(now, *b).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2025-11-20T23:59:59.500000Z  INFO audit: banned target=198.51.100.2/32 reason=\"error-flood\" strikes=0
2025-11-21T00:00:00.250000Z  INFO audit: banned target=2001:db8:a:1::/64 reason=\"error-flood\" strikes=0
";

    fn at(ms: u64) -> SystemTime {
        // 2025-11-21T00:00:00Z
        UNIX_EPOCH + Duration::from_millis(1_763_683_200_000 + ms)
    }

    #[test]
    fn a_line_of_yesterday_is_told_from_one_of_today() {
        let lines: Vec<&str> = LOG.lines().collect();
        let before = time_of_line(lines[0], at(1_000)).unwrap();
        let after = time_of_line(lines[1], at(1_000)).unwrap();
        assert!((ms_between(before, at(0)) - 500.0).abs() < 0.01);
        assert!((ms_between(at(0), after) - 250.0).abs() < 0.01);
    }

    #[test]
    fn a_ban_is_found_by_the_source_that_an_address_belongs_to() {
        assert!(decided(LOG, "198.51.100.2".parse().unwrap()).is_some());
        assert!(decided(LOG, "2001:db8:a:1::2".parse().unwrap()).is_some());
        assert_eq!(decided(LOG, "198.51.100.20".parse().unwrap()), None);
    }
}
