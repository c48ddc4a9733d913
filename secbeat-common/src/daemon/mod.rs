//! What the shells of both daemons share.

pub mod bus;
pub mod cli;
pub mod config;
pub mod exit;
pub mod once_per;
pub mod protect;
pub mod time;
