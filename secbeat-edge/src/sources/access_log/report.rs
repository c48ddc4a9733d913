//! From lines to telemetry.

use std::{
    borrow::Cow,
    fmt::Display,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use jiff::tz::TimeZone;
use secbeat_common::wire::{LearnedFrom, UNREADABLE};
use secbeat_daemon::{
    program,
    time::{from_wall_ms, wall_ms},
};
use secbeat_edge_core::ObservedResponse;
use secbeat_logs::{Formats, LogError, LogLine, MAX_LINE, OpenLines, Piece};
use secbeat_signatures::Request;
use tracing::{info, warn};

use super::{
    doubts::{Delays, Outcomes},
    health::Health,
};
use crate::{
    sources::client_address::TrustedProxies,
    telemetry::{Closed, Recorder},
};

/// What the lines of a source are, and where what they say goes.
pub(in crate::sources) trait Reading: Send {
    /// Reports the line that ends with `piece`, if one does, unless it is from before `oldest_ms` (milliseconds since the Unix
    /// epoch). Waits while there is no room.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the receiver of reports is gone.
    fn take(
        &mut self,
        piece: Piece<'_>,
        open: &mut OpenLines,
        oldest_ms: Option<i64>,
    ) -> Result<Taken, Closed>;

    /// Reports what has waited long enough for a further line; with `all`, whatever waits: none will come.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    fn release(&mut self, _all: bool) -> Result<(), Closed> {
        Ok(())
    }

    /// Says what the journal knows of the lines that follow, which are one entry of it.
    fn begin_entry(&mut self, _entry: EntryFields<'_>) {}

    /// Whether an entry of the journal is one line, whatever line breaks are in it: a client may have chosen them.
    fn takes_whole_entries(&self) -> bool {
        false
    }

    /// The formats that a line has brought into [doubt](Formats::with_doubt), for a checkpoint.
    fn in_doubt(&self) -> Option<String> {
        None
    }

    /// Takes up the doubt of a checkpoint, unless it was about other formats than these.
    fn doubt_again(&mut self, _in_doubt: &str) {}
}

/// What the journal knows of an entry.
#[derive(Clone, Copy, Debug)]
pub(in crate::sources) struct EntryFields<'a> {
    /// `SYSLOG_IDENTIFIER`; empty if there is none.
    pub(in crate::sources) identifier: &'a str,
    /// `_PID`; empty if there is none.
    pub(in crate::sources) pid: &'a str,
    /// Milliseconds since the Unix epoch.
    pub(in crate::sources) at_ms: i64,
}

/// What became of a piece of a log.
pub(in crate::sources) enum Taken {
    /// Reported, with the line's own time in milliseconds since the Unix epoch; `None` if there was nothing to report.
    Reported {
        at_ms: Option<i64>,
    },
    /// As an error of its client: nothing else of the line could be read.
    Unreadable {
        at_ms: i64,
    },
    TooOld,
    /// Of no client: it names a trusted proxy.
    Unattributed,
    /// It blames somebody, but nobody for certain, and why.
    Ambiguous(&'static str),
    /// A line has not ended yet, or no line was seen to begin; or a header.
    Incomplete,
    /// A line that begins so long is not read.
    TooLong,
    /// Not understood, and why.
    NotUnderstood(Box<dyn Display>),
}

/// Lines of an access log, which are answers to clients.
pub(super) struct Answers {
    pub(super) formats: Formats,
    pub(super) learned_from: LearnedFrom,
    pub(super) upstream: u16,
    /// Proxies, whose addresses are not those of clients.
    pub(super) trusted: TrustedProxies,
    pub(super) recorder: Recorder,
}

impl Reading for Answers {
    fn take(
        &mut self,
        piece: Piece<'_>,
        open: &mut OpenLines,
        oldest_ms: Option<i64>,
    ) -> Result<Taken, Closed> {
        let Some(parsed) = self.formats.read(piece, open) else {
            return Ok(Taken::Incomplete);
        };
        self.formats.doubt_if_called_for(&parsed);
        let mut line = match parsed {
            Ok(line) => line,
            // Which the lines after it are read by.
            Err(LogError::Header) => return Ok(Taken::Incomplete),
            Err(error) => {
                let of_client = match oldest_ms {
                    None => error.of_client(wall_ms()),
                    Some(_) => None,
                };
                match of_client {
                    Some(line) => line,
                    None => return Ok(Taken::NotUnderstood(Box::new(error))),
                }
            }
        };
        if line.ends_in_user && oldest_ms.is_none() {
            // The line before it may be old.
            line.at_ms = wall_ms();
        }
        let at_ms = line.at_ms;
        if oldest_ms.is_some_and(|oldest_ms| at_ms < oldest_ms) {
            return Ok(Taken::TooOld);
        }
        if self.learned_from != LearnedFrom::Header {
            line.forwarded = None;
        }
        match line.see_through(|address| self.trusted.contains(address)) {
            Ok(()) => {}
            Err(LogError::Proxy) => return Ok(Taken::Unattributed),
            Err(error) => return Ok(Taken::NotUnderstood(Box::new(error))),
        }
        self.report(&line)?;
        Ok(if line.unreadable {
            Taken::Unreadable { at_ms }
        } else {
            Taken::Reported { at_ms: Some(at_ms) }
        })
    }

    fn in_doubt(&self) -> Option<String> {
        self.formats.is_in_doubt().then(|| self.formats.to_string())
    }

    fn doubt_again(&mut self, in_doubt: &str) {
        if in_doubt == self.formats.to_string() {
            self.formats = self.formats.clone().with_doubt();
        }
    }
}

impl Answers {
    fn report<'a>(&self, line: &'a LogLine<'_>) -> Result<(), Closed> {
        let status = if line.unreadable { UNREADABLE } else { line.status };
        let user_agent = line.user_agent.as_deref().unwrap_or_default();
        let host = line.host.as_deref().unwrap_or_default();
        let signatures = self.recorder.signatures().find(&Request {
            method: &line.method,
            target: &line.path,
            status,
            user_agent,
            referer: line.referer.as_deref().unwrap_or_default(),
            host,
            ..Request::default()
        });
        let keeps_text = !signatures.is_empty() || self.recorder.keeps_text(status);
        let text = |bytes: &'a [u8]| match keeps_text {
            true => String::from_utf8_lossy(bytes),
            false => Cow::Borrowed(""),
        };
        let path = line.path.split(|byte| *byte == b'?').next().unwrap_or_default();
        self.recorder.record_wait(ObservedResponse {
            client: line.client,
            at_ms: from_wall_ms(line.at_ms),
            status,
            method: &text(&line.method),
            path: &text(path),
            host: &text(host),
            user_agent: &text(user_agent),
            upstream: self.upstream,
            learned_from: self.learned_from,
            signatures: &signatures,
            cross_site: false,
        })
    }
}

/// When a line came to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Before the daemon.
    Old,
    /// Since then, but it may have waited to be read.
    Late,
    /// Just then: the host's wall clock, milliseconds since the Unix epoch.
    At(i64),
}

/// Reports one source's lines, and keeps count of them.
pub(super) struct Reporter {
    reading: Box<dyn Reading>,
    health: Arc<Health>,
    /// Lines from before the daemon are too old when they are from before this, milliseconds since the Unix epoch.
    oldest_ms: i64,
    outcomes: Outcomes,
    delays: Delays,
}

impl Reporter {
    /// `max_age` is how old lines from before the daemon may be, and `zone` that of times that are logged without one. The doubt
    /// of a checkpoint goes on.
    pub(super) fn new(
        mut reading: Box<dyn Reading>,
        max_age: Duration,
        zone: Option<TimeZone>,
        health: Arc<Health>,
        in_doubt: Option<&str>,
    ) -> Self {
        if let Some(in_doubt) = in_doubt {
            reading.doubt_again(in_doubt);
        }
        let max_age = i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX);
        Self {
            reading,
            health,
            oldest_ms: wall_ms().saturating_sub(max_age),
            outcomes: Outcomes::default(),
            delays: Delays::new(zone),
        }
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// See [`Reading::in_doubt`].
    pub(super) fn in_doubt(&self) -> Option<String> {
        self.reading.in_doubt()
    }

    /// See [`Reading::release`].
    pub(super) fn release(&mut self, all: bool) -> Result<(), Closed> {
        self.reading.release(all)
    }

    /// See [`Reading::begin_entry`].
    pub(super) fn begin_entry(&mut self, entry: EntryFields<'_>) {
        self.reading.begin_entry(entry);
    }

    /// See [`Reading::takes_whole_entries`].
    pub(super) fn takes_whole_entries(&self) -> bool {
        self.reading.takes_whole_entries()
    }

    /// Takes the next piece of the file or unit called `source`, whose lines that have not ended are in `open`. Waits while
    /// there is no room for what it says.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the receiver of reports is gone.
    pub(super) fn take(
        &mut self,
        source: &str,
        piece: Piece<'_>,
        arrival: Arrival,
        open: &mut OpenLines,
    ) -> Result<(), Closed> {
        if piece == Piece::Line(b"") {
            return Ok(());
        }
        let oldest_ms = (arrival == Arrival::Old).then_some(self.oldest_ms);
        match self.reading.take(piece, open, oldest_ms)? {
            Taken::Incomplete => return Ok(()),
            Taken::TooLong => {
                self.health.too_long.fetch_add(1, Relaxed);
                self.health
                    .add_reason(format!("a line is longer than {MAX_LINE} bytes, or was divided"));
                self.judge_format(source, false);
                return Ok(());
            }
            Taken::NotUnderstood(error) => {
                self.health.unparsed.fetch_add(1, Relaxed);
                self.health.read_at_ms.store(wall_ms(), Relaxed);
                self.health.add_reason(error.to_string());
                self.judge_format(source, false);
                return Ok(());
            }
            Taken::Unreadable { at_ms } => {
                self.health.unreadable.fetch_add(1, Relaxed);
                self.health
                    .add_reason("a line names its client, and the rest of it cannot be read".to_owned());
                self.health.note_time(at_ms);
                self.judge_format(source, true);
                return Ok(());
            }
            Taken::TooOld => {
                self.health.too_old.fetch_add(1, Relaxed);
            }
            Taken::Unattributed => {
                self.health.unattributed.fetch_add(1, Relaxed);
                self.health.read_at_ms.store(wall_ms(), Relaxed);
            }
            Taken::Ambiguous(why) => {
                self.health.ambiguous.fetch_add(1, Relaxed);
                self.health.read_at_ms.store(wall_ms(), Relaxed);
                self.health.add_reason(why.to_owned());
            }
            Taken::Reported { at_ms: None } => self.health.read_at_ms.store(wall_ms(), Relaxed),
            Taken::Reported { at_ms: Some(at_ms) } => {
                self.health.told.fetch_add(1, Relaxed);
                self.health.note_time(at_ms);
                self.judge_time(source, at_ms, arrival);
            }
        }
        self.health.parsed.fetch_add(1, Relaxed);
        self.judge_format(source, true);
        Ok(())
    }

    /// Warns when the times of the last lines cannot be right.
    fn judge_time(&mut self, source: &str, at_ms: i64, arrival: Arrival) {
        let Arrival::At(arrived_ms) = arrival else { return };
        let Some(delay) = self.delays.add(at_ms, arrived_ms) else {
            return;
        };
        let doubt = delay.doubt.clone();
        if self.health.set_delay(delay) {
            match doubt {
                Some(doubt) => warn!(log = self.health.name(), file = source, "{doubt}"),
                None => info!(log = self.health.name(), "the times of its lines are right again"),
            }
        }
    }

    /// Warns when half of the last lines are not understood. What they contain is not told: other users may read the
    /// daemon's log.
    fn judge_format(&mut self, source: &str, is_understood: bool) {
        let news = self.outcomes.add(is_understood);
        let (lines, not) = (self.outcomes.lines(), self.outcomes.not_understood());
        self.health.recent.store(lines.into(), Relaxed);
        self.health.recent_unparsed.store(not.into(), Relaxed);
        let (log, format) = (self.health.name(), self.health.format());
        match news {
            Some(true) => {
                let doubt = format!(
                    "half of its last lines or more are not understood as {format}; `{} explain {source}` shows how each of them \
                     is read",
                    program::of_host()
                );
                warn!(log, file = source, lines, not_understood = not, reasons = ?self.health.reasons(), "{doubt}");
                self.health.doubt_format(Some(doubt));
            }
            Some(false) => {
                info!(log, format, "most of its lines are understood again");
                self.health.doubt_format(None);
            }
            None => {}
        }
    }
}
