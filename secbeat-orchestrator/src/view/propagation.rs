//! The way of bans.

use secbeat_daemon::time::rfc3339;
use secbeat_orchestrator_core::propagation::{Answer, Issued, Latencies, Percentiles, Propagation};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The way of bans from the decision into each edge's kernel.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PropagationView {
    /// By name.
    pub edges: Vec<EdgeTimes>,
    /// The latest commands, the latest first.
    pub commands: Vec<CommandView>,
}

/// One edge's times, since the orchestrator started, in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EdgeTimes {
    /// Name of the edge.
    pub edge_id: String,
    /// Bans that it acknowledged.
    pub count: u64,
    /// Half of the bans took at most so long, in milliseconds.
    pub p50_ms: u64,
    /// 95 of 100 bans took at most so long, in milliseconds.
    pub p95_ms: u64,
    /// 99 of 100 bans took at most so long, in milliseconds.
    pub p99_ms: u64,
    /// The longest time, in milliseconds.
    pub max_ms: u64,
    /// Of the latest ban, in milliseconds.
    pub last_ms: Option<u64>,
    /// RFC 3339.
    pub last_at: Option<String>,
    /// Times that end with the receipt of the answer, since the edge's clock must be off.
    pub clock_off: u64,
    /// Commands that it will not enforce, and those that its kernel did not take at first.
    pub refused: u64,
    /// Bans that its kernel could not take at first.
    pub failed: u64,
}

/// One command, and what the edges made of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CommandView {
    /// Id of the ban; its trace has the same.
    pub command_id: String,
    /// CIDR.
    pub target: String,
    /// RFC 3339.
    pub issued_at: String,
    /// Edges that enforce it.
    pub enforced: Vec<EnforcedView>,
    /// Edges that have not answered.
    pub pending: Vec<String>,
    /// Edges that rejected it.
    pub refused: Vec<ReasonView>,
    /// Edges whose kernel could not take it at first.
    pub failed: Vec<ReasonView>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EnforcedView {
    /// Name of the edge.
    pub edge_id: String,
    /// After the command was issued.
    pub after_ms: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReasonView {
    /// Name of the edge.
    pub edge_id: String,
    /// The reason why this edge rejected or could not write it.
    pub why: String,
}

impl PropagationView {
    #[must_use]
    pub fn new(propagation: &Propagation) -> Self {
        let mut edges: Vec<_> = propagation
            .edges()
            .map(|(edge, times)| EdgeTimes::new(edge, times))
            .collect();
        edges.sort_by(|a, b| a.edge_id.cmp(&b.edge_id));
        let commands = propagation.commands();
        Self {
            edges,
            commands: commands
                .map(|(id, issued)| CommandView::new(id.to_string(), issued))
                .collect(),
        }
    }
}

impl EdgeTimes {
    fn new(edge: &str, times: &Latencies) -> Self {
        let Percentiles {
            count,
            p50,
            p95,
            p99,
            max,
        } = times.percentiles();
        Self {
            edge_id: edge.to_owned(),
            count,
            p50_ms: p50,
            p95_ms: p95,
            p99_ms: p99,
            max_ms: max,
            last_ms: times.last().map(|(after_ms, _)| after_ms),
            last_at: times.last().map(|(_, at_ms)| rfc3339(at_ms)),
            clock_off: times.clock_off(),
            refused: times.refused(),
            failed: times.failed(),
        }
    }
}

impl CommandView {
    fn new(command_id: String, issued: &Issued) -> Self {
        let mut view = Self {
            command_id,
            target: issued.target.to_string(),
            issued_at: rfc3339(issued.issued_at_ms),
            enforced: Vec::new(),
            pending: Vec::new(),
            refused: Vec::new(),
            failed: Vec::new(),
        };
        for (edge, answer) in &issued.answers {
            let edge_id = edge.to_string();
            match answer {
                Answer::Pending => view.pending.push(edge_id),
                Answer::Enforced { after_ms } => view.enforced.push(EnforcedView {
                    edge_id,
                    after_ms: *after_ms,
                }),
                Answer::Refused { why } => view.refused.push(ReasonView {
                    edge_id,
                    why: why.clone(),
                }),
                Answer::Failed { why } => view.failed.push(ReasonView {
                    edge_id,
                    why: why.clone(),
                }),
            }
        }
        view
    }
}
