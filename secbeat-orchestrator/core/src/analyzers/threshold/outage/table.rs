//! A table of clients.

use std::{collections::HashMap, mem};

use ahash::RandomState;
use secbeat_common::prefix::Prefix;

/// What is known of each client, in a place of its own: what is looked up has room in the processor's nearest cache. An answer is
/// looked up several times in a row, the first time alone in earnest.
#[derive(Debug, Default)]
pub(super) struct Table<T> {
    places: HashMap<Prefix, u32, RandomState>,
    known: Vec<T>,
    free: Vec<u32>,
    /// Who was seen last, and its place.
    last: Option<(Prefix, u32)>,
}

impl<T: Default> Table<T> {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &Prefix> {
        self.places.keys()
    }

    #[inline]
    fn place(&self, source: &Prefix) -> Option<u32> {
        match self.last {
            Some((last, place)) if last == *source => Some(place),
            _ => self.places.get(source).copied(),
        }
    }

    pub(super) fn get(&self, source: &Prefix) -> Option<&T> {
        self.known.get(self.place(source)? as usize)
    }

    pub(super) fn get_mut(&mut self, source: &Prefix) -> Option<&mut T> {
        let place = self.place(source)?;
        self.known.get_mut(place as usize)
    }

    /// What is known of a client that is seen; nothing, if it is new.
    #[inline]
    pub(super) fn get_or_insert(&mut self, source: Prefix) -> &mut T {
        let place = self.place(&source).unwrap_or_else(|| self.insert(source));
        self.last = Some((source, place));
        &mut self.known[place as usize]
    }

    #[cold]
    fn insert(&mut self, source: Prefix) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.known.push(T::default());
            (self.known.len() - 1) as u32
        });
        self.places.insert(source, place);
        place
    }

    pub(super) fn remove(&mut self, source: &Prefix) -> Option<T> {
        let place = self.places.remove(source)?;
        self.last = None;
        self.free.push(place);
        self.known.get_mut(place as usize).map(mem::take)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_knows_what_a_map_knows(steps in prop::collection::vec((0..4_u8, 0..8_u32), 1..200)) {
            let (mut table, mut model) = (Table::<u32>::default(), HashMap::new());
            for (n, (what, client)) in (1..).zip(steps) {
                let source = Prefix::single(std::net::Ipv4Addr::from(client).into());
                match what {
                    0 => prop_assert_eq!(table.remove(&source), model.remove(&source)),
                    1 => {
                        *table.get_or_insert(source) += n;
                        *model.entry(source).or_default() += n;
                    }
                    2 => prop_assert_eq!(table.get_mut(&source), model.get_mut(&source)),
                    _ => prop_assert_eq!(table.get(&source), model.get(&source)),
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.sources().filter(|source| model.contains_key(source)).count(), model.len());
            }
        }
    }
}
