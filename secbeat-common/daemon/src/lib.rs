//! Habits that both daemons share: config files, command line and tables, entries of allowlists, API server and client, compressed logs, countries of addresses,
//! metrics, units, traces, files that are replaced.

pub mod allowing;
pub mod api;
pub mod cli;
pub mod compressed;
pub mod config;
pub mod credentials;
pub mod exit;
pub mod expiry;
pub mod geo;
pub mod http;
pub mod metrics;
pub mod program;
pub mod protect;
pub mod reload;
pub mod rotated;
pub mod sockets;
pub mod supervisor;
pub mod term;
pub mod time;
pub mod tls;
pub mod traces;
pub mod whole_file;
