//! Copies of streams, where the bus has several servers.

use std::time::Duration;

/// The servers that keep a bucket or a log, as the one among them says that leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub name: String,
    /// The name of the server that takes its writes.
    pub leader: String,
    /// Those that have a copy.
    pub followers: Vec<Following>,
}

/// A server with a copy of a bucket or a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Following {
    pub server: String,
    /// Time that the leader has not heard of it.
    pub silent: Duration,
    /// Whether the leader counts it as gone.
    pub is_offline: bool,
    /// Whether its copy has all that the leader's has.
    pub is_current: bool,
    /// Writes that its copy lacks.
    pub behind: u64,
}
