//! The three `bpf` calls that measuring needs, for programs of any origin. Attributes as in `linux/bpf.h`.

use std::{
    ffi::{c_long, c_void},
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

const BPF_PROG_LOAD: c_long = 5;
const BPF_PROG_TEST_RUN: c_long = 10;
const BPF_LINK_CREATE: c_long = 28;

const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// # Safety
///
/// Every address in `attributes` must be readable for the length that the command takes from it, until the return.
pub(super) unsafe fn bpf<T>(command: c_long, attributes: &mut T) -> io::Result<c_long> {
    let (pointer, size) = ((&raw mut *attributes).cast::<c_void>(), size_of::<T>());
    // SAFETY: a live, correctly sized attribute block; what it points to is the caller's promise.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}

/// # Safety
///
/// `answer` must be a new descriptor that nobody else owns.
pub(super) unsafe fn owned(answer: c_long) -> OwnedFd {
    // SAFETY: by this function's contract; descriptors fit in an int.
    unsafe { OwnedFd::from_raw_fd(answer as i32) }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Loads an XDP program from its instructions.
///
/// # Errors
///
/// When the kernel refuses.
pub(super) fn load_xdp(name: &str, instructions: &[u64]) -> io::Result<OwnedFd> {
    let license = c"GPL";
    let mut attributes = ProgLoad {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        expected_attach_type: BPF_XDP,
        ..ProgLoad::default()
    };
    let shown = name.len().min(15);
    attributes.prog_name[..shown].copy_from_slice(&name.as_bytes()[..shown]);
    // SAFETY: instructions and licence live through the call; the answer is a new descriptor.
    unsafe { bpf(BPF_PROG_LOAD, &mut attributes).map(|answer| owned(answer)) }
}

/// Attaches `program` to interface `ifindex` of this thread's network namespace, in native mode, until the descriptor
/// is closed.
///
/// # Errors
///
/// When the kernel or the driver refuses.
pub(super) fn attach_native(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<OwnedFd> {
    let mut attributes = LinkCreate {
        prog_fd: number(program),
        target_ifindex: ifindex,
        attach_type: BPF_XDP,
        flags: XDP_FLAGS_DRV_MODE,
    };
    // SAFETY: no addresses in the attributes; the answer is a new descriptor.
    unsafe { bpf(BPF_LINK_CREATE, &mut attributes).map(|answer| owned(answer)) }
}

/// Runs `program` on `packet` `repeat` times; returns the kernel's average in whole nanoseconds.
///
/// # Errors
///
/// When the kernel refuses.
pub(super) fn test_run(program: BorrowedFd<'_>, packet: &[u8], repeat: u32) -> io::Result<u32> {
    run(
        program,
        packet,
        TestRun {
            repeat,
            ..TestRun::default()
        },
    )
}

/// Runs `program` on `count` real frames made of `packet`, whose verdict is carried out: `XDP_REDIRECT` sends them.
///
/// # Errors
///
/// When the kernel refuses.
pub(super) fn send_live(
    program: BorrowedFd<'_>,
    packet: &[u8],
    count: u32,
    batch_size: u32,
) -> io::Result<()> {
    let flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    run(
        program,
        packet,
        TestRun {
            repeat: count,
            flags,
            batch_size,
            ..TestRun::default()
        },
    )
    .map(drop)
}

fn run(program: BorrowedFd<'_>, packet: &[u8], how: TestRun) -> io::Result<u32> {
    let mut attributes = TestRun {
        prog_fd: number(program),
        data_size_in: packet.len() as u32,
        data_in: packet.as_ptr() as u64,
        ..how
    };
    // SAFETY: the packet lives through the call, and nothing is to be written back outside the attributes.
    unsafe { bpf(BPF_PROG_TEST_RUN, &mut attributes)? };
    Ok(attributes.duration)
}
