//! `cargo xtask bench xdp`: nanoseconds per packet of the XDP program beside the limits, by test-run and by live frames.
//! `--json` prints JSON; `--rounds N` sets the number of interleaved rounds. Exits 1 when a hit is over the limit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark: a failure here is the failure to report"
)]

use std::{env, os::fd::AsFd, process::ExitCode};

use secbeat_tests::bench::{
    report::{Report, Row},
    subject::{self, Fate, Subject},
    syscall,
    track::Track,
};

const ROUNDS: usize = 5;
const TEST_RUNS: u32 = 1_000_000;
/// Enough that setting up and taking down a run, which wait for RCU grace periods of several ms, are lost in it.
const FRAMES_DROPPED: u32 = 64 * 65_536;
/// Fewer, since each goes on into the stack.
const FRAMES_PASSED: u32 = 64 * 16_384;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let rounds = match arguments.iter().position(|argument| argument == "--rounds") {
        None => ROUNDS,
        Some(at) => arguments
            .get(at + 1)
            .and_then(|n| n.parse().ok())
            .expect("--rounds takes a number"),
    };
    settle_down();
    let report = measure(&subject::all(), rounds.max(1));
    if arguments.iter().any(|argument| argument == "--json") {
        println!("{:#}", report.json());
    } else {
        println!("{}", report.table());
    }
    if report.passes() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Measures the subjects in turn, round after round, so that a slow minute of the machine falls on all of them.
fn measure(subjects: &[Subject], rounds: usize) -> Report {
    let row = |subject: &Subject| Row {
        name: subject.name,
        fate: subject.fate,
        test_run: vec![],
        live: vec![],
    };
    let mut rows: Vec<Row> = subjects.iter().map(row).collect();
    let track = Track::new();
    for _ in 0..rounds {
        for (subject, row) in subjects.iter().zip(&mut rows) {
            let run =
                syscall::test_run(subject.program.as_fd(), &subject.frame, TEST_RUNS).expect("a test run");
            row.test_run.push(f64::from(run));
            let frames = if subject.fate == Fate::Dropped {
                FRAMES_DROPPED
            } else {
                FRAMES_PASSED
            };
            row.live.push(
                track
                    .run(subject, frames)
                    .unwrap_or_else(|error| panic!("{error}")),
            );
        }
    }
    Report { rows }
}

/// Stays on one CPU, which the threads made later inherit, and goes before other work there.
fn settle_down() {
    // SAFETY: a zeroed set is an empty one, and the calls change this process's scheduling only.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu().max(0) as usize, &mut set);
        if libc::sched_setaffinity(0, size_of_val(&set), &raw const set) != 0 {
            eprintln!("not pinned to a CPU: {}", std::io::Error::last_os_error());
        }
        libc::setpriority(libc::PRIO_PROCESS, 0, -20);
    }
}
