//! The leases' side of the bus.

#[cfg(test)]
mod tests;

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use secbeat_bus::{
    Bus, EntryKind, Error, Follower, LEASE_TTL, LeaseBucket, Update, WriteOutcome, Writing, broker::broker,
};
use secbeat_common::{
    subjects::{self, LeaseKey, PARTITIONS},
    wire::{self, Lease},
};
use secbeat_daemon::time::now_ms;
use secbeat_orchestrator_core::leases::{Entry, Identity, Keeper, LeaseTable, Ownership, Terms, Write};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use super::{Share, Shares, configs::Configs};
use crate::rules::InForce;

/// The lease is that of [`LEASE_TTL`](secbeat_bus::LEASE_TTL).
const TERMS: Terms = Terms {
    lease_ms: 3_000,
    margin_ms: 500,
    renew_ms: 500,
};
/// The same where all members are one process: nobody waits to take over, and each renewal is work for the store.
const TERMS_ALONE: Terms = Terms {
    renew_ms: 1_000,
    ..TERMS
};
/// Interval at which it is looked whether the bus is there, while it is not, or does not answer.
const LOOK: Duration = Duration::from_millis(500);
/// When bans that the bus does not store are told to the edges, which then decide by themselves: the restart of a server that hands its
/// buckets over is shorter.
const STUCK: Duration = Duration::from_millis(500);
/// Time that one write may wait for its acknowledgement.
const PATIENCE: Duration = Duration::from_secs(1);

/// Keeps this orchestrator's share of the partitions.
pub(crate) struct Leases {
    bus: Bus,
    bucket: LeaseBucket,
    core: Keeper,
    configs: Configs,
    id: String,
    since_ms: i64,
    /// The boot clock, in milliseconds.
    clock: fn() -> i64,
    table: watch::Sender<LeaseTable>,
    changes: mpsc::UnboundedSender<Ownership>,
    shares: watch::Sender<Shares>,
}

/// Whether the bus has stored no ban for a while.
fn is_stuck(writing: &[Writing]) -> bool {
    writing.iter().any(|writing| {
        let failing = writing.failing.as_ref();
        writing.name == subjects::BANS_BUCKET && failing.is_some_and(|(since, _)| *since >= STUCK)
    })
}

type Round = BoxFuture<'static, Vec<Written>>;

/// A write that the server has, or has not.
struct Written {
    write: Write,
    sent_ms: i64,
    outcome: secbeat_bus::Result<WriteOutcome>,
}

impl Leases {
    /// The leases, where changes come out, and who shares the partitions. The others are told of `config`,
    /// also when it changes.
    #[must_use]
    pub(crate) fn new(
        bus: Bus,
        identity: Identity,
        clock: fn() -> i64,
        config: watch::Receiver<InForce>,
        table: watch::Sender<LeaseTable>,
    ) -> (Self, mpsc::UnboundedReceiver<Ownership>, watch::Receiver<Shares>) {
        let id = identity.id();
        // Unbounded, but a partition changes hands a few times a second at most.
        let (changes, changed) = mpsc::unbounded_channel();
        let (shares, shared) = watch::channel(Shares {
            instance: id.clone(),
            unread_since_ms: Some(now_ms()),
            ..Shares::default()
        });
        let terms = match bus.ends_with_members() {
            true => TERMS_ALONE,
            false => TERMS,
        };
        let leases = Self {
            bucket: LeaseBucket::new(&bus),
            bus,
            core: Keeper::new(identity, terms),
            configs: Configs::new(config),
            id,
            since_ms: now_ms(),
            clock,
            table,
            changes,
            shares,
        };
        (leases, changed, shared)
    }

    /// Keeps the share until `stop`, then gives it back.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.keep() => {}
            () = stop => {}
        }
        // Without a connection nothing was ever taken.
        if self.bus.connection() > 0 {
            self.resign().await;
        }
    }

    /// Follows the bucket and writes to it, for ever.
    async fn keep(&mut self) {
        let mut follower = LeaseBucket::follow(&self.bus);
        let mut held = Vec::new();
        let mut round: Option<Round> = None;
        let mut rest = Duration::ZERO;
        loop {
            tokio::select! {
                update = follower.next() => match update {
                    Update::Begin(snapshot) => {
                        // What is still being written may be of a bucket that is gone.
                        round = None;
                        held.clear();
                        self.begin(snapshot.created.ms());
                    }
                    Update::Held(entries) => held.extend(entries.iter().filter_map(|entry| self.parse(entry))),
                    Update::Complete => self.core.heard_all(std::mem::take(&mut held)),
                    Update::Changed(entry) => {
                        if let Some(entry) = self.parse(&entry) {
                            self.core.heard(entry);
                        }
                    }
                },
                written = async { match &mut round { Some(round) => round.await, None => std::future::pending().await } } => {
                    round = None;
                    written.into_iter().for_each(|written| self.written(written));
                }
                () = tokio::time::sleep(rest) => {}
            }
            self.work(&follower, &mut round);
            rest = match round {
                Some(_) => LOOK,
                None => self.rest(&follower),
            };
        }
    }

    /// Returns how long there is nothing to do unless something is heard.
    fn rest(&self, follower: &Follower) -> Duration {
        if !follower.is_live() {
            return LOOK;
        }
        let wait_ms = self.core.next_due_ms().saturating_sub((self.clock)());
        Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0).max(1))
    }

    fn begin(&mut self, created_ms: i64) {
        if self.core.bucket_made(u64::try_from(created_ms).unwrap_or(0)) {
            warn!("the bucket of leases was recreated");
            self.publish(false);
        }
    }

    /// Begins the writes that are due. Of a bucket that is not being read nothing is known, and nothing is written.
    fn work(&mut self, follower: &Follower, round: &mut Option<Round>) {
        if !follower.is_live() {
            return self.publish(false);
        }
        let writes = match round {
            None => self.core.due((self.clock)()),
            Some(_) => Vec::new(),
        };
        // What is given back is no longer acted for once others can read of it.
        self.publish(true);
        if !writes.is_empty() {
            *round = Some(self.round(writes));
        }
    }

    /// All of `writes` at once.
    fn round(&self, writes: Vec<Write>) -> Round {
        let attempts: Vec<_> = writes.into_iter().map(|write| self.attempt(write)).collect();
        futures::future::join_all(attempts).boxed()
    }

    fn attempt(&self, write: Write) -> impl Future<Output = Written> + use<> {
        let (bucket, id) = (self.bucket.clone(), self.id.clone());
        let (since_ms, clock) = (self.since_ms, self.clock);
        let own = match write {
            Write::Renew => Lease {
                holder: Some(id.clone()),
                since_ms,
                config: self.configs.own(),
                is_stuck: is_stuck(&self.bus.writing()),
            },
            Write::Take { .. } | Write::Release { .. } => Lease::default(),
        };
        async move {
            let sent_ms = clock();
            let attempt = async {
                match &write {
                    Write::Renew => bucket.renew(&subjects::member(&id), &own).await,
                    Write::Take { partition, over } => {
                        let lease = Lease {
                            holder: Some(id),
                            since_ms: now_ms(),
                            ..own
                        };
                        bucket
                            .put(&subjects::partition_lease(*partition), &lease, *over)
                            .await
                    }
                    Write::Release { partition, over } => {
                        let lease = Lease {
                            holder: None,
                            since_ms: now_ms(),
                            ..own
                        };
                        bucket
                            .put(&subjects::partition_lease(*partition), &lease, *over)
                            .await
                    }
                }
            };
            let outcome = tokio::time::timeout(PATIENCE, attempt).await;
            let late = || Error::Unacknowledged("a lease".to_owned());
            Written {
                sent_ms,
                outcome: outcome.unwrap_or_else(|_| Err(late())),
                write,
            }
        }
    }

    fn written(
        &mut self,
        Written {
            write,
            sent_ms,
            outcome,
        }: Written,
    ) {
        match (write, outcome) {
            (Write::Renew, Ok(WriteOutcome::Written(_))) => self.core.renewed(sent_ms, (self.clock)()),
            (Write::Take { partition, .. }, Ok(WriteOutcome::Written(revision))) => {
                self.core.taken(partition, revision, (self.clock)());
            }
            (Write::Release { partition, .. }, Ok(WriteOutcome::Written(revision))) => {
                self.core.released(partition, revision);
            }
            // Somebody was faster, or the server is away; the next round goes by what the bucket says then.
            (write, Ok(WriteOutcome::Conflict)) => {
                debug!(?write, "another orchestrator wrote the lease first")
            }
            (write, Err(error)) => debug!(?write, "a lease was not written: {error}"),
        }
    }

    /// Tells the rest of the process.
    fn publish(&mut self, is_read: bool) {
        // Before the follower notices.
        let is_read = is_read && self.bus.is_connected();
        let (table, boot_ms) = (self.core.table(), (self.clock)());
        self.table.send_replace(table.clone());
        for ownership in self.core.changes() {
            let _ = self.changes.send(ownership);
        }
        let members: Vec<_> = self.core.members().map(str::to_owned).collect();
        let shares = Shares {
            instance: self.id.clone(),
            differing: match is_read {
                true => self.configs.differing(&members),
                // Who lives is not known before all of the bucket is.
                false => self.configs.told(),
            },
            members,
            unread_since_ms: match is_read {
                true => None,
                false => Some(self.shares.borrow().unread_since_ms.unwrap_or_else(now_ms)),
            },
            partitions: (0..PARTITIONS)
                .zip(self.core.holders())
                .map(|(partition, holder)| Share {
                    partition,
                    holder: holder.map(str::to_owned),
                    epoch: table.epoch(partition, boot_ms),
                })
                .collect(),
        };
        self.shares.send_if_modified(|known| {
            let changed = *known != shares;
            *known = shares;
            changed
        });
    }

    /// Returns what an entry of the bucket says, if anything.
    fn parse(&mut self, entry: &secbeat_bus::Entry) -> Option<Entry> {
        let key = LeaseKey::parse(&entry.key)?;
        let holder = match entry.kind {
            EntryKind::Put => match wire::decode::<Lease>(&entry.value) {
                Ok(lease) => {
                    // Its own one may be of before a reload.
                    if let LeaseKey::Member(id) = &key
                        && *id != self.id
                    {
                        self.configs.heard(id.clone(), lease.config);
                    }
                    lease.holder
                }
                Err(error) => {
                    warn!(key = entry.key, %error, "not a lease in the bucket of leases: ignored");
                    return None;
                }
            },
            EntryKind::Delete | EntryKind::Purge => None,
        };
        Some(Entry {
            key,
            holder,
            revision: entry.revision,
        })
    }

    /// Others may take over at once.
    async fn resign(mut self) {
        self.core.resign();
        self.publish(true);
        match tokio::time::timeout(PATIENCE, self.bucket.remove(&subjects::member(&self.id))).await {
            Ok(Ok(())) => info!("gave the partitions back"),
            Ok(Err(error)) => warn!("could not release leases; they expire in {LEASE_TTL:?}: {error}"),
            Err(_) => warn!(
                "could not release leases ({} unreachable); they expire in {LEASE_TTL:?}",
                broker()
            ),
        }
    }
}
