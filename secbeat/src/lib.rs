//! SecBeat on one host: the edge and the orchestrator in one process, over a bus that is a file.
//!
//! Both are what a fleet runs; [`daemon`] ties them together, and [`config`] is the one file that both read.

#![forbid(unsafe_code)]

pub mod cli;
mod config;
pub mod daemon;
mod doctor;
mod fleet;
mod memory;
mod migrate;
mod setup;
mod status;
pub mod words;
