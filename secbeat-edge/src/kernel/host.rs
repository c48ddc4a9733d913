//! Requirements on the host before anything is loaded, each missing thing said in one sentence.

use anyhow::{Context, bail};
use nix::sys::utsname::uname;
use secbeat_daemon::cli::require_version;

/// Oldest kernel on which everything that SecBeat uses exists.
const MIN_KERNEL: (u32, u32) = (5, 15);

/// Since which kernel links can be attached to the stack's ingress hook.
const TCX_SINCE: (u32, u32) = (6, 6);
/// Set, it makes a newer kernel look like an older one: for tests.
const WITHOUT_TCX: &str = "SECBEAT_WITHOUT_TCX";

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The kernel's release, as uname(2) has it; empty if it does not say.
#[must_use]
pub fn release() -> String {
    uname().map_or_else(
        |_| String::new(),
        |name| name.release().to_string_lossy().into_owned(),
    )
}

/// Whether this kernel takes links in the stack's ingress hook (tcx).
#[must_use]
pub fn has_tcx() -> bool {
    std::env::var_os(WITHOUT_TCX).is_none() && require_version("the kernel", &release(), TCX_SINCE).is_ok()
}

/// # Errors
///
/// Returns an error if the kernel is too old, or this thread may not load and attach XDP programs.
pub fn require_host() -> anyhow::Result<()> {
    require_version("the kernel", &release(), MIN_KERNEL)?;
    let status =
        std::fs::read_to_string("/proc/thread-self/status").context("reading this thread's capabilities")?;
    require_capabilities(&status)
}

fn require_capabilities(status: &str) -> anyhow::Result<()> {
    let held = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .context("no effective capabilities in /proc/thread-self/status")?;
    let has = |capability: u32| held & (1 << capability) != 0;
    if has(CAP_NET_ADMIN) && (has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON))) {
        return Ok(());
    }
    bail!("loading the XDP program needs root (or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_three_capabilities_suffice() {
        assert!(require_capabilities("CapEff:\t000001ffffffffff\n").is_ok());
        assert!(require_capabilities("CapEff:\t000000c000001000\n").is_ok());
    }

    #[test]
    fn anyone_else_is_told_what_is_missing() {
        let error = require_capabilities("CapInh:\t0\nCapEff:\t0000000000000000\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("needs root"), "{error}");
        assert!(require_capabilities("CapEff:\t0000008000001000\n").is_err());
    }
}
