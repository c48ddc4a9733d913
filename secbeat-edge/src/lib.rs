//! The edge: SecBeat's daemon on every protected host.
//!
//! Decisions are made in `secbeat-edge-core`; here is what carries them out. [`app`] ties the parts together. Modules are
//! public for the daemon's binary and for the tests, which use the kernel's maps as the daemon does.
#![deny(unsafe_code)]

mod api;
pub mod app;
mod brought;
mod bus;
pub mod cli;
pub mod config;
mod enforcer;
mod feeds;
mod host;
pub mod kernel;
mod l7;
mod lists;
mod local_allowlist;
#[expect(unsafe_code, reason = "malloc's settings have no safe interface")]
pub mod memory;
mod notes;
pub mod open_files;
mod presence;
mod privileges;
mod protection;
mod signatures;
mod sources;
mod spool;
mod stand_in;
mod telemetry;
pub mod unit_user;
mod unwatched;
mod view;

pub use self::{
    brought::{Brought, InForce},
    host::{HostChange, HostWatcher, LinkChange, LinkEvent},
    sources::{
        access_log::{AccessLogConfig, AccessLogs, ClientColumn, PathPattern, Place, Start},
        client_address::TrustedProxies,
    },
    spool::EncodedBatch,
    telemetry::{DEFAULT_QUEUE, Recorder, Sink, TelemetryTask},
    unwatched::Unwatched,
};
