//! Values that were seen lately, and what they matched: most requests come with the headers of a few browsers, and for one of a site's
//! pages.

/// Slots; each value has one.
const SLOTS: usize = 1024;
/// Longest value that is remembered, in bytes.
const MAX_VALUE: usize = 512;
/// Most conditions of one that is remembered.
const MAX_CONDITIONS: usize = 16;
/// After so many values in a row that were not known, most are passed over: they seem never to come again.
const PATIENCE: u32 = 256;
/// One of so many is not passed over then.
const SELDOM: u32 = 16;

/// What was seen lately.
#[derive(Debug, Default)]
pub(crate) struct Known {
    slots: Vec<Slot>,
    asked: u32,
    /// Values in a row that were not known.
    unknown: u32,
}

/// What searches took of what one request may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) places: u32,
    pub(crate) bytes: usize,
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

/// A value, and what came of the search for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    value: Vec<u8>,
    pub(crate) conditions: Vec<u32>,
    pub(crate) spent: Spent,
}

impl Known {
    /// What came of the search for `value`, if that is known.
    pub(crate) fn get(&mut self, value: &[u8]) -> Option<&Slot> {
        self.asked = self.asked.wrapping_add(1);
        if self.is_passed_over() {
            return None;
        }
        let slot = self.slots.get(slot(value)).filter(|slot| slot.value == value);
        self.unknown = match slot {
            Some(_) => 0,
            None => self.unknown.saturating_add(1),
        };
        slot
    }

    /// Remembers which conditions hold of the value that was asked for last, and what it took to find them.
    pub(crate) fn put(&mut self, value: &[u8], conditions: &[u32], spent: Spent) {
        if self.is_passed_over() || value.len() > MAX_VALUE || conditions.len() > MAX_CONDITIONS {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, Slot::default());
        }
        if let Some(slot) = self.slots.get_mut(slot(value)) {
            slot.value.clear();
            slot.value.extend_from_slice(value);
            slot.conditions.clear();
            slot.conditions.extend_from_slice(conditions);
            slot.spent = spent;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether the value that was asked for last is neither looked up nor remembered.
    fn is_passed_over(&self) -> bool {
        self.unknown >= PATIENCE && !self.asked.is_multiple_of(SELDOM)
    }
}

/// The slot of a value, by its length and some of its bytes. Clients can choose values that share one, and gain nothing but a search.
fn slot(value: &[u8]) -> usize {
    let word = |at: usize| {
        let bytes = value.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    };
    let len = value.len();
    let mixed = [len / 4, len / 2, len * 3 / 4, len.saturating_sub(8)]
        .into_iter()
        .map(word)
        .fold(len as u64, |hash, word| {
            (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
        });
    (mixed >> 32) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(known: &mut Known, value: &str) -> Option<Vec<u32>> {
        let found = known.get(value.as_bytes()).map(|slot| slot.conditions.clone());
        if found.is_none() {
            known.put(value.as_bytes(), &[value.len() as u32], Spent::default());
        }
        found
    }

    #[test]
    fn what_came_once_is_known_and_what_is_long_is_not() {
        let mut known = Known::default();
        assert_eq!(ask(&mut known, "/a"), None);
        assert_eq!(ask(&mut known, "/a"), Some(vec![2]));
        let long = "x".repeat(MAX_VALUE + 1);
        assert_eq!((ask(&mut known, &long), ask(&mut known, &long)), (None, None));
        known.clear();
        assert_eq!(ask(&mut known, "/a"), None);
    }

    #[test]
    fn values_that_never_come_again_are_passed_over_until_some_do() {
        let mut known = Known::default();
        for n in 0..2 * PATIENCE {
            assert_eq!(ask(&mut known, &format!("/once-{n}")), None);
        }
        let mut asked = 0;
        while ask(&mut known, "/again").is_none() {
            asked += 1;
            assert!(asked <= 2 * SELDOM, "never known again");
        }
        assert!(asked > 2, "not passed over");
        assert_eq!(ask(&mut known, "/again"), Some(vec![6]));
        assert_eq!(ask(&mut known, "/other"), None);
        assert_eq!(ask(&mut known, "/other"), Some(vec![6]));
    }
}
