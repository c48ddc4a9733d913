//! Messages of a daemon to systemd (sd_notify(3)). Where nobody listens, nothing is told.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use sd_notify::NotifyState;
use tracing::{debug, warn};

/// What the process tells of one daemon in it. It is ready, and lives, if all of them are.
#[derive(Debug)]
pub struct Supervised {
    daemon: usize,
    process: Arc<Mutex<Process>>,
}

/// What is known of the daemons of a process.
#[derive(Debug)]
struct Process {
    is_ready: Vec<bool>,
    /// Who has shown to live since systemd was told.
    lives: Vec<bool>,
}

impl Process {
    /// Whether every daemon is ready, now that this one is.
    fn ready(&mut self, daemon: usize) -> bool {
        self.is_ready[daemon] = true;
        self.is_ready.iter().all(|is_ready| *is_ready)
    }

    /// Whether every daemon has shown to live since this was last so, now that this one has.
    fn lives(&mut self, daemon: usize) -> bool {
        self.lives[daemon] = true;
        let all = self.lives.iter().all(|lives| *lives);
        if all {
            self.lives.fill(false);
        }
        all
    }
}

impl Supervised {
    /// The daemons of a process that has so many.
    #[must_use]
    pub fn together<const N: usize>() -> [Self; N] {
        let process = Arc::new(Mutex::new(Process {
            is_ready: vec![false; N],
            lives: vec![false; N],
        }));
        std::array::from_fn(|daemon| Self {
            daemon,
            process: process.clone(),
        })
    }

    /// The only daemon of its process.
    #[must_use]
    pub fn alone() -> Self {
        let [daemon] = Self::together();
        daemon
    }

    /// The daemon does what it is there for.
    pub fn ready(&self) {
        if self.process.lock().ready(self.daemon) {
            tell(&[NotifyState::Ready]);
        }
    }

    /// Tells that the daemon lives as long as `is_alive` says so, twice as often as the unit's `WatchdogSec=` asks; for ever.
    /// One that does not answer in that time is not alive.
    pub async fn keep_alive(&self, is_alive: impl AsyncFn() -> bool) {
        let mut patience_us = 0;
        if !sd_notify::watchdog_enabled(false, &mut patience_us) {
            return std::future::pending().await;
        }
        let interval = Duration::from_micros(patience_us) / 2;
        let mut ticks = tokio::time::interval(interval);
        loop {
            ticks.tick().await;
            match tokio::time::timeout(interval, is_alive()).await {
                Ok(true) => {
                    if self.process.lock().lives(self.daemon) {
                        tell(&[NotifyState::Watchdog]);
                    }
                }
                Ok(false) | Err(_) => {
                    warn!("watchdog: event loop is blocked; withholding WATCHDOG=1");
                }
            }
        }
    }
}

/// The process ends, which may take so long.
pub fn stopping(within: Duration) {
    let within_us = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(within_us)]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_and_lives_if_all_its_daemons_do() {
        let [one, other] = Supervised::together();
        let mut process = one.process.lock();
        assert!(!process.ready(one.daemon));
        assert!(process.ready(other.daemon));
        for _ in 0..2 {
            assert!(!process.lives(one.daemon));
            assert!(!process.lives(one.daemon), "the other one may be dead");
            assert!(process.lives(other.daemon));
        }
    }
}
