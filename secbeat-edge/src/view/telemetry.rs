//! Outcomes of this edge's reports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

use crate::{
    sources::reports::EventStats,
    telemetry::{Loss, TelemetryStats},
};

/// Outcomes of the responses that the data sources saw, since the daemon started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct TelemetryView {
    /// Answers taken in.
    pub recorded: u64,
    /// Answers lost, for whatever reason.
    pub dropped: u64,
    /// Their number by reason.
    pub lost: BTreeMap<String, u64>,
    /// Batches handed to NATS.
    pub batches_sent: u64,
    /// Batches among them that waited in the spool.
    pub batches_late: u64,
    /// Batches spooled because NATS broke before it was known to have them.
    pub batches_resent: u64,
    /// Messages other than telemetry lost on the way out: queue full, or NATS away.
    pub messages_lost: u64,
    pub spool: SpoolView,
}

/// Telemetry that waits on disk for NATS.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SpoolView {
    pub batches: u64,
    pub bytes: u64,
    /// Batches written since the daemon started.
    pub written: u64,
    /// Segments that ended in the middle of a record.
    pub torn: u64,
    /// Whether the folder cannot be used.
    pub failing: bool,
}

impl TelemetryView {
    /// The counters of one moment.
    #[must_use]
    pub(crate) fn new(stats: &TelemetryStats, messages_lost: u64) -> Self {
        let lost = |loss: Loss| (loss.name().to_owned(), stats.lost(loss));
        let spool = stats.spool();
        Self {
            recorded: stats.recorded(),
            dropped: stats.dropped(),
            lost: Loss::VARIANTS.iter().copied().map(lost).collect(),
            batches_sent: stats.batches_sent(),
            batches_late: stats.batches_late(),
            batches_resent: stats.batches_resent(),
            messages_lost,
            spool: SpoolView {
                batches: spool.batches(),
                bytes: spool.bytes(),
                written: spool.written(),
                torn: spool.torn(),
                failing: spool.is_failing(),
            },
        }
    }
}

/// Outcomes of the events that firewalls or services logged.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct EventsView {
    /// Events taken in.
    pub recorded: u64,
    /// Events that could not be sent.
    pub dropped: u64,
}

impl From<&EventStats> for EventsView {
    fn from(stats: &EventStats) -> Self {
        Self {
            recorded: stats.recorded(),
            dropped: stats.dropped(),
        }
    }
}
