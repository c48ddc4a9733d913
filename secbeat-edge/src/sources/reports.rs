//! Events that logs report beside telemetry, on their way to the bus: of firewalls and of services.
//!
//! The readers of logs follow the files and wait when the queue is full; a task sends what is in it at once, and what
//! comes within the next [`LINGER`] together. While the bus is away, the latest [`BACKLOG`] events wait here, and this edge's own
//! detector sees them; each batch says when it was sent, so that events are as old as they are.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use secbeat_bus::Bus;
use secbeat_common::wire::{self, Message};
use secbeat_daemon::time::now_ms;
use secbeat_orchestrator_core::stand_in::Seen;
use tokio::sync::mpsc;
use tracing::error;
use uuid::Uuid;

use super::access_log::Progress;
use crate::{
    bus::{Dropped, Publisher},
    stand_in::Tap,
    telemetry::Closed,
};

/// An event that is reported in batches.
pub(crate) trait Reported: Clone + Send + Sized + 'static {
    type Batch: Message + Send;
    /// Most of them in a batch.
    const MOST: usize;

    fn batch(head: BatchHead, events: Vec<Self>) -> Self::Batch;
    /// Returns how this edge's own detector is shown a batch.
    fn shown(batch: Self::Batch) -> Seen;
    /// Returns where `edge_id` publishes batches.
    fn subject(edge_id: &str) -> String;
}

/// What each batch says of itself.
pub(crate) struct BatchHead {
    pub(crate) edge_id: String,
    pub(crate) boot_id: Uuid,
    pub(crate) sequence: u64,
    pub(crate) sent_at_ms: i64,
    pub(crate) dropped_before: u64,
}

/// Batches of events that may wait to be sent.
const QUEUE: usize = 4;
/// Events that wait for a bus that is away; the oldest go first.
const BACKLOG: usize = 16 * 1024;
/// From one batch to the next, at least.
pub(super) const LINGER: Duration = Duration::from_millis(20);
/// Interval at which a bus that is away is looked for.
pub(super) const RETRY: Duration = Duration::from_millis(100);

/// What became of the events, since the start.
#[derive(Debug, Default)]
pub(crate) struct EventStats {
    recorded: AtomicU64,
    settled: AtomicU64,
    dropped: AtomicU64,
}

impl EventStats {
    /// Events taken in.
    #[must_use]
    pub(crate) fn recorded(&self) -> u64 {
        self.recorded.load(Relaxed)
    }

    /// Events lost because their batch could not be sent.
    #[must_use]
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

impl Progress for EventStats {
    fn recorded(&self) -> u64 {
        self.recorded()
    }

    fn settled(&self) -> u64 {
        self.settled.load(Relaxed)
    }
}

/// Receiver of what the readers of logs report. Cheap to clone.
#[derive(Debug)]
pub(crate) struct EventRecorder<E> {
    pub(super) queue: mpsc::Sender<E>,
    pub(super) stats: Arc<EventStats>,
}

impl<E> Clone for EventRecorder<E> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            stats: self.stats.clone(),
        }
    }
}

impl<E> EventRecorder<E> {
    /// Reports one event, and waits for room while the queue is full. For threads of their own, outside the runtime.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the receiver is gone.
    pub(crate) fn record_wait(&self, event: E) -> Result<(), Closed> {
        // Counted first, so that `settled` is never ahead of it.
        self.stats.recorded.fetch_add(1, Relaxed);
        self.queue.blocking_send(event).map_err(|_| {
            self.stats.recorded.fetch_sub(1, Relaxed);
            Closed
        })
    }

    /// Counters of this queue and its task.
    #[must_use]
    pub(crate) fn stats(&self) -> Arc<EventStats> {
        self.stats.clone()
    }
}

/// Where encoded batches go.
pub(super) trait Sink: Send {
    /// Whether it is any use to send now.
    fn is_ready(&self) -> bool;

    /// # Errors
    ///
    /// [`Dropped`] when the batch cannot be sent; it is not tried again.
    fn publish(&mut self, bytes: Vec<u8>) -> Result<(), Dropped>;
}

struct ToBus {
    subject: String,
    bus: Bus,
    publisher: Publisher,
}

impl Sink for ToBus {
    fn is_ready(&self) -> bool {
        self.bus.is_connected()
    }

    fn publish(&mut self, bytes: Vec<u8>) -> Result<(), Dropped> {
        self.publisher.publish(self.subject.clone(), bytes)
    }
}

/// The recorder of this edge, and the task to spawn, which ends once every recorder is gone.
pub(crate) fn start<E: Reported>(
    edge_id: &str,
    bus: Bus,
    publisher: Publisher,
    stand_in: Tap,
) -> (EventRecorder<E>, impl Future<Output = ()> + use<E>) {
    let (queue, events) = mpsc::channel(QUEUE * E::MOST);
    let stats = Arc::<EventStats>::default();
    let bus = ToBus {
        subject: E::subject(edge_id),
        bus,
        publisher,
    };
    let task = send_all(edge_id.to_owned(), events, stats.clone(), bus, stand_in);
    (EventRecorder { queue, stats }, task)
}

pub(super) async fn send_all<E: Reported>(
    edge_id: String,
    mut queue: mpsc::Receiver<E>,
    stats: Arc<EventStats>,
    mut sink: impl Sink,
    stand_in: Tap,
) {
    let boot_id = Uuid::new_v4();
    let head = |sequence, dropped_before| BatchHead {
        edge_id: edge_id.clone(),
        boot_id,
        sequence,
        sent_at_ms: now_ms(),
        dropped_before,
    };
    let mut backlog = VecDeque::new();
    let mut fresh = Vec::new();
    let (mut sequence, mut shown) = (0, 0);
    loop {
        tokio::select! {
            taken = queue.recv_many(&mut fresh, E::MOST) => match taken {
                // What was not sent counts as unread, and its log is read again.
                0 => return,
                _ => {
                    stand_in.see(|| E::shown(E::batch(head(shown, 0), fresh.clone())));
                    shown += 1;
                    backlog.extend(fresh.drain(..));
                }
            },
            () = tokio::time::sleep(RETRY), if !backlog.is_empty() => {}
        }
        while sink.is_ready() && !backlog.is_empty() {
            let events: Vec<E> = backlog.drain(..backlog.len().min(E::MOST)).collect();
            let count = events.len() as u64;
            let batch = E::batch(head(sequence, stats.dropped()), events);
            sequence += 1;
            let sent = wire::encode(&batch).map_err(|error| {
                error!(%error, "a batch of events does not encode");
                Dropped
            });
            if sent.and_then(|bytes| sink.publish(bytes)).is_err() {
                stats.dropped.fetch_add(count, Relaxed);
            }
            stats.settled.fetch_add(count, Relaxed);
            tokio::time::sleep(LINGER).await;
        }
        let excess = backlog.len().saturating_sub(BACKLOG);
        if excess > 0 {
            backlog.drain(..excess);
            stats.dropped.fetch_add(excess as u64, Relaxed);
            stats.settled.fetch_add(excess as u64, Relaxed);
        }
    }
}
