//! Memory that is not needed any more goes back to the host.
//!
//! glibc's malloc gives each thread an arena of its own, and returns what is free only where an arena ends. The C library of
//! another kind of build looks after that by itself.
//!
//! Of the files of the program and its libraries, a start needs most pages once. The kernel keeps them mapped until the host runs short
//! of memory, and with each page that is used it maps those around it, 64 KiB together.

mod single_pages;

use std::{
    ffi::{CStr, c_void},
    slice,
    time::Duration,
};

use tracing::debug;

use self::single_pages::SinglePages;

/// How long after a start the daemon runs as it does from then on.
const SETTLED: Duration = Duration::from_secs(5);

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

/// The same after a burst of work, with the pages of files that it alone needed.
pub(crate) fn give_all_back() {
    give_back();
    unmap_files(None);
}

/// Waits until the start is over, and then gives the memory back that it alone needed.
pub(crate) async fn let_go_of_the_start() {
    tokio::time::sleep(SETTLED).await;
    give_back();
    let single = SinglePages::new()
        .inspect_err(|error| debug!(%error, "with each page, those around it are mapped"))
        .ok();
    unmap_files(single.as_ref());
    if let Some(single) = single {
        single.keep();
    }
}

/// Takes the pages of the files that this process runs out of it, as far as they are never written. What is used of them is mapped again
/// from the kernel's cache, or read: page by page from the first `single` on.
fn unmap_files(mut single: Option<&SinglePages>) {
    // SAFETY: the callback looks at nothing but what it is called with, and is given what it expects.
    unsafe {
        libc::dl_iterate_phdr(Some(unmap), (&raw mut single).cast());
    }
}

/// An entry of an object's dynamic section (`ElfW(Dyn)`).
#[repr(C)]
struct Dynamic {
    tag: usize,
    value: usize,
}

/// Whether the loader has written addresses into parts that are not written otherwise (`DT_TEXTREL`).
fn has_relocated_code(dynamic: &[Dynamic]) -> bool {
    const NULL: usize = 0;
    const TEXTREL: usize = 22;
    const FLAGS: usize = 30;
    const OF_TEXTREL: usize = 4;
    let mut entries = dynamic.iter().take_while(|entry| entry.tag != NULL);
    entries.any(|entry| match entry.tag {
        TEXTREL => true,
        FLAGS => entry.value & OF_TEXTREL != 0,
        _ => false,
    })
}

/// Unmaps those parts of a loaded `object`, and goes on with the next.
unsafe extern "C" fn unmap(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    single: *mut c_void,
) -> libc::c_int {
    // SAFETY: the C library calls it with an object of this process, with as many headers as it says, and with what `unmap_files` gave it.
    let (name, base, headers, single) = unsafe {
        let object = &*object;
        let name = CStr::from_ptr(object.dlpi_name).to_bytes();
        let headers = slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum));
        let single = *single.cast::<Option<&SinglePages>>();
        (name, object.dlpi_addr as usize, headers, single)
    };
    // The program has no name, libraries have a path, and what the kernel itself maps is not a file.
    if !name.is_empty() && !name.contains(&b'/') {
        return 0;
    }
    let dynamic = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC);
    let is_relocated = dynamic.is_some_and(|header| {
        let begin = (base + header.p_vaddr as usize) as *const Dynamic;
        let entries = header.p_memsz as usize / size_of::<Dynamic>();
        // SAFETY: an object's headers say where in its memory they are, and nothing changes them any more.
        has_relocated_code(unsafe { slice::from_raw_parts(begin, entries) })
    });
    // Its code was written to when it was loaded, and is not what its file has.
    if is_relocated {
        return 0;
    }
    // SAFETY: a call without memory.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    for header in headers {
        let is_written = header.p_flags & libc::PF_W != 0;
        if header.p_type != libc::PT_LOAD || is_written {
            continue;
        }
        let begin = base + header.p_vaddr as usize;
        let end = begin + header.p_filesz as usize;
        // Whole pages, which no other part shares.
        let begin = begin.next_multiple_of(page);
        let len = end.saturating_sub(begin) / page * page;
        if len == 0 {
            continue;
        }
        if let Some(single) = single
            && let Err(error) = single.map(begin, len)
        {
            debug!(%error, "with each page, those around it are mapped");
        }
        // SAFETY: nothing writes to these pages, so the one who reads them next finds in the file what was there.
        unsafe {
            libc::madvise(begin as *mut c_void, len, libc::MADV_DONTNEED);
        }
    }
    0
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
    fn code_that_the_loader_wrote_to_is_known() {
        let is_relocated = |entries: &[(usize, usize)]| {
            let dynamic = entries.iter().map(|&(tag, value)| Dynamic { tag, value });
            has_relocated_code(&dynamic.collect::<Vec<_>>())
        };
        // DT_NEEDED, and DF_BIND_NOW of DT_FLAGS.
        assert!(!is_relocated(&[(1, 22), (30, 8), (0, 0)]));
        assert!(is_relocated(&[(1, 22), (22, 0), (0, 0)]));
        assert!(is_relocated(&[(30, 8 | 4), (0, 0)]));
        assert!(!is_relocated(&[(1, 1), (0, 0), (22, 0)]), "behind the end");
    }

    #[test]
    fn the_program_runs_on_with_fewer_of_its_pages() {
        let texts: Vec<_> = (0..1000).map(|number| format!("{number:?}")).collect();
        let before = of_files();
        unmap_files(None);
        let after = of_files();
        assert!(after < before, "{before} KiB, then {after} KiB");
        assert!((0..1000).all(|number| texts[number] == format!("{number:?}")));
    }
}
