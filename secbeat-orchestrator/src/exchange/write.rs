//! Files of bans, written.

use std::io::{self, Write};

use secbeat_daemon::time::{NEVER, rfc3339};

use super::{BanEntry, Format};

/// Writes bans one after the other.
pub(crate) struct Writer<W: Write> {
    to: Sink<W>,
    written: u64,
}

enum Sink<W: Write> {
    Json(W),
    Csv(Box<csv::Writer<W>>),
    List(W),
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(to: W, format: Format) -> Self {
        let to = match format {
            Format::Json => Sink::Json(to),
            Format::Csv => Sink::Csv(Box::new(csv::Writer::from_writer(to))),
            Format::List => Sink::List(to),
        };
        Self { to, written: 0 }
    }

    /// # Errors
    ///
    /// When the writer underneath fails.
    pub(crate) fn write(&mut self, ban: &BanEntry) -> io::Result<()> {
        let is_first = self.written == 0;
        match &mut self.to {
            // One on each line, so that two exports can be compared and an error has a line.
            Sink::Json(to) => {
                to.write_all(if is_first { b"[\n" } else { b",\n" })?;
                serde_json::to_writer(to, ban)?;
            }
            Sink::Csv(to) => {
                if is_first {
                    to.write_record(HEADER)?;
                }
                to.write_record(row(ban))?;
            }
            Sink::List(to) => writeln!(to, "{}", ban.target)?,
        }
        self.written += 1;
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    ///
    /// When the writer underneath fails.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.to {
            Sink::Json(mut to) => {
                to.write_all(if self.written == 0 { b"[]\n" } else { b"\n]\n" })?;
                to.flush()
            }
            Sink::Csv(mut to) => {
                if self.written == 0 {
                    to.write_record(HEADER)?;
                }
                to.flush()
            }
            Sink::List(mut to) => to.flush(),
        }
    }
}

const HEADER: [&str; 6] = ["target", "expires_at", "reason", "layer", "strikes", "note"];

fn row(ban: &BanEntry) -> [String; HEADER.len()] {
    let expires_at = match ban.expires_at {
        Some(at) => rfc3339(at.as_millisecond()),
        None if ban.permanent => NEVER.to_owned(),
        None => String::new(),
    };
    [
        ban.target.clone(),
        expires_at,
        ban.reason
            .map(|reason| reason.name().to_owned())
            .unwrap_or_default(),
        ban.layer.map(|layer| layer.name().to_owned()).unwrap_or_default(),
        ban.strikes.map(|strikes| strikes.to_string()).unwrap_or_default(),
        inert(&ban.note),
    ]
}

/// What spreadsheets take for a formula begins with one of these.
pub(super) const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A cell that is a text to a spreadsheet, too: a formula gets a quote before it, and so does a text that has one already.
fn inert(text: &str) -> String {
    let is_formula = text.trim_start_matches('\'').starts_with(FORMULAS);
    let quote = if is_formula { "'" } else { "" };
    format!("{quote}{text}")
}
