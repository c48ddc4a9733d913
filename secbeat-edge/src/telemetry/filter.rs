//! The selection of responses that are reported one by one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use arc_swap::ArcSwap;
use secbeat_common::{sources::SourceLengths, wire::Interest};

use secbeat_edge_core::ObservedResponse;

/// Selects the successful responses that are reported one by one, and knows by which prefixes clients are counted. All
/// clones are one.
#[derive(Clone, Debug, Default)]
pub struct TelemetryFilter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether `interest` selects anything. Where it does not, a response costs this one load.
    any: AtomicBool,
    interest: ArcSwap<Interest>,
    sources: ArcSwap<SourceLengths>,
}

impl TelemetryFilter {
    /// Replaces the selection.
    pub fn set_interest(&self, interest: Interest) {
        let any = !interest.is_empty();
        self.0.interest.store(Arc::new(interest));
        self.0.any.store(any, Relaxed);
    }

    /// Replaces the prefix lengths by which clients are counted.
    pub fn set_sources(&self, sources: SourceLengths) {
        self.0.sources.store(Arc::new(sources));
    }

    #[must_use]
    pub fn sources(&self) -> SourceLengths {
        **self.0.sources.load()
    }

    /// Whether any successful response is selected.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.any.load(Relaxed)
    }

    /// Whether `answer` is selected.
    #[must_use]
    pub fn matches(&self, answer: &ObservedResponse<'_>) -> bool {
        self.is_any() && {
            let ObservedResponse {
                status,
                method,
                path,
                host,
                user_agent,
                ..
            } = *answer;
            let interest = self.0.interest.load();
            interest.holds(status, method, path, host, user_agent)
        }
    }
}
