//! Memory that is not needed any more goes back to the host.
//!
//! glibc's malloc gives each thread an arena of its own, and returns what is free only where an arena ends. The C library of
//! another kind of build looks after that by itself.

/// Has all threads take memory from one arena, which is half of what the process takes otherwise. Their calls wait for each
/// other then. Threads that run already keep their arenas.
pub fn share_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it changes a number of malloc's.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns what is free. Takes a few milliseconds.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc locks what it returns.
    unsafe {
        libc::malloc_trim(0);
    }
}
