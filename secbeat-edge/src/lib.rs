//! The edge: SecBeat's daemon on every protected host.
//!
//! Pure cores: [`reconcile`], [`batch`]. Shells: everything else; [`app`] ties them together.
#![deny(unsafe_code)]

pub mod admin;
pub mod app;
pub mod batch;
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
pub mod reconcile;
pub mod sources;
pub mod spool;
pub mod telemetry;
