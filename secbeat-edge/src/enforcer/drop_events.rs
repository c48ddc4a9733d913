//! Sampled drops, as the program tells of them.

use std::{collections::BTreeMap, net::Ipv6Addr};

use secbeat_common::{maps::DropEvent, verdict::Verdict, wire::Reason};
use tracing::trace;

use super::KernelSide;

/// Events read since the daemon started, by the reason of the ban.
pub(super) type DropsByReason = BTreeMap<&'static str, u64>;

/// Counts the program's events.
#[derive(Debug, Default)]
pub(super) struct DropCounts(DropsByReason);

impl DropCounts {
    /// Takes in the events sent since the last time. Returns whether there were any.
    pub(super) fn read(&mut self, kernel: Option<&mut KernelSide>) -> bool {
        let mut has_any = false;
        for event in kernel.into_iter().flat_map(|kernel| kernel.events.by_ref()) {
            has_any = true;
            let reason = Reason::name_of_code(event.reason);
            *self.0.entry(reason).or_default() += 1;
            trace(&event, reason);
        }
        has_any
    }

    pub(super) fn by_reason(&self) -> &DropsByReason {
        &self.0
    }
}

fn trace(event: &DropEvent, reason: &str) {
    let source = Ipv6Addr::from(event.source).to_canonical();
    let verdict = Verdict::ALL
        .into_iter()
        .find(|verdict| *verdict as u16 == event.verdict)
        .map_or("unknown", Verdict::name);
    trace!(
        target: "drops",
        %source,
        verdict,
        reason,
        boot_ns = event.boot_ns,
        bytes = event.bytes,
        dropped_packets = event.dropped_packets,
        "a packet of a banned source"
    );
}
