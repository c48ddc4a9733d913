//! What the fleet's rules ask edges to report.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{self, kv::Operation};
use futures::StreamExt as _;
use secbeat_common::{
    daemon::{bus::Bus, garbage::Garbage},
    subjects,
    wire::Interest as Wanted,
};
use tracing::{debug, info};

use crate::telemetry::Interest;

/// Pause before the bucket is looked for again: there is none before the first orchestrator.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the rules' interest for ever. What was read last stays while the bus is away.
pub async fn watch_interest(mut bus: Bus, interest: Interest, garbage: &Garbage) {
    let mut connection = 0;
    loop {
        connection = bus.connection_after(connection).await;
        loop {
            let mut watched = bus.clone();
            let outcome = tokio::select! {
                outcome = follow(&bus, &interest, garbage) => outcome,
                _ = watched.connection_after(connection) => break,
            };
            if let Err(error) = outcome {
                debug!("cannot follow what rules ask for yet, retrying: {error:#}");
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn follow(bus: &Bus, interest: &Interest, garbage: &Garbage) -> anyhow::Result<()> {
    let bucket = jetstream::new(bus.client.clone())
        .get_key_value(subjects::RULES_BUCKET)
        .await
        .context("opening the rules bucket")?;
    let mut watch = bucket
        .watch_with_history(subjects::INTEREST_KEY)
        .await
        .context("watching the rules bucket")?;
    while let Some(entry) = watch.next().await {
        let entry = entry.context("reading the rules bucket")?;
        let wanted = match entry.operation {
            Operation::Put => Wanted::from_message(&entry.value),
            Operation::Delete | Operation::Purge => Ok(Wanted::default()),
        };
        match wanted {
            Ok(wanted) => {
                info!(filters = wanted.filters().len(), "read what rules ask for");
                interest.set(wanted);
            }
            Err(error) => garbage.report(&entry.key, "what rules ask for", &error),
        }
    }
    anyhow::bail!("the watch of the rules bucket ended")
}
