//! `cargo xtask bench one-host`: what `secbeat` on one host costs and how fast it is, beside its peers on the same logs. Its options
//! and exit codes are those of [`parts::run`].

use std::process::ExitCode;

use secbeat_tests::{bench::parts, one_host_bench::PARTS};

fn main() -> ExitCode {
    parts::run("bench-one-host", PARTS)
}
