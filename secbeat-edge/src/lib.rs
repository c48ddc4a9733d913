//! The edge: SecBeat's daemon on every protected host.
//!
//! Decisions are made in `secbeat-edge-core`; here is what carries them out. [`app`] ties the parts together.
#![deny(unsafe_code)]

pub mod admin;
pub mod app;
pub mod bus;
pub mod cli;
pub mod config;
pub mod enforcer;
pub mod host;
pub mod kernel;
pub mod l7;
pub mod presence;
pub mod privileges;
pub mod protection;
pub mod sources;
pub mod spool;
pub mod telemetry;
