//! The inputs in numbers: the reverse proxy, `/authz`, logs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::sources::{
    access_log::Health,
    authz::AuthzStats,
    proxy::{Book, CertificateState, ProxyStats, ServerState, Servers},
};

/// Counts of the proxy since the daemon started, and its servers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ProxyView {
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
    /// Certificates that the proxy gets itself.
    #[serde(default)]
    pub certificates: Vec<CertificateView>,
    #[serde(default)]
    pub orders: OrdersView,
}

/// A certificate that the proxy gets itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CertificateView {
    pub name: String,
    /// Time at which it ends; `None` where there is none yet.
    pub valid_until_ms: Option<i64>,
    /// Time at which the certificate authority is asked for the next one.
    pub next_attempt_ms: i64,
    /// Attempts that have failed since one succeeded.
    pub failures: u32,
    /// The reason why the last of them failed.
    pub error: Option<String>,
}

/// Orders of certificates since the daemon started.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct OrdersView {
    pub obtained: u64,
    pub failed: u64,
}

/// A server behind the proxy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ServerView {
    pub upstream: String,
    pub url: String,
    /// Whether it gets requests.
    pub up: bool,
}

impl ProxyView {
    #[must_use]
    pub(crate) fn new(stats: &ProxyStats, servers: Option<&Servers>, certificates: Option<&Book>) -> Self {
        let view = |state: ServerState| ServerView {
            upstream: state.upstream,
            url: state.url,
            up: state.up,
        };
        let certificate = |state: CertificateState| CertificateView {
            name: state.domain,
            valid_until_ms: state.until_ms,
            next_attempt_ms: state.next_ms,
            failures: state.failures,
            error: state.error,
        };
        let (obtained, failed) = certificates.map(Book::orders).unwrap_or_default();
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
            certificates: certificates
                .map(Book::states)
                .unwrap_or_default()
                .into_iter()
                .map(certificate)
                .collect(),
            orders: OrdersView { obtained, failed },
        }
    }
}

/// Responses on `/authz`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct AuthzView {
    pub allowed: u64,
    /// Answers 403, the client being banned.
    pub denied: u64,
    /// Answers 200 because no client was named.
    pub unattributed: u64,
}

impl From<&AuthzStats> for AuthzView {
    fn from(stats: &AuthzStats) -> Self {
        Self {
            allowed: stats.allowed(),
            denied: stats.denied(),
            unattributed: stats.unattributed(),
        }
    }
}

/// One `[[access_log]]` in `GET /api/v1/stats`. Counts are since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AccessLogView {
    pub name: String,
    pub format: String,
    /// Lines read, understood or not; without empty ones.
    pub lines: u64,
    pub parsed: u64,
    /// Lines that are not in the configured format.
    pub unparsed: u64,
    /// Share of all lines that were not understood, unreadable and too long ones among them: 0 to 1.
    pub unparsed_share: f64,
    /// Lines that name their client, and the rest of which cannot be read: each is reported as an error of that client.
    #[serde(default)]
    pub unreadable: u64,
    /// Entries of a firewall or the journal beyond the longest that is read, which are skipped.
    pub too_long: u64,
    /// Understood lines that were there before the daemon and older than `max_age`: not reported.
    pub too_old: u64,
    /// Understood lines that name a trusted proxy as the client: not reported.
    pub unattributed: u64,
    /// Lines of services that blame somebody, but name no address or can be read with several: not reported.
    #[serde(default)]
    pub ambiguous: u64,
    /// Lines that were reported of somebody: all that were understood, and of a service's those that blame a client.
    #[serde(default)]
    pub told: u64,
    /// Number of times that another file took a file's name.
    pub rotations: u64,
    /// Number of times that a file became shorter than what was read of it, or started again.
    pub truncations: u64,
    /// Number of times that the journal had to be opened again.
    pub restarts: u64,
    /// Files that are open: those of today, and rotated ones whose writer may still have them.
    pub files: u64,
    /// Bytes that are in the files and not yet read, at the last look.
    pub bytes_behind: u64,
    /// Age of the last line when it was read, by its own time; `None` before the first line.
    pub delay_ms: Option<i64>,
    /// The median of that over the last 20 lines that were read when they were written, and negative if they are from the
    /// future; `None` before them.
    pub median_delay_ms: Option<i64>,
    /// Share of the last 100 lines that was not understood: 0 to 1; `None` before the first line.
    pub recent_unparsed_share: Option<f64>,
    /// Time since the last line was read; `None` before the first.
    pub silent_ms: Option<i64>,
    /// The reason why lines were not understood, the latest last; no two alike.
    pub reasons: Vec<String>,
    /// Likely mistakes in this entry of the config.
    pub doubts: Vec<String>,
    /// Files of the place that are passed over, and why.
    pub skipped: Vec<String>,
    /// The reason why the source cannot be read right now.
    pub error: Option<String>,
}

impl AccessLogView {
    /// The counters at `now_ms` of the host's wall clock.
    #[must_use]
    pub(crate) fn new(health: &Health, now_ms: i64) -> Self {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let (parsed, unparsed) = (count(&health.parsed), count(&health.unparsed));
        let (unreadable, too_long) = (count(&health.unreadable), count(&health.too_long));
        let not_understood = unparsed + unreadable + too_long;
        let lines = parsed + not_understood;
        let recent = count(&health.recent);
        let read_at = Some(health.read_at_ms.load(Relaxed)).filter(|at| *at > 0);
        Self {
            name: health.name().to_owned(),
            format: health.format().to_owned(),
            lines,
            parsed,
            unparsed,
            unparsed_share: if lines == 0 {
                0.0
            } else {
                not_understood as f64 / lines as f64
            },
            unreadable,
            too_long,
            too_old: count(&health.too_old),
            unattributed: count(&health.unattributed),
            ambiguous: count(&health.ambiguous),
            told: count(&health.told),
            rotations: count(&health.rotations),
            truncations: count(&health.truncations),
            restarts: count(&health.restarts),
            files: count(&health.files),
            bytes_behind: count(&health.bytes_behind),
            delay_ms: read_at.map(|_| health.delay_ms.load(Relaxed)),
            median_delay_ms: health.median_delay_ms(),
            recent_unparsed_share: (recent > 0)
                .then(|| count(&health.recent_unparsed) as f64 / recent as f64),
            silent_ms: read_at.map(|at| now_ms.saturating_sub(at).max(0)),
            reasons: health.reasons(),
            doubts: health.doubts(),
            skipped: health.skipped(),
            error: health.error(),
        }
    }
}
