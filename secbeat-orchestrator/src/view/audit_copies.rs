//! Copies of the audit outside NATS.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audit_out::OutStats;

/// A copy of the audit, and what was written of it since the daemon's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditCopyView {
    /// `file` or `syslog`.
    pub name: String,
    /// Its destination.
    pub place: String,
    /// Whether this orchestrator writes it: of several, one writes to syslog.
    pub is_ours: bool,
    /// Records written since the start.
    pub written: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Records that NATS dropped before they were written.
    pub lost: u64,
    /// Records that wait in NATS.
    pub behind: u64,
    /// The reason why the last attempt failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
}

impl From<OutStats> for AuditCopyView {
    fn from(stats: OutStats) -> Self {
        Self {
            name: stats.name.to_owned(),
            place: stats.place,
            is_ours: stats.is_ours,
            written: stats.written,
            failed: stats.failed,
            lost: stats.lost,
            behind: stats.behind,
            failing: stats.failing,
        }
    }
}
