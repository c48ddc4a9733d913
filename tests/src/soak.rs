//! What a process takes, and whether that grows.

use std::{fmt, fs, io};

/// The first part of a run, in which caches and pools fill, is not judged.
const WARM_UP: f64 = 0.4;
/// Growth of the heap in the rest that is not one.
const MOST_HEAP: f64 = 2.0 * MIB;
/// Bytes by which histories grow with each automatic ban, until they are full.
pub const HISTORY_OF_A_BAN: f64 = 4096.0;
/// Growth of what is resident that is not one: the C library keeps what is freed between what is used.
const MOST_RESIDENT: f64 = 16.0 * MIB;
/// The same as a part of what is taken.
const MOST_SHARE: f64 = 0.05;
/// File descriptors and threads by which the last quarter may exceed what was before.
const MOST_HANDLES: usize = 8;
const PAGE: f64 = 4096.0;
const MIB: f64 = 1024.0 * 1024.0;

/// A process at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// In use, in bytes, as the process itself says.
    pub heap: f64,
    /// In bytes.
    pub resident: f64,
    pub descriptors: usize,
    pub threads: usize,
}

impl Usage {
    /// Of the process `pid` (proc(5)), which says that it uses so much of its heap.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn of(pid: u32, heap: f64) -> io::Result<Self> {
        let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
        let resident = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
        Ok(Self {
            heap,
            resident: resident.unwrap_or(0.0) * PAGE,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            threads: fs::read_dir(format!("/proc/{pid}/task"))?.count(),
        })
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!(
            "{:.1} of {:.1} MiB, {} files, {} threads",
            self.heap / MIB,
            self.resident / MIB,
            self.descriptors,
            self.threads
        ))
    }
}

/// Whether a process, looked at in even intervals, takes more and more; says what it took. Beside its histories, that is, which
/// have grown by so many bytes in all.
///
/// # Panics
///
/// When it does.
#[must_use]
pub fn judge(usages: &[Usage], histories: f64) -> String {
    let warm = &usages[(usages.len() as f64 * WARM_UP) as usize..];
    assert!(warm.len() >= 10, "too short to judge: {} samples", warm.len());
    let mut said = Vec::new();
    for (what, of, most) in [
        (
            "heap",
            (|usage| usage.heap) as fn(&Usage) -> f64,
            MOST_HEAP + histories * (1.0 - WARM_UP),
        ),
        ("resident", |usage| usage.resident, MOST_RESIDENT),
    ] {
        let values: Vec<f64> = warm.iter().map(of).collect();
        let growth = slope(&values) * values.len() as f64;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let (growth_kib, mean_kib) = (growth / 1024.0, mean / 1024.0);
        assert!(
            growth <= most.max(mean * MOST_SHARE),
            "{what}: it grew by {growth_kib:.0} KiB around {mean_kib:.0} KiB, by the line through its samples"
        );
        said.push(format!("{what} {mean_kib:.0} KiB and {growth_kib:+.0}"));
    }
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
        "on average, and by the line through the samples: {}",
        said.join(", ")
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

    fn usages(heap: impl Fn(f64) -> f64) -> Vec<Usage> {
        (0..300)
            .map(|second| Usage {
                heap: heap(f64::from(second)),
                resident: 80.0 * MIB,
                descriptors: 40,
                threads: 8,
            })
            .collect()
    }

    #[test]
    fn what_fills_and_stays_is_no_leak() {
        let said = judge(&usages(|second| 50.0 * MIB + second.min(100.0) * 0.1 * MIB), 0.0);
        assert_eq!(
            said,
            "on average, and by the line through the samples: heap 61440 KiB and +0, resident 81920 KiB and +0"
        );
        let _ = judge(&usages(|second| 50.0 * MIB + (second % 7.0) * MIB), 0.0);
        let _ = judge(&usages(|second| 50.0 * MIB + second * 0.02 * MIB), 6.0 * MIB);
    }

    #[test]
    #[should_panic(expected = "heap: it grew by")]
    fn a_leak_of_a_few_kilobytes_a_second_is_found() {
        let _ = judge(&usages(|second| 50.0 * MIB + second * 20.0 * 1024.0), 0.0);
    }

    #[test]
    #[should_panic(expected = "file descriptors: 40, and then 100")]
    fn descriptors_that_are_never_closed_are_found() {
        let mut leaking = usages(|_| 50.0 * MIB);
        leaking[299].descriptors = 100;
        let _ = judge(&leaking, 0.0);
    }
}
