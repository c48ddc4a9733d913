//! The edge's side of the bus: what it publishes never blocks it, and what it watches ends up in the enforcer.

mod wanted;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use async_nats::jetstream::{
    self,
    kv::{Entry, Operation},
};
use bytes::Bytes;
use futures::StreamExt as _;
use secbeat_common::{
    daemon::{bus::Bus, config::NatsUrl, garbage::Garbage},
    fence::Fence,
    prefix::Prefix,
    subjects,
    wire::{self, BlockCommand},
};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

pub use self::wanted::watch_wanted;
use crate::enforcer::{Delivery, DeliveryMode, Order};

/// Messages that may wait to be published.
const QUEUE: usize = 8192;
/// Pause before the watch is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How long the server may take between two entries of a snapshot.
const PATIENCE: Duration = Duration::from_secs(5);

/// The queue is full or NATS is away: the message is lost, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message was dropped")]
pub struct Dropped;

/// Publishes without ever waiting.
#[derive(Clone, Debug)]
pub struct Publisher {
    queue: mpsc::Sender<(String, Bytes)>,
    lost: Arc<AtomicU64>,
}

impl Publisher {
    /// A publisher and the task that feeds the connection; it ends with the last publisher.
    pub fn new(bus: Bus) -> (Self, impl Future<Output = ()>) {
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
    pub fn publish(&self, subject: String, payload: Vec<u8>) -> Result<(), Dropped> {
        self.queue.try_send((subject, payload.into())).map_err(|_| {
            self.lost.fetch_add(1, Ordering::Relaxed);
            Dropped
        })
    }

    /// Messages lost so far, while NATS was away or too slow.
    #[must_use]
    pub fn lost(&self) -> u64 {
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

/// Follows the bans bucket for ever and hands everything to the enforcer: after each connection a snapshot, then updates.
///
/// # Errors
///
/// Only when the server is too old to work with.
pub async fn watch_bans(
    mut bus: Bus,
    url: NatsUrl,
    orders: mpsc::Sender<Order>,
    garbage: Arc<Garbage>,
) -> anyhow::Result<()> {
    let mut connection = 0;
    let mut trusted = None;
    let mut fence = Fence::default();
    loop {
        connection = bus.connection_after(connection).await;
        bus.require_supported(&url)?;
        let mut patience = Patience::default();
        loop {
            let mut watched = bus.clone();
            let outcome = tokio::select! {
                outcome = follow(&bus, &orders, &garbage, &mut trusted, &mut fence) => outcome,
                _ = watched.connection_after(connection) => break,
            };
            if orders.is_closed() {
                return Ok(());
            }
            if let Err(error) = outcome {
                patience.complain(&error);
            }
            tokio::time::sleep(RETRY).await;
        }
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

async fn follow(
    bus: &Bus,
    orders: &mpsc::Sender<Order>,
    garbage: &Garbage,
    trusted: &mut Option<i128>,
    fence: &mut Fence,
) -> anyhow::Result<()> {
    let context = jetstream::new(bus.client.clone());
    let bucket = context
        .get_key_value(subjects::BANS_BUCKET)
        .await
        .context("opening the bans bucket")?;
    let status = bucket
        .status()
        .await
        .context("reading the bans bucket's status")?;
    let made = status.info.created.unix_timestamp_nanos();
    // A bucket that was made anew has forgotten bans that nobody lifted: what it does not hold says nothing.
    let says_all = trusted.is_none_or(|trusted| trusted == made);
    if !says_all {
        warn!("the bans bucket was made anew: bans stay until they end or are lifted again");
        // Its revisions begin again.
        *fence = Fence::default();
    }
    let mut watch = bucket
        .watch_with_history(">")
        .await
        .context("watching the bans bucket")?;
    let mut present = HashSet::new();
    let mut reading = status.values() > 0;
    while reading {
        let entry = tokio::time::timeout(PATIENCE, watch.next())
            .await
            .context("the bans bucket fell silent")?;
        let entry = entry
            .context("the watch of the bans bucket ended")?
            .context("reading the bans bucket")?;
        reading = entry.delta > 0;
        // A ban that this release cannot read is present all the same.
        if entry.operation == Operation::Put {
            present.extend(Prefix::from_key(&entry.key).ok());
        }
        take(orders, &entry, DeliveryMode::Snapshot, fence, garbage).await?;
    }
    if says_all {
        info!(bans = present.len(), "read the fleet's bans");
        send(orders, Order::SnapshotDone(present)).await?;
        *trusted = Some(made);
    }
    while let Some(entry) = watch.next().await {
        let entry = entry.context("reading the bans bucket")?;
        take(orders, &entry, DeliveryMode::Live, fence, garbage).await?;
    }
    anyhow::bail!("the watch of the bans bucket ended")
}

async fn take(
    orders: &mpsc::Sender<Order>,
    entry: &Entry,
    mode: DeliveryMode,
    fence: &mut Fence,
    garbage: &Garbage,
) -> anyhow::Result<()> {
    match order_of(entry, mode, fence, garbage) {
        Some(order) => send(orders, order).await,
        None => Ok(()),
    }
}

async fn send(orders: &mpsc::Sender<Order>, order: Order) -> anyhow::Result<()> {
    orders
        .send(order)
        .await
        .map_err(|_| anyhow::anyhow!("the enforcer has ended"))
}

fn order_of(entry: &Entry, mode: DeliveryMode, fence: &mut Fence, garbage: &Garbage) -> Option<Order> {
    let target = Prefix::from_key(&entry.key)
        .map_err(|error| garbage.report(&entry.key, "a ban", &error))
        .ok()?;
    let delivery = Delivery {
        revision: entry.revision,
        mode,
        stale: false,
    };
    match entry.operation {
        Operation::Delete | Operation::Purge => Some(Order::Withdrawn(target, delivery)),
        Operation::Put => match wire::decode::<BlockCommand>(&entry.value) {
            Ok(command) if command.target == target => {
                let delivery = Delivery {
                    stale: !fence.admits(&command, entry.revision),
                    ..delivery
                };
                Some(Order::Command(Box::new(command), delivery))
            }
            Ok(command) => {
                garbage.report(
                    &entry.key,
                    "a ban",
                    &format!("a command against {} under the key of {target}", command.target),
                );
                None
            }
            Err(error) => {
                garbage.report(&entry.key, "a ban", &error);
                None
            }
        },
    }
}
