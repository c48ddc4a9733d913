//! Events of web application firewalls, from their audit logs to the bus.
//!
//! The readers of access logs follow the files and wait when the queue is full; a task sends what is in it at once, and what
//! comes within the next [`LINGER`] together. While the bus is away nothing is taken from the queue: a log keeps its lines
//! itself, and each batch says when it was sent, so that events are as old as they are.

mod config;
#[cfg(test)]
mod tests;

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jiff::tz::TimeZone;
use secbeat_bus::Bus;
use secbeat_common::{
    subjects,
    wire::{self, LearnedFrom, MAX_WAF_EVENTS, WafBatch, WafEvent},
};
use secbeat_daemon::time::{from_wall_ms, now_ms};
use secbeat_logs::{OpenLines, Piece, waf::WafFormat};
use tokio::sync::mpsc;
use tracing::error;
use uuid::Uuid;

pub(crate) use self::config::{WafLogConfig, check};
use super::access_log::{Place, Progress, Reading, Source, Taken};
use crate::{
    bus::{Dropped, Publisher},
    telemetry::Closed,
};

/// Events that may wait to be sent.
const QUEUE: usize = 4 * MAX_WAF_EVENTS;
/// From one batch to the next, at least.
const LINGER: Duration = Duration::from_millis(20);
/// How often a bus that is away is looked for.
const RETRY: Duration = Duration::from_millis(100);

/// What became of the events, since the start.
#[derive(Debug, Default)]
pub struct WafStats {
    recorded: AtomicU64,
    settled: AtomicU64,
    dropped: AtomicU64,
}

impl WafStats {
    /// Events taken in.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Relaxed)
    }

    /// Events lost because their batch could not be sent.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

impl Progress for WafStats {
    fn recorded(&self) -> u64 {
        self.recorded()
    }

    fn settled(&self) -> u64 {
        self.settled.load(Relaxed)
    }
}

/// Where the readers of audit logs report to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WafRecorder {
    queue: mpsc::Sender<WafEvent>,
    stats: Arc<WafStats>,
}

impl WafRecorder {
    /// Reports one event, and waits for room while the queue is full. For threads of their own, outside the runtime.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the receiver is gone.
    pub fn record_wait(&self, event: WafEvent) -> Result<(), Closed> {
        // Counted first, so that `settled` is never ahead of it.
        self.stats.recorded.fetch_add(1, Relaxed);
        self.queue.blocking_send(event).map_err(|_| {
            self.stats.recorded.fetch_sub(1, Relaxed);
            Closed
        })
    }

    /// Counters of this queue and its task.
    #[must_use]
    pub fn stats(&self) -> Arc<WafStats> {
        self.stats.clone()
    }
}

/// Where encoded batches go.
trait Sink: Send {
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
pub(crate) fn start(
    edge_id: &str,
    bus: Bus,
    publisher: Publisher,
) -> (WafRecorder, impl Future<Output = ()> + use<>) {
    let (queue, events) = mpsc::channel(QUEUE);
    let stats = Arc::<WafStats>::default();
    let bus = ToBus {
        subject: subjects::waf_events(edge_id),
        bus,
        publisher,
    };
    let task = send_all(edge_id.to_owned(), events, stats.clone(), bus);
    (WafRecorder { queue, stats }, task)
}

async fn send_all(
    edge_id: String,
    mut queue: mpsc::Receiver<WafEvent>,
    stats: Arc<WafStats>,
    mut sink: impl Sink,
) {
    let boot_id = Uuid::new_v4();
    let mut events = Vec::new();
    let mut sequence = 0;
    loop {
        while !sink.is_ready() {
            tokio::time::sleep(RETRY).await;
        }
        if queue.recv_many(&mut events, MAX_WAF_EVENTS).await == 0 {
            return;
        }
        let batch = WafBatch {
            edge_id: edge_id.clone(),
            boot_id,
            sequence,
            sent_at_ms: now_ms(),
            dropped_before: stats.dropped(),
            events: mem::take(&mut events),
        };
        sequence += 1;
        let sent = wire::encode(&batch).map_err(|error| {
            error!(%error, "a batch of WAF events does not encode");
            Dropped
        });
        let count = batch.events.len() as u64;
        if sent.and_then(|bytes| sink.publish(bytes)).is_err() {
            stats.dropped.fetch_add(count, Relaxed);
        }
        stats.settled.fetch_add(count, Relaxed);
        tokio::time::sleep(LINGER).await;
    }
}

/// Lines of an audit log, which are transactions.
struct Transactions {
    format: WafFormat,
    learned_from: LearnedFrom,
    zone: TimeZone,
    recorder: WafRecorder,
}

impl Reading for Transactions {
    fn take(&mut self, piece: Piece<'_>, _: &mut OpenLines, oldest_ms: Option<i64>) -> Result<Taken, Closed> {
        let line = match piece {
            Piece::Line(line) => line,
            Piece::Begin(_) => return Ok(Taken::TooLong),
            Piece::More(_) | Piece::End(_) => return Ok(Taken::Incomplete),
        };
        match self.format.parse(line, self.learned_from, &self.zone) {
            Ok(Some(event)) if oldest_ms.is_some_and(|oldest_ms| event.at_ms < oldest_ms) => {
                Ok(Taken::TooOld)
            }
            Ok(Some(event)) => {
                let at_ms = event.at_ms;
                self.recorder.record_wait(WafEvent {
                    at_ms: from_wall_ms(at_ms),
                    ..event
                })?;
                Ok(Taken::Reported { at_ms: Some(at_ms) })
            }
            // An entry in which no rule matched.
            Ok(None) => Ok(Taken::Reported { at_ms: None }),
            Err(error) => Ok(Taken::NotUnderstood(Box::new(error))),
        }
    }
}

impl WafLogConfig {
    /// What this entry asks for.
    #[must_use]
    pub fn source(&self, recorder: &WafRecorder) -> Source {
        let place = Place::Files(self.path.clone());
        Source {
            name: self.name.clone().unwrap_or_else(|| place.to_string()),
            place,
            format: self.format.to_string(),
            start: self.start,
            max_age: self.max_age.0,
            zone: None,
            reading: Box::new(Transactions {
                format: self.format,
                learned_from: self.client.into(),
                zone: TimeZone::system(),
                recorder: recorder.clone(),
            }),
            progress: recorder.stats(),
        }
    }
}
