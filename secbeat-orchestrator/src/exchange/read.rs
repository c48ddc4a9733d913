//! Files of bans, read.

use std::fmt;

use secbeat_common::wire::{Layer, Reason};
use secbeat_daemon::{term::Term, time::NEVER};
use serde_json::value::RawValue;

use super::{BanEntry, Format, write::FORMULAS};

/// An entry and the line that it begins on, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub line: u64,
    pub entry: BanEntry,
}

/// A line that is no ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// From 1.
    pub line: u64,
    pub why: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.why)
    }
}

/// The bans in `text`, and the lines that are none. Without `format` it is found out: an array is JSON, a first line that
/// names a column for the target is the header of a CSV, and everything else is a list.
#[must_use]
pub(crate) fn read(text: &str, format: Option<Format>) -> (Vec<Numbered>, Vec<BadLine>) {
    let text = text.trim_start_matches('\u{feff}');
    let read = match format.unwrap_or_else(|| detect(text)) {
        Format::Json => json(text),
        Format::Csv => csv(text),
        Format::List => list(text),
    };
    let (mut entries, mut bad) = (Vec::new(), Vec::new());
    for read in read {
        match read.and_then(checked) {
            Ok(entry) => entries.push(entry),
            Err(error) => bad.push(error),
        }
    }
    (entries, bad)
}

type Read = Result<Numbered, BadLine>;

/// What is wrong with an entry is said with its line.
fn checked(Numbered { line, entry }: Numbered) -> Read {
    match entry.target() {
        Ok(_) => Ok(Numbered { line, entry }),
        Err(error) => Err(bad(line, error)),
    }
}

fn bad(line: u64, why: impl fmt::Display) -> BadLine {
    let why = why.to_string();
    BadLine { line, why }
}

fn detect(text: &str) -> Format {
    if text.trim_start().starts_with('[') {
        return Format::Json;
    }
    let header = text.lines().next().unwrap_or_default();
    let is_header = header
        .split(',')
        .any(|name| Column::of(name) == Some(Column::Target));
    if is_header { Format::Csv } else { Format::List }
}

fn list(text: &str) -> Vec<Read> {
    let entry = |(line, text): (u64, &str)| {
        let (target, comment) = text.split_once('#').unwrap_or((text, ""));
        let target = target.trim();
        (!target.is_empty()).then(|| {
            Ok(Numbered {
                line,
                entry: BanEntry {
                    target: target.to_owned(),
                    note: comment.trim().to_owned(),
                    ..BanEntry::default()
                },
            })
        })
    };
    (1..).zip(text.lines()).filter_map(entry).collect()
}

fn json(text: &str) -> Vec<Read> {
    let elements: Vec<&RawValue> = match serde_json::from_str(text) {
        Ok(elements) => elements,
        Err(error) => {
            return vec![Err(bad(
                error.line() as u64,
                format!("no array of bans: {error}"),
            ))];
        }
    };
    let (mut line, mut counted) = (1, 0);
    let entry = |element: &RawValue| {
        // The element is a part of the text.
        let at = element.get().as_ptr() as usize - text.as_ptr() as usize;
        line += text[counted..at].matches('\n').count() as u64;
        counted = at;
        match serde_json::from_str(element.get()) {
            Ok(entry) => Ok(Numbered { line, entry }),
            Err(error) => Err(bad(line + error.line().saturating_sub(1) as u64, error)),
        }
    };
    elements.into_iter().map(entry).collect()
}

/// A column of a CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Target,
    Duration,
    ExpiresAt,
    Reason,
    Layer,
    Strikes,
    Note,
}

impl Column {
    /// By its name in the header; others than these are ignored.
    fn of(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "target" | "value" | "ip" | "network" => Self::Target,
            "duration" => Self::Duration,
            "expires_at" => Self::ExpiresAt,
            "reason" => Self::Reason,
            "layer" => Self::Layer,
            "strikes" => Self::Strikes,
            "note" => Self::Note,
            _ => return None,
        })
    }
}

fn csv(text: &str) -> Vec<Read> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let columns: Vec<_> = match reader.headers() {
        Ok(header) => header.iter().map(Column::of).collect(),
        Err(error) => return vec![Err(bad(1, error))],
    };
    if !columns.contains(&Some(Column::Target)) {
        return vec![Err(bad(1, "the header names no column `target`"))];
    }
    let entry = |record: csv::Result<csv::StringRecord>| {
        let line_of = |position: Option<&csv::Position>| position.map_or(1, csv::Position::line);
        let record = record.map_err(|error| bad(line_of(error.position()), &error))?;
        let line = line_of(record.position());
        let mut entry = BanEntry::default();
        let fields = columns.iter().zip(&record).filter(|(_, text)| !text.is_empty());
        for (column, text) in fields {
            if let Some(column) = column {
                fill(&mut entry, *column, text).map_err(|error| bad(line, error))?;
            }
        }
        Ok(Numbered { line, entry })
    };
    reader.records().map(entry).collect()
}

fn fill(entry: &mut BanEntry, column: Column, text: &str) -> Result<(), String> {
    match column {
        Column::Target => text.clone_into(&mut entry.target),
        Column::Duration => entry.duration = Some(text.parse::<Term>()?),
        Column::ExpiresAt if text == NEVER => entry.permanent = true,
        Column::ExpiresAt => {
            let at = text.parse();
            entry.expires_at = Some(at.map_err(|error| format!("expires_at: {error}"))?);
        }
        // Other programs have words of their own here.
        Column::Reason => match text.parse::<Reason>() {
            Ok(reason) => entry.reason = Some(reason),
            Err(_) if entry.note.is_empty() => text.clone_into(&mut entry.note),
            Err(_) => {}
        },
        Column::Layer => {
            let layers = [Layer::Kernel, Layer::L7];
            let layer = layers.into_iter().find(|layer| layer.name() == text);
            entry.layer = Some(layer.ok_or_else(|| format!("`{text}` is neither kernel nor l7"))?);
        }
        Column::Strikes => {
            let strikes = text.parse();
            entry.strikes = Some(strikes.map_err(|error| format!("strikes: {error}"))?);
        }
        // As it is written here, so that a spreadsheet takes it for a text.
        Column::Note => {
            let quoted = text.strip_prefix('\'');
            let quoted = quoted.filter(|rest| rest.trim_start_matches('\'').starts_with(FORMULAS));
            quoted.unwrap_or(text).clone_into(&mut entry.note);
        }
    }
    Ok(())
}
