//! New maps for tables of networks.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use aya::maps::MapData;
use secbeat_common::{
    maps::TABLE_FLAGS,
    table::{Line, WORDS},
};

use super::syscall::{Command, bpf};

/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = 2;

/// The anonymous struct for `BPF_BTF_LOAD` of `union bpf_attr`, as far as it is needed.
#[repr(C)]
#[derive(Default)]
struct BtfAttributes {
    btf: u64,
    log: u64,
    btf_size: u32,
    log_size: u32,
    log_level: u32,
    padding: u32,
}

/// The same for `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Default)]
struct MapAttributes {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
    map_ifindex: u32,
    btf_fd: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
}

/// An empty map for a table of `lines` lines.
///
/// Its values are described as a struct, as those of the object's own tables are: below Linux 6.2 a map of maps takes no other.
///
/// # Errors
///
/// The kernel's.
pub fn new_table(lines: u32) -> io::Result<MapData> {
    let types = types();
    let mut load = BtfAttributes {
        btf: types.as_ptr() as u64,
        btf_size: types.len() as u32,
        ..BtfAttributes::default()
    };
    // SAFETY: the attributes of this command, which reads `types`; the descriptor is ours.
    let described = unsafe { OwnedFd::from_raw_fd(bpf(Command::LoadBtf, &mut load)?) };
    let mut create = MapAttributes {
        map_type: ARRAY,
        key_size: size_of::<u32>() as u32,
        value_size: size_of::<Line>() as u32,
        max_entries: lines,
        map_flags: TABLE_FLAGS,
        btf_fd: described.as_raw_fd() as u32,
        btf_key_type_id: 1,
        btf_value_type_id: 4,
        ..MapAttributes::default()
    };
    // SAFETY: the attributes of this command, without pointers; the descriptor is ours.
    let map = unsafe { OwnedFd::from_raw_fd(bpf(Command::CreateMap, &mut create)?) };
    MapData::from_fd(map).map_err(io::Error::other)
}

/// `u32`, `u64`, an array of as many `u64` as a line has, and a struct of it, in the kernel's BPF type format (`linux/btf.h`).
fn types() -> Vec<u8> {
    const NAMES: &[u8] = b"\0u32\0u64\0words\0";
    const INTEGER: u32 = 1 << 24;
    const ARRAY: u32 = 3 << 24;
    const STRUCT_OF_ONE: u32 = 4 << 24 | 1;
    let types = [
        &[1, INTEGER, 4, 32][..],
        &[5, INTEGER, 8, 64],
        &[0, ARRAY, 0, 2, 1, WORDS as u32],
        &[0, STRUCT_OF_ONE, size_of::<Line>() as u32, 9, 3, 0],
    ]
    .concat();
    let size = size_of_val(&types[..]) as u32;
    let header = [24, 0, size, size, NAMES.len() as u32];
    let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
    // Version and flags.
    bytes.extend([1, 0]);
    bytes.extend(header.iter().chain(&types).flat_map(|word| word.to_ne_bytes()));
    bytes.extend(NAMES);
    bytes
}
