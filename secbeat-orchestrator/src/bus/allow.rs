//! Writes to the fleet's allowlist.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{
    context::{PublishErrorKind, traits::Publisher as _},
    kv,
    message::PublishMessage,
};
use secbeat_common::{
    prefix::Prefix,
    subjects,
    wire::{AllowEntry, Disallow},
};
use secbeat_daemon::time::now_ms;

use super::{MARKER_TTL, Streams, purge};

/// What an entry may take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Anything,
    /// A key under which nothing stands that counts; else the write is none.
    Nothing,
}

impl Streams {
    /// Writes an entry, once; the server deletes it when it is over.
    ///
    /// # Errors
    ///
    /// When the server did not acknowledge it; it may have been written all the same.
    pub async fn put_allow(&self, entry: &AllowEntry, over: Over) -> anyhow::Result<()> {
        let held = self.allowed(&entry.network).await?;
        if over == Over::Nothing && held.counts {
            return Ok(());
        }
        let mut message = PublishMessage::build()
            .payload(self.signer.seal(entry, held.seen)?.into())
            .expected_last_subject_sequence(held.revision);
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
        let held = self.allowed(&network).await?;
        let disallow = Disallow {
            network,
            until_ms: entry.until_ms,
        };
        let message = PublishMessage::build()
            .payload(self.signer.seal(&disallow, held.seen)?.into())
            .expected_last_subject_sequence(held.revision)
            .ttl(MARKER_TTL);
        let removed = self
            .context
            .publish_message(purge(message, subjects::allow(&network)));
        let removed = removed.await?.await;
        removed.with_context(|| format!("removing {network} from the allowlist"))?;
        Ok(())
    }

    /// What stands under the key of `network`.
    async fn allowed(&self, network: &Prefix) -> anyhow::Result<HeldEntry> {
        let bucket = self.context.get_key_value(subjects::ALLOW_BUCKET).await;
        let bucket = bucket.context("opening the allowlist's bucket")?;
        let status = bucket.status().await;
        let seen = status
            .context("reading the allowlist's bucket")?
            .info
            .state
            .last_sequence;
        let entry = bucket.entry(network.key()).await;
        let entry = entry.with_context(|| format!("reading {network} in the allowlist's bucket"))?;
        Ok(match entry {
            None => HeldEntry {
                revision: 0,
                seen,
                counts: false,
            },
            Some(entry) => HeldEntry {
                revision: entry.revision,
                seen: seen.max(entry.revision),
                counts: match entry.operation {
                    kv::Operation::Put => self.trust.open::<AllowEntry>(&entry.value).is_ok(),
                    kv::Operation::Delete | kv::Operation::Purge => {
                        self.trust.open::<Disallow>(&entry.value).is_ok()
                    }
                },
            },
        })
    }
}

/// What stands under a key of the allowlist's bucket.
struct HeldEntry {
    /// 0 if the key does not exist.
    revision: u64,
    /// The bucket's latest.
    seen: u64,
    /// Whether that is to be obeyed.
    counts: bool,
}
