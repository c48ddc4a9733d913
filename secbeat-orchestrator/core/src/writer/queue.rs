//! Targets whose requests wait for their first attempt.

use std::collections::VecDeque;

use secbeat_common::prefix::Prefix;

use super::Urgency;

/// The order in which targets are tried. A target may be queued twice; its second turn is passed over.
#[derive(Debug, Default)]
pub(super) struct Queues {
    now: VecDeque<Prefix>,
    bulk: VecDeque<Prefix>,
    /// So many at the front of the second are tried one by one, since an attempt failed.
    singles: usize,
    /// None of the second is tried before this time of the clock that only moves forward.
    bulk_from_ms: Option<i64>,
}

impl Queues {
    pub(super) fn push(&mut self, target: Prefix, urgency: Urgency) {
        match urgency {
            Urgency::Now => self.now.push_back(target),
            Urgency::Bulk => self.bulk.push_back(target),
        }
    }

    /// `targets` are next among those that are not urgent, one by one.
    pub(super) fn push_singles(&mut self, targets: Vec<Prefix>) {
        self.singles += targets.len();
        for target in targets.into_iter().rev() {
            self.bulk.push_front(target);
        }
    }

    /// Tries nothing that is not urgent before `from_ms`.
    pub(super) fn pause_bulk(&mut self, from_ms: i64) {
        self.bulk_from_ms = Some(from_ms);
    }

    pub(super) fn pop_now(&mut self) -> Option<Prefix> {
        self.now.pop_front()
    }

    /// Whether there is something that is not urgent and may be tried at `boot_ms`.
    pub(super) fn has_bulk(&mut self, boot_ms: i64) -> bool {
        if self.bulk_from_ms.is_some_and(|from_ms| boot_ms < from_ms) {
            return false;
        }
        self.bulk_from_ms = None;
        !self.bulk.is_empty()
    }

    /// Returns when what is not urgent may be tried, if it waits for that.
    pub(super) fn bulk_due_ms(&self) -> Option<i64> {
        self.bulk_from_ms.filter(|_| !self.bulk.is_empty())
    }

    /// Whether the next that are not urgent may go together.
    pub(super) fn takes_batches(&self) -> bool {
        self.singles == 0
    }

    pub(super) fn pop_single(&mut self) -> Option<Prefix> {
        self.singles = self.singles.saturating_sub(1);
        self.bulk.pop_front()
    }

    pub(super) fn pop_bulk(&mut self) -> Option<Prefix> {
        self.bulk.pop_front()
    }
}
