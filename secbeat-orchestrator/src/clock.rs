//! The time, and this host's boot clock.

use secbeat_bus::{Bus, BusClock, Clocks};
use secbeat_daemon::time::{boot_us, follow_bus, now_ms, now_us, wall_us};
use secbeat_orchestrator_core::Moment;

/// Milliseconds since the host started, the time in which it was suspended included. No correction of the time of day
/// moves it.
#[must_use]
pub(crate) fn boot_ms() -> i64 {
    boot_us() / 1000
}

/// Returns what time it is.
pub(crate) fn moment() -> Moment {
    Moment {
        wall_ms: now_ms(),
        boot_ms: boot_ms(),
    }
}

/// Keeps this process's time that of `bus`.
pub(crate) fn of_bus(bus: &Bus) -> BusClock {
    let clocks = Clocks {
        boot_us,
        wall_us,
        now_us,
        follow: |measure| follow_bus(measure.difference_us),
    };
    BusClock::new(bus, clocks)
}
