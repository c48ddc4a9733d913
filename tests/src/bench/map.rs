//! Maps of any key and value, without a loader.

use std::{
    ffi::c_long,
    io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use secbeat_common::prefix::Prefix;

use crate::bench::syscall;

const BPF_MAP_CREATE: c_long = 0;
const BPF_MAP_UPDATE_ELEM: c_long = 2;
const BPF_MAP_TYPE_PROG_ARRAY: u32 = 3;
const BPF_MAP_TYPE_LRU_HASH: u32 = 9;
const BPF_MAP_TYPE_LPM_TRIE: u32 = 11;
const BPF_F_NO_PREALLOC: u32 = 1;

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct UpdateElem {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

fn create(mut attributes: MapCreate) -> io::Result<OwnedFd> {
    // SAFETY: no addresses in the attributes; the answer is a new descriptor.
    unsafe { syscall::bpf(BPF_MAP_CREATE, &mut attributes).map(|fd| syscall::owned(fd)) }
}

/// # Safety
///
/// Key and value must have the map's sizes.
unsafe fn update(map: &OwnedFd, key: &[u8], value: &[u8]) -> io::Result<()> {
    let mut attributes = UpdateElem {
        map_fd: map.as_raw_fd().cast_unsigned(),
        key: key.as_ptr() as u64,
        value: value.as_ptr() as u64,
        ..UpdateElem::default()
    };
    // SAFETY: both live through the call, and have the map's sizes by the caller's promise.
    unsafe { syscall::bpf(BPF_MAP_UPDATE_ELEM, &mut attributes).map(drop) }
}

/// An array of one program, for a tail call.
#[derive(Debug)]
pub(super) struct ProgramArray(OwnedFd);

impl ProgramArray {
    pub(super) fn of(program: BorrowedFd<'_>) -> io::Result<Self> {
        let fd = create(MapCreate {
            map_type: BPF_MAP_TYPE_PROG_ARRAY,
            key_size: 4,
            value_size: 4,
            max_entries: 1,
            ..MapCreate::default()
        })?;
        // SAFETY: four bytes each.
        unsafe { update(&fd, &[0; 4], &program.as_raw_fd().to_ne_bytes())? };
        Ok(Self(fd))
    }
}

impl AsFd for ProgramArray {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A trie of IPv4 prefixes, whose values are four bytes.
#[derive(Debug)]
pub(super) struct LpmTrie(OwnedFd);

impl LpmTrie {
    pub(super) fn v4(most: u32) -> io::Result<Self> {
        create(MapCreate {
            map_type: BPF_MAP_TYPE_LPM_TRIE,
            key_size: 8,
            value_size: 4,
            max_entries: most,
            map_flags: BPF_F_NO_PREALLOC,
        })
        .map(Self)
    }

    pub(super) fn insert(&self, net: &Prefix) -> io::Result<()> {
        let IpAddr::V4(address) = net.addr() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let len = u32::from(net.len()).to_ne_bytes();
        let key = [len, address.octets()].concat();
        // SAFETY: eight bytes, and four.
        unsafe { update(&self.0, &key, &[1; 4]) }
    }
}

impl AsFd for LpmTrie {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The map; closed when dropped, and then freed by the kernel.
#[derive(Debug)]
pub struct LruHash {
    fd: OwnedFd,
    key_size: usize,
    value: Vec<u8>,
}

impl LruHash {
    /// A map with `slots` slots whose values are `value_size` zeros.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn new(key_size: usize, value_size: usize, slots: u32) -> io::Result<Self> {
        let attributes = MapCreate {
            map_type: BPF_MAP_TYPE_LRU_HASH,
            key_size: key_size as u32,
            value_size: value_size as u32,
            max_entries: slots,
            ..MapCreate::default()
        };
        Ok(Self {
            fd: create(attributes)?,
            key_size,
            value: vec![0; value_size],
        })
    }

    /// Adds a key.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    ///
    /// # Panics
    ///
    /// When the key has not the map's size.
    pub fn insert(&self, key: &[u8]) -> io::Result<()> {
        assert_eq!(key.len(), self.key_size, "a key of another size");
        // SAFETY: key and value have the map's sizes.
        unsafe { update(&self.fd, key, &self.value) }
    }
}

impl AsFd for LruHash {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
