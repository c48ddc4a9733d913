//! Values that were seen lately, and what they matched: most requests come with the headers of a few browsers, and for one of a site's
//! pages.

use std::hash::{BuildHasher as _, Hasher as _};

use ahash::RandomState;
use strum::EnumCount as _;

use crate::signature::Field;

/// Sets of slots, for the values of all fields. The hash of a value selects its set; the key of the hash is another in each process.
const SETS: usize = 2048;
/// Slots of a set, the one that was used last first. The last one is lost when a value comes that is in none.
const WAYS: usize = 2;
/// Longest value that is remembered, in bytes.
const MAX_VALUE: usize = 512;
/// Most conditions of one that is remembered.
const MAX_CONDITIONS: usize = 16;
/// After so many values of a field that were not known, most are passed over: they seem never to come again.
const PATIENCE: u32 = 256;
/// One that was known makes up for so many.
const MAKES_UP: u32 = 8;
/// One of so many is not passed over then.
const SELDOM: u32 = 16;

/// What was seen lately.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Empty until there is a value to remember.
    slots: Vec<Slot>,
    key: RandomState,
    /// By field.
    luck: [Luck; Field::COUNT],
}

/// How often values of one field come again.
#[derive(Clone, Copy, Debug, Default)]
struct Luck {
    asked: u32,
    /// Values that were not known, less what those that were made up for.
    unknown: u32,
}

/// What searches took of what one request may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) places: u32,
    pub(crate) bytes: u32,
}

impl Spent {
    /// What was spent after `before`.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            places: self.places - before.places,
            bytes: self.bytes - before.bytes,
        }
    }
}

/// A value, and what came of the search for it. It fills a line of a processor's cache.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    value: Vec<u8>,
    pub(crate) conditions: Vec<u32>,
    pub(crate) spent: Spent,
    hash: u32,
    /// `None` if it is free.
    field: Option<Field>,
}

/// Where a value is remembered, or is going to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    field: Field,
    hash: u64,
}

impl Place {
    /// The first slot of its set.
    const fn first(self) -> usize {
        (self.hash >> 32) as usize % SETS * WAYS
    }
}

impl Slot {
    fn is(&self, place: Place, value: &[u8]) -> bool {
        self.hash == place.hash as u32 && self.field == Some(place.field) && self.value == value
    }
}

impl Known {
    /// Returns where a value of `field` is remembered; `None` if it is not looked up, nor remembered later.
    #[inline]
    pub(crate) fn place(&mut self, field: Field, value: &[u8]) -> Option<Place> {
        if value.len() > MAX_VALUE || self.luck[field as usize].is_passed_over() {
            return None;
        }
        let mut hasher = self.key.build_hasher();
        hasher.write(value);
        // The same value may be in several fields.
        let hash = hasher.finish().wrapping_add((field as u64) << 32);
        Some(Place { field, hash })
    }

    /// What came of the search for `value`, if that is known.
    #[inline]
    pub(crate) fn get(&mut self, place: Place, value: &[u8]) -> Option<&Slot> {
        let luck = &mut self.luck[place.field as usize];
        let first = place.first();
        let found = match self.slots.get(first..first + WAYS) {
            Some([newest, _]) if newest.is(place, value) => true,
            Some([_, older]) if older.is(place, value) => {
                self.slots.swap(first, first + 1);
                true
            }
            _ => false,
        };
        luck.unknown = match found {
            true => luck.unknown.saturating_sub(MAKES_UP),
            false => PATIENCE.min(luck.unknown + 1),
        };
        found.then(|| &self.slots[first])
    }

    /// Remembers which conditions hold of `value`, which was not known, and what it took to find them.
    pub(crate) fn put(&mut self, place: Place, value: &[u8], conditions: &[u32], spent: Spent) {
        if conditions.len() > MAX_CONDITIONS {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize(SETS * WAYS, Slot::default());
        }
        let first = place.first();
        if let Some(set) = self.slots.get_mut(first..first + WAYS) {
            set.rotate_right(1);
            let slot = &mut set[0];
            replace(&mut slot.value, value);
            replace(&mut slot.conditions, conditions);
            slot.spent = spent;
            slot.hash = place.hash as u32;
            slot.field = Some(place.field);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.luck = Default::default();
    }
}

/// Puts `new` in place of what there is, with no more memory than the longest of them takes.
fn replace<T: Copy>(old: &mut Vec<T>, new: &[T]) {
    old.clear();
    old.reserve_exact(new.len());
    old.extend_from_slice(new);
}

impl Luck {
    /// Counts a value. Returns whether it is neither looked up nor remembered.
    fn is_passed_over(&mut self) -> bool {
        self.asked = self.asked.wrapping_add(1);
        self.unknown >= PATIENCE && !self.asked.is_multiple_of(SELDOM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(known: &mut Known, field: Field, value: &str) -> Option<Vec<u32>> {
        let value = value.as_bytes();
        let place = known.place(field, value)?;
        let found = known.get(place, value).map(|slot| slot.conditions.clone());
        if found.is_none() {
            known.put(place, value, &[value.len() as u32], Spent::default());
        }
        found
    }

    /// A value that the hash puts into the set of `place`, but for those in `taken`.
    fn neighbour(known: &mut Known, place: Place, taken: &[String]) -> String {
        let names = (0..100 * SETS).map(|n| format!("/{n}"));
        let mut names = names.filter(|name| !taken.contains(name));
        let is_there = |name: &String| {
            let other = known.place(Field::Path, name.as_bytes());
            other.is_some_and(|other| other.first() == place.first())
        };
        names.find(is_there).unwrap()
    }

    #[test]
    fn what_came_once_in_a_field_is_known_there_and_what_is_long_is_not() {
        let mut known = Known::default();
        assert_eq!(ask(&mut known, Field::Path, "/a"), None);
        assert_eq!(ask(&mut known, Field::Path, "/a"), Some(vec![2]));
        assert_eq!(ask(&mut known, Field::Query, "/a"), None);
        assert_eq!(ask(&mut known, Field::Query, "/a"), Some(vec![2]));
        let long = "x".repeat(MAX_VALUE + 1);
        assert!(known.place(Field::Path, long.as_bytes()).is_none());
        known.clear();
        assert_eq!(ask(&mut known, Field::Path, "/a"), None);
    }

    #[test]
    fn the_value_of_a_set_that_was_not_used_longest_is_lost() {
        let mut known = Known::default();
        let place = known.place(Field::Path, b"/a").unwrap();
        let mut values = vec!["/a".to_owned()];
        for _ in 0..2 {
            values.push(neighbour(&mut known, place, &values));
        }
        let [a, b, c] = [0, 1, 2].map(|n| values[n].clone());
        let mut is_known = |value: &str| ask(&mut known, Field::Path, value).is_some();
        assert_eq!(
            [&a, &b, &a, &b, &a].map(|value| is_known(value)),
            [false, false, true, true, true]
        );
        assert!(!is_known(&c));
        assert_eq!([&a, &c].map(|value| is_known(value)), [true, true]);
        assert!(!is_known(&b));
    }

    #[test]
    fn a_value_of_the_same_hash_is_another() {
        let mut known = Known::default();
        let place = known.place(Field::Path, b"/a").unwrap();
        known.put(place, b"/a", &[1], Spent::default());
        assert!(known.get(place, b"/b").is_none());
        assert!(known.get(place, b"/a").is_some());
    }

    #[test]
    fn keys_of_the_hash_differ() {
        let hashes = [(); 2].map(|()| Known::default().place(Field::Path, b"/a").unwrap().hash);
        assert_ne!(hashes[0], hashes[1]);
    }

    #[test]
    fn values_that_never_come_again_are_passed_over_until_some_do() {
        let mut known = Known::default();
        for n in 0..2 * PATIENCE {
            assert_eq!(ask(&mut known, Field::Path, &format!("/once-{n}")), None);
        }
        // Those of other fields are not.
        assert_eq!(ask(&mut known, Field::UserAgent, "again"), None);
        assert_eq!(ask(&mut known, Field::UserAgent, "again"), Some(vec![5]));
        assert_eq!(known.luck[Field::Path as usize].unknown, PATIENCE);
        let mut asked = 0;
        while ask(&mut known, Field::Path, "/again").is_none() {
            asked += 1;
            assert!(asked <= 2 * SELDOM, "never known again");
        }
        assert!(asked > 2, "not passed over");
        assert_eq!(ask(&mut known, Field::Path, "/again"), Some(vec![6]));
        assert_eq!(ask(&mut known, Field::Path, "/other"), None);
        assert_eq!(ask(&mut known, Field::Path, "/other"), Some(vec![6]));
    }

    #[test]
    fn a_slot_fills_a_line_of_the_cache_and_all_take_what_the_docs_say() {
        assert_eq!(size_of::<Slot>(), 64);
        let longest = size_of::<Slot>() + MAX_VALUE + MAX_CONDITIONS * size_of::<u32>();
        assert_eq!(SETS * WAYS * longest, 2_621_440);
    }

    #[test]
    fn a_slot_keeps_no_more_memory_than_its_longest_value_takes() {
        let mut value = Vec::new();
        for len in [300, 400, 20, 400] {
            replace(&mut value, &[1_u8; 500][..len]);
            assert_eq!((value.len(), value.capacity() <= 400), (len, true));
        }
    }
}
