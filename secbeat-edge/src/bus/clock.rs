//! The clock that this edge goes by.

use secbeat_bus::{Bus, BusClock, Clocks};
use secbeat_daemon::time::{boot_us, follow_bus, now_us, wall_us};

/// Keeps this process's time that of `bus`.
pub(crate) fn bus_clock(bus: &Bus) -> BusClock {
    let clocks = Clocks {
        boot_us,
        wall_us,
        now_us,
        follow: |measure| follow_bus(measure.difference_us),
    };
    BusClock::new(bus, clocks)
}
