//! The memory of this process.

use std::fs;

/// Bytes of this process that are in RAM, as the kernel counts them.
///
/// # Panics
///
/// When `/proc` cannot be read.
pub(crate) fn resident_bytes() -> f64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok());
    // SAFETY: a call without memory.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) as f64 };
    pages.expect("the second field is the resident size") * page_bytes
}
