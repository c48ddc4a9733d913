//! Sizes of the maps of banned sources.

use aya::maps::MapInfo;
use secbeat_common::maps;
use secbeat_edge_core::Fill;

use super::Pins;

/// The slots of the two maps. Each has a size of its own: a host whose attackers have IPv4 addresses pays nothing for IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    pub v4: u32,
    pub v6: u32,
}

impl Slots {
    /// Returns what a start takes: maps that are pinned keep their size, since their bans are still there, and new ones begin
    /// small; `most` is what the config allows.
    pub(super) fn at_start(pins: &Pins, most: u32) -> Self {
        let of = |name| {
            let pinned = MapInfo::from_pin(pins.map(name)).map_or(0, |map| map.max_entries());
            pinned.max(maps::FIRST_BAN_SLOTS).min(most)
        };
        Self {
            v4: of(maps::BANNED_V4),
            v6: of(maps::BANNED_V6),
        }
    }

    /// Returns what the maps need that are to hold this many bans, each at most half full. A map that grows at least doubles, and has a
    /// power of two; none becomes smaller, nor larger than `most`.
    #[must_use]
    pub fn for_bans(self, [v4, v6]: [u64; 2], most: u32) -> Self {
        let grown = |slots: u32, bans: u64| {
            let is_crowded = Fill { entries: bans, slots }.is_crowded();
            let needed = u32::try_from(2 * bans.max(u64::from(slots)))
                .ok()
                .and_then(u32::checked_next_power_of_two);
            match needed {
                _ if !is_crowded => slots,
                Some(needed) => slots.max(needed.min(most)),
                None => slots.max(most),
            }
        };
        Self {
            v4: grown(self.v4, v4),
            v6: grown(self.v6, v6),
        }
    }

    /// Those of the larger map, by which the prefilter and the express lane are sized.
    pub(super) fn most(self) -> u32 {
        self.v4.max(self.v6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u32 = 1 << 20;

    #[test]
    fn a_map_grows_before_it_is_more_than_half_full_and_the_other_one_stays() {
        let slots = Slots {
            v4: 65_536,
            v6: 65_536,
        };
        assert_eq!(slots.for_bans([32_768, 0], MOST), slots);
        assert_eq!(slots.for_bans([32_769, 9], MOST), Slots { v4: 131_072, ..slots });
        assert_eq!(slots.for_bans([0, 300_000], MOST), Slots { v6: MOST, ..slots });
    }

    #[test]
    fn new_maps_hold_ten_thousand_bans_and_then_at_least_double() {
        let first = Slots {
            v4: maps::FIRST_BAN_SLOTS,
            v6: maps::FIRST_BAN_SLOTS,
        };
        assert_eq!(first.for_bans([10_000, 10_000], MOST), first);
        assert_eq!(first.for_bans([12_288, 0], MOST), first);
        assert_eq!(first.for_bans([12_289, 0], MOST), Slots { v4: 65_536, ..first });
    }

    #[test]
    fn no_map_grows_beyond_what_the_config_allows_or_becomes_smaller() {
        let slots = Slots { v4: 4096, v6: 4096 };
        assert_eq!(slots.for_bans([5000, 0], 4096), slots);
        assert_eq!(
            slots.for_bans([u64::from(u32::MAX), 5000], 6000),
            Slots { v4: 6000, v6: 6000 }
        );
        assert_eq!(slots.for_bans([5000, 0], 2048), slots);
    }
}
