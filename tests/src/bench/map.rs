//! An LRU hash of any key and value, without a loader.

use std::{
    ffi::c_long,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use crate::bench::syscall;

const BPF_MAP_CREATE: c_long = 0;
const BPF_MAP_UPDATE_ELEM: c_long = 2;
const BPF_MAP_TYPE_LRU_HASH: u32 = 9;

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
        let mut attributes = MapCreate {
            map_type: BPF_MAP_TYPE_LRU_HASH,
            key_size: key_size as u32,
            value_size: value_size as u32,
            max_entries: slots,
            ..MapCreate::default()
        };
        // SAFETY: no addresses in the attributes; the answer is a new descriptor.
        let fd = unsafe { syscall::bpf(BPF_MAP_CREATE, &mut attributes).map(|fd| syscall::owned(fd))? };
        Ok(Self {
            fd,
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
        let mut attributes = UpdateElem {
            map_fd: self.fd.as_raw_fd().cast_unsigned(),
            key: key.as_ptr() as u64,
            value: self.value.as_ptr() as u64,
            ..UpdateElem::default()
        };
        // SAFETY: key and value have the map's sizes and live through the call.
        unsafe { syscall::bpf(BPF_MAP_UPDATE_ELEM, &mut attributes).map(drop) }
    }
}

impl AsFd for LruHash {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
