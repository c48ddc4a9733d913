use futures::StreamExt as _;
use secbeat_bus::{
    Messages, Published, make_all,
    memory::{MemoryBus, MemoryServer},
};
use secbeat_common::wire::TelemetryBatch;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::spool::SpoolConfig;

/// A link over a bus in memory, and somebody who hears what it publishes.
struct Lab {
    server: MemoryServer,
    member: MemoryBus,
    heard: Messages<Published>,
    outbox: Outbox,
    stats: Arc<TelemetryStats>,
    running: tokio::task::JoinHandle<()>,
    _folder: TempDir,
}

impl Lab {
    async fn start(with_spool: bool) -> Self {
        let server = MemoryServer::new(0);
        let orchestrator = server.join().bus();
        make_all(&orchestrator, Duration::from_secs(60)).await.unwrap();
        let heard = orchestrator.subscribe(subjects::TELEMETRY_ALL).await.unwrap();
        let member = server.join();
        let folder = tempfile::tempdir().unwrap();
        let stats = Arc::<TelemetryStats>::default();
        let config = SpoolConfig {
            folder: folder.path().join("spool"),
            max_bytes: 1024 * 1024,
            max_age: Duration::from_secs(120),
        };
        let spool = with_spool.then(|| Spool::start(config, stats.clone()).unwrap());
        let max_age = Duration::from_secs(120);
        let (link, outbox) = Link::new(member.bus(), "web-1".to_owned(), max_age, spool, stats.clone());
        Self {
            server,
            member,
            heard,
            outbox,
            stats,
            running: tokio::spawn(link.run()),
            _folder: folder,
        }
    }

    /// Hands batches of these sequences to the link.
    fn send(&mut self, sequences: impl IntoIterator<Item = u64>) {
        for sequence in sequences {
            let batch = TelemetryBatch {
                edge_id: "web-1".to_owned(),
                boot_id: Uuid::nil(),
                sequence,
                sent_at_ms: 0,
                dropped_before: 0,
                upstreams: Vec::new(),
                events: Vec::new(),
                counts: Vec::new(),
            };
            self.outbox.publish(EncodedBatch {
                partition: 3,
                closed_ms: boot_ms(),
                answers: 10,
                payload: wire::encode(&batch).unwrap().into(),
            });
        }
    }

    /// Whether the next batch on the bus is late, and its sequence.
    async fn heard(&mut self) -> (bool, u64) {
        let message = self.heard.next().await.unwrap().unwrap();
        if subjects::is_late(&message.subject) {
            let late: LateBatch = wire::decode(&message.payload).unwrap();
            return (true, late.batch.sequence);
        }
        let batch: TelemetryBatch = wire::decode(&message.payload).unwrap();
        (false, batch.sequence)
    }

    async fn heard_all(&mut self, n: usize) -> Vec<(bool, u64)> {
        let mut all = Vec::with_capacity(n);
        while all.len() < n {
            all.push(self.heard().await);
        }
        all
    }

    /// Waits until the probe has found the log, or has not.
    async fn probed(&self) {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
}

const LIVE: bool = false;
const LATE: bool = true;

#[tokio::test(start_paused = true)]
async fn batches_go_out_live_while_the_bus_takes_them() {
    let mut lab = Lab::start(true).await;
    lab.probed().await;
    lab.send(0..3);
    assert_eq!(lab.heard_all(3).await, [(LIVE, 0), (LIVE, 1), (LIVE, 2)]);
    assert_eq!((lab.stats.batches_sent(), lab.stats.batches_late()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn what_an_outage_kept_comes_late_and_nothing_is_missing() {
    let mut lab = Lab::start(true).await;
    lab.probed().await;
    lab.send([0]);
    assert_eq!(lab.heard().await, (LIVE, 0));
    // Long enough to be confirmed.
    tokio::time::sleep(Duration::from_secs(5)).await;
    lab.member.disconnect();
    lab.send(1..4);
    lab.probed().await;
    lab.member.reconnect();
    assert_eq!(lab.heard_all(3).await, [(LATE, 1), (LATE, 2), (LATE, 3)]);
    lab.probed().await;
    lab.send([4]);
    assert_eq!(lab.heard().await, (LIVE, 4));
    assert_eq!((lab.stats.batches_late(), lab.stats.batches_resent()), (3, 0));
    assert_eq!(lab.stats.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_bus_may_not_have_had_is_sent_once_more() {
    let mut lab = Lab::start(true).await;
    lab.probed().await;
    lab.send([0]);
    assert_eq!(lab.heard().await, (LIVE, 0));
    // No probe has confirmed it since.
    lab.member.disconnect();
    lab.probed().await;
    lab.member.reconnect();
    assert_eq!(lab.heard().await, (LATE, 0));
    assert_eq!(lab.stats.batches_resent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bus_without_the_log_takes_nothing() {
    let mut lab = Lab::start(true).await;
    lab.probed().await;
    // It lies in memory alone, and an orchestrator has to make it again.
    lab.server.stop();
    lab.server.start();
    lab.send(0..2);
    lab.probed().await;
    make_all(&lab.server.join().bus(), Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(lab.heard_all(2).await, [(LATE, 0), (LATE, 1)]);
}

#[tokio::test(start_paused = true)]
async fn without_a_spool_an_outage_loses_answers_and_counts_them() {
    let mut lab = Lab::start(false).await;
    lab.probed().await;
    lab.member.disconnect();
    lab.send(0..2);
    lab.probed().await;
    assert_eq!(lab.stats.lost(Loss::Bus), 20);
    lab.member.reconnect();
    lab.probed().await;
    lab.send([2]);
    assert_eq!(lab.heard().await, (LIVE, 2));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_before_the_end_is_spooled() {
    let mut lab = Lab::start(true).await;
    lab.probed().await;
    lab.member.disconnect();
    lab.send(0..2);
    lab.probed().await;
    let stats = lab.stats.clone();
    drop(lab.outbox);
    lab.running.await.unwrap();
    assert_eq!((stats.spool().batches(), stats.dropped()), (2, 0));
}
