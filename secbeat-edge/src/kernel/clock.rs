//! The kernel's clocks: `CLOCK_BOOTTIME` for people and comparisons, jiffies for the XDP program.

use std::time::Duration;

use anyhow::{Context, anyhow};
use aya::{TestRun as _, TestRunOptions, programs::Xdp};
use nix::time::{ClockId, clock_getres, clock_gettime};
use secbeat_common::maps::ClockReading;
use secbeat_daemon::time::now_ms;
use secbeat_edge_core::{BootTime, Moment};

/// The boot clock, now.
#[must_use]
pub fn boot_now() -> BootTime {
    // The clock exists on every supported kernel; zero would only make every ban look fresh.
    BootTime(clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| nanoseconds(time.into())))
}

/// Both clocks, now.
#[must_use]
pub fn moment_now() -> Moment {
    Moment {
        wall_ms: now_ms(),
        boot: boot_now(),
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Turns boot times into jiffies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JiffyClock {
    reading: ClockReading,
    hz: u64,
}

/// Runs a program once, on a packet that begins with these bytes, at most 64; returns the packet as it left it.
pub(super) fn run_probe(probe: &Xdp, begin: &[u8]) -> anyhow::Result<[u8; 64]> {
    let mut packet = [0; 64];
    packet[..begin.len()].copy_from_slice(begin);
    let input = packet;
    let options = TestRunOptions {
        data_in: Some(&input),
        data_out: Some(&mut packet),
        ..TestRunOptions::new()
    };
    probe.test_run(options)?;
    Ok(packet)
}

impl JiffyClock {
    /// Reads both clocks at one instant by running `probe` once in the kernel, and HZ from the resolution of the coarse
    /// clocks, which advance once a jiffy.
    pub(super) fn calibrate(probe: &mut Xdp) -> anyhow::Result<Self> {
        let packet = run_probe(probe, &[]).context("running the clock probe in the kernel")?;
        let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| packet[at + byte]));
        let reading = ClockReading {
            jiffies: word(0),
            boot_ns: word(8),
        };
        let tick = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).context("reading the length of a jiffy")?;
        Self::new(reading, nanoseconds(tick.into()))
    }

    fn new(reading: ClockReading, tick_ns: u64) -> anyhow::Result<Self> {
        if reading.boot_ns == 0 || !(1_000_000..=10_000_000).contains(&tick_ns) {
            return Err(anyhow!("impossible clocks: {reading:?}, {tick_ns} ns a jiffy"));
        }
        Ok(Self {
            reading,
            hz: (1_000_000_000 + tick_ns / 2) / tick_ns,
        })
    }

    /// Returns what it consists of, to be noted: jiffies, the boot clock at that instant, and jiffies in a second.
    pub(super) fn parts(&self) -> [u64; 3] {
        [self.reading.jiffies, self.reading.boot_ns, self.hz]
    }

    /// A clock as it was noted; `None` if none was.
    pub(super) fn of_parts([jiffies, boot_ns, hz]: [u64; 3]) -> Option<Self> {
        (hz != 0).then_some(Self {
            reading: ClockReading { jiffies, boot_ns },
            hz,
        })
    }

    /// Returns when that jiffy begins.
    pub(super) fn boot_at(&self, jiffies: u64) -> BootTime {
        let ns = |jiffies: u64| {
            u64::try_from(u128::from(jiffies) * 1_000_000_000 / u128::from(self.hz)).unwrap_or(u64::MAX)
        };
        BootTime(match jiffies.checked_sub(self.reading.jiffies) {
            Some(ahead) => self.reading.boot_ns.saturating_add(ns(ahead)),
            None => self
                .reading
                .boot_ns
                .saturating_sub(ns(self.reading.jiffies - jiffies)),
        })
    }

    /// The jiffy at which `at` has surely not passed: a ban may end up to one jiffy (1–10 ms) early, never late.
    #[must_use]
    pub fn jiffies_at(&self, at: BootTime) -> u64 {
        let ticks =
            |ns: u64| u64::try_from(u128::from(ns) * u128::from(self.hz) / 1_000_000_000).unwrap_or(u64::MAX);
        match at.0.checked_sub(self.reading.boot_ns) {
            Some(ahead) => self.reading.jiffies.saturating_add(ticks(ahead)),
            None => self
                .reading
                .jiffies
                .saturating_sub(ticks(self.reading.boot_ns - at.0).saturating_add(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_never_outlives_its_end_by_rounding() {
        let clock = JiffyClock::new(
            ClockReading {
                jiffies: 1000,
                boot_ns: 5_000_000_000,
            },
            4_000_000,
        )
        .unwrap();
        assert_eq!(clock.hz, 250);
        assert_eq!(clock.jiffies_at(BootTime(5_000_000_000)), 1000);
        assert_eq!(clock.jiffies_at(BootTime(5_003_999_999)), 1000);
        assert_eq!(clock.jiffies_at(BootTime(5_004_000_000)), 1001);
        assert_eq!(clock.jiffies_at(BootTime(305_000_000_000)), 76_000);
        assert!(clock.jiffies_at(BootTime(4_999_999_999)) < 1000);
        assert_eq!(clock.jiffies_at(BootTime(0)), 0);
        for jiffies in [900, 1000, 76_000] {
            assert_eq!(clock.jiffies_at(clock.boot_at(jiffies)).abs_diff(jiffies) / 2, 0);
        }
        assert_eq!(JiffyClock::of_parts(clock.parts()), Some(clock));
        assert_eq!(JiffyClock::of_parts([0; 3]), None);
    }

    #[test]
    fn a_ban_without_end_outlives_every_host_and_overflows_nothing() {
        for tick_ns in [1_000_000, 10_000_000] {
            let reading = ClockReading {
                jiffies: u64::from(u32::MAX) - 300_000,
                boot_ns: 1,
            };
            let clock = JiffyClock::new(reading, tick_ns).unwrap();
            let centuries = 5 * 100 * 365 * 24 * 3600 * clock.hz;
            assert!(clock.jiffies_at(BootTime::NEVER) - reading.jiffies > centuries);
        }
    }

    #[test]
    fn every_common_hz_is_recognised() {
        for (tick_ns, hz) in [
            (1_000_000, 1000),
            (3_333_333, 300),
            (4_000_000, 250),
            (10_000_000, 100),
        ] {
            let clock = JiffyClock::new(
                ClockReading {
                    jiffies: 1,
                    boot_ns: 1,
                },
                tick_ns,
            )
            .unwrap();
            assert_eq!(clock.hz, hz);
        }
        assert!(
            JiffyClock::new(
                ClockReading {
                    jiffies: 1,
                    boot_ns: 1
                },
                0
            )
            .is_err()
        );
    }

    #[test]
    fn the_boot_clock_moves_on() {
        let first = boot_now();
        assert!(first.0 > 0);
        assert!(boot_now() >= first);
    }
}
