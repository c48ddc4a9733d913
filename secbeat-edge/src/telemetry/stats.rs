//! What became of the answers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use strum::{IntoStaticStr, VariantArray};

use crate::spool::SpoolStats;

/// Why answers are lost.
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

    /// How many of the answers taken in have left, with a batch or as dropped. They leave in the order in which they came:
    /// all that [`recorded`](Self::recorded) had counted at some moment have left once this is as much.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled.load(Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_have_the_names_of_the_api() {
        let names: Vec<_> = Loss::VARIANTS.iter().map(|loss| loss.name()).collect();
        assert_eq!(names, ["queue", "bus", "spool-full", "too-old", "disk"]);
    }
}
