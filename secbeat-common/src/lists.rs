//! Tables of lists: all static lists of prefixes in one array, in which one search tells every list that an address is on.
//!
//! A table is built whole ([`build`]) and lies in one array of [`Line`]s, so that one pointer brings it into force. The prefixes of all
//! lists cut the address space into stretches. A stretch belongs to a class: a set of lists, and when it shrinks because entries end.
//! IPv4 stretches are sorted within each /16. IPv6 stretches are sorted by their upper halves, five in a line; those that begin within a
//! /64 are in a group of its own.
//!
//! The program and tests on the host find addresses by the same code: [`find_v4`], [`find_v6`], [`find_in_group`] and [`lists_of`].

#[cfg(feature = "wire")]
use crate::prefix::Prefix;
use crate::{
    search::{is_at_most, last_at_most, shortfall},
    table::{Line, WORDS},
};

#[cfg(feature = "wire")]
mod build;
#[cfg(feature = "wire")]
mod view;

#[cfg(feature = "wire")]
pub use self::{
    build::{BuildError, List, MAX_PREFIXES, Table, build},
    view::{Described, Stretch, View, range},
};

/// A prefix on a list.
#[cfg(feature = "wire")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub net: Prefix,
    /// Time at which it ends, in nanoseconds since boot; [`NEVER`] for no end.
    pub ends: u64,
}

/// Lists that can be in force at a time: the bits of a set.
pub const MAX_LISTS: usize = 32;

/// The first word of a table, which names its layout: `SBlist` and a version.
pub const MAGIC: u64 = 0x5342_6c69_7374_0001;

/// Words of the header, behind [`MAGIC`]. The first line of the IPv6 stretches, and in the upper half how many lines there are.
pub const LINES_V6: usize = 1;
/// Number of classes.
pub const CLASS_COUNT: usize = 2;
/// Time at which it was built, in milliseconds since 1970.
pub const BUILT: usize = 3;
/// A number that no other table has: who reads it before and after reads one table in between.
pub const GENERATION: usize = 4;

/// A line for each list: its name in four words, verdict and prefixes, when it was updated, digest, origin.
pub const DESCRIPTIONS: u32 = WORDS as u32;
/// Bytes of a list's name.
pub const NAME_BYTES: usize = 32;
/// A bit for each IPv4 /24 that a list touches.
pub const FRONT_V4: u32 = DESCRIPTIONS + (MAX_LISTS * WORDS) as u32;
/// For each IPv4 /16 the number of its first stretch in the lower half, and behind its last one in the upper half. A stretch of IPv4
/// is half a word, whose number counts halves from the start of the table: where it begins within the /16, above its class.
pub const INDEX_V4: u32 = FRONT_V4 + (1 << 18);
/// For each IPv6 /16 the first line that its stretches are in, and behind the last one; 0 where no list is.
pub const INDEX_V6: u32 = INDEX_V4 + (1 << 16);
/// Two words for each class: its lists with [`BANS`] and [`ALLOWS`], and the class that it becomes at its end; the end in nanoseconds
/// since boot, suspend included.
pub const CLASSES: u32 = INDEX_V6 + (1 << 16);

/// Stretches of IPv6 in a line: as many upper halves, and then as many owners of half a word. An owner is a class, or with [`GROUP`]
/// the word at which the /64's own stretches are.
pub const KEYS_IN_LINE: usize = 5;
/// A group begins with the number of its stretches, and the class before the first one in the upper half. Then come the lower halves at
/// which they begin, and their classes in half a word each.
pub const GROUP: u32 = 1 << 31;

/// The most classes: they are numbered in 16 bits.
pub const MAX_CLASSES: usize = 1 << 16;

/// In the first word of a class: one of its lists bans.
pub const BANS: u64 = 1 << 62;
/// One of its lists allows.
pub const ALLOWS: u64 = 1 << 63;
/// Place of the class that it becomes.
const NEXT_SHIFT: u32 = 32;
const NEXT: u64 = 0xffff << NEXT_SHIFT;

/// A class without end.
pub const NEVER: u64 = u64::MAX;

/// The most steps of a search among the stretches of an IPv4 /16.
const STEPS_V4: u32 = 17;
/// The same among the lines of an IPv6 /16, and within a group.
const STEPS_V6: u32 = 22;

/// Codes of the verdict of a list.
pub mod verdict {
    /// Packets are counted, and pass unless something else bans them.
    pub const OBSERVE: u32 = 0;
    /// Packets are dropped.
    pub const BAN: u32 = 1;
    /// Packets are never dropped.
    pub const ALLOW: u32 = 2;
}

/// The class of an IPv4 address in the table that `line` reads.
#[inline(always)]
pub fn find_v4<'a>(line: impl Fn(u32) -> Option<&'a Line>, address: u32) -> Option<u32> {
    let word = |at: u32| Some(line(at >> 3)?.words[at as usize & 7]);
    if word(FRONT_V4 + (address >> 14))? >> (address >> 8 & 63) & 1 == 0 {
        return None;
    }
    let stretch = |number: u32| Some((word(number >> 1)? >> ((number & 1) * 32)) as u32);
    let range = word(INDEX_V4 + (address >> 16))?;
    let (first, behind) = (range as u32, (range >> 32) as u32);
    let wanted = u64::from(address & 0xffff);
    // The first one begins with the /16.
    let last = last_at_most::<STEPS_V4>(first, behind.wrapping_sub(first), |number| {
        Some(shortfall(wanted, u64::from(stretch(number)? >> 16)))
    })?;
    Some(stretch(last)? & 0xffff)
}

/// The owner of an IPv6 address by its upper half: its class, or with [`GROUP`] where [`find_in_group`] looks for it.
#[inline(always)]
pub fn find_v6<'a>(line: impl Fn(u32) -> Option<&'a Line>, upper: u64) -> Option<u32> {
    let word = |at: u32| Some(line(at >> 3)?.words[at as usize & 7]);
    let range = word(INDEX_V6 + (upper >> 48) as u32)?;
    if range == 0 {
        return None;
    }
    let (first, behind) = (range as u32, (range >> 32) as u32);
    let last = last_at_most::<STEPS_V6>(first, behind.wrapping_sub(first), |number| {
        Some(shortfall(upper, line(number)?.words[0]))
    })?;
    let words = &line(last)?.words;
    let mut behind = 0;
    for key in &words[1..KEYS_IN_LINE] {
        behind += is_at_most(*key, upper) as usize;
    }
    let half = |word: u64, number: u32| (word >> ((number & 1) * 32)) as u32;
    Some(half(words[(KEYS_IN_LINE + behind / 2) & 7], behind as u32))
}

/// The class of an IPv6 address by its lower half in the group that is its owner.
#[inline(always)]
pub fn find_in_group<'a>(line: impl Fn(u32) -> Option<&'a Line>, owner: u32, lower: u64) -> Option<u32> {
    let word = |at: u32| Some(line(at >> 3)?.words[at as usize & 7]);
    let half = |word: u64, number: u32| (word >> ((number & 1) * 32)) as u32;
    let keys = (owner & !GROUP) + 1;
    let header = word(keys - 1)?;
    let count = header as u32;
    if count == 0 || word(keys)? > lower {
        return Some((header >> 32) as u32);
    }
    let last =
        last_at_most::<STEPS_V6>(keys, count, |at| Some(shortfall(lower, word(at)?)))?.wrapping_sub(keys);
    Some(half(
        word(keys.wrapping_add(count).wrapping_add(last >> 1))?,
        last,
    ))
}

/// The lists of a class at the time that `now` tells, in nanoseconds since boot, with [`BANS`] and [`ALLOWS`].
#[inline(always)]
pub fn lists_of<'a>(
    line: impl Fn(u32) -> Option<&'a Line>,
    class: u32,
    now: impl Fn() -> u64,
) -> Option<u64> {
    let mut class = class & 0xffff;
    // A class ends at most once for each list.
    for _ in 0..=MAX_LISTS {
        let at = CLASSES + class * 2;
        let words = &line(at >> 3)?.words;
        let (lists, end) = (words[at as usize & 6], words[(at as usize & 6) + 1]);
        if end == NEVER || now() < end {
            return Some(lists & !NEXT);
        }
        class = ((lists & NEXT) >> NEXT_SHIFT) as u32;
    }
    None
}

#[cfg(test)]
mod tests;
