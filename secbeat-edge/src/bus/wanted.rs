//! What the fleet's rules want of an edge's telemetry.

use std::{fmt::Display, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream::{
    self,
    kv::{Entry, Operation},
};
use futures::StreamExt as _;
use secbeat_common::{
    sign::{Opened, Trust},
    sources::SourceLengths,
    subjects,
    wire::{Interest, TooInterested},
};
use secbeat_daemon::{bus::Bus, garbage::Garbage};
use tracing::{debug, info};

use crate::telemetry::Wanted;

/// Pause before the bucket is looked for again: there is none before the first orchestrator.
const RETRY: Duration = Duration::from_secs(1);

/// Follows what is wanted for ever. What was read last stays while the bus is away.
pub(crate) async fn watch_wanted(mut bus: Bus, wanted: Wanted, trust: Trust, garbage: &Garbage) {
    let mut connection = 0;
    loop {
        connection = bus.connection_after(connection).await;
        loop {
            let mut watched = bus.clone();
            let outcome = tokio::select! {
                outcome = follow(&bus, &wanted, &trust, garbage) => outcome,
                _ = watched.connection_after(connection) => break,
            };
            if let Err(error) = outcome {
                debug!("cannot follow what rules ask for yet, retrying: {error:#}");
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn follow(bus: &Bus, wanted: &Wanted, trust: &Trust, garbage: &Garbage) -> anyhow::Result<()> {
    let bucket = jetstream::new(bus.client.clone())
        .get_key_value(subjects::RULES_BUCKET)
        .await
        .context("opening the rules bucket")?;
    let mut watch = bucket
        .watch_with_history(">")
        .await
        .context("watching the rules bucket")?;
    while let Some(entry) = watch.next().await {
        take(
            &entry.context("reading the rules bucket")?,
            wanted,
            trust,
            garbage,
        );
    }
    anyhow::bail!("the watch of the rules bucket ended")
}

/// Keys that this release does not know are a later one's.
fn take(entry: &Entry, wanted: &Wanted, trust: &Trust, garbage: &Garbage) {
    let report = |what: &str, error: &dyn Display| garbage.report(&entry.key, what, error);
    if entry.operation != Operation::Put {
        // Nobody removes it; what was read last stays.
        return;
    }
    match entry.key.as_str() {
        subjects::INTEREST_KEY => {
            let opened = trust.open::<Interest>(&entry.value).map_err(TooInterested::from);
            let checked = opened.and_then(|opened| {
                garbage.skip(opened.skipped);
                opened.command.checked()
            });
            match checked {
                Ok(interest) => {
                    info!(filters = interest.filters().len(), "read what rules ask for");
                    wanted.set_interest(interest);
                }
                Err(error) => report("what rules ask for", &error),
            }
        }
        subjects::SOURCES_KEY => match trust.open::<SourceLengths>(&entry.value) {
            Ok(Opened {
                command: sources,
                skipped,
                ..
            }) => {
                garbage.skip(skipped);
                info!(%sources, "read what counts as one source");
                wanted.set_sources(sources);
            }
            Err(error) => report("what counts as one source", &error),
        },
        _ => {}
    }
}
