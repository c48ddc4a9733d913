//! What a process takes, and whether that grows.

use std::{fmt, fs, io};

/// The first part of a run, in which caches and pools fill, is not judged.
const WARM_UP: f64 = 0.4;
/// Growth in the rest that is not one: allocators move by so much.
const MOST_BYTES: f64 = 4.0 * 1024.0 * 1024.0;
/// The same as a part of what is taken.
const MOST_SHARE: f64 = 0.05;
/// File descriptors and threads by which the last quarter may exceed what was before.
const MOST_HANDLES: usize = 8;
const PAGE: f64 = 4096.0;

/// A process at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Resident, in bytes.
    pub memory: f64,
    pub descriptors: usize,
    pub threads: usize,
}

impl Usage {
    /// Of the process `pid` (proc(5)).
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn of(pid: u32) -> io::Result<Self> {
        let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
        let resident = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
        Ok(Self {
            memory: resident.unwrap_or(0.0) * PAGE,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            threads: fs::read_dir(format!("/proc/{pid}/task"))?.count(),
        })
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.memory / 1024.0 / 1024.0;
        f.pad(&format!(
            "{mib:.1} MiB, {} files, {} threads",
            self.descriptors, self.threads
        ))
    }
}

/// Whether a process, looked at in even intervals, takes more and more; says what it took.
///
/// # Panics
///
/// When it does.
#[must_use]
pub fn judge(usages: &[Usage]) -> String {
    let warm = &usages[(usages.len() as f64 * WARM_UP) as usize..];
    assert!(warm.len() >= 10, "too short to judge: {} samples", warm.len());
    let memory: Vec<f64> = warm.iter().map(|usage| usage.memory).collect();
    let growth = slope(&memory) * memory.len() as f64;
    let mean = memory.iter().sum::<f64>() / memory.len() as f64;
    let most = MOST_BYTES.max(mean * MOST_SHARE);
    let kib = |bytes: f64| format!("{:.0} KiB", bytes / 1024.0);
    assert!(
        growth <= most,
        "it grew by {} around {}, by the line through its samples",
        kib(growth),
        kib(mean)
    );
    let (before, last) = warm.split_at(warm.len() / 4 * 3);
    for (what, of) in [
        (
            "file descriptors",
            (|usage| usage.descriptors) as fn(&Usage) -> usize,
        ),
        ("threads", |usage| usage.threads),
    ] {
        let most = |usages: &[Usage]| usages.iter().map(of).max().unwrap_or(0);
        let (before, last) = (most(before), most(last));
        assert!(last <= before + MOST_HANDLES, "{what}: {before}, and then {last}");
    }
    format!(
        "{} on average, {} by the line through its samples",
        kib(mean),
        kib(growth)
    )
}

/// Of the line through evenly spaced values that is nearest to them (least squares), per step.
fn slope(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let middle = (n - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / n;
    let (mut above, mut below) = (0.0, 0.0);
    for (step, value) in values.iter().enumerate() {
        let distance = step as f64 - middle;
        above += distance * (value - mean);
        below += distance * distance;
    }
    if below == 0.0 { 0.0 } else { above / below }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usages(memory: impl Fn(f64) -> f64) -> Vec<Usage> {
        (0..300)
            .map(|second| Usage {
                memory: memory(f64::from(second)),
                descriptors: 40,
                threads: 8,
            })
            .collect()
    }

    const MIB: f64 = 1024.0 * 1024.0;

    #[test]
    fn what_fills_and_stays_is_no_leak() {
        let said = judge(&usages(|second| 50.0 * MIB + second.min(100.0) * 0.1 * MIB));
        assert_eq!(
            said,
            "61440 KiB on average, 0 KiB by the line through its samples"
        );
        let _ = judge(&usages(|second| 50.0 * MIB + (second % 7.0) * MIB));
    }

    #[test]
    #[should_panic(expected = "it grew by")]
    fn a_leak_of_a_few_kilobytes_a_second_is_found() {
        let _ = judge(&usages(|second| 50.0 * MIB + second * 40.0 * 1024.0));
    }

    #[test]
    #[should_panic(expected = "file descriptors: 40, and then 100")]
    fn descriptors_that_are_never_closed_are_found() {
        let mut leaking = usages(|_| 50.0 * MIB);
        leaking[299].descriptors = 100;
        let _ = judge(&leaking);
    }
}
