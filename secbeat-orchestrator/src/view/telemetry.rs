//! Telemetry of edges.

use secbeat_orchestrator_core::telemetry::EdgeTelemetry;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The telemetry of one edge, since this process began to read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EdgeView {
    /// Name of the edge.
    pub edge_id: String,
    /// Batches of telemetry received from it.
    pub batches: u64,
    /// Batches among them that had waited for NATS.
    pub late: u64,
    /// Requests counted in them.
    pub requests: u64,
    /// Answers that the edge says it lost, in all its processes that were heard of.
    pub lost: u64,
    /// Batches that never came, by the gaps in their sequences; while an edge's spool is being sent, also those to come.
    pub missing_batches: u64,
    /// Batches that came twice, and were ignored the second time.
    pub repeated: u64,
    /// Requests that were too old to matter, and ignored.
    pub too_old: u64,
    /// Requests that were counted by a prefix wider than a source, and ignored: the edge goes by other `detect.sources` than
    /// this orchestrator.
    #[serde(default)]
    pub too_wide: u64,
}

impl EdgeView {
    /// The telemetry of the edge `id`.
    #[must_use]
    pub fn new(id: &str, telemetry: &EdgeTelemetry) -> Self {
        Self {
            edge_id: id.to_owned(),
            batches: telemetry.batches,
            late: telemetry.late,
            requests: telemetry.requests,
            lost: telemetry.lost,
            missing_batches: telemetry.missing_batches,
            repeated: telemetry.repeated,
            too_old: telemetry.too_old,
            too_wide: telemetry.too_wide,
        }
    }
}
