//! The way of telemetry from the request path to the bus: a bounded queue and the task that batches what is in it.
//!
//! The request path never waits. Whatever does not fit is dropped and counted, and the count travels in every batch. A
//! source that keeps its answers itself, as a log file does, waits for room instead.

#[cfg(test)]
mod tests;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use secbeat_common::{daemon::time::now_ms, subjects, wire};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    batch::{Answer, BatchConfig, BatchError, Batcher, Identity, Observation},
    bus::{Dropped, Publisher},
};

/// Answers that wait for the batcher, unless configured otherwise. Under a tenth of them are ever taken in normal
/// operation; full of errors with the longest texts, they are 60 MB.
pub const DEFAULT_QUEUE: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// Answers that the task takes from the queue at a time.
const CHUNK: usize = 256;

/// What became of the answers, since the start.
#[derive(Debug, Default)]
pub struct TelemetryStats {
    recorded: AtomicU64,
    settled: AtomicU64,
    dropped: AtomicU64,
    batches_sent: AtomicU64,
    events_sent: AtomicU64,
    send_failures: AtomicU64,
}

impl TelemetryStats {
    /// Answers taken in.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Relaxed)
    }

    /// How many of the answers taken in have left, with a batch or as dropped. They leave in the order in which they came:
    /// all that [`recorded`](Self::recorded) had counted at some moment have left once this is as much.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled.load(Relaxed)
    }

    /// Answers lost: the queue was full, or their batch could not be sent.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    #[must_use]
    pub fn batches_sent(&self) -> u64 {
        self.batches_sent.load(Relaxed)
    }

    /// Events in the batches that were sent.
    #[must_use]
    pub fn events_sent(&self) -> u64 {
        self.events_sent.load(Relaxed)
    }

    /// Batches that could not be sent.
    #[must_use]
    pub fn send_failures(&self) -> u64 {
        self.send_failures.load(Relaxed)
    }
}

/// The batcher has ended: nothing can be reported any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the telemetry's queue is closed")]
pub struct Closed;

/// Where the sources of telemetry report to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Observation>,
    stats: Arc<TelemetryStats>,
}

/// The other end of [`Recorder`]s.
#[derive(Debug)]
pub struct Queue {
    queue: mpsc::Receiver<Observation>,
    stats: Arc<TelemetryStats>,
}

impl Recorder {
    /// A queue of `capacity` answers.
    #[must_use]
    pub fn channel(capacity: NonZeroUsize) -> (Self, Queue) {
        let (sender, receiver) = mpsc::channel(capacity.get());
        let stats = Arc::<TelemetryStats>::default();
        (
            Self {
                queue: sender,
                stats: stats.clone(),
            },
            Queue {
                queue: receiver,
                stats,
            },
        )
    }

    /// Reports one answer, or counts it as dropped.
    pub fn record(&self, answer: Answer<'_>) {
        match self.queue.try_reserve() {
            Ok(slot) => {
                // Counted first, so that `settled` is never ahead of it.
                self.stats.recorded.fetch_add(1, Relaxed);
                slot.send(answer.into());
            }
            Err(_) => {
                self.stats.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    /// Reports one answer, and waits for room while the queue is full. For threads of their own, outside the runtime.
    ///
    /// # Errors
    ///
    /// [`Closed`] when nobody takes answers any more.
    pub fn record_wait(&self, answer: Answer<'_>) -> Result<(), Closed> {
        self.stats.recorded.fetch_add(1, Relaxed);
        self.queue.blocking_send(answer.into()).map_err(|_| {
            self.stats.recorded.fetch_sub(1, Relaxed);
            Closed
        })
    }

    /// Counters of this queue and its task.
    #[must_use]
    pub fn stats(&self) -> Arc<TelemetryStats> {
        self.stats.clone()
    }
}

/// Where encoded batches go.
pub trait Sink: Send {
    /// Hands over one encoded [`wire::TelemetryBatch`] of `partition`. Must not block.
    ///
    /// # Errors
    ///
    /// [`Dropped`] when it cannot be sent now; it is not tried again.
    fn publish(&mut self, partition: u16, bytes: Vec<u8>) -> Result<(), Dropped>;
}

/// Publishes what one edge has to say.
struct ToBus {
    edge_id: String,
    publisher: Publisher,
}

impl Sink for ToBus {
    fn publish(&mut self, partition: u16, bytes: Vec<u8>) -> Result<(), Dropped> {
        self.publisher
            .publish(subjects::telemetry(&self.edge_id, partition), bytes)
    }
}

/// Telemetry of the upstreams called `upstreams`, which [`Answer::upstream`] indexes, with the default limits and a new
/// boot id: the recorder, and the task to spawn, which ends once every recorder is gone.
///
/// # Errors
///
/// When `edge_id` is no subject token or the names are too long for a batch.
pub fn start(
    edge_id: &str,
    upstreams: Vec<String>,
    publisher: Publisher,
) -> Result<(Recorder, impl Future<Output = ()> + use<>), BatchError> {
    let identity = Identity {
        edge_id: edge_id.to_owned(),
        boot_id: Uuid::new_v4(),
        upstreams,
    };
    let batcher = Batcher::new(BatchConfig::default(), identity)?;
    let (recorder, queue) = Recorder::channel(DEFAULT_QUEUE);
    let sink = ToBus {
        edge_id: edge_id.to_owned(),
        publisher,
    };
    Ok((
        recorder,
        TelemetryTask::new(queue, batcher, sink).run(std::future::pending()),
    ))
}

/// Owner of the [`Batcher`].
#[derive(Debug)]
pub struct TelemetryTask<S> {
    queue: Queue,
    batcher: Batcher,
    sink: S,
    start: Instant,
    /// Answers taken from the queue.
    taken: u64,
}

impl<S: Sink> TelemetryTask<S> {
    #[must_use]
    pub fn new(queue: Queue, batcher: Batcher, sink: S) -> Self {
        Self {
            queue,
            batcher,
            sink,
            start: Instant::now(),
            taken: 0,
        }
    }

    /// Batches and sends until `shutdown` completes or every [`Recorder`] is gone; what is queued then is still sent.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut stopping = false;
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let due = self.batcher.due();
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until((self.start + due).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut shutdown, if !stopping => {
                    stopping = true;
                    self.queue.queue.close();
                }
                () = timer => self.flush(),
                taken = self.queue.queue.recv_many(&mut chunk, CHUNK) => {
                    if taken == 0 {
                        break;
                    }
                    chunk.drain(..).for_each(|observation| self.push(observation));
                    // The timer's resolution is a millisecond: what is due now does not go by way of it.
                    if self.batcher.due().is_some_and(|due| due <= self.now()) {
                        self.flush();
                    }
                }
            }
        }
        self.flush();
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn push(&mut self, observation: Observation) {
        let now = self.now();
        if let Err(observation) = self.batcher.push(observation, now) {
            self.flush();
            if self.batcher.push(observation, now).is_err() {
                self.queue.stats.dropped.fetch_add(1, Relaxed);
            }
        }
        self.taken += 1;
    }

    fn flush(&mut self) {
        let stats = &self.queue.stats;
        for (partition, batch) in self.batcher.take(self.start.elapsed(), now_ms(), stats.dropped()) {
            let sent = wire::encode(&batch).map_err(|error| {
                tracing::error!(%error, partition, "a telemetry batch does not encode");
                Dropped
            });
            if sent.and_then(|bytes| self.sink.publish(partition, bytes)).is_ok() {
                stats.batches_sent.fetch_add(1, Relaxed);
                stats.events_sent.fetch_add(batch.events.len() as u64, Relaxed);
            } else {
                let lost = batch.counts.iter().map(|count| u64::from(count.requests)).sum();
                stats.send_failures.fetch_add(1, Relaxed);
                stats.dropped.fetch_add(lost, Relaxed);
            }
        }
        stats.settled.store(self.taken, Relaxed);
    }
}

#[cfg(test)]
impl Queue {
    pub(crate) async fn next(&mut self) -> Observation {
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, self.queue.recv())
            .await
            .expect("nothing is recorded")
            .unwrap()
    }

    pub(crate) fn try_next(&mut self) -> Option<Observation> {
        self.queue.try_recv().ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
