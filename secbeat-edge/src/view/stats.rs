//! The whole edge in numbers.

use std::collections::BTreeMap;

use secbeat_common::wire::{ClockOffset, SignaturesInForce};
use secbeat_daemon::{expiry::CertificateView, reload::RefusedConfigView};
use serde::{Deserialize, Serialize};

use super::{
    AccessLogView, AttachmentView, AuthzView, DetectionView, EnforcerView, EventsView, ListsView,
    PacketsView, ProxyView, TelemetryView,
};

/// `GET /api/v1/stats`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StatsView {
    pub edge_id: String,
    /// The daemon's version.
    #[serde(default)]
    pub version: String,
    #[serde(flatten)]
    pub enforcer: EnforcerView,
    pub packets: PacketsView,
    /// Static lists.
    #[serde(default)]
    pub lists: ListsView,
    /// Bytes of kernel memory by the name of the map; empty where enforcement is at L7 alone.
    #[serde(default)]
    pub kernel_memory: BTreeMap<String, u64>,
    /// Empty where enforcement is at L7 alone.
    pub xdp: Vec<AttachmentView>,
    pub bus_connected: bool,
    /// Offset of the host's clock; `null` before the first measure.
    #[serde(default)]
    pub clock: Option<ClockOffset>,
    /// Expiry of the certificates of NATS.
    #[serde(default)]
    pub bus_certificates: Vec<CertificateView>,
    /// State of this edge's own detector.
    #[serde(default)]
    pub detection: DetectionView,
    pub telemetry: TelemetryView,
    /// The signatures that are looked for.
    #[serde(default)]
    pub signatures: SignaturesInForce,
    /// Logs: one for each `[[access_log]]`, `[[waf_log]]` and log of services.
    pub access_logs: Vec<AccessLogView>,
    pub waf: EventsView,
    /// Attempts that logs of services told of.
    #[serde(default)]
    pub services: EventsView,
    pub proxy: ProxyView,
    /// Requests that the proxy refused because their client is banned.
    pub l7_denied: u64,
    /// Requests that it would have refused, in observe mode.
    pub l7_observed: u64,
    /// Requests that were served but attributed to no client, by the reason.
    pub unattributed: BTreeMap<String, u64>,
    /// Connections closed because they did not begin with a PROXY header of a trusted proxy.
    pub proxy_protocol_refused: u64,
    pub authz: AuthzView,
    /// Entries in the bans bucket that were not bans.
    pub garbage: u64,
    /// Parts of messages that only a later release knows.
    #[serde(default)]
    pub skipped_parts: u64,
    /// The config that a reload refused last; `null` once one is taken over, and while none was refused.
    #[serde(default)]
    pub refused_config: Option<RefusedConfigView>,
    /// Services of this host that nobody watches, where somebody looks for them: a line each.
    #[serde(default)]
    pub unwatched: Vec<String>,
}
