//! What systemd is told of a daemon (sd_notify(3)). Where nobody listens, nothing is told.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, warn};

/// The daemon does what it is there for.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The daemon ends, which may take so long.
pub fn stopping(within: Duration) {
    let within_us = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(within_us)]);
}

/// Tells that the daemon lives as long as `is_alive` says so, twice as often as the unit's `WatchdogSec=` asks; for ever. One that
/// does not answer in that time is not alive.
pub async fn keep_alive(is_alive: impl AsyncFn() -> bool) {
    let mut patience_us = 0;
    if !sd_notify::watchdog_enabled(false, &mut patience_us) {
        return std::future::pending().await;
    }
    let interval = Duration::from_micros(patience_us) / 2;
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        match tokio::time::timeout(interval, is_alive()).await {
            Ok(true) => tell(&[NotifyState::Watchdog]),
            Ok(false) | Err(_) => {
                warn!("this daemon does not answer itself; systemd is not told that it lives")
            }
        }
    }
}

/// Whether somebody starts the daemon again when it ends.
#[must_use]
pub fn restarts() -> bool {
    sd_notify::watchdog_enabled(false, &mut 0)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        debug!(%error, "telling systemd");
    }
}
