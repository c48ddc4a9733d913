use std::time::Duration;

use secbeat_bus::{
    make_all,
    memory::{MemoryBus, MemoryServer},
};
use secbeat_common::{
    subjects,
    wire::{self, LateBatch, TelemetryBatch, WafBatch},
};
use secbeat_daemon::time::now_ms;
use uuid::Uuid;

use super::*;
use crate::config::Config;

/// The longest of the built-in rules.
const WINDOW: Duration = Duration::from_secs(60);

/// An intake over a bus in memory, and an edge that reports.
struct Lab {
    server: MemoryServer,
    member: MemoryBus,
    edge: Bus,
    owned: mpsc::UnboundedSender<Ownership>,
    inputs: mpsc::Receiver<Input>,
    garbage: Arc<Garbage>,
    rules: watch::Sender<InForce>,
}

impl Lab {
    async fn start() -> Self {
        let server = MemoryServer::new(now_ms());
        let edge = server.join().bus();
        make_all(&edge, WINDOW).await.unwrap();
        let member = server.join();
        let (sender, inputs) = mpsc::channel(64);
        let (owned, changes) = mpsc::unbounded_channel();
        let garbage = Arc::new(Garbage::default());
        let (rules, following) = watch::channel(InForce::of(&Config::default()));
        let intake = Intake {
            bus: member.bus(),
            inputs: sender,
            garbage: garbage.clone(),
            sources: SourceLengths::default(),
            troubles: Troubles::default(),
            rules: following,
        };
        tokio::spawn(intake.run(changes));
        Self {
            server,
            member,
            edge,
            owned,
            inputs,
            garbage,
            rules,
        }
    }

    async fn take(&mut self, partition: u16) {
        self.owned.send(Ownership::Taken { partition, epoch: 1 }).unwrap();
        assert_eq!(self.told().await, format!("taken {partition}"));
    }

    async fn lose(&mut self, partition: u16) {
        self.owned.send(Ownership::Lost { partition }).unwrap();
        assert_eq!(self.told().await, format!("lost {partition}"));
    }

    async fn report(&self, partition: u16, sequence: u64) {
        let payload = wire::encode(&batch("web-1", sequence)).unwrap();
        self.publish(subjects::telemetry("web-1", partition), payload)
            .await;
    }

    async fn publish(&self, subject: String, payload: Vec<u8>) {
        self.edge.publish(subject, payload.into()).await.unwrap();
    }

    /// What the engine is told next.
    async fn told(&mut self) -> String {
        match self.inputs.recv().await {
            Some(Input::Event(Event::Owned(Ownership::Taken { partition, .. }))) => {
                format!("taken {partition}")
            }
            Some(Input::Event(Event::Owned(Ownership::Lost { partition }))) => format!("lost {partition}"),
            Some(Input::Event(Event::Batch {
                partition,
                batch,
                age_ms,
                ..
            })) => {
                let age = age_ms.map_or_else(String::new, |age_ms| format!(", {age_ms} ms late"));
                format!("batch {} of {partition}{age}", batch.sequence)
            }
            Some(Input::Event(Event::Rules(rules))) => format!("{} rules", rules.detect.rules.len()),
            Some(Input::Event(Event::Waf { batch, .. })) => format!("{} of a firewall", batch.events.len()),
            other => panic!("{other:?}"),
        }
    }

    async fn told_all(&mut self, n: usize) -> Vec<String> {
        let mut all = Vec::with_capacity(n);
        while all.len() < n {
            all.push(self.told().await);
        }
        all
    }
}

fn batch(edge_id: &str, sequence: u64) -> TelemetryBatch {
    TelemetryBatch {
        edge_id: edge_id.to_owned(),
        boot_id: Uuid::nil(),
        sequence,
        sent_at_ms: 0,
        dropped_before: 0,
        upstreams: Vec::new(),
        events: Vec::new(),
        counts: Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_was_taken_is_read_for_a_window_and_then_live() {
    let mut lab = Lab::start().await;
    lab.report(3, 0).await;
    tokio::time::advance(WINDOW + Duration::from_secs(20)).await;
    for sequence in 1..4 {
        lab.report(3, sequence).await;
    }
    lab.report(4, 9).await;
    // The wall clock has not moved: what is too old is so by the server's clock.
    lab.take(3).await;
    assert_eq!(
        lab.told_all(4).await,
        ["batch 0 of 3", "batch 1 of 3", "batch 2 of 3", "batch 3 of 3"]
    );
    lab.report(4, 10).await;
    lab.report(3, 4).await;
    assert_eq!(lab.told().await, "batch 4 of 3");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_twice_over_a_reconnect() {
    let mut lab = Lab::start().await;
    lab.take(3).await;
    lab.report(3, 0).await;
    lab.report(3, 1).await;
    assert_eq!(lab.told_all(2).await, ["batch 0 of 3", "batch 1 of 3"]);
    lab.member.disconnect();
    lab.report(3, 2).await;
    lab.member.reconnect();
    lab.report(3, 3).await;
    assert_eq!(lab.told_all(2).await, ["batch 2 of 3", "batch 3 of 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_the_server_lost_is_read_from_its_beginning() {
    let mut lab = Lab::start().await;
    lab.take(3).await;
    lab.report(3, 0).await;
    lab.report(3, 1).await;
    assert_eq!(lab.told_all(2).await, ["batch 0 of 3", "batch 1 of 3"]);
    lab.server.stop();
    lab.server.start();
    make_all(&lab.edge, WINDOW).await.unwrap();
    lab.report(3, 2).await;
    assert_eq!(lab.told().await, "batch 2 of 3");
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_to_another_is_not_read_any_more() {
    let mut lab = Lab::start().await;
    lab.take(3).await;
    lab.take(4).await;
    lab.report(3, 0).await;
    assert_eq!(lab.told().await, "batch 0 of 3");
    lab.lose(3).await;
    // The reader starts over without it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    lab.report(3, 1).await;
    lab.report(4, 2).await;
    assert_eq!(lab.told().await, "batch 2 of 4");
}

#[tokio::test(start_paused = true)]
async fn late_batches_say_how_late_they_are() {
    let mut lab = Lab::start().await;
    lab.take(3).await;
    let late = LateBatch {
        age_ms: 1_500,
        batch: batch("web-1", 7),
    };
    let payload = wire::encode(&late).unwrap();
    lab.publish(subjects::late_telemetry("web-1", 3), payload).await;
    assert_eq!(lab.told().await, "batch 7 of 3, 1500 ms late");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_telemetry_is_counted_and_left_out() {
    let mut lab = Lab::start().await;
    lab.take(3).await;
    let impostor = wire::encode(&batch("web-2", 0)).unwrap();
    lab.publish(subjects::telemetry("web-1", 3), impostor).await;
    lab.publish(subjects::telemetry("web-1", 3), b"nothing".to_vec())
        .await;
    let no_events = WafBatch {
        edge_id: "web-1".to_owned(),
        boot_id: Uuid::nil(),
        sequence: 0,
        sent_at_ms: 0,
        dropped_before: 0,
        events: Vec::new(),
    };
    lab.publish(subjects::waf_events("web-1"), wire::encode(&no_events).unwrap())
        .await;
    lab.report(3, 1).await;
    assert_eq!(lab.told().await, "batch 1 of 3");
    assert_eq!(lab.garbage.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn under_other_rules_all_that_is_owned_is_read_again_and_nothing_twice() {
    let mut lab = Lab::start().await;
    lab.take(3).await;
    lab.report(3, 0).await;
    assert_eq!(lab.told().await, "batch 0 of 3");
    lab.take(4).await;
    lab.lose(4).await;
    lab.report(4, 1).await;
    lab.rules.send_modify(|rules| rules.decided.detect.rules.clear());
    assert_eq!(lab.told().await, "0 rules");
    assert_eq!(lab.told().await, "batch 0 of 3");
    lab.report(3, 1).await;
    assert_eq!(lab.told().await, "batch 1 of 3");
    // Nothing comes of a reader that read before.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(lab.inputs.is_empty());
}
