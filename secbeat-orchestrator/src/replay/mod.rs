//! The detector and the ledger over log files, by event time.
//!
//! Nothing is forgotten by the clock here, so that lines may come in any order. Several logs are merged by the times of
//! their lines, whatever order they are named in; within a log lines count in its order, and lines of the same time in the
//! order in which the logs were named. The same input gives the same output, byte for byte.
//!
//! * `input`: files and pipes, compressed or not.
//! * `folder`: files of one folder, by name.
//! * `edge`: how an edge's config says that logs are read.
//! * `blocks`: the lines of a log, parsed on several cores.
//! * `answer`: what of a line counts.
//! * `log`: one log, its format and when it begins.
//! * `trial`: the detector and the ledger of one config.
//! * `output`, `summary`, `diff`: what is shown.
//! * `rehearsal`: what a config would have done lately, without a command.
//! * `attempt`: a changed config tried on a log, for programs.
//! * `command`: the command line.

mod answer;
mod attempt;
mod blocks;
mod command;
mod diff;
mod edge;
mod folder;
mod input;
mod log;
mod output;
pub mod rehearsal;
mod summary;
#[cfg(test)]
mod tests;
mod trial;

use std::{cmp::Reverse, collections::BinaryHeap, io};

use indicatif::ProgressBar;
use secbeat_orchestrator_core::analyzers::UpstreamId;

use self::{
    answer::{Answer, Told},
    blocks::Helpers,
    log::{Due, Log, Opened},
};
pub(crate) use self::{
    attempt::attempt,
    command::Args,
    diff::Diff,
    edge::EdgeConfig,
    folder::{list_logs, open_log},
    input::Input,
    log::ReadAs,
    output::{Format, Output, Record},
    summary::{Reading, Summary, Verdicts},
    trial::Trial,
};

/// The reason why logs could not be replayed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error("reading {name}")]
    Read { name: String, source: io::Error },
    #[error("writing what was found")]
    Write(#[source] io::Error),
    #[error(
        "{name}: no known format fits the first lines ({lines}); state one with --format: a name (`secbeat-orchestrator replay --help` lists them) or a pattern"
    )]
    UnknownFormat { name: String, lines: usize },
    #[error("{name}: {conflict} with --format")]
    Conflict { name: String, conflict: String },
    #[error("{name}: no `[[access_log]]` of the edge's config names it; state its format with --format")]
    NoEntry { name: String },
    #[error("{name}: none of its {lines} lines is a request in the format that is stated for it")]
    OtherFormat { name: String, lines: u64 },
}

impl ReplayError {
    fn read(name: &str, source: io::Error) -> Self {
        Self::Read {
            name: name.to_owned(),
            source,
        }
    }
}

/// Logs to be replayed together.
pub(crate) struct Replay {
    /// `None` once it was read to its end.
    logs: Vec<Option<Turn>>,
    /// Of each of them.
    upstreams: Vec<String>,
    /// Whose next line comes when.
    due: BinaryHeap<Reverse<Due>>,
    reading: Reading,
    progress: ProgressBar,
    /// Lines of earlier requests are passed over; milliseconds since the Unix epoch.
    since_ms: i64,
}

/// How far a log is.
enum Turn {
    /// Its first line is not due yet.
    Unread(Box<Log>),
    Reading(Box<Opened>),
}

impl Replay {
    /// Looks at the beginning of every log, whose lines are read as `read` says. User agents are only read where a rule goes by
    /// them.
    ///
    /// # Errors
    ///
    /// Returns an error if one of the logs cannot be read, or has no known format.
    pub(crate) fn of(
        logs: Vec<(String, Input)>,
        read: &ReadAs,
        reads_user_agents: bool,
        progress: ProgressBar,
    ) -> Result<Self, ReplayError> {
        let mut due = BinaryHeap::with_capacity(logs.len());
        let mut upstreams = Vec::with_capacity(logs.len());
        let look = |(n, (name, input))| {
            let log = Log::look(name, input, read, reads_user_agents, &progress)?;
            due.push(Reverse((log.begins_ms, n)));
            upstreams.push(log.upstream.clone());
            Ok(Some(Turn::Unread(Box::new(log))))
        };
        let logs = logs
            .into_iter()
            .enumerate()
            .map(look)
            .collect::<Result<_, ReplayError>>()?;
        Ok(Self {
            logs,
            upstreams,
            due,
            reading: Reading::default(),
            progress,
            since_ms: i64::MIN,
        })
    }

    /// Passes over requests before `since_ms`, milliseconds since the Unix epoch.
    pub(crate) fn since(self, since_ms: i64) -> Self {
        Self { since_ms, ..self }
    }

    /// Shows every line to every one of `trials`, and passes on what they find, each with the trial's index.
    ///
    /// # Errors
    ///
    /// Returns an error if one of the logs cannot be read or has another format than was said, and those of `found`.
    pub(crate) fn run(
        mut self,
        trials: &mut [Trial],
        mut found: impl FnMut(usize, Record) -> io::Result<()>,
    ) -> Result<Reading, ReplayError> {
        let (helpers, since_ms) = (Helpers::of_this_machine(), self.since_ms);
        let told = match trials.iter().any(|trial| trial.told() == Told::All) {
            true => Told::All,
            false => Told::Failures,
        };
        let of_trials = |name: &String| -> Vec<UpstreamId> {
            trials.iter_mut().map(|trial| trial.upstream(name)).collect()
        };
        let upstreams: Vec<_> = self.upstreams.iter().map(of_trials).collect();
        while let Some(Reverse((_, n))) = self.due.pop() {
            let mut log = match self.logs[n].take() {
                Some(Turn::Unread(log)) => Box::new(log.open(told, &self.progress, &helpers)?),
                Some(Turn::Reading(log)) => log,
                None => continue,
            };
            let next = self.due.peek().map(|Reverse(next)| *next);
            let upstreams = &upstreams[n];
            let mut show = |answer: &Answer<'_>| {
                if answer.at_ms < since_ms {
                    return Ok(());
                }
                for (n, (trial, upstream)) in trials.iter_mut().zip(upstreams).enumerate() {
                    while let Some(record) = trial.let_go(answer.at_ms) {
                        found(n, record)?;
                    }
                    if let Some(record) = trial.observe(answer, *upstream) {
                        found(n, record)?;
                    }
                }
                Ok(())
            };
            match log.read_until(n, next, &mut self.reading, &mut show)? {
                Some(at_ms) => {
                    self.due.push(Reverse((at_ms, n)));
                    self.logs[n] = Some(Turn::Reading(log));
                }
                None => log.check()?,
            }
        }
        self.progress.finish_and_clear();
        Ok(self.reading)
    }
}
