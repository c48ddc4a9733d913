//! What happens in this process, counted until the bus has it.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use secbeat_common::wire::{AuditRecord, Reason};
use secbeat_daemon::time::now_ms;
use secbeat_orchestrator_core::reports::Row;

use super::period::Step;

/// Hours whose counts wait for the bus at most; what is older is dropped.
const WAITING: usize = 48;

/// Counts what happens in this process. Clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Mutex<BTreeMap<i64, Row>>>);

impl Tally {
    /// Counts a decision that the bus has.
    pub(crate) fn decided(&self, record: &AuditRecord) {
        self.with(|row| row.decided(record));
    }

    /// Counts a ban of this reason that somebody lifted.
    pub(crate) fn lifted(&self, reason: Reason) {
        self.with(|row| row.lifted(reason));
    }

    pub(super) fn with(&self, count: impl FnOnce(&mut Row)) {
        let mut waiting = self.0.lock();
        count(waiting.entry(Step::Hour.of(now_ms())).or_default());
        if waiting.len() > WAITING {
            waiting.pop_first();
        }
    }

    pub(super) fn take(&self) -> BTreeMap<i64, Row> {
        std::mem::take(&mut *self.0.lock())
    }

    /// What could not be kept waits for the next time.
    pub(super) fn put_back(&self, rows: BTreeMap<i64, Row>) {
        let mut waiting = self.0.lock();
        for (hour, row) in rows {
            waiting.entry(hour).or_default().merge(&row);
        }
    }
}
