//! What the fleet's rules want of telemetry.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use arc_swap::ArcSwap;
use secbeat_common::{sources::SourceLengths, wire::Interest};

use secbeat_edge_core::Answer;

/// Which good answers are reported one by one, and what counts as one source. Shared by all who report; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Wanted(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether `interest` has anything. Where nothing is asked for, answers cost this one load.
    any: AtomicBool,
    interest: ArcSwap<Interest>,
    sources: ArcSwap<SourceLengths>,
}

impl Wanted {
    /// From now on these good answers are reported one by one.
    pub fn set_interest(&self, interest: Interest) {
        let any = !interest.is_empty();
        self.0.interest.store(Arc::new(interest));
        self.0.any.store(any, Relaxed);
    }

    /// From now on these are sources.
    pub fn set_sources(&self, sources: SourceLengths) {
        self.0.sources.store(Arc::new(sources));
    }

    #[must_use]
    pub fn sources(&self) -> SourceLengths {
        **self.0.sources.load()
    }

    /// Whether any good answer is asked for.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.any.load(Relaxed)
    }

    /// Whether `answer` is asked for.
    #[must_use]
    pub fn holds(&self, answer: &Answer<'_>) -> bool {
        self.is_any() && {
            let Answer {
                status,
                method,
                path,
                host,
                ..
            } = *answer;
            let interest = self.0.interest.load();
            interest
                .filters()
                .iter()
                .any(|filter| filter.matches(status, method, path, host))
        }
    }
}
