//! Reads some partitions, through every reconnect.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::StreamExt as _;
use secbeat_bus::{Created, Garbage, Stored, TelemetryFrom, TelemetryLog};
use secbeat_common::{
    sources::SourceLengths,
    subjects::{self, PARTITIONS},
    wire::{self, LateBatch, ServiceBatch, WafBatch, WireError},
};
use secbeat_daemon::time::now_ms;
use secbeat_orchestrator_core::decider::Event;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{Intake, Trouble};
use crate::millis;

/// Pause before reading is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How far this host's clock may be ahead of the server's, and an event's time ahead of its receipt.
const SLACK_MS: i64 = 10_000;
/// Messages that are decoded at a time.
const DECODED_AT_ONCE: usize = 32;
/// Bytes of a message, up to which it is decoded at once: handing it to another thread would take as long.
const SMALL: usize = 8 * 1024;

/// Reads `partitions` until there are none.
pub(super) struct Reader {
    intake: Intake,
    partitions: watch::Receiver<BTreeSet<u16>>,
    /// Where reading began, milliseconds since the Unix epoch.
    started_ms: i64,
    /// The last message that reached the engine.
    last_read: Option<(Created, u64)>,
    /// The reason why nothing can be read now.
    trouble: Option<Trouble>,
}

/// A message with its place in the stream; no event if it is of no concern.
struct Read {
    sequence: u64,
    event: Option<Event>,
}

impl Reader {
    pub(super) fn new(intake: Intake, partitions: watch::Receiver<BTreeSet<u16>>) -> Self {
        let window = intake.rules.borrow().window;
        Self {
            started_ms: now_ms() - millis(window) - SLACK_MS,
            intake,
            partitions,
            last_read: None,
            trouble: None,
        }
    }

    pub(super) async fn run(mut self) {
        let bus = self.intake.bus.clone();
        let mut connection = 0;
        loop {
            let mut changed = self.partitions.clone();
            connection = bus.connection_after(connection).await;
            let mut complained = false;
            loop {
                let partitions = Arc::new(changed.borrow_and_update().clone());
                if partitions.is_empty() || self.intake.inputs.is_closed() {
                    return;
                }
                tokio::select! {
                    Err(error) = self.read(&partitions) => {
                        if !std::mem::replace(&mut complained, true) {
                            warn!("cannot read telemetry yet, retrying: {error:#}");
                        }
                        self.trouble = Some(self.intake.troubles.add(format!("{error:#}")));
                        tokio::time::sleep(RETRY).await;
                    }
                    _ = bus.connection_after(connection) => break,
                    change = changed.changed() => if change.is_err() { return },
                }
            }
        }
    }

    async fn read(&mut self, partitions: &Arc<BTreeSet<u16>>) -> anyhow::Result<()> {
        let from = self
            .last_read
            .map_or(TelemetryFrom::Time(self.started_ms), |(log, sequence)| {
                TelemetryFrom::After(log, sequence)
            });
        let log = TelemetryLog::new(&self.intake.bus);
        let (log, records) = log.read(partitions, from).await?;
        info!(partitions = partitions.len(), "reading telemetry");
        self.trouble = None;
        // Decoded side by side, handed over in order.
        let reads = records.map(|record| {
            let (partitions, garbage) = (partitions.clone(), self.intake.garbage.clone());
            let sources = self.intake.sources;
            async move {
                let record = record?;
                if record.payload.len() <= SMALL {
                    return Ok(read(&record, &partitions, sources, &garbage));
                }
                tokio::spawn(async move { read(&record, &partitions, sources, &garbage) })
                    .await
                    .context("decoding died")
            }
        });
        let mut reads = std::pin::pin!(reads.buffered(DECODED_AT_ONCE));
        while let Some(read) = reads.next().await {
            let Read { sequence, event } = read?;
            // The consumer may start over by itself when the server was away.
            if self
                .last_read
                .is_some_and(|(of, last)| of == log && sequence <= last)
            {
                continue;
            }
            if let Some(event) = event {
                let sent = self.intake.inputs.send(event.into()).await;
                sent.map_err(|_| anyhow::anyhow!("the engine has ended"))?;
            }
            // Only now: this future may be dropped while the engine's queue is full.
            self.last_read = Some((log, sequence));
        }
        anyhow::bail!("the telemetry log ended")
    }
}

fn read(record: &Stored, partitions: &BTreeSet<u16>, sources: SourceLengths, garbage: &Garbage) -> Read {
    let event = event(record, partitions, sources, garbage);
    let event = event.map_err(|error| garbage.report(&record.subject, "telemetry", &error));
    Read {
        sequence: record.sequence,
        event: event.ok().flatten(),
    }
}

/// Returns what a record of the telemetry log says of `partitions`, if anything.
fn event(
    message: &Stored,
    partitions: &BTreeSet<u16>,
    sources: SourceLengths,
    garbage: &Garbage,
) -> Result<Option<Event>, Unfit> {
    let received_ms = message.at_ms;
    let sender = subjects::edge_of(&message.subject).ok_or(Unfit::Subject)?;
    let is_of_sender = |edge_id: &str| match edge_id == sender {
        true => Ok(()),
        false => Err(Unfit::Impostor(edge_id.to_owned())),
    };
    if subjects::is_of_services(&message.subject) {
        let mut batch: ServiceBatch = garbage.counted(wire::decode_counted(&message.payload)?);
        is_of_sender(&batch.edge_id)?;
        batch
            .events
            .retain(|event| is_in(event.client, partitions, sources));
        return Ok((!batch.events.is_empty()).then_some(Event::Service { batch, received_ms }));
    }
    let Some(partition) = subjects::partition_of(&message.subject) else {
        let mut batch: WafBatch = garbage.counted(wire::decode_counted(&message.payload)?);
        is_of_sender(&batch.edge_id)?;
        batch
            .events
            .retain(|event| is_in(event.client, partitions, sources));
        return Ok((!batch.events.is_empty()).then_some(Event::Waf { batch, received_ms }));
    };
    let (batch, age_ms) = if subjects::is_late(&message.subject) {
        let LateBatch { age_ms, batch } = garbage.counted(wire::decode_counted(&message.payload)?);
        (batch, Some(age_ms))
    } else {
        (garbage.counted(wire::decode_counted(&message.payload)?), None)
    };
    is_of_sender(&batch.edge_id)?;
    Ok(partitions.contains(&partition).then_some(Event::Batch {
        partition,
        batch,
        received_ms,
        age_ms,
    }))
}

/// The reason why a message of the telemetry stream says nothing.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("no edge publishes there")]
    Subject,
    #[error("telemetry of the edge {0} on another one's subject")]
    Impostor(String),
}

/// Whether `client` is of one of `partitions`.
fn is_in(client: IpAddr, partitions: &BTreeSet<u16>, sources: SourceLengths) -> bool {
    partitions.contains(&sources.of(client).partition(PARTITIONS))
}
