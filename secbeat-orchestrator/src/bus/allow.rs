//! Writes to the fleet's allowlist.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{context::PublishErrorKind, message::PublishMessage};
use secbeat_common::{
    daemon::time::now_ms,
    prefix::Prefix,
    subjects,
    wire::{self, AllowEntry},
};

use super::{MARKER_TTL, Streams};

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
        let mut message = PublishMessage::build().payload(wire::encode(entry)?.into());
        if let Some(until_ms) = entry.until_ms {
            // The server counts in whole seconds; the entry's own end is exact.
            let left = Duration::from_millis(u64::try_from(until_ms - now_ms()).unwrap_or(0));
            message = message.ttl(Duration::from_secs(left.as_secs() + 1));
        }
        if over == Over::Nothing {
            message = message.expected_last_subject_sequence(0);
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
    pub async fn remove_allow(&self, network: &Prefix) -> anyhow::Result<()> {
        let bucket = self.context.get_key_value(subjects::ALLOW_BUCKET).await;
        let bucket = bucket.context("opening the allowlist's bucket")?;
        let removed = bucket.purge_with_ttl(network.key(), MARKER_TTL).await;
        removed.with_context(|| format!("removing {network} from the allowlist"))
    }
}
