//! Habits that both daemons share: config files, command line and tables, API server and client, metrics, units, traces,
//! and the connection to NATS.

pub mod allowlist;
pub mod api;
pub mod bus;
pub mod cli;
pub mod commands;
pub mod config;
pub mod credentials;
pub mod exit;
pub mod garbage;
mod http;
pub mod metrics;
pub mod protect;
pub mod supervisor;
pub mod term;
pub mod time;
pub mod tls;
pub mod traces;
