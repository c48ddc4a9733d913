//! What operators decided of signatures: one key beside the directives of rules.

use std::sync::Arc;

use secbeat_common::{
    sign::{Opened, Signer, Trust, Untrusted},
    subjects,
    wire::{BadSignatures, FleetSignatures},
};

use crate::{
    backend::{Bucket, WriteOutcome},
    bus::Bus,
    error::Result,
    layout, signed,
};

/// The reason why a set of signatures does not count.
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
    /// Returns an error if the server does not answer.
    pub async fn held(&self) -> Result<HeldSignatures> {
        self.bucket.make(layout::directives()).await?;
        let open = |value: &[u8]| Self::open(value, &self.trust);
        let (set, revision) = signed::held(&*self.bucket, subjects::SIGNATURES_KEY, open).await?;
        Ok(HeldSignatures { set, revision })
    }

    /// Writes a set in the place of `held`, and of nothing else.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge it; it may have been written all the same.
    pub async fn put(&self, set: &FleetSignatures, held: &HeldSignatures) -> Result<WriteOutcome> {
        let key = subjects::SIGNATURES_KEY;
        signed::put(&*self.bucket, &self.signer, key, set, held.revision).await
    }
}
