//! The orchestrator: sees what all edges report, decides who is banned, and keeps the ledger.
//!
//! What is decided, without a clock or a socket, is in [`secbeat_orchestrator_core`]. Here is the shell, which moves data
//! between the core and the world: [`leases::shell`] and [`intake`] read what is owned, [`replica`] what others decide,
//! [`fleet_watch`] what edges say; [`engine`] runs the decider, [`writer`] carries out what the bucket of bans is to say;
//! [`allowlist`] is the fleet's, [`events`] tells all who listen. [`view`] is what [`api`] and [`cli`] show, [`replay`] runs
//! the same analyzers over log files, [`exchange`] reads and writes lists of bans, [`feeds`] keeps those that others publish, and [`app`] ties all together.

#![forbid(unsafe_code)]

mod allowlist;
pub mod api;
pub mod app;
mod audit_out;
mod audit_watch;
mod auditor;
mod bus_servers;
mod bus_watch;
pub mod cli;
mod clock;
pub mod config;
mod crawlers;
mod directives;
mod engine;
mod enroll;
mod events;
mod exchange;
pub mod feeds;
mod fleet_watch;
mod intake;
mod leases;
mod notify;
mod overview;
mod protection;
mod reload;
pub mod replay;
mod replica;
mod reports;
mod rules;
#[cfg(test)]
mod samples;
mod sessions;
mod signatures;
mod token;
pub mod view;
mod watches;
mod web;
mod writer;

/// `duration` in whole milliseconds, at most `i64::MAX`.
fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
