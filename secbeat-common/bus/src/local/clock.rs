//! The store's clock, which ends what is in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Goes on over steps of the host's wall clock and over a suspended host, and never back: neither a wrong time at boot nor a
/// correction later ends a ban early.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// What it said at the host's boot, microseconds since the Unix epoch.
    boot_us: i64,
}

impl Clock {
    /// One that starts at the host's wall clock, or at `latest_ms` if that is later: the latest time in the store.
    pub(super) fn starting_after(latest_ms: i64) -> Self {
        Self {
            boot_us: wall_us().max(latest_ms.saturating_mul(1000)) - since_boot_us(),
        }
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn now_ms(self) -> i64 {
        self.now_us() / 1000
    }

    /// Microseconds since the Unix epoch.
    pub(super) fn now_us(self) -> i64 {
        self.boot_us + since_boot_us()
    }
}

fn wall_us() -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    micros(wall.unwrap_or_default())
}

fn since_boot_us() -> i64 {
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
    micros(boot.unwrap_or_default())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_whose_clock_is_behind_goes_on_where_the_store_was() {
        let ahead = wall_us() / 1000 + 3_600_000;
        let clock = Clock::starting_after(ahead);
        let now = clock.now_ms();
        assert!((ahead..ahead + 1_000).contains(&now), "{now} {ahead}");
    }

    #[test]
    fn otherwise_it_is_the_wall_clock() {
        let clock = Clock::starting_after(0);
        assert!(clock.now_ms().abs_diff(wall_us() / 1000) < 1_000);
    }
}
