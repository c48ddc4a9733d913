//! A changed config tried on a log, for programs.

use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use secbeat_logs::FormatChoice;
use serde_json::Value;

use super::{
    Diff, Input, ReadAs, Replay, ReplayError, Trial,
    command::trial,
    diff::{DiffSummary, Object},
};
use crate::config::Config;

/// What came of it.
pub(crate) struct Attempt {
    /// The first changes by time, as `replay --diff -o json` writes them.
    pub changes: Vec<Value>,
    pub summary: DiffSummary,
}

/// Replays a log, which has a name for people, under two configs; shows at most so many changes.
///
/// # Errors
///
/// Returns an error if the log has no known format, or another one than was said.
pub(crate) fn attempt(
    log: (String, Input),
    format: FormatChoice,
    [before, after]: [&Config; 2],
    most: usize,
) -> Result<Attempt, ReplayError> {
    let read = ReadAs {
        format,
        time_zone: TimeZone::UTC,
        trusted_proxies: before.trusted_proxies.clone(),
        edge: None,
    };
    let reads_user_agents = [before, after]
        .map(Config::detector)
        .iter()
        .any(|detect| detect.reads_user_agents());
    let replay = Replay::of(vec![log], &read, reads_user_agents, ProgressBar::hidden())?;
    let mut trials = [trial(before), trial(after)];
    let mut found = [Vec::new(), Vec::new()];
    let reading = replay.run(&mut trials, |n, record| {
        found[n].push(record);
        Ok(())
    })?;
    let [before, after] = found;
    let diff = Diff::of(before, after);
    let changes = diff
        .changes
        .iter()
        .take(most)
        .filter_map(|change| serde_json::to_value(Object::from(change)).ok());
    Ok(Attempt {
        changes: changes.collect(),
        summary: diff.summary(reading, trials.map(Trial::finish)),
    })
}
