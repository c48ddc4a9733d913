//! Programs that the sender runs: each frame made by a live run goes out of an interface.

use std::{io, net::Ipv4Addr, os::fd::OwnedFd};

use super::asm::{
    EXIT, Helper, Register::*, Size, add, call, copy, copy_word, load, mov, multiply, shift_right,
    skip_if_greater, store_word, word_to_network,
};
use crate::{bench::syscall, lab::model::XDP_DROP};

/// Bytes up to the end of an IPv4 header behind Ethernet without tags, and the source's place in it.
const HEADERS: i32 = 34;
const SOURCE: i16 = 26;

/// Sends every frame as it is out of interface `ifindex` of the namespace that runs it.
///
/// # Errors
///
/// When the kernel refuses.
pub fn repeating(ifindex: u32) -> io::Result<OwnedFd> {
    syscall::load_xdp("repeating", &redirect(ifindex))
}

/// The same with the IPv4 source drawn at random from the `count` addresses that start at `first`. Its cost does not
/// depend on `count`. The header's checksum is left as it was: XDP programs do not look at it, and no stack may follow.
///
/// # Errors
///
/// When the kernel refuses.
pub fn drawing(ifindex: u32, first: Ipv4Addr, count: u32) -> io::Result<OwnedFd> {
    let draw = [
        copy(R6, R1),
        call(Helper::GetPrandomU32),
        // The upper half of a random word times `count` is a number below `count`.
        copy_word(R7, R0),
        multiply(R7, count),
        shift_right(R7, 32),
        add(R7, first.to_bits().cast_signed()),
        word_to_network(R7),
        load(Size::Word, R2, R6, 0),
        load(Size::Word, R3, R6, 4),
        copy(R4, R2),
        add(R4, HEADERS),
        // To the last two, which drop it.
        skip_if_greater(R4, R3, 5),
        store_word(R2, SOURCE, R7),
    ];
    let dropped = [mov(R0, XDP_DROP), EXIT];
    let all = [&draw[..], &redirect(ifindex), &dropped].concat();
    syscall::load_xdp("drawing", &all)
}

fn redirect(ifindex: u32) -> [u64; 4] {
    [mov(R1, ifindex), mov(R2, 0), call(Helper::Redirect), EXIT]
}
