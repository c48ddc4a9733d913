//! Values that were seen lately, and what they matched: most requests come with one of a few user agents and referers.

/// Slots; each value has one.
const SLOTS: usize = 1024;
/// Longest value that is remembered, in bytes.
const MAX_VALUE: usize = 512;
/// Most conditions of one that is remembered.
const MAX_CONDITIONS: usize = 16;

/// What was seen lately.
#[derive(Debug, Default)]
pub(crate) struct Known {
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    value: Vec<u8>,
    conditions: Vec<u32>,
}

impl Known {
    /// The conditions that hold of `value`, if that is known.
    pub(crate) fn get(&self, value: &[u8]) -> Option<&[u32]> {
        let slot = self.slots.get(slot(value))?;
        (slot.value == value).then_some(&slot.conditions)
    }

    /// Remembers which conditions hold of `value`.
    pub(crate) fn put(&mut self, value: &[u8], conditions: &[u32]) {
        if value.is_empty() || value.len() > MAX_VALUE || conditions.len() > MAX_CONDITIONS {
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
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
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
