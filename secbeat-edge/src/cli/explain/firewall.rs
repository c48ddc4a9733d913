//! `explain` of a web application firewall's audit log.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    str::FromStr,
};

use jiff::{Timestamp, tz::TimeZone};
use secbeat_common::wire::{LearnedFrom, WafEvent, WafOutcome};
use secbeat_daemon::cli::{Output, printable};
use secbeat_logs::{
    FormatChoice, FormatError,
    waf::{WafError, WafFormat},
};
use serde::Serialize;

use super::{Args, Summary, write_json, write_summary};

/// What `--format` names.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    Access(FormatChoice),
    Firewall(WafFormat),
}

impl Choice {
    /// Returns what several come to.
    ///
    /// # Errors
    ///
    /// Returns an error if they cannot be named together.
    pub(super) fn of(choices: &[Self]) -> Result<Self, String> {
        let mut access = Vec::new();
        for choice in choices {
            match choice {
                Self::Access(choice) => access.push(choice.clone()),
                Self::Firewall(format) if choices.len() == 1 => return Ok(Self::Firewall(*format)),
                Self::Firewall(format) => {
                    return Err(format!(
                        "invalid formats: expected `{format}` alone, that of a firewall"
                    ));
                }
            }
        }
        let access = FormatChoice::of(access).map_err(|error| error.to_string())?;
        Ok(Self::Access(access))
    }
}

impl FromStr for Choice {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(format) => Ok(Self::Firewall(format)),
            Err(_) => text.parse().map(Self::Access),
        }
    }
}

/// Returns what to state, if a line that is not a request is an event of a firewall.
pub(super) fn note(line: &[u8]) -> Option<&'static str> {
    let formats = [
        (
            WafFormat::Modsecurity,
            "a line is that of a firewall's audit log: state `--format modsecurity-json`",
        ),
        (
            WafFormat::Coraza,
            "a line is that of a firewall's audit log: state `--format coraza-json`",
        ),
    ];
    let is_event = |format: WafFormat| {
        let read = format.parse(line, LearnedFrom::Peer, &TimeZone::UTC);
        matches!(read, Ok(Some(_)))
    };
    let mut notes = formats.into_iter();
    notes.find_map(|(format, note)| is_event(format).then_some(note))
}

/// A line of the JSON output.
#[derive(Debug, Serialize)]
struct Explained {
    /// From 1.
    line: u64,
    /// Not there if no rule matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<WafEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Prints each line as it is read.
///
/// # Errors
///
/// Returns the errors of reading and writing.
pub(super) fn explain(
    format: WafFormat,
    args: &Args,
    input: impl Read,
    output: &mut impl Write,
) -> io::Result<Summary> {
    let mut summary = Summary {
        format: format.to_string(),
        ..Summary::default()
    };
    if args.output == Output::Table {
        writeln!(output, "read as {format}")?;
    }
    for line in BufReader::new(input).split(b'\n') {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let read = format.parse(&line, LearnedFrom::Peer, &args.time_zone);
        summary.lines += 1;
        summary.understood += u64::from(read.is_ok());
        match args.output {
            Output::Table => write_row(summary.lines, &read, output)?,
            Output::Json => {
                let (event, error) = match read {
                    Ok(event) => (event, None),
                    Err(error) => (None, Some(error.to_string())),
                };
                let explained = Explained {
                    line: summary.lines,
                    event,
                    error,
                };
                write_json(&explained, output)?;
            }
        }
    }
    write_summary(&summary, args.output, output)?;
    Ok(summary)
}

fn write_row(
    number: u64,
    read: &Result<Option<WafEvent>, WafError>,
    output: &mut impl Write,
) -> io::Result<()> {
    let event = match read {
        Ok(Some(event)) => event,
        Ok(None) => return writeln!(output, "{number:>8}  no rule matched"),
        Err(error) => return writeln!(output, "{number:>8}  not understood: {error}"),
    };
    let at = Timestamp::from_millisecond(event.at_ms);
    let at = at.map_or_else(|_| format!("{} ms", event.at_ms), |at| format!("{at:.3}"));
    let outcome = match event.outcome {
        WafOutcome::Blocked => "blocked",
        WafOutcome::Detected => "detected",
        WafOutcome::Unknown => "unknown",
    };
    let rules: Vec<_> = event.rules.iter().map(|rule| rule.id.to_string()).collect();
    writeln!(
        output,
        "{number:>8}  {}  {at}  {outcome}  {}  {}  rules {}: {}",
        event.client,
        printable(&event.uri),
        printable(&event.host),
        rules.join(", "),
        printable(&event.message),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::explained_of;

    const LINE: &str = r#"{"transaction":{"time":"21/Nov/2026:10:06:56 +0000","remote_address":"203.0.113.7"},"request":{"request_line":"GET /x?y HTTP/1.1","headers":{"Host":"a"}},"audit_data":{"messages":["Warning. [id \"942100\"] [msg \"SQL Injection\"] [severity \"CRITICAL\"]"]}}"#;

    #[test]
    fn an_audit_log_is_read_by_its_format_and_told_under_auto() {
        let log = format!("{LINE}\nnonsense\n");
        let shown = explained_of(&log, &["-fmodsecurity-json"]);
        assert!(
            shown.contains("203.0.113.7  2026-11-21T10:06:56.000Z  detected  /x  a  rules 942100: "),
            "{shown}"
        );
        assert!(shown.ends_with("2 lines, 1 understood, 1 not\n"), "{shown}");
        let shown = explained_of(&log, &[]);
        assert!(
            shown.contains(
                "note: a line is that of a firewall's audit log: state `--format modsecurity-json`"
            ),
            "{shown}"
        );
        let shown = explained_of(&log, &["-fmodsecurity-json", "-ojson"]);
        assert!(shown.contains("\"rules\":[{\"id\":942100,"), "{shown}");
    }
}
