//! Partitions shared among orchestrators: the shell around [`secbeat_orchestrator_core::leases`].

pub mod shell;

use nix::time::{ClockId, clock_gettime};
use secbeat_orchestrator_core::leases::Identity;
use uuid::Uuid;

/// Milliseconds since the host started, the time in which it was suspended included. No correction of the time of day
/// moves it.
#[must_use]
pub fn boot_ms() -> i64 {
    // The kernel has had this clock since 2.6.39; without it nothing is certain, ever.
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_or(i64::MAX, |time| time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000)
}

/// This process, on this host, with its API on `port`: no two processes of a host have the same, and a restarted
/// orchestrator has that of the one before it.
#[must_use]
pub fn identity(port: u16) -> Identity {
    let host = nix::unistd::gethostname().unwrap_or_default();
    // What is left of 64 bytes, the longest token, beside the port and the process.
    let host = host
        .to_string_lossy()
        .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let process = Uuid::new_v4().simple().to_string();
    Identity {
        name: format!("{}-{port}", &host[..host.len().min(40)]),
        process: process[..8].to_owned(),
    }
}
