//! Memory that is not needed any more goes back to the host.
//!
//! glibc's malloc gives each thread an arena of its own, and returns what is free only where an arena ends. The C library of
//! another kind of build looks after that by itself.
//!
//! Of the program's own file, a start needs most pages once. The kernel keeps them mapped until the host runs short of memory.

use std::{ffi::c_void, slice, time::Duration};

/// How long after a start the daemon runs as it does from then on.
const SETTLED: Duration = Duration::from_secs(5);
/// Largest page of any processor, in bytes.
const LARGEST_PAGE: usize = 64 * 1024;

/// Has all threads take memory from one arena, which is half of what the process takes otherwise. Their calls wait for each
/// other then. Threads that run already keep their arenas.
pub fn share_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it changes a number of malloc's.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives free memory back to the host. Takes a few milliseconds.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc locks what it returns.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Waits until the start is over, and then gives the memory back that it alone needed.
pub(crate) async fn let_go_of_the_start() {
    tokio::time::sleep(SETTLED).await;
    give_back();
    unmap_program();
}

/// Takes the pages of the program's file out of this process, as far as they are never written. What is used of them is mapped again from
/// the kernel's cache, or read.
fn unmap_program() {
    // SAFETY: the callback looks at nothing but what it is called with.
    unsafe {
        libc::dl_iterate_phdr(Some(unmap), std::ptr::null_mut());
    }
}

/// Unmaps those parts of a loaded `object`. Ends the walk: the first object is the program, those after it are libraries.
unsafe extern "C" fn unmap(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut c_void,
) -> libc::c_int {
    // SAFETY: the C library calls it with an object of this process, and with as many headers as it says.
    let (base, headers) = unsafe {
        let object = &*object;
        let headers = slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum));
        (object.dlpi_addr as usize, headers)
    };
    for header in headers {
        let is_written = header.p_flags & libc::PF_W != 0;
        if header.p_type != libc::PT_LOAD || is_written {
            continue;
        }
        let begin = base + header.p_vaddr as usize;
        let end = begin + header.p_filesz as usize;
        // Whole pages, which no other part shares.
        let begin = begin.next_multiple_of(LARGEST_PAGE);
        let len = end.saturating_sub(begin) / LARGEST_PAGE * LARGEST_PAGE;
        if len > 0 {
            // SAFETY: nothing writes to these pages, so the one who reads them next finds in the file what was there.
            unsafe {
                libc::madvise(begin as *mut c_void, len, libc::MADV_DONTNEED);
            }
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resident memory that is of files, in KiB.
    fn of_files() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let mut lines = status.lines().filter_map(|line| line.strip_prefix("RssFile:"));
        let kib = lines.next().unwrap().trim().trim_end_matches(" kB");
        kib.parse().unwrap()
    }

    #[test]
    fn the_program_runs_on_with_fewer_of_its_pages() {
        let texts: Vec<_> = (0..1000).map(|number| format!("{number:?}")).collect();
        let before = of_files();
        unmap_program();
        let after = of_files();
        assert!(after < before, "{before} KiB, then {after} KiB");
        assert!((0..1000).all(|number| texts[number] == format!("{number:?}")));
    }
}
