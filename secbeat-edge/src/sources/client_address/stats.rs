//! Counts of clients behind proxies.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Unattributed;

/// Counters, since the start.
#[derive(Debug, Default)]
pub(crate) struct ClientStats {
    unattributed: [AtomicU64; Unattributed::ALL.len()],
    refused: AtomicU64,
}

impl ClientStats {
    /// A request whose client cannot be identified is served.
    pub(crate) fn count(&self, why: Unattributed) {
        self.unattributed[why as usize].fetch_add(1, Relaxed);
    }

    /// A connection is closed because it does not begin with a PROXY header of a trusted proxy.
    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Requests that are attributed to no client, by the reason.
    pub(crate) fn unattributed(&self) -> impl Iterator<Item = (Unattributed, u64)> {
        let counts = self.unattributed.iter().map(|count| count.load(Relaxed));
        Unattributed::ALL.into_iter().zip(counts)
    }

    /// Connections closed for the want of a PROXY header that counts.
    #[must_use]
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}

impl Unattributed {
    pub const ALL: [Self; 5] = [
        Self::Missing,
        Self::Malformed,
        Self::Hidden,
        Self::OnlyProxies,
        Self::Local,
    ];

    /// As metrics call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Hidden => "hidden",
            Self::OnlyProxies => "only-proxies",
            Self::Local => "local",
        }
    }
}
