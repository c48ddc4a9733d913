//! A million packets in the kernel and in a model of the program. Not in the executable `kernel`, of which `cargo xtask vm` also
//! runs the ignored tests: an emulated machine would take hours.

use std::io::Write;

use secbeat_common::verdict::Verdict;
use secbeat_tests::{differential, lab::random};

/// Another seed each time; `SECBEAT_SEED` repeats one.
#[test]
#[ignore = "takes a minute; `cargo xtask test --long` runs it"]
fn the_kernel_agrees_with_the_host_on_a_million_frames() {
    let _turn = crate::in_turn();
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
