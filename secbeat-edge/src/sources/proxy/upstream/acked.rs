//! Bytes that the other end of a TCP connection has acknowledged.

use std::os::fd::RawFd;

/// The part of the kernel's `struct tcp_info` (linux/tcp.h) up to `tcpi_bytes_acked`, its last eight bytes.
type Info = [u64; 16];

/// Bytes that the other end has acknowledged, since the connection began; `None` where that is not known, as of what is not TCP.
/// `socket` has to be open, or the answer means nothing.
pub(super) fn bytes_acked(socket: RawFd) -> Option<u64> {
    let mut info = Info::default();
    let size = size_of::<Info>();
    let mut length = libc::socklen_t::try_from(size).ok()?;
    // SAFETY: the kernel writes at most `length` bytes into a buffer that has so many.
    let answer = unsafe {
        libc::getsockopt(
            socket,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    (answer == 0 && length as usize == size).then(|| info[info.len() - 1])
}
