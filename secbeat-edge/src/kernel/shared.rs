//! Memory of a map, shared with the kernel (`BPF_F_MMAPABLE`).

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    ptr::NonNull,
    sync::atomic::AtomicU64,
};

use anyhow::Context;
use aya::maps::MapData;
use secbeat_common::table::{Line, WORDS};

/// The words of a map. Unmapped when dropped.
pub(super) struct Shared {
    address: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: a mapping belongs to the process and not to a thread, and its words are atomic.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Shares the first `words` words of 64 bits of a map.
    ///
    /// # Errors
    ///
    /// Returns an error if it has fewer, or is not made to be shared.
    pub(super) fn map(data: &MapData, words: usize) -> anyhow::Result<Self> {
        // SAFETY: a new mapping, of as many bytes as the map has, which the kernel checks; no other code knows its address.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                words * size_of::<u64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                data.fd().as_fd().as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        let address = NonNull::new(address.cast()).context("the kernel mapped it at address 0")?;
        Ok(Self { address, words })
    }

    /// The same as lines of a table.
    ///
    /// # Safety
    ///
    /// Nobody may write to the map while the lines are read, here or in the kernel.
    pub(super) unsafe fn lines(&self) -> &[Line] {
        let lines = self.words / WORDS;
        // SAFETY: lines are words without padding, in pages that are mapped for as long as `self` lives; that nobody writes is the
        // caller's promise.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr().cast(), lines) }
    }

    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: as many words as were mapped, page-aligned, and mapped for as long as `self` lives. The kernel's program
        // reads them while this process writes, which is what atomics are for.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.words) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped in `map`, with this length, and not used after this.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.words * size_of::<u64>()) };
    }
}
