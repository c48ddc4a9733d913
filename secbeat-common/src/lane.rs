//! The express lane: a table in front of the ban maps, in which a banned source is found with one miss of the cache.
//!
//! A hash map costs two misses, a bucket and an element. Here a source has two [`Line`]s of which it is in one, and the second is
//! looked at only where the first says so. What is not in the lane, the program looks up in the ban maps, so it may lack any ban;
//! what is in it is banned. One process writes the lane ([`Writer`]), the owner; every other one that changes bans puts it out of
//! force by [`EPOCH`], until the owner has compared it with the maps.
//!
//! The program, the owner and the model of both in the tests find entries by the same code, [`find`].

#[cfg(any(feature = "wire", test))]
mod write;

#[cfg(any(feature = "wire", test))]
pub use self::write::{Reader, Slot, Words, Writer, words};

/// A banned source.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// See [`v4`] and [`v6`]; 0 where there is none.
    pub key: u64,
    /// See [`end`]; with [`LOCAL`], and in a line's first entry with [`OVERFLOWS`].
    pub end: u32,
    /// Dropped packets that are not yet added to the ban: see [`held`].
    pub met: u32,
}

/// A line of the table, and of a processor's cache.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub entries: [Entry; ENTRIES],
}

/// Entries of a line.
pub const ENTRIES: usize = 4;
/// Words of 64 bits of a line: of each entry its key, and its end below what it met.
pub const WORDS: usize = 2 * ENTRIES;

/// Line 0 is the header, which has numbers where others have keys. This one grows with each change of bans by a process that is not
/// the owner.
pub const EPOCH: usize = 0;
/// [`EPOCH`] as it was when the owner last began to compare the lane with the maps. Otherwise the lane is out of force.
pub const FILLED: usize = 1;
/// The allowlist's generation that touches nothing in the lane ([`Settings::allow_generation`](crate::maps::Settings)). While it is
/// another, the lane is out of force.
pub const GENERATION: usize = 2;
/// How many lines follow.
pub const LINES: usize = 3;
/// In the header's first three second words the owner notes its clock, for those who want to know when an entry ends: jiffies, the
/// boot clock in nanoseconds at that instant, and jiffies in a second.
pub const CLOCK: [usize; 3] = [1, 3, 5];

/// Set in the end of a line's first entry: sources whose first line this is may be in their second.
pub const OVERFLOWS: u32 = 1 << 31;
/// Set in the end of a ban that was made on this host, not by the fleet.
pub const LOCAL: u32 = 1 << 30;
/// The end of a ban that does not end in the years that can be counted.
pub const LAST: u32 = LOCAL - 1;
/// Jiffies are counted in 64s, so that 30 bits last for 2 years at 1000 a second, and for 8 at 250.
const END_SHIFT: u32 = 6;

/// Bits of [`Entry::met`] for bytes; the packets are above.
const BYTE_BITS: u32 = 25;
/// [`Entry::met`] of an entry whose ban was just looked up: the counter says one packet, which is none.
pub const ARMED: u32 = 1 << BYTE_BITS;
/// With so many, the ban is looked up again.
const MET_MOST: u32 = 64;

/// Lines for a lane in front of maps with `ban_slots` slots, with the header: four fifths full with as many bans.
#[must_use]
pub const fn map_lines(ban_slots: u32) -> u32 {
    (ban_slots as u64 * 5 / 16) as u32 + 2
}

/// The key of an IPv4 source.
#[inline(always)]
#[must_use]
pub const fn v4(address: u32) -> u64 {
    0xffff << 32 | address as u64
}

/// The key of an IPv6 source, the upper half of its address; `None` for what would be taken for IPv4 or for no key.
#[inline(always)]
#[must_use]
pub const fn v6(upper_half: u64) -> Option<u64> {
    match upper_half >> 32 {
        0xffff => None,
        _ if upper_half == 0 => None,
        _ => Some(upper_half),
    }
}

/// The IPv4 address of a key, or the upper half of an IPv6 address.
#[inline(always)]
pub const fn source(key: u64) -> Result<u32, u64> {
    match key >> 32 {
        0xffff => Ok(key as u32),
        _ => Err(key),
    }
}

/// Returns what an entry says of a ban that ends at `jiffies`: an end that is never later, and at most 64 jiffies earlier. What
/// follows is left to the maps.
#[inline(always)]
#[must_use]
pub const fn end(jiffies: u64) -> u32 {
    let end = jiffies >> END_SHIFT;
    match end < LAST as u64 {
        true => end as u32,
        false => LAST,
    }
}

/// The jiffies at which an entry with `end` ends.
#[must_use]
pub const fn end_in_jiffies(end: u32) -> u64 {
    ((end & LAST) as u64) << END_SHIFT
}

/// Whether an entry with `end` says nothing any more.
#[inline(always)]
#[must_use]
pub const fn is_over(end: u32, jiffies: u64) -> bool {
    jiffies >> END_SHIFT >= (end & LAST) as u64
}

/// The packets and bytes that `met` holds back.
#[inline(always)]
#[must_use]
pub const fn held(met: u32) -> (u32, u32) {
    ((met >> BYTE_BITS).saturating_sub(1), met & (ARMED - 1))
}

/// `met` with another packet; `None` if the ban is to be looked up: the first time, and then for one packet in 64.
#[inline(always)]
#[must_use]
pub const fn with(met: u32, bytes: u64) -> Option<u32> {
    let (packets, sum) = (met >> BYTE_BITS, (met & (ARMED - 1)) as u64 + bytes);
    if packets == 0 || packets >= MET_MOST || sum >= ARMED as u64 {
        return None;
    }
    Some((packets + 1) << BYTE_BITS | sum as u32)
}

/// The two lines of `key` among `lines` of them. They may be the same.
#[inline(always)]
#[must_use]
pub const fn places(key: u64, lines: u32) -> [u32; 2] {
    let mut hash = crate::maps::hash(key);
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^= hash >> 32;
    let lines = lines as u64;
    [
        1 + (((hash >> 32) * lines) >> 32) as u32,
        1 + (((hash & 0xffff_ffff) * lines) >> 32) as u32,
    ]
}

/// A lane as a reader sees it.
pub trait Memory {
    type Line: Copy;
    /// `None` behind the last.
    fn line(&self, number: u32) -> Option<Self::Line>;
    fn key(&self, line: Self::Line, entry: usize) -> u64;
    fn end(&self, line: Self::Line, entry: usize) -> u32;
}

/// Returns how many lines there are, if the lane is in force with this generation of the allowlist.
#[inline(always)]
pub fn lines_in_force<M: Memory>(memory: &M, generation: u32) -> Option<u32> {
    let header = memory.line(0)?;
    let is_filled = memory.key(header, EPOCH) == memory.key(header, FILLED);
    let is_allowing = memory.key(header, GENERATION) == u64::from(generation);
    (is_filled && is_allowing).then(|| memory.key(header, LINES) as u32)
}

/// Returns where `key` is among `lines` lines.
#[inline(always)]
pub fn find<M: Memory>(memory: &M, key: u64, lines: u32) -> Option<(M::Line, usize)> {
    let [first, second] = places(key, lines);
    let line = memory.line(first)?;
    if let Some(entry) = within(memory, line, key) {
        return Some((line, entry));
    }
    if memory.end(line, 0) & OVERFLOWS == 0 {
        return None;
    }
    let line = memory.line(second)?;
    within(memory, line, key).map(|entry| (line, entry))
}

#[inline(always)]
fn within<M: Memory>(memory: &M, line: M::Line, key: u64) -> Option<usize> {
    (0..ENTRIES).find(|&entry| memory.key(line, entry) == key)
}

#[cfg(test)]
mod tests;
