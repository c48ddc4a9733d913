//! Sources that were looked up before their events come.

use super::{slab::Place, source::Key};

/// Sources that are looked up together.
pub const AHEAD: usize = 64;
/// Sources remembered, each in one of these slots: the busiest need not be looked up at all.
const SLOTS: usize = 4096;

/// Position at which a source was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    key: Key,
    pub(super) shard: u16,
    /// Perhaps it is somebody else's meanwhile.
    pub(super) place: Place,
}

/// Sources that were found lately.
#[derive(Debug)]
pub(super) struct Ahead {
    slots: Vec<Option<Found>>,
}

impl Default for Ahead {
    fn default() -> Self {
        Self {
            slots: vec![None; SLOTS],
        }
    }
}

impl Ahead {
    pub(super) fn note(&mut self, key: Key, shard: u16, place: Place) {
        if let Some(slot) = self.slots.get_mut(slot(key)) {
            *slot = Some(Found { key, shard, place });
        }
    }

    pub(super) fn get(&self, key: Key) -> Option<Found> {
        let found = self.slots.get(slot(key)).copied().flatten();
        found.filter(|found| found.key == key)
    }
}

/// Fibonacci hashing (Knuth, TAOCP 6.4); clients choose keys, and gain nothing but a look-up by them.
const fn slot(key: Key) -> usize {
    (key.bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SLOTS.trailing_zeros())) as usize
}
