//! The whole loop: from the attacker's request to the ban on every edge.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a failure here is the failure to report"
)]

mod access_log;
mod agreement;
mod allowlist;
mod audit;
mod authz;
mod bans;
mod bus_cluster;
mod clocks;
mod crawlers;
mod day;
mod failover;
mod faults;
mod feeds;
mod import;
mod interest;
mod mixed_releases;
mod nets;
mod propagation;
mod protection;
mod readiness;
mod real_servers;
mod reconcile;
mod renewal;
mod rules;
mod scanner;
mod services;
mod signatures;
mod sources;
mod stand_in;
mod telemetry_outage;
mod trusted_proxy;
mod why;
