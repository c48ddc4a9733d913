//! How a reader does: counters that its thread writes and the API reads.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use secbeat_daemon::time::now_ms;

/// Reasons that are kept of lines not understood.
const REASONS: usize = 3;

/// One source's counters since the daemon started.
#[derive(Debug, Default)]
pub struct Health {
    name: String,
    format: String,
    pub(crate) parsed: AtomicU64,
    pub(crate) unparsed: AtomicU64,
    /// Lines that name their client, and the rest of which cannot be read: reported as errors.
    pub(crate) unreadable: AtomicU64,
    /// Lines that begin so long that they are not read.
    pub(crate) too_long: AtomicU64,
    pub(crate) too_old: AtomicU64,
    pub(crate) rotations: AtomicU64,
    pub(crate) truncations: AtomicU64,
    pub(crate) restarts: AtomicU64,
    pub(crate) files: AtomicU64,
    pub(crate) bytes_behind: AtomicU64,
    /// Wall clock when the last line was read, 0 before the first; milliseconds since the Unix epoch.
    pub(crate) read_at_ms: AtomicI64,
    /// How old the last line was then, by its own time.
    pub(crate) delay_ms: AtomicI64,
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

    /// Lines understood.
    #[must_use]
    pub fn parsed(&self) -> u64 {
        self.parsed.load(Relaxed)
    }

    /// How often another file took a file's name.
    #[must_use]
    pub fn rotations(&self) -> u64 {
        self.rotations.load(Relaxed)
    }

    /// How often a file became shorter than what was read of it, or began again.
    #[must_use]
    pub fn truncations(&self) -> u64 {
        self.truncations.load(Relaxed)
    }

    /// A line was read that says it is from `at_ms`, milliseconds since the Unix epoch.
    pub(super) fn note_time(&self, at_ms: i64) {
        let now_ms = now_ms();
        self.read_at_ms.store(now_ms, Relaxed);
        self.delay_ms.store(now_ms.saturating_sub(at_ms).max(0), Relaxed);
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

    /// Why lines were not understood, the latest last; no two alike.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        self.texts.lock().reasons.iter().cloned().collect()
    }

    /// What keeps the source from being read right now.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.texts.lock().error.clone()
    }
}
