//! `cargo xtask bench xdp`: nanoseconds per packet of the XDP program beside the limits and its peers, by test-run and by
//! live frames. `--json` prints JSON; `--rounds N` sets the number of interleaved rounds; `--only TEXT` measures the rows
//! whose names have it.
//!
//! Exit codes: 0 when every requirement is met, 1 when one is not, 2 when none failed but one could not be measured.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark: a failure here is the failure to report"
)]

use std::{env, process::ExitCode};

use secbeat_tests::{
    bench::{
        cpus, demands,
        measure::{contenders, measure},
        overall,
    },
    lab::interrupt,
};

const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let rounds = match arguments.iter().position(|argument| argument == "--rounds") {
        None => ROUNDS,
        Some(at) => arguments
            .get(at + 1)
            .and_then(|n| n.parse().ok())
            .expect("--rounds takes a number"),
    };
    interrupt::install();
    let cpus = cpus::allowed();
    cpus::settle_down();
    let mut rows = contenders(cpus);
    if let Some(at) = arguments.iter().position(|argument| argument == "--only") {
        let text = arguments
            .get(at + 1)
            .expect("--only takes a part of a row's name");
        rows.retain(|(name, _)| name.contains(text.as_str()));
    }
    let report = measure(rows, rounds.max(1));
    let demands = demands(&report);
    if arguments.iter().any(|argument| argument == "--json") {
        println!("{:#}", report.json(&demands));
    } else {
        println!("{}", report.table(&demands));
    }
    overall(&demands).into()
}
