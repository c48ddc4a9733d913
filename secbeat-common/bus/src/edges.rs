//! The bucket of the edges that are there.

use std::sync::Arc;

use futures::FutureExt as _;
use secbeat_common::{subjects, wire::Presence};

use crate::{
    backend::{Bucket, Write},
    bus::Bus,
    error::Result,
    follow::Follower,
    layout,
};

/// What edges say of themselves. An entry goes [`PRESENCE_TTL`](subjects::PRESENCE_TTL) after its last renewal, and leaves no
/// marker.
#[derive(Clone, Debug)]
pub struct EdgeBucket(Arc<dyn Bucket>);

impl EdgeBucket {
    #[must_use]
    pub fn new(bus: &Bus) -> Self {
        Self(bus.bucket(subjects::EDGES_BUCKET))
    }

    /// Reads the bucket for ever. Makes it first, where it is missing.
    #[must_use]
    pub fn follow(bus: &Bus) -> Follower {
        let bucket = bus.bucket(subjects::EDGES_BUCKET);
        let make = move || bucket.make(layout::edges()).boxed();
        Follower::new(bus, subjects::EDGES_BUCKET).prepared_by(make)
    }

    /// Writes an edge's record.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge it.
    pub async fn put(&self, presence: &Presence) -> Result<()> {
        let record = serde_json::to_vec(presence)?;
        self.0
            .write(Write::put(&presence.edge_id, record))
            .await
            .map(drop)
    }

    /// Takes an edge's record away: it ends in order, and was not lost.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge it.
    pub async fn remove(&self, edge_id: &str) -> Result<()> {
        self.0.write(Write::delete(edge_id)).await.map(drop)
    }
}
