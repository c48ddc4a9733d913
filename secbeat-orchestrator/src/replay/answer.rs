//! Answers that a log tells of.

use std::net::IpAddr;

use secbeat_common::{rules::is_aborted, wire::UNREADABLE};
use secbeat_logs::LogLine;

/// One answer. Of most good ones, nothing more counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'l> {
    pub(super) client: IpAddr,
    /// Milliseconds since the Unix epoch.
    pub(super) at_ms: i64,
    pub(super) status: u16,
    /// All that the log tells, if it may count.
    pub(super) line: Option<&'l LogLine<'l>>,
}

impl<'l> Answer<'l> {
    /// The answer with all that is told of it.
    #[inline]
    pub(super) fn of(line: &'l LogLine<'l>) -> Self {
        Self {
            client: line.client,
            at_ms: line.at_ms,
            status: status_of(line),
            line: Some(line),
        }
    }
}

/// The answers that are reported in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    All,
    /// Failures alone, as edges report if no rule asks for more.
    Failures,
}

impl Told {
    /// Whether an answer with that status is reported in full.
    #[inline]
    pub(super) const fn is_all_of(self, status: u16) -> bool {
        matches!(self, Self::All) || is_aborted(status) || status >= 400
    }
}

/// The status of a line, also if it could not be read.
#[inline]
pub(super) const fn status_of(line: &LogLine<'_>) -> u16 {
    match line.unreadable {
        true => UNREADABLE,
        false => line.status,
    }
}
