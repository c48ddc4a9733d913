//! The present state, on one screen.

use secbeat_orchestrator_core::{decider::Near, propagation::Answer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Alert, Outcomes};
use crate::millis;

/// `GET /api/v1/overview`, and the data of the event `overview` on the stream. What is counted is what this orchestrator reads:
/// of several, each has a part of the clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// Time at which this was so; RFC 3339.
    pub at: String,
    /// The daemon's version.
    pub version: String,
    /// This orchestrator.
    pub instance: String,
    /// Alerts, the worst first.
    pub alarms: Vec<Alert>,
    /// Bans in force.
    pub active_bans: usize,
    /// Clients that are watched.
    pub tracked_sources: usize,
    /// The last five minutes.
    pub series: Series,
    /// By name.
    pub edges: Vec<EdgeGlance>,
    /// By name: those with findings since the daemon's start.
    pub rules: Vec<RuleGlance>,
    /// Clients nearest to a threshold, the nearest first.
    pub nearest: Vec<NearView>,
    /// The latest bans, the latest first.
    pub latest: Vec<LatestBan>,
}

/// Counts in steps of equal length, the oldest first. All lists are equally long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Series {
    /// Length of a step, in milliseconds.
    pub step_ms: u64,
    /// Time at which the last step ended; milliseconds since the Unix epoch.
    pub end_ms: i64,
    /// Requests in each step, the oldest first.
    pub requests: Vec<u64>,
    /// Error answers.
    pub errors: Vec<u64>,
    /// Bans made, by rules and by hand.
    pub bans: Vec<u64>,
    /// Bans that were lifted.
    pub lifted: Vec<u64>,
    /// Packets that edges dropped, as they say it every 5 s.
    pub dropped: Vec<u64>,
}

/// One edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EdgeGlance {
    /// Name of the edge.
    pub edge_id: String,
    /// `up`, `stopped` or `down`.
    pub state: String,
    /// Whether it only observes.
    pub observe_only: bool,
    /// Whether an interface of it is not protected.
    pub is_unprotected: bool,
    /// Bans that it enforces.
    pub bans: u64,
    /// Packets and bytes dropped since its kernel's maps were made.
    pub dropped_packets: u64,
    /// Bytes that its kernel dropped.
    pub dropped_bytes: u64,
    /// Packets dropped within the last minute.
    pub dropped_last_minute: u64,
    /// Requests that it reported within the last minute.
    pub requests_last_minute: u64,
}

/// Outcomes of a rule's findings since the daemon's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleGlance {
    /// Name of the rule.
    pub rule: String,
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Findings within the last five minutes.
    pub lately: u64,
}

/// A client under a rule's threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = NearSource)]
pub struct NearView {
    /// CIDR.
    pub source: String,
    /// Name of the rule.
    pub rule: String,
    /// Count within the window.
    pub count: u64,
    /// At so many within the window, the rule finds the client.
    pub threshold: u32,
    /// Length of the window, in milliseconds.
    pub window_ms: i64,
    /// Whether the rule only observes.
    pub observe: bool,
}

impl From<Near> for NearView {
    fn from(Near { source, window }: Near) -> Self {
        Self {
            source: source.to_string(),
            rule: window.rule.name().to_owned(),
            count: window.count,
            threshold: window.threshold,
            window_ms: millis(window.window),
            observe: window.observe,
        }
    }
}

/// A ban that was made lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LatestBan {
    /// Id of the ban; its trace has the same.
    pub command_id: String,
    /// RFC 3339.
    pub at: String,
    /// CIDR.
    pub target: String,
    /// `manual`, or the name of the rule.
    pub reason: String,
    /// Its note; empty if there is none.
    pub note: String,
    /// The user, token or daemon that decided.
    pub actor: String,
    /// `null` for a ban without end.
    pub expires_at: Option<String>,
    /// Earlier bans that count as repeat offences.
    pub strikes: u32,
    /// Edges whose kernels have it.
    pub enforced: usize,
    /// Edges that have not answered.
    pub pending: usize,
    /// Edges that refused it, or whose kernel did not take it.
    pub failed: usize,
    /// Time from the decision until the slowest edge had it in its kernel, in milliseconds.
    pub enforced_after_ms: Option<u64>,
    /// Whether it was lifted since.
    pub is_lifted: bool,
}

impl LatestBan {
    /// Takes in what edges answered.
    pub(crate) fn answered<'a>(&mut self, answers: impl Iterator<Item = &'a Answer>) {
        (self.enforced, self.pending, self.failed, self.enforced_after_ms) = (0, 0, 0, None);
        for answer in answers {
            match answer {
                Answer::Pending => self.pending += 1,
                Answer::Enforced { after_ms } => {
                    self.enforced += 1;
                    self.enforced_after_ms = self.enforced_after_ms.max(Some(*after_ms));
                }
                Answer::Refused { .. } | Answer::Failed { .. } => self.failed += 1,
            }
        }
    }
}
