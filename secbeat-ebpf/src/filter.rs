//! The decision: what becomes of one packet.
//!
//! A packet that is not banned pays a look into an array of bits, and rarely one hash miss. Everything else happens on a
//! hit only: the ban's end, then the allowlist, then the mode.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_map_lookup_elem;
use secbeat_common::{
    lane,
    maps::{Ban, IN_FORCE, Settings, Sieved, mode, nets},
    table::{Record, find_v4, find_v6},
    verdict::Verdict,
};
use secbeat_ebpf::parse::{self, Frame, NoSource, Packet, Port, Source};

use crate::{
    address::{NetKey, is_allowed, is_v4, whole},
    clock::{Clock, Jiffies},
    event,
    flood::{Key, Memory, REMEMBER_FROM},
    lane::{MISS, judge_in_lane},
    lists,
    maps::{
        BANNED_NETS, BANNED_V4, BANNED_V6, NET_TABLES, OBSERVING, PORTS, SETTINGS, SIEVE, Table,
        shift_of_sieve,
    },
};

/// Judges `packet` of `bytes` bytes, which was found in `frame`.
#[inline(always)]
pub(crate) fn judge<C: Clock>(frame: &Frame, packet: Result<Packet, NoSource>, bytes: u64) -> Verdict {
    let Some(settings) = SETTINGS.get(0) else {
        return Verdict::Clean;
    };
    let packet = match packet {
        Ok(packet) => packet,
        Err(NoSource::NotIp) => return Verdict::NotIp,
        Err(NoSource::Malformed) => return Verdict::Malformed,
    };
    let packet = &InFrame { frame, packet };
    match packet.packet.source.canonical() {
        Source::V4(octets) => {
            let own = || BANNED_V4.get_ptr_mut(octets);
            judge_source::<C>(
                bytes,
                settings,
                Key::v4(octets),
                own,
                || v4_mapped(octets),
                packet,
            )
        }
        Source::V6(octets) => {
            let upper_half = upper_half(&octets);
            let own = || BANNED_V6.get_ptr_mut(upper_half);
            judge_source::<C>(
                bytes,
                settings,
                Key::v6(upper_half),
                own,
                || words(&octets),
                packet,
            )
        }
    }
}

/// Whether the interface with this number only observes, while others drop.
#[inline(always)]
pub(crate) fn is_observed(interface: impl FnOnce() -> u32) -> bool {
    SETTINGS
        .get(0)
        .is_some_and(|settings| settings.mode == mode::SOME_OBSERVE)
        && OBSERVING.get_ptr(interface()).is_some()
}

/// A packet, and the frame that it was found in.
struct InFrame<'a> {
    frame: &'a Frame,
    packet: Packet,
}

/// Whether bans reach a packet: one to the ports that they are limited to, or without the port that it would have.
#[inline(always)]
fn is_in_scope(InFrame { frame, packet }: &InFrame<'_>) -> bool {
    match parse::port(frame, packet) {
        Port::Number(port) => PORTS
            .get(u32::from(port >> 6))
            .is_some_and(|word| *word & 1 << (port & 63) != 0),
        Port::Missing => true,
        Port::None => false,
    }
}

/// Whether the source itself has no ban, which an array tells for a fraction of what a hash map asks. In doubt it may
/// have one.
#[inline(always)]
fn is_surely_unbanned(key: Key, settings: &Settings) -> bool {
    if settings.sieve_in_use == 0 {
        return false;
    }
    let Sieved { word, bits } = Sieved::of(key.source(), shift_of_sieve());
    SIEVE.get(word).is_some_and(|word| *word & bits != bits)
}

/// `own` looks for the ban of this very source; a banned network that it lies in is looked for here.
#[inline(always)]
fn judge_source<C: Clock>(
    bytes: u64,
    settings: &Settings,
    key: Key,
    own: impl Fn() -> Option<*mut Ban>,
    address: impl Fn() -> [u32; 4],
    packet: &InFrame<'_>,
) -> Verdict {
    let mut found = None;
    let mut verdict = Verdict::Clean;
    if !is_surely_unbanned(key, settings) {
        let memory = memory::<C>(key, settings);
        if memory.drops(bytes) {
            return Verdict::Banned;
        }
        // Who floods this CPU may flood others, too: they would all write to one line of the lane.
        let mut ban = match memory.knows() {
            true => own(),
            false => None,
        };
        if ban.is_none() && C::REMEMBERS {
            match in_lane(&address, settings, bytes) {
                MISS => {}
                BANNED => return Verdict::Banned,
                OBSERVED => return Verdict::Observed,
                _ => verdict = Verdict::Expired,
            }
        }
        if ban.is_none() && verdict == Verdict::Clean {
            ban = own();
        }
        found = ban.map(|ban| (ban, memory));
    }
    if let Some((ban, memory)) = found {
        // SAFETY: a live map value; it stays valid for this run, and userspace replaces it whole. Other CPUs may count
        // in it meanwhile: two that drop packets of one source at the same instant may lose a count here, which saves
        // every drop two locked instructions; `COUNTERS` is per CPU and exact.
        let ban = unsafe { &mut *ban };
        let before = ban.dropped_packets;
        let remembered = memory.settle(ban);
        let thorough = remembered || is_thorough(before);
        let asked = (
            || is_in_scope(packet),
            || {
                let [upper, lower] = halves(address());
                settings.nets_in_use & nets::ALLOWING != 0
                    && lists::allow(lists::find_lists(IN_FORCE, upper, lower), bytes)
            },
        );
        let (judged, certain) = judge_ban::<C>(bytes, settings, ban, before, thorough, &address, asked);
        if judged == Verdict::Banned && certain && thorough && ban.dropped_packets > REMEMBER_FROM {
            memory.remember(ban.expires_boot_ns);
        }
        if judged != Verdict::Expired {
            return judged;
        }
        verdict = judged;
    }
    if settings.nets_in_use == 0 {
        return verdict;
    }
    let [upper, lower] = halves(address());
    let reaches = settings.ports_in_use == 0 || is_in_scope(packet);
    // Found here and handed down: kernels count the stack of all functions that wait for each other, 512 bytes in all.
    let listed = match settings.nets_in_use & nets::LISTS {
        0 => 0,
        _ => lists::find_lists(IN_FORCE, upper, lower),
    };
    match judge_networks(upper, lower, bytes, u32::from(reaches), listed) {
        CLEAN => verdict,
        BANNED => Verdict::Banned,
        ALLOWED => Verdict::Allowed,
        OBSERVED => Verdict::Observed,
        OTHER_PORT => Verdict::OtherPort,
        _ => Verdict::Expired,
    }
}

/// Returns what the express lane says, which knows sources and no ports.
#[inline(always)]
fn in_lane(address: &impl Fn() -> [u32; 4], settings: &Settings, bytes: u64) -> u32 {
    if settings.ports_in_use != 0 {
        return MISS;
    }
    let [upper, lower] = halves(address());
    let key = match is_v4([upper, lower]) {
        true => Some(lower),
        false => lane::v6(upper),
    };
    key.map_or(MISS, |key| judge_in_lane(key, lower, bytes))
}

const CLEAN: u32 = Verdict::Clean as u32;
const BANNED: u32 = Verdict::Banned as u32;
const ALLOWED: u32 = Verdict::Allowed as u32;
const OBSERVED: u32 = Verdict::Observed as u32;
const OTHER_PORT: u32 = Verdict::OtherPort as u32;

/// Returns what the bans of networks around an address (its halves), and the lists that it is on, mean for a packet of `bytes`
/// bytes, which they reach by its port or do not; as the number of a [`Verdict`]. The lists are those of [`lists::find_lists`].
///
/// No program inlines it: the kernel verifies a global function once, and what is inlined again with each way that leads to it,
/// which is ten times as much.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn judge_networks(
    upper: u64,
    lower: u64,
    bytes: u64,
    reaches: u32,
    listed: u64,
) -> u32 {
    let Some(settings) = SETTINGS.get(0) else {
        return CLEAN;
    };
    let mut verdict = Verdict::Clean;
    if settings.nets_in_use & nets::TRIE != 0
        && let Some(ban) = in_trie(whole([upper, lower]))
    {
        verdict = judge_net(bytes, settings, ban, [upper, lower], reaches, listed);
        if verdict != Verdict::Expired {
            return verdict as u32;
        }
    }
    if settings.nets_in_use & nets::TABLE != 0
        && let Some(ban) = in_table([upper, lower])
    {
        verdict = judge_net(bytes, settings, ban, [upper, lower], reaches, listed);
        if verdict != Verdict::Expired {
            return verdict as u32;
        }
    }
    if listed != 0 {
        let judged = lists::judge_lists(upper, lower, bytes, reaches, listed);
        if judged != CLEAN {
            return judged;
        }
    }
    verdict as u32
}

/// As [`judge_ban`], of the ban of a network, which nothing remembers.
#[inline(always)]
fn judge_net(
    bytes: u64,
    settings: &Settings,
    ban: *mut Ban,
    halves: [u64; 2],
    reaches: u32,
    listed: u64,
) -> Verdict {
    // SAFETY: as in `judge_source`.
    let ban = unsafe { &mut *ban };
    let before = ban.dropped_packets;
    let thorough = is_thorough(before);
    let address = || whole(halves);
    let asked = (|| reaches != 0, || lists::allow(listed, bytes));
    judge_ban::<Jiffies>(bytes, settings, ban, before, thorough, &address, asked).0
}

/// Whether a ban that has dropped so many packets deserves a look at the boot clock.
#[inline(always)]
fn is_thorough(dropped_packets: u64) -> bool {
    dropped_packets.is_multiple_of(REMEMBER_FROM)
}

/// Returns what `ban`, which had dropped `before` packets when it was last looked up, means for a packet of `bytes` bytes from
/// `address`; and whether the allowlist touches the ban nowhere, so that it means the same for all that it covers. Asked is whether it
/// reaches the packet's port, and whether a list allows the address.
#[inline(always)]
fn judge_ban<C: Clock>(
    bytes: u64,
    settings: &Settings,
    ban: &mut Ban,
    before: u64,
    thorough: bool,
    address: &impl Fn() -> [u32; 4],
    (reaches, is_listed): (impl FnOnce() -> bool, impl FnOnce() -> bool),
) -> (Verdict, bool) {
    if C::has_ended(ban, thorough) {
        return (Verdict::Expired, false);
    }
    if settings.ports_in_use != 0 && !reaches() {
        return (Verdict::OtherPort, false);
    }
    let unallowed = is_surely_unallowed(ban, settings);
    if !unallowed && (is_allowed(address()) || is_listed()) {
        return (Verdict::Allowed, false);
    }
    ban.dropped_packets += 1;
    ban.dropped_bytes += bytes;
    let verdict = if settings.mode == mode::OBSERVE {
        Verdict::Observed
    } else {
        Verdict::Banned
    };
    if event::is_due(settings, before, ban.dropped_packets) {
        event::send(address(), ban, verdict, bytes);
    }
    (verdict, unallowed)
}

#[inline(always)]
fn memory<C: Clock>(key: Key, settings: &Settings) -> Memory {
    // It knows sources, and no ports.
    if C::REMEMBERS && settings.ports_in_use == 0 {
        Memory::of(key)
    } else {
        Memory::none(key)
    }
}

/// Whether the ban was compared with the allowlist as it is now, and found untouched by it. Saves almost every lookup the
/// trie, its dearest step; a ban that nobody compared, or an allowlist that changed since, takes the full look.
#[inline(always)]
fn is_surely_unallowed(ban: &Ban, settings: &Settings) -> bool {
    ban.unallowed_in != 0 && ban.unallowed_in == settings.allow_generation
}

/// The ban of the longest network around an address in the trie.
#[inline(always)]
fn in_trie(words: [u32; 4]) -> Option<*mut Ban> {
    let key = NetKey {
        prefix_len: 128,
        words,
    };
    let map = (&raw const BANNED_NETS).cast_mut().cast::<c_void>();
    // SAFETY: the map and a key of its size; aya's own `get` gives no pointer to count through.
    let ban = unsafe { bpf_map_lookup_elem(map, (&raw const key).cast::<c_void>()) };
    (!ban.is_null()).then_some(ban.cast())
}

/// The ban of the longest network around an address in the table in force.
#[inline(always)]
fn in_table([upper, lower]: [u64; 2]) -> Option<*mut Ban> {
    let number = find_network(upper, lower);
    if number == 0 {
        return None;
    }
    let record = NET_TABLES.get(IN_FORCE)?.get_ptr_mut(number)?.cast::<Record>();
    // SAFETY: a line of a table, which is a record; userspace writes none of its keys.
    let key = unsafe { &(*record).key };
    // Another table may have come into force since the line was found.
    let octets = key.addr;
    let word = |at: usize| u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
    let [net_upper, net_lower] = halves([word(0), word(4), word(8), word(12)]);
    let (upper, lower) = (upper ^ net_upper, lower ^ net_lower);
    let [mask_upper, mask_lower] = masks(key.prefix_len);
    let is_around = (upper & mask_upper) | (lower & mask_lower) == 0;
    // SAFETY: as above; nothing is read.
    is_around.then(|| unsafe { &raw mut (*record).ban })
}

/// The line of the record that an address belongs to in the table in force; 0 if there is none.
///
/// As [`judge_networks`], no program inlines it.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn find_network(upper: u64, lower: u64) -> u32 {
    let found = NET_TABLES
        .get(IN_FORCE)
        .and_then(|table| find(table, [upper, lower]));
    found.unwrap_or(0)
}

/// The first bits of an address, 0 to 128 of them, as two numbers. Without branches, each of which the kernel would follow to the
/// program's end.
#[inline(always)]
fn masks(length: u32) -> [u64; 2] {
    let (halves, rest) = (i64::from(length >> 6), u64::MAX >> (length & 63));
    let is_below = |count: i64| ((halves - count) >> 63) as u64;
    let within_upper = is_below(1);
    [!(rest & within_upper), !(rest & is_below(2)) & !within_upper]
}

/// An address in network order as two numbers.
#[inline(always)]
fn halves([a, b, c, d]: [u32; 4]) -> [u64; 2] {
    let half = |upper: u32, lower: u32| u64::from(u32::from_be(upper)) << 32 | u64::from(u32::from_be(lower));
    [half(a, b), half(c, d)]
}

/// The line of the record in `table` that an address belongs to.
#[inline(always)]
pub(crate) fn find(table: &Table, [upper, lower]: [u64; 2]) -> Option<u32> {
    let line = |number| table.get(number);
    match is_v4([upper, lower]) {
        true => find_v4(line, lower as u32),
        false => find_v6(line, [upper, lower]),
    }
}

#[inline(always)]
fn upper_half(octets: &[u8; 16]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *octets;
    [a, b, c, d, e, f, g, h]
}

#[inline(always)]
fn words(octets: &[u8; 16]) -> [u32; 4] {
    let word = |at: usize| u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
    [word(0), word(4), word(8), word(12)]
}

/// `::ffff:a.b.c.d`.
#[inline(always)]
fn v4_mapped(octets: [u8; 4]) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), u32::from_ne_bytes(octets)]
}
