//! The XDP program and its maps: loaded for one test alone, or found where an edge pinned them.

mod filter;
mod net_table;
mod pins;
mod tables;

pub use filter::{Filter, Outcome};
pub use pins::{OpenBans, Pins};
pub use tables::Counters;
