//! Outcomes of each receiver's messages.

use parking_lot::Mutex;

use super::entry::Kind;

/// One receiver, as statistics have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReceiverStats {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) counts: Counts,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages that it took.
    pub(crate) sent: u64,
    /// Attempts that failed.
    pub(crate) failed: u64,
    /// Messages that it never took.
    pub(crate) given_up: u64,
    /// Notices that came too fast.
    pub(crate) missed: u64,
    /// Notices that wait for the next message.
    pub(crate) waiting: u64,
    /// Time at which it took the last message, milliseconds since the Unix epoch.
    pub(crate) sent_ms: Option<i64>,
    /// The reason why the last attempt failed; `None` if it did not.
    pub(crate) failing: Option<String>,
}

/// The counts of one receiver, shared by who delivers and who shows.
#[derive(Debug)]
pub(super) struct Tally {
    name: String,
    kind: Kind,
    counts: Mutex<Counts>,
}

impl Tally {
    pub(super) fn new(name: String, kind: Kind) -> Self {
        Self {
            name,
            kind,
            counts: Mutex::default(),
        }
    }

    pub(super) fn count(&self, what: impl FnOnce(&mut Counts)) {
        what(&mut self.counts.lock());
    }

    pub(super) fn read(&self) -> ReceiverStats {
        ReceiverStats {
            name: self.name.clone(),
            kind: self.kind,
            counts: self.counts.lock().clone(),
        }
    }
}
