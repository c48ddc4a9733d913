//! The XDP program and the edge's access to its maps, in the kernel. `cargo xtask vm` runs this executable in its guests, which
//! have nothing but a kernel and the edge.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a failure here is the failure to report"
)]

mod bans;
mod clsact;
mod devices;
mod events;
mod floods;
mod fuzz;
mod hooks;
mod lane;
mod lists;
mod matrix;
mod net_tables;
mod nets;
mod oddities;
mod sieve;
mod tables;
