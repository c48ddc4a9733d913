//! Access logs of web servers that are already there, as a source of telemetry.
//!
//! Each source has a thread of its own, which reads, parses and reports. It waits when telemetry is full: a log keeps its
//! lines itself. How far a source was read is kept in the state folder.

mod checkpoint;
mod claims;
mod config;
mod copy;
mod doubts;
mod file;
mod follow;
mod health;
mod journal;
mod lines;
mod mark;
mod open;
mod reader;
mod report;
#[expect(unsafe_code, reason = "systemd's library is a C library")]
mod sd_journal;
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
use jiff::tz::TimeZone;
use tracing::info;

pub use self::config::{AccessLogConfig, ClientColumn, PathPattern, Place, Start};
pub(in crate::sources) use self::{
    checkpoint::Progress,
    config::{JournalMatch, Unit, check_places, keyed_places},
    report::{EntryFields, Reading, Taken},
};
use self::{
    checkpoint::{Saved, Store},
    claims::Claimant,
    follow::Follower,
    journal::Journal,
    report::{Answers, Reporter},
    stop::{Stop, Stopper},
};
pub(crate) use self::{config::check, health::Health};
use super::client_address::TrustedProxies;
use crate::telemetry::Recorder;

/// How long [`AccessLogs::stop`] may take: a little more than what the readers wait for their telemetry to leave.
pub(crate) const DRAIN: Duration = Duration::from_secs(3);

/// A log to follow: where it is, and what its lines are.
pub struct Source {
    pub(in crate::sources) place: Place,
    pub(in crate::sources) name: String,
    /// What its lines look like, for people.
    pub(in crate::sources) format: String,
    pub(in crate::sources) start: Start,
    pub(in crate::sources) max_age: Duration,
    /// Of times that are logged without one, where the config has it.
    pub(in crate::sources) zone: Option<TimeZone>,
    pub(in crate::sources) reading: Box<dyn Reading>,
    pub(in crate::sources) progress: Arc<dyn Progress>,
}

impl AccessLogConfig {
    /// Returns what this entry asks for. `upstream` is the index of its name in telemetry, and `trusted` are never the client.
    #[must_use]
    pub fn source(&self, upstream: u16, trusted: &TrustedProxies, recorder: &Recorder) -> Source {
        Source {
            place: self.place.clone(),
            name: self.name.clone(),
            format: self.format.to_string(),
            start: self.start,
            max_age: self.max_age,
            zone: Some(self.time_zone.clone()),
            reading: Box::new(Answers {
                formats: self.format.clone(),
                learned_from: self.client.into(),
                upstream,
                trusted: trusted.clone(),
                recorder: recorder.clone(),
            }),
            progress: recorder.stats(),
        }
    }
}

/// The readers of all logs: access logs, and audit logs of web application firewalls.
pub struct AccessLogs {
    stopper: Stopper,
    threads: Vec<JoinHandle<()>>,
    health: Arc<[Arc<Health>]>,
}

impl AccessLogs {
    /// Starts a thread for each of `sources`, with the capabilities of the calling one. `state` is the folder of checkpoints.
    ///
    /// # Errors
    ///
    /// Returns an error if `state` cannot be used, or there can be no more threads.
    pub fn start(sources: Vec<Source>, state: &Path) -> anyhow::Result<Self> {
        let (stopper, stop) = stop::channel().context("making a pipe")?;
        let mut threads = Vec::new();
        let mut all = Vec::new();
        let places = sources.iter().map(|source| source.place.clone()).collect();
        for (source, claimant) in sources.into_iter().zip(Claimant::all(places)) {
            let health = Arc::new(Health::new(&source.name, &source.format));
            all.push(health.clone());
            let (place, format) = (source.place.clone(), source.format.clone());
            let thread = spawn(source, claimant, state, health, stop.clone())
                .with_context(|| format!("following {place}"))?;
            threads.push(thread);
            info!(log = %place, format, "following a log");
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
    source: Source,
    claimant: Claimant,
    state: &Path,
    health: Arc<Health>,
    stop: Stop,
) -> anyhow::Result<JoinHandle<()>> {
    let Source {
        place,
        start,
        max_age,
        zone,
        reading,
        progress,
        ..
    } = source;
    let (store, saved) = Store::open(state, &place, progress)?;
    let in_doubt = saved.as_ref().and_then(|saved| saved.in_doubt.as_deref());
    let reporter = Reporter::new(reading, max_age, zone, health, in_doubt);
    // Files that come after this are new ones, and are read from their beginning.
    let work: Box<dyn FnOnce() + Send> = match place {
        Place::Files(pattern) => {
            let follower = Follower::start(pattern, claimant, start, reporter, saved);
            Box::new(move || reader::run(follower, store, &stop))
        }
        Place::Journal(unit) => follow_journal(unit.into(), start, reporter, (store, saved), stop),
        Place::Entries(wanted) => follow_journal(wanted, start, reporter, (store, saved), stop),
    };
    thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(work)
        .context("starting a thread")
}

fn follow_journal(
    wanted: JournalMatch,
    start: Start,
    reporter: Reporter,
    (store, saved): (Store, Option<Saved>),
    stop: Stop,
) -> Box<dyn FnOnce() + Send> {
    let journal = Journal::new(wanted, start, reporter, saved);
    Box::new(move || journal.run(store, &stop))
}
