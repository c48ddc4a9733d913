//! What the fleet's rules want of an edge's telemetry.

use std::{fmt::Display, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream::{
    self,
    kv::{Entry, Operation},
};
use futures::StreamExt as _;
use secbeat_common::{
    daemon::{bus::Bus, garbage::Garbage},
    sources::SourceLengths,
    subjects,
    wire::{self, Interest},
};
use tracing::{debug, info};

use crate::telemetry::Wanted;

/// Pause before the bucket is looked for again: there is none before the first orchestrator.
const RETRY: Duration = Duration::from_secs(1);

/// Follows what is wanted for ever. What was read last stays while the bus is away.
pub async fn watch_wanted(mut bus: Bus, wanted: Wanted, garbage: &Garbage) {
    let mut connection = 0;
    loop {
        connection = bus.connection_after(connection).await;
        loop {
            let mut watched = bus.clone();
            let outcome = tokio::select! {
                outcome = follow(&bus, &wanted, garbage) => outcome,
                _ = watched.connection_after(connection) => break,
            };
            if let Err(error) = outcome {
                debug!("cannot follow what rules ask for yet, retrying: {error:#}");
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn follow(bus: &Bus, wanted: &Wanted, garbage: &Garbage) -> anyhow::Result<()> {
    let bucket = jetstream::new(bus.client.clone())
        .get_key_value(subjects::RULES_BUCKET)
        .await
        .context("opening the rules bucket")?;
    let mut watch = bucket
        .watch_with_history(">")
        .await
        .context("watching the rules bucket")?;
    while let Some(entry) = watch.next().await {
        take(&entry.context("reading the rules bucket")?, wanted, garbage);
    }
    anyhow::bail!("the watch of the rules bucket ended")
}

/// Keys that this release does not know are a later one's.
fn take(entry: &Entry, wanted: &Wanted, garbage: &Garbage) {
    let report = |what: &str, error: &dyn Display| garbage.report(&entry.key, what, error);
    match entry.key.as_str() {
        subjects::INTEREST_KEY => match value(entry, Interest::from_message) {
            Ok(interest) => {
                info!(filters = interest.filters().len(), "read what rules ask for");
                wanted.set_interest(interest);
            }
            Err(error) => report("what rules ask for", &error),
        },
        subjects::SOURCES_KEY => match value(entry, wire::decode::<SourceLengths>) {
            Ok(sources) => {
                info!(%sources, "read what counts as one source");
                wanted.set_sources(sources);
            }
            Err(error) => report("what counts as one source", &error),
        },
        _ => {}
    }
}

/// What a key holds, or the default if nothing.
fn value<T: Default, E>(entry: &Entry, decode: impl Fn(&[u8]) -> Result<T, E>) -> Result<T, E> {
    match entry.operation {
        Operation::Put => decode(&entry.value),
        Operation::Delete | Operation::Purge => Ok(T::default()),
    }
}
