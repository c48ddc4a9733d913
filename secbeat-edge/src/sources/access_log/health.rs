//! How a reader does: counters that its thread writes and the API reads.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Reasons that are kept of lines not understood.
const REASONS: usize = 3;

/// One source's counters since the daemon started.
#[derive(Debug, Default)]
pub struct Health {
    name: String,
    format: String,
    pub(super) parsed: AtomicU64,
    pub(super) unparsed: AtomicU64,
    pub(super) too_long: AtomicU64,
    pub(super) too_old: AtomicU64,
    pub(super) rotations: AtomicU64,
    pub(super) truncations: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) files: AtomicU64,
    pub(super) bytes_behind: AtomicU64,
    /// Wall clock when the last line was read, 0 before the first; milliseconds since the Unix epoch.
    pub(super) read_at_ms: AtomicI64,
    /// How old the last line was then, by its own time.
    pub(super) delay_ms: AtomicI64,
    texts: Mutex<Texts>,
}

#[derive(Debug, Default)]
struct Texts {
    reasons: VecDeque<String>,
    error: Option<String>,
}

impl Health {
    #[must_use]
    pub fn new(name: &str, format: &str) -> Self {
        Self {
            name: name.to_owned(),
            format: format.to_owned(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn format(&self) -> &str {
        &self.format
    }

    pub(super) fn add_reason(&self, reason: String) {
        let reasons = &mut self.texts.lock().reasons;
        if reasons.contains(&reason) {
            return;
        }
        if reasons.len() == REASONS {
            reasons.pop_front();
        }
        reasons.push_back(reason);
    }

    /// Says what keeps the source from being read, or that nothing does. Returns whether that is news.
    pub(super) fn set_error(&self, error: Option<String>) -> bool {
        let kept = &mut self.texts.lock().error;
        let news = *kept != error;
        *kept = error;
        news
    }

    /// The counters at `now_ms`, the wall clock.
    #[must_use]
    pub fn view(&self, now_ms: i64) -> AccessLogView {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let (parsed, unparsed, too_long) =
            (count(&self.parsed), count(&self.unparsed), count(&self.too_long));
        let lines = parsed + unparsed + too_long;
        let read_at = Some(self.read_at_ms.load(Relaxed)).filter(|at| *at > 0);
        let texts = self.texts.lock();
        AccessLogView {
            name: self.name.clone(),
            format: self.format.clone(),
            lines,
            parsed,
            unparsed,
            unparsed_share: if lines == 0 {
                0.0
            } else {
                (unparsed + too_long) as f64 / lines as f64
            },
            too_long,
            too_old: count(&self.too_old),
            rotations: count(&self.rotations),
            truncations: count(&self.truncations),
            restarts: count(&self.restarts),
            files: count(&self.files),
            bytes_behind: count(&self.bytes_behind),
            delay_ms: read_at.map(|_| self.delay_ms.load(Relaxed)),
            silent_ms: read_at.map(|at| now_ms.saturating_sub(at).max(0)),
            reasons: texts.reasons.iter().cloned().collect(),
            error: texts.error.clone(),
        }
    }
}

/// One `[[access_log]]` in `GET /api/v1/stats`. Counts are since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AccessLogView {
    pub name: String,
    pub format: String,
    /// Lines read, understood or not; without empty ones.
    pub lines: u64,
    pub parsed: u64,
    /// Lines that are not in the configured format.
    pub unparsed: u64,
    /// Share of all lines that were not understood, too long ones among them: 0 to 1.
    pub unparsed_share: f64,
    /// Lines beyond the longest that is kept, which are skipped.
    pub too_long: u64,
    /// Understood lines that were there before the daemon and older than `max_age`: not reported.
    pub too_old: u64,
    /// How often another file took a file's name.
    pub rotations: u64,
    /// How often a file became shorter than what was read of it, or began anew.
    pub truncations: u64,
    /// How often `journalctl` had to be started again.
    pub restarts: u64,
    /// Files that are open: those of today, and rotated ones whose writer may still have them.
    pub files: u64,
    /// Bytes that are in the files and not yet read, at the last look.
    pub bytes_behind: u64,
    /// How old the last line was when it was read, by its own time; `None` before the first line.
    pub delay_ms: Option<i64>,
    /// Time since the last line was read; `None` before the first.
    pub silent_ms: Option<i64>,
    /// Why lines were not understood, the latest last; no two alike.
    pub reasons: Vec<String>,
    /// What keeps the source from being read right now.
    pub error: Option<String>,
}
