//! The programs whose commands messages for people name: where one process is both daemons, its program has the commands of both.

use std::sync::OnceLock;

static BOTH: OnceLock<&str> = OnceLock::new();

/// The program with the commands about this host.
#[must_use]
pub fn of_host() -> &'static str {
    BOTH.get().copied().unwrap_or("secbeat-edge")
}

/// The program with the commands about bans of all hosts.
#[must_use]
pub fn of_fleet() -> &'static str {
    BOTH.get().copied().unwrap_or("secbeat-orchestrator")
}

/// Has messages name `program` for both. The first one holds.
pub fn is_both(program: &'static str) {
    let _ = BOTH.set(program);
}
