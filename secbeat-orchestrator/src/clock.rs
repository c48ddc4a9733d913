//! This host's clocks.

use nix::time::{ClockId, clock_gettime};
use secbeat_daemon::time::now_ms;
use secbeat_orchestrator_core::Moment;

/// Milliseconds since the host started, the time in which it was suspended included. No correction of the time of day
/// moves it.
#[must_use]
pub(crate) fn boot_ms() -> i64 {
    // The kernel has had this clock since 2.6.39; without it nothing is certain, ever.
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_or(i64::MAX, |time| time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000)
}

/// This host's clocks now.
pub(crate) fn moment() -> Moment {
    Moment {
        wall_ms: now_ms(),
        boot_ms: boot_ms(),
    }
}
