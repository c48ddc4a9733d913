//! The way of telemetry from the request path to the bus: a bounded queue and the task that batches what is in it.
//!
//! The request path never waits. Whatever does not fit is dropped and counted, and the count travels in every batch. A
//! source that keeps its answers itself, as a log file does, waits for room instead.

mod config;
mod filter;
mod link;
mod probe;
mod stats;
#[cfg(test)]
mod tests;
mod unconfirmed;

use std::{
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use secbeat_bus::Bus;
use secbeat_common::{rules::is_error, wire};
use secbeat_daemon::time::now_ms;
use secbeat_edge_core::{Batcher, Identity, Observation, ObservedResponse};
use secbeat_orchestrator_core::stand_in::Seen;
use tokio::sync::mpsc;
use uuid::Uuid;

pub use self::config::DEFAULT_QUEUE;
use self::link::Link;
pub(crate) use self::{
    config::TelemetryConfig,
    filter::TelemetryFilter,
    stats::{Loss, TelemetryStats},
};
use crate::{
    signatures::Signatures,
    spool::{EncodedBatch, Spool, boot_ms},
    stand_in::Tap,
};

/// Answers that the task takes from the queue at a time.
const CHUNK: usize = 256;
/// Answers within [`GATHER`] from which on the task no longer wakes up for each, but looks once every [`GATHER`]: at tens of
/// thousands of answers a second, waking it costs the request path more than all the rest of telemetry.
const BUSY: usize = 16;
const GATHER: Duration = Duration::from_millis(1);

/// The batcher has ended: nothing can be reported any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the telemetry's queue is closed")]
pub struct Closed;

/// Where the sources of telemetry report to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// `None` where telemetry is switched off.
    queue: Option<mpsc::Sender<Observation>>,
    filter: TelemetryFilter,
    signatures: Signatures,
    stats: Arc<TelemetryStats>,
}

/// The other end of [`Recorder`]s.
#[derive(Debug)]
pub struct Queue {
    queue: mpsc::Receiver<Observation>,
    filter: TelemetryFilter,
    stats: Arc<TelemetryStats>,
}

impl Recorder {
    /// A queue of `capacity` answers.
    #[must_use]
    pub fn channel(capacity: NonZeroUsize) -> (Self, Queue) {
        let (sender, receiver) = mpsc::channel(capacity.get());
        let (filter, stats) = (TelemetryFilter::default(), Arc::<TelemetryStats>::default());
        (
            Self {
                queue: Some(sender),
                filter: filter.clone(),
                signatures: Signatures::default(),
                stats: stats.clone(),
            },
            Queue {
                queue: receiver,
                filter,
                stats,
            },
        )
    }

    /// One that reports nothing.
    #[must_use]
    pub fn off() -> Self {
        Self {
            queue: None,
            filter: TelemetryFilter::default(),
            signatures: Signatures::default(),
            stats: Arc::default(),
        }
    }

    /// Reports one answer, or counts it as dropped.
    pub fn record(&self, answer: ObservedResponse<'_>) {
        let Some(queue) = &self.queue else {
            return;
        };
        match queue.try_reserve() {
            Ok(slot) => {
                // Counted first, so that `settled` is never ahead of it.
                self.stats.recorded.fetch_add(1, Relaxed);
                slot.send(self.observe(answer));
            }
            Err(_) => self.stats.lose(Loss::Queue, 1),
        }
    }

    /// Reports one answer, and waits for room while the queue is full. For threads of their own, outside the runtime.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the batcher has ended.
    pub fn record_wait(&self, answer: ObservedResponse<'_>) -> Result<(), Closed> {
        let Some(queue) = &self.queue else {
            return Ok(());
        };
        self.stats.recorded.fetch_add(1, Relaxed);
        queue.blocking_send(self.observe(answer)).map_err(|_| {
            self.stats.recorded.fetch_sub(1, Relaxed);
            Closed
        })
    }

    fn observe(&self, answer: ObservedResponse<'_>) -> Observation {
        if self.filter.matches(&answer) {
            answer.reported()
        } else {
            answer.into()
        }
    }

    /// The signatures that requests are compared with.
    #[must_use]
    pub(crate) const fn signatures(&self) -> &Signatures {
        &self.signatures
    }

    /// Whether the texts of an answer with `status` may matter: of others they may be left empty.
    #[must_use]
    pub fn keeps_text(&self, status: u16) -> bool {
        is_error(status) || self.filter.is_any()
    }

    /// The selection of responses that are reported one by one.
    #[must_use]
    pub fn filter(&self) -> TelemetryFilter {
        self.filter.clone()
    }

    /// Counters of this queue and its task.
    #[must_use]
    pub fn stats(&self) -> Arc<TelemetryStats> {
        self.stats.clone()
    }
}

/// Where encoded batches go.
pub trait Sink: Send {
    /// Takes one batch. Must not block.
    fn publish(&mut self, batch: EncodedBatch);
}

/// Starts telemetry of the upstreams called `upstreams`, which [`ObservedResponse::upstream`] indexes, under a new boot id: the
/// recorder, and the task to spawn. It ends once `shutdown` completes or every recorder is gone, and what was recorded by
/// then is sent or spooled. Switched off, it ends only with `shutdown`.
///
/// # Errors
///
/// When `edge_id` is no subject token, the names are too long for a batch, or no thread can be had for the spool.
pub(crate) fn start(
    edge_id: &str,
    upstreams: Vec<String>,
    config: &TelemetryConfig,
    state_dir: &Path,
    bus: Bus,
    stand_in: Tap,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<(Recorder, BoxFuture<'static, ()>)> {
    let identity = Identity {
        edge_id: edge_id.to_owned(),
        boot_id: Uuid::new_v4(),
        upstreams,
    };
    let batcher = Batcher::new(config.batch(), identity)?;
    if !config.enabled {
        return Ok((Recorder::off(), shutdown.boxed()));
    }
    let (recorder, queue) = Recorder::channel(config.queue);
    let stats = recorder.stats();
    let spool = config
        .spool(state_dir)
        .map(|config| Spool::start(config, stats.clone()))
        .transpose()
        .context("starting the spool's thread")?;
    let (link, outbox) = Link::new(bus, edge_id.to_owned(), config.max_age.0, spool, stats);
    let link = link.held_by(stand_in.hold());
    let batching = TelemetryTask::new(queue, batcher, outbox)
        .shown_to(stand_in)
        .run(shutdown);
    let task = async move {
        tokio::join!(batching, link.run());
    };
    Ok((recorder, task.boxed()))
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
    pace: Pace,
    stand_in: Tap,
}

/// How many answers have come lately.
#[derive(Debug, Default)]
struct Pace {
    since: Duration,
    answers: usize,
}

impl Pace {
    /// Counts `answers` that were taken at `now`. Returns whether it is worth letting more of them gather.
    fn is_busy(&mut self, answers: usize, now: Duration) -> bool {
        if now.saturating_sub(self.since) >= GATHER {
            *self = Self {
                since: now,
                answers: 0,
            };
        }
        self.answers += answers;
        // A full chunk: more wait already.
        self.answers >= BUSY && answers < CHUNK
    }
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
            pace: Pace::default(),
            stand_in: Tap::off(),
        }
    }

    /// Shows each batch to this edge's own detector, too.
    fn shown_to(mut self, stand_in: Tap) -> Self {
        self.stand_in = stand_in;
        self
    }

    /// Batches and sends until `shutdown` completes or every [`Recorder`] is gone; what is queued then is still sent.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut stopping = false;
        let mut busy = false;
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let due = self.batcher.due();
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until((self.start + due).into()).await,
                    None => std::future::pending().await,
                }
            };
            let (queue, gather) = (&mut self.queue.queue, busy && !stopping);
            let taking = async {
                if gather {
                    tokio::time::sleep(GATHER).await;
                }
                queue.recv_many(&mut chunk, CHUNK).await
            };
            tokio::select! {
                biased;
                () = &mut shutdown, if !stopping => {
                    stopping = true;
                    self.queue.queue.close();
                }
                () = timer => self.flush(),
                taken = taking => {
                    if taken == 0 {
                        break;
                    }
                    self.follow_sources();
                    let now = self.now();
                    busy = self.pace.is_busy(taken, now);
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

    /// Sends what was counted by other prefix lengths first.
    fn follow_sources(&mut self) {
        let sources = self.queue.filter.sources();
        if self.batcher.sources() != sources {
            self.flush();
            self.batcher.count_by(sources);
        }
    }

    fn push(&mut self, observation: Observation) {
        let now = self.now();
        if let Err(observation) = self.batcher.push(observation, now) {
            self.flush();
            if self.batcher.push(observation, now).is_err() {
                self.queue.stats.lose(Loss::Queue, 1);
            }
        }
        self.taken += 1;
    }

    fn flush(&mut self) {
        let stats = &self.queue.stats;
        for (partition, batch) in self.batcher.take(self.start.elapsed(), now_ms(), stats.dropped()) {
            let answers = batch.counts.iter().map(|count| u64::from(count.requests)).sum();
            match wire::encode(&batch) {
                Ok(payload) => {
                    let payload = Bytes::from(payload);
                    self.stand_in.see(|| Seen::Telemetry {
                        partition,
                        payload: payload.clone(),
                    });
                    self.sink.publish(EncodedBatch {
                        partition,
                        closed_ms: boot_ms(),
                        answers,
                        payload,
                    });
                }
                Err(error) => {
                    tracing::error!(%error, partition, "a telemetry batch does not encode");
                    stats.lose(Loss::Queue, answers);
                }
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
