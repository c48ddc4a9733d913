//! A table of lists that was built: which lists are in it, and what is on them.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    CLASS_COUNT, CLASSES, DESCRIPTIONS, Entry, GROUP, INDEX_V4, KEYS_IN_LINE, LINES_V6, MAGIC, MAX_LISTS,
    NAME_BYTES, NEVER, NEXT, NEXT_SHIFT,
};
use crate::{
    prefix::Prefix,
    table::{WORDS, bounds},
};

/// The words of a table.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    words: &'a [AtomicU64],
}

/// A table's data of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// At most [`NAME_BYTES`] bytes of ASCII.
    pub name: String,
    /// A code of [`verdict`](super::verdict).
    pub verdict: u32,
    /// Number of prefixes that it was given.
    pub prefixes: u32,
    /// Time at which it was given, in milliseconds since 1970.
    pub updated_ms: u64,
    /// Of its prefixes and ends.
    pub digest: u64,
    /// Its origin: a number of the edge's.
    pub origin: u32,
}

/// Addresses that are on the same lists, up to the next stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub first: u128,
    pub last: u128,
    pub is_v4: bool,
    pub class: u32,
}

impl Described {
    pub(super) fn to_words(&self) -> [u64; WORDS] {
        let mut name = [0; NAME_BYTES];
        for (to, byte) in name.iter_mut().zip(self.name.bytes()) {
            *to = byte;
        }
        let (names, _) = name.as_chunks::<8>();
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(names) {
            *word = u64::from_ne_bytes(*bytes);
        }
        words[4] = u64::from(self.prefixes) << 32 | u64::from(self.verdict);
        words[5] = self.updated_ms;
        words[6] = self.digest;
        words[7] = u64::from(self.origin);
        words
    }

    fn from_words(words: [u64; WORDS]) -> Option<Self> {
        let [a, b, c, d, numbers, updated_ms, digest, origin] = words;
        let name = [a, b, c, d].map(u64::to_ne_bytes).concat();
        let len = name.iter().position(|byte| *byte == 0).unwrap_or(NAME_BYTES);
        let name = String::from_utf8(name[..len].to_vec()).ok()?;
        (!name.is_empty()).then_some(Self {
            name,
            verdict: numbers as u32,
            prefixes: (numbers >> 32) as u32,
            updated_ms,
            digest,
            origin: origin as u32,
        })
    }
}

impl<'a> View<'a> {
    /// Opens a table; `None` if these words are not a table of this release.
    #[must_use]
    pub fn new(words: &'a [AtomicU64]) -> Option<Self> {
        let view = Self { words };
        let (first, lines) = view.lines_v6();
        let behind = first.checked_add(lines)?.checked_mul(WORDS)?;
        (words.len() >= CLASSES as usize && view.word(0) == MAGIC && behind <= words.len()).then_some(view)
    }

    fn word(&self, at: usize) -> u64 {
        self.words.get(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn half(&self, number: usize) -> u32 {
        (self.word(number / 2) >> (number % 2 * 32)) as u32
    }

    fn lines_v6(&self) -> (usize, usize) {
        let word = self.word(LINES_V6);
        (word as u32 as usize, (word >> 32) as usize)
    }

    /// The lists, by their slots.
    pub fn lists(&self) -> impl Iterator<Item = (usize, Described)> + use<'a> {
        let view = *self;
        (0..MAX_LISTS).filter_map(move |slot| {
            let at = DESCRIPTIONS as usize + slot * WORDS;
            let words = std::array::from_fn(|word| view.word(at + word));
            Some((slot, Described::from_words(words)?))
        })
    }

    /// The lists of a class and its end, and what it becomes then, down to none.
    pub fn terms(&self, class: u32) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let view = *self;
        let at = |class: u32| CLASSES as usize + class as usize * 2;
        let mut next = Some(class);
        std::iter::from_fn(move || {
            let class = next.filter(|class| *class != 0)?;
            let (lists, end) = (view.word(at(class)), view.word(at(class) + 1));
            next = (end != NEVER).then_some(((lists & NEXT) >> NEXT_SHIFT) as u32);
            Some((lists & !NEXT, end))
        })
        .take(MAX_LISTS + 1)
    }

    /// The earliest end of an entry, in nanoseconds since boot.
    #[must_use]
    pub fn next_end(&self) -> Option<u64> {
        let ends =
            (0..self.word(CLASS_COUNT) as usize).map(|class| self.word(CLASSES as usize + class * 2 + 1));
        ends.filter(|end| *end != NEVER).min()
    }

    /// Returns when the entries of the list at `slot` in a class end; `None` if it is not in it.
    #[must_use]
    pub fn end_in(&self, class: u32, slot: usize) -> Option<u64> {
        let terms = self.terms(class);
        terms
            .take_while(|(lists, _)| lists >> slot & 1 != 0)
            .map(|(_, end)| end)
            .last()
    }

    /// All stretches that are on a list, IPv4 first, in order.
    pub fn stretches(&self) -> impl Iterator<Item = Stretch> + use<'a> {
        let v4 = behind(self.starts_v4(), u128::from(u32::MAX), true);
        v4.chain(behind(self.starts_v6(), u128::MAX, false))
            .filter(|stretch| stretch.class != 0)
    }

    fn starts_v4(&self) -> impl Iterator<Item = (u128, u32)> + use<'a> {
        let view = *self;
        (0..1_u32 << 16).flat_map(move |block| {
            let range = view.word((INDEX_V4 + block) as usize);
            let (low, high) = (range as u32 as usize, (range >> 32) as usize);
            let first = u128::from(block) << 16;
            let starts = (low..high).map(move |number| {
                let half = view.half(number);
                (first | u128::from(half >> 16), half & 0xffff)
            });
            // Where nothing is listed, nothing is noted.
            let empty = (low == high).then_some((first, 0));
            starts.chain(empty)
        })
    }

    fn starts_v6(&self) -> impl Iterator<Item = (u128, u32)> + use<'a> {
        let view = *self;
        let (first, lines) = self.lines_v6();
        let mut last = None;
        let keys = (first..first + lines).flat_map(move |line| {
            (0..KEYS_IN_LINE).map(move |number| {
                let owners = line * WORDS + KEYS_IN_LINE;
                (view.word(line * WORDS + number), view.half(owners * 2 + number))
            })
        });
        // The last line is filled up with what is not a stretch.
        let keys = keys.filter(move |(key, _)| last.replace(*key).is_none_or(|last| last < *key));
        keys.flat_map(move |(upper, owner)| {
            let first = u128::from(upper) << 64;
            let group = (owner & GROUP != 0).then_some((owner & !GROUP) as usize);
            let header = group.map_or(0, |at| view.word(at));
            let count = header as u32 as usize;
            let before = if group.is_some() {
                (header >> 32) as u32
            } else {
                owner
            };
            let at = group.unwrap_or_default();
            let within = (0..count).map(move |number| {
                let class = view.half((at + 1 + count) * 2 + number);
                (first | u128::from(view.word(at + 1 + number)), class)
            });
            std::iter::once((first, before)).chain(within)
        })
    }

    /// Returns what is on the list at `slot`, as few prefixes as can be, without those that end before `now` (in nanoseconds
    /// since boot).
    #[must_use]
    pub fn entries(&self, slot: usize, now: u64) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut open: Option<(Stretch, u64)> = None;
        let listed = self
            .stretches()
            .filter_map(|stretch| Some((stretch, self.end_in(stretch.class, slot)?)));
        for (stretch, end) in listed.filter(|(_, end)| *end > now) {
            match &mut open {
                Some((before, ends))
                    if *ends == end
                        && before.is_v4 == stretch.is_v4
                        && before.last.checked_add(1) == Some(stretch.first) =>
                {
                    before.last = stretch.last;
                }
                _ => {
                    let done = open.replace((stretch, end));
                    entries.extend(done.into_iter().flat_map(|(stretch, ends)| stretch.entries(ends)));
                }
            }
        }
        entries.extend(open.into_iter().flat_map(|(stretch, ends)| stretch.entries(ends)));
        entries
    }
}

impl Stretch {
    /// The prefixes that hold exactly it.
    #[must_use]
    pub fn prefixes(&self) -> Vec<Prefix> {
        let bits: u32 = if self.is_v4 { 32 } else { 128 };
        let (mut first, mut prefixes) = (self.first, Vec::new());
        loop {
            // As far as the address is aligned, and the stretch goes.
            let aligned = first.trailing_zeros().min(bits);
            let left = (self.last - first).checked_add(1).map_or(128, u128::ilog2);
            let behind = aligned.min(left);
            let address = match self.is_v4 {
                true => Ipv4Addr::from_bits(first as u32).into(),
                false => Ipv6Addr::from_bits(first).into(),
            };
            prefixes.extend(Prefix::new(address, (bits - behind) as u8));
            let last = first | 1_u128.checked_shl(behind).map_or(u128::MAX, |size| size - 1);
            if last >= self.last {
                return prefixes;
            }
            first = last + 1;
        }
    }

    fn entries(self, ends: u64) -> impl Iterator<Item = Entry> {
        self.prefixes().into_iter().map(move |net| Entry { net, ends })
    }
}

/// Whether a prefix is one of IPv4, and its first and last address.
#[must_use]
pub fn range(net: &Prefix) -> (bool, u128, u128) {
    let (first, last) = bounds(net);
    (net.addr().is_ipv4(), first, last)
}

/// Each start with where the next one comes.
fn behind(
    starts: impl Iterator<Item = (u128, u32)>,
    last: u128,
    is_v4: bool,
) -> impl Iterator<Item = Stretch> {
    let mut starts = starts.peekable();
    std::iter::from_fn(move || {
        let (first, class) = starts.next()?;
        let last = starts.peek().map_or(last, |(next, _)| next - 1);
        Some(Stretch {
            first,
            last,
            is_v4,
            class,
        })
    })
}
