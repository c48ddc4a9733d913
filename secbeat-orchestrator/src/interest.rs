//! Tells the edges which requests the rules go by one by one.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{self, kv, stream::StorageType};
use secbeat_common::{
    daemon::bus::Bus,
    subjects,
    wire::{Interest, MAX_INTEREST},
};
use tracing::{debug, info};

/// Pause before writing is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Sees to it, after each connection, that the bucket holds `interest`, for ever. Orchestrators of one config write the same
/// bytes, of which the bucket takes only the first; of different ones, what was written last holds.
pub async fn keep(mut bus: Bus, interest: Interest) {
    let mut connection = 0;
    loop {
        connection = bus.connection_after(connection).await;
        while let Err(error) = write(&bus, &interest).await {
            debug!("cannot tell edges what rules ask for yet, retrying: {error:#}");
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn write(bus: &Bus, interest: &Interest) -> anyhow::Result<()> {
    let message = interest.to_message()?;
    let config = kv::Config {
        bucket: subjects::RULES_BUCKET.to_owned(),
        history: 1,
        storage: StorageType::File,
        max_value_size: i32::try_from(MAX_INTEREST).unwrap_or(i32::MAX),
        ..kv::Config::default()
    };
    let bucket = jetstream::new(bus.client.clone())
        .create_or_update_key_value(config)
        .await
        .context("making the rules bucket")?;
    let held = bucket
        .get(subjects::INTEREST_KEY)
        .await
        .context("reading the rules bucket")?;
    if held.is_none_or(|held| held != message) {
        bucket
            .put(subjects::INTEREST_KEY, message.into())
            .await
            .context("writing to the rules bucket")?;
        info!(
            filters = interest.filters().len(),
            "told edges what rules ask for"
        );
    }
    Ok(())
}
