//! What an orchestrator takes in from NATS, and how long it takes to be exact again after a start.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use secbeat_common::{
    prefix::Prefix,
    subjects::{self, PARTITIONS},
    wire::{self, LearnedFrom, SourceCount, TelemetryBatch, TelemetryEvent},
};
use secbeat_daemon::time::now_ms;
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use super::missing;
use crate::{
    bench::{
        demand::{Demand, Limit},
        outcome::{Outcome, Row},
        parts::Options,
    },
    lab::{client::Client, nats::NatsServer, netns::Namespace, paths, process::Daemon, wait::wait_until},
};

/// Seconds of the longest window.
const WINDOW: u64 = 60;
/// Error events a second whose window is rebuilt.
const RATE: u64 = 20_000;
const RESTART_S: f64 = 3.0;
const EVENTS_PER_SECOND: f64 = 1_000_000.0;
/// Sources that make the errors, each few enough not to be banned.
const SOURCES: u32 = 200_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Orchestrators that share the partitions.
const SHARING: [u16; 3] = [1, 2, 4];
/// The API's port of the first orchestrator; the next ones follow.
const PORT: u16 = 3030;

/// A minute of telemetry waits on the bus when an orchestrator starts: the events a second that it takes into its windows,
/// and the time from its start until it owns all partitions and has counted the whole window. And what one, two and four
/// take in together while it is being published as fast as one process can.
///
/// # Panics
///
/// When a daemon does not start, or does not count what it should.
pub(super) fn measure(options: Options) -> Outcome {
    let mut rate = Row::new("NATS → windows, error events", "events/s");
    let mut restart = Row::new(
        format!("restart with a full window at {RATE} events/s"),
        "s until it owns all and has counted all",
    );
    let sharing = SHARING.map(|n| Row::new(format!("publisher → NATS → windows of {n}"), "events/s"));
    let mut rows = Vec::from(sharing);
    for _ in 0..options.rounds {
        let rebuilt = rebuilt();
        rate.rounds.push(rebuilt.per_second);
        restart.rounds.push(rebuilt.took.as_secs_f64());
        for (row, n) in rows.iter_mut().zip(SHARING) {
            row.rounds.push(shared(n));
        }
    }
    let mut demands = vec![
        Demand::of(&rate, Limit::AtLeast(EVENTS_PER_SECOND), None),
        Demand::of(&restart, Limit::AtMost(RESTART_S), None),
    ];
    demands.extend(rows.iter().map(|row| Demand::of(row, Limit::None, None)));
    rows.splice(0..0, [rate, restart]);
    Outcome { rows, demands }
}

/// What an orchestrator made of what waited.
struct Rebuilt {
    per_second: f64,
    took: Duration,
}

/// Starts an orchestrator while a full window waits, and waits until it has counted all.
fn rebuilt() -> Rebuilt {
    let bus = Bus::new();
    let window = Telemetry::window();
    let events = window.events;
    bus.nats.publish_all(window.messages.into_iter());
    let started = Instant::now();
    let _orchestrator = bus.orchestrator(PORT);
    let counted = || bus.counted(PORT);
    wait_until("the first events are counted", PATIENCE, || counted() > 0);
    let (early, began) = (counted(), Instant::now());
    wait_until("all events are counted", PATIENCE, || counted() >= events);
    let (took, span) = (started.elapsed(), began.elapsed());
    assert_eq!(counted(), events, "events were counted twice");
    assert_eq!(bus.owned(PORT), usize::from(PARTITIONS), "it does not own all");
    Rebuilt {
        per_second: (events - early) as f64 / span.as_secs_f64(),
        took,
    }
}

/// The events a second that so many orchestrators take in together.
fn shared(orchestrators: u16) -> f64 {
    let bus = Bus::new();
    let ports = PORT..PORT + orchestrators;
    let _orchestrators: Vec<_> = ports.clone().map(|port| bus.orchestrator(port)).collect();
    let share = usize::from(PARTITIONS / orchestrators);
    wait_until("they share the partitions", PATIENCE, || {
        ports.clone().all(|port| bus.owned(port) == share)
    });
    let window = Telemetry::window();
    let counted = || ports.clone().map(|port| bus.counted(port)).sum::<u64>();
    let began = Instant::now();
    bus.nats.publish_all(window.messages.into_iter());
    wait_until("all events are counted", PATIENCE, || counted() >= window.events);
    let span = began.elapsed();
    assert_eq!(counted(), window.events, "events were counted twice");
    window.events as f64 / span.as_secs_f64()
}

/// A NATS server with SecBeat's streams.
struct Bus {
    host: Namespace,
    nats: NatsServer,
    folder: TempDir,
}

impl Bus {
    fn new() -> Self {
        let host = Namespace::new("intake");
        let nats = NatsServer::start(&host, Ipv4Addr::LOCALHOST.into());
        let folder = tempfile::tempdir().expect("making a folder");
        let bus = Self { host, nats, folder };
        // It makes the streams.
        let mut first = bus.orchestrator(PORT);
        first.wait_for_log("reading telemetry", PATIENCE);
        assert!(first.terminate(PATIENCE).success());
        bus
    }

    fn orchestrator(&self, port: u16) -> Daemon {
        let path = self.folder.path().join(format!("{port}.toml"));
        let config = format!(
            "[nats]\nurl = \"{}\"\n[api]\nlisten = \"127.0.0.1:{port}\"\nsocket = \"\"\n",
            self.nats.url()
        );
        fs::write(&path, config).expect("writing a config");
        let mut command = self.host.command(paths::daemon("secbeat-orchestrator"));
        command.args(["run", "--config"]).arg(path);
        Daemon::spawn("secbeat-orchestrator", &mut command)
    }

    fn counted(&self, port: u16) -> u64 {
        let stats = self.stats(port);
        stats.map_or(0, |stats| stats["events"].as_u64().unwrap_or(0))
    }

    fn owned(&self, port: u16) -> usize {
        self.stats(port).map_or(0, |stats| owned(&stats))
    }

    fn stats(&self, port: u16) -> Option<Value> {
        let url = format!("http://127.0.0.1:{port}/api/v1/stats");
        let answer = Client::new(&self.host).request("GET", &url, &[], b"").ok()?;
        serde_json::from_slice(&answer.body).ok()
    }
}

/// Messages as an edge sends them.
struct Telemetry {
    messages: Vec<(String, Vec<u8>)>,
    events: u64,
}

impl Telemetry {
    /// A window of [`RATE`] events a second: a batch for each second and partition.
    fn window() -> Self {
        let per_batch = usize::try_from(RATE / u64::from(PARTITIONS)).expect("a small number");
        let mut sources = vec![Vec::new(); usize::from(PARTITIONS)];
        for n in 0..SOURCES {
            let address = IpAddr::from(Ipv4Addr::from(0x0b00_0000 + n));
            sources[usize::from(Prefix::single(address).partition(PARTITIONS))].push(address);
        }
        let mut clients: Vec<_> = sources.iter().map(|sources| sources.iter().cycle()).collect();
        let boot_id = Uuid::new_v4();
        let batches = (0..WINDOW).flat_map(|second| (0..PARTITIONS).map(move |n| (second, n)));
        let message = |(second, partition): (u64, u16)| {
            let clients = clients[usize::from(partition)].by_ref().take(per_batch);
            let batch = batch(boot_id, second, &clients.copied().collect::<Vec<_>>());
            let payload = wire::encode(&batch).expect("encoding a batch");
            (subjects::telemetry("edge-1", partition), payload)
        };
        Self {
            messages: batches.map(message).collect(),
            events: WINDOW * per_batch as u64 * u64::from(PARTITIONS),
        }
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
    let event = |(n, client): (usize, IpAddr)| TelemetryEvent {
        client,
        at_ms,
        status: 404,
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        method: "GET".to_owned(),
        path: missing(n).path.to_owned(),
        host: "www.example.org".to_owned(),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
        signatures: Vec::new(),
        cross_site: false,
    };
    let count = |client| SourceCount {
        source: Prefix::single(client),
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
        events: clients.iter().copied().enumerate().map(event).collect(),
        counts: clients.iter().copied().map(count).collect(),
    }
}
