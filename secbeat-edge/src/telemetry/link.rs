//! The last stretch to the bus: what can be sent is sent, and what cannot waits in the spool.
//!
//! The bus is *up* for telemetry while a probe, once a second, finds NATS connected and the telemetry stream there: after
//! a restart of NATS the orchestrator has to make that stream again, and what is published before is kept by nobody.
//!
//! A publication is not acknowledged, so what was published stays in memory until a later probe succeeded, and
//! [`HOLD`](super::unconfirmed::HOLD) longer. When the bus breaks first it goes to the spool as well, and is sent again afterwards; the orchestrator
//! tells by the sequences which batches it has had.
//!
//! Live telemetry goes first. What comes from the spool is paced, so that neither NATS nor the orchestrator drowns in it.

#[cfg(test)]
mod tests;

use std::{
    future::pending,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use secbeat_bus::{Bus, broker::broker};
use secbeat_common::{
    subjects,
    wire::{self, LateBatch},
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tracing::{debug, info};

use super::{
    Loss, Sink, TelemetryStats,
    probe::{Up, probe},
    unconfirmed::{OVERHEAD, Unconfirmed},
};
use crate::spool::{EncodedBatch, Spool, boot_ms};

/// Batches that may wait for the link.
const QUEUE: usize = 4096;
/// Bytes of batches that may wait for the link.
const QUEUE_BYTES: usize = 32 * 1024 * 1024;
/// Time that one publication may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes a second that come from the spool.
const LATE_BYTES_PER_SECOND: f64 = 8.0 * 1024.0 * 1024.0;
/// How far ahead of its pace the spool may be: timers are not finer than a millisecond.
const LATE_BURST: Duration = Duration::from_millis(10);

/// The batcher's end.
#[derive(Debug)]
pub(super) struct Outbox {
    // Dropped first: anyone who sees the queue's end shall be the last who has the spool.
    spool: Option<Arc<Spool>>,
    queue: mpsc::Sender<EncodedBatch>,
    waiting: Arc<AtomicUsize>,
    stats: Arc<TelemetryStats>,
}

impl Sink for Outbox {
    fn publish(&mut self, batch: EncodedBatch) {
        let bytes = batch.payload.len();
        let before = self.waiting.fetch_add(bytes, Relaxed);
        let refused = if before + bytes > QUEUE_BYTES {
            Some(batch)
        } else {
            self.queue
                .try_send(batch)
                .err()
                .map(mpsc::error::TrySendError::into_inner)
        };
        if let Some(batch) = refused {
            self.waiting.fetch_sub(bytes, Relaxed);
            put_aside(self.spool.as_deref(), &self.stats, batch);
        }
    }
}

/// Spools `batch`, or counts it as lost where there is no spool.
fn put_aside(spool: Option<&Spool>, stats: &TelemetryStats, batch: EncodedBatch) {
    match spool {
        Some(spool) => spool.put(batch),
        None => stats.lose(Loss::Bus, batch.answers),
    }
}

/// A batch on its way out of the spool.
type Late = Pin<Box<dyn Future<Output = Option<EncodedBatch>> + Send>>;

/// Owner of what leaves. See the [module](self).
pub(super) struct Link {
    bus: Bus,
    edge_id: String,
    max_age: Duration,
    queue: mpsc::Receiver<EncodedBatch>,
    waiting: Arc<AtomicUsize>,
    spool: Option<Arc<Spool>>,
    stats: Arc<TelemetryStats>,
    probed: watch::Receiver<Option<Up>>,
    up: Option<Up>,
    unconfirmed: Unconfirmed,
    late: Option<Late>,
    /// Time at which the batches that left the spool so far will have been paid for.
    late_paid: Instant,
    /// Nothing leaves the spool while this says so.
    held: Arc<AtomicBool>,
}

impl Link {
    /// The link of `edge_id` over `bus`, and the batcher's end of it. Starts the probe, which ends with the link.
    pub(super) fn new(
        bus: Bus,
        edge_id: String,
        max_age: Duration,
        spool: Option<Spool>,
        stats: Arc<TelemetryStats>,
    ) -> (Self, Outbox) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let waiting = Arc::<AtomicUsize>::default();
        let spool = spool.map(Arc::new);
        let (tell, probed) = watch::channel(None);
        tokio::spawn(probe(bus.clone(), tell));
        let outbox = Outbox {
            queue: sender,
            waiting: waiting.clone(),
            spool: spool.clone(),
            stats: stats.clone(),
        };
        let link = Self {
            unconfirmed: Unconfirmed::on(&bus),
            bus,
            edge_id,
            max_age,
            queue,
            waiting,
            spool,
            stats,
            probed,
            up: None,
            late: None,
            late_paid: Instant::now(),
            held: Arc::default(),
        };
        (link, outbox)
    }

    /// Lets nothing leave the spool while `held` says so.
    pub(super) fn held_by(self, held: Arc<AtomicBool>) -> Self {
        Self { held, ..self }
    }

    /// Sends until the [`Outbox`] is gone; what cannot be sent by then is spooled.
    pub(super) async fn run(mut self) {
        loop {
            self.ask_spool();
            tokio::select! {
                biased;
                changed = self.probed.changed() => match changed {
                    Ok(()) => self.take_probe(),
                    Err(_) => break,
                },
                batch = self.queue.recv() => match batch {
                    Some(batch) => {
                        self.waiting.fetch_sub(batch.payload.len(), Relaxed);
                        self.send_live(batch).await;
                    }
                    None => break,
                },
                batch = next(&mut self.late) => {
                    self.late = None;
                    if let Some(batch) = batch {
                        self.send_late(batch).await;
                    }
                }
            }
        }
        // The server reads what is in the socket even after this process is gone.
        let flushed =
            self.is_up() && matches!(tokio::time::timeout(PATIENCE, self.bus.flush()).await, Ok(Ok(())));
        if !flushed {
            self.lost_the_bus();
        }
        if let Some(late) = self.late.take()
            && let Some(batch) = late.await
        {
            self.put_aside(batch);
        }
        if let Some(spool) = self.spool.take().and_then(Arc::into_inner) {
            let _ = tokio::task::spawn_blocking(|| spool.finish()).await;
        }
    }

    /// Whether telemetry that is published now is kept.
    fn is_up(&self) -> bool {
        self.up
            .is_some_and(|up| self.bus.is_connected() && up.connection == self.bus.connection())
    }

    fn take_probe(&mut self) {
        let now = *self.probed.borrow_and_update();
        let before = std::mem::replace(&mut self.up, now);
        self.stats.is_taken.store(now.is_some(), Relaxed);
        if let Some((before, now)) = before.zip(now)
            && before.connection == now.connection
            && before.log == now.log
        {
            return self.unconfirmed.confirm(now.asked);
        }
        if before.is_some() {
            self.lost_the_bus();
        }
        if now.is_some() {
            info!(
                spooled = self.stats.spool().batches(),
                "{} takes telemetry",
                broker()
            );
        }
    }

    /// What the bus may not have had waits until it is back.
    fn lost_the_bus(&mut self) {
        let batches = self.unconfirmed.take();
        debug!(batches = batches.len(), "the bus may not have had these");
        // Without a spool there is nothing to be done, and most of it has arrived.
        if let Some(spool) = &self.spool {
            self.stats.batches_resent.fetch_add(batches.len() as u64, Relaxed);
            batches.for_each(|batch| spool.put(batch));
        }
    }

    fn put_aside(&self, batch: EncodedBatch) {
        put_aside(self.spool.as_deref(), &self.stats, batch);
    }

    async fn send_live(&mut self, batch: EncodedBatch) {
        let subject = subjects::telemetry(&self.edge_id, batch.partition);
        let payload = batch.payload.clone();
        if self.is_up() && self.publish(subject, payload).await {
            self.remember(batch);
        } else {
            self.put_aside(batch);
        }
    }

    async fn send_late(&mut self, batch: EncodedBatch) {
        let bytes = u32::try_from(batch.payload.len() + OVERHEAD).unwrap_or(u32::MAX);
        let cost = Duration::from_secs(1).mul_f64(f64::from(bytes) / LATE_BYTES_PER_SECOND);
        self.late_paid = self.late_paid.max(Instant::now()) + cost;
        if !self.is_up() {
            return self.put_aside(batch);
        }
        let age_ms = boot_ms().saturating_sub(batch.closed_ms);
        if u128::from(age_ms) > self.max_age.as_millis() {
            return self.stats.lose(Loss::TooOld, batch.answers);
        }
        let late = wire::decode(&batch.payload).and_then(|telemetry| {
            wire::encode(&LateBatch {
                age_ms,
                batch: telemetry,
            })
        });
        let payload = match late {
            Ok(payload) => payload,
            Err(error) => {
                debug!(%error, "a batch of another release lay in the spool");
                return self.stats.lose(Loss::Disk, batch.answers);
            }
        };
        let subject = subjects::late_telemetry(&self.edge_id, batch.partition);
        if self.publish(subject, payload.into()).await {
            self.stats.batches_late.fetch_add(1, Relaxed);
            self.remember(batch);
        } else {
            self.put_aside(batch);
        }
    }

    async fn publish(&mut self, subject: String, payload: Bytes) -> bool {
        match tokio::time::timeout(PATIENCE, self.bus.publish(subject, payload)).await {
            Ok(Ok(())) => {
                self.stats.batches_sent.fetch_add(1, Relaxed);
                true
            }
            failed => {
                debug!(?failed, "publishing telemetry failed");
                // Until a probe succeeds again.
                self.up = None;
                self.lost_the_bus();
                false
            }
        }
    }

    fn remember(&mut self, batch: EncodedBatch) {
        if self.spool.is_some() {
            self.unconfirmed.push(batch);
        }
    }

    /// Asks the spool for its oldest batch, when it may be sent.
    fn ask_spool(&mut self) {
        if self.late.is_some()
            || self.held.load(Relaxed)
            || !self.is_up()
            || self.stats.spool().batches() == 0
        {
            return;
        }
        let Some(spool) = self.spool.clone() else {
            return;
        };
        let wait = self
            .late_paid
            .saturating_duration_since(Instant::now())
            .saturating_sub(LATE_BURST);
        self.late = Some(Box::pin(async move {
            tokio::time::sleep(wait).await;
            spool.next().await
        }));
    }
}

async fn next(late: &mut Option<Late>) -> Option<EncodedBatch> {
    match late {
        Some(late) => late.await,
        None => pending().await,
    }
}
