//! The decision: what becomes of one packet.
//!
//! A packet that is not banned pays one hash miss. Everything else happens on a hit only: the ban's end, then the
//! allowlist, then the mode.

use aya_ebpf::btf_maps::lpm_trie::Key;
use secbeat_common::{
    maps::{Ban, Settings, mode},
    verdict::Verdict,
};
use secbeat_ebpf::parse::{self, Frame, NoSource, Source};

use crate::{
    clock::Clock,
    maps::{ALLOWED_NETS, BANNED_V4, BANNED_V6, SETTINGS},
};

/// A key of the allowlist made of whole words, so that it is written in five stores. In memory it is the same as
/// `Key<[u8; 16]>`.
#[repr(C)]
struct AllowKey {
    prefix_len: u32,
    words: [u32; 4],
}

/// Judges one packet.
#[inline(always)]
pub(crate) fn judge<C: Clock>(frame: &Frame) -> Verdict {
    match parse::source(frame) {
        Ok(Source::V4(octets)) => match BANNED_V4.get_ptr_mut(octets) {
            None => Verdict::Clean,
            Some(ban) => judge_hit::<C>(frame, ban, || v4_mapped(octets)),
        },
        Ok(Source::V6(octets)) => match BANNED_V6.get_ptr_mut(upper_half(&octets)) {
            None => Verdict::Clean,
            Some(ban) => judge_hit::<C>(frame, ban, || words(&octets)),
        },
        Err(NoSource::NotIp) => Verdict::NotIp,
        Err(NoSource::Malformed) => Verdict::Malformed,
    }
}

#[inline(always)]
fn judge_hit<C: Clock>(frame: &Frame, ban: *mut Ban, address: impl FnOnce() -> [u32; 4]) -> Verdict {
    // SAFETY: a live map value; it stays valid for this run, and userspace replaces it whole.
    if C::has_ended(unsafe { &*ban }) {
        return Verdict::Expired;
    }
    let settings = SETTINGS.get(0).copied().unwrap_or_default();
    // SAFETY: as above.
    if !is_surely_unallowed(unsafe { &*ban }, &settings) && is_allowed(address()) {
        return Verdict::Allowed;
    }
    // SAFETY: a live map value, as above. Plain additions: two CPUs that drop packets of one source at the same instant
    // may lose a count here, which saves every drop two locked instructions; `COUNTERS` is per CPU and exact.
    unsafe {
        (*ban).dropped_packets += 1;
        (*ban).dropped_bytes += frame.len();
    }
    if settings.mode == mode::OBSERVE {
        return Verdict::Observed;
    }
    Verdict::Banned
}

/// Whether the ban was compared with the allowlist as it is now, and found untouched by it. Saves almost every drop the
/// trie, its dearest step; a ban that nobody compared, or an allowlist that changed since, takes the full look.
#[inline(always)]
fn is_surely_unallowed(ban: &Ban, settings: &Settings) -> bool {
    ban.unallowed_in != 0 && ban.unallowed_in == settings.allow_generation
}

#[inline(always)]
fn is_allowed(words: [u32; 4]) -> bool {
    let key = AllowKey {
        prefix_len: 128,
        words,
    };
    // SAFETY: the same bytes; `Key` is packed and so has no alignment to violate.
    ALLOWED_NETS
        .get(unsafe { &*(&raw const key).cast::<Key<[u8; 16]>>() })
        .is_some()
}

#[inline(always)]
fn upper_half(octets: &[u8; 16]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *octets;
    [a, b, c, d, e, f, g, h]
}

#[inline(always)]
fn words(octets: &[u8; 16]) -> [u32; 4] {
    let word = |at: usize| u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
    [word(0), word(4), word(8), word(12)]
}

/// `::ffff:a.b.c.d`.
#[inline(always)]
fn v4_mapped(octets: [u8; 4]) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), u32::from_ne_bytes(octets)]
}
