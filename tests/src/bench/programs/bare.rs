//! The least that a filter by source can be: the address, one lookup in an LRU hash, drop.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use super::asm::{
    EXIT, Helper, Register::*, Size, add, call, copy, load, load_map, mov, skip_if, skip_if_greater,
    skip_if_not, store_word,
};
use crate::{
    bench::syscall,
    lab::{
        frames::ETHERTYPE_IPV4,
        model::{XDP_DROP, XDP_PASS},
    },
};

/// Drops IPv4 behind Ethernet without tags if its source is a key of `map`, whose keys are 4 bytes.
///
/// # Errors
///
/// When the kernel refuses.
pub fn lookup(map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let parse = [
        load(Size::Word, R2, R1, 0),
        load(Size::Word, R3, R1, 4),
        copy(R4, R2),
        add(R4, 34),
        skip_if_greater(R4, R3, 12),
        load(Size::Half, R4, R2, 12),
        skip_if_not(R4, u32::from(ETHERTYPE_IPV4.to_be()), 10),
        load(Size::Word, R4, R2, 26),
        store_word(R10, -4, R4),
    ];
    let judge = [
        copy(R2, R10),
        add(R2, -4),
        call(Helper::MapLookupElem),
        skip_if(R0, 0, 2),
        mov(R0, XDP_DROP),
        EXIT,
        mov(R0, XDP_PASS),
        EXIT,
    ];
    let all = [&parse[..], &load_map(R1, map), &judge].concat();
    syscall::load_xdp("bare_lookup", &all)
}

/// Drops IPv4 behind Ethernet without tags if `trie`, with IPv4 addresses behind their lengths for keys, has its source.
///
/// # Errors
///
/// When the kernel refuses.
pub fn lookup_in_trie(trie: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let parse = [
        load(Size::Word, R2, R1, 0),
        load(Size::Word, R3, R1, 4),
        copy(R4, R2),
        add(R4, 34),
        skip_if_greater(R4, R3, 12),
        load(Size::Word, R4, R2, 26),
        store_word(R10, -4, R4),
        mov(R4, 32),
        store_word(R10, -8, R4),
    ];
    let judge = [
        copy(R2, R10),
        add(R2, -8),
        call(Helper::MapLookupElem),
        skip_if(R0, 0, 2),
        mov(R0, XDP_DROP),
        EXIT,
        mov(R0, XDP_PASS),
        EXIT,
    ];
    let all = [&parse[..], &load_map(R1, trie), &judge].concat();
    syscall::load_xdp("bare_trie", &all)
}
