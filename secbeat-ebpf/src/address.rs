//! Addresses as keys of tries and as numbers, and whether one is allowlisted.

use aya_ebpf::btf_maps::lpm_trie::Key as LpmKey;

use crate::maps::ALLOWED_NETS;

/// A key of the tries made of whole words, so that it is written in five stores. In memory it is the same as
/// `LpmKey<[u8; 16]>`.
#[repr(C)]
pub(crate) struct NetKey {
    pub(crate) prefix_len: u32,
    pub(crate) words: [u32; 4],
}

#[inline(always)]
pub(crate) fn is_allowed(words: [u32; 4]) -> bool {
    let key = NetKey {
        prefix_len: 128,
        words,
    };
    // SAFETY: the same bytes; `LpmKey` is packed and so has no alignment to violate.
    ALLOWED_NETS
        .get(unsafe { &*(&raw const key).cast::<LpmKey<[u8; 16]>>() })
        .is_some()
}

/// Whether an address is one of IPv4.
#[inline(always)]
pub(crate) fn is_v4([upper, lower]: [u64; 2]) -> bool {
    upper == 0 && lower >> 32 == 0xffff
}

/// Two numbers as an address in network order.
#[inline(always)]
pub(crate) fn whole([upper, lower]: [u64; 2]) -> [u32; 4] {
    let word = |half: u64| (half as u32).to_be();
    [word(upper >> 32), word(upper), word(lower >> 32), word(lower)]
}
