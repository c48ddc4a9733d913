//! Static lists: which of them an address is on, and what that means for a packet.
//!
//! No program inlines the functions here, as `judge_networks` in `filter` is not.

use secbeat_common::{
    lists::{ALLOWS, BANS, GENERATION, GROUP, MAX_LISTS, find_in_group, find_v4, find_v6, lists_of},
    maps::mode,
    verdict::Verdict,
};

use crate::{
    address::{is_allowed, is_v4, whole},
    clock::boot,
    maps::{LIST_COUNTS, LISTS, SETTINGS},
};

/// Returns what the lists that an address (its halves) is on mean for a packet of `bytes` bytes, which they reach by its port or
/// do not; as the number of a [`Verdict`]. An address that no list bans is clean.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn judge_lists(upper: u64, lower: u64, bytes: u64, reaches: u32, lists: u64) -> u32 {
    count_lists(lists, bytes);
    if lists & BANS == 0 {
        return Verdict::Clean as u32;
    }
    let verdict = if reaches == 0 {
        Verdict::OtherPort
    } else if lists & ALLOWS != 0 || is_allowed(whole([upper, lower])) {
        Verdict::Allowed
    } else if SETTINGS
        .get(0)
        .is_some_and(|settings| settings.mode == mode::OBSERVE)
    {
        Verdict::Observed
    } else {
        Verdict::Banned
    };
    verdict as u32
}

/// Whether one of the lists that an address is on allows it, though something else bans it. If one does, the packet counts for them.
#[inline(always)]
pub(crate) fn allow(lists: u64, bytes: u64) -> bool {
    let is_allowed = lists & ALLOWS != 0;
    if is_allowed {
        count_lists(lists, bytes);
    }
    is_allowed
}

/// The lists of the table at `slot` that an address is on, as bits, with [`BANS`] and [`ALLOWS`].
///
/// Each step is a function of its own, which the kernel verifies once, and asks for the table again. If another table has come into
/// force meanwhile, all is read again.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn find_lists(slot: u32, upper: u64, lower: u64) -> u64 {
    for _ in 0..TRIES {
        let generation = generation_at(slot);
        if generation == 0 {
            return 0;
        }
        let mut class = match is_v4([upper, lower]) {
            true => class_v4_at(slot, lower as u32),
            false => owner_v6_at(slot, upper),
        };
        if class & GROUP != 0 {
            class = class_in_group_at(slot, class, lower);
        }
        let lists = if class == 0 { 0 } else { lists_at(slot, class) };
        if generation_at(slot) == generation {
            return lists;
        }
    }
    0
}

/// Tables that may come into force while one packet is judged.
const TRIES: u32 = 4;

/// The generation of the table at `slot`; 0 if there is none.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn generation_at(slot: u32) -> u64 {
    let header = LISTS.get(slot).and_then(|table| table.get(0));
    header.map_or(0, |header| header.words[GENERATION])
}

/// See [`find_v4`]; 0 for no class.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn class_v4_at(slot: u32, address: u32) -> u32 {
    let found = LISTS
        .get(slot)
        .and_then(|table| find_v4(|number| table.get(number), address));
    found.unwrap_or(0)
}

/// See [`find_v6`]; 0 for no class.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn owner_v6_at(slot: u32, upper: u64) -> u32 {
    let found = LISTS
        .get(slot)
        .and_then(|table| find_v6(|number| table.get(number), upper));
    found.unwrap_or(0)
}

/// See [`find_in_group`]; 0 for no class.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn class_in_group_at(slot: u32, owner: u32, lower: u64) -> u32 {
    let found = LISTS
        .get(slot)
        .and_then(|table| find_in_group(|number| table.get(number), owner, lower));
    found.unwrap_or(0)
}

/// See [`lists_of`]; 0 for none.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn lists_at(slot: u32, class: u32) -> u64 {
    let found = LISTS
        .get(slot)
        .and_then(|table| lists_of(|number| table.get(number), class, boot));
    found.unwrap_or(0)
}

/// Counts a packet for each of `lists`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn count_lists(lists: u64, bytes: u64) -> u32 {
    let mut left = lists as u32;
    for slot in 0..MAX_LISTS as u32 {
        if left == 0 {
            break;
        }
        if left & 1 != 0
            && let Some(counter) = LIST_COUNTS.get_ptr_mut(slot)
        {
            // SAFETY: this CPU's own slot, as in `count` of the program.
            unsafe {
                (*counter).packets += 1;
                (*counter).bytes += bytes;
            }
        }
        left >>= 1;
    }
    0
}
