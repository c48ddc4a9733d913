//! From lines to telemetry.

use std::{
    borrow::Cow,
    fmt::Display,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use secbeat_common::wire::{LearnedFrom, UNREADABLE};
use secbeat_daemon::time::now_ms;
use secbeat_edge_core::ObservedResponse;
use secbeat_logs::{Format, LogLine, MAX_LINE, OpenLines, Piece};
use tracing::warn;

use super::health::Health;
use crate::telemetry::{Closed, Recorder};

/// What the lines of a source are, and where what they say goes.
pub(in crate::sources) trait Reading: Send {
    /// Reports the line that ends with `piece`, if one does, unless it is from before `oldest_ms` (milliseconds since the Unix epoch). Waits while there is no
    /// room.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the receiver of reports is gone.
    fn take(&self, piece: Piece<'_>, open: &mut OpenLines, oldest_ms: Option<i64>) -> Result<Taken, Closed>;
}

/// What became of a piece of a log.
pub(in crate::sources) enum Taken {
    /// Reported, if there was something to report, with the line's own time in milliseconds since the Unix epoch.
    Reported {
        at_ms: i64,
    },
    /// As an error of its client: nothing else of the line could be read.
    Unreadable {
        at_ms: i64,
    },
    TooOld,
    /// A line has not ended yet, or no line was seen to begin.
    Incomplete,
    /// A line that begins so long is not read.
    TooLong,
    /// Not understood, and why.
    NotUnderstood(Box<dyn Display>),
}

/// Lines of an access log, which are answers to clients.
pub(super) struct Answers {
    pub(super) format: Format,
    pub(super) learned_from: LearnedFrom,
    pub(super) upstream: u16,
    pub(super) recorder: Recorder,
}

impl Reading for Answers {
    fn take(&self, piece: Piece<'_>, open: &mut OpenLines, oldest_ms: Option<i64>) -> Result<Taken, Closed> {
        let Some(parsed) = self.format.read(piece, open) else {
            return Ok(Taken::Incomplete);
        };
        match parsed {
            Ok(line) if oldest_ms.is_some_and(|oldest_ms| line.at_ms < oldest_ms) => Ok(Taken::TooOld),
            Ok(line) => {
                self.report(&line)?;
                let at_ms = line.at_ms;
                Ok(if line.unreadable {
                    Taken::Unreadable { at_ms }
                } else {
                    Taken::Reported { at_ms }
                })
            }
            Err(error) => Ok(Taken::NotUnderstood(Box::new(error))),
        }
    }
}

impl Answers {
    fn report<'a>(&self, line: &'a LogLine<'_>) -> Result<(), Closed> {
        let status = if line.unreadable { UNREADABLE } else { line.status };
        let keeps_text = self.recorder.keeps_text(status);
        let text = |bytes: &'a [u8]| match keeps_text {
            true => String::from_utf8_lossy(bytes),
            false => Cow::Borrowed(""),
        };
        let path = line.path.split(|byte| *byte == b'?').next().unwrap_or_default();
        self.recorder.record_wait(ObservedResponse {
            client: line.client,
            at_ms: line.at_ms,
            status,
            method: &text(&line.method),
            path: &text(path),
            host: &text(line.host.as_deref().unwrap_or_default()),
            user_agent: &text(line.user_agent.as_deref().unwrap_or_default()),
            upstream: self.upstream,
            learned_from: self.learned_from,
        })
    }
}

/// So many lines in a row that are not understood are worth a warning, and again ten times as many.
const WORTH_A_WARNING: u64 = 20;
/// Bytes of a line that a warning shows.
const SAMPLE: usize = 160;

/// Reports one source's lines, and keeps count of them.
pub(super) struct Reporter {
    reading: Box<dyn Reading>,
    health: Arc<Health>,
    /// Lines from before the daemon are too old when they are from before this, milliseconds since the Unix epoch.
    oldest_ms: i64,
    /// Lines not understood since the last that was.
    not_understood: u64,
    next_warning: u64,
}

impl Reporter {
    /// `max_age` is how old lines from before the daemon may be.
    pub(super) fn new(reading: Box<dyn Reading>, max_age: Duration, health: Arc<Health>) -> Self {
        let max_age = i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX);
        Self {
            reading,
            health,
            oldest_ms: now_ms().saturating_sub(max_age),
            not_understood: 0,
            next_warning: WORTH_A_WARNING,
        }
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Takes the next piece of the file or unit called `source`, whose lines that have not ended are in `open`; `old` if it
    /// was there before the daemon. Waits while there is no room for what it says.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the receiver of reports is gone.
    pub(super) fn take(
        &mut self,
        source: &str,
        piece: Piece<'_>,
        old: bool,
        open: &mut OpenLines,
    ) -> Result<(), Closed> {
        let text = match piece {
            Piece::Line([]) => return Ok(()),
            Piece::Line(text) => text,
            Piece::Begin(_) | Piece::More(_) | Piece::End(_) => b"",
        };
        let health = &self.health;
        match self.reading.take(piece, open, old.then_some(self.oldest_ms))? {
            Taken::Incomplete => return Ok(()),
            Taken::TooLong => {
                health.too_long.fetch_add(1, Relaxed);
                health.add_reason(format!("a line is longer than {MAX_LINE} bytes"));
                return Ok(());
            }
            Taken::NotUnderstood(error) => {
                self.complain(source, text, &error);
                return Ok(());
            }
            Taken::Unreadable { at_ms } => {
                health.unreadable.fetch_add(1, Relaxed);
                health.add_reason("a line names its client, and the rest of it cannot be read".to_owned());
                health.note_time(at_ms);
                return Ok(());
            }
            Taken::TooOld => {
                health.too_old.fetch_add(1, Relaxed);
            }
            Taken::Reported { at_ms } => health.note_time(at_ms),
        }
        health.parsed.fetch_add(1, Relaxed);
        self.not_understood = 0;
        self.next_warning = WORTH_A_WARNING;
        Ok(())
    }

    fn complain(&mut self, source: &str, text: &[u8], error: &dyn Display) {
        self.health.unparsed.fetch_add(1, Relaxed);
        self.health.read_at_ms.store(now_ms(), Relaxed);
        self.not_understood += 1;
        // Most such lines come in floods: what is said of them is not.
        if self.not_understood <= WORTH_A_WARNING {
            self.health.add_reason(error.to_string());
        }
        if self.not_understood >= self.next_warning {
            self.next_warning = self.next_warning.saturating_mul(10);
            warn!(
                file = source,
                format = self.health.format(),
                lines = self.not_understood,
                sample = without_addresses(text),
                %error,
                "no line of this log is understood; `secbeat-edge explain {source}` shows what the lines of an access log look like"
            );
        }
    }
}

/// The beginning of a line as text, with `…` for every client's address.
fn without_addresses(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(SAMPLE)]);
    text.split_inclusive(|char: char| !(char.is_ascii_hexdigit() || char == '.' || char == ':'))
        .map(|part| {
            let word =
                part.trim_end_matches(|char: char| !(char.is_ascii_hexdigit() || char == '.' || char == ':'));
            let end = &part[word.len()..];
            if word.parse::<IpAddr>().is_ok() || word.parse::<SocketAddr>().is_ok() {
                Cow::Owned(format!("…{end}"))
            } else {
                Cow::Borrowed(part)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_names_no_client() {
        assert_eq!(
            without_addresses(br#"203.0.113.7 - - [10/Oct/2023:11:06:56] "GET /1.2 HTTP/1.1" client=2001:db8::1, 192.0.2.1:80"#),
            r#"… - - [10/Oct/2023:11:06:56] "GET /1.2 HTTP/1.1" client=…, …"#
        );
    }
}
