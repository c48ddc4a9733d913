//! Summary of a replay, for people and for programs.

use std::{collections::BTreeMap, fmt};

use secbeat_daemon::cli::counted;
use secbeat_logs::LogError;
use serde::{Serialize, Serializer};

use super::answer::Answer;

/// Rejected lines that [`Reading`] explains.
const EXPLAINED: usize = 5;

/// The lines of all logs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Reading {
    pub read: u64,
    /// Lines that are requests.
    pub parsed: u64,
    /// Those of them that name their client, and the rest of which cannot be read: errors of the client.
    pub unreadable: u64,
    /// Lines that are not.
    pub rejected: u64,
    /// The first few of them.
    pub rejections: Vec<Rejection>,
}

/// A line that is not a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Rejection {
    /// Of the log.
    pub name: String,
    /// From 1.
    pub line: u64,
    #[serde(serialize_with = "as_text")]
    pub reason: LogError,
}

/// What a config made of the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verdicts {
    /// Distinct sources.
    pub sources: usize,
    /// Findings, suppressed ones included.
    pub findings: u64,
    pub bans: u64,
    /// Findings of rules that only observe, which would have been bans.
    pub observed: u64,
    /// Findings that would have led to no ban.
    pub suppressed: u64,
    /// By the rule's name; rules that found nobody are left out.
    pub rules: BTreeMap<String, RuleVerdicts>,
}

/// What one rule found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RuleVerdicts {
    pub findings: u64,
    pub bans: u64,
    pub observed: u64,
    pub suppressed: u64,
    /// Distinct sources.
    pub sources: usize,
}

/// What a replay of one config did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    #[serde(flatten)]
    pub reading: Reading,
    #[serde(flatten)]
    pub verdicts: Verdicts,
}

impl Reading {
    pub(super) fn takes(&mut self, answer: &Answer<'_>) {
        self.parsed += 1;
        self.unreadable += u64::from(answer.line.is_some_and(|line| line.unreadable));
    }

    pub(super) fn rejects(&mut self, name: &str, line: u64, reason: &LogError) {
        self.rejected += 1;
        if self.rejections.len() < EXPLAINED {
            self.rejections.push(Rejection {
                name: name.to_owned(),
                line,
                reason: reason.clone(),
            });
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            read,
            parsed,
            unreadable,
            rejected,
            rejections,
        } = self;
        write!(f, "{read} lines read, {parsed} parsed, {rejected} rejected")?;
        if *unreadable > 0 {
            write!(
                f,
                "\n  {unreadable} name their client, and the rest cannot be read: counted as errors of the client"
            )?;
        }
        for Rejection { name, line, reason } in rejections {
            write!(f, "\n  {name}:{line}: {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, counts) in &self.rules {
            let RuleVerdicts {
                findings,
                bans,
                observed,
                suppressed,
                sources,
            } = counts;
            writeln!(
                f,
                "  {rule}: {} of {}, {}, {observed} observed, {suppressed} suppressed",
                counted(*findings, "finding", "findings"),
                counted(*sources, "source", "sources"),
                counted(*bans, "ban", "bans")
            )?;
        }
        write!(
            f,
            "{}, {}, {} of them suppressed",
            counted(self.sources, "source", "sources"),
            counted(self.findings, "finding", "findings"),
            self.suppressed
        )
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reading)?;
        self.verdicts.fmt(f)
    }
}

fn as_text<S: Serializer>(reason: &LogError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(reason)
}
