//! The bucket of what edges are told: which requests rules ask for, what counts as one source, and what the detector goes by.

use std::sync::Arc;

use secbeat_common::{
    sign::{Command, Signer},
    sources::SourceLengths,
    subjects,
    wire::{Detection, Interest},
};

use crate::{
    backend::{Bucket, EntryKind, Write},
    bus::Bus,
    error::Result,
    follow::{Follower, Pace},
    layout,
};

/// What of the bucket was not what it should be, and was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedDirectives {
    pub interest: bool,
    pub sources: bool,
    pub detection: bool,
}

/// What edges are told.
#[derive(Clone, Debug)]
pub struct DirectiveBucket {
    bucket: Arc<dyn Bucket>,
    signer: Signer,
}

impl DirectiveBucket {
    #[must_use]
    pub fn new(bus: &Bus, signer: Signer) -> Self {
        Self {
            bucket: bus.bucket(subjects::RULES_BUCKET),
            signer,
        }
    }

    /// Reads the bucket for ever.
    #[must_use]
    pub fn follow(bus: &Bus) -> Follower {
        let pace = Pace {
            // There is no bucket before the first orchestrator.
            retry: std::time::Duration::from_secs(1),
            ..Pace::default()
        };
        Follower::new(bus, subjects::RULES_BUCKET).pace(pace)
    }

    /// Sees to it that the bucket holds these. Orchestrators of one config write the same bytes, of which the bucket takes
    /// only the first; of different ones, what was written last holds.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer, or does not acknowledge a write.
    pub async fn keep(
        &self,
        interest: &Interest,
        sources: &SourceLengths,
        detection: &Detection,
    ) -> Result<ChangedDirectives> {
        self.bucket.make(layout::directives()).await?;
        Ok(ChangedDirectives {
            sources: self.put(subjects::SOURCES_KEY, sources).await?,
            interest: self.put(subjects::INTEREST_KEY, interest).await?,
            // An empty one says nothing, and what was said last holds.
            detection: !detection.json.is_empty() && self.put(subjects::DETECTION_KEY, detection).await?,
        })
    }

    /// Returns whether `key` did not hold `directive` already.
    async fn put(&self, key: &str, directive: &impl Command) -> Result<bool> {
        let sealed = self.signer.seal(directive, 0)?;
        let held = self.bucket.get(key).await?;
        let is_held = held.is_some_and(|entry| entry.kind == EntryKind::Put && entry.value == sealed);
        if !is_held {
            self.bucket.write(Write::put(key, sealed)).await?;
        }
        Ok(!is_held)
    }
}
