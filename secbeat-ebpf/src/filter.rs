//! The decision: what becomes of one packet.
//!
//! A packet that is not banned pays one hash miss. Everything else happens on a hit only: the ban's end, then the
//! allowlist, then the mode.

use aya_ebpf::btf_maps::lpm_trie::Key;
use secbeat_common::{
    maps::{Ban, mode},
    verdict::Verdict,
};
use secbeat_ebpf::parse::{self, Frame, NoSource, Source};

use crate::{
    clock::Clock,
    maps::{ALLOWED_NETS, BANNED_V4, BANNED_V6, SETTINGS},
};

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
            Some(ban) => judge_hit::<C>(frame, ban, || octets),
        },
        Err(NoSource::NotIp) => Verdict::NotIp,
        Err(NoSource::Malformed) => Verdict::Malformed,
    }
}

#[inline(always)]
fn judge_hit<C: Clock>(frame: &Frame, ban: *mut Ban, address: impl FnOnce() -> [u8; 16]) -> Verdict {
    // SAFETY: a live map value; it stays valid for this run, and userspace replaces it whole.
    if C::has_ended(unsafe { &*ban }) {
        return Verdict::Expired;
    }
    if ALLOWED_NETS.get(&Key::new(128, address())).is_some() {
        return Verdict::Allowed;
    }
    // SAFETY: a live map value, as above. Plain additions: two CPUs that drop packets of one source at the same instant
    // may lose a count here, which saves every drop two locked instructions; `COUNTERS` is per CPU and exact.
    unsafe {
        (*ban).dropped_packets += 1;
        (*ban).dropped_bytes += frame.len();
    }
    match SETTINGS.get(0) {
        Some(settings) if settings.mode == mode::OBSERVE => Verdict::Observed,
        _ => Verdict::Banned,
    }
}

#[inline(always)]
fn upper_half(octets: &[u8; 16]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *octets;
    [a, b, c, d, e, f, g, h]
}

#[inline(always)]
fn v4_mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}
