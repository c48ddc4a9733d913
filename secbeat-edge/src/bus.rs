//! The edge's side of the bus: what it publishes never blocks it, and what it watches ends up in the enforcer.

mod directives;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use async_nats::jetstream::{self, kv::Entry};
use bytes::Bytes;
use futures::StreamExt as _;
use secbeat_common::{
    subjects,
    wire::{BlockCommand, Lift},
};
use secbeat_daemon::{
    bus::Bus,
    commands::{Heard, Reader, TOGETHER},
    config::NatsUrl,
    time::now,
};
use secbeat_edge_core::{BucketId, BucketUpdate};
use tokio::sync::mpsc;
use tracing::{debug, warn};

pub(crate) use self::directives::follow_directives;
use crate::enforcer::EnforcerHandle;

/// Messages that may wait to be published.
const QUEUE: usize = 8192;
/// Pause before the watch is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How long the server may take between two entries of a snapshot.
const PATIENCE: Duration = Duration::from_secs(5);

/// The queue is full or NATS is away: the message is lost, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message was dropped")]
pub(crate) struct Dropped;

/// Publishes without ever waiting.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    queue: mpsc::Sender<(String, Bytes)>,
    lost: Arc<AtomicU64>,
}

impl Publisher {
    /// A publisher and the task that feeds the connection; it ends with the last publisher.
    pub(crate) fn new(bus: Bus) -> (Self, impl Future<Output = ()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        (
            Self {
                queue,
                lost: lost.clone(),
            },
            publish_all(bus, waiting, lost),
        )
    }

    /// Hands a message over.
    ///
    /// # Errors
    ///
    /// [`Dropped`] when too many wait already.
    pub(crate) fn publish(&self, subject: String, payload: Vec<u8>) -> Result<(), Dropped> {
        self.queue.try_send((subject, payload.into())).map_err(|_| {
            self.lost.fetch_add(1, Ordering::Relaxed);
            Dropped
        })
    }

    /// Messages lost so far, while NATS was away or too slow.
    #[must_use]
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

async fn publish_all(bus: Bus, mut waiting: mpsc::Receiver<(String, Bytes)>, lost: Arc<AtomicU64>) {
    while let Some((subject, payload)) = waiting.recv().await {
        // What these messages acknowledge would arrive as if it were recent.
        if !bus.is_connected() {
            lost.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        if let Err(error) = bus.client.publish(subject, payload).await {
            debug!(%error, "publishing failed");
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What reading the fleet's bans needs.
pub(crate) struct BanWatch {
    pub bus: Bus,
    pub url: NatsUrl,
    pub enforcer: EnforcerHandle,
    pub reader: Reader<BlockCommand, Lift>,
}

impl BanWatch {
    /// Follows the bans bucket for ever and hands everything to the enforcer: after each connection a snapshot, then
    /// updates.
    ///
    /// # Errors
    ///
    /// Only when the server is too old to work with.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let mut connection = 0;
        loop {
            connection = self.bus.connection_after(connection).await;
            self.bus.require_supported(&self.url)?;
            let mut patience = Patience::default();
            loop {
                let mut watched = self.bus.clone();
                let outcome = tokio::select! {
                    outcome = self.follow() => outcome,
                    _ = watched.connection_after(connection) => break,
                };
                if self.enforcer.is_closed() {
                    return Ok(());
                }
                if let Err(error) = outcome {
                    patience.complain(&error);
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn follow(&mut self) -> anyhow::Result<()> {
        let context = jetstream::new(self.bus.client.clone());
        let bucket = context
            .get_key_value(subjects::BANS_BUCKET)
            .await
            .context("opening the bans bucket")?;
        let status = bucket
            .status()
            .await
            .context("reading the bans bucket's status")?;
        let made = status.info.created.unix_timestamp_nanos();
        self.reader.begin(made);
        let mut watch = bucket
            .watch_with_history(">")
            .await
            .context("watching the bans bucket")?;
        self.enforcer
            .update(BucketUpdate::SnapshotBegin(BucketId(made)))
            .await?;
        let mut entries = Vec::new();
        let mut reading = status.values() > 0;
        while reading {
            let entry = tokio::time::timeout(PATIENCE, watch.next())
                .await
                .context("the bans bucket fell silent")?;
            let entry = entry
                .context("the watch of the bans bucket ended")?
                .context("reading the bans bucket")?;
            reading = entry.delta > 0;
            entries.push(entry);
            if entries.len() == TOGETHER || !reading {
                self.take(&entries).await?;
                entries.clear();
            }
        }
        self.enforcer.update(BucketUpdate::SnapshotEnd).await?;
        while let Some(entry) = watch.next().await {
            let entry = entry.context("reading the bans bucket")?;
            self.take(&[entry]).await?;
        }
        anyhow::bail!("the watch of the bans bucket ended")
    }

    /// Hands over what `entries` say.
    async fn take(&mut self, entries: &[Entry]) -> anyhow::Result<()> {
        let received = now();
        for (entry, heard) in entries.iter().zip(self.reader.read(entries)) {
            let revision = entry.revision;
            let update = match heard {
                Heard::Put(command) => BucketUpdate::Put {
                    command,
                    revision,
                    received,
                },
                Heard::Gone(target) => BucketUpdate::Removed { target, revision },
                Heard::Nothing(target) => BucketUpdate::Spoiled { target },
                Heard::Garbage => continue,
            };
            self.enforcer.update(update).await?;
        }
        Ok(())
    }
}

/// Says the first time why the bucket cannot be followed, then keeps quiet.
#[derive(Default)]
struct Patience {
    complained: bool,
}

impl Patience {
    fn complain(&mut self, error: &anyhow::Error) {
        if !self.complained {
            warn!("cannot follow the fleet's bans yet (is an orchestrator running?), retrying: {error:#}");
        }
        self.complained = true;
    }
}
