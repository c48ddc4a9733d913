//! Partitions that this orchestrator may act for.

use secbeat_common::subjects::PARTITIONS;

/// Whether this orchestrator may act for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It owns it for certain.
    Owner {
        epoch: u64,
    },
    /// It did, and perhaps no other has taken it since.
    Lapsed,
    Stranger,
}

/// Tenure of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tenure {
    Owned {
        epoch: u64,
    },
    /// It was owned, and has to be taken again; no other is known to have taken it.
    Lapsed,
    #[default]
    None,
}

/// Holders of the partitions, and the time until which that is certain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseTable {
    partitions: [Tenure; PARTITIONS as usize],
    /// Milliseconds of the clock that only moves forward.
    sure_until_ms: Option<i64>,
}

impl LeaseTable {
    /// A table of `partitions`, from the first on; those that are owned are so for certain until `sure_until_ms`.
    #[must_use]
    pub fn new(partitions: impl IntoIterator<Item = Tenure>, sure_until_ms: Option<i64>) -> Self {
        let mut table = Self {
            sure_until_ms,
            ..Self::default()
        };
        for (slot, tenure) in table.partitions.iter_mut().zip(partitions) {
            *slot = tenure;
        }
        table
    }

    /// Returns where this orchestrator stands at `boot_ms` of the clock that only moves forward.
    #[must_use]
    pub fn standing(&self, partition: u16, boot_ms: i64) -> Standing {
        let sure = self.sure_until_ms.is_some_and(|until| boot_ms < until);
        match self.partitions.get(usize::from(partition)) {
            Some(&Tenure::Owned { epoch }) if sure => Standing::Owner { epoch },
            Some(Tenure::Owned { .. } | Tenure::Lapsed) => Standing::Lapsed,
            Some(Tenure::None) | None => Standing::Stranger,
        }
    }

    /// The epoch of `partition`, if it is owned for certain at `boot_ms`.
    #[must_use]
    pub fn epoch(&self, partition: u16, boot_ms: i64) -> Option<u64> {
        match self.standing(partition, boot_ms) {
            Standing::Owner { epoch } => Some(epoch),
            Standing::Lapsed | Standing::Stranger => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_one_until_its_lease_may_be_over_and_then_only_where_it_took_it_anew() {
        assert_eq!(LeaseTable::default().standing(0, 0), Standing::Stranger);
        let owned = |epoch| Tenure::Owned { epoch };
        let table = LeaseTable::new([owned(7), owned(8)], Some(100));
        assert_eq!(table.standing(0, 99), Standing::Owner { epoch: 7 });
        assert_eq!(table.standing(0, 100), Standing::Lapsed);
        assert_eq!([0, 1, 2].map(|n| table.epoch(n, 99)), [Some(7), Some(8), None]);
        let table = LeaseTable::new([Tenure::Lapsed, owned(9)], Some(300));
        assert_eq!(table.standing(0, 200), Standing::Lapsed);
        assert_eq!([0, 1].map(|n| table.epoch(n, 200)), [None, Some(9)]);
        assert_eq!(table.standing(2, 200), Standing::Stranger);
        assert_eq!(table.standing(PARTITIONS, 200), Standing::Stranger);
    }
}
