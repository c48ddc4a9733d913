//! Programs of a few instructions: the limits to compare with, and the generators.

mod asm;
pub mod bare;
pub(super) mod drawn;
pub mod generator;

use std::{io, os::fd::OwnedFd};

use crate::{
    bench::syscall,
    lab::model::{XDP_DROP, XDP_PASS},
};

use asm::{EXIT, Register::R0, mov};

fn returning(name: &str, action: u32) -> io::Result<OwnedFd> {
    syscall::load_xdp(name, &[mov(R0, action), EXIT])
}

/// Passes everything: what the harness itself costs.
///
/// # Errors
///
/// When the kernel refuses.
pub fn empty() -> io::Result<OwnedFd> {
    returning("empty", XDP_PASS)
}

/// Drops everything: the limit of any filter.
///
/// # Errors
///
/// When the kernel refuses.
pub fn always_drop() -> io::Result<OwnedFd> {
    returning("always_drop", XDP_DROP)
}
