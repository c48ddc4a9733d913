//! SecBeat as its packages install it, under systemd.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a failure here is the failure to report"
)]

mod debian;
mod one_host;
mod systemd;
