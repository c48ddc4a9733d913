//! Outcomes of the responses.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use strum::{IntoStaticStr, VariantArray};

/// The reason why answers are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(const_into_str, serialize_all = "kebab-case")]
pub enum Loss {
    /// The batcher's queue was full.
    Queue,
    /// The bus did not take them, and there is no spool.
    Bus,
    /// They were the oldest in a full spool.
    SpoolFull,
    /// They were too old when they could be sent.
    TooOld,
    /// The spool's disk was full, broken or too slow.
    Disk,
}

impl Loss {
    /// The name that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}

/// What became of the answers, since the start.
#[derive(Debug, Default)]
pub struct TelemetryStats {
    pub(super) recorded: AtomicU64,
    pub(super) settled: AtomicU64,
    pub(super) is_taken: AtomicBool,
    pub(super) batches_sent: AtomicU64,
    pub(super) batches_late: AtomicU64,
    pub(super) batches_resent: AtomicU64,
    lost: [AtomicU64; Loss::VARIANTS.len()],
    spool: SpoolStats,
}

impl TelemetryStats {
    /// Answers taken in.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Relaxed)
    }

    /// Returns how many of the answers taken in have left, with a batch or as dropped. They leave in the order in which they
    /// came: all that [`recorded`](Self::recorded) had counted at some moment have left once this is as much.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled.load(Relaxed)
    }

    /// Whether the bus keeps telemetry, as of the latest look.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.is_taken.load(Relaxed)
    }

    /// Answers lost, for whatever reason. What an earlier process left in the spool counts too.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lost.iter().map(|lost| lost.load(Relaxed)).sum()
    }

    /// Answers lost because of `loss`.
    #[must_use]
    pub fn lost(&self, loss: Loss) -> u64 {
        self.lost[loss as usize].load(Relaxed)
    }

    /// Counts `answers` as lost.
    pub fn lose(&self, loss: Loss, answers: u64) {
        self.lost[loss as usize].fetch_add(answers, Relaxed);
    }

    /// Batches handed to the bus.
    #[must_use]
    pub fn batches_sent(&self) -> u64 {
        self.batches_sent.load(Relaxed)
    }

    /// Batches among them that came from the spool.
    #[must_use]
    pub fn batches_late(&self) -> u64 {
        self.batches_late.load(Relaxed)
    }

    /// Batches spooled because the bus broke before it was known to have them; the orchestrator knows them apart.
    #[must_use]
    pub fn batches_resent(&self) -> u64 {
        self.batches_resent.load(Relaxed)
    }

    #[must_use]
    pub fn spool(&self) -> &SpoolStats {
        &self.spool
    }
}

/// What lies in the spool, and what went through it since the start.
#[derive(Debug, Default)]
pub struct SpoolStats {
    pub(crate) bytes: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) torn: AtomicU64,
    pub(crate) failing: AtomicBool,
}

impl SpoolStats {
    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Batches on disk that wait to be sent.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches.load(Relaxed)
    }

    /// Batches written since the start.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Segments that ended in the middle of a record, since the start.
    #[must_use]
    pub fn torn(&self) -> u64 {
        self.torn.load(Relaxed)
    }

    /// Whether the folder could not be used when last tried.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_have_the_names_of_the_api() {
        let names: Vec<_> = Loss::VARIANTS.iter().map(|loss| loss.name()).collect();
        assert_eq!(names, ["queue", "bus", "spool-full", "too-old", "disk"]);
    }
}
