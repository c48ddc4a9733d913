//! The owner's side of the lane.
//!
//! The program reads while this writes, and no lock keeps them apart. So each step leaves the lane true, and two steps that are not
//! true together have a [grace](Words::wait_for_readers) between them: a time after which every run of the program that was under
//! way has ended. An entry's place is used again only after one, and the lane comes into force only after one.

use std::collections::HashSet;

use super::{
    ENTRIES, EPOCH, Entry, FILLED, GENERATION, LAST, LINES, Memory, OVERFLOWS, WORDS, find, is_over, places,
};

/// The memory that is shared with the program, in words of 64 bits, of which a line has [`WORDS`].
pub trait Words {
    fn load(&self, at: usize) -> u64;
    /// Anyone who sees this sees all that was stored before.
    fn store(&self, at: usize, value: u64);
    /// Replaces the lower half, whatever becomes of the upper one meanwhile.
    fn store_lower(&self, at: usize, value: u32);
    /// Waits until every run of the program that was under way has ended; `false` if this kernel cannot tell.
    fn wait_for_readers(&self) -> bool;
}

/// The place of an entry: its line times [`ENTRIES`], and its number there.
pub type Slot = usize;

/// Reader beside the program.
#[derive(Debug)]
pub struct Reader<W> {
    pub words: W,
    /// Behind the header.
    pub lines: u32,
}

impl<W: Words> Memory for Reader<W> {
    type Line = u32;

    fn line(&self, number: u32) -> Option<u32> {
        (number <= self.lines).then_some(number)
    }

    fn key(&self, line: u32, entry: usize) -> u64 {
        self.words.load(word(slot(line, entry)))
    }

    fn end(&self, line: u32, entry: usize) -> u32 {
        self.words.load(word(slot(line, entry)) + 1) as u32
    }
}

impl<W: Words> Reader<W> {
    /// Returns where `key` is.
    #[must_use]
    pub fn slot(&self, key: u64) -> Option<Slot> {
        find(self, key, self.lines).map(|(line, entry)| slot(line, entry))
    }

    /// The entry of `key`.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<Entry> {
        self.slot(key).map(|slot| self.entry(slot))
    }

    /// Returns what is at a place; its key is 0 if nothing is.
    #[must_use]
    pub fn entry(&self, slot: Slot) -> Entry {
        let rest = self.words.load(word(slot) + 1);
        Entry {
            key: self.words.load(word(slot)),
            end: rest as u32 & !OVERFLOWS,
            met: (rest >> 32) as u32,
        }
    }

    /// All places.
    #[must_use]
    pub fn slots(&self) -> std::ops::Range<Slot> {
        slot(1, 0)..slot(self.lines + 1, 0)
    }

    /// Whether nobody but the owner has changed bans since the lane was compared with the maps.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.epoch() == self.words.load(word(FILLED))
    }

    /// [`EPOCH`], now.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.words.load(word(EPOCH))
    }
}

/// The one who writes.
#[derive(Debug)]
pub struct Writer<W> {
    reader: Reader<W>,
    used: usize,
    /// Places that were cleared since the last grace.
    resting: HashSet<Slot>,
}

impl<W> std::ops::Deref for Writer<W> {
    type Target = Reader<W>;

    fn deref(&self) -> &Reader<W> {
        &self.reader
    }
}

const fn slot(line: u32, entry: usize) -> Slot {
    line as usize * ENTRIES + entry
}

/// The word of a place's key.
const fn word(slot: Slot) -> usize {
    2 * slot
}

impl<W: Words> Writer<W> {
    /// Takes over a lane, which may be in force. A new one is all zeros.
    #[must_use]
    pub fn new(words: W, lines: u32) -> Self {
        let mut writer = Self {
            reader: Reader { words, lines },
            used: 0,
            resting: HashSet::new(),
        };
        writer.words.store(word(LINES), u64::from(lines));
        // Who owned it before may have cleared places a moment ago.
        let waited = writer.words.wait_for_readers();
        for slot in writer.slots() {
            match writer.words.load(word(slot)) {
                0 if waited => writer.reset(slot),
                0 => {
                    writer.resting.insert(slot);
                }
                _ => writer.used += 1,
            }
        }
        writer
    }

    /// Entries, and the places for them.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        (self.used, self.slots().len())
    }

    /// The allowlist's generation that touches nothing here.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.words.load(word(GENERATION)) as u32
    }

    /// A ban of `key` that ends so is about to be written into the map: if it ends earlier than before, that holds here first.
    pub fn shorten(&mut self, key: u64, end: u32) {
        if let Some(slot) = self.slot(key)
            && end & LAST < self.entry(slot).end & LAST
        {
            self.set_end(slot, end);
        }
    }

    /// Writes the entry of a ban that is in the map already, and that the allowlist does not touch. Returns whether there was a
    /// place for it; if not, it is not there afterwards.
    pub fn put(&mut self, key: u64, end: u32) -> bool {
        if let Some(slot) = self.slot(key) {
            self.set_end(slot, end);
            return true;
        }
        let [first, second] = places(key, self.lines);
        let free = |line| {
            (0..ENTRIES)
                .map(|entry| slot(line, entry))
                .find(|slot| self.is_free(*slot))
        };
        let place = match (free(first), second != first) {
            (Some(place), _) => Some(place),
            (None, true) => free(second),
            (None, false) => None,
        };
        let Some(place) = place else { return false };
        if place / ENTRIES != first as usize {
            let flagged = slot(first, 0);
            let end = self.words.load(word(flagged) + 1) as u32;
            self.words.store_lower(word(flagged) + 1, end | OVERFLOWS);
        }
        self.set_end(place, end);
        self.words.store(word(place), key);
        self.used += 1;
        true
    }

    fn is_free(&self, slot: Slot) -> bool {
        self.words.load(word(slot)) == 0 && !self.resting.contains(&slot)
    }

    /// What a line's first entry says of the line stays.
    fn set_end(&self, slot: Slot, end: u32) {
        let at = word(slot) + 1;
        let kept = match slot % ENTRIES {
            0 => self.words.load(at) as u32 & OVERFLOWS,
            _ => 0,
        };
        self.words.store_lower(at, end & !OVERFLOWS | kept);
    }

    /// Removes the entry of `key`; one that is not there is fine.
    pub fn remove(&mut self, key: u64) {
        if let Some(slot) = self.slot(key) {
            self.clear(slot);
        }
    }

    fn clear(&mut self, slot: Slot) {
        self.words.store(word(slot), 0);
        // Before the grace, so that nobody takes this end for the next one's.
        self.set_end(slot, 0);
        self.used -= 1;
        self.resting.insert(slot);
    }

    /// Places that cannot be used yet.
    #[must_use]
    pub fn resting(&self) -> usize {
        self.resting.len()
    }

    /// Waits for the program, and makes cleared places usable again.
    pub fn rest(&mut self) {
        if self.resting.is_empty() || !self.words.wait_for_readers() {
            return;
        }
        for slot in std::mem::take(&mut self.resting) {
            self.reset(slot);
        }
    }

    /// Makes a place ready that no run of the program knows as anybody's any more, so that nobody counts in it.
    fn reset(&self, slot: Slot) {
        let at = word(slot) + 1;
        let found = self.words.load(at);
        let kept = match slot % ENTRIES {
            0 => found & u64::from(OVERFLOWS),
            _ => 0,
        };
        if found != kept {
            self.words.store(at, kept);
        }
    }

    /// Removes what `keep` does not want of the entries, and what ended before `jiffies`; takes back what lines say of sources
    /// that are in their second one.
    pub fn sweep(&mut self, jiffies: u64, keep: impl Fn(u64) -> bool) {
        let mut overflowing = vec![0_u64; self.lines as usize / 64 + 1];
        for slot in self.slots() {
            let key = self.words.load(word(slot));
            if key == 0 {
                continue;
            }
            if is_over(self.entry(slot).end, jiffies) || !keep(key) {
                self.clear(slot);
                continue;
            }
            let first = places(key, self.lines)[0] as usize;
            if slot / ENTRIES != first {
                overflowing[first / 64] |= 1 << (first % 64);
            }
        }
        for line in 1..=self.lines {
            let at = word(slot(line, 0)) + 1;
            let end = self.words.load(at) as u32;
            if end & OVERFLOWS != 0 && overflowing[line as usize / 64] >> (line % 64) & 1 == 0 {
                self.words.store_lower(at, end & !OVERFLOWS);
            }
        }
    }

    /// Removes what `touches` says is touched by the allowlist, and brings the lane into force with its generation.
    pub fn allow(&mut self, generation: u32, touches: impl Fn(u64) -> bool) {
        let is_new = generation != self.generation();
        if is_new {
            self.words.store(word(GENERATION), 0);
        }
        self.sweep(0, |key| !touches(key));
        if is_new && self.words.wait_for_readers() {
            self.words.store(word(GENERATION), u64::from(generation));
        }
    }

    /// A comparison with the maps has met a ban of `key` that ends so. `is_untouched`: the allowlist does not touch it.
    pub fn meet(&mut self, key: u64, end: u32, is_untouched: bool) {
        match self.slot(key) {
            Some(slot) if self.entry(slot).end != end => self.set_end(slot, end),
            None if is_untouched => {
                self.put(key, end);
            }
            Some(_) | None => {}
        }
    }

    /// Ends a comparison that began at `epoch`. If others had changed bans before that, `lost` goes, which the maps do not have, and
    /// the lane comes into force.
    pub fn settle(&mut self, jiffies: u64, epoch: u64, lost: &[u64]) {
        let was_filled = self.words.load(word(FILLED)) == epoch;
        if !was_filled {
            lost.iter().for_each(|key| self.remove(*key));
        }
        self.sweep(jiffies, |_| true);
        if was_filled {
            return self.rest();
        }
        // With places that rest, resting is waiting.
        let waited = match self.resting.is_empty() {
            true => self.words.wait_for_readers(),
            false => {
                self.rest();
                self.resting.is_empty()
            }
        };
        if waited {
            self.words.store(word(FILLED), epoch);
        }
    }
}

/// Words of a lane with so many lines behind the header.
#[must_use]
pub const fn words(lines: u32) -> usize {
    (lines as usize + 1) * WORDS
}
