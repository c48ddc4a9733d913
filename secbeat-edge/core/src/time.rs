//! Instants, as the shell reads them from its clocks.

use std::time::Duration;

use secbeat_common::maps::Ban;

/// An instant of `CLOCK_BOOTTIME`: nanoseconds since boot, suspend included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(pub u64);

impl BootTime {
    /// The expiry of a permanent ban: later than any clock can tell.
    pub const NEVER: Self = Self(Ban::NEVER);

    /// The instant `after` later, [`NEVER`](Self::NEVER) at most.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// Returns how long lies between this and `other`.
    #[must_use]
    pub fn apart(self, other: Self) -> Duration {
        Duration::from_nanos(self.0.abs_diff(other.0))
    }

    /// Returns how much later than `other`; zero if it is not.
    #[must_use]
    pub fn since(self, other: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(other.0))
    }
}

/// One instant on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time of day that the fleet goes by, milliseconds since the Unix epoch. It may be set at any time.
    pub wall_ms: i64,
    pub boot: BootTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_instant_is_later_than_never() {
        assert_eq!(BootTime(5).plus(Duration::MAX), BootTime::NEVER);
        assert_eq!(BootTime(5).since(BootTime(7)), Duration::ZERO);
    }
}
