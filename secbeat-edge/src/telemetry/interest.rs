//! Which good answers are reported one by one, as the fleet's rules want it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use arc_swap::ArcSwap;
use secbeat_common::wire;

use crate::batch::Answer;

/// What rules ask for, shared by all who report. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Interest(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether `wanted` has anything. Where nothing is asked for, answers cost this one load.
    any: AtomicBool,
    wanted: ArcSwap<wire::Interest>,
}

impl Interest {
    /// From now on `wanted` counts.
    pub fn set(&self, wanted: wire::Interest) {
        let any = !wanted.is_empty();
        self.0.wanted.store(Arc::new(wanted));
        self.0.any.store(any, Relaxed);
    }

    /// Whether anything is asked for.
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
            let wanted = self.0.wanted.load();
            wanted
                .filters()
                .iter()
                .any(|filter| filter.matches(status, method, path, host))
        }
    }
}
