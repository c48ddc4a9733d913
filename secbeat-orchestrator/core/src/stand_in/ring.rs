//! Latest reports of an edge, kept so that a detector that begins late has whole windows.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use secbeat_common::{
    prefix::Prefix,
    wire::{ServiceBatch, WafBatch},
};

use crate::millis;

/// Bytes of reports that are kept at most; the oldest go first.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// What an event of a firewall or of a service takes, about.
const EVENT_BYTES: usize = 512;

/// Something that the edge reported or heard, in the order in which it did.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A `TelemetryBatch` of one partition, encoded as it was sent.
    Telemetry {
        partition: u16,
        payload: Bytes,
    },
    Waf(WafBatch),
    Service(ServiceBatch),
    /// A ban of this target was lifted: what it did before counts no more.
    Lifted(Prefix),
}

impl Seen {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Telemetry { payload, .. } => payload.len(),
                Self::Waf(batch) => batch.events.len() * EVENT_BYTES,
                Self::Service(batch) => batch.events.len() * EVENT_BYTES,
                Self::Lifted(_) => 0,
            }
    }
}

/// The latest reports, each with when it was made: milliseconds since the Unix epoch.
#[derive(Debug, Default)]
pub(super) struct Ring {
    reports: VecDeque<(i64, Seen)>,
    bytes: usize,
}

impl Ring {
    /// Adds a report of `now_ms`, and forgets those that are older than `age`.
    pub(super) fn push(&mut self, seen: Seen, now_ms: i64, age: Duration) {
        self.bytes += seen.bytes();
        self.reports.push_back((now_ms, seen));
        let oldest_ms = now_ms.saturating_sub(millis(age));
        while let Some((at_ms, oldest)) = self.reports.front()
            && (*at_ms < oldest_ms || self.bytes > MAX_BYTES)
        {
            self.bytes -= oldest.bytes();
            self.reports.pop_front();
        }
    }

    /// Puts older reports before those that there are.
    pub(super) fn recall(&mut self, reports: Vec<(i64, Seen)>, now_ms: i64, age: Duration) {
        let since = std::mem::take(self).reports;
        for (at_ms, seen) in reports.into_iter().chain(since) {
            self.push(seen, at_ms.min(now_ms), age);
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of them, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(i64, Seen)> {
        self.reports.iter()
    }
}
