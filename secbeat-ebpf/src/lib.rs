//! The part of the XDP program that does not need a kernel: finding a packet's source address.
//!
//! It compiles for BPF, where the verifier proves every access, and for the host, where it has ordinary tests.
#![cfg_attr(not(test), no_std)]

#[cfg(not(target_arch = "bpf"))]
pub mod oracle;
pub mod parse;
