//! Edges.

use secbeat_common::wire::{ClockOffset, Presence};
use secbeat_daemon::time::rfc3339;
use secbeat_orchestrator_core::{
    presence::{Agreement, DownCause, Edge, State as EdgeState},
    telemetry::EdgeTelemetry,
};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;

use super::{signatures::SignatureAgreement, telemetry::EdgeView};

/// One edge.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FleetEdge {
    #[serde(flatten)]
    pub standing: Standing,
    /// Comparison of its bans with the ledger's.
    pub agreement: AgreementView,
    /// Time by which its wall clock is ahead of the NATS server's. Of a release that does not measure it: of the time at which its
    /// heartbeat came.
    pub clock_ahead_ms: i64,
    /// Time at which its last heartbeat came; RFC 3339.
    #[serde(default)]
    pub heard: String,
    /// Age of the record.
    #[serde(default)]
    pub heard_ms_ago: i64,
    /// Its latest record.
    pub record: Presence,
    /// The kinds of messages of this release that it cannot read: its own is too old or too new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cannot_read: Vec<String>,
    /// Comparison of its signatures with those that the fleet published.
    #[serde(default)]
    pub signatures: SignatureAgreement,
    /// Its telemetry; missing before the first.
    pub telemetry: Option<EdgeView>,
}

/// Whether an edge is there and agrees.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    /// Name of the edge.
    pub edge_id: String,
    /// `up`, `down` or `stopped`.
    pub state: StateView,
    /// RFC 3339.
    pub since: String,
    /// Since when it has not held the ledger's bans, once that lasted longer than `edges.drift_grace`; RFC 3339.
    pub drifting_since: Option<String>,
    /// Offset of its host's clock, by its own measure; `null` before the first one.
    #[serde(default)]
    pub clock: Option<ClockOffset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[strum(const_into_str, serialize_all = "lowercase")]
pub enum StateView {
    Up,
    /// It said that it ends.
    Stopped,
    /// It has not been heard of.
    Down,
}

impl StateView {
    /// The word that people read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum AgreementView {
    Agrees,
    Differs {
        /// Bans that the edge holds, and those that the ledger has, of those that both can compare. Equal numbers may still
        /// be different bans.
        held: u64,
        issued: u64,
        /// Bans that its kernel did not take.
        unwritten: u64,
    },
    Unknown,
}

impl Standing {
    #[must_use]
    pub fn new(edge: &Edge) -> Self {
        Self {
            edge_id: edge.record.edge_id.clone(),
            state: match edge.state {
                EdgeState::Up => StateView::Up,
                EdgeState::Down(DownCause::Stopped) => StateView::Stopped,
                EdgeState::Down(DownCause::Lost | DownCause::Unheard) => StateView::Down,
            },
            since: rfc3339(edge.since_ms),
            drifting_since: edge.drifting_since_ms.map(rfc3339),
            clock: edge.record.clock,
        }
    }
}

impl FleetEdge {
    /// Returns what is known of it at `boot_ms` of the clock that only moves forward, where what the fleet published of
    /// signatures has the digest `published`.
    #[must_use]
    pub fn new(
        edge: &Edge,
        telemetry: Option<&EdgeTelemetry>,
        published: Option<&str>,
        boot_ms: i64,
    ) -> Self {
        Self {
            standing: Standing::new(edge),
            agreement: match edge.agreement {
                Agreement::Agrees => AgreementView::Agrees,
                Agreement::Unknown => AgreementView::Unknown,
                Agreement::Differs(difference) => AgreementView::Differs {
                    held: difference.held,
                    issued: difference.issued,
                    unwritten: difference.unwritten,
                },
            },
            clock_ahead_ms: edge.clock_ahead_ms,
            heard: rfc3339(edge.heard.wall_ms),
            heard_ms_ago: boot_ms.saturating_sub(edge.heard.boot_ms),
            cannot_read: edge
                .record
                .speaks
                .unreadable()
                .map(|kind| kind.name().to_owned())
                .collect(),
            signatures: SignatureAgreement::of(&edge.record, published),
            record: edge.record.clone(),
            telemetry: telemetry.map(|telemetry| EdgeView::new(&edge.record.edge_id, telemetry)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_shown_as_the_api_has_them() {
        for name in ["up", "stopped", "down"] {
            let state: StateView = serde_json::from_value(name.into()).unwrap();
            assert_eq!(state.name(), name);
        }
    }
}
