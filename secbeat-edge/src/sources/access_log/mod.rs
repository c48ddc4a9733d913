//! Access logs of web servers that are already there, as a source of telemetry.
//!
//! Each source has a thread of its own, which reads, parses and reports. It waits when telemetry is full: a log keeps its
//! lines itself. How far a source was read is kept in the state folder.

mod checkpoint;
mod config;
mod file;
mod follow;
mod health;
mod journal;
mod lines;
mod reader;
mod report;
mod siblings;
mod stop;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use tracing::info;

use self::{
    checkpoint::Store,
    follow::Follower,
    journal::Journal,
    report::Reporter,
    stop::{Stop, Stopper},
};
pub use self::{
    config::{AccessLogConfig, ClientColumn, PathPattern, Place, Start, Unit, check},
    health::{AccessLogView, Health},
};
use crate::telemetry::Recorder;

/// How long [`AccessLogs::stop`] may take: a little more than what the readers wait for their telemetry to leave.
pub const DRAIN: Duration = Duration::from_secs(3);

/// The readers of all access logs.
pub struct AccessLogs {
    stopper: Stopper,
    threads: Vec<JoinHandle<()>>,
    health: Arc<[Arc<Health>]>,
}

impl AccessLogs {
    /// Starts a thread for each of `sources`, with the capabilities of the calling one. `upstream` is the index of the first
    /// one's name in telemetry; the others follow. `state` is the folder of checkpoints.
    ///
    /// # Errors
    ///
    /// When `state` cannot be used, or there can be no more threads.
    pub fn start(
        sources: &[AccessLogConfig],
        state: &Path,
        upstream: u16,
        recorder: &Recorder,
    ) -> anyhow::Result<Self> {
        let (stopper, stop) = stop::channel().context("making a pipe")?;
        let mut threads = Vec::new();
        let mut all = Vec::new();
        for (source, upstream) in sources.iter().zip(upstream..) {
            let health = Arc::new(Health::new(&source.name, &source.format.to_string()));
            all.push(health.clone());
            let reporter = Reporter::new(source, upstream, recorder.clone(), health);
            let thread = spawn(source, state, reporter, recorder, stop.clone())
                .with_context(|| format!("following {}", source.place))?;
            threads.push(thread);
            info!(log = %source.place, format = %source.format, "following an access log");
        }
        Ok(Self {
            stopper,
            threads,
            health: all.into(),
        })
    }

    /// Counters of each source, in the order of the config.
    #[must_use]
    pub fn health(&self) -> Arc<[Arc<Health>]> {
        self.health.clone()
    }

    /// Ends the readers, which write their last checkpoints. Blocks for as long as that takes.
    pub fn stop(self) {
        drop(self.stopper);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("the reader of an access log died");
            }
        }
    }
}

fn spawn(
    source: &AccessLogConfig,
    state: &Path,
    reporter: Reporter,
    recorder: &Recorder,
    stop: Stop,
) -> anyhow::Result<JoinHandle<()>> {
    let (store, saved) = Store::open(state, &source.place, recorder.stats())?;
    let (place, start) = (source.place.clone(), source.start);
    let work = move || match place {
        Place::Files(pattern) => reader::run(Follower::start(pattern, start, reporter, saved), store, &stop),
        Place::Journal(unit) => Journal::new(unit, start, reporter, saved).run(store, &stop),
    };
    thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(work)
        .context("starting a thread")
}
