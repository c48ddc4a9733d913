//! Where telemetry comes from.

pub mod access_log;
pub mod authz;
pub mod client_address;
pub mod proxy;
pub mod waf;
