//! Where telemetry comes from.

pub mod proxy;
