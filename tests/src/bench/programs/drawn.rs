//! A program that draws the source of its packet, and hands it over to another one.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use super::asm::{
    EXIT, Helper, Register::*, Size, add, call, copy, copy_word, load, load_map, mov, multiply, shift_right,
    skip_if_greater, store_word, word_to_network,
};
use crate::{bench::syscall, lab::model::XDP_PASS};

/// Bytes up to the end of an IPv4 header behind Ethernet without tags, and the source's place in it.
const HEADERS: i32 = 34;
const SOURCE: i16 = 26;

/// Draws the IPv4 source from the `count` (below 2³¹) addresses that start at `first`, and goes on in the first program of `array`.
///
/// # Errors
///
/// When the kernel refuses.
pub(crate) fn in_front_of(array: BorrowedFd<'_>, first: u32, count: u32) -> io::Result<OwnedFd> {
    let draw = [
        copy(R6, R1),
        call(Helper::GetPrandomU32),
        // The upper half of a random word times `count` is a number below `count`.
        copy_word(R7, R0),
        multiply(R7, count),
        shift_right(R7, 32),
        add(R7, first.cast_signed()),
        word_to_network(R7),
        load(Size::Word, R2, R6, 0),
        load(Size::Word, R3, R6, 4),
        copy(R4, R2),
        add(R4, HEADERS),
        // To the last two.
        skip_if_greater(R4, R3, 6),
        store_word(R2, SOURCE, R7),
        copy(R1, R6),
    ];
    let hand_over = [mov(R3, 0), call(Helper::TailCall), mov(R0, XDP_PASS), EXIT];
    let all = [&draw[..], &load_map(R2, array), &hand_over].concat();
    syscall::load_xdp("drawn", &all)
}
