//! Places for sources, and the order in which those of a class were seen.

use super::source::{Class, Key, Links, Source};

/// Sources in one piece of memory.
const CHUNK: usize = 1024;
/// No place.
const NONE: u32 = u32::MAX;

/// A place in a [`Slab`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    /// Nowhere.
    pub(super) const NONE: Self = Self(NONE);

    #[cfg(test)]
    pub(super) const fn at(place: u32) -> Self {
        Self(place)
    }
}

/// A list of places, least recently moved to the back first.
#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    len: usize,
}

/// Sources in places that never move, and a list for each class. Memory comes in chunks, so that nothing is copied when there
/// are more; it is kept for new ones when there are fewer.
#[derive(Debug)]
pub(super) struct Slab {
    chunks: Vec<Vec<Source>>,
    lists: [List; 3],
    first_free: u32,
}

impl Default for Slab {
    fn default() -> Self {
        let list = List {
            first: NONE,
            last: NONE,
            len: 0,
        };
        Self {
            chunks: Vec::new(),
            lists: [list; 3],
            first_free: NONE,
        }
    }
}

impl Slab {
    pub(super) fn source(&self, Place(place): Place) -> &Source {
        self.at(place)
    }

    pub(super) fn source_mut(&mut self, Place(place): Place) -> &mut Source {
        self.at_mut(place)
    }

    /// Whether a place is that of `key`.
    pub(super) fn holds(&self, Place(place): Place, key: Key) -> bool {
        let chunk = self.chunks.get(place as usize / CHUNK);
        let source = chunk.and_then(|chunk| chunk.get(place as usize % CHUNK));
        source.is_some_and(|source| source.class.is_some() && source.key() == key)
    }

    /// Reads a source, if there is one.
    pub(super) fn touch(&self, Place(place): Place) -> usize {
        let chunk = self.chunks.get(place as usize / CHUNK);
        let source = chunk.and_then(|chunk| chunk.get(place as usize % CHUNK));
        source.map_or(0, Source::touch)
    }

    /// Reads the links that change if a source moves.
    pub(super) fn touch_neighbours(&self, Place(place): Place) -> usize {
        let Links { previous, next, .. } = self.at(place).links;
        let link = |place: u32| {
            if place == NONE {
                0
            } else {
                self.at(place).links.moved_at as usize
            }
        };
        link(previous).wrapping_add(link(next))
    }

    pub(super) fn len(&self, class: Class) -> usize {
        self.lists[class as usize].len
    }

    /// The one of a class that was moved to the back least recently.
    pub(super) fn first(&self, class: Class) -> Option<Place> {
        Some(self.lists[class as usize].first)
            .filter(|first| *first != NONE)
            .map(Place)
    }

    /// All places that are in use or free.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let len = match self.chunks.last() {
            Some(last) => (self.chunks.len() - 1) * CHUNK + last.len(),
            None => 0,
        };
        (0..len as u32).map(Place)
    }

    /// A new source, at the back of its class.
    pub(super) fn insert(&mut self, key: Key, class: Class, now: u32) -> Place {
        let links = Links {
            previous: NONE,
            next: NONE,
            moved_at: now,
        };
        let source = Source::new(key, class, links);
        let place = match self.first_free {
            NONE => {
                if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
                    self.chunks.push(Vec::with_capacity(CHUNK));
                }
                let full = self.chunks.len().saturating_sub(1) * CHUNK;
                let last = self.chunks.last_mut();
                last.map_or(NONE, |chunk| {
                    chunk.push(source);
                    (full + chunk.len() - 1) as u32
                })
            }
            free => {
                self.first_free = self.at(free).links.next;
                *self.at_mut(free) = source;
                free
            }
        };
        self.push_back(place, class);
        Place(place)
    }

    /// Takes a source out of its list and frees its place.
    pub(super) fn remove(&mut self, Place(place): Place) {
        self.unlink(place);
        let first_free = self.first_free;
        let source = self.at_mut(place);
        source.free();
        source.links.next = first_free;
        self.first_free = place;
    }

    /// Moves a source to the back of the list of `class`.
    pub(super) fn move_to(&mut self, Place(place): Place, class: Class, now: u32) {
        self.unlink(place);
        let source = self.at_mut(place);
        source.class = Some(class);
        source.links.moved_at = now;
        self.push_back(place, class);
    }

    /// Returns how much time has passed since a source was moved to the back.
    pub(super) fn age(&self, Place(place): Place, now: u32) -> u32 {
        now.wrapping_sub(self.at(place).links.moved_at)
    }

    fn push_back(&mut self, place: u32, class: Class) {
        let last = self.lists[class as usize].last;
        let links = &mut self.at_mut(place).links;
        links.previous = last;
        links.next = NONE;
        match last {
            NONE => self.lists[class as usize].first = place,
            last => self.at_mut(last).links.next = place,
        }
        let list = &mut self.lists[class as usize];
        list.last = place;
        list.len += 1;
    }

    fn unlink(&mut self, place: u32) {
        let source = self.at(place);
        let Links { previous, next, .. } = source.links;
        let Some(class) = source.class else { return };
        match previous {
            NONE => self.lists[class as usize].first = next,
            previous => self.at_mut(previous).links.next = next,
        }
        match next {
            NONE => self.lists[class as usize].last = previous,
            next => self.at_mut(next).links.previous = previous,
        }
        self.lists[class as usize].len -= 1;
    }

    fn at(&self, place: u32) -> &Source {
        &self.chunks[place as usize / CHUNK][place as usize % CHUNK]
    }

    fn at_mut(&mut self, place: u32) -> &mut Source {
        &mut self.chunks[place as usize / CHUNK][place as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::prefix::Prefix;

    use super::*;

    #[test]
    fn places_are_used_again_and_lists_stay_whole() {
        let key = |n: u32| Key::of(&Prefix::single(std::net::Ipv4Addr::from(n).into())).unwrap();
        let mut slab = Slab::default();
        let places: Vec<_> = (0..3000).map(|n| slab.insert(key(n), Class::Once, n)).collect();
        for place in places.iter().step_by(2) {
            slab.remove(*place);
        }
        slab.move_to(places[1], Class::Returning, 0);
        assert_eq!(slab.first(Class::Once), Some(places[3]));
        assert_eq!((slab.len(Class::Once), slab.len(Class::Returning)), (1499, 1));
        for n in 0..1500 {
            slab.insert(key(n), Class::Convicted, n);
        }
        assert_eq!(slab.places().count(), 3000, "no more than there were");
        let mut order = Vec::new();
        while let Some(first) = slab.first(Class::Once) {
            order.push(first);
            slab.remove(first);
        }
        let expected: Vec<_> = places.iter().skip(3).step_by(2).copied().collect();
        assert_eq!(order, expected);
        assert_eq!(slab.len(Class::Once), 0);
    }
}
