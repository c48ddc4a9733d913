//! Health of a reader: counters that its thread writes and the API reads.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use secbeat_daemon::time::wall_ms;

use super::doubts::Delay;

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
    /// Lines that name a trusted proxy as the client.
    pub(crate) unattributed: AtomicU64,
    /// Lines that blame somebody, but nobody for certain.
    pub(crate) ambiguous: AtomicU64,
    /// Lines that were reported.
    pub(crate) told: AtomicU64,
    pub(crate) rotations: AtomicU64,
    pub(crate) truncations: AtomicU64,
    pub(crate) restarts: AtomicU64,
    pub(crate) files: AtomicU64,
    pub(crate) bytes_behind: AtomicU64,
    /// Wall clock when the last line was read, 0 before the first; milliseconds since the Unix epoch.
    pub(crate) read_at_ms: AtomicI64,
    /// How old the last line was then, by its own time.
    pub(crate) delay_ms: AtomicI64,
    /// The last lines, at most a hundred, and how many of them were not understood.
    pub(crate) recent: AtomicU64,
    pub(crate) recent_unparsed: AtomicU64,
    texts: Mutex<Texts>,
}

#[derive(Debug, Default)]
struct Texts {
    reasons: VecDeque<String>,
    error: Option<String>,
    skipped: BTreeSet<String>,
    median_delay_ms: Option<i64>,
    /// The reason why the times of the lines cannot be right.
    clock: Option<String>,
    /// The reason why the format cannot be right.
    format: Option<String>,
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

    /// Returns how often another file took a file's name.
    #[must_use]
    pub fn rotations(&self) -> u64 {
        self.rotations.load(Relaxed)
    }

    /// Returns how often a file became shorter than what was read of it, or began again.
    #[must_use]
    pub fn truncations(&self) -> u64 {
        self.truncations.load(Relaxed)
    }

    /// A line was read that says it is from `at_ms`, milliseconds since the Unix epoch.
    pub(super) fn note_time(&self, at_ms: i64) {
        let now_ms = wall_ms();
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
    pub(crate) fn set_error(&self, error: Option<String>) -> bool {
        let kept = &mut self.texts.lock().error;
        let news = *kept != error;
        *kept = error;
        news
    }

    /// Says which files are passed over, and why. Returns what is news of it.
    pub(super) fn set_skipped(&self, skipped: BTreeSet<String>) -> Vec<String> {
        let kept = &mut self.texts.lock().skipped;
        let news = skipped.difference(kept).cloned().collect();
        *kept = skipped;
        news
    }

    /// Files of the place that are passed over, and why.
    #[must_use]
    pub fn skipped(&self) -> Vec<String> {
        self.texts.lock().skipped.iter().cloned().collect()
    }

    /// Says how late the last lines are. Returns whether their times are doubted now and were not, or the other way round.
    pub(super) fn set_delay(&self, delay: Delay) -> bool {
        let texts = &mut self.texts.lock();
        texts.median_delay_ms = Some(delay.median_ms);
        let is_news = texts.clock.is_some() != delay.doubt.is_some();
        texts.clock = delay.doubt;
        is_news
    }

    /// Says why the format cannot be right, or that it can.
    pub(super) fn doubt_format(&self, doubt: Option<String>) {
        self.texts.lock().format = doubt;
    }

    /// Returns how late the last lines were when they were read, by their own times.
    #[must_use]
    pub fn median_delay_ms(&self) -> Option<i64> {
        self.texts.lock().median_delay_ms
    }

    /// Returns what is likely to be wrong with the config.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let texts = self.texts.lock();
        texts.format.iter().chain(&texts.clock).cloned().collect()
    }

    /// Returns why lines were not understood, the latest last; no two alike.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        self.texts.lock().reasons.iter().cloned().collect()
    }

    /// Returns what keeps the source from being read right now.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.texts.lock().error.clone()
    }
}
