//! Index of sources, by the hash of their keys.

use super::slab::Place;

/// Fewest slots of a table that has any.
const FEWEST: usize = 16;

/// A hash table of places: open addressing, linear probing, no tombstones (Knuth, TAOCP 6.4, algorithms L and R). Hash and
/// place of an entry lie side by side, so that a look-up seldom waits for memory more than once; at most three quarters of
/// the slots are taken.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// As many as a power of two, or none.
    slots: Vec<Entry>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    /// [`Place::NONE`] in a free slot.
    place: Place,
}

impl Entry {
    const FREE: Self = Self {
        hash: 0,
        place: Place::NONE,
    };

    fn is_free(self) -> bool {
        self.place == Place::NONE
    }
}

impl Index {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        let entries = self.slots.iter().filter(|entry| !entry.is_free());
        entries.map(|entry| entry.place)
    }

    /// The first place under `hash` for which `is_it` holds.
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(Place) -> bool) -> Option<Place> {
        self.probe(hash)
            .map(|slot| self.slots[slot])
            .take_while(|entry| !entry.is_free())
            .find(|entry| entry.hash == hash && is_it(entry.place))
            .map(|entry| entry.place)
    }

    /// Reads the slot in which an entry under `hash` would be.
    pub(super) fn touch(&self, hash: u32) -> usize {
        let slot = self.slots.get(self.wrapped(hash as usize));
        slot.map_or(0, |entry| entry.hash as usize)
    }

    /// Adds a place that is not there.
    pub(super) fn insert(&mut self, hash: u32, place: Place) {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.put(Entry { hash, place });
        self.len += 1;
    }

    /// Removes a place from under its hash.
    pub(super) fn remove(&mut self, hash: u32, place: Place) {
        let is_it = |slot: &usize| self.slots[*slot].is_free() || self.slots[*slot].place == place;
        let Some(mut hole) = self.probe(hash).find(is_it) else {
            return;
        };
        if self.slots[hole].is_free() {
            return;
        }
        self.slots[hole] = Entry::FREE;
        self.len -= 1;
        // The one that would be missed because of the hole moves into it, and leaves another one.
        let mut slot = hole;
        loop {
            slot = self.wrapped(slot + 1);
            let entry = self.slots[slot];
            if entry.is_free() {
                return;
            }
            let home = self.wrapped(entry.hash as usize);
            if self.wrapped(slot.wrapping_sub(home)) >= self.wrapped(slot.wrapping_sub(hole)) {
                self.slots[hole] = entry;
                self.slots[slot] = Entry::FREE;
                hole = slot;
            }
        }
    }

    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(FEWEST);
        let before = std::mem::replace(&mut self.slots, vec![Entry::FREE; slots]);
        for entry in before.into_iter().filter(|entry| !entry.is_free()) {
            self.put(entry);
        }
    }

    fn put(&mut self, entry: Entry) {
        let free = self.probe(entry.hash).find(|slot| self.slots[*slot].is_free());
        if let Some(free) = free {
            self.slots[free] = entry;
        }
    }

    /// The slots in which an entry under `hash` may be, in order.
    fn probe(&self, hash: u32) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len().wrapping_sub(1);
        (0..self.slots.len()).map(move |step| (hash as usize).wrapping_add(step) & mask)
    }

    const fn wrapped(&self, slot: usize) -> usize {
        slot & self.slots.len().wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few hashes, so that there is much of a kind.
        #[test]
        fn it_finds_what_a_map_does(steps in prop::collection::vec((any::<bool>(), 0_u32..200), 1..400)) {
            let hash = |place: u32| place.wrapping_mul(7) % 64;
            let mut index = Index::default();
            let mut model = HashMap::new();
            for (adds, n) in steps {
                let place = Place::at(n);
                if !adds {
                    index.remove(hash(n), place);
                    model.remove(&n);
                } else if model.insert(n, ()).is_none() {
                    index.insert(hash(n), place);
                }
                prop_assert_eq!(index.len(), model.len());
                prop_assert_eq!(index.places().count(), model.len());
                for n in 0..200 {
                    let found = index.find(hash(n), |found| found == Place::at(n));
                    prop_assert_eq!(found.is_some(), model.contains_key(&n), "{}", n);
                }
            }
        }
    }

    #[test]
    fn an_entry_takes_eight_bytes_and_an_empty_table_none() {
        assert_eq!(size_of::<Entry>(), 8);
        assert_eq!(Index::default().slots.capacity(), 0);
    }
}
