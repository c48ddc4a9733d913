//! Where telemetry comes from.

pub mod access_log;
pub mod proxy;
