//! Partitions and who owns them.

use secbeat_daemon::time::rfc3339;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::leases::{Differing, Share, Shares};

/// Owners of the partitions, as `/api/v1/stats` shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeasesView {
    /// This orchestrator.
    pub instance: String,
    /// Every orchestrator that is up.
    pub members: Vec<String>,
    /// Orchestrators among them whose config differs from this one's.
    #[serde(default)]
    pub differing: Vec<DifferingView>,
    /// Whether NATS says who owns what right now.
    #[serde(default)]
    pub is_read: bool,
    /// Since when it does not: all this is as of then; RFC 3339.
    #[serde(default)]
    pub unread_since: Option<String>,
    /// All partitions, in order.
    pub partitions: Vec<PartitionView>,
}

/// An orchestrator with another config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DifferingView {
    /// Name of the other orchestrator.
    pub orchestrator: String,
    /// The keys of the config in which it differs.
    pub keys: Vec<String>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionView {
    /// Number of the partition, from 0.
    pub partition: u16,
    /// Its owner.
    pub holder: Option<String>,
    /// The epoch of its bans, if this orchestrator owns it.
    pub epoch: Option<u64>,
}

impl From<&Shares> for LeasesView {
    fn from(shares: &Shares) -> Self {
        let Shares {
            instance,
            members,
            differing,
            unread_since_ms,
            partitions,
        } = shares;
        let other = |Differing { orchestrator, keys }: &Differing| DifferingView {
            orchestrator: orchestrator.clone(),
            keys: keys.clone(),
        };
        let partition = |share: &Share| PartitionView {
            partition: share.partition,
            holder: share.holder.clone(),
            epoch: share.epoch,
        };
        Self {
            instance: instance.clone(),
            members: members.clone(),
            differing: differing.iter().map(other).collect(),
            is_read: unread_since_ms.is_none(),
            unread_since: unread_since_ms.map(rfc3339),
            partitions: partitions.iter().map(partition).collect(),
        }
    }
}

impl LeasesView {
    /// Partitions without a certain owner: no orchestrator, none that lives, or this one, whose lease has lapsed.
    pub fn unowned(&self) -> impl Iterator<Item = u16> {
        let is_owned = |view: &&PartitionView| match &view.holder {
            Some(holder) if *holder == self.instance => view.epoch.is_some(),
            Some(holder) => self.is_read && self.members.contains(holder),
            None => false,
        };
        let unowned = self.partitions.iter().filter(move |view| !is_owned(view));
        unowned.map(|view| view.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_unowned_unless_an_owner_is_certain() {
        let view = |partition, holder: Option<&str>, epoch| PartitionView {
            partition,
            holder: holder.map(str::to_owned),
            epoch,
        };
        let mut leases = LeasesView {
            instance: "a-1".to_owned(),
            members: vec!["a-1".to_owned(), "b-1".to_owned()],
            differing: Vec::new(),
            is_read: true,
            unread_since: None,
            partitions: vec![
                view(0, Some("a-1"), Some(7)),
                view(1, Some("a-1"), None), // lapsed
                view(2, Some("b-1"), None),
                view(3, Some("dead"), None),
                view(4, None, None),
            ],
        };
        let unowned = |leases: &LeasesView| leases.unowned().collect::<Vec<_>>();
        assert_eq!(unowned(&leases), [1, 3, 4]);
        leases.is_read = false;
        assert_eq!(
            unowned(&leases),
            [1, 2, 3, 4],
            "no heartbeat of the other one is known"
        );
    }
}
