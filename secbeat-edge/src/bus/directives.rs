//! Directives of the fleet: which responses edges report one by one, and by which prefixes clients are counted.

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

use crate::telemetry::TelemetryFilter;

/// Pause before the bucket is looked for again: there is none before the first orchestrator.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the directives until the daemon ends. Those that were read last hold while NATS is unreachable.
pub(crate) async fn follow_directives(
    mut bus: Bus,
    filter: TelemetryFilter,
    trust: Trust,
    garbage: &Garbage,
) {
    let mut connection = 0;
    loop {
        connection = bus.connection_after(connection).await;
        loop {
            let mut watched = bus.clone();
            let outcome = tokio::select! {
                outcome = follow(&bus, &filter, &trust, garbage) => outcome,
                _ = watched.connection_after(connection) => break,
            };
            if let Err(error) = outcome {
                debug!("cannot follow what rules ask for yet, retrying: {error:#}");
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn follow(bus: &Bus, filter: &TelemetryFilter, trust: &Trust, garbage: &Garbage) -> anyhow::Result<()> {
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
            filter,
            trust,
            garbage,
        );
    }
    anyhow::bail!("the watch of the rules bucket ended")
}

/// Keys that this release does not know are a later one's.
fn take(entry: &Entry, filter: &TelemetryFilter, trust: &Trust, garbage: &Garbage) {
    let report = |what: &str, error: &dyn Display| garbage.report(&entry.key, what, error);
    if entry.operation != Operation::Put {
        // Orchestrators never remove a directive; the one that was read last holds.
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
                    filter.set_interest(interest);
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
                filter.set_sources(sources);
            }
            Err(error) => report("what counts as one source", &error),
        },
        _ => {}
    }
}
