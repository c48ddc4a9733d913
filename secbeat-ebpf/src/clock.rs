//! Clocks that a ban's end can be compared with. See `docs/performance.md` for what each costs.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_boot_ns};
use secbeat_common::maps::Ban;

/// Packets of one ban between two looks at the boot clock. A power of two.
const BOOT_CHECK_EVERY: u64 = 64;

/// Decides whether a ban has ended.
pub(crate) trait Clock {
    fn has_ended(ban: &Ban) -> bool;
}

/// Jiffies, which the JIT inlines to one load, on every packet; the boot clock on the first packet of a ban and on
/// every 64th after it, because jiffies stand still while the machine is suspended and a ban's end does not.
pub(crate) struct Jiffies;

impl Clock for Jiffies {
    #[inline(always)]
    fn has_ended(ban: &Ban) -> bool {
        // SAFETY: a helper without arguments.
        if unsafe { bpf_jiffies64() } >= ban.expires_jiffies {
            return true;
        }
        ban.dropped_packets.is_multiple_of(BOOT_CHECK_EVERY) && Boot::has_ended(ban)
    }
}

/// `CLOCK_BOOTTIME` on every packet.
pub(crate) struct Boot;

impl Clock for Boot {
    #[inline(always)]
    fn has_ended(ban: &Ban) -> bool {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_boot_ns() >= ban.expires_boot_ns }
    }
}

/// The coarse monotonic clock, for comparison.
#[cfg(feature = "bench-clocks")]
pub(crate) struct Coarse;

#[cfg(feature = "bench-clocks")]
impl Clock for Coarse {
    #[inline(always)]
    fn has_ended(ban: &Ban) -> bool {
        // SAFETY: a helper without arguments.
        unsafe { aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns() >= ban.expires_boot_ns }
    }
}

/// No clock at all, for comparison: a ban never ends.
#[cfg(feature = "bench-clocks")]
pub(crate) struct Never;

#[cfg(feature = "bench-clocks")]
impl Clock for Never {
    #[inline(always)]
    fn has_ended(_: &Ban) -> bool {
        false
    }
}
