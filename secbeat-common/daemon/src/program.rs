//! Names of programs and places in messages for people: where one process is both daemons, for one host, its program has the
//! commands of both, and there is no fleet to speak of.

use std::sync::OnceLock;

static BOTH: OnceLock<&str> = OnceLock::new();
static HOST: OnceLock<&str> = OnceLock::new();

/// The program with the commands about this host.
#[must_use]
pub fn of_host() -> &'static str {
    BOTH.get()
        .or_else(|| HOST.get())
        .copied()
        .unwrap_or("secbeat-edge")
}

/// The program with the commands about bans of all hosts.
#[must_use]
pub fn of_fleet() -> &'static str {
    BOTH.get().copied().unwrap_or("secbeat-orchestrator")
}

/// Whether one process is both daemons, for one host.
#[must_use]
pub fn is_one_host() -> bool {
    BOTH.get().is_some()
}

/// Returns where bans and entries of the allowlist hold that the orchestrator makes.
#[must_use]
pub fn everywhere() -> &'static str {
    of_one_host("on this host", "on every edge")
}

/// The allowlist that the orchestrator keeps.
#[must_use]
pub fn allowlist() -> &'static str {
    of_one_host("the allowlist", "the fleet's allowlist")
}

/// The host that the orchestrator runs on.
#[must_use]
pub fn orchestrators_host() -> &'static str {
    of_one_host("this host", "the orchestrator's host")
}

/// `alone` where one process is both daemons, else `fleet`.
fn of_one_host(alone: &'static str, fleet: &'static str) -> &'static str {
    if is_one_host() { alone } else { fleet }
}

/// Has messages name `program` for both. The first one holds.
pub fn is_both(program: &'static str) {
    let _ = BOTH.set(program);
}

/// Has messages name `program` for this host, which is an edge of a fleet. The first one holds.
pub fn is_edge(program: &'static str) {
    let _ = HOST.set(program);
}
