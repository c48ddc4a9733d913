//! Static lists: which of them an address is on, and what that means for a packet.
//!
//! No program inlines the functions here, as `judge_networks` in `filter` is not.

use secbeat_common::{
    lists::{ALLOWS, BANS, MAX_LISTS, find_v4, find_v6, lists_of},
    maps::{IN_FORCE, mode},
    verdict::Verdict,
};

use crate::{
    clock::boot,
    filter::{is_allowed, is_v4, whole},
    maps::{LIST_COUNTS, LISTS, SETTINGS, Table},
};

/// What the lists around an address (its halves) mean for a packet of `bytes` bytes, which they reach by its port or do not; as the
/// number of a [`Verdict`]. An address that no list bans is clean.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn judge_lists(upper: u64, lower: u64, bytes: u64, reaches: u32) -> u32 {
    let lists = find_lists(IN_FORCE, upper, lower);
    if lists == 0 {
        return Verdict::Clean as u32;
    }
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

/// Whether a list allows an address that something else bans: 0 or 1. If one does, the packet counts as one of its lists.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn lists_allow(upper: u64, lower: u64, bytes: u64) -> u32 {
    let lists = find_lists(IN_FORCE, upper, lower);
    if lists & ALLOWS == 0 {
        return 0;
    }
    count_lists(lists, bytes);
    1
}

/// The lists of the table at `slot` that an address is on, as bits, with [`BANS`] and [`ALLOWS`]. All is read from one table.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn find_lists(slot: u32, upper: u64, lower: u64) -> u64 {
    let found = LISTS.get(slot).and_then(|table| find(table, [upper, lower]));
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

/// The lists of `table` that an address is on.
#[inline(always)]
fn find(table: &Table, [upper, lower]: [u64; 2]) -> Option<u64> {
    let line = |number| table.get(number);
    let class = match is_v4([upper, lower]) {
        true => find_v4(line, lower as u32),
        false => find_v6(line, [upper, lower]),
    }?;
    lists_of(line, class, boot)
}
