//! `bpf(2)` itself, for what aya does not offer. Attributes as in `linux/bpf.h`.

use std::{io, os::fd::RawFd};

/// `enum bpf_cmd`.
#[derive(Clone, Copy)]
pub(super) enum Command {
    CreateMap = 0,
    LookupElement = 1,
    UpdateElement = 2,
    DeleteElement = 3,
    NextKey = 4,
    ObjectGet = 7,
    ObjectInfo = 15,
    ProgramQuery = 16,
    LoadBtf = 18,
    BtfById = 19,
    LookupBatch = 24,
    UpdateBatch = 26,
    LinkById = 30,
    NextLink = 31,
    DetachLink = 34,
}

/// The anonymous struct for `BPF_MAP_*_ELEM` of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
pub(super) struct ElementAttributes {
    pub(super) map_fd: u32,
    pub(super) padding: u32,
    pub(super) key: u64,
    /// The value, or the next key.
    pub(super) value: u64,
    pub(super) flags: u64,
}

/// Returns what the command does: zero, or a descriptor that is the caller's.
///
/// # Safety
///
/// `attributes` must be the struct that `command` takes, and what it points to must be readable or writable, as the
/// command needs, until the return.
pub(super) unsafe fn bpf<T>(command: Command, attributes: &mut T) -> io::Result<RawFd> {
    let size = size_of::<T>();
    // SAFETY: a live attribute block of that size; the rest is the caller's promise.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, &raw mut *attributes, size) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer as RawFd)
}

/// Waits until every run of a BPF program that is under way has ended, and every processor sees what was stored before: they run
/// where RCU sees them, and `membarrier(2)` waits for RCU. (On one processor none is under way while this runs.)
///
/// # Errors
///
/// Where processors may go without ticks (`nohz_full`), the kernel does not tell.
pub(super) fn wait_for_programs() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_long = 1;
    // SAFETY: a call without pointers.
    match unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
