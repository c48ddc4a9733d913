//! Programs of a few instructions: the limits to compare with, and the generator.

use std::{io, os::fd::OwnedFd};

use crate::{
    bench::syscall,
    lab::model::{XDP_DROP, XDP_PASS},
};

const MOV64_IMMEDIATE: u8 = 0xb7;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const BPF_REDIRECT: u32 = 23;

/// One instruction as RFC 9669 lays it out: opcode, registers, offset, immediate.
const fn instruction(opcode: u8, register: u8, immediate: u32) -> u64 {
    opcode as u64 | (register as u64) << 8 | (immediate as u64) << 32
}

fn returning(name: &str, action: u32) -> io::Result<OwnedFd> {
    syscall::load_xdp(
        name,
        &[instruction(MOV64_IMMEDIATE, 0, action), instruction(EXIT, 0, 0)],
    )
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

/// Sends every frame out of interface `ifindex` of the namespace that runs it.
///
/// # Errors
///
/// When the kernel refuses.
pub fn redirect_to(ifindex: u32) -> io::Result<OwnedFd> {
    let instructions = [
        instruction(MOV64_IMMEDIATE, 1, ifindex),
        instruction(MOV64_IMMEDIATE, 2, 0),
        instruction(CALL, 0, BPF_REDIRECT),
        instruction(EXIT, 0, 0),
    ];
    syscall::load_xdp("redirect", &instructions)
}
