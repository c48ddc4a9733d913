//! Writes audit records, each until the bus has it, and tells who waits for that.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use secbeat_bus::AuditLog;
use secbeat_common::wire::AuditRecord;
use secbeat_orchestrator_core::writer::{BATCH, Urgency};
use tokio::sync::mpsc;
use tracing::debug;

/// Pause before the first retry; each further one is twice as long, up to [`LAST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// Longest pause before a retry.
const LAST_RETRY: Duration = Duration::from_secs(2);

/// Records that may wait for the bus: those of a large import.
const QUEUE: usize = 100_000;

/// Where audit records go. Those of each [`Urgency`] are written in their order.
#[derive(Clone, Debug)]
pub(crate) struct Auditor {
    now: mpsc::Sender<Audited>,
    bulk: mpsc::Sender<Audited>,
    lost: Arc<AtomicU64>,
    /// Whether the bus did not take the latest records of [`Urgency::Now`].
    is_blocked: Arc<AtomicBool>,
}

/// What comes in its turn.
enum Audited {
    Record(Box<AuditRecord>),
    /// To be done once the bus has all records before it.
    Then(Box<dyn FnOnce() + Send>),
}

impl Auditor {
    /// An auditor and its task.
    pub(crate) fn new(log: AuditLog) -> (Self, impl Future<Output = ()>) {
        let (now, urgent) = mpsc::channel(QUEUE);
        let (bulk, many) = mpsc::channel(QUEUE);
        let auditor = Self {
            now,
            bulk,
            lost: Arc::default(),
            is_blocked: Arc::default(),
        };
        let is_blocked = auditor.is_blocked.clone();
        let task = async move {
            // Nobody waits for those of lists.
            let unasked = AtomicBool::default();
            tokio::join!(write(&log, urgent, &is_blocked), write(&log, many, &unasked));
        };
        (auditor, task)
    }

    /// Hands a record over; never waits. A full queue loses it, and counts.
    pub(crate) fn record(&self, record: AuditRecord, urgency: Urgency) {
        let queue = match urgency {
            Urgency::Now => &self.now,
            Urgency::Bulk => &self.bulk,
        };
        if queue.try_send(Audited::Record(Box::new(record))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Does `what` once the bus has all records of [`Urgency::Now`] that were handed over, and never if it does not take them now or too
    /// many wait.
    pub(crate) fn then(&self, what: impl FnOnce() + Send + 'static) {
        if self.is_blocked.load(Ordering::Relaxed) {
            return;
        }
        // Dropping it tells the one who waits.
        let _ = self.now.try_send(Audited::Then(Box::new(what)));
    }

    /// Records lost because the bus did not take them fast enough.
    #[must_use]
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

async fn write(log: &AuditLog, mut waiting: mpsc::Receiver<Audited>, is_blocked: &AtomicBool) {
    let mut together = Vec::new();
    while waiting.recv_many(&mut together, BATCH).await > 0 {
        let (mut records, mut answers) = (Vec::new(), Vec::new());
        for audited in together.drain(..) {
            match audited {
                Audited::Record(record) => records.push(*record),
                Audited::Then(answer) => answers.push(answer),
            }
        }
        let mut pause = FIRST_RETRY;
        // Those that the bus did not acknowledge are tried again, in their order.
        while let Err(error) = log.append(&mut records).await {
            debug!("writing audit records failed, retrying: {error}");
            is_blocked.store(true, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
        is_blocked.store(false, Ordering::Relaxed);
        for answer in answers {
            answer();
        }
    }
}

#[cfg(test)]
mod tests {
    use secbeat_bus::{AuditQuery, make_all, memory::MemoryServer};
    use secbeat_common::wire::Decision;
    use tokio::sync::oneshot;

    use super::*;

    fn record(at_ms: i64) -> AuditRecord {
        AuditRecord {
            at_ms,
            target: "198.51.100.7".parse().unwrap(),
            actor: "alice".to_owned(),
            decision: Decision::Disallow,
        }
    }

    async fn recorded(log: &AuditLog) -> Vec<i64> {
        let query = AuditQuery {
            limit: 100,
            ..AuditQuery::default()
        };
        let records = log.query(&query).await.unwrap();
        records.into_iter().map(|record| record.at_ms()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn records_are_written_in_their_order_and_once_through_lost_acknowledgements() {
        let server = MemoryServer::new(0);
        let member = server.join();
        make_all(&member.bus(), Duration::from_secs(60)).await.unwrap();
        let log = AuditLog::new(&member.bus());
        member.faults().lose_acknowledgements(2);
        member.faults().lose_writes(2);
        let (auditor, writing) = Auditor::new(log.clone());
        let writing = tokio::spawn(writing);
        for at_ms in 1..=5 {
            auditor.record(record(at_ms), Urgency::Now);
        }
        let (answer, answered) = oneshot::channel();
        auditor.then(move || answer.send(()).unwrap());
        answered.await.unwrap();
        assert_eq!(recorded(&log).await, [1, 2, 3, 4, 5]);
        drop(auditor);
        writing.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_counts_as_recorded_once_the_bus_has_it() {
        let server = MemoryServer::new(0);
        let member = server.join();
        make_all(&member.bus(), Duration::from_secs(60)).await.unwrap();
        let (auditor, writing) = Auditor::new(AuditLog::new(&member.bus()));
        tokio::spawn(writing);
        member.disconnect();
        auditor.record(record(1), Urgency::Now);
        let (answer, mut answered) = oneshot::channel();
        auditor.then(move || answer.send(()).unwrap());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(answered.try_recv().is_err());
        member.reconnect();
        answered.await.unwrap();
        assert_eq!(auditor.lost(), 0);
    }
}
