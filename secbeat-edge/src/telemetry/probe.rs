//! Whether the bus takes telemetry.

use std::time::Duration;

use async_nats::jetstream;
use secbeat_common::subjects;
use secbeat_daemon::bus::Bus;
use tokio::{sync::watch, time::Instant};

/// How often the bus is probed.
const PROBE: Duration = Duration::from_secs(1);
/// Pause after a failed probe.
const RETRY: Duration = Duration::from_millis(250);
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bus that takes telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Up {
    /// The connection's number.
    pub(super) connection: u64,
    /// When the stream was made, which tells it from another of its name.
    pub(super) stream: i128,
    /// When the probe was sent: the server has had whatever was published before.
    pub(super) asked: Instant,
}

/// Tells whether the bus takes telemetry, until the receivers are gone.
pub(super) async fn probe(bus: Bus, tell: watch::Sender<Option<Up>>) {
    let mut context = jetstream::new(bus.client.clone());
    context.set_timeout(PATIENCE);
    let mut watched = bus.clone();
    while !tell.is_closed() {
        let connection = bus.connection();
        let asked = Instant::now();
        let stream = match bus.is_connected() {
            true => context.get_stream(subjects::TELEMETRY_STREAM).await.ok(),
            false => None,
        };
        let up = stream.map(|stream| Up {
            connection,
            stream: stream.cached_info().created.unix_timestamp_nanos(),
            asked,
        });
        tell.send_replace(up);
        let pause = if up.is_some() { PROBE } else { RETRY };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = watched.connection_after(connection) => {}
            () = tell.closed() => {}
        }
    }
}
