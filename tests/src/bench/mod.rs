//! What `bench-xdp` is made of: raw programs to compare with, a track of two hosts, and the arithmetic.

pub mod programs;
pub mod report;
pub mod stats;
pub mod subject;
pub mod syscall;
pub mod track;
