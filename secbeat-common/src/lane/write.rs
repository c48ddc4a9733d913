//! The owner's side of the lane.
//!
//! The program reads while this writes, and no lock keeps them apart. So each step leaves the lane true, and two steps that are not
//! true together have a [grace](Words::wait_for_readers) between them: a time after which every run of the program that was under
//! way has ended. An entry's place is used again only after one, and the lane comes into force only after one.

use std::collections::{HashMap, HashSet};

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

    /// The entry of `key`. Its owner may be another process, and move it meanwhile, once.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<Entry> {
        let found = || self.slot(key).map(|slot| self.entry(slot));
        let is_its = |entry: &Entry| entry.key == key;
        found().filter(is_its).or_else(|| found().filter(is_its))
    }

    /// Returns what is at a place; its key is 0 if nothing is.
    #[must_use]
    pub fn entry(&self, slot: Slot) -> Entry {
        // Before the key, which is cleared first: with a key, the rest is not cleared yet.
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
    /// Ends of the bans that the comparison under way has met and found no place for, by their keys.
    lacking: HashMap<u64, u32>,
}

/// Most bans that [`Writer::settle`] makes room for.
const MOST_LACKING: usize = 1 << 16;

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
            lacking: HashMap::new(),
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
                key => {
                    writer.used += 1;
                    // It was killed while this entry moved here: the one in the first line is still found before this.
                    if writer.slot(key) != Some(slot) {
                        writer.clear(slot);
                    }
                }
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
        self.forget(key);
        if let Some(slot) = self.slot(key)
            && end & LAST < self.entry(slot).end & LAST
        {
            self.set_end(slot, end);
        }
    }

    /// Writes the entry of a ban that is in the map already, and that the allowlist does not touch. Returns whether there was a
    /// place for it; if not, it is not there afterwards.
    pub fn put(&mut self, key: u64, end: u32) -> bool {
        self.forget(key);
        if let Some(slot) = self.slot(key) {
            self.set_end(slot, end);
            return true;
        }
        let [first, second] = places(key, self.lines);
        let place = self.free(first).or_else(|| self.free(second));
        let Some(place) = place else { return false };
        self.fill(place, key, end);
        true
    }

    /// What a comparison under way has met of `key` holds no more.
    fn forget(&mut self, key: u64) {
        // Mostly there is nothing, and then this costs no hash.
        if !self.lacking.is_empty() {
            self.lacking.remove(&key);
        }
    }

    /// Writes an entry of `key` into a free place of one of its lines.
    fn fill(&mut self, place: Slot, key: u64, end: u32) {
        let [first, _] = places(key, self.lines);
        if place / ENTRIES != first as usize {
            let flagged = slot(first, 0);
            let end = self.words.load(word(flagged) + 1) as u32;
            self.words.store_lower(word(flagged) + 1, end | OVERFLOWS);
        }
        self.set_end(place, end);
        self.words.store(word(place), key);
        self.used += 1;
    }

    /// A free place in a line.
    fn free(&self, line: u32) -> Option<Slot> {
        let mut places = (0..ENTRIES).map(|entry| slot(line, entry));
        places.find(|slot| self.words.load(word(*slot)) == 0 && !self.resting.contains(slot))
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
        self.forget(key);
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
        self.lacking.retain(|key, _| keep(*key));
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

    /// Begins a comparison with the maps.
    pub fn begin(&mut self) {
        // What an earlier one has met may be gone.
        self.lacking.clear();
    }

    /// A comparison with the maps has met a ban of `key` that ends so. `is_untouched`: the allowlist does not touch it.
    pub fn meet(&mut self, key: u64, end: u32, is_untouched: bool) {
        match self.slot(key) {
            Some(slot) if self.entry(slot).end != end => self.set_end(slot, end),
            None if is_untouched => {
                if !self.put(key, end) && self.lacking.len() < MOST_LACKING {
                    self.lacking.insert(key, end);
                }
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
        self.make_room();
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

    /// Gives places to bans for which the comparison found none: cleared ones, or those of others, which move from their first line to
    /// their second.
    fn make_room(&mut self) {
        let lacking = std::mem::take(&mut self.lacking);
        if lacking.is_empty() {
            return;
        }
        self.rest();
        // This kernel does not tell a grace.
        if !self.resting.is_empty() {
            return;
        }
        let (mut copies, mut given) = (HashMap::new(), Vec::new());
        for (key, end) in lacking {
            if self.put(key, end) {
                continue;
            }
            if let Some((place, copy)) = self.movable(key, &copies) {
                let entry = self.entry(place);
                self.fill(copy, entry.key, entry.end);
                copies.insert(place, copy);
                given.push((place, key, end));
            }
        }
        if copies.is_empty() {
            return;
        }
        // A run that is under way may know nothing of the copy.
        if !self.words.wait_for_readers() {
            return copies.into_values().for_each(|copy| self.clear(copy));
        }
        for (place, copy) in &copies {
            let (met, end) = (
                self.words.load(word(*place) + 1) >> 32 << 32,
                self.words.load(word(*copy) + 1) as u32,
            );
            self.words.store(word(*copy) + 1, met | u64::from(end));
            self.words.store(word(*place), 0);
        }
        // One that has found the entry in its old place is still to read its end there.
        self.words.wait_for_readers();
        copies.into_keys().for_each(|place| self.clear(place));
        self.rest();
        if self.resting.is_empty() {
            given
                .into_iter()
                .for_each(|(place, key, end)| self.fill(place, key, end));
        }
    }

    /// The place in a line of `key` of an entry that is not copied yet, and a free place in its second line.
    fn movable(&self, key: u64, copies: &HashMap<Slot, Slot>) -> Option<(Slot, Slot)> {
        let mut places_of_lines = places(key, self.lines)
            .into_iter()
            .flat_map(|line| (0..ENTRIES).map(move |entry| slot(line, entry)))
            .filter(|place| !copies.contains_key(place));
        places_of_lines.find_map(|place| {
            let [first, second] = places(self.words.load(word(place)), self.lines);
            match place / ENTRIES == first as usize && second != first {
                true => Some((place, self.free(second)?)),
                false => None,
            }
        })
    }
}

/// Words of a lane with so many lines behind the header.
#[must_use]
pub const fn words(lines: u32) -> usize {
    (lines as usize + 1) * WORDS
}
