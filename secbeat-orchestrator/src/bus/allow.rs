//! Writes to the fleet's allowlist.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{
    context::{PublishErrorKind, traits::Publisher as _},
    message::PublishMessage,
};
use secbeat_common::{
    daemon::time::now_ms,
    prefix::Prefix,
    subjects,
    wire::{AllowEntry, Disallow},
};

use super::{MARKER_TTL, Streams, purge};

/// What an entry may take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Anything,
    /// A key that the bucket does not have, nor remembers; else the write is none.
    Nothing,
}

impl Streams {
    /// Writes an entry, once; the server deletes it when it is over.
    ///
    /// # Errors
    ///
    /// When the server did not acknowledge it; it may have been written all the same.
    pub async fn put_allow(&self, entry: &AllowEntry, over: Over) -> anyhow::Result<()> {
        let revision = self.allow_revision(&entry.network).await?;
        if over == Over::Nothing && revision != 0 {
            return Ok(());
        }
        let mut message = PublishMessage::build()
            .payload(self.signer.seal(entry, revision)?.into())
            .expected_last_subject_sequence(revision);
        if let Some(until_ms) = entry.until_ms {
            // The server counts in whole seconds; the entry's own end is exact.
            let left = Duration::from_millis(u64::try_from(until_ms - now_ms()).unwrap_or(0));
            message = message.ttl(Duration::from_secs(left.as_secs() + 1));
        }
        let sent = self
            .context
            .send_publish(subjects::allow(&entry.network), message)
            .await?;
        match sent.await {
            Ok(_) => Ok(()),
            Err(error) if over == Over::Nothing && error.kind() == PublishErrorKind::WrongLastSequence => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an entry, once.
    ///
    /// # Errors
    ///
    /// When the server did not acknowledge it; it may have been removed all the same.
    pub async fn remove_allow(&self, entry: &AllowEntry) -> anyhow::Result<()> {
        let network = entry.network;
        let revision = self.allow_revision(&network).await?;
        let disallow = Disallow {
            network,
            until_ms: entry.until_ms,
        };
        let message = PublishMessage::build()
            .payload(self.signer.seal(&disallow, revision)?.into())
            .expected_last_subject_sequence(revision)
            .ttl(MARKER_TTL);
        let removed = self
            .context
            .publish_message(purge(message, subjects::allow(&network)));
        let removed = removed.await?.await;
        removed.with_context(|| format!("removing {network} from the allowlist"))?;
        Ok(())
    }

    /// Of the key of `network`; 0 if it does not exist.
    async fn allow_revision(&self, network: &Prefix) -> anyhow::Result<u64> {
        let bucket = self.context.get_key_value(subjects::ALLOW_BUCKET).await;
        let bucket = bucket.context("opening the allowlist's bucket")?;
        let entry = bucket.entry(network.key()).await;
        let entry = entry.with_context(|| format!("reading {network} in the allowlist's bucket"))?;
        Ok(entry.map_or(0, |entry| entry.revision))
    }
}
