//! The detector and the ledger over log files, by event time.
//!
//! Nothing is forgotten by the clock here, so that lines may come in any order; lines of the same time count in the
//! order of the file. The same input gives the same output, byte for byte.

mod output;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    fmt,
    io::{self, Read, Write},
};

use ahash::RandomState;
use jiff::tz::TimeZone;
use secbeat_common::{
    logs::{Detection, Format as LogFormat, FormatChoice, Line, Lines, LogError, LogLine},
    prefix::Prefix,
    wire::LearnedFrom,
};
use uuid::Uuid;

use self::output::Record;
pub use self::output::{Format, Output};
use crate::{
    detect::{DetectConfig, Detector, Finding, Sighting, UpstreamId, Upstreams},
    ledger::{Decision, Ledger, LedgerConfig},
};

/// Rejected lines that a [`Summary`] explains.
const EXPLAINED: usize = 5;

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines read.
    pub read: u64,
    /// Lines that are requests.
    pub parsed: u64,
    /// Lines that are not.
    pub rejected: u64,
    /// The first few of them.
    pub rejections: Vec<Rejection>,
    /// Distinct sources.
    pub sources: usize,
    /// Findings, suppressed ones included.
    pub findings: u64,
    /// Findings that would have led to no ban.
    pub suppressed: u64,
}

/// A line that is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// As given to [`Replay::read`].
    pub name: String,
    /// From 1.
    pub line: u64,
    pub reason: LogError,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            read,
            parsed,
            rejected,
            rejections,
            sources,
            findings,
            suppressed,
        } = self;
        writeln!(f, "{read} lines read, {parsed} parsed, {rejected} rejected")?;
        for Rejection { name, line, reason } in rejections {
            writeln!(f, "  {name}:{line}: {reason}")?;
        }
        write!(
            f,
            "{sources} sources, {findings} findings, {suppressed} of them suppressed"
        )
    }
}

/// A replay under way.
#[derive(Debug)]
pub struct Replay {
    detector: Detector,
    ledger: Ledger,
    upstream: UpstreamId,
    sources: HashSet<Prefix, RandomState>,
    summary: Summary,
    lines: FormatChoice,
    zone: TimeZone,
}

impl Replay {
    /// `lines` is what the lines of the logs look like; times that are logged without a time zone are of `zone`.
    #[must_use]
    pub fn new(detect: DetectConfig, ledger: LedgerConfig, lines: FormatChoice, zone: TimeZone) -> Self {
        Self {
            // One core reads, so that one partition will do; verdicts are the same.
            detector: Detector::new(DetectConfig {
                partitions: 1,
                ..detect
            }),
            ledger: Ledger::new(ledger),
            upstream: Upstreams::default().intern("replay", "log"),
            sources: HashSet::default(),
            summary: Summary::default(),
            lines,
            zone,
        }
    }

    /// Replays one log after those before it, and writes its findings as they come. `name` stands in
    /// [rejections](Summary::rejections).
    ///
    /// # Errors
    ///
    /// Those of reading and writing.
    pub fn read(&mut self, name: &str, input: impl Read, output: &mut Output<impl Write>) -> io::Result<()> {
        match self.lines.clone() {
            FormatChoice::Is(format) => self.read_as(format, name, input, output),
            FormatChoice::Auto => {
                let (detection, input) = Detection::of(input)?;
                let format = detection.chosen().cloned().unwrap_or_default();
                self.read_as(format, name, input, output)
            }
        }
    }

    fn read_as(
        &mut self,
        format: LogFormat,
        name: &str,
        input: impl Read,
        output: &mut Output<impl Write>,
    ) -> io::Result<()> {
        let format = format.with_time_zone(self.zone.clone()).without_user_agent();
        let mut lines = Lines::new(input);
        let mut number = 0;
        while let Some(line) = lines.next_line()? {
            number += 1;
            self.summary.read += 1;
            let parsed = match line {
                Line::Text(text) => format.parse(text),
                Line::TooLong => Err(LogError::TooLong),
            };
            match parsed {
                Ok(parsed) => {
                    self.summary.parsed += 1;
                    if let Some(finding) = self.observe(&parsed) {
                        output.write(&self.judge(finding))?;
                    }
                }
                Err(reason) => {
                    self.summary.rejected += 1;
                    if self.summary.rejections.len() < EXPLAINED {
                        self.summary.rejections.push(Rejection {
                            name: name.to_owned(),
                            line: number,
                            reason,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// What came of it.
    #[must_use]
    pub fn finish(self) -> Summary {
        Summary {
            sources: self.sources.len(),
            ..self.summary
        }
    }

    fn observe(&mut self, line: &LogLine<'_>) -> Option<Finding> {
        let source = Prefix::of_source(line.client);
        let sighting = Sighting {
            source,
            at_ms: line.at_ms,
            upstream: self.upstream,
            learned_from: LearnedFrom::Peer,
        };
        let admitted = self.detector.admitted();
        let finding = self.detector.observe_answer(sighting, line.status);
        if self.detector.admitted() != admitted {
            self.sources.insert(source);
        }
        finding
    }

    fn judge(&mut self, finding: Finding) -> Record {
        self.summary.findings += 1;
        self.ledger.expire(finding.at_ms);
        // The id is never shown; it has to be new, and the same next time.
        let id = Uuid::from_u128(u128::from(self.summary.findings));
        let reason = match self.ledger.judge(&finding, finding.at_ms, id) {
            Decision::Ban(command) => {
                self.detector
                    .ignore_until(finding.source, command.expires_at_ms, command.layer);
                self.ledger.acknowledged(command.id);
                return Record::banned(&finding, &command);
            }
            Decision::AlreadyBanned => "already banned".to_owned(),
            Decision::Suppressed(why) => why.to_string(),
        };
        self.summary.suppressed += 1;
        Record::suppressed(&finding, reason)
    }
}
