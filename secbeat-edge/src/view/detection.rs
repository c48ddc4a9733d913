//! State of this edge's own detector.

use secbeat_orchestrator_core::stand_in::Status;
use serde::{Deserialize, Serialize};

use crate::stand_in::Local;

/// Whether this edge decides by itself, and what came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct DetectionView {
    /// Mode, as configured.
    pub local: Local,
    /// Time since which it decides, milliseconds since the Unix epoch; `null` while the fleet does.
    pub deciding_since_ms: Option<i64>,
    /// The reason why the fleet does not decide.
    pub away: Option<String>,
    /// Whether the fleet's rules are known.
    pub has_rules: bool,
    /// Bans since the daemon started.
    pub banned: u64,
    /// Bans that the fleet has taken over.
    pub taken_over: u64,
    /// Bans that the fleet has not taken over yet.
    pub waiting: usize,
}

impl DetectionView {
    /// `status` is that of the detector, if there is one.
    #[must_use]
    pub(crate) fn new(local: Local, status: Option<Status>) -> Self {
        let status = status.unwrap_or_default();
        Self {
            local,
            deciding_since_ms: status.since_ms,
            away: status.away.map(|away| away.to_string()),
            has_rules: status.has_rules,
            banned: status.banned,
            taken_over: status.taken_over,
            waiting: status.waiting,
        }
    }
}
