//! What the local API and the command line show: the JSON of `/api/v1`.

use std::collections::BTreeMap;

use secbeat_common::{
    maps::origin,
    prefix::Prefix,
    verdict::Verdict,
    wire::{Layer, Reason},
};
use secbeat_daemon::time::rfc3339;
use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

use crate::{
    enforcer::EnforcerReport,
    kernel::{Attachment, Totals},
    sources::access_log::AccessLogView,
    sources::proxy::{ProxyStats, ServerState, Servers},
    telemetry::{Loss, TelemetryStats},
};
use secbeat_edge_core::{
    BAN_MAPS, BootTime, Enforced, Fill, FilterMode, KernelBan, Moment, Origin, ReconcileStats,
};

/// One ban.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BanView {
    /// CIDR.
    pub target: String,
    pub reason: String,
    /// `fleet` or `local`.
    pub origin: String,
    /// `kernel` or `l7`.
    pub layer: String,
    pub strikes: u32,
    /// RFC 3339.
    /// `null` for a ban without end, as the next one.
    pub expires_at: Option<String>,
    pub expires_in_ms: Option<i64>,
    pub dropped_packets: u64,
    pub dropped_bytes: u64,
    pub note: String,
}

impl BanView {
    /// A ban that the daemon knows, with the kernel's counts of it where it holds one.
    #[must_use]
    pub fn of_desired(target: &Prefix, ban: &Enforced, counts: Option<&KernelBan>, now: Moment) -> Self {
        let left = left(ban.ends, now);
        Self {
            target: target.to_string(),
            reason: ban.reason.name().to_owned(),
            origin: if ban.origin == Origin::Local {
                "local"
            } else {
                "fleet"
            }
            .to_owned(),
            layer: ban.layer.name().to_owned(),
            strikes: ban.strikes,
            expires_at: left.map(|left| rfc3339(now.wall_ms.saturating_add(left))),
            expires_in_ms: left,
            dropped_packets: counts.map_or(0, |ban| ban.dropped_packets),
            dropped_bytes: counts.map_or(0, |ban| ban.dropped_bytes),
            note: ban.note.to_string(),
        }
    }

    /// A ban read from the pinned maps, without the daemon.
    #[must_use]
    pub fn of_kernel(target: &Prefix, ban: &KernelBan, now: Moment) -> Self {
        let left = left(ban.ends, now);
        Self {
            target: target.to_string(),
            reason: Reason::name_of_code(ban.reason).to_owned(),
            origin: if ban.origin == origin::LOCAL {
                "local"
            } else {
                "fleet"
            }
            .to_owned(),
            layer: Layer::Kernel.name().to_owned(),
            strikes: ban.strikes,
            expires_at: left.map(|left| rfc3339(now.wall_ms.saturating_add(left))),
            expires_in_ms: left,
            dropped_packets: ban.dropped_packets,
            dropped_bytes: ban.dropped_bytes,
            note: String::new(),
        }
    }
}

/// Milliseconds until `ends`; `None` if that never comes.
fn left(ends: BootTime, now: Moment) -> Option<i64> {
    (ends != BootTime::NEVER).then(|| i64::try_from(ends.since(now.boot).as_millis()).unwrap_or(i64::MAX))
}

/// What the enforcer says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnforcerView {
    /// Bans in force on this edge.
    pub blocked_ips: usize,
    pub protected_networks: usize,
    /// Whether the fleet's bans have been read since the daemon started.
    pub synced: bool,
    /// Whether bans are enforced or only observed.
    pub mode: FilterMode,
    pub events: EventsView,
    /// Commands that were not obeyed since the daemon started, by reason: `unsigned`, `forged`, `stale` and so on.
    #[serde(default)]
    pub refused_commands: BTreeMap<String, u64>,
    pub reconcile: ReconcileView,
}

impl From<EnforcerReport> for EnforcerView {
    fn from(report: EnforcerReport) -> Self {
        let by_name = |counts: BTreeMap<&'static str, u64>| {
            let named = counts.into_iter();
            named.map(|(name, count)| (name.to_owned(), count)).collect()
        };
        Self {
            blocked_ips: report.status.active,
            protected_networks: report.status.allowed,
            synced: report.status.synced,
            mode: report.status.mode,
            events: EventsView {
                by_reason: by_name(report.drops),
            },
            refused_commands: by_name(report.refused),
            reconcile: report.status.reconcile.into(),
        }
    }
}

/// Sampled drops: the first packet of each ban, and then one every so many (`kernel.event_every`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EventsView {
    /// Events read since the daemon started, by the reason of the ban.
    pub by_reason: BTreeMap<String, u64>,
}

/// How the kernel's bans compare with the desired ones.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReconcileView {
    /// Reconciliations since the daemon started, and those among them that the kernel cut short.
    pub completed: u64,
    pub failed: u64,
    /// How long the last one took.
    pub took_ms: u64,
    /// What the last one found and repaired: bans that the kernel did not have, had otherwise, had though nobody desires
    /// them, and had after their end (which is harmless).
    pub missing: usize,
    pub differing: usize,
    pub foreign: usize,
    pub ended: usize,
    /// Bans that the kernel had and lost before their end, since the daemon started.
    pub evicted: u64,
    pub maps: Vec<MapView>,
}

/// How full a ban map was at the last comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MapView {
    pub name: String,
    pub entries: u64,
    pub slots: u32,
}

impl From<ReconcileStats> for ReconcileView {
    fn from(stats: ReconcileStats) -> Self {
        let map = |(name, fill): (&&str, &Fill)| MapView {
            name: (*name).to_owned(),
            entries: fill.entries,
            slots: fill.slots,
        };
        Self {
            completed: stats.completed,
            failed: stats.failed,
            took_ms: u64::try_from(stats.took.as_millis()).unwrap_or(u64::MAX),
            missing: stats.drift.missing,
            differing: stats.drift.differing,
            foreign: stats.drift.foreign,
            ended: stats.drift.ended,
            evicted: stats.evicted,
            maps: BAN_MAPS.iter().zip(&stats.fill).map(map).collect(),
        }
    }
}

/// Packets since the maps were made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Packets {
    pub dropped: u64,
    pub dropped_bytes: u64,
    pub passed: u64,
    /// Packets by verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// Events that found the program's ring buffer full.
    pub lost_events: u64,
}

impl From<Totals> for Packets {
    fn from(totals: Totals) -> Self {
        let (lost_events, totals) = (totals.lost_events, totals.verdicts);
        let banned = totals[Verdict::Banned as usize];
        let all: u64 = totals.iter().map(|counter| counter.packets).sum();
        let by_name = |verdict: Verdict| (verdict.name().to_owned(), totals[verdict as usize].packets);
        Self {
            dropped: banned.packets,
            dropped_bytes: banned.bytes,
            passed: all - banned.packets,
            verdicts: Verdict::ALL.into_iter().map(by_name).collect(),
            lost_events,
        }
    }
}

/// `GET /api/v1/stats`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stats {
    pub edge_id: String,
    #[serde(flatten)]
    pub enforcer: EnforcerView,
    pub packets: Packets,
    /// Empty where enforcement is at L7 alone.
    pub xdp: Vec<Attachment>,
    pub bus_connected: bool,
    pub telemetry: Telemetry,
    /// One for each `[[access_log]]`.
    pub access_logs: Vec<AccessLogView>,
    pub waf: Waf,
    pub proxy: ProxyView,
    /// Requests that the proxy refused because their client is banned.
    pub l7_denied: u64,
    /// Requests that it would have refused, in observe mode.
    pub l7_observed: u64,
    /// Requests that were served but count for nobody, since no client could be named, by the reason.
    pub unattributed: BTreeMap<String, u64>,
    /// Connections closed because they did not begin with a PROXY header of a trusted proxy.
    pub proxy_protocol_refused: u64,
    pub authz: AuthzView,
    /// Entries in the bans bucket that were no bans.
    pub garbage: u64,
    /// Parts of messages that only a later release knows.
    #[serde(default)]
    pub skipped_parts: u64,
}

/// What the proxy has counted since the daemon started, and its servers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProxyView {
    /// Connections accepted.
    pub connections: u64,
    /// Answers 502 and 504 of the proxy's own.
    pub upstream_failures: u64,
    /// Requests that were sent a second time.
    pub retries: u64,
    /// Connections closed because their source had too many, or gave up too many requests.
    pub over_limit: u64,
    /// Answers missing from the proxy's access log, which could not keep up.
    pub access_log_dropped: u64,
    pub servers: Vec<ServerView>,
}

/// A server behind the proxy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerView {
    pub upstream: String,
    pub url: String,
    /// Whether it gets requests.
    pub up: bool,
}

impl ProxyView {
    #[must_use]
    pub fn new(stats: &ProxyStats, servers: Option<&Servers>) -> Self {
        let view = |state: ServerState| ServerView {
            upstream: state.upstream,
            url: state.url,
            up: state.up,
        };
        Self {
            connections: stats.connections(),
            upstream_failures: stats.upstream_failures(),
            retries: stats.retries(),
            over_limit: stats.over_limit(),
            access_log_dropped: stats.access_log_dropped(),
            servers: servers
                .map(Servers::states)
                .unwrap_or_default()
                .into_iter()
                .map(view)
                .collect(),
        }
    }
}

/// What was answered on `/authz`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AuthzView {
    pub allowed: u64,
    /// Answers 403, the client being banned.
    pub denied: u64,
    /// Answers 200 because no client was named.
    pub unattributed: u64,
}

/// What became of the events that web application firewalls logged.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Waf {
    /// Events taken in.
    pub recorded: u64,
    /// Events that could not be sent.
    pub dropped: u64,
}

/// What became of the answers that the sources of telemetry saw, since the daemon started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Telemetry {
    /// Answers taken in.
    pub recorded: u64,
    /// Answers lost, for whatever reason.
    pub dropped: u64,
    /// The same by reason.
    pub lost: BTreeMap<String, u64>,
    /// Batches handed to the bus.
    pub batches_sent: u64,
    /// Batches among them that waited in the spool.
    pub batches_late: u64,
    /// Batches spooled because the bus broke before it was known to have them.
    pub batches_resent: u64,
    /// Messages other than telemetry lost on the way out: queue full, or NATS away.
    pub messages_lost: u64,
    pub spool: SpoolView,
}

/// What waits on disk for NATS.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SpoolView {
    pub batches: u64,
    pub bytes: u64,
    /// Batches written since the daemon started.
    pub written: u64,
    /// Segments that ended in the middle of a record.
    pub torn: u64,
    /// Whether the folder cannot be used.
    pub failing: bool,
}

impl Telemetry {
    /// The counters of one moment.
    #[must_use]
    pub fn new(stats: &TelemetryStats, messages_lost: u64) -> Self {
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
