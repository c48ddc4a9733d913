//! Room for bans: the maps of sources begin small, and grow while the program runs before they are so full that the kernel evicts.

use anyhow::ensure;
use secbeat_common::prefix::Prefix;
use secbeat_edge_core::{BAN_MAPS, Entry, Fill};
use tracing::{info, warn};

use super::KernelSide;
use crate::{
    kernel::{BanMaps, Object, Pins, Slots},
    memory,
};

/// Number of bans that the two maps of sources hold at most: those of the latest walk, and all that were added since.
#[derive(Debug)]
pub(in crate::enforcer) struct Room {
    held: [u64; 2],
    /// How many were added since the walk began that is under way, which may not meet them.
    added: [u64; 2],
    /// Whether the kernel refused larger maps since that walk.
    is_refused: bool,
}

impl Room {
    /// After a walk that found the maps so full.
    pub(in crate::enforcer) fn of(fill: &[Fill; BAN_MAPS.len()]) -> Self {
        let mut room = Self {
            held: [0; 2],
            added: [0; 2],
            is_refused: false,
        };
        room.walked(fill);
        room
    }

    /// A walk through the maps begins.
    pub(super) fn walks(&mut self) {
        self.added = [0; 2];
    }

    /// It has found the maps so full.
    pub(super) fn walked(&mut self, [v4, v6, _]: &[Fill; BAN_MAPS.len()]) {
        self.held = [v4.entries + self.added[0], v6.entries + self.added[1]];
        self.is_refused = false;
    }

    /// The slots that the maps need for `entries`, of which they may have some. The kernel is asked for these only if that decides
    /// something, since writing them asks for each as well.
    fn slots_for(
        &self,
        entries: &[Entry],
        (slots, most): (Slots, u32),
        is_held: impl Fn(&Prefix) -> bool,
    ) -> Slots {
        let wanted = slots.for_bans(self.with(entries, |_| false), most);
        match wanted == slots {
            true => slots,
            false => slots.for_bans(self.with(entries, is_held), most),
        }
    }

    /// Returns how many bans the maps hold with `entries`.
    fn with(&self, entries: &[Entry], is_held: impl Fn(&Prefix) -> bool) -> [u64; 2] {
        let mut held = self.held;
        for entry in entries {
            let (target, is_new) = match entry {
                Entry::Add(target, _) => (target, target.is_single()),
                Entry::Put(target, _) => (target, target.is_single() && !is_held(target)),
                Entry::Remove(_) => continue,
            };
            held[usize::from(target.addr().is_ipv6())] += u64::from(is_new);
        }
        held
    }

    /// The maps had gained so many bans `before` a write, and so many after it.
    pub(super) fn wrote(&mut self, before: [u64; 2], after: [u64; 2]) {
        for (map, after) in after.into_iter().enumerate() {
            let added = after.saturating_sub(before[map]);
            self.held[map] += added;
            self.added[map] += added;
        }
    }
}

impl KernelSide {
    /// Lets a map grow that would be more than half full with the new bans among `entries`.
    pub(super) fn make_room(&mut self, entries: &[Entry]) {
        let slots = self.program.slots();
        let is_held = |target: &Prefix| matches!(self.bans.get(target), Ok(Some(_)));
        let wanted = match self.room.is_refused {
            true => slots,
            false => self
                .room
                .slots_for(entries, (slots, self.setup.ban_slots), is_held),
        };
        if wanted == slots || self.setup.is_detached() {
            return;
        }
        match self.grow(wanted) {
            Ok(()) => info!(v4 = wanted.v4, v6 = wanted.v6, "the ban maps have grown"),
            Err(error) => {
                self.room.is_refused = true;
                warn!("the ban maps cannot grow, and evict bans when they are full: {error:#}");
            }
        }
    }

    /// Takes another limit from the config. Maps that are larger stay so until the next start.
    pub(in crate::enforcer) fn allow_slots(&mut self, most: u32) {
        self.setup.ban_slots = most;
        self.room.is_refused = false;
    }

    /// Loads the program once more with maps of so many slots, fills them, and replaces the program on all interfaces. Until then the
    /// old one enforces from the old maps, so no packet finds a gap.
    fn grow(&mut self, slots: Slots) -> anyhow::Result<()> {
        ensure!(
            self.program.has_pins(),
            "pins were taken away, and are not made again yet"
        );
        let object = Object::open(&self.object)?;
        let pins = Pins::at(&self.setup.pin_dir);
        pins.or_undo(|| {
            let mut program = self.program.load_larger(&object, &self.setup, slots)?;
            let clock = program.jiffy_clock()?;
            let mut bans = BanMaps::open(program.pins())?;
            if let Err(error) = bans.prove_tables(program.table_probe()?) {
                warn!("no more networks can be banned than fit into the trie: {error:#}");
            }
            program.carry_over(&mut bans, &clock)?;
            bans.own_lane(&self.allowed, &clock);
            bans.use_sieve(&mut self.settings)?;
            program.take_over(&self.setup)?;
            (self.program, self.bans, self.clock) = (program, bans, clock);
            Ok(())
        })?;
        if self.walk.is_some() {
            self.walk = Some(self.bans.begin());
            self.was_repaired = true;
        }
        memory::give_back();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use secbeat_edge_core::{BootTime, KernelBan};

    use super::*;

    const BAN: KernelBan = KernelBan {
        ends: BootTime(0),
        reason: 1,
        origin: 1,
        strikes: 0,
        unallowed_in: 0,
        dropped_packets: 0,
        dropped_bytes: 0,
    };
    const SLOTS: Slots = Slots { v4: 16, v6: 16 };
    const MOST: u32 = 64;

    fn room(v4: u64) -> Room {
        let fill = |entries| Fill { entries, slots: 16 };
        Room::of(&[fill(v4), fill(0), fill(0)])
    }

    fn entries(count: u8, entry: impl Fn(Prefix, KernelBan) -> Entry) -> Vec<Entry> {
        let target = |number| Prefix::single([192, 0, 2, number].into());
        (0..count).map(|number| entry(target(number), BAN)).collect()
    }

    #[test]
    fn the_kernel_is_asked_what_it_holds_only_where_that_decides_whether_a_map_grows() {
        let unasked = |_: &Prefix| -> bool { panic!("asked") };
        let few = entries(4, Entry::Put);
        assert_eq!(room(4).slots_for(&few, (SLOTS, MOST), unasked), SLOTS);
        // As large as it may be.
        assert_eq!(room(9).slots_for(&few, (SLOTS, 16), unasked), SLOTS);
        // With bans that are renewed no map grows, with new ones it does.
        assert_eq!(room(8).slots_for(&few, (SLOTS, MOST), |_| true), SLOTS);
        let grown = Slots { v4: 32, ..SLOTS };
        assert_eq!(room(8).slots_for(&few, (SLOTS, MOST), |_| false), grown);
        assert_eq!(
            room(8).slots_for(&entries(4, Entry::Add), (SLOTS, MOST), |_| true),
            grown
        );
    }

    #[test]
    fn what_is_written_counts_also_while_a_walk_is_under_way_that_may_not_meet_it() {
        let mut room = room(4);
        room.wrote([7, 0], [9, 1]);
        assert_eq!(room.held, [6, 1]);
        room.walks();
        room.wrote([9, 1], [12, 1]);
        let fill = |entries| Fill { entries, slots: 16 };
        room.walked(&[fill(6), fill(1), fill(0)]);
        assert_eq!(room.held, [9, 1]);
    }
}
