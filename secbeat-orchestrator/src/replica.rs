//! Keeps the ledger as every other orchestrator's: all bans and strikes, whoever decided them.
//!
//! After each connection comes what the bucket holds and what the audit says of the time in between, then every change of
//! the bucket, and every ban that would have been.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::kv::{Entry, Operation};
use futures::StreamExt as _;
use secbeat_common::{
    prefix::Prefix,
    wire::{BlockCommand, Lift},
};
use secbeat_daemon::{
    bus::Bus,
    commands::{Heard, Reader, TOGETHER},
    config::NatsUrl,
    time::now_ms,
};
use secbeat_orchestrator_core::{
    bucket::{Change, Gone, Revisions, Written},
    decider::Event,
};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::{bus::Streams, engine::Input, millis, writer::SharedRevisions};

/// Pause before reading is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How long the server may take between two entries of a snapshot.
const PATIENCE: Duration = Duration::from_secs(5);
/// How far two clocks of a fleet may be apart, and an audit record come after what it records.
const OVERLAP: Duration = Duration::from_secs(60);

/// What the replica needs.
pub struct Replica {
    pub bus: Bus,
    pub url: NatsUrl,
    pub streams: Streams,
    pub inputs: mpsc::Sender<Input>,
    pub reader: Reader<BlockCommand, Lift>,
    pub revisions: SharedRevisions,
    pub longest_window: Duration,
    /// How far back the audit matters at the start.
    pub memory: Duration,
    /// Set once the engine was sent what there is to restore.
    pub restored: watch::Sender<bool>,
}

impl Replica {
    /// Reads for ever.
    ///
    /// # Errors
    ///
    /// Only when the server is too old to work with.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut connection = 0;
        let mut heard_ms = None;
        loop {
            connection = self.bus.connection_after(connection).await;
            self.bus.require_supported(&self.url)?;
            let mut complained = false;
            loop {
                let mut watched = self.bus.clone();
                let outcome = tokio::select! {
                    outcome = self.follow(&mut heard_ms) => Some(outcome),
                    _ = watched.connection_after(connection) => None,
                };
                if self.inputs.is_closed() {
                    return Ok(());
                }
                match outcome {
                    None => break,
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        if !std::mem::replace(&mut complained, true) {
                            warn!("cannot read the bus yet, retrying: {error:#}");
                        }
                    }
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// `heard_ms`: until when everything was heard for certain, milliseconds since the Unix epoch. That is when it was last
    /// read from the beginning, or the last change after that: a connection may have been dead for long when it ends.
    async fn follow(&mut self, heard_ms: &mut Option<i64>) -> anyhow::Result<()> {
        let streams = self.streams.clone();
        let begun_ms = now_ms();
        streams.ensure(self.longest_window).await?;
        let bucket = streams.bans().await?;
        let status = bucket
            .status()
            .await
            .context("reading the bans bucket's status")?;
        let mut watch = bucket
            .watch_with_history(">")
            .await
            .context("watching the bans bucket")?;
        self.reader.begin(status.info.created.unix_timestamp_nanos());
        self.revisions.lock().begin(status.info.state.last_sequence);
        // From before the audit is read, so that none falls between.
        let mut observed = Box::pin(streams.observed_from_now().await?);
        let (mut bans, mut lifted) = (Vec::new(), Vec::new());
        let mut entries = Vec::new();
        let mut reading = status.values() > 0;
        while reading {
            let entry = tokio::time::timeout(PATIENCE, watch.next())
                .await
                .context("the bans bucket fell silent")?
                .context("the watch of the bans bucket ended")?
                .context("reading the bans bucket")?;
            reading = entry.delta > 0;
            entries.push(entry);
            if entries.len() < TOGETHER && reading {
                continue;
            }
            for change in self.read(&entries) {
                match change {
                    Change::Written(written) => bans.push(*written),
                    Change::Gone(gone) => lifted.push(gone),
                    // The ledger's ban is not among those written, and so is written again.
                    Change::Spoiled { .. } => {}
                }
            }
            entries.clear();
        }
        let since_ms = match *heard_ms {
            Some(heard) => heard.saturating_sub(millis(OVERLAP)),
            None => now_ms().saturating_sub(millis(self.memory)).max(0),
        };
        let audit = streams.decisions_since(since_ms).await?;
        let event = match *heard_ms {
            None => Event::Restore {
                bans,
                audit,
                since_ms,
            },
            Some(_) => Event::Recheck { bans, lifted, audit },
        };
        self.send(event).await?;
        self.restored.send_replace(true);
        *heard_ms = Some(begun_ms);
        loop {
            let entry = tokio::select! {
                entry = watch.next() => entry.context("the watch of the bans bucket ended")?,
                record = observed.next() => {
                    let record = record.context("the audit stream ended")??;
                    self.send(Event::Observed(Box::new(record))).await?;
                    continue;
                }
            };
            let entry = entry.context("reading the bans bucket")?;
            *heard_ms = Some(created_ms(&entry));
            for change in self.read(&[entry]) {
                self.send(match change {
                    Change::Written(written) => Event::Banned(written),
                    Change::Gone(gone) => Event::Lifted(gone),
                    Change::Spoiled { target, revision } => Event::Spoiled { target, revision },
                })
                .await?;
            }
        }
    }

    async fn send(&self, event: Event) -> anyhow::Result<()> {
        let sent = self.inputs.send(event.into()).await;
        sent.map_err(|_| anyhow::anyhow!("the engine has ended"))
    }

    fn read(&mut self, entries: &[Entry]) -> Vec<Change> {
        let heard = self.reader.read(entries);
        let heard = entries.iter().zip(heard);
        heard
            .filter_map(|(entry, heard)| self.change(entry, heard))
            .collect()
    }

    fn change(&self, entry: &Entry, heard: Heard<BlockCommand>) -> Option<Change> {
        let target = match &heard {
            Heard::Put(command) => command.target,
            Heard::Gone(target) | Heard::Nothing(target) => *target,
            Heard::Garbage => return None,
        };
        note(&mut self.revisions.lock(), target, entry, &heard);
        Some(match heard {
            Heard::Put(command) => Change::Written(Box::new(Written {
                command: *command,
                revision: entry.revision,
            })),
            Heard::Gone(_) => Change::Gone(Gone {
                target,
                at_ms: created_ms(entry),
                revision: entry.revision,
            }),
            Heard::Nothing(_) | Heard::Garbage => Change::Spoiled {
                target,
                revision: entry.revision,
            },
        })
    }
}

/// Notes what the key of `target` holds now.
fn note(revisions: &mut Revisions, target: Prefix, entry: &Entry, heard: &Heard<BlockCommand>) {
    match entry.operation {
        Operation::Put => {
            let expires_at_ms = match heard {
                Heard::Put(command) => command.expires_at_ms,
                Heard::Gone(_) | Heard::Nothing(_) | Heard::Garbage => 0,
            };
            revisions.holds(target, entry.revision, expires_at_ms);
        }
        Operation::Delete | Operation::Purge => revisions.deleted(&target, entry.revision),
    }
}

/// When the server took an entry, milliseconds since the Unix epoch.
fn created_ms(entry: &Entry) -> i64 {
    i64::try_from(entry.created.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
