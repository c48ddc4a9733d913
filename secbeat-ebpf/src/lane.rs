//! The express lane in front of the ban maps: see [`secbeat_common::lane`].
//!
//! A hit costs one miss of the cache, and no call of a helper. The first packet of a ban, and then one in 64, looks the ban up in its
//! map too: there its exact end is compared with the boot clock, what was dropped since is added to it, and an event is sent. The
//! lane only says what the map and the allowlist would say; where it says nothing, they are asked.

use secbeat_common::{
    lane::{self, ARMED, Entry, Line, Memory},
    maps::{Ban, mode},
    verdict::Verdict,
};

use crate::{
    address::whole,
    clock::{Clock as _, Jiffies, jiffies},
    event,
    flood::{self, Key},
    maps::{BANNED_V4, BANNED_V6, LANE, SETTINGS},
};

/// What [`judge_in_lane`] returns where the lane says nothing: no [`Verdict`].
pub(crate) const MISS: u32 = u32::MAX;

/// The lane as one run reads it, while its owner writes.
struct Shared;

impl Memory for Shared {
    type Line = *mut Line;

    #[inline(always)]
    fn line(&self, number: u32) -> Option<*mut Line> {
        LANE.get_ptr_mut(number)
    }

    #[inline(always)]
    fn key(&self, line: *mut Line, entry: usize) -> u64 {
        // SAFETY: a live map value, and an entry of it.
        unsafe { (&raw const (*line).entries[entry].key).read_volatile() }
    }

    #[inline(always)]
    fn end(&self, line: *mut Line, entry: usize) -> u32 {
        // SAFETY: as above.
        unsafe { (&raw const (*line).entries[entry].end).read_volatile() }
    }
}

/// Returns what the lane says of a packet of `bytes` bytes from the source with this key; of an IPv6 address, `lower` is the
/// other half. As the number of a [`Verdict`], or [`MISS`].
///
/// No program inlines it: see [`judge_networks`](crate::filter::judge_networks).
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn judge_in_lane(key: u64, lower: u64, bytes: u64) -> u32 {
    let Some(settings) = SETTINGS.get(0) else {
        return MISS;
    };
    let Some(lines) = lane::lines_in_force(&Shared, settings.allow_generation) else {
        return MISS;
    };
    let Some((line, at)) = lane::find(&Shared, key, lines) else {
        return MISS;
    };
    // SAFETY: a live map value, and an entry of it; only addresses are taken.
    let entry: *mut Entry = unsafe { &raw mut (*line).entries[at] };
    if lane::is_over(Shared.end(line, at), jiffies()) {
        return MISS;
    }
    // The lane holds bans that no allowed network touches.
    let verdict = match settings.mode == mode::OBSERVE {
        true => Verdict::Observed,
        false => Verdict::Banned,
    };
    // SAFETY: as above. Other CPUs may count here meanwhile: two that drop packets of one source at the same instant may lose a
    // count or add one twice, which saves every drop locked instructions.
    let met = unsafe { &raw mut (*entry).met };
    // SAFETY: as above.
    if let Some(next) = lane::with(unsafe { met.read_volatile() }, bytes) {
        // SAFETY: as above.
        unsafe { met.write_volatile(next) };
        return verdict as u32;
    }
    let ban = match lane::source(key) {
        Ok(address) => BANNED_V4.get_ptr_mut(address.to_be_bytes()),
        Err(upper_half) => BANNED_V6.get_ptr_mut(upper_half.to_be_bytes()),
    };
    let Some(ban) = ban else {
        // The map has lost it; what was dropped before is lost with it.
        // SAFETY: as above.
        unsafe { met.write_volatile(ARMED) };
        return verdict as u32;
    };
    // SAFETY: a live map value; it stays valid for this run, and userspace replaces it whole.
    let ban: &mut Ban = unsafe { &mut *ban };
    if Jiffies::has_ended(ban, true) {
        return Verdict::Expired as u32;
    }
    // SAFETY: as above.
    let taken = unsafe { met.read_volatile() };
    // SAFETY: as above.
    unsafe { met.write_volatile(ARMED) };
    let (packets, held_bytes) = lane::held(taken);
    let before = ban.dropped_packets;
    ban.dropped_packets += 1 + u64::from(packets);
    ban.dropped_bytes += bytes + u64::from(held_bytes);
    if event::is_due(settings, before, ban.dropped_packets) {
        event::send(address(key, lower), ban, verdict, bytes);
    }
    if packets != 0 && verdict == Verdict::Banned {
        memory(key).remember(ban.expires_boot_ns);
    }
    verdict as u32
}

/// This CPU's memory of the source, for the case that it floods.
#[inline(always)]
fn memory(key: u64) -> flood::Memory {
    flood::Memory::of(match lane::source(key) {
        Ok(address) => Key::v4(address.to_be_bytes()),
        Err(upper_half) => Key::v6(upper_half.to_be_bytes()),
    })
}

/// The source's address, in words in network order.
#[inline(always)]
fn address(key: u64, lower: u64) -> [u32; 4] {
    whole(match lane::source(key) {
        Ok(_) => [0, key],
        Err(upper_half) => [upper_half, lower],
    })
}
