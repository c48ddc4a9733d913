//! The program's maps. Their names and layouts are `secbeat_common::maps`; capacities here are the smallest that load,
//! the edge sets the real ones when it loads the object.

use aya_ebpf::{
    btf_maps::{Array, LpmTrie, LruHashMap, PerCpuArray},
    macros::btf_map,
};
use secbeat_common::{
    maps::{ALLOWED_SLOTS, Allow, Ban, Counter, DEFAULT_BAN_SLOTS, Settings},
    verdict::Verdict,
};

#[btf_map]
pub(crate) static BANNED_V4: LruHashMap<[u8; 4], Ban, { DEFAULT_BAN_SLOTS as usize }> = LruHashMap::new();

#[btf_map]
pub(crate) static BANNED_V6: LruHashMap<[u8; 8], Ban, { DEFAULT_BAN_SLOTS as usize }> = LruHashMap::new();

#[btf_map]
pub(crate) static ALLOWED_NETS: LpmTrie<[u8; 16], Allow, { ALLOWED_SLOTS as usize }> = LpmTrie::new();

#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<Counter, { Verdict::COUNT }> = PerCpuArray::new();

#[btf_map]
pub(crate) static SETTINGS: Array<Settings, 1> = Array::new();
