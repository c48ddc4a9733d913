//! What operators decided of signatures: one key beside the directives of rules.

use std::sync::Arc;

use secbeat_common::{
    sign::{Opened, Signer, Trust, Untrusted},
    subjects,
    wire::{BadSignatures, FleetSignatures},
};

use crate::{
    backend::{Bucket, EntryKind, Write, WriteOutcome},
    bus::Bus,
    error::Result,
    layout,
};

/// Why a set of signatures does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedSignatures {
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    #[error(transparent)]
    Bad(#[from] BadSignatures),
}

/// Changes what the fleet looks for.
#[derive(Clone, Debug)]
pub struct SignatureBucket {
    bucket: Arc<dyn Bucket>,
    trust: Trust,
    signer: Signer,
}

/// What stands under the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldSignatures {
    /// None if there is none that counts.
    pub set: Option<FleetSignatures>,
    /// 0 if the key does not exist.
    revision: u64,
}

impl SignatureBucket {
    #[must_use]
    pub fn new(bus: &Bus, trust: Trust, signer: Signer) -> Self {
        Self {
            bucket: bus.bucket(subjects::RULES_BUCKET),
            trust,
            signer,
        }
    }

    /// The set in a value of the bucket, or in a copy of one.
    ///
    /// # Errors
    ///
    /// See [`RefusedSignatures`].
    pub fn open(value: &[u8], trust: &Trust) -> Result<Opened<FleetSignatures>, RefusedSignatures> {
        let opened = trust.open::<FleetSignatures>(value)?;
        Ok(Opened {
            command: opened.command.checked()?,
            after: opened.after,
            skipped: opened.skipped,
        })
    }

    /// Reads what the bucket holds; makes it if there is none.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn held(&self) -> Result<HeldSignatures> {
        self.bucket.make(layout::directives()).await?;
        let Some(entry) = self.bucket.get(subjects::SIGNATURES_KEY).await? else {
            return Ok(HeldSignatures::default());
        };
        let opened = match entry.kind {
            EntryKind::Put => Self::open(&entry.value, &self.trust).ok(),
            EntryKind::Delete | EntryKind::Purge => None,
        };
        Ok(HeldSignatures {
            set: opened.map(|opened| opened.command),
            revision: entry.revision,
        })
    }

    /// Writes a set in the place of `held`, and of nothing else.
    ///
    /// # Errors
    ///
    /// When the server did not acknowledge it; it may have been written all the same.
    pub async fn put(&self, set: &FleetSignatures, held: &HeldSignatures) -> Result<WriteOutcome> {
        let sealed = self.signer.seal(set, held.revision)?;
        let write = Write::put(subjects::SIGNATURES_KEY, sealed).over(held.revision);
        self.bucket.write(write).await
    }
}
