//! Layout of the kernel maps: the contract between the XDP program, the edge agent and `bpftool map dump`.
//!
//! Every struct here is `repr(C)`, fixed-width and free of padding; a test below locks each offset. Changing any of
//! them changes the layout of maps that stay pinned across upgrades.

use crate::verdict::Verdict;

/// Name of the XDP program, in the object and in `bpftool prog`.
pub const PROGRAM: &str = "secbeat";
/// The filter program for drivers that hand over a packet in several buffers (jumbo frames); needs Linux 5.18.
pub const PROGRAM_FRAGS: &str = "secbeat_frags";
/// The XDP programs that are attached, the preferred one first.
pub const XDP_PROGRAMS: [&str; 2] = [PROGRAM_FRAGS, PROGRAM];
/// The filter program for the stack's ingress hook (tcx, Linux 6.6), on interfaces whose packets have Ethernet headers.
pub const PROGRAM_TC: &str = "secbeat_tc";
/// The filter program for that hook on interfaces whose packets have no Ethernet header of their own: tunnels, WireGuard, PPP.
pub const PROGRAM_TC_IP: &str = "secbeat_tc_ip";
/// Programs for the stack's ingress hook.
pub const TC_PROGRAMS: [&str; 2] = [PROGRAM_TC, PROGRAM_TC_IP];
/// All programs that are attached.
pub const PROGRAMS: [&str; 4] = [PROGRAM_FRAGS, PROGRAM, PROGRAM_TC, PROGRAM_TC_IP];
/// Name of the program that reads the kernel's clocks (see [`ClockReading`]); run, never attached.
pub const CLOCK_PROBE: &str = "clock_probe";
/// Name of the program that looks an address up in the table at [`PROOF`]; run, never attached. The address is that of its packet's
/// first 16 bytes, IPv4 as `::ffff:a.b.c.d`; it writes the line of the record over the first four of them, or 0.
pub const TABLE_PROBE: &str = "table_probe";
/// Name of the program that does the same in the table of lists at [`PROOF`], and writes its lists over the first eight of them, with
/// [`BANS`](crate::lists::BANS) and [`ALLOWS`](crate::lists::ALLOWS).
pub const LIST_PROBE: &str = "list_probe";

/// LRU hash of banned IPv4 sources: 4 bytes in network order → [`Ban`].
pub const BANNED_V4: &str = "BANNED_V4";
/// LRU hash of banned IPv6 sources: the upper 8 bytes in network order → [`Ban`]; an attacker owns a whole /64.
pub const BANNED_V6: &str = "BANNED_V6";
/// Array of [`sieve_words`] words, four bits of one of them for each banned source (see [`Sieved`]): a blocked Bloom filter. Anyone who
/// writes a ban into the two maps above sets its bits first. Consulted only while [`Settings::sieve_in_use`].
pub const SIEVE: &str = "SIEVE";
/// Array of [`lane::Line`](crate::lane::Line)s: the [express lane](crate::lane) in front of the two maps above.
pub const LANE: &str = "LANE";
/// The program's constant that says where a hash is cut to a word of [`SIEVE`]: [`sieve_shift`].
pub const SIEVE_SHIFT: &str = "SIEVE_SHIFT";
/// LPM trie of banned networks, all that is neither an IPv4 /32 nor an IPv6 /64: [`NetKey`] → [`Ban`]. Looked up only
/// while [`Settings::nets_in_use`] says so.
pub const BANNED_NETS: &str = "BANNED_NETS";
/// Array of maps: at [`IN_FORCE`] the [table](crate::table) of the banned networks that are too many for the trie, if there is one; at
/// [`PROOF`] another one for a moment, which is asked at a start what is known of it.
pub const NET_TABLES: &str = "NET_TABLES";
/// Under this name the table at [`IN_FORCE`] is pinned: a map in a map cannot be opened without `CAP_SYS_ADMIN`.
pub const NET_TABLE: &str = "NET_TABLE";
/// Array of maps: at [`IN_FORCE`] the [table](crate::lists) of all static lists, if there is one, and at [`PROOF`] as in `NET_TABLES`.
pub const LISTS: &str = "LISTS";
/// Under this name the table of lists at [`IN_FORCE`] is pinned.
pub const LIST_TABLE: &str = "LIST_TABLE";
/// Per-CPU array → [`Counter`]: what met each static list, by its bit.
pub const LIST_COUNTS: &str = "LIST_COUNTS";
/// LPM trie of sources that are never dropped: [`NetKey`] → [`Allow`].
pub const ALLOWED_NETS: &str = "ALLOWED_NETS";
/// Per-CPU array → [`Counter`]: a slot per [`Verdict`](crate::verdict::Verdict), then [`LOST_EVENTS`].
pub const COUNTERS: &str = "COUNTERS";
/// Per-CPU array of [`FLOOD_SLOTS`] × [`Flood`]: the program's memory of whom it has just dropped.
pub const FLOODS: &str = "FLOODS";
/// Ring buffer of [`DropEvent`].
pub const EVENTS: &str = "EVENTS";
/// Array of [`PORT_WORDS`] words, a bit for each port to which packets of banned sources are dropped. Consulted only while
/// [`Settings::ports_in_use`].
pub const PORTS: &str = "PORTS";
/// Hash of the interfaces on which bans are only observed: their number (`ifindex`) → 1. Consulted only while [`Settings::mode`] is
/// [`mode::SOME_OBSERVE`].
pub const OBSERVING: &str = "OBSERVING";
/// Array of one [`Settings`].
pub const SETTINGS: &str = "SETTINGS";

/// Every map of the object, in the order in which they are pinned.
pub const ALL: [&str; 15] = [
    BANNED_V4,
    BANNED_V6,
    SIEVE,
    LANE,
    BANNED_NETS,
    NET_TABLES,
    LISTS,
    ALLOWED_NETS,
    COUNTERS,
    LIST_COUNTS,
    FLOODS,
    EVENTS,
    PORTS,
    OBSERVING,
    SETTINGS,
];

/// Where program, links and maps are pinned unless the edge's config says otherwise.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/secbeat";

/// Most slots in each map of banned sources unless the edge's config says otherwise (113 bytes of kernel memory each).
pub const DEFAULT_BAN_SLOTS: u32 = 262_144;
/// Slots with which these maps begin: all maps take less than 8 MB, and 12,288 bans of each family need no growth.
pub const FIRST_BAN_SLOTS: u32 = 24_576;
/// Most prefixes in `ALLOWED_NETS`. Small on purpose: a large trie is slow to look up and slow to free.
pub const ALLOWED_SLOTS: u32 = 4096;
/// Most prefixes in `BANNED_NETS`. Small for the same reason.
pub const NET_SLOTS: u32 = 4096;
/// Most prefixes that are banned through it. One slot stays free, without which kernels before 6.13 refuse to replace an
/// entry.
pub const MAX_TRIE_NETS: u32 = NET_SLOTS - 1;
/// Most networks that are banned through `BANNED_NETS`; when there are more, all of them move into a table.
pub const FEW_NETS: u32 = 1024;
/// Most networks that are banned at a time. In a table they take about 80 MB, of IPv6 alone about 128 MB.
pub const MAX_BANNED_NETS: u32 = 1_000_000;
/// Entries of `NET_TABLES` and of `LISTS`.
pub const TABLE_SLOTS: u32 = 2;
/// The table that is in force.
pub const IN_FORCE: u32 = 0;
/// The table that is asked at a start.
pub const PROOF: u32 = 1;
/// `BPF_F_MMAPABLE | BPF_F_INNER_MAP` of `linux/bpf.h`, of a table: the edge writes it in memory that it shares with the kernel, and each
/// has its own size. The second flag also keeps the kernel from inlining lookups, in which some read the first line alone (commit
/// d937bc3449fa without cba41bb78d70).
pub const TABLE_FLAGS: u32 = 1 << 10 | 1 << 12;
/// `BPF_F_MMAPABLE` of `linux/bpf.h`: the edge sets bits of `SIEVE` in memory that it shares with the kernel.
pub const SIEVE_FLAGS: u32 = 1 << 10;
/// The same of `LANE`.
pub const LANE_FLAGS: u32 = SIEVE_FLAGS;
/// Words of `PORTS`: 65,536 bits.
pub const PORT_WORDS: u32 = 1024;
/// Most interfaces that only observe.
pub const OBSERVING_SLOTS: u32 = 1024;
/// Slots of `COUNTERS`.
pub const COUNTER_SLOTS: u32 = Verdict::COUNT as u32 + 1;
/// The slot of `COUNTERS` in which events that found [`EVENTS`] full are counted (as packets).
pub const LOST_EVENTS: u32 = Verdict::COUNT as u32;
/// Sources that each CPU can remember. A power of two.
pub const FLOOD_SLOTS: u32 = 64;
/// Bytes of the ring buffer. A power of two and a multiple of every page size (64 KiB on some ARM and POWER machines).
pub const EVENT_BYTES: u32 = 256 * 1024;

/// The reason why and until when a source is banned.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ban {
    /// End of the ban in jiffies (`bpf_jiffies64`): what the program compares, since reading jiffies costs one load.
    pub expires_jiffies: u64,
    /// End in nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`); [`NEVER`](Self::NEVER) has none.
    pub expires_boot_ns: u64,
    /// Packets dropped because of this ban (in observe mode: that would have been). Exact for the first 64; from then on
    /// each CPU may hold up to 63 more back in [`FLOODS`].
    pub dropped_packets: u64,
    /// Bytes of those packets.
    pub dropped_bytes: u64,
    /// Reason: a [`reason`] code.
    pub reason: u8,
    /// Origin: an [`origin`] code.
    pub origin: u8,
    /// Earlier bans of this source within the strike window.
    pub strikes: u16,
    /// [`Settings::allow_generation`] of the allowlist that was found not to touch this source at all: as long as it is
    /// the current one, the program need not look. 0: never compared, so every packet is looked up.
    pub unallowed_in: u32,
}

impl Ban {
    /// [`expires_boot_ns`](Self::expires_boot_ns) of a ban without end.
    pub const NEVER: u64 = u64::MAX;
}

/// Codes of [`Ban::reason`].
pub mod reason {
    /// An operator asked for it.
    pub const MANUAL: u8 = 1;
    /// Rule `error-flood`.
    pub const ERROR_FLOOD: u8 = 2;
    /// Rule `request-flood`.
    pub const REQUEST_FLOOD: u8 = 3;
    /// Rule `waf-flood`.
    pub const WAF_FLOOD: u8 = 4;
    /// Rule `path-scan`.
    pub const PATH_SCAN: u8 = 5;
    /// Rule `login-bruteforce`.
    pub const LOGIN_BRUTEFORCE: u8 = 6;
    /// A rule of the operator's own; its name is on the bus alone.
    pub const OWN_RULE: u8 = 7;
    /// Rule `protocol-abuse`.
    pub const PROTOCOL_ABUSE: u8 = 8;
    /// Rule `probe`.
    pub const PROBE: u8 = 9;
    /// Rule `attack`.
    pub const ATTACK: u8 = 10;
    /// Rule `scanner`.
    pub const SCANNER: u8 = 11;
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
    /// Address in network order.
    pub addr: [u8; 16],
}

/// The reason why a network is never dropped.
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
    /// A proxy that names its clients: its packets are theirs.
    pub const TRUSTED_PROXY: u32 = 9;
    /// Listed on the fleet's allowlist.
    pub const FLEET: u32 = 10;
    /// Allowlisted on this host at run time.
    pub const LOCAL: u32 = 11;
}

/// Packets and bytes that met one verdict, on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    pub packets: u64,
    pub bytes: u64,
}

/// Words of `SIEVE` beside maps with `ban_slots` slots: a power of two, and at least 16 bits for each of as many bans, with which one
/// in two hundred of all other sources is looked up in vain.
#[must_use]
pub const fn sieve_words(ban_slots: u32) -> u32 {
    const FEWEST: u32 = 1024;
    const MOST: u32 = 1 << 26;
    // As many as there were when each source had one bit: maps of the same layout would be taken for the same.
    const OF_ONE_BIT: u32 = 32_768;
    match ban_slots / 4 {
        few if few < FEWEST => FEWEST,
        many if many > MOST => MOST,
        words => match words.next_power_of_two() {
            OF_ONE_BIT => 2 * OF_ONE_BIT,
            words => words,
        },
    }
}

/// [`SIEVE_SHIFT`] of a sieve of so many words.
#[must_use]
pub const fn sieve_shift(words: u32) -> u32 {
    u64::BITS - words.ilog2()
}

/// The place of a source in `SIEVE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sieved {
    /// Index of the word.
    pub word: u32,
    /// The word with up to four bits of this source alone.
    pub bits: u64,
}

impl Sieved {
    /// Of a source as [`Flood::source`] has it, in a sieve with this [`sieve_shift`]. Anyone who knows the hash and chooses addresses
    /// gains no more than lookups in vain.
    #[inline(always)]
    #[must_use]
    pub const fn of(source: u64, shift: u32) -> Self {
        let mut hash = hash(source);
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self {
            word: (hash >> shift) as u32,
            bits: 1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63) | 1 << (hash >> 18 & 63),
        }
    }
}

/// Spreads sources over the upper bits. Multiplicative hashing: Knuth, The Art of Computer Programming 3, 6.4.
#[inline(always)]
#[must_use]
pub const fn hash(source: u64) -> u64 {
    source.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A source that one CPU has just dropped, so that the next packet of a flood needs no hash lookup. Holds for the rest of
/// the jiffy in which the ban was looked up (1–10 ms), and for 63 packets at most; [`family::NONE`] marks an empty slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flood {
    /// The key in the ban map, in memory as it is there; an IPv4 key is followed by four zero bytes.
    pub source: u64,
    /// The ban's `expires_boot_ns`, which tells one ban of a source from the next.
    pub expires_boot_ns: u64,
    /// The jiffy in which the ban was looked up.
    pub jiffy: u64,
    /// Bytes of the packets below.
    pub bytes: u64,
    /// Packets dropped since, and not yet counted in the ban.
    pub packets: u32,
    /// A [`family`] code.
    pub family: u32,
}

/// Codes of [`Flood::family`].
pub mod family {
    /// Packets without a source.
    pub const NONE: u32 = 0;
    /// A key of `BANNED_V4`.
    pub const V4: u32 = 4;
    /// A key of `BANNED_V6`.
    pub const V6: u32 = 6;
}

/// A sampled drop: the first packet of each ban, and then one every [`Settings::event_every`] packets of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropEvent {
    /// Time in nanoseconds since boot, suspend included.
    pub boot_ns: u64,
    /// [`Ban::dropped_packets`] with this one.
    pub dropped_packets: u64,
    /// Source address in network order, IPv4 as `::ffff:a.b.c.d`.
    pub source: [u8; 16],
    /// Bytes of this packet.
    pub bytes: u32,
    /// The [`Verdict`]: dropped, or observed. An interface that only observes lets the packet pass all the same
    /// ([`mode::SOME_OBSERVE`]).
    pub verdict: u16,
    /// [`Ban::reason`].
    pub reason: u8,
    /// [`Ban::origin`].
    pub origin: u8,
}

impl DropEvent {
    /// Reads one as the ring buffer holds it; `None` for another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; size_of::<Self>()] = bytes.try_into().ok()?;
        let (boot_ns, rest) = bytes.split_first_chunk()?;
        let (dropped_packets, rest) = rest.split_first_chunk()?;
        let (source, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (verdict, rest) = rest.split_first_chunk()?;
        let [reason, origin] = rest.try_into().ok()?;
        Some(Self {
            boot_ns: u64::from_ne_bytes(*boot_ns),
            dropped_packets: u64::from_ne_bytes(*dropped_packets),
            source: *source,
            bytes: u32::from_ne_bytes(*len),
            verdict: u16::from_ne_bytes(*verdict),
            reason,
            origin,
        })
    }
}

/// Settings of the program at run time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// A [`mode`] code.
    pub mode: u32,
    /// Changes before each change of `ALLOWED_NETS`; never 0 once an allowlist was written. See [`Ban::unallowed_in`].
    pub allow_generation: u32,
    /// Places of networks: bits of [`nets`].
    pub nets_in_use: u32,
    /// Packets of one ban between two events: a power of two, or 0 for no events at all.
    pub event_every: u32,
    /// Whether every ban has its bit in `SIEVE`, so that sources without one need not be looked up: 0 or 1.
    pub sieve_in_use: u32,
    /// Whether bans reach only the TCP and UDP ports in `PORTS`: 0 or 1.
    pub ports_in_use: u32,
}

/// Bits of [`Settings::nets_in_use`].
pub mod nets {
    /// `BANNED_NETS` holds something.
    pub const TRIE: u32 = 1;
    /// `NET_TABLES` holds something.
    pub const TABLE: u32 = 2;
    /// `LISTS` holds something.
    pub const LISTS: u32 = 4;
    /// One of those lists allows.
    pub const ALLOWING: u32 = 8;
}

/// Codes of [`Settings::mode`].
pub mod mode {
    /// Drop what is banned. The value of a fresh map, so that a lost setting fails closed on bans.
    pub const ENFORCE: u32 = 0;
    /// Count what would be dropped and let it pass.
    pub const OBSERVE: u32 = 1;
    /// The first, and the second on the interfaces in [`OBSERVING`](super::OBSERVING).
    pub const SOME_OBSERVE: u32 = 2;
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
    use super::{Allow, Ban, Counter, Flood, Settings};

    // SAFETY: `repr(C)` integers without padding; every bit pattern is a value (see the layout test).
    unsafe impl aya::Pod for Ban {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Allow {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Counter {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Flood {}
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
            (size_of::<Settings>(), offset_of!(Settings, ports_in_use)),
            (24, 20)
        );
        assert_eq!(offset_of!(Settings, sieve_in_use), 16);
        assert_eq!(offset_of!(Settings, allow_generation), 4);
        assert_eq!(offset_of!(Settings, nets_in_use), 8);
        assert_eq!(offset_of!(Settings, event_every), 12);
        assert_eq!(size_of::<Flood>(), 40);
        assert_eq!(offset_of!(Flood, expires_boot_ns), 8);
        assert_eq!(offset_of!(Flood, jiffy), 16);
        assert_eq!(offset_of!(Flood, bytes), 24);
        assert_eq!(offset_of!(Flood, packets), 32);
        assert_eq!(offset_of!(Flood, family), 36);
        assert_eq!(size_of::<DropEvent>(), 40);
        assert_eq!(offset_of!(DropEvent, dropped_packets), 8);
        assert_eq!(offset_of!(DropEvent, source), 16);
        assert_eq!(offset_of!(DropEvent, bytes), 32);
        assert_eq!(offset_of!(DropEvent, verdict), 36);
        assert_eq!(offset_of!(DropEvent, reason), 38);
        assert_eq!(offset_of!(DropEvent, origin), 39);
        assert_eq!(
            (size_of::<ClockReading>(), offset_of!(ClockReading, boot_ns)),
            (16, 8)
        );
    }

    /// A source that passes a full sieve is looked up in vain. Neighbours, of which a poor hash makes the most.
    #[test]
    fn fewer_than_one_in_a_hundred_other_sources_pass_a_sieve_with_as_many_bans_as_slots() {
        const OTHERS: u32 = 100_000;
        let v4 = |address: u32| u64::from(address.to_be());
        let v6 = |net: u32| (0x2001_0db8_u64 << 32 | u64::from(net)).to_be();
        for bans in [5000, 262_144, 1_000_000] {
            let words = sieve_words(bans);
            let shift = sieve_shift(words);
            let mut sieve = std::vec![0; words as usize];
            for n in 0..bans / 2 {
                for source in [v4(0x0a00_0000 + n), v6(n)] {
                    let Sieved { word, bits } = Sieved::of(source, shift);
                    sieve[word as usize] |= bits;
                }
            }
            let passes = |source: &u64| {
                let Sieved { word, bits } = Sieved::of(*source, shift);
                sieve[word as usize] & bits == bits
            };
            let others = (0..OTHERS / 2).flat_map(|n| [v4(0xc612_0000 + n), v6(0x8000_0000 + n)]);
            let passed = others.filter(passes).count();
            assert!(
                passed < OTHERS as usize / 100,
                "{passed} of {OTHERS} beside {bans}"
            );
        }
    }
}
