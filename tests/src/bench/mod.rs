//! What `bench-xdp` is made of, and `bench-load` in part: contenders, a track of two hosts to run them on, and the
//! arithmetic; and what all benchmarks that are made of parts share ([`parts`]).

mod contender;
pub mod cpus;
pub(crate) mod demand;
mod gro;
pub mod lists;
pub mod map;
pub mod measure;
mod million;
pub(crate) mod outcome;
pub mod parts;
mod peers;
mod prefixes;
pub mod programs;
pub(crate) mod report;
mod requirement;
pub(crate) mod resident;
mod sources;
mod stats;
mod subject;
mod syscall;
mod tally;
pub mod track;
mod two_cpus;

pub use demand::overall;
pub use requirement::demands;
pub use tally::Reach;
