//! `cargo xtask bench lists`: what static lists cost a packet, and how long a million prefixes take into the kernel. Its options and exit
//! codes are those of [`parts::run`].

use std::process::ExitCode;

use secbeat_tests::bench::{lists::PARTS, parts};

fn main() -> ExitCode {
    parts::run("bench-lists", PARTS)
}
