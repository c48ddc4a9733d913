//! What `bench-xdp` is made of, and `bench-load` in part: contenders, a track of two hosts to run them on, and the
//! arithmetic; and what all benchmarks that are made of parts share ([`parts`]).

pub mod contender;
pub mod cpus;
pub mod demand;
pub mod gro;
pub mod map;
pub mod measure;
pub mod million;
pub mod outcome;
pub mod parts;
pub mod peers;
pub mod programs;
pub mod report;
pub mod requirement;
pub mod resident;
mod sources;
pub mod stats;
pub mod subject;
pub mod syscall;
pub mod tally;
pub mod track;
pub mod two_cpus;

pub use demand::overall;
pub use requirement::demands;
pub use tally::Reach;
