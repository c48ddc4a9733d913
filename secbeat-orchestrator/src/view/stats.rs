//! Counts.

use std::collections::BTreeMap;

use secbeat_bus::AuditFill;
use secbeat_common::wire::ClockOffset;
use secbeat_daemon::{expiry::CertificateView, geo::GeoFile, reload::RefusedConfigView, time::rfc3339};
use secbeat_orchestrator_core::decider;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    audit_copies::AuditCopyView,
    bus::{BusServerView, BusTroubleView},
    edges::Standing,
    feeds::FeedView,
    leases::LeasesView,
    notify::NotifyView,
    telemetry::EdgeView,
};
use crate::engine::Counted;

/// Counters of the decider since the start.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// Bans in force.
    pub active_bans: usize,
    /// Sources that the detector has in memory.
    pub tracked_sources: usize,
    /// Sources forgotten because too many were watched.
    pub evicted_sources: u64,
    /// Batches of telemetry received.
    pub batches: u64,
    /// Error answers reported.
    pub events: u64,
    /// Transactions to which web application firewalls objected.
    #[serde(default)]
    pub waf_events: u64,
    /// Those among them that were as old as the rule's window, and ignored.
    #[serde(default)]
    pub waf_too_old: u64,
    /// Attempts that logs of services told of.
    #[serde(default)]
    pub service_events: u64,
    /// Those among them that were as old as the longest window of a rule about them, and ignored.
    #[serde(default)]
    pub service_too_old: u64,
    /// Those among them that came while no rule was about any.
    #[serde(default)]
    pub service_uncounted: u64,
    /// Requests that a signature recognised and that were answered as if they had succeeded.
    #[serde(default)]
    pub possible_successes: u64,
    /// Findings since the start.
    pub findings: u64,
    /// Findings that did not lead to a ban: allowlisted clients, or a safety limit.
    pub suppressed: u64,
    /// Those among them that a safety limit suppressed.
    pub braked: u64,
    /// Outcomes of findings, by rule.
    #[serde(default)]
    pub rules: BTreeMap<String, Outcomes>,
    /// The safety limit that suspends automatic bans: `rate` or `share`; `null` while none does.
    pub brake: Option<String>,
    /// Findings that a safety limit of any kind holds back now; they are judged when it ends.
    #[serde(default)]
    pub held_back: usize,
    /// Number of them that each safety limit holds back: `rate`, `share`, `edge`, `network` or `networks`.
    #[serde(default)]
    pub held_back_by: BTreeMap<String, usize>,
    /// Whether the ledger has been read from NATS since the start.
    pub restored: bool,
    /// Since when the ledger lacks bans that NATS has; RFC 3339, `null` while it has all.
    #[serde(default)]
    pub behind_since: Option<String>,
    /// Bans and unbans that NATS has not acknowledged yet.
    pub unwritten: usize,
    /// Since when the oldest of those waits that are not an import's; RFC 3339.
    #[serde(default)]
    pub unwritten_since: Option<String>,
    /// Audit records lost because NATS did not take them.
    pub audit_lost: u64,
    /// Telemetry of each edge that came, and that is missing.
    pub edges: Vec<EdgeView>,
    /// The edges that are there, and which drift.
    #[serde(default)]
    pub fleet: Vec<Standing>,
}

/// Outcomes of a rule's findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Outcomes {
    /// Findings that led to a ban.
    pub banned: u64,
    /// The rule only observes.
    pub observed: u64,
    /// Findings about clients that were banned already.
    pub already_banned: u64,
    /// The client is allowlisted, or a safety limit holds.
    pub suppressed: u64,
}

/// `GET /api/v1/stats`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiStats {
    /// The daemon's version.
    #[serde(default)]
    pub version: String,
    #[serde(flatten)]
    pub engine: Stats,
    /// Whether NATS is connected.
    pub bus_connected: bool,
    /// Offset of this host's clock; `null` before the first measure.
    #[serde(default)]
    pub clock: Option<ClockOffset>,
    /// The reason why no ban could be made now that reaches the edges; `null` if one could.
    #[serde(default)]
    pub not_ready: Option<String>,
    /// The fleet's signatures.
    #[serde(default)]
    pub signatures: SignatureStats,
    /// Owners of the partitions.
    #[serde(default)]
    pub leases: LeasesView,
    /// Expiry of the certificates of NATS.
    #[serde(default)]
    pub bus_certificates: Vec<CertificateView>,
    /// Troubles with NATS.
    #[serde(default)]
    pub bus_troubles: Vec<BusTroubleView>,
    /// The servers of a NATS cluster; empty where there is one.
    #[serde(default)]
    pub bus_servers: Vec<BusServerView>,
    /// Contents of each part of the audit; empty until the first look.
    #[serde(default)]
    pub audit: Vec<AuditView>,
    /// The config that a reload refused last; `null` once one is taken over, and while none was refused.
    #[serde(default)]
    pub refused_config: Option<RefusedConfigView>,
    /// Messages that were neither telemetry nor a ban where one of these belongs.
    pub garbage: u64,
    /// Parts of messages that only a later release knows.
    #[serde(default)]
    pub skipped_parts: u64,
    /// Requests that showed a token which the API does not know.
    #[serde(default)]
    pub wrong_tokens: u64,
    /// Rejected commands, by reason: `unsigned`, `forged` and so on.
    #[serde(default)]
    pub refused_commands: BTreeMap<String, u64>,
    /// Receivers of notifications.
    #[serde(default)]
    pub notify: Vec<NotifyView>,
    /// The feeds of the config.
    #[serde(default)]
    pub feeds: Vec<FeedView>,
    /// Copies of the audit outside NATS.
    #[serde(default)]
    pub audit_copies: Vec<AuditCopyView>,
    /// The files with countries and networks of providers.
    #[serde(default)]
    pub geo: Vec<GeoFile>,
    /// Banned clients that were looked up because they may be crawlers, by what became of that: `verified`, `refused`, `unanswered`
    /// or `crowded`.
    #[serde(default)]
    pub crawlers: BTreeMap<String, u64>,
}

/// The fleet's signatures in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignatureStats {
    /// Signatures that the fleet published.
    pub published: usize,
    /// Signatures that are disabled on all edges.
    pub disabled: usize,
    /// Edges that do not have what was published last.
    pub differing_edges: usize,
    /// Bans that were lifted, by a signature among their evidence: those of the signatures with the most.
    pub lifted: BTreeMap<String, u64>,
}

/// Contents of a part of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditFill)]
pub struct AuditView {
    /// `orders`, `bans`, `findings` or `lists`.
    pub part: String,
    /// The stream on NATS.
    pub stream: String,
    /// Bytes in use.
    pub bytes: u64,
    /// Bytes that it may hold.
    pub max_bytes: u64,
    /// Time of its oldest record, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
    /// The same in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ms: Option<i64>,
    /// Whether records went before their time, since it is full.
    pub short: bool,
}

impl AuditView {
    /// `fill` as of `now_ms`.
    #[must_use]
    pub fn new(fill: &AuditFill, now_ms: i64) -> Self {
        Self {
            part: fill.part.name().to_owned(),
            stream: fill.part.stream().to_owned(),
            bytes: fill.bytes,
            max_bytes: fill.max_bytes,
            oldest: fill.oldest_ms.map(rfc3339),
            oldest_ms: fill.oldest_ms,
            short: fill.is_short(now_ms),
        }
    }
}

impl Stats {
    /// Returns the safety limits that hold clients back, in brackets: ` (edge 2, network 7)`.
    #[must_use]
    pub fn limits(&self) -> String {
        let by = self.held_back_by.iter();
        let limits: Vec<_> = by.map(|(limit, clients)| format!("{limit} {clients}")).collect();
        match limits.is_empty() {
            true => String::new(),
            false => format!(" ({})", limits.join(", ")),
        }
    }

    /// What was `counted`.
    #[must_use]
    pub fn new(
        Counted {
            decider: counted,
            audit_lost,
            edges: fleet,
        }: Counted,
    ) -> Self {
        let edges = counted
            .edges
            .iter()
            .map(|(id, telemetry)| EdgeView::new(id, telemetry));
        let rules = counted.rules.into_iter();
        Self {
            active_bans: counted.active_bans,
            tracked_sources: counted.tracked_sources,
            evicted_sources: counted.evicted_sources,
            batches: counted.batches,
            events: counted.events,
            waf_events: counted.waf_events,
            waf_too_old: counted.waf_too_old,
            service_events: counted.service_events,
            service_too_old: counted.service_too_old,
            service_uncounted: counted.service_uncounted,
            possible_successes: counted.possible_successes,
            findings: counted.findings,
            suppressed: counted.suppressed,
            braked: counted.braked,
            brake: counted.brake.map(|brake| brake.name().to_owned()),
            held_back: counted.held_back,
            held_back_by: counted
                .held_back_by
                .into_iter()
                .map(|(brake, clients)| (brake.to_owned(), clients))
                .collect(),
            restored: counted.restored,
            behind_since: counted.behind_since_ms.map(rfc3339),
            unwritten: counted.unwritten,
            unwritten_since: counted.unwritten_since_ms.map(rfc3339),
            audit_lost,
            edges: edges.collect(),
            fleet: fleet.iter().map(Standing::new).collect(),
            rules: rules.map(|(rule, outcomes)| (rule, outcomes.into())).collect(),
        }
    }
}

impl From<decider::Outcomes> for Outcomes {
    fn from(outcomes: decider::Outcomes) -> Self {
        Self {
            banned: outcomes.banned,
            observed: outcomes.observed,
            already_banned: outcomes.already_banned,
            suppressed: outcomes.suppressed,
        }
    }
}
