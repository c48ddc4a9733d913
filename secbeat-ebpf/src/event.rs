//! Sampled drops, for the edge's metrics and traces.

use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, helpers::generated::bpf_ktime_get_boot_ns};
use secbeat_common::{
    maps::{Ban, DropEvent, LOST_EVENTS, Settings},
    verdict::Verdict,
};

use crate::maps::{COUNTERS, EVENTS};

/// Whether the drop that took a ban's count from `before` to `after` is worth an event: a ban's first one, and then each
/// that passes a multiple of [`Settings::event_every`] (several packets may be counted at once).
#[inline(always)]
pub(crate) fn is_due(settings: &Settings, before: u64, after: u64) -> bool {
    let every = u64::from(settings.event_every);
    every != 0 && (before == 0 || (before ^ after) >= every)
}

/// Sends one. The edge comes to look by itself, so that no packet pays for waking it.
#[inline(always)]
pub(crate) fn send(source: [u32; 4], ban: &Ban, verdict: Verdict, bytes: u64) {
    let Some(mut event) = EVENTS.reserve_untyped::<DropEvent>(0) else {
        if let Some(lost) = COUNTERS.get_ptr_mut(LOST_EVENTS) {
            // SAFETY: this CPU's own slot, and XDP is not preempted by another XDP program on the same CPU.
            unsafe { (*lost).packets += 1 };
        }
        return;
    };
    let [a, b, c, d] = source.map(u32::to_ne_bytes);
    let mut octets = [0; 16];
    octets[..4].copy_from_slice(&a);
    octets[4..8].copy_from_slice(&b);
    octets[8..12].copy_from_slice(&c);
    octets[12..].copy_from_slice(&d);
    event.write(DropEvent {
        // SAFETY: a helper without arguments.
        boot_ns: unsafe { bpf_ktime_get_boot_ns() },
        dropped_packets: ban.dropped_packets,
        source: octets,
        bytes: bytes as u32,
        verdict: verdict as u16,
        reason: ban.reason,
        origin: ban.origin,
    });
    event.submit(u64::from(BPF_RB_NO_WAKEUP));
}
