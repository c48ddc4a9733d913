//! What the REST API and the command line show: the JSON of `/api/v1`.

use std::collections::BTreeMap;

use secbeat_daemon::time::{end, ms_to_end, rfc3339};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::edges::Standing;
use crate::{
    leases::shell::LeasesView,
    ledger::{ActiveBan, WriteState},
};

/// One ban.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BanView {
    pub command_id: String,
    /// CIDR.
    pub target: String,
    pub reason: String,
    /// `issued` once the bus has it, `pending` before.
    pub state: String,
    /// `kernel` or `l7`.
    pub layer: String,
    pub strikes: u32,
    pub issuer: String,
    pub note: String,
    /// RFC 3339.
    pub issued_at: String,
    /// `null` for a ban without end, as the next one.
    pub expires_at: Option<String>,
    pub expires_in_ms: Option<i64>,
    /// Events in the rule's window when it fired.
    pub count: Option<u32>,
    /// The edges that enforce it; `null` if all do.
    pub edges: Option<Vec<String>>,
}

impl BanView {
    /// `ban` as of `now_ms`.
    #[must_use]
    pub fn new(ban: &ActiveBan, now_ms: i64) -> Self {
        let command = &ban.command;
        Self {
            command_id: command.id.to_string(),
            target: command.target.to_string(),
            reason: command.reason.name().to_owned(),
            state: match ban.write {
                WriteState::Pending => "pending",
                WriteState::Acknowledged => "issued",
            }
            .to_owned(),
            layer: command.layer.name().to_owned(),
            strikes: command.strikes,
            issuer: command.issuer.clone(),
            note: command.note.clone(),
            issued_at: rfc3339(command.issued_at_ms),
            expires_at: end(command.expires_at_ms),
            expires_in_ms: ms_to_end(command.expires_at_ms, now_ms),
            count: command.evidence.map(|evidence| evidence.count),
            edges: command.scope.edges().map(<[String]>::to_vec),
        }
    }
}

/// `GET /api/v1/bans`: some of the bans, by target.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BanPage {
    pub bans: Vec<BanView>,
    /// Where the next page begins, as `after`; `null` on the last one.
    pub next: Option<String>,
}

/// What became of an import, or would become of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// New bans.
    pub banned: usize,
    /// Targets whose ban in force reaches as deep and lasts as long.
    pub kept: usize,
    /// Bans that have ended already.
    pub ended: usize,
    /// Those that cannot be banned.
    pub refused: Vec<Refused>,
    /// Networks among the new bans that are no single source and were not banned before.
    pub new_networks: usize,
    /// Networks that can be banned beside those that were before the import.
    pub free_networks: usize,
}

/// A ban that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// Its place in the request, from 0.
    pub index: usize,
    pub target: String,
    pub why: String,
}

/// What the engine counts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    pub active_bans: usize,
    pub tracked_sources: usize,
    /// Sources forgotten because too many were watched.
    pub evicted_sources: u64,
    pub batches: u64,
    /// Error answers reported.
    pub events: u64,
    /// Transactions to which web application firewalls objected.
    #[serde(default)]
    pub waf_events: u64,
    /// Those among them that were as old as the rule's window, and ignored.
    #[serde(default)]
    pub waf_too_old: u64,
    pub findings: u64,
    /// Findings that banned nobody: protected, or the brake.
    pub suppressed: u64,
    /// Those among them that a brake suppressed.
    pub braked: u64,
    /// What became of findings, by rule.
    #[serde(default)]
    pub rules: BTreeMap<String, Outcomes>,
    /// The brake that holds, `rate` or `share`; `null` while none does.
    pub brake: Option<String>,
    /// Whether the ledger has been read from the bus since the start.
    pub restored: bool,
    /// Bans and unbans that the bus has not acknowledged yet.
    pub unwritten: usize,
    /// Audit records lost because the bus did not take them.
    pub audit_lost: u64,
    /// What telemetry of each edge came, and what did not.
    pub edges: Vec<EdgeView>,
    /// Which edges are there, and which drift.
    #[serde(default)]
    pub fleet: Vec<Standing>,
}

/// What became of a rule's findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Outcomes {
    pub banned: u64,
    /// The rule only observes.
    pub observed: u64,
    pub already_banned: u64,
    /// Protected, or a brake.
    pub suppressed: u64,
}

/// The telemetry of one edge, since this process began to read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EdgeView {
    pub edge_id: String,
    pub batches: u64,
    /// Batches among them that had waited for the bus.
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

/// `GET /api/v1/stats`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiStats {
    #[serde(flatten)]
    pub engine: Stats,
    pub bus_connected: bool,
    /// Who owns which partition.
    #[serde(default)]
    pub leases: LeasesView,
    /// Messages that were neither telemetry nor a ban where one of these belongs.
    pub garbage: u64,
    /// Parts of messages that only a later release knows.
    #[serde(default)]
    pub skipped_parts: u64,
    /// Commands on the bus that do not count, by reason: `unsigned`, `forged` and so on.
    #[serde(default)]
    pub refused_commands: BTreeMap<String, u64>,
}
