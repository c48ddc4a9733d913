//! SecBeat's contracts, each defined once: what lies in the kernel maps ([`maps`], [`table`], [`lists`], [`verdict`]; `no_std`), and
//! what travels on the bus (`wire`, `subjects`, `prefix`, `coverage`, `sources`, `net_table`, `reason`, `rules`, `digest`, `fence`, `sign`; feature
//! `wire`).
#![cfg_attr(not(any(feature = "wire", test)), no_std)]

#[cfg(any(test, feature = "fuzzing"))]
pub mod corpus;
pub mod lane;
pub mod lists;
pub mod maps;
mod search;
pub mod table;
pub mod verdict;

#[cfg(feature = "wire")]
pub mod coverage;
#[cfg(feature = "wire")]
pub mod digest;
#[cfg(feature = "wire")]
pub mod fence;
#[cfg(feature = "wire")]
pub mod net_table;
#[cfg(feature = "wire")]
pub mod prefix;
#[cfg(feature = "wire")]
mod reason;
#[cfg(feature = "wire")]
pub mod rules;
#[cfg(feature = "wire")]
pub mod sign;
#[cfg(feature = "wire")]
pub mod sources;
#[cfg(feature = "wire")]
pub mod subjects;
#[cfg(feature = "wire")]
pub mod wire;
