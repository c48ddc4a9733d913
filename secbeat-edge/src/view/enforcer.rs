//! The enforcer in numbers.

use std::collections::BTreeMap;

use secbeat_edge_core::{BAN_MAPS, Fill, FilterMode, ReconcileStats};
use serde::{Deserialize, Serialize};

use crate::enforcer::EnforcerReport;

/// Status of the enforcer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EnforcerView {
    /// Bans in force on this edge.
    pub blocked_ips: usize,
    /// Bans among them that the kernel did not take, and lifted ones that it did not remove.
    #[serde(default)]
    pub unwritten: usize,
    /// The reason why the kernel does not have the allowlist as it should be; clients that it allows may be dropped then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowlist_failed: Option<String>,
    /// Names and patterns of `kernel.interface_modes` that stand for no interface.
    #[serde(default)]
    pub modes_without_interface: Vec<String>,
    pub protected_networks: usize,
    /// Networks that only operators of this host have allowlisted.
    #[serde(default)]
    pub allowlisted_here: usize,
    /// Whether the fleet's bans have been read since the daemon started.
    pub synced: bool,
    /// Whether bans are enforced or only observed.
    pub mode: FilterMode,
    pub events: EventsView,
    /// Commands that were not accepted since the daemon started, by reason: `unsigned`, `forged`, `stale` and so on.
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
            unwritten: report.status.unwritten,
            allowlist_failed: report.allowlist_failed,
            modes_without_interface: report.modes_without_interface,
            protected_networks: report.status.allowed,
            allowlisted_here: report.status.allowed_here,
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
pub(crate) struct EventsView {
    /// Events read since the daemon started, by the reason of the ban.
    pub by_reason: BTreeMap<String, u64>,
}

/// Comparison of the kernel's bans with the desired ones.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ReconcileView {
    /// Reconciliations since the daemon started, and those among them that the kernel cut short.
    pub completed: u64,
    pub failed: u64,
    /// Time that the last reconciliation took.
    pub took_ms: u64,
    /// Bans that the last reconciliation found wrong and repaired: missing from the kernel, in it with another end or
    /// origin, in it though not desired, and in it after their expiry, which is harmless.
    pub missing: usize,
    pub differing: usize,
    pub foreign: usize,
    pub ended: usize,
    /// Bans that the kernel had and lost before their end, since the daemon started.
    pub evicted: u64,
    pub maps: Vec<MapView>,
}

/// Fill of a ban map at the last comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MapView {
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

/// `PUT /api/v1/mode`, and its answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModeRequest {
    pub mode: FilterMode,
    /// The interface that is switched; without one, the whole host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}
