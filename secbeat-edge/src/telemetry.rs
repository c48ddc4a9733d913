//! From the request path to the bus: a queue that never makes a request wait, and the task that batches what is in it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use secbeat_common::{daemon::time::now_ms, subjects, wire};
use tokio::{sync::mpsc, time::Instant};
use tracing::error;
use uuid::Uuid;

use crate::{
    batch::{Answer, Batcher, Limits},
    bus::Publisher,
};

/// Answers that may wait to be batched.
const QUEUE: usize = 65_536;

/// What became of the answers.
#[derive(Debug, Default)]
pub struct TelemetryStats {
    recorded: AtomicU64,
    dropped: AtomicU64,
    batches_sent: AtomicU64,
}

impl TelemetryStats {
    /// Answers taken in.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Answers that found the queue full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Batches handed to the bus.
    #[must_use]
    pub fn batches_sent(&self) -> u64 {
        self.batches_sent.load(Ordering::Relaxed)
    }
}

/// Where the request path leaves its answers.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Answer>,
    stats: Arc<TelemetryStats>,
}

impl Recorder {
    /// A recorder, and the queue that it fills, of `capacity` answers.
    #[must_use]
    pub fn new(capacity: usize) -> (Self, mpsc::Receiver<Answer>) {
        let (queue, waiting) = mpsc::channel(capacity);
        (Self { queue, stats: Arc::default() }, waiting)
    }

    /// Leaves an answer; never waits. A full queue drops it, and counts.
    pub fn record(&self, answer: Answer) {
        let counter = match self.queue.try_send(answer) {
            Ok(()) => &self.stats.recorded,
            Err(_) => &self.stats.dropped,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts, shared.
    #[must_use]
    pub fn stats(&self) -> Arc<TelemetryStats> {
        self.stats.clone()
    }
}

/// A recorder, and the task that batches and publishes what it records; it ends with the last recorder.
pub fn start(edge_id: &str, upstream: &str, publisher: Publisher) -> (Recorder, impl Future<Output = ()> + use<>) {
    let (recorder, waiting) = Recorder::new(QUEUE);
    let batcher =
        Batcher::new(Limits::default(), edge_id.to_owned(), Uuid::new_v4(), vec![wire::cut(upstream).to_owned()]);
    let shipper = Shipper { edge_id: edge_id.to_owned(), batcher, publisher, stats: recorder.stats() };
    (recorder, shipper.run(waiting))
}

struct Shipper {
    edge_id: String,
    batcher: Batcher,
    publisher: Publisher,
    stats: Arc<TelemetryStats>,
}

impl Shipper {
    async fn run(mut self, mut waiting: mpsc::Receiver<Answer>) {
        let start = Instant::now();
        loop {
            let due = self.batcher.due().map(|due| start + due);
            tokio::select! {
                answer = waiting.recv() => {
                    let Some(answer) = answer else { break };
                    self.batcher.push(&answer, start.elapsed());
                }
                () = sleep_until(due) => {}
            }
            let now = start.elapsed();
            if self.batcher.due().is_some_and(|due| due <= now) {
                self.ship(now);
            }
        }
        self.ship(start.elapsed());
    }

    fn ship(&mut self, now: Duration) {
        for (partition, batch) in self.batcher.take(now, now_ms(), self.stats.dropped()) {
            match wire::encode(&batch) {
                Ok(bytes) => {
                    let sent = self.publisher.publish(subjects::telemetry(&self.edge_id, partition), bytes);
                    self.stats.batches_sent.fetch_add(u64::from(sent.is_ok()), Ordering::Relaxed);
                }
                Err(error) => error!(%error, "encoding telemetry"),
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
