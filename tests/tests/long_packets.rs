//! A million packets in the kernel and in a model of the program. An executable of its own, so that `cargo xtask vm`, which
//! also runs what is ignored elsewhere, has no million packets to emulate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a failure here is the failure to report"
)]

use std::io::Write;

use secbeat_common::verdict::Verdict;
use secbeat_tests::{differential, lab::random};

/// Another seed each time; `SECBEAT_SEED` repeats one.
#[test]
#[ignore = "takes a minute; `cargo xtask test --long` runs it"]
fn the_kernel_agrees_with_the_host_on_a_million_frames() {
    let seed = random::seed("a million frames");
    let report = differential::expect_no_difference(seed, 1_000_000);
    let met = Verdict::ALL.map(|verdict| {
        let count = report.model.counters[verdict as usize].packets;
        format!("{} {count}", verdict.name())
    });
    let _ = writeln!(
        std::io::stderr(),
        "{} frames, {} sent in {} batches, {} of which left some held back, without a difference: {}",
        report.packets,
        report.sent,
        report.batches,
        report.with_memory,
        met.join(", ")
    );
}
