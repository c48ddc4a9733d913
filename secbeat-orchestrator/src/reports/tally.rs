//! Counts of this process, until the bus has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;
use secbeat_common::wire::{AuditRecord, Reason};
use secbeat_daemon::time::now_ms;
use secbeat_orchestrator_core::reports::Row;
use uuid::Uuid;

use super::period::Step;

/// Hours whose counts wait for the bus at most; what is older is dropped.
const WAITING: usize = 48;
/// Bans that are known to have counted as lifted; of more, the oldest are forgotten.
const LIFTED: usize = 65_536;

/// Counts what happens in this process. Clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    /// By the beginning of each hour.
    waiting: BTreeMap<i64, Row>,
    /// Bans that counted as lifted: two orders at once lift one ban, and an entry of the allowlist may be added again.
    lifted: BTreeSet<Uuid>,
}

impl Tally {
    /// Counts a decision that the bus has.
    pub(crate) fn decided(&self, record: &AuditRecord) {
        self.with(|row| row.decided(record));
    }

    /// Counts the ban `id` of this reason as lifted by somebody, once.
    pub(crate) fn lifted(&self, id: Uuid, reason: Reason) {
        let mut counted = self.0.lock();
        if !counted.lifted.insert(id) {
            return;
        }
        if counted.lifted.len() > LIFTED {
            counted.lifted.pop_first();
        }
        counted.count(|row| row.lifted(reason));
    }

    pub(super) fn with(&self, count: impl FnOnce(&mut Row)) {
        self.0.lock().count(count);
    }

    pub(super) fn take(&self) -> BTreeMap<i64, Row> {
        std::mem::take(&mut self.0.lock().waiting)
    }

    /// What could not be kept waits for the next time.
    pub(super) fn put_back(&self, rows: BTreeMap<i64, Row>) {
        let mut counted = self.0.lock();
        for (hour, row) in rows {
            counted.waiting.entry(hour).or_default().merge(&row);
        }
    }
}

impl Counted {
    fn count(&mut self, count: impl FnOnce(&mut Row)) {
        count(self.waiting.entry(Step::Hour.of(now_ms())).or_default());
        if self.waiting.len() > WAITING {
            self.waiting.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_counts_as_lifted_once() {
        let tally = Tally::default();
        let (by_rule, by_hand) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for _ in 0..2 {
            tally.lifted(by_rule, Reason::ErrorFlood);
            tally.lifted(by_hand, Reason::Manual);
        }
        let mut sum = Row::default();
        tally.take().values().for_each(|row| sum.merge(row));
        assert_eq!((sum.lifted, sum.rules["error-flood"].lifted), (2, 1));
        tally.lifted(by_rule, Reason::ErrorFlood);
        assert!(tally.take().is_empty(), "it counted before");
    }
}
