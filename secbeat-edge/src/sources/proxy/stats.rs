//! Counters of the proxy, since the start.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the proxy has counted.
#[derive(Debug, Default)]
pub(crate) struct ProxyStats {
    pub(super) connections: AtomicU64,
    pub(super) denied: AtomicU64,
    pub(super) upstream_failures: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) over_limit: AtomicU64,
    pub(super) access_log_dropped: AtomicU64,
}

impl ProxyStats {
    /// Connections accepted.
    #[must_use]
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Requests answered 403 because their client is banned.
    #[must_use]
    pub(crate) fn denied(&self) -> u64 {
        self.denied.load(Relaxed)
    }

    /// Requests answered 502 or 504 by the proxy itself.
    #[must_use]
    pub(crate) fn upstream_failures(&self) -> u64 {
        self.upstream_failures.load(Relaxed)
    }

    /// Requests sent a second time because the first attempt found no answer.
    #[must_use]
    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Connections closed because their source had too many, or had given up too many requests.
    #[must_use]
    pub(crate) fn over_limit(&self) -> u64 {
        self.over_limit.load(Relaxed)
    }

    /// Answers missing from the access log because it could not keep up.
    #[must_use]
    pub(crate) fn access_log_dropped(&self) -> u64 {
        self.access_log_dropped.load(Relaxed)
    }
}
