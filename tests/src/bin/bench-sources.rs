//! `cargo xtask bench sources`: what the sources of telemetry cost and how fast they are, beside their peers. Its options
//! and exit codes are those of [`parts::run`].

use std::process::ExitCode;

use secbeat_tests::{bench::parts, sources_bench::PARTS};

fn main() -> ExitCode {
    parts::run("bench-sources", PARTS)
}
