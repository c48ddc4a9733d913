//! Tables of banned networks: what the kernel asks when there are more of them than a trie is good for.
//!
//! A table is built whole ([`build`]) and lies in one array of [`Line`]s, so that one pointer brings it into force. The networks
//! cut the address space into stretches, sorted by their first addresses, each of which has an owner: the longest network around
//! it. Finding the stretch of an address is a search within a block of the address space, whose limits an index tells. The
//! owner is a [`Record`], in which the ban is that of the tries: the program checks its end and counts in it.
//!
//! The program and tests on the host find addresses by the same code, [`find_v4`] and [`find_v6`].

use crate::{
    maps::{Ban, NetKey},
    search::{last_at_most, shortfall, shortfall_of_two},
};

#[cfg(feature = "wire")]
mod build;
#[cfg(feature = "wire")]
mod view;

#[cfg(feature = "wire")]
pub(crate) use self::view::bounds;
#[cfg(feature = "wire")]
pub use self::{build::build, view::View};

/// A line of a table, and of a processor's cache.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub words: [u64; WORDS],
}

/// Words of 64 bits in a line.
pub const WORDS: usize = 8;

/// A banned network. One line.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: NetKey,
    /// [`LIVE`], or anything else for a network that was lifted since the table was built.
    pub state: u32,
    pub ban: Ban,
}

/// [`Record::state`] of a network that is banned.
pub const LIVE: u32 = 1;

/// The first word of a table, which names its layout: `SBnets` and a version.
pub const MAGIC: u64 = 0x5342_6e65_7473_0001;

/// Words of the header, behind [`MAGIC`]: where the records start (a line), and how many there are; where the stretches of IPv4
/// start (a word) and how many there are; the same of IPv6 (in fours of words).
pub const RECORDS: usize = 1;
pub const V4: usize = 3;
pub const V6: usize = 5;

/// A bit for each IPv4 /24 that a banned network touches.
pub const FRONT_V4: u32 = WORDS as u32;
/// For each IPv4 /16, where the stretches that begin in it are: the words from the lower half on, up to the upper half.
pub const INDEX_V4: u32 = FRONT_V4 + (1 << 18);
/// For each IPv6 /18 the same, in fours of words; 0 where nothing is banned.
pub const INDEX_V6: u32 = INDEX_V4 + (1 << 16);
/// Beginnings of the stretches. One of IPv4 is a word, its first address above its owner; one of IPv6 is four words: the
/// upper and the lower half of its first address, its owner, and nothing. An owner is the line of a record, or 0.
pub const BODY: u32 = INDEX_V6 + (1 << 18);

/// The most steps of a search among the stretches that begin in one IPv4 /16.
const STEPS_V4: u32 = 17;
/// The same for an IPv6 /18, in which all may begin that there are.
const STEPS_V6: u32 = 22;

/// The record of the longest network around an IPv4 address, as a line of the table that `line` reads.
#[inline(always)]
pub fn find_v4<'a>(line: impl Fn(u32) -> Option<&'a Line>, address: u32) -> Option<u32> {
    let word = |at: u32| Some(line(at >> 3)?.words[at as usize & 7]);
    if word(FRONT_V4 + (address >> 14))? >> (address >> 8 & 63) & 1 == 0 {
        return None;
    }
    let range = word(INDEX_V4 + (address >> 16))?;
    // The stretch before may reach into the /16.
    let (first, behind) = ((range as u32).wrapping_sub(1), (range >> 32) as u32);
    let wanted = u64::from(address);
    let last = last_at_most::<STEPS_V4>(first, behind.wrapping_sub(first), |at| {
        Some(shortfall(wanted, word(at)? >> 32))
    })?;
    let owner = word(last)? as u32;
    (owner != 0).then_some(owner)
}

/// The same for an IPv6 address.
#[inline(always)]
pub fn find_v6<'a>(line: impl Fn(u32) -> Option<&'a Line>, address: [u64; 2]) -> Option<u32> {
    let at = INDEX_V6 + (address[0] >> 46) as u32;
    let range = line(at >> 3)?.words[at as usize & 7];
    if range == 0 {
        return None;
    }
    let (first, behind) = ((range as u32).wrapping_sub(1), (range >> 32) as u32);
    let last = last_at_most::<STEPS_V6>(first, behind.wrapping_sub(first), |number| {
        let (words, at) = (&line(number >> 1)?.words, (number as usize & 1) * 4);
        Some(shortfall_of_two(address, [words[at], words[at + 1]]))
    })?;
    let owner = line(last >> 1)?.words[(last as usize & 1) * 4 + 2] as u32;
    (owner != 0).then_some(owner)
}

#[cfg(feature = "aya")]
mod pod {
    // SAFETY: `repr(C)` integers without padding; every bit pattern is a value.
    unsafe impl aya::Pod for super::Line {}
}

#[cfg(test)]
mod tests {
    use core::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn layout_of_tables_is_locked() {
        assert_eq!((size_of::<Line>(), size_of::<Record>()), (64, 64));
        assert_eq!(
            (
                offset_of!(Record, key),
                offset_of!(Record, state),
                offset_of!(Record, ban)
            ),
            (0, 20, 24)
        );
        assert!([FRONT_V4, INDEX_V4, INDEX_V6, BODY].iter().all(|at| at % 8 == 0));
    }
}
