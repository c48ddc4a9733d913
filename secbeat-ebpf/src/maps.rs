//! The program's maps. Their names and layouts are `secbeat_common::maps`; capacities here are the smallest that load,
//! the edge sets the real ones when it loads the object.

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use secbeat_common::{
    lane,
    lists::MAX_LISTS,
    maps::{
        ALLOWED_SLOTS, Allow, Ban, COUNTER_SLOTS, Counter, DEFAULT_BAN_SLOTS, EVENT_BYTES, FLOOD_SLOTS,
        Flood, LANE_FLAGS, NET_SLOTS, OBSERVING_SLOTS, PORT_WORDS, SIEVE_FLAGS, Settings, TABLE_FLAGS,
        TABLE_SLOTS, sieve_shift, sieve_words,
    },
    table::Line,
};

#[btf_map]
pub(crate) static BANNED_V4: LruHashMap<[u8; 4], Ban, { DEFAULT_BAN_SLOTS as usize }> = LruHashMap::new();

#[btf_map]
pub(crate) static BANNED_V6: LruHashMap<[u8; 8], Ban, { DEFAULT_BAN_SLOTS as usize }> = LruHashMap::new();

#[btf_map]
pub(crate) static SIEVE: Array<u64, { sieve_words(DEFAULT_BAN_SLOTS) as usize }, { SIEVE_FLAGS as usize }> =
    Array::new();

/// Number of bits by which a hash of 64 bits is shifted to a word of `SIEVE`. The edge sets it with the number of words, before it loads the
/// object.
#[unsafe(no_mangle)]
static SIEVE_SHIFT: u32 = sieve_shift(sieve_words(DEFAULT_BAN_SLOTS));

/// [`SIEVE_SHIFT`], which the compiler must not take for what it is here.
#[inline(always)]
pub(crate) fn shift_of_sieve() -> u32 {
    // SAFETY: a static.
    unsafe { (&raw const SIEVE_SHIFT).read_volatile() }
}

#[btf_map]
pub(crate) static LANE: Array<
    lane::Line,
    { lane::map_lines(DEFAULT_BAN_SLOTS) as usize },
    { LANE_FLAGS as usize },
> = Array::new();

#[btf_map]
pub(crate) static BANNED_NETS: LpmTrie<[u8; 16], Ban, { NET_SLOTS as usize }> = LpmTrie::new();

/// The lines of a table of banned networks, or of lists; how many there are differs from table to table.
pub(crate) type Table = Array<Line, 1, { TABLE_FLAGS as usize }>;

#[btf_map]
pub(crate) static NET_TABLES: ArrayOfMaps<Table, { TABLE_SLOTS as usize }> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static LISTS: ArrayOfMaps<Table, { TABLE_SLOTS as usize }> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static LIST_COUNTS: PerCpuArray<Counter, MAX_LISTS> = PerCpuArray::new();

#[btf_map]
pub(crate) static ALLOWED_NETS: LpmTrie<[u8; 16], Allow, { ALLOWED_SLOTS as usize }> = LpmTrie::new();

#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<Counter, { COUNTER_SLOTS as usize }> = PerCpuArray::new();

#[btf_map]
pub(crate) static FLOODS: PerCpuArray<Flood, { FLOOD_SLOTS as usize }> = PerCpuArray::new();

/// Of `DropEvent`; named here, that type would make libbpf refuse the object, since a ring buffer has no values.
#[btf_map]
pub(crate) static EVENTS: RingBuf<(), { EVENT_BYTES as usize }> = RingBuf::new();

#[btf_map]
pub(crate) static PORTS: Array<u64, { PORT_WORDS as usize }> = Array::new();

#[btf_map]
pub(crate) static OBSERVING: HashMap<u32, u32, { OBSERVING_SLOTS as usize }> = HashMap::new();

#[btf_map]
pub(crate) static SETTINGS: Array<Settings, 1> = Array::new();
