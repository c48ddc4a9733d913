//! The shape that each map must have. aya adopts a pinned map without a look at it, and a different key or value size
//! would corrupt memory.

use std::fmt;

use anyhow::Context;
use aya::maps::{MapInfo, MapType};
use secbeat_common::{
    lane,
    lists::MAX_LISTS,
    maps::{self, Allow, Ban, Counter, Flood, NetKey, Settings},
};

use super::{Pins, Slots};

/// `BPF_F_NO_PREALLOC` of `linux/bpf.h`, which every LPM trie has.
const NO_PREALLOC: u32 = 1;

/// The shape of one map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) name: &'static str,
    kind: Option<MapType>,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    max_entries: u32,
    flags: u32,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{kind:?}")?,
            None => write!(f, "an unknown type")?,
        }
        write!(
            f,
            " of {} entries with {} byte keys, {} byte values and flags {:#x}",
            self.max_entries, self.key_size, self.value_size, self.flags
        )
    }
}

/// A pinned map that is not as this release and config need it.
#[derive(Clone, Debug)]
pub(super) struct Mismatch {
    pub(super) found: Layout,
    pub(super) expected: Layout,
}

/// Compares each pinned map with the layout of this release and config. Maps that are not pinned are fine.
pub(super) fn mismatches(pins: &Pins, slots: Slots) -> anyhow::Result<Vec<Mismatch>> {
    let mut mismatches = Vec::new();
    for expected in layouts(slots) {
        let path = pins.map(expected.name);
        if !path
            .try_exists()
            .with_context(|| format!("looking for {}", path.display()))?
        {
            continue;
        }
        let info =
            MapInfo::from_pin(&path).with_context(|| format!("reading the pinned map {}", path.display()))?;
        let found = Layout {
            name: expected.name,
            kind: info.map_type().ok(),
            key_size: info.key_size(),
            value_size: info.value_size(),
            max_entries: info.max_entries(),
            flags: info.map_flags(),
        };
        // An edge with a sieve of another layout left the express lane as it was, and so knows nothing of what is in it.
        let is_stale = expected.name == maps::LANE
            && mismatches
                .iter()
                .any(|it: &Mismatch| it.found.name == maps::SIEVE);
        if found != expected || is_stale {
            mismatches.push(Mismatch { found, expected });
        }
    }
    Ok(mismatches)
}

fn layouts(slots: Slots) -> [Layout; maps::ALL.len()] {
    let layout = |name, kind, key_size: usize, value_size: usize, max_entries| Layout {
        name,
        kind: Some(kind),
        key_size: key_size as u32,
        value_size: value_size as u32,
        max_entries,
        flags: if kind == MapType::LpmTrie { NO_PREALLOC } else { 0 },
    };
    let (net, ban) = (size_of::<NetKey>(), size_of::<Ban>());
    [
        layout(maps::BANNED_V4, MapType::LruHash, 4, ban, slots.v4),
        layout(maps::BANNED_V6, MapType::LruHash, 8, ban, slots.v6),
        Layout {
            flags: maps::SIEVE_FLAGS,
            ..layout(
                maps::SIEVE,
                MapType::Array,
                4,
                size_of::<u64>(),
                maps::sieve_words(slots.most()),
            )
        },
        Layout {
            flags: maps::LANE_FLAGS,
            ..layout(
                maps::LANE,
                MapType::Array,
                4,
                size_of::<lane::Line>(),
                lane::map_lines(slots.most()),
            )
        },
        layout(maps::BANNED_NETS, MapType::LpmTrie, net, ban, maps::NET_SLOTS),
        layout(maps::NET_TABLES, MapType::ArrayOfMaps, 4, 4, maps::TABLE_SLOTS),
        layout(maps::LISTS, MapType::ArrayOfMaps, 4, 4, maps::TABLE_SLOTS),
        layout(
            maps::ALLOWED_NETS,
            MapType::LpmTrie,
            net,
            size_of::<Allow>(),
            maps::ALLOWED_SLOTS,
        ),
        layout(
            maps::COUNTERS,
            MapType::PerCpuArray,
            4,
            size_of::<Counter>(),
            maps::COUNTER_SLOTS,
        ),
        layout(
            maps::LIST_COUNTS,
            MapType::PerCpuArray,
            4,
            size_of::<Counter>(),
            MAX_LISTS as u32,
        ),
        layout(
            maps::FLOODS,
            MapType::PerCpuArray,
            4,
            size_of::<Flood>(),
            maps::FLOOD_SLOTS,
        ),
        layout(maps::EVENTS, MapType::RingBuf, 0, 0, maps::EVENT_BYTES),
        layout(maps::PORTS, MapType::Array, 4, size_of::<u64>(), maps::PORT_WORDS),
        layout(
            maps::OBSERVING,
            MapType::Hash,
            4,
            size_of::<u32>(),
            maps::OBSERVING_SLOTS,
        ),
        layout(maps::SETTINGS, MapType::Array, 4, size_of::<Settings>(), 1),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of all maps, as the kernel accounts for them (`map_mem_usage`), on a machine with two processors. Empty tries and maps of
    /// maps take a few hundred each.
    fn bytes(slots: Slots) -> u64 {
        const PROCESSORS: u64 = 2;
        /// `struct htab_elem` without key and value, and `struct bucket`.
        const ELEMENT: u64 = 48;
        const BUCKET: u64 = 16;
        let of = |layout: &Layout| {
            let (key, value) = (
                u64::from(layout.key_size).next_multiple_of(8),
                u64::from(layout.value_size).next_multiple_of(8),
            );
            let entries = u64::from(layout.max_entries);
            match layout.kind {
                Some(MapType::LruHash | MapType::Hash) => {
                    entries * (ELEMENT + key + value) + entries.next_power_of_two() * BUCKET
                }
                Some(MapType::PerCpuArray) => PROCESSORS * entries * value,
                Some(MapType::RingBuf) => entries,
                Some(MapType::Array) => entries * value,
                _ => 0,
            }
        };
        layouts(slots).iter().map(of).sum()
    }

    #[test]
    fn a_million_bans_take_at_most_150_mb_and_an_edge_at_its_start_8() {
        let first = Slots {
            v4: maps::FIRST_BAN_SLOTS,
            v6: maps::FIRST_BAN_SLOTS,
        };
        assert!(bytes(first) <= 8_000_000, "{}", bytes(first));
        let million = first.for_bans([1_000_000, 0], 1 << 20);
        assert!(million.v4 > 1_000_000);
        assert!(bytes(million) <= 150_000_000, "{}", bytes(million));
    }

    #[test]
    fn every_map_has_a_layout() {
        let slots = Slots { v4: 1, v6: 1 };
        assert_eq!(layouts(slots).map(|layout| layout.name), maps::ALL);
    }
}
