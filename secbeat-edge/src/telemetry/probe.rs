//! Whether the bus takes telemetry.

use std::time::Duration;

use secbeat_bus::{Bus, Created, TelemetryLog};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// Interval at which the bus is probed.
const PROBE: Duration = Duration::from_secs(1);
/// Pause after a failed probe.
const RETRY: Duration = Duration::from_millis(250);
/// Time that an answer may take. Where no server leads the log, none comes.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bus that takes telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Up {
    /// The connection's number.
    pub(super) connection: u64,
    /// The log that keeps it.
    pub(super) log: Created,
    /// Time at which the probe was sent: the server has had whatever was published before.
    pub(super) asked: Instant,
}

/// Tells whether the bus takes telemetry, until the receivers are gone.
pub(super) async fn probe(bus: Bus, tell: watch::Sender<Option<Up>>) {
    let log = TelemetryLog::new(&bus);
    while !tell.is_closed() {
        let connection = bus.connection();
        let asked = Instant::now();
        let created = match bus.is_connected() {
            true => timeout(PATIENCE, log.created()).await.ok().and_then(Result::ok),
            false => None,
        };
        let up = created.map(|log| Up {
            connection,
            log,
            asked,
        });
        tell.send_replace(up);
        let pause = if up.is_some() { PROBE } else { RETRY };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = bus.connection_after(connection) => {}
            () = tell.closed() => {}
        }
    }
}
