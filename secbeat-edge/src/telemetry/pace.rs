//! Pace of the latest responses.

use std::time::Duration;

use super::{BUSY, CALM, CHUNK, GATHER, MANY};

/// What the task goes by, beside what the batcher says.
#[derive(Debug, Default)]
pub(super) struct Pace {
    since: Duration,
    answers: usize,
    /// Whether to wait for more responses before sending.
    pub(super) is_busy: bool,
    /// Whether a full chunk came, and more has come ever since.
    pub(super) has_more: bool,
    /// When it will have been calm for long enough, after responses came that fast.
    pub(super) calm_at: Option<Duration>,
}

impl Pace {
    /// Counts `answers` that were taken at `now`.
    pub(super) fn took(&mut self, answers: usize, now: Duration) {
        if now.saturating_sub(self.since) >= GATHER {
            (self.since, self.answers) = (now, 0);
        }
        self.answers += answers;
        // A full chunk: more wait already.
        self.is_busy = self.answers >= BUSY && answers < CHUNK;
        self.has_more = answers == CHUNK || self.has_more && answers >= MANY;
        if self.has_more {
            self.calm_at = Some(now + CALM);
        }
    }
}
