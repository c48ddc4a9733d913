//! Follows an access log as the edge does and writes the path of every answer that leaves as telemetry: `log-reader LOG
//! STATE-FOLDER`. Ends on SIGTERM. The tests kill it at bad moments, and count.
#![allow(
    clippy::expect_used,
    reason = "a program of the tests: a failure here is theirs"
)]

use std::{
    env,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use jiff::tz::TimeZone;
use secbeat_common::wire;
use secbeat_edge::{
    AccessLogConfig, AccessLogs, ClientColumn, DEFAULT_QUEUE, EncodedBatch, PathPattern, Place, Recorder,
    Sink, Start, TelemetryTask, TrustedProxies,
};
use secbeat_edge_core::{BatchConfig, Batcher, Identity};
use secbeat_logs::Formats;
use tokio::signal::unix::{SignalKind, signal};

/// Writes whatever is published.
struct ToStdout;

impl Sink for ToStdout {
    fn publish(&mut self, batch: EncodedBatch) {
        let batch: wire::TelemetryBatch = wire::decode(&batch.payload).expect("a batch");
        let text: String = batch
            .events
            .iter()
            .map(|event| format!("{}\n", event.path))
            .collect();
        // In one piece, so that a SIGKILL comes before it or after it.
        io::stdout()
            .write_all(text.as_bytes())
            .expect("writing to stdout");
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().collect();
    let [_, log, state] = &arguments[..] else {
        eprintln!("usage: log-reader LOG STATE-FOLDER");
        std::process::exit(64);
    };
    let source = AccessLogConfig {
        place: Place::Files(PathPattern::new(log).expect("a pattern")),
        format: Formats::default(),
        time_zone: TimeZone::UTC,
        client: ClientColumn::Peer,
        name: log.clone(),
        start: Start::End,
        max_age: Duration::from_secs(60),
    };
    let identity = Identity {
        edge_id: "reader".to_owned(),
        boot_id: uuid::Uuid::new_v4(),
        upstreams: vec![log.clone()],
    };
    let mut terminate = signal(SignalKind::terminate()).expect("listening for SIGTERM");
    let batcher = Batcher::new(BatchConfig::default(), identity).expect("the default limits");
    let (recorder, queue) = Recorder::channel(DEFAULT_QUEUE);
    tokio::spawn(TelemetryTask::new(queue, batcher, ToStdout).run(std::future::pending()));
    let source = source.source(0, &TrustedProxies::default(), &recorder);
    let logs = AccessLogs::start(vec![source], Path::new(state)).expect("following the log");
    let health = logs.health();
    eprintln!("following");
    terminate.recv().await;
    tokio::task::spawn_blocking(move || logs.stop())
        .await
        .expect("stopping");
    let health = &health[0];
    eprintln!(
        "read {} rotations {} truncations {}",
        health.parsed(),
        health.rotations(),
        health.truncations()
    );
}
