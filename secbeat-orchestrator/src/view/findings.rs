//! Findings.

use secbeat_common::wire::Reason;
use secbeat_daemon::{
    geo::{Geo, Origin},
    time::rfc3339,
};
use secbeat_orchestrator_core::evidence::{self, PastFinding};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;
use uuid::Uuid;

/// Outcome of a finding.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
#[strum(const_into_str, serialize_all = "kebab-case")]
pub enum Outcome {
    /// Its source was banned.
    Banned { command_id: Uuid },
    /// A ban of its source, or of a network around it, was in force.
    AlreadyBanned,
    /// Its rule only observes: no client was banned.
    Observed,
    /// No client was banned.
    Suppressed { why: String },
}

impl Outcome {
    /// The word that users meet.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.into_str()
    }
}

impl From<&evidence::Outcome> for Outcome {
    fn from(outcome: &evidence::Outcome) -> Self {
        match outcome {
            evidence::Outcome::Banned { command_id } => Self::Banned {
                command_id: *command_id,
            },
            evidence::Outcome::AlreadyBanned => Self::AlreadyBanned,
            evidence::Outcome::Observed => Self::Observed,
            evidence::Outcome::Suppressed(why) => Self::Suppressed { why: why.to_string() },
        }
    }
}

/// A finding as people and programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// Event time, RFC 3339.
    pub at: String,
    /// The same in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// CIDR.
    pub source: String,
    /// Country and provider of the source, by the files of `[geo]`.
    #[serde(flatten)]
    pub origin: Origin,
    /// Name of the rule.
    #[schema(value_type = String)]
    pub rule: Reason,
    /// Events in the rule's window.
    pub count: u32,
    /// Length of the window, in milliseconds.
    pub window_ms: i64,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Number of times that this was found, most recently at the time above: a client that is not banned for it is found again
    /// and again.
    pub times: u32,
}

impl FindingView {
    #[must_use]
    pub fn new(past: &PastFinding, geo: &Geo) -> Self {
        Self {
            at: rfc3339(past.at_ms),
            at_ms: past.at_ms,
            source: past.source.to_string(),
            origin: geo.of(&past.source),
            rule: past.rule,
            count: past.count,
            window_ms: past.window_ms,
            outcome: (&past.outcome).into(),
            times: past.times,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_shown_as_the_api_has_them() {
        for name in ["banned", "already-banned", "observed", "suppressed"] {
            let json = serde_json::json!({ "outcome": name, "command_id": Uuid::nil(), "why": "too many" });
            let outcome: Outcome = serde_json::from_value(json).unwrap();
            assert_eq!(outcome.name(), name);
        }
    }
}
