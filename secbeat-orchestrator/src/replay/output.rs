//! Findings for people and for programs.

use std::{
    fmt,
    io::{self, Write},
};

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};
use secbeat_common::{
    prefix::Prefix,
    wire::{BlockCommand, Reason},
};
use serde::{Serialize, Serializer};

use secbeat_orchestrator_core::analyzers::{Action, Finding};

/// Over the columns of a [`Record`].
pub(super) const HEADING: &str =
    "AT                        TARGET                    RULE            COUNT  STRIKES  BANNED UNTIL";

/// Output format of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One aligned line each, under a heading.
    Table,
    /// One JSON object a line.
    Json,
}

/// A finding and what came of it; the JSON object, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    at: Time,
    #[serde(serialize_with = "as_text")]
    target: Prefix,
    rule: Reason,
    count: u32,
    /// `None` if no client was banned; of a rule that only observes, when the ban would have ended.
    expires_at: Option<Time>,
    strikes: u32,
    /// Whether the rule only observes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    observed: bool,
    /// The reason why no client was banned.
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<String>,
}

/// Outcome of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Banned,
    /// The rule only observes: this would have been a ban.
    Observed,
    Suppressed,
}

impl Record {
    pub(super) fn banned(finding: &Finding, command: &BlockCommand) -> Self {
        Self {
            // A brake may have held the finding back until then.
            at: Time(command.issued_at_ms),
            target: finding.source,
            rule: finding.rule.into(),
            count: finding.count(),
            expires_at: Some(Time(command.expires_at_ms)),
            strikes: command.strikes,
            observed: finding.action == Action::Observe,
            suppressed: None,
        }
    }

    pub(super) fn suppressed(finding: &Finding, reason: String) -> Self {
        Self {
            at: Time(finding.at_ms),
            target: finding.source,
            rule: finding.rule.into(),
            count: finding.count(),
            expires_at: None,
            strikes: 0,
            observed: finding.action == Action::Observe,
            suppressed: Some(reason),
        }
    }

    pub(super) const fn outcome(&self) -> Outcome {
        match self.expires_at {
            None => Outcome::Suppressed,
            Some(_) if self.observed => Outcome::Observed,
            Some(_) => Outcome::Banned,
        }
    }

    pub(super) const fn target(&self) -> Prefix {
        self.target
    }

    pub(super) fn rule(&self) -> &str {
        self.rule.name()
    }

    /// Milliseconds since the Unix epoch.
    pub(super) const fn starts_ms(&self) -> i64 {
        self.at.0
    }

    /// Whether two bans are in force at the same time.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let starts_before_end =
            |ban: &Self, other: &Self| other.expires_at.is_some_and(|end| ban.at.0 < end.0);
        starts_before_end(self, other) && starts_before_end(other, self)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            target,
            rule,
            count,
            expires_at,
            strikes,
            observed,
            suppressed,
        } = self;
        let (target, rule) = (target.to_string(), rule.name());
        write!(f, "{at:24}  {target:24}  {rule:13}  {count:>6}  {strikes:>7}  ")?;
        match (expires_at, suppressed) {
            (Some(expires_at), _) if *observed => write!(f, "- (observed: until {expires_at})"),
            (Some(expires_at), _) => write!(f, "{expires_at}"),
            (None, Some(reason)) => write!(f, "- ({reason})"),
            (None, None) => f.write_str("-"),
        }
    }
}

/// Milliseconds since the Unix epoch, shown as RFC 3339 with milliseconds and `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time(i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        let end = if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        let time = Timestamp::from_millisecond(self.0).unwrap_or(end);
        f.pad(&PRINTER.timestamp_to_string(&time))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn as_text<S: Serializer>(prefix: &Prefix, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(prefix)
}

/// Destination of findings.
#[derive(Debug)]
pub(crate) struct Output<W> {
    writer: W,
    format: Format,
    headed: bool,
}

impl<W: Write> Output<W> {
    pub(crate) const fn new(writer: W, format: Format) -> Self {
        Self {
            writer,
            format,
            headed: false,
        }
    }

    /// The writer, not flushed.
    pub(crate) fn into_inner(self) -> W {
        self.writer
    }

    pub(super) fn write(&mut self, record: &Record) -> io::Result<()> {
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut self.writer, record)?;
                self.writer.write_all(b"\n")
            }
            Format::Table => {
                if !self.headed {
                    self.headed = true;
                    writeln!(self.writer, "{HEADING}")?;
                }
                writeln!(self.writer, "{record}")
            }
        }
    }
}
