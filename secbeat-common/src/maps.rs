//! Layout of the kernel maps: the contract between the XDP program, the edge agent and `bpftool map dump`.
//!
//! Every struct here is `repr(C)`, fixed-width and free of padding; a test below locks each offset. Changing any of
//! them changes the layout of maps that stay pinned across upgrades.

/// Name of the XDP program, in the object and in `bpftool prog`.
pub const PROGRAM: &str = "secbeat";
/// Name of the program that reads the kernel's clocks (see [`ClockReading`]); run, never attached.
pub const CLOCK_PROBE: &str = "clock_probe";

/// LRU hash of banned IPv4 sources: 4 bytes in network order → [`Ban`].
pub const BANNED_V4: &str = "BANNED_V4";
/// LRU hash of banned IPv6 sources: the upper 8 bytes in network order → [`Ban`]; an attacker owns a whole /64.
pub const BANNED_V6: &str = "BANNED_V6";
/// LPM trie of sources that are never dropped: [`NetKey`] → [`Allow`].
pub const ALLOWED_NETS: &str = "ALLOWED_NETS";
/// Per-CPU array indexed by [`Verdict`](crate::verdict::Verdict) → [`Counter`].
pub const COUNTERS: &str = "COUNTERS";
/// Array of one [`Settings`].
pub const SETTINGS: &str = "SETTINGS";

/// Every map of the object, in the order in which they are pinned.
pub const ALL: [&str; 5] = [BANNED_V4, BANNED_V6, ALLOWED_NETS, COUNTERS, SETTINGS];

/// Where program, links and maps are pinned unless the edge's config says otherwise.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/secbeat";

/// Slots in each ban map unless the edge's config says otherwise (about 100 bytes of kernel memory each).
pub const DEFAULT_BAN_SLOTS: u32 = 262_144;
/// Most prefixes in `ALLOWED_NETS`. Small on purpose: a large trie is slow to look up and slow to free.
pub const ALLOWED_SLOTS: u32 = 4096;

/// Why and until when a source is banned.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ban {
    /// End of the ban in jiffies (`bpf_jiffies64`): what the program compares, since reading jiffies costs one load.
    pub expires_jiffies: u64,
    /// The same end in nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`).
    pub expires_boot_ns: u64,
    /// Packets dropped because of this ban.
    pub dropped_packets: u64,
    /// Bytes of those packets.
    pub dropped_bytes: u64,
    /// Why: a [`reason`] code.
    pub reason: u8,
    /// Who wrote it: an [`origin`] code.
    pub origin: u8,
    /// Earlier bans of this source within the strike window.
    pub strikes: u16,
    /// [`Settings::allow_generation`] of the allowlist that was found not to touch this source at all: as long as it is
    /// the current one, the program need not look. 0: never compared, so every packet is looked up.
    pub unallowed_in: u32,
}

/// Codes of [`Ban::reason`].
pub mod reason {
    /// An operator asked for it.
    pub const MANUAL: u8 = 1;
    /// Rule `error-flood`.
    pub const ERROR_FLOOD: u8 = 2;
    /// Rule `request-flood`.
    pub const REQUEST_FLOOD: u8 = 3;
}

/// Codes of [`Ban::origin`].
pub mod origin {
    /// Came over the bus; the fleet's ledger owns it.
    pub const FLEET: u8 = 1;
    /// Added on this host; reconciliation leaves it alone.
    pub const LOCAL: u8 = 2;
}

/// Key of the LPM tries: prefix length in bits over 16 address bytes, IPv4 as `::ffff:a.b.c.d` (so /32 is 128 here).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetKey {
    /// 0–128.
    pub prefix_len: u32,
    /// Network order.
    pub addr: [u8; 16],
}

/// Why a network is never dropped.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// An [`allow`] code.
    pub reason: u32,
}

/// Codes of [`Allow::reason`].
pub mod allow {
    /// Listed in the edge's config.
    pub const CONFIGURED: u32 = 1;
    /// Loopback.
    pub const LOOPBACK: u32 = 2;
    /// One of this host's own addresses.
    pub const OWN_ADDRESS: u32 = 3;
    /// A default gateway.
    pub const GATEWAY: u32 = 4;
    /// A DNS resolver.
    pub const RESOLVER: u32 = 5;
    /// The NATS server.
    pub const BUS: u32 = 6;
    /// The other end of a live SSH session.
    pub const SSH_PEER: u32 = 7;
    /// An upstream of the reverse proxy.
    pub const UPSTREAM: u32 = 8;
}

/// Packets and bytes that met one verdict, on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    pub packets: u64,
    pub bytes: u64,
}

/// What the program is told at run time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// A [`mode`] code.
    pub mode: u32,
    /// Changes before each change of `ALLOWED_NETS`; never 0 once an allowlist was written. See [`Ban::unallowed_in`].
    pub allow_generation: u32,
}

/// Codes of [`Settings::mode`].
pub mod mode {
    /// Drop what is banned. The value of a fresh map, so that a lost setting fails closed on bans.
    pub const ENFORCE: u32 = 0;
    /// Count what would be dropped and let it pass.
    pub const OBSERVE: u32 = 1;
}

/// What [`CLOCK_PROBE`] writes over the first 16 bytes of its packet: both clocks at one instant.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockReading {
    pub jiffies: u64,
    pub boot_ns: u64,
}

#[cfg(feature = "aya")]
mod pod {
    use super::{Allow, Ban, Counter, Settings};

    // SAFETY: `repr(C)` integers without padding; every bit pattern is a value (see the layout test).
    unsafe impl aya::Pod for Ban {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Allow {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Counter {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Settings {}
}

#[cfg(test)]
mod tests {
    use core::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn layout_of_map_values_is_locked() {
        assert_eq!(size_of::<Ban>(), 40);
        assert_eq!(offset_of!(Ban, expires_jiffies), 0);
        assert_eq!(offset_of!(Ban, expires_boot_ns), 8);
        assert_eq!(offset_of!(Ban, dropped_packets), 16);
        assert_eq!(offset_of!(Ban, dropped_bytes), 24);
        assert_eq!(offset_of!(Ban, reason), 32);
        assert_eq!(offset_of!(Ban, origin), 33);
        assert_eq!(offset_of!(Ban, strikes), 34);
        assert_eq!(offset_of!(Ban, unallowed_in), 36);
        assert_eq!((size_of::<NetKey>(), offset_of!(NetKey, addr)), (20, 4));
        assert_eq!(size_of::<Allow>(), 4);
        assert_eq!((size_of::<Counter>(), offset_of!(Counter, bytes)), (16, 8));
        assert_eq!(
            (size_of::<Settings>(), offset_of!(Settings, allow_generation)),
            (8, 4)
        );
        assert_eq!(
            (size_of::<ClockReading>(), offset_of!(ClockReading, boot_ns)),
            (16, 8)
        );
    }
}
