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

/// How many bans the two maps of sources hold at most: those of the latest walk, and all that were added since.
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

    /// These are about to be written, some of which the maps may have.
    fn expect(&mut self, entries: &[Entry], is_held: impl Fn(&Prefix) -> bool) {
        let added = entries.iter().filter_map(|entry| match entry {
            Entry::Add(target, _) => Some(target),
            Entry::Put(target, _) => Some(target).filter(|target| target.is_single() && !is_held(target)),
            Entry::Remove(_) => None,
        });
        for target in added.filter(|target| target.is_single()) {
            let map = usize::from(target.addr().is_ipv6());
            self.held[map] += 1;
            self.added[map] += 1;
        }
    }
}

impl KernelSide {
    /// Lets a map grow that would be more than half full with the new bans among `entries`.
    pub(super) fn make_room(&mut self, entries: &[Entry]) {
        let is_held = |target: &Prefix| matches!(self.bans.get(target), Ok(Some(_)));
        self.room.expect(entries, is_held);
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
