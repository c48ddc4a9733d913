//! What the program says of the packets that it drops.

use std::net::Ipv6Addr;

use secbeat_common::{maps::DropEvent, verdict::Verdict, wire::Reason};
use tracing::trace;

use super::Enforcer;

impl Enforcer {
    /// Takes in the events sent since the last time.
    pub(super) fn read_events(&mut self) {
        let Some(kernel) = &mut self.kernel else { return };
        for event in kernel.events.by_ref() {
            let reason = Reason::name_of_code(event.reason);
            *self.events.by_reason.entry(reason.to_owned()).or_default() += 1;
            trace(&event, reason);
        }
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
