//! Which CPU the work is done on, and before which other work.

use std::{io, mem, sync::OnceLock};

/// The CPUs that this process may run on, by number; that it was [kept](stay_on) on some of them changes nothing.
#[must_use]
pub fn allowed() -> &'static [usize] {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(allowed_now)
}

fn allowed_now() -> Vec<usize> {
    // SAFETY: a zeroed set is an empty one, and the call fills it.
    let set = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::sched_getaffinity(0, size_of_val(&set), &raw mut set);
        set
    };
    // SAFETY: every number is within the set.
    let is_in = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    (0..libc::CPU_SETSIZE as usize).filter(is_in).collect()
}

/// Keeps this thread, and those that it starts later, on the CPU where it is, before other work there.
pub fn settle_down() {
    // SAFETY: a call without memory.
    stay_on(&[unsafe { libc::sched_getcpu() }.max(0) as usize]);
    // SAFETY: changes this thread's priority only.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
}

/// Keeps this thread, and what it starts later, on these CPUs.
pub fn stay_on(cpus: &[usize]) {
    // While it is not changed yet.
    let _ = allowed();
    // SAFETY: a zeroed set is an empty one, and the calls change this thread's scheduling only.
    let answer = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        for cpu in cpus {
            libc::CPU_SET(*cpu, &mut set);
        }
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    };
    if answer != 0 {
        eprintln!("not kept on CPUs {cpus:?}: {}", io::Error::last_os_error());
    }
}
