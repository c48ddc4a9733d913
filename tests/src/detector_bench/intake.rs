//! What an orchestrator takes in from NATS, and how long it takes to be exact again after a start.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use secbeat_common::{
    daemon::time::now_ms,
    prefix::Prefix,
    subjects::{self, PARTITIONS},
    wire::{self, LearnedFrom, SourceCount, TelemetryBatch, TelemetryEvent},
};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    bench::{
        outcome::{Demand, Outcome, Row},
        parts::Options,
        requirement::Limit,
    },
    lab::{client::Client, nats::NatsServer, netns::Namespace, paths, process::Daemon, wait::wait_until},
};

/// Seconds of the longest window.
const WINDOW: u64 = 60;
/// Error events a second whose window is rebuilt.
const RATE: u64 = 20_000;
/// The same where only the rate counts: a window that takes some seconds to read.
const FULL_RATE: u64 = 60_000;
const RESTART_S: f64 = 3.0;
const EVENTS_PER_SECOND: f64 = 1_000_000.0;
/// Sources that make the errors, each few enough not to be banned.
const SOURCES: u32 = 200_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A minute of telemetry waits on the bus when an orchestrator starts: the events a second that it takes into its windows,
/// and the time from its start until it owns all partitions and has counted the whole window.
///
/// # Panics
///
/// When a daemon does not start, or does not count what it should.
#[must_use]
pub fn measure(options: Options) -> Outcome {
    let mut rate = Row::new("NATS → windows, error events", "events/s");
    let mut restart = Row::new(
        format!("restart with a full window at {RATE} events/s"),
        "s until it owns all and has counted all",
    );
    for _ in 0..options.rounds {
        rate.rounds.push(Bus::with(FULL_RATE).start().per_second);
        restart.rounds.push(Bus::with(RATE).start().took.as_secs_f64());
    }
    Outcome {
        demands: vec![
            Demand::of(&rate, Limit::AtLeast(EVENTS_PER_SECOND), None),
            Demand::of(&restart, Limit::AtMost(RESTART_S), None),
        ],
        rows: vec![rate, restart],
    }
}

/// A NATS server that holds a window of telemetry.
struct Bus {
    host: Namespace,
    nats: NatsServer,
    folder: TempDir,
    events: u64,
}

/// What an orchestrator made of it.
struct Started {
    per_second: f64,
    took: Duration,
}

impl Bus {
    fn with(rate: u64) -> Self {
        let host = Namespace::new("intake");
        let nats = NatsServer::start(&host, Ipv4Addr::LOCALHOST.into());
        let folder = tempfile::tempdir().expect("making a folder");
        let config = format!("[nats]\nurl = \"{}\"\n", nats.url());
        fs::write(folder.path().join("orchestrator.toml"), config).expect("writing a config");
        let mut bus = Self {
            host,
            nats,
            folder,
            events: 0,
        };
        // It makes the streams.
        let mut first = bus.orchestrator();
        first.wait_for_log("reading telemetry", PATIENCE);
        assert!(first.terminate(PATIENCE).success());
        bus.fill(rate);
        bus
    }

    fn orchestrator(&self) -> Daemon {
        let mut command = self.host.command(paths::daemon("secbeat-orchestrator"));
        command
            .args(["run", "--config"])
            .arg(self.folder.path().join("orchestrator.toml"));
        Daemon::spawn("secbeat-orchestrator", &mut command)
    }

    /// Publishes a batch for each second and partition.
    fn fill(&mut self, rate: u64) {
        let per_batch = usize::try_from(rate / u64::from(PARTITIONS)).expect("a small number");
        let mut sources = vec![Vec::new(); usize::from(PARTITIONS)];
        for n in 0..SOURCES {
            let address = IpAddr::from(Ipv4Addr::from(0x0b00_0000 + n));
            sources[usize::from(Prefix::of_source(address).partition(PARTITIONS))].push(address);
        }
        let mut clients: Vec<_> = sources.iter().map(|sources| sources.iter().cycle()).collect();
        let boot_id = Uuid::new_v4();
        let batches = (0..WINDOW).flat_map(|second| (0..PARTITIONS).map(move |n| (second, n)));
        self.nats.publish_all(batches.map(|(second, partition)| {
            let clients = clients[usize::from(partition)].by_ref().take(per_batch);
            let batch = batch(boot_id, second, &clients.copied().collect::<Vec<_>>());
            let payload = wire::encode(&batch).expect("encoding a batch");
            (subjects::telemetry("edge-1", partition), payload)
        }));
        self.events = WINDOW * per_batch as u64 * u64::from(PARTITIONS);
    }

    /// Starts an orchestrator and waits until it has counted all.
    fn start(&self) -> Started {
        let started = Instant::now();
        let _orchestrator = self.orchestrator();
        let counted = || {
            self.stats()
                .map_or(0, |stats| stats["events"].as_u64().unwrap_or(0))
        };
        wait_until("the first events are counted", PATIENCE, || counted() > 0);
        let (early, began) = (counted(), Instant::now());
        wait_until("all events are counted", PATIENCE, || counted() >= self.events);
        let (took, span) = (started.elapsed(), began.elapsed());
        assert_eq!(counted(), self.events, "events were counted twice");
        let owned = self.stats().map_or(0, |stats| owned(&stats));
        assert_eq!(owned, usize::from(PARTITIONS), "it does not own all");
        Started {
            per_second: (self.events - early) as f64 / span.as_secs_f64(),
            took,
        }
    }

    fn stats(&self) -> Option<Value> {
        let url = "http://127.0.0.1:3030/api/v1/stats";
        let answer = Client::new(&self.host).request("GET", url, &[], b"").ok()?;
        serde_json::from_slice(&answer.body).ok()
    }
}

/// How many partitions it owns.
fn owned(stats: &Value) -> usize {
    let partitions = stats["leases"]["partitions"].as_array();
    let owned = partitions.into_iter().flatten();
    owned.filter(|view| view["epoch"].is_u64()).count()
}

fn batch(boot_id: Uuid, sequence: u64, clients: &[IpAddr]) -> TelemetryBatch {
    let at_ms = now_ms();
    let event = |client| TelemetryEvent {
        client,
        at_ms,
        status: 404,
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        method: "GET".to_owned(),
        path: "/wp-content/plugins/missing.php".to_owned(),
        host: "www.example.org".to_owned(),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
    };
    let count = |client| SourceCount {
        source: Prefix::of_source(client),
        at_ms,
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        requests: 1,
        errors: 1,
        server_errors: 0,
    };
    TelemetryBatch {
        edge_id: "edge-1".to_owned(),
        boot_id,
        sequence,
        sent_at_ms: at_ms,
        dropped_before: 0,
        upstreams: vec!["app".to_owned()],
        events: clients.iter().copied().map(event).collect(),
        counts: clients.iter().copied().map(count).collect(),
    }
}
