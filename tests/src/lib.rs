//! SecBeat's laboratory: hosts as network namespaces ([`lab`]), the comparison of the XDP program with
//! a model of it ([`differential`]), simulated edges with their oracle ([`load`]), who is about while daemons are
//! killed ([`storm`]), what the references of configs, commands and the REST API are written with
//! ([`reference`], [`commands`], [`rest`]), and what the benchmarks are made of ([`bench`], [`sources_bench`], [`one_host_bench`], [`detector_bench`]).
//!
//! Everything here needs root and a kernel with BPF. Names carry random suffixes and guards remove what they made, so
//! that two runs side by side do not meet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test lab: a failure here is the failure to report"
)]

pub mod bench;
pub mod commands;
#[cfg(test)]
mod configs;
pub mod detector_bench;
pub mod differential;
pub mod lab;
pub mod load;
pub mod one_host_bench;
pub mod reference;
pub mod rest;
pub mod scenario;
pub mod simulation;
pub mod soak;
pub mod sources_bench;
pub mod storm;
