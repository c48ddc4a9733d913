//! Whether the fleet decides: each partition has an orchestrator that lives.

use std::{collections::HashMap, time::Duration};

use secbeat_bus::{Bus, Entry, EntryKind, Follower, LeaseBucket, Update};
use secbeat_common::{
    subjects::{LeaseKey, PARTITIONS},
    wire::{self, Lease},
};
use secbeat_orchestrator_core::stand_in::Away;
use tokio::time::Instant;

/// Time that a heartbeat counts. It comes each half second, or each second; and when no server leads the bucket, nobody says that
/// it has ended.
const COUNTS: Duration = Duration::from_secs(2);

/// The leases, as the bus has them.
pub(in super::super) struct Fleet {
    bus: Bus,
    follower: Follower,
    leases: Leases,
}

#[derive(Debug, Default)]
struct Leases {
    /// Whether all were read over this connection.
    is_read: bool,
    owners: HashMap<u16, String>,
    members: HashMap<String, Member>,
}

/// An orchestrator that has given a heartbeat.
#[derive(Debug)]
struct Member {
    heard: Instant,
    /// The bus stores none of its bans.
    is_stuck: bool,
}

impl Fleet {
    pub(in super::super) fn new(bus: &Bus) -> Self {
        Self {
            bus: bus.clone(),
            follower: LeaseBucket::follow(bus),
            leases: Leases::default(),
        }
    }

    /// Waits for a change of the leases. Dropped before, it has lost nothing.
    pub(in super::super) async fn changed(&mut self) {
        match self.follower.next().await {
            Update::Begin(_) => self.leases = Leases::default(),
            Update::Held(entries) => entries.iter().for_each(|entry| self.leases.take(entry)),
            Update::Complete => self.leases.is_read = true,
            Update::Changed(entry) => self.leases.take(&entry),
        }
    }

    /// Returns why nobody decides; `None` while the fleet does.
    pub(in super::super) fn away(&self) -> Option<Away> {
        if !self.bus.is_connected() {
            return Some(Away::Bus);
        }
        self.leases.away()
    }
}

impl Leases {
    fn take(&mut self, entry: &Entry) {
        let lease = match entry.kind {
            EntryKind::Put => wire::decode::<Lease>(&entry.value).ok(),
            _ => None,
        };
        match LeaseKey::parse(&entry.key) {
            Some(LeaseKey::Partition(partition)) => match lease.and_then(|lease| lease.holder) {
                Some(holder) => drop(self.owners.insert(partition, holder)),
                None => drop(self.owners.remove(&partition)),
            },
            Some(LeaseKey::Member(id)) => {
                match lease {
                    Some(Lease { is_stuck, .. }) => {
                        let heard = Instant::now();
                        self.members.insert(id, Member { heard, is_stuck })
                    }
                    None => self.members.remove(&id),
                };
            }
            None => {}
        }
    }

    fn away(&self) -> Option<Away> {
        let owner = |partition| {
            let owner = self.members.get(self.owners.get(&partition)?);
            owner.filter(|owner| owner.heard.elapsed() < COUNTS)
        };
        let owners = (0..PARTITIONS).map(owner).collect::<Option<Vec<_>>>();
        match owners.filter(|_| self.is_read) {
            None => Some(Away::Orchestrators),
            Some(owners) => owners.iter().any(|owner| owner.is_stuck).then_some(Away::Bans),
        }
    }
}

#[cfg(test)]
mod tests {
    use secbeat_bus::memory::MemoryServer;
    use secbeat_common::subjects;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_fleet_decides_while_each_partition_has_an_owner_that_lives() {
        let server = MemoryServer::new(0);
        let (edge, orchestrator) = (server.join(), server.join());
        let mut fleet = Fleet::new(&edge.bus());
        let settle = async |fleet: &mut Fleet| {
            let patience = Duration::from_secs(5);
            while tokio::time::timeout(patience, fleet.changed()).await.is_ok() {}
            fleet.away()
        };
        assert_eq!(settle(&mut fleet).await, Some(Away::Orchestrators), "no bucket");
        let window = Duration::from_secs(60);
        secbeat_bus::make_all(&orchestrator.bus(), window).await.unwrap();
        let leases = LeaseBucket::new(&orchestrator.bus());
        let lease = Lease {
            holder: Some("a-1".to_owned()),
            since_ms: 0,
            ..Lease::default()
        };
        for partition in 0..PARTITIONS {
            let key = subjects::partition_lease(partition);
            leases.put(&key, &lease, 0).await.unwrap();
        }
        assert_eq!(
            settle(&mut fleet).await,
            Some(Away::Orchestrators),
            "its owner is dead"
        );
        let stuck = Lease {
            is_stuck: true,
            ..lease.clone()
        };
        for (sign, expected) in [(&lease, None), (&stuck, Some(Away::Bans)), (&lease, None)] {
            leases.renew(&subjects::member("a-1"), sign).await.unwrap();
            fleet.changed().await;
            assert_eq!(fleet.away(), expected);
        }
        tokio::time::advance(COUNTS).await;
        assert_eq!(
            fleet.away(),
            Some(Away::Orchestrators),
            "it says nothing any more"
        );
        edge.disconnect();
        assert_eq!(fleet.away(), Some(Away::Bus));
        edge.reconnect();
        leases.renew(&subjects::member("a-1"), &lease).await.unwrap();
        while fleet.away().is_some() {
            fleet.changed().await;
        }
        // Its heartbeat ends by itself.
        while fleet.away().is_none() {
            fleet.changed().await;
        }
        assert_eq!(fleet.away(), Some(Away::Orchestrators));
    }
}
