//! The bus's clock: how far it is ahead of this host's boot clock, by the time of round trips.
//!
//! The server's clock is read somewhere between a request and its answer. Anyone who takes the middle is wrong by half of the
//! round trip at most (F. Cristian, *Probabilistic clock synchronization*, 1989), so of the latest round trips the
//! shortest counts. The boot clock is the reference, since nobody sets it: a step of the host's wall clock changes nothing.

mod estimator;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use secbeat_common::{subjects, wire::ClockOffset};
use tokio::sync::watch;
use tracing::{debug, info, warn};

pub use self::estimator::{Estimator, Measure, Sample};
use crate::{backend::Bucket, broker::broker, bus::Bus, error::Error};

/// Interval at which the server is asked.
const EVERY: Duration = Duration::from_secs(5);
/// How soon it is asked again while it has not answered.
const RETRY: Duration = Duration::from_secs(1);
/// Round trips at the beginning of a connection: the first one may be slow.
const AT_FIRST: usize = 4;
/// Time that a measure waits for one round trip.
const PATIENCE: Duration = Duration::from_millis(500);
/// A change of the difference from which on all that was reckoned with the one before is to be reckoned again.
const STEP_US: u64 = 1_000_000;

/// This process's clocks, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Since the host's start, suspend included.
    pub boot_us: fn() -> i64,
    /// The host's wall clock, since the Unix epoch.
    pub wall_us: fn() -> i64,
    /// The time that the process goes by, since the Unix epoch.
    pub now_us: fn() -> i64,
    /// Has the process go by the bus's clock from now on.
    pub follow: fn(Measure),
}

/// Keeps this process's time that of the bus. All clones are one.
#[derive(Clone, Debug)]
pub struct BusClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bus: Bus,
    bucket: Arc<dyn Bucket>,
    clocks: Clocks,
    known: Mutex<ClockState>,
    /// Counts the steps.
    steps: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct ClockState {
    estimator: Estimator,
    /// The connection of the latest measure.
    connection: u64,
    complained: bool,
    alarmed: bool,
}

impl BusClock {
    /// Measures nothing before [`run`](Self::run) or [`ready`](Self::ready). All members ask for the bucket of bans, since in a
    /// cluster every bucket may be kept by another server.
    #[must_use]
    pub fn new(bus: &Bus, clocks: Clocks) -> Self {
        Self(Arc::new(Inner {
            bus: bus.clone(),
            bucket: bus.bucket(subjects::BANS_BUCKET),
            clocks,
            known: Mutex::default(),
            steps: watch::Sender::new(0),
        }))
    }

    /// Counts how often the time that the process goes by was set, by a second or more.
    #[must_use]
    pub fn steps(&self) -> watch::Receiver<u64> {
        self.0.steps.subscribe()
    }

    /// Measures again and again, for ever. While the bus is away the last difference holds.
    pub async fn run(self) {
        let bus = &self.0.bus;
        let mut connection = 0;
        loop {
            let measured = match bus.is_connected() {
                true => self.ready().await && self.measure().await,
                false => false,
            };
            self.judge();
            let pause = if measured { EVERY } else { RETRY };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                latest = bus.connection_after(connection) => connection = latest,
            }
        }
    }

    /// Waits until the clock has been measured over this connection, or cannot be: then the time that there is counts. Returns
    /// whether it was measured.
    pub async fn ready(&self) -> bool {
        let connection = self.0.bus.connection();
        if connection > 0 && self.0.known.lock().connection == connection {
            return true;
        }
        for _ in 0..AT_FIRST {
            if !self.measure().await {
                return false;
            }
        }
        self.0.known.lock().connection = connection;
        true
    }

    /// One round trip.
    async fn measure(&self) -> bool {
        let inner = &self.0;
        let sent_us = (inner.clocks.boot_us)();
        let answer = tokio::time::timeout(PATIENCE, inner.bucket.server_time()).await;
        let received_us = (inner.clocks.boot_us)();
        let answer = answer.unwrap_or_else(|_| {
            Err(Error::Silent {
                what: "the server's time".to_owned(),
                waited: PATIENCE,
            })
        });
        match answer {
            Ok(server_us) => {
                self.take(Sample {
                    sent_us,
                    received_us,
                    server_us,
                });
                true
            }
            Err(error) => {
                self.complain(&error);
                false
            }
        }
    }

    fn take(&self, sample: Sample) {
        let inner = &self.0;
        let mut known = inner.known.lock();
        known.complained = false;
        let measure = known.estimator.add(sample);
        let before_us = (inner.clocks.now_us)();
        (inner.clocks.follow)(measure);
        let moved_us = (inner.clocks.now_us)().saturating_sub(before_us);
        drop(known);
        if moved_us.unsigned_abs() >= STEP_US {
            info!(
                seconds = moved_us as f64 / 1e6,
                "the time was set to that of {}",
                server()
            );
            inner.steps.send_modify(|steps| *steps += 1);
        }
    }

    fn complain(&self, error: &Error) {
        // There is no bucket before the first orchestrator, and the one who reads it says so.
        if matches!(error, Error::Missing(_)) || std::mem::replace(&mut self.0.known.lock().complained, true)
        {
            return debug!(%error, "the clock of {} was not measured", server());
        }
        warn!(
            "cannot measure the clock of {}: the last measure counts, or else this host's clock: {error}",
            server()
        );
    }

    /// Says when the host's clock begins to be wrong, and when it is right again.
    fn judge(&self) {
        let Some(offset) = self.offset() else { return };
        let mut known = self.0.known.lock();
        let alarmed = known.alarmed;
        // Half as much, so that one at the limit is not told again and again.
        let is_right = offset.ahead_ms.unsigned_abs() < ClockOffset::WRONG_MS / 2;
        known.alarmed = offset.is_wrong() || alarmed && !is_right;
        let seconds = offset.seconds();
        match (alarmed, known.alarmed) {
            (false, true) => warn!(
                "this host's clock is {seconds:+.3} s off that of {}, by which bans go; set it right (NTP)",
                server()
            ),
            (true, false) => info!(
                "this host's clock agrees with that of {} again ({seconds:+.3} s)",
                server()
            ),
            (true, true) | (false, false) => {}
        }
    }

    /// Returns how far the host's wall clock is off now; `None` before the first measure.
    #[must_use]
    pub fn offset(&self) -> Option<ClockOffset> {
        let inner = &self.0;
        let measure = inner.known.lock().estimator.best()?;
        let bus_us = (inner.clocks.boot_us)().saturating_add(measure.difference_us);
        Some(ClockOffset {
            ahead_ms: (inner.clocks.wall_us)().saturating_sub(bus_us) / 1000,
            error_ms: measure.error_us.div_ceil(1000),
        })
    }
}

/// Returns whose clock it is, for people.
fn server() -> &'static str {
    match broker() {
        "NATS" => "the NATS server",
        other => other,
    }
}

#[cfg(test)]
mod tests;
