//! What a process has taken so far.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// A process that uses less of a core than this, in percent, has nothing more to do.
const AT_REST: f64 = 4.0;
const LOOK: Duration = Duration::from_secs(1);
/// Until a guard has read what was written.
const PATIENCE: Duration = Duration::from_secs(240);

/// CPU time of all threads of `pid` and of its children that have ended, in seconds.
///
/// # Panics
///
/// When there is no such process.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process that runs");
    let of_task = |task: fs::DirEntry| {
        // Nanoseconds on a CPU come first. A thread may have ended meanwhile.
        let told = fs::read_to_string(task.path().join("schedstat")).ok()?;
        told.split(' ').next()?.parse::<f64>().ok()
    };
    let threads: f64 = tasks.flatten().filter_map(of_task).sum();
    threads / 1e9 + children_seconds(pid)
}

fn children_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process that runs");
    // `PID (NAME) STATE …`: the fields of proc(5), from the third on.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks: f64 = fields[13..15].iter().filter_map(|n| n.parse::<f64>().ok()).sum();
    // SAFETY: a call without memory.
    ticks / unsafe { libc::sysconf(libc::_SC_CLK_TCK) as f64 }
}

/// A size that the kernel knows of a process, such as `VmRSS`, in MB.
///
/// # Panics
///
/// When there is no such process.
pub(crate) fn megabytes(pid: u32, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process that runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
    kib.and_then(|kib| kib.parse::<f64>().ok()).expect("a size") * 1024.0 / 1e6
}

/// How much of a core a process takes for so long, in percent.
pub(super) fn share_of_a_core(pid: u32, span: Duration) -> f64 {
    let (before, begun) = (cpu_seconds(pid), Instant::now());
    thread::sleep(span);
    (cpu_seconds(pid) - before) / begun.elapsed().as_secs_f64() * 100.0
}

/// Waits until a process has nothing more to do.
///
/// # Errors
///
/// When that takes too long.
pub(super) fn settle(pid: u32) -> Result<(), String> {
    let begun = Instant::now();
    while share_of_a_core(pid, LOOK) > AT_REST {
        if begun.elapsed() > PATIENCE {
            return Err(format!("it was not at rest after {PATIENCE:?}"));
        }
    }
    Ok(())
}
