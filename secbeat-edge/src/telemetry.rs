//! The way of telemetry from the request path to the bus: a bounded queue and the task that batches what is in it.
//!
//! The request path never waits. Whatever does not fit is dropped and counted, and the count travels in every batch. A
//! source that keeps its answers itself, as a log file does, waits for room instead.

mod config;
mod filter;
mod link;
mod pace;
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
pub(crate) use self::{
    config::TelemetryConfig,
    filter::TelemetryFilter,
    stats::{Loss, TelemetryStats},
};
use self::{link::Link, pace::Pace};
use crate::{
    memory,
    signatures::Signatures,
    spool::{EncodedBatch, Spool, boot_ms},
    stand_in::Tap,
};

/// Answers that the task takes from the queue at a time.
const CHUNK: usize = 256;
/// Answers within [`GATHER`] from which on the task no longer wakes up for each, but looks once every [`GATHER`]: at thousands
/// of answers a second, waking it costs the request path more than all the rest of telemetry.
const BUSY: usize = 4;
/// Answers at a time, after a full [`CHUNK`], that look as if more were to come.
const MANY: usize = 16;
const GATHER: Duration = Duration::from_millis(1);
/// Time that a flush that is due waits while answers come faster than one by one, as those of a log that is written in large
/// pieces. A message costs those who send, keep and read it as much as dozens of answers in it.
const CATCH_UP: Duration = Duration::from_millis(5);
/// How long after answers came so fast, what they took of memory is given back.
const CALM: Duration = Duration::from_secs(1);

/// The batcher has ended: nothing can be reported any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the telemetry's queue is closed")]
pub struct Closed;

/// Receiver of what the sources of telemetry report. Cheap to clone.
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
/// Returns an error if `edge_id` is not a subject token, the names are too long for a batch, or no thread can be had for the
/// spool.
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
    catch_up: Duration,
    stand_in: Tap,
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
            catch_up: CATCH_UP,
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
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let timer = sleep_until(self.start, self.due());
            let calm = sleep_until(self.start, self.pace.calm_at);
            let (queue, gather) = (&mut self.queue.queue, self.pace.is_busy && !stopping);
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
                () = calm => {
                    self.pace.calm_at = None;
                    memory::give_all_back();
                }
                taken = taking => {
                    if taken == 0 {
                        break;
                    }
                    self.follow_sources();
                    self.pace.took(taken, self.now());
                    chunk.drain(..).for_each(|observation| self.push(observation));
                    // The timer's resolution is a millisecond: what is due now does not go by way of it.
                    if self.due().is_some_and(|due| due <= self.now()) {
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

    /// Returns when to flush, unless the batcher is full before. What comes close behind goes along.
    fn due(&self) -> Option<Duration> {
        let catch_up = if self.pace.has_more {
            self.catch_up
        } else {
            Duration::ZERO
        };
        self.batcher.due().map(|due| due + catch_up)
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

/// Waits until so long after `start`; for ever if there is no such time.
async fn sleep_until(start: Instant, at: Option<Duration>) {
    match at {
        Some(at) => tokio::time::sleep_until((start + at).into()).await,
        None => std::future::pending().await,
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
