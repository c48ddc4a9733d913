//! Findings for people and for programs.

use std::{
    fmt,
    io::{self, Write},
};

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};
use secbeat_common::{prefix::Prefix, wire::BlockCommand};
use serde::{Serialize, Serializer};

use crate::detect::Finding;

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One aligned line each, under a heading.
    Table,
    /// One JSON object a line.
    Json,
}

/// A finding and what came of it; the JSON object, in this order.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    at: Time,
    #[serde(serialize_with = "as_text")]
    target: Prefix,
    rule: &'static str,
    count: u32,
    /// `None` if nobody was banned.
    expires_at: Option<Time>,
    strikes: u32,
    /// Why nobody was banned.
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<String>,
}

impl Record {
    pub(super) fn banned(finding: &Finding, command: &BlockCommand) -> Self {
        Self {
            at: Time(finding.at_ms),
            target: finding.source,
            rule: finding.rule.name(),
            count: finding.count,
            expires_at: Some(Time(command.expires_at_ms)),
            strikes: command.strikes,
            suppressed: None,
        }
    }

    pub(super) fn suppressed(finding: &Finding, reason: String) -> Self {
        Self {
            at: Time(finding.at_ms),
            target: finding.source,
            rule: finding.rule.name(),
            count: finding.count,
            expires_at: None,
            strikes: 0,
            suppressed: Some(reason),
        }
    }
}

/// Milliseconds since the Unix epoch, shown as RFC 3339 with milliseconds and `Z`.
#[derive(Clone, Copy, Debug)]
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

/// Where findings go.
#[derive(Debug)]
pub struct Output<W> {
    writer: W,
    format: Format,
    headed: bool,
}

impl<W: Write> Output<W> {
    pub const fn new(writer: W, format: Format) -> Self {
        Self {
            writer,
            format,
            headed: false,
        }
    }

    /// The writer, not flushed.
    pub fn into_inner(self) -> W {
        self.writer
    }

    pub(super) fn write(&mut self, record: &Record) -> io::Result<()> {
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut self.writer, record)?;
                self.writer.write_all(b"\n")
            }
            Format::Table => self.write_row(record),
        }
    }

    fn write_row(&mut self, record: &Record) -> io::Result<()> {
        if !self.headed {
            self.headed = true;
            let (at, target, rule, count) = ("AT", "TARGET", "RULE", "COUNT");
            writeln!(
                self.writer,
                "{at:24}  {target:24}  {rule:13}  {count:>6}  STRIKES  BANNED UNTIL"
            )?;
        }
        let Record {
            at,
            target,
            rule,
            count,
            expires_at,
            strikes,
            suppressed,
        } = record;
        let target = target.to_string();
        write!(
            self.writer,
            "{at:24}  {target:24}  {rule:13}  {count:>6}  {strikes:>7}  "
        )?;
        match (expires_at, suppressed) {
            (Some(expires_at), _) => writeln!(self.writer, "{expires_at}"),
            (None, Some(reason)) => writeln!(self.writer, "- ({reason})"),
            (None, None) => writeln!(self.writer, "-"),
        }
    }
}
