//! What this orchestrator may act for, as everybody in the process asks it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secbeat_common::subjects::PARTITIONS;

/// Whether this orchestrator may act for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It owns it for certain.
    Owner {
        epoch: u64,
    },
    /// It did, and perhaps nobody else does since.
    Lapsed,
    Stranger,
}

/// The partitions' standing. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Tenures {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    epochs: [Option<u64>; PARTITIONS as usize],
    /// Milliseconds of the [boot clock](super::boot_ms).
    sure_until_ms: Option<i64>,
}

impl Tenures {
    /// Where this orchestrator stands at `now_ms` of the [boot clock](super::boot_ms).
    #[must_use]
    pub fn standing(&self, partition: u16, now_ms: i64) -> Standing {
        let inner = self.lock();
        match inner.epochs.get(usize::from(partition)).copied().flatten() {
            Some(epoch) if inner.sure_until_ms.is_some_and(|until| now_ms < until) => {
                Standing::Owner { epoch }
            }
            Some(_) => Standing::Lapsed,
            None => Standing::Stranger,
        }
    }

    /// Partitions that are owned, with their epochs.
    #[must_use]
    pub fn owned(&self, now_ms: i64) -> Vec<(u16, u64)> {
        let owner = |partition| match self.standing(partition, now_ms) {
            Standing::Owner { epoch } => Some((partition, epoch)),
            Standing::Lapsed | Standing::Stranger => None,
        };
        (0..PARTITIONS).filter_map(owner).collect()
    }

    pub(super) fn set(&self, partition: u16, epoch: Option<u64>) {
        if let Some(slot) = self.lock().epochs.get_mut(usize::from(partition)) {
            *slot = epoch;
        }
    }

    pub(super) fn set_sure_until(&self, until_ms: Option<i64>) {
        self.lock().sure_until_ms = until_ms;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
