//! What a proxy takes, with its workers.

use std::fs;

use crate::one_host_bench::process::{cpu_seconds, megabytes};

/// CPU seconds of a process and its children so far.
pub(super) fn cpu(pid: u32) -> f64 {
    family(pid).into_iter().map(cpu_seconds).sum()
}

/// Memory of their own that they have in use, in MB.
pub(super) fn memory(pid: u32) -> f64 {
    let anonymous = |pid| megabytes(pid, "RssAnon");
    family(pid).into_iter().map(anonymous).sum()
}

/// A process, and the children of its first thread.
fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    [pid].into_iter().chain(children).collect()
}
