//! The laboratory itself, the benchmark's generator, and the docs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a failure here is the failure to report"
)]

mod bench;
mod docs;
mod forged_clients;
mod hosts;
mod imports;
mod simulation;
mod web_servers;
