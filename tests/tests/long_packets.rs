//! A million packets in the kernel and in a model of the program. An executable of its own, so that `cargo xtask vm`, which
//! also runs what is ignored elsewhere, has no million packets to emulate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a failure here is the failure to report"
)]

use std::{
    env,
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use secbeat_common::verdict::Verdict;
use secbeat_tests::differential;

/// Another seed each time; `SECBEAT_SEED` repeats one.
#[test]
#[ignore = "takes a minute; `cargo xtask test --long` runs it"]
fn the_kernel_agrees_with_the_host_on_a_million_frames() {
    let seed = seed();
    // Not `eprintln!`, which is kept back unless the test fails: whoever interrupts it wants to know, too.
    let _ = writeln!(
        std::io::stderr(),
        "a million frames: SECBEAT_SEED={seed:#x} repeats them"
    );
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

fn seed() -> u64 {
    match env::var("SECBEAT_SEED") {
        Ok(text) => {
            let parsed = match text.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16),
                None => text.parse(),
            };
            parsed.unwrap_or_else(|error| panic!("SECBEAT_SEED={text}: {error}"))
        }
        Err(_) => {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            since_1970.as_nanos() as u64
        }
    }
}
