//! Room for bans: the maps of sources begin small, and grow while the program runs before they are so full that the kernel evicts.

use secbeat_common::prefix::Prefix;
use secbeat_edge_core::{BAN_MAPS, Entry, Fill};
use tracing::{info, warn};

use super::KernelSide;
use crate::{
    kernel::{BanMaps, Object, Pins, Slots},
    memory,
};

/// How many bans the two maps of sources hold at most: those of the latest walk, and all that were added since.
#[derive(Debug)]
pub(super) struct Room {
    held: [u64; 2],
    /// Whether the kernel refused larger maps since that walk.
    is_refused: bool,
}

impl Room {
    /// After a walk that found the maps so full.
    pub(super) fn of(&[v4, v6, _]: &[Fill; BAN_MAPS.len()]) -> Self {
        Self {
            held: [v4.entries, v6.entries],
            is_refused: false,
        }
    }

    /// These are about to be written.
    fn expect(&mut self, entries: &[Entry]) {
        let added = entries.iter().filter_map(|entry| match entry {
            Entry::Add(target, _) => Some(target).filter(|target| target.is_single()),
            Entry::Put(..) | Entry::Remove(_) => None,
        });
        added.for_each(|target: &Prefix| self.held[usize::from(target.addr().is_ipv6())] += 1);
    }
}

impl KernelSide {
    /// Lets a map grow that would be more than half full with the new bans among `entries`.
    pub(super) fn make_room(&mut self, entries: &[Entry]) {
        self.room.expect(entries);
        let slots = self.program.slots();
        let wanted = slots.for_bans(self.room.held, self.setup.ban_slots);
        if wanted == slots || self.room.is_refused || self.setup.is_detached() {
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
    pub(super) fn allow_slots(&mut self, most: u32) {
        self.setup.ban_slots = most;
        self.room.is_refused = false;
    }

    /// Loads the program once more with maps of so many slots, fills them, and replaces the program on all interfaces. Until then the
    /// old one enforces from the old maps, so no packet finds a gap.
    fn grow(&mut self, slots: Slots) -> anyhow::Result<()> {
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
            program.attach(&self.setup)?;
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
