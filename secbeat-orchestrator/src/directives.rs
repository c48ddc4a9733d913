//! Tells the edges what the detector wants of their telemetry.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{
    self,
    kv::{self, Store},
    stream::StorageType,
};
use secbeat_common::{
    sign::{MAX_SEAL, Signer},
    sources::SourceLengths,
    subjects,
    wire::{Interest, MAX_INTEREST},
};
use secbeat_daemon::bus::Bus;
use tracing::{debug, info};

/// Pause before writing is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often it is seen to.
const RECHECK: Duration = Duration::from_secs(60);

/// What edges are told.
#[derive(Clone, Debug)]
pub struct Directives {
    /// Which requests the rules go by one by one.
    pub interest: Interest,
    /// What counts as one source.
    pub sources: SourceLengths,
}

impl Directives {
    /// Sees to it, after each connection, that the bucket holds it, for ever. Orchestrators of one config write the same
    /// bytes, of which the bucket takes only the first; of different ones, what was written last holds.
    pub async fn keep(self, mut bus: Bus, signer: Signer) {
        let mut connection = 0;
        loop {
            // From time to time also while the connection holds: somebody may have put something else there.
            if let Ok(latest) = tokio::time::timeout(RECHECK, bus.connection_after(connection)).await {
                connection = latest;
            }
            while let Err(error) = self.write(&bus, &signer).await {
                debug!("cannot tell edges what rules ask for yet, retrying: {error:#}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn write(&self, bus: &Bus, signer: &Signer) -> anyhow::Result<()> {
        let config = kv::Config {
            bucket: subjects::RULES_BUCKET.to_owned(),
            history: 1,
            storage: StorageType::File,
            max_value_size: i32::try_from(MAX_INTEREST + MAX_SEAL).unwrap_or(i32::MAX),
            ..kv::Config::default()
        };
        let bucket = jetstream::new(bus.client.clone())
            .create_or_update_key_value(config)
            .await
            .context("making the rules bucket")?;
        if put(&bucket, subjects::SOURCES_KEY, signer.seal(&self.sources, 0)?).await? {
            info!(sources = %self.sources, "told edges what counts as one source");
        }
        if put(&bucket, subjects::INTEREST_KEY, signer.seal(&self.interest, 0)?).await? {
            let filters = self.interest.filters().len();
            info!(filters, "told edges what rules ask for");
        }
        Ok(())
    }
}

/// Sees to it that `key` holds `message`. Did it not?
async fn put(bucket: &Store, key: &str, message: Vec<u8>) -> anyhow::Result<bool> {
    let held = bucket.get(key).await.context("reading the rules bucket")?;
    let is_news = held.is_none_or(|held| held != message);
    if is_news {
        bucket
            .put(key, message.into())
            .await
            .context("writing to the rules bucket")?;
    }
    Ok(is_news)
}
