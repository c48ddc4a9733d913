//! The drop cache: what a CPU remembers of the sources that flood it, so that most packets of a flood need no hash lookup.
//!
//! A lookup in the ban maps is the dearest step of a drop, since hash maps are reached by calls while the JIT inlines
//! array maps. A source is remembered when its ban has just been found valid by both clocks, the allowlist touches the
//! ban nowhere, and it has met the ban at least [`REMEMBER_FROM`] times before; the memory ends with the jiffy, or after
//! [`REMEMBERED`] packets. So an unban, a new allowlist entry or a ban's end takes at most that long to be noticed.
//! Packets dropped from memory are added to the ban at the next lookup, or when another source takes the slot: each saved
//! at least one lookup, so floods that collide in a slot never cost more lookups than without the memory.

use secbeat_common::maps::{Ban, FLOOD_SLOTS, Flood, family, hash};

use crate::{
    clock,
    maps::{BANNED_V4, BANNED_V6, FLOODS},
};

/// Packets of one ban between two looks at the boot clock, and the first at which its source is remembered.
pub(crate) const REMEMBER_FROM: u64 = 64;
/// Packets dropped from memory between two lookups.
const REMEMBERED: u32 = 63;

/// A source as the ban maps and [`Flood`] know it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    source: u64,
    family: u32,
}

impl Key {
    #[inline(always)]
    pub(crate) fn v4(octets: [u8; 4]) -> Self {
        let [a, b, c, d] = octets;
        Self {
            source: u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]),
            family: family::V4,
        }
    }

    #[inline(always)]
    pub(crate) fn v6(upper_half: [u8; 8]) -> Self {
        Self {
            source: u64::from_ne_bytes(upper_half),
            family: family::V6,
        }
    }

    /// As the sieve knows it.
    #[inline(always)]
    pub(crate) fn source(self) -> u64 {
        self.source
    }

    #[inline(always)]
    fn slot(self) -> u32 {
        (hash(self.source) >> (u64::BITS - FLOOD_SLOTS.ilog2())) as u32
    }
}

/// This CPU's record in the slot of one source, which may be another source's.
pub(crate) struct Memory {
    key: Key,
    slot: Option<*mut Flood>,
}

impl Memory {
    #[inline(always)]
    pub(crate) fn of(key: Key) -> Self {
        Self {
            key,
            slot: FLOODS.get_ptr_mut(key.slot()),
        }
    }

    /// Memory of nothing, in which nothing is remembered.
    #[inline(always)]
    pub(crate) fn none(key: Key) -> Self {
        Self { key, slot: None }
    }

    /// Whether the source is remembered as banned; if so, this packet is counted.
    #[inline(always)]
    pub(crate) fn drops(&self, bytes: u64) -> bool {
        let Some(flood) = self.slot else { return false };
        // SAFETY: this CPU's own slot, and XDP is not preempted by another XDP program on the same CPU.
        let flood = unsafe { &mut *flood };
        if flood.source != self.key.source
            || flood.family != self.key.family
            || flood.jiffy != clock::jiffies()
            || flood.packets >= REMEMBERED
        {
            return false;
        }
        flood.packets += 1;
        flood.bytes += bytes;
        true
    }

    /// Whether the slot holds this source, remembered or spent.
    #[inline(always)]
    pub(crate) fn knows(&self) -> bool {
        let Some(flood) = self.slot else { return false };
        // SAFETY: as above.
        let flood = unsafe { &*flood };
        flood.source == self.key.source && flood.family == self.key.family
    }

    /// Whether the slot holds this ban of this source; if so, what was dropped from memory is added to the ban, and the
    /// source forgotten: the ban may be found to have ended now.
    #[inline(always)]
    pub(crate) fn settle(&self, ban: &mut Ban) -> bool {
        let Some(flood) = self.slot else { return false };
        // SAFETY: as above.
        let flood = unsafe { &mut *flood };
        let same = flood.source == self.key.source && flood.family == self.key.family && add(flood, ban);
        if same {
            *flood = Flood::default();
        }
        same
    }

    /// Remembers the source, whose ban, ending at `expires_boot_ns`, both clocks have just found valid.
    #[inline(always)]
    pub(crate) fn remember(&self, expires_boot_ns: u64) {
        let Some(flood) = self.slot else { return };
        // SAFETY: as above.
        let flood = unsafe { &mut *flood };
        if flood.packets != 0 {
            credit(flood);
        }
        *flood = Flood {
            source: self.key.source,
            expires_boot_ns,
            jiffy: clock::jiffies(),
            bytes: 0,
            packets: 0,
            family: self.key.family,
        };
    }
}

/// Adds what was dropped from memory to its ban, if that still exists.
#[inline(always)]
fn credit(flood: &Flood) {
    let [a, b, c, d, e, f, g, h] = flood.source.to_ne_bytes();
    let ban = if flood.family == family::V4 {
        BANNED_V4.get_ptr_mut([a, b, c, d])
    } else {
        BANNED_V6.get_ptr_mut([a, b, c, d, e, f, g, h])
    };
    let Some(ban) = ban else { return };
    // SAFETY: a live map value; it stays valid for this run.
    add(flood, unsafe { &mut *ban });
}

/// Adds what was dropped from memory to `ban`, if that is the one that was remembered. Returns whether it is.
#[inline(always)]
fn add(flood: &Flood, ban: &mut Ban) -> bool {
    let same = ban.expires_boot_ns == flood.expires_boot_ns;
    if same {
        ban.dropped_packets += u64::from(flood.packets);
        ban.dropped_bytes += flood.bytes;
    }
    same
}
