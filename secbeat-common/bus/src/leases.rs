//! The bucket of leases: which orchestrator lives, and which owns which partition.

use std::{sync::Arc, time::Duration};

use secbeat_common::{
    subjects,
    wire::{self, Lease},
};

use crate::{
    backend::{Bucket, Write, WriteOutcome},
    bus::Bus,
    error::Result,
    follow::{Follower, Pace},
    layout::MARKER_TTL,
};

/// Time that the server keeps an orchestrator's heartbeat.
pub const LEASE_TTL: Duration = Duration::from_secs(3);
/// A lease is over within seconds, and so are failures to read of it.
const PACE: Pace = Pace {
    retry: Duration::from_millis(200),
    patience: Duration::from_secs(1),
};

/// The leases of the fleet's partitions.
#[derive(Clone, Debug)]
pub struct LeaseBucket(Arc<dyn Bucket>);

impl LeaseBucket {
    #[must_use]
    pub fn new(bus: &Bus) -> Self {
        Self(bus.bucket(subjects::LEASES_BUCKET))
    }

    /// Reads the bucket for ever.
    #[must_use]
    pub fn follow(bus: &Bus) -> Follower {
        Follower::new(bus, subjects::LEASES_BUCKET).pace(PACE)
    }

    /// Writes a lease, once, on top of this revision (0: a key that does not exist).
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge it; it may have been written all the same.
    pub async fn put(&self, key: &str, lease: &Lease, over: u64) -> Result<WriteOutcome> {
        self.0
            .write(Write::put(key, wire::encode(lease)?).over(over))
            .await
    }

    /// Writes a heartbeat, which the server deletes after [`LEASE_TTL`].
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub async fn renew(&self, key: &str, lease: &Lease) -> Result<WriteOutcome> {
        self.0
            .write(Write::put(key, wire::encode(lease)?).ttl(LEASE_TTL))
            .await
    }

    /// Removes a lease, once.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge it.
    pub async fn remove(&self, key: &str) -> Result<()> {
        let purge = Write::purge(key, Vec::new()).ttl(MARKER_TTL);
        self.0.write(purge).await.map(drop)
    }
}
