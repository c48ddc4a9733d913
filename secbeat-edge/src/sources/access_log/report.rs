//! From lines to telemetry.

use std::{
    borrow::Cow,
    fmt::Display,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use jiff::tz::TimeZone;
use secbeat_common::wire::LearnedFrom;
use secbeat_daemon::time::now_ms;
use secbeat_edge_core::ObservedResponse;
use secbeat_logs::LogLine;
use tracing::{info, warn};

use super::{
    doubts::{Delays, Outcomes},
    formats::LogFormats,
    health::Health,
    lines::{MAX_LINE, Piece},
};
use crate::{
    sources::client_address::TrustedProxies,
    telemetry::{Closed, Recorder},
};

/// What the lines of a source are, and where what they say goes.
pub(in crate::sources) trait Reading: Send {
    /// Reports a line, unless it is from before `oldest_ms` (milliseconds since the Unix epoch). Waits while there is no
    /// room.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the receiver of reports is gone.
    fn take(&self, line: &[u8], oldest_ms: Option<i64>) -> Result<Taken, Closed>;
}

/// What became of a line.
pub(in crate::sources) enum Taken {
    /// Reported, with the line's own time in milliseconds since the Unix epoch; `None` if there was nothing to report.
    Reported {
        at_ms: Option<i64>,
    },
    TooOld,
    /// Of no client: it names a trusted proxy.
    Unattributed,
    /// Not understood, and why.
    NotUnderstood(Box<dyn Display>),
}

/// Lines of an access log, which are answers to clients.
pub(super) struct Answers {
    pub(super) formats: LogFormats,
    pub(super) learned_from: LearnedFrom,
    pub(super) upstream: u16,
    /// Whose addresses are no client's.
    pub(super) trusted: TrustedProxies,
    pub(super) recorder: Recorder,
}

impl Reading for Answers {
    fn take(&self, line: &[u8], oldest_ms: Option<i64>) -> Result<Taken, Closed> {
        match self.formats.parse(line) {
            Ok(line) if oldest_ms.is_some_and(|oldest_ms| line.at_ms < oldest_ms) => Ok(Taken::TooOld),
            Ok(line) if self.trusted.contains(line.client) => Ok(Taken::Unattributed),
            Ok(line) => {
                self.report(&line)?;
                Ok(Taken::Reported {
                    at_ms: Some(line.at_ms),
                })
            }
            Err(error) => Ok(Taken::NotUnderstood(Box::new(error))),
        }
    }
}

impl Answers {
    fn report<'a>(&self, line: &'a LogLine<'_>) -> Result<(), Closed> {
        let keeps_text = self.recorder.keeps_text(line.status);
        let text = |bytes: &'a [u8]| match keeps_text {
            true => String::from_utf8_lossy(bytes),
            false => Cow::Borrowed(""),
        };
        let path = line.path.split(|byte| *byte == b'?').next().unwrap_or_default();
        self.recorder.record_wait(ObservedResponse {
            client: line.client,
            at_ms: line.at_ms,
            status: line.status,
            method: &text(&line.method),
            path: &text(path),
            host: &text(line.host.as_deref().unwrap_or_default()),
            user_agent: &text(line.user_agent.as_deref().unwrap_or_default()),
            upstream: self.upstream,
            learned_from: self.learned_from,
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
    /// Just then: wall clock, milliseconds since the Unix epoch.
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
    /// `max_age` is how old lines from before the daemon may be, and `zone` that of times that are logged without one.
    pub(super) fn new(
        reading: Box<dyn Reading>,
        max_age: Duration,
        zone: Option<TimeZone>,
        health: Arc<Health>,
    ) -> Self {
        let max_age = i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX);
        Self {
            reading,
            health,
            oldest_ms: now_ms().saturating_sub(max_age),
            outcomes: Outcomes::default(),
            delays: Delays::new(zone),
        }
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Takes one line of the file or unit called `source`. Waits while there is no room for what it says.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the receiver of reports is gone.
    pub(super) fn take(&mut self, source: &str, piece: Piece<'_>, arrival: Arrival) -> Result<(), Closed> {
        let text = match piece {
            Piece::Line([]) => return Ok(()),
            Piece::Line(text) => text,
            Piece::TooLong => {
                self.health.too_long.fetch_add(1, Relaxed);
                self.health
                    .add_reason(format!("a line is longer than {MAX_LINE} bytes"));
                self.judge_format(source, false);
                return Ok(());
            }
        };
        let oldest_ms = (arrival == Arrival::Old).then_some(self.oldest_ms);
        match self.reading.take(text, oldest_ms)? {
            Taken::NotUnderstood(error) => {
                self.health.unparsed.fetch_add(1, Relaxed);
                self.health.read_at_ms.store(now_ms(), Relaxed);
                self.health.add_reason(error.to_string());
                self.judge_format(source, false);
                return Ok(());
            }
            Taken::TooOld => {
                self.health.too_old.fetch_add(1, Relaxed);
            }
            Taken::Unattributed => {
                self.health.unattributed.fetch_add(1, Relaxed);
                self.health.read_at_ms.store(now_ms(), Relaxed);
            }
            Taken::Reported { at_ms } => {
                let now_ms = now_ms();
                self.health.read_at_ms.store(now_ms, Relaxed);
                if let Some(at_ms) = at_ms {
                    let delay_ms = now_ms.saturating_sub(at_ms).max(0);
                    self.health.delay_ms.store(delay_ms, Relaxed);
                    self.judge_time(source, at_ms, arrival);
                }
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
                    "half of its last lines or more are not understood as {format}; `secbeat-edge explain {source}` shows how \
                     each of them is read"
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
