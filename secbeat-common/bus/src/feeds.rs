//! Feeds: a signed record of each beside the directives, and its networks as chunks in a bucket of their own.
//!
//! The object store of NATS is chunks in a stream with a record of their digest, too. Chunks under keys need no third kind of storage
//! in each implementation of the bus, and an edge reads them only if it lacks what the record names.

mod packed;

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use secbeat_common::{
    sign::{Opened, Signer, Trust, Untrusted},
    subjects,
    wire::{BadFeed, FEED_CHUNK, FeedContent, FleetFeed},
};

pub use self::packed::{BadPack, pack, unpack};
use crate::{
    backend::{Bucket, EntryKind, Write, WriteOutcome},
    bus::Bus,
    error::{Error, Result},
    layout, signed,
};

/// The reason why the record of a feed does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedFeed {
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    #[error(transparent)]
    Bad(#[from] BadFeed),
}

/// The reason why the networks of a feed cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    #[error(transparent)]
    Bus(#[from] Error),
    /// They were replaced since, or somebody wrote something else.
    #[error("the networks of feed {0} are not those that its record names")]
    Other(String),
}

/// Reads and changes the feeds of a fleet.
#[derive(Clone, Debug)]
pub struct FeedBucket {
    records: Arc<dyn Bucket>,
    chunks: Arc<dyn Bucket>,
    trust: Trust,
    signer: Signer,
}

/// Record under the key of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldFeed {
    /// None if there is none that counts.
    pub feed: Option<FleetFeed>,
    /// 0 if the key does not exist.
    revision: u64,
}

impl FeedBucket {
    #[must_use]
    pub fn new(bus: &Bus, trust: Trust, signer: Signer) -> Self {
        Self {
            records: bus.bucket(subjects::RULES_BUCKET),
            chunks: bus.bucket(subjects::FEEDS_BUCKET),
            trust,
            signer,
        }
    }

    /// The record of the feed `name` in a value of the bucket, or in a copy of one.
    ///
    /// # Errors
    ///
    /// See [`RefusedFeed`].
    pub fn open(name: &str, value: &[u8], trust: &Trust) -> Result<Opened<FleetFeed>, RefusedFeed> {
        let opened = trust.open::<FleetFeed>(value)?;
        Ok(Opened {
            command: opened.command.checked(name)?,
            after: opened.after,
            skipped: opened.skipped,
        })
    }

    /// Reads the record of the feed `name`; makes the buckets if there are none.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer.
    pub async fn held(&self, name: &str) -> Result<HeldFeed> {
        self.records.make(layout::directives()).await?;
        self.chunks.make(layout::feeds()).await?;
        let open = |value: &[u8]| Self::open(name, value, &self.trust);
        let (feed, revision) = signed::held(&*self.records, &subjects::feed(name), open).await?;
        Ok(HeldFeed { feed, revision })
    }

    /// Writes a record in the place of `held`, and of nothing else.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge it; it may have been written all the same.
    pub async fn put(&self, feed: &FleetFeed, held: &HeldFeed) -> Result<WriteOutcome> {
        let key = subjects::feed(&feed.name);
        signed::put(&*self.records, &self.signer, key, feed, held.revision).await
    }

    /// Removes the feed `name`, of which `held` is the record, and its networks.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge it.
    pub async fn remove(&self, name: &str, held: &HeldFeed) -> Result<WriteOutcome> {
        let write = Write::delete(subjects::feed(name)).over(held.revision);
        let outcome = self.records.write(write).await?;
        if matches!(outcome, WriteOutcome::Written(_)) {
            for slot in 0..2 {
                self.cut(name, slot, 0).await?;
            }
        }
        Ok(outcome)
    }

    /// Writes packed networks for the feed `name` into the slot that `content`, which is in force, does not use. They count once a
    /// record names them. Returns where they are.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge a chunk.
    pub async fn upload(
        &self,
        name: &str,
        packed: &[u8],
        content: Option<&FeedContent>,
    ) -> Result<FeedContent> {
        let slot = content.map_or(0, |content| 1 - content.slot.min(1));
        for (number, chunk) in (0..).zip(packed.chunks(FEED_CHUNK)) {
            let key = subjects::feed_chunk(name, slot, number);
            self.chunks.write(Write::put(key, chunk.to_vec())).await?;
        }
        let content = FeedContent {
            digest: sha256(packed),
            bytes: packed.len() as u64,
            slot,
            ..FeedContent::default()
        };
        self.cut(name, slot, content.chunks()).await?;
        Ok(content)
    }

    /// Reads the packed networks of the feed `name`, exactly those that `content` names.
    ///
    /// # Errors
    ///
    /// See [`Unread`].
    pub async fn download(&self, name: &str, content: &FeedContent) -> Result<Vec<u8>, Unread> {
        let mut packed = Vec::new();
        for number in 0..content.chunks() {
            let key = subjects::feed_chunk(name, content.slot, number);
            match self.chunks.get(&key).await? {
                Some(entry) if entry.kind == EntryKind::Put => packed.extend_from_slice(&entry.value),
                _ => return Err(Unread::Other(name.to_owned())),
            }
        }
        match is_of(content, &packed) {
            true => Ok(packed),
            false => Err(Unread::Other(name.to_owned())),
        }
    }

    /// Removes the chunks of a slot from number `from` on.
    async fn cut(&self, name: &str, slot: u8, from: u64) -> Result<()> {
        for number in from.. {
            let key = subjects::feed_chunk(name, slot, number);
            match self.chunks.get(&key).await? {
                Some(entry) if entry.kind == EntryKind::Put => self.chunks.write(Write::delete(key)).await?,
                _ => break,
            };
        }
        Ok(())
    }
}

/// Whether `packed` is what `content` names.
#[must_use]
pub fn is_of(content: &FeedContent, packed: &[u8]) -> bool {
    packed.len() as u64 == content.bytes && sha256(packed) == content.digest
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = digest(&SHA256, bytes);
    hash.iter_mut()
        .zip(digest.as_ref())
        .for_each(|(to, from)| *to = *from);
    hash
}
