//! Clocks that a ban's end can be compared with. See `docs/performance.md` for what each costs.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_boot_ns};
use secbeat_common::maps::Ban;

/// Jiffies since boot: one load where the JIT inlines it.
#[inline(always)]
pub(crate) fn jiffies() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_jiffies64() }
}

/// Decides whether a ban has ended.
pub(crate) trait Clock {
    /// Whether a source may be remembered instead of looked up; see `flood.rs`.
    const REMEMBERS: bool;

    /// Asked on each lookup of a ban. `thorough`: once in a while, when a dear look is worth it.
    fn has_ended(ban: &Ban, thorough: bool) -> bool;
}

/// Jiffies on every lookup; the boot clock too where the look is thorough, because jiffies stand still while the machine
/// is suspended and a ban's end does not.
pub(crate) struct Jiffies;

impl Clock for Jiffies {
    const REMEMBERS: bool = true;

    #[inline(always)]
    fn has_ended(ban: &Ban, thorough: bool) -> bool {
        jiffies() >= ban.expires_jiffies || (thorough && boot() >= ban.expires_boot_ns)
    }
}

/// Nanoseconds since boot, suspend included.
#[inline(always)]
pub(crate) fn boot() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// The alternatives, for `cargo xtask bench xdp`. They look every packet up.
#[cfg(feature = "bench-clocks")]
pub(crate) mod alternatives {
    use super::{Ban, Clock, boot};

    /// As the program, but nothing is remembered.
    pub(crate) struct Forgetful;

    impl Clock for Forgetful {
        const REMEMBERS: bool = false;

        #[inline(always)]
        fn has_ended(ban: &Ban, thorough: bool) -> bool {
            super::Jiffies::has_ended(ban, thorough)
        }
    }

    /// `CLOCK_BOOTTIME` on every packet.
    pub(crate) struct Boot;

    impl Clock for Boot {
        const REMEMBERS: bool = false;

        #[inline(always)]
        fn has_ended(ban: &Ban, _: bool) -> bool {
            boot() >= ban.expires_boot_ns
        }
    }

    /// The coarse monotonic clock on every packet.
    pub(crate) struct Coarse;

    impl Clock for Coarse {
        const REMEMBERS: bool = false;

        #[inline(always)]
        fn has_ended(ban: &Ban, _: bool) -> bool {
            // SAFETY: a helper without arguments.
            unsafe { aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns() >= ban.expires_boot_ns }
        }
    }

    /// No clock at all: a ban never ends.
    pub(crate) struct Never;

    impl Clock for Never {
        const REMEMBERS: bool = false;

        #[inline(always)]
        fn has_ended(_: &Ban, _: bool) -> bool {
            false
        }
    }
}
