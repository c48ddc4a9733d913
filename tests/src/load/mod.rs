//! Simulated edges that report a minute of traffic to real orchestrators, and an oracle that knows whom they have to ban.
//!
//! Everything but the time of day is repeated by a seed: who requests what when and where ([`traffic`]), and what becomes of
//! each batch on its way ([`edges`]). The [`oracle`] judges the batches in the order in which the server got them.

pub mod edges;
pub mod oracle;
pub mod traffic;
