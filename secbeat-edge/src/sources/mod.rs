//! Where telemetry comes from.

pub mod access_log;
pub mod client_address;
pub mod proxy;
