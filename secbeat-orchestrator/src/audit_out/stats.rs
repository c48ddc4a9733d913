//! Progress of each copy of the audit.

use std::sync::Arc;

use parking_lot::Mutex;

/// One copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutStats {
    /// `file` or `syslog`.
    pub(crate) name: &'static str,
    /// Its destination.
    pub(crate) place: String,
    /// Whether this orchestrator writes it.
    pub(crate) is_ours: bool,
    /// Records that were written.
    pub(crate) written: u64,
    /// Attempts that failed.
    pub(crate) failed: u64,
    /// Records that NATS dropped before they were written, and what was not a record.
    pub(crate) lost: u64,
    /// Records that wait in NATS.
    pub(crate) behind: u64,
    /// The reason why the last attempt failed; `None` if it did not.
    pub(crate) failing: Option<String>,
}

/// Shared by who writes and who shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<OutStats>>);

impl Tally {
    pub(super) fn new(name: &'static str, place: String) -> Self {
        Self(Arc::new(Mutex::new(OutStats {
            name,
            place,
            ..OutStats::default()
        })))
    }

    pub(super) fn count(&self, what: impl FnOnce(&mut OutStats)) {
        what(&mut self.0.lock());
    }

    pub(super) fn read(&self) -> OutStats {
        self.0.lock().clone()
    }
}
