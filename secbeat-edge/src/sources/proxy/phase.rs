//! End of a proxy.

use std::time::Duration;

/// Stages of a listener's end. Each follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// Connections end with what is under way on them.
    Draining(Ending),
    /// Nobody waits for open connections any more.
    Over,
}

/// How a listener ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// Whether clients that come meanwhile are served, one request each: their next connections go to the process that comes after
    /// this one, since the socket is kept for it.
    pub(super) accepts: bool,
    /// How long connections may take.
    pub(super) within: Duration,
}

/// How long those have who came while the listener was ending.
pub(super) const LATE: Duration = Duration::from_secs(2);
