//! `cargo xtask bench detector`: how fast the orchestrator is, and what memory it takes. Its options and exit
//! codes are those of [`parts::run`].

use std::process::ExitCode;

use secbeat_tests::{bench::parts, detector_bench::PARTS};

fn main() -> ExitCode {
    parts::run("bench-detector", PARTS)
}
