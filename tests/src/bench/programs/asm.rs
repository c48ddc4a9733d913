//! The few BPF instructions that the programs here are made of, encoded as in RFC 9669.

use std::os::fd::{AsRawFd, BorrowedFd};

/// What a program may keep values in.
#[derive(Clone, Copy)]
pub(super) enum Register {
    /// A call's answer, and the program's.
    R0,
    R1,
    R2,
    R3,
    R4,
    /// Kept over calls, as the next.
    R6 = 6,
    R7,
    /// The end of the stack.
    R10 = 10,
}

/// Number of a helper function, as in `linux/bpf.h`.
#[derive(Clone, Copy)]
pub(super) enum Helper {
    MapLookupElem = 1,
    GetPrandomU32 = 7,
    TailCall = 12,
    Redirect = 23,
}

/// Bytes of a load or store, as the opcode's size bits.
#[derive(Clone, Copy)]
pub(super) enum Size {
    Word = 0x00,
    Half = 0x08,
}

const PSEUDO_MAP_FD: u8 = 1;

pub(super) const EXIT: u64 = encode(0x95, 0, 0, 0, 0);

const fn encode(opcode: u8, target: u8, source: u8, offset: i16, immediate: u32) -> u64 {
    opcode as u64
        | (target as u64) << 8
        | (source as u64) << 12
        | (offset.cast_unsigned() as u64) << 16
        | (immediate as u64) << 32
}

const fn with_registers(opcode: u8, target: Register, source: Register, offset: i16) -> u64 {
    encode(opcode, target as u8, source as u8, offset, 0)
}

const fn with_immediate(opcode: u8, target: Register, offset: i16, immediate: u32) -> u64 {
    encode(opcode, target as u8, 0, offset, immediate)
}

/// `target = immediate`
pub(super) const fn mov(target: Register, immediate: u32) -> u64 {
    with_immediate(0xb7, target, 0, immediate)
}

/// `target = source`
pub(super) const fn copy(target: Register, source: Register) -> u64 {
    with_registers(0xbf, target, source, 0)
}

/// `target = lower half of source`
pub(super) const fn copy_word(target: Register, source: Register) -> u64 {
    with_registers(0xbc, target, source, 0)
}

/// `target += immediate`
pub(super) const fn add(target: Register, immediate: i32) -> u64 {
    with_immediate(0x07, target, 0, immediate.cast_unsigned())
}

/// `target *= immediate`
pub(super) const fn multiply(target: Register, immediate: u32) -> u64 {
    with_immediate(0x27, target, 0, immediate)
}

/// `target >>= immediate`
pub(super) const fn shift_right(target: Register, immediate: u32) -> u64 {
    with_immediate(0x77, target, 0, immediate)
}

/// Turns the lower half into network order.
pub(super) const fn word_to_network(target: Register) -> u64 {
    with_immediate(0xdc, target, 0, 32)
}

/// `target = *(size *)(source + offset)`
pub(super) const fn load(size: Size, target: Register, source: Register, offset: i16) -> u64 {
    with_registers(0x61 | size as u8, target, source, offset)
}

/// `*(u32 *)(target + offset) = source`
pub(super) const fn store_word(target: Register, offset: i16, source: Register) -> u64 {
    with_registers(0x63, target, source, offset)
}

/// `if left > right`, skip this many instructions
pub(super) const fn skip_if_greater(left: Register, right: Register, skipped: i16) -> u64 {
    with_registers(0x2d, left, right, skipped)
}

/// `if left != immediate`, skip this many instructions
pub(super) const fn skip_if_not(left: Register, immediate: u32, skipped: i16) -> u64 {
    with_immediate(0x55, left, skipped, immediate)
}

/// `if left == immediate`, skip this many instructions
pub(super) const fn skip_if(left: Register, immediate: u32, skipped: i16) -> u64 {
    with_immediate(0x15, left, skipped, immediate)
}

pub(super) const fn call(helper: Helper) -> u64 {
    encode(0x85, 0, 0, 0, helper as u32)
}

/// `target = map`, the one instruction that takes two places.
pub(super) fn load_map(target: Register, map: BorrowedFd<'_>) -> [u64; 2] {
    let fd = map.as_raw_fd().cast_unsigned();
    [encode(0x18, target as u8, PSEUDO_MAP_FD, 0, fd), 0]
}

#[cfg(test)]
mod tests {
    use super::{Register::*, *};

    /// Bytes as `llvm-objdump` prints them for the same instructions.
    #[test]
    fn instructions_are_encoded_as_in_rfc_9669() {
        assert_eq!(EXIT.to_le_bytes(), [0x95, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(mov(R0, 1).to_le_bytes(), [0xb7, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(
            load(Size::Half, R4, R2, 12).to_le_bytes(),
            [0x69, 0x24, 12, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            store_word(R10, -4, R4).to_le_bytes(),
            [0x63, 0x4a, 0xfc, 0xff, 0, 0, 0, 0]
        );
        assert_eq!(call(Helper::Redirect).to_le_bytes(), [0x85, 0, 0, 0, 23, 0, 0, 0]);
    }
}
