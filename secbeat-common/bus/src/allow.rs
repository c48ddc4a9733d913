//! The bucket of the fleet's allowlist.

use std::sync::Arc;

use secbeat_common::{
    prefix::Prefix,
    sign::{Signer, Trust},
    subjects,
    wire::{AllowEntry, Disallow, PERMANENT},
};

use crate::{
    backend::{Bucket, EntryKind, Write, WriteOutcome},
    bans::rest,
    bus::Bus,
    error::{Error, Result},
    layout::MARKER_TTL,
};

/// What an entry may take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Anything,
    /// A key under which nothing stands that counts; else nothing is written.
    Nothing,
}

/// Changes the fleet's allowlist.
#[derive(Clone, Debug)]
pub struct AllowBucket {
    bucket: Arc<dyn Bucket>,
    trust: Trust,
    signer: Signer,
}

/// What stands under a key.
struct HeldEntry {
    /// 0 if the key does not exist.
    revision: u64,
    /// The bucket's latest.
    seen: u64,
    /// Whether it is to be accepted.
    counts: bool,
}

impl AllowBucket {
    #[must_use]
    pub fn new(bus: &Bus, trust: Trust, signer: Signer) -> Self {
        Self {
            bucket: bus.bucket(subjects::ALLOW_BUCKET),
            trust,
            signer,
        }
    }

    /// Writes an entry, once; the server deletes it when it is over.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge it; it may have been written all the same.
    pub async fn put(&self, entry: &AllowEntry, over: Over, now_ms: i64) -> Result<()> {
        let held = self.held(&entry.network).await?;
        if over == Over::Nothing && held.counts {
            return Ok(());
        }
        let sealed = self.signer.seal(entry, held.seen)?;
        let mut write = Write::put(entry.network.key(), sealed).over(held.revision);
        write.ttl = rest(entry.until_ms.unwrap_or(PERMANENT), now_ms);
        match (self.bucket.write(write).await?, over) {
            (WriteOutcome::Written(_), _) | (WriteOutcome::Conflict, Over::Nothing) => Ok(()),
            (WriteOutcome::Conflict, Over::Anything) => Err(conflict(&entry.network)),
        }
    }

    /// Removes an entry, once.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge it; it may have been removed all the same.
    pub async fn remove(&self, entry: &AllowEntry) -> Result<()> {
        let network = entry.network;
        let held = self.held(&network).await?;
        let disallow = Disallow {
            network,
            until_ms: entry.until_ms,
        };
        let sealed = self.signer.seal(&disallow, held.seen)?;
        let purge = Write::purge(network.key(), sealed)
            .over(held.revision)
            .ttl(MARKER_TTL);
        match self.bucket.write(purge).await? {
            WriteOutcome::Written(_) => Ok(()),
            WriteOutcome::Conflict => Err(conflict(&network)),
        }
    }

    async fn held(&self, network: &Prefix) -> Result<HeldEntry> {
        let seen = self.bucket.status().await?.last_revision;
        Ok(match self.bucket.get(&network.key()).await? {
            None => HeldEntry {
                revision: 0,
                seen,
                counts: false,
            },
            Some(entry) => HeldEntry {
                revision: entry.revision,
                seen: seen.max(entry.revision),
                counts: match entry.kind {
                    EntryKind::Put => self.trust.open::<AllowEntry>(&entry.value).is_ok(),
                    EntryKind::Delete | EntryKind::Purge => self.trust.open::<Disallow>(&entry.value).is_ok(),
                },
            },
        })
    }
}

fn conflict(network: &Prefix) -> Error {
    Error::Refused {
        what: format!("a change of {network} on the allowlist"),
        why: "another change was made at the same time".to_owned(),
    }
}
