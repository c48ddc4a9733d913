//! Partitions and who owns them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::leases::{Share, Shares};

/// Who shares the partitions, as `/api/v1/stats` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeasesView {
    /// This orchestrator.
    pub instance: String,
    /// Every orchestrator that lives.
    pub members: Vec<String>,
    pub partitions: Vec<PartitionView>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionView {
    pub partition: u16,
    /// Who owns it.
    pub holder: Option<String>,
    /// The epoch of its bans, if this orchestrator owns it.
    pub epoch: Option<u64>,
}

impl From<&Shares> for LeasesView {
    fn from(shares: &Shares) -> Self {
        let Shares {
            instance,
            members,
            partitions,
        } = shares;
        let partition = |share: &Share| PartitionView {
            partition: share.partition,
            holder: share.holder.clone(),
            epoch: share.epoch,
        };
        Self {
            instance: instance.clone(),
            members: members.clone(),
            partitions: partitions.iter().map(partition).collect(),
        }
    }
}

impl LeasesView {
    /// Partitions that nobody owns, as far as is known.
    pub fn unowned(&self) -> impl Iterator<Item = u16> {
        let unowned = self.partitions.iter().filter(|view| view.holder.is_none());
        unowned.map(|view| view.partition)
    }
}
