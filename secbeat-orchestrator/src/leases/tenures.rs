//! What this orchestrator may act for, as everybody in the process asks it.

use std::sync::Arc;

use parking_lot::Mutex;
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

/// What is known of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tenure {
    Owned {
        epoch: u64,
    },
    /// It was owned, and has to be taken anew; nobody else is known to have taken it.
    Lapsed,
    #[default]
    None,
}

#[derive(Debug, Default)]
struct Inner {
    partitions: [Tenure; PARTITIONS as usize],
    /// Milliseconds of the [boot clock](super::boot_ms).
    sure_until_ms: Option<i64>,
}

impl Tenures {
    /// Where this orchestrator stands at `now_ms` of the [boot clock](super::boot_ms).
    #[must_use]
    pub fn standing(&self, partition: u16, now_ms: i64) -> Standing {
        let inner = self.inner.lock();
        let sure = inner.sure_until_ms.is_some_and(|until| now_ms < until);
        match inner.partitions.get(usize::from(partition)) {
            Some(&Tenure::Owned { epoch }) if sure => Standing::Owner { epoch },
            Some(Tenure::Owned { .. } | Tenure::Lapsed) => Standing::Lapsed,
            Some(Tenure::None) | None => Standing::Stranger,
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

    /// Replaces all at once: what lapsed is not owned again because something else is for certain.
    pub(super) fn replace(&self, partitions: impl Iterator<Item = Tenure>, sure_until_ms: Option<i64>) {
        let mut inner = self.inner.lock();
        inner.sure_until_ms = sure_until_ms;
        inner.partitions.fill(Tenure::None);
        for (slot, tenure) in inner.partitions.iter_mut().zip(partitions) {
            *slot = tenure;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_one_until_its_lease_may_be_over_and_then_only_where_it_took_it_anew() {
        let tenures = Tenures::default();
        assert_eq!(tenures.standing(0, 0), Standing::Stranger);
        let owned = |epoch| Tenure::Owned { epoch };
        tenures.replace([owned(7), owned(8)].into_iter(), Some(100));
        assert_eq!(tenures.standing(0, 99), Standing::Owner { epoch: 7 });
        assert_eq!(tenures.standing(0, 100), Standing::Lapsed);
        assert_eq!(tenures.owned(99), [(0, 7), (1, 8)]);
        tenures.replace([Tenure::Lapsed, owned(9)].into_iter(), Some(300));
        assert_eq!(tenures.standing(0, 200), Standing::Lapsed);
        assert_eq!(tenures.owned(200), [(1, 9)]);
        assert_eq!(tenures.standing(2, 200), Standing::Stranger);
        assert_eq!(tenures.standing(PARTITIONS, 200), Standing::Stranger);
    }
}
