//! The leases' side of the bus.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::kv;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use secbeat_common::{
    subjects::{self, LeaseKey, PARTITIONS},
    wire::{self, Lease},
};
use secbeat_daemon::{bus::Bus, time::now_ms};
use secbeat_orchestrator_core::leases::{Entry, Identity, Keeper, LeaseTable, Ownership, Terms, Write};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use super::boot_ms;
use crate::{
    bus::Streams,
    view::{LeasesView, PartitionView},
};

/// How long the server keeps an orchestrator's sign of life.
pub const LEASE: Duration = Duration::from_secs(3);
const TERMS: Terms = Terms {
    lease_ms: 3_000,
    margin_ms: 500,
    renew_ms: 500,
};
/// How often it is looked whether something has to be written.
const TICK: Duration = Duration::from_millis(100);
/// Pause before the bucket is read again.
const RETRY: Duration = Duration::from_millis(200);
/// How long one write may wait for its acknowledgement, and the next entry of a snapshot may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Keeps this orchestrator's share of the partitions.
pub struct Leases {
    bus: Bus,
    streams: Streams,
    core: Keeper,
    id: String,
    since_ms: i64,
    table: watch::Sender<LeaseTable>,
    changes: mpsc::UnboundedSender<Ownership>,
    view: watch::Sender<LeasesView>,
}

type Round = BoxFuture<'static, Vec<Written>>;

/// A write that the server has, or has not.
struct Written {
    write: Write,
    sent_ms: i64,
    revision: anyhow::Result<u64>,
}

impl Leases {
    /// The leases, where changes come out, and what the API shows.
    #[must_use]
    pub fn new(
        bus: Bus,
        streams: Streams,
        identity: Identity,
        table: watch::Sender<LeaseTable>,
    ) -> (
        Self,
        mpsc::UnboundedReceiver<Ownership>,
        watch::Receiver<LeasesView>,
    ) {
        let id = identity.id();
        // Unbounded, but a partition changes hands a few times a second at most.
        let (changes, changed) = mpsc::unbounded_channel();
        let (view, viewed) = watch::channel(LeasesView {
            instance: id.clone(),
            ..LeasesView::default()
        });
        let leases = Self {
            streams,
            bus,
            core: Keeper::new(identity, TERMS),
            id,
            since_ms: now_ms(),
            table,
            changes,
            view,
        };
        (leases, changed, viewed)
    }

    /// Keeps the share until `stop`, then gives it back.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut connection = 0;
        loop {
            let mut watched = self.bus.clone();
            tokio::select! {
                number = watched.connection_after(connection) => connection = number,
                () = &mut stop => return,
            }
            let mut complained = false;
            loop {
                tokio::select! {
                    Err(error) = self.keep() => {
                        if !std::mem::replace(&mut complained, true) {
                            warn!("cannot share the partitions, retrying: {error:#}");
                        }
                    }
                    _ = watched.connection_after(connection) => break,
                    () = &mut stop => return self.resign().await,
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Follows the bucket and writes to it, until one of them fails.
    async fn keep(&mut self) -> anyhow::Result<()> {
        let bucket = self.streams.leases().await?;
        let status = bucket.status().await.context("reading the leases' status")?;
        let made_ms = u64::try_from(status.info.created.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        if self.core.bucket_made(made_ms) {
            warn!("the bucket of leases was made anew");
            self.publish();
        }
        let mut watch = bucket
            .watch_with_history(">")
            .await
            .context("watching the leases")?;
        let mut entries = Vec::new();
        let mut reading = status.values() > 0;
        while reading {
            let entry = tokio::time::timeout(PATIENCE, watch.next())
                .await
                .context("the bucket of leases fell silent")?
                .context("the watch of the leases ended")?
                .context("reading the leases")?;
            reading = entry.delta > 0;
            entries.extend(parse(&entry));
        }
        self.core.heard_all(entries);
        let mut tick = tokio::time::interval(TICK);
        let mut round: Option<Round> = None;
        loop {
            tokio::select! {
                entry = watch.next() => {
                    let entry = entry.context("the watch of the leases ended")?.context("reading the leases")?;
                    if let Some(entry) = parse(&entry) {
                        self.core.heard(entry);
                    }
                }
                written = async { match &mut round { Some(round) => round.await, None => std::future::pending().await } } => {
                    round = None;
                    written.into_iter().for_each(|written| self.written(written));
                }
                _ = tick.tick() => {}
            }
            if round.is_none() {
                let writes = self.core.due(boot_ms());
                // What is given back is no longer acted for once others can read of it.
                self.publish();
                if !writes.is_empty() {
                    round = Some(self.round(writes));
                }
            } else {
                self.publish();
            }
        }
    }

    /// All of `writes` at once.
    fn round(&self, writes: Vec<Write>) -> Round {
        let attempts: Vec<_> = writes.into_iter().map(|write| self.attempt(write)).collect();
        futures::future::join_all(attempts).boxed()
    }

    fn attempt(&self, write: Write) -> impl Future<Output = Written> + use<> {
        let (streams, id, since_ms) = (self.streams.clone(), self.id.clone(), self.since_ms);
        async move {
            let sent_ms = boot_ms();
            let (key, holder, over) = match &write {
                Write::Renew => (subjects::member(&id), Some(id), None),
                Write::Take { partition, over } => {
                    (subjects::partition_lease(*partition), Some(id), Some(*over))
                }
                Write::Release { partition, over } => {
                    (subjects::partition_lease(*partition), None, Some(*over))
                }
            };
            let since_ms = match write {
                Write::Renew => since_ms,
                Write::Take { .. } | Write::Release { .. } => now_ms(),
            };
            let lease = Lease { holder, since_ms };
            let revision = tokio::time::timeout(PATIENCE, streams.put_lease(&key, &lease, over))
                .await
                .context("not acknowledged in time")
                .and_then(|revision| revision);
            Written {
                write,
                sent_ms,
                revision,
            }
        }
    }

    fn written(
        &mut self,
        Written {
            write,
            sent_ms,
            revision,
        }: Written,
    ) {
        match (write, revision) {
            (Write::Renew, Ok(_)) => self.core.renewed(sent_ms, boot_ms()),
            (Write::Take { partition, .. }, Ok(revision)) => self.core.taken(partition, revision, boot_ms()),
            (Write::Release { partition, .. }, Ok(revision)) => self.core.released(partition, revision),
            // Somebody was faster, or the server is away; the next round goes by what the bucket says then.
            (write, Err(error)) => debug!(?write, "a lease was not written: {error:#}"),
        }
    }

    /// Tells the rest of the process.
    fn publish(&mut self) {
        let (table, now_ms) = (self.core.table(), boot_ms());
        self.table.send_replace(table.clone());
        for ownership in self.core.changes() {
            let _ = self.changes.send(ownership);
        }
        let view = LeasesView {
            instance: self.id.clone(),
            members: self.core.members().map(str::to_owned).collect(),
            partitions: (0..PARTITIONS)
                .zip(self.core.holders())
                .map(|(partition, holder)| PartitionView {
                    partition,
                    holder: holder.map(str::to_owned),
                    epoch: table.epoch(partition, now_ms),
                })
                .collect(),
        };
        self.view.send_if_modified(|known| {
            let changed = *known != view;
            *known = view;
            changed
        });
    }

    /// Others may take over at once.
    async fn resign(mut self) {
        self.core.resign();
        self.publish();
        match tokio::time::timeout(PATIENCE, self.streams.remove_lease(&subjects::member(&self.id))).await {
            Ok(Ok(())) => info!("gave the partitions back"),
            Ok(Err(error)) => warn!("others will take over when the lease ends: {error:#}"),
            Err(_) => warn!("others will take over when the lease ends: NATS does not answer"),
        }
    }
}

/// What an entry of the bucket says, if anything.
fn parse(entry: &kv::Entry) -> Option<Entry> {
    let key = LeaseKey::parse(&entry.key)?;
    let holder = match entry.operation {
        kv::Operation::Put => match wire::decode::<Lease>(&entry.value) {
            Ok(lease) => lease.holder,
            Err(error) => {
                warn!(key = entry.key, %error, "not a lease in the bucket of leases: ignored");
                return None;
            }
        },
        kv::Operation::Delete | kv::Operation::Purge => None,
    };
    Some(Entry {
        key,
        holder,
        revision: entry.revision,
    })
}
