//! Pages of files that are mapped one by one.
//!
//! With a page that is used, the kernel maps those around it (`fault_around_bytes`, 64 KiB), but not where it has to tell of writes: see
//! "Write Protect Notifications" of the kernel's `Documentation/admin-guide/mm/userfaultfd.rst`. Nothing is told, as nothing writes there.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd},
};

/// Of `linux/userfaultfd.h`: only faults of this process's own code are meant, for which no privilege is needed.
const USER_MODE_ONLY: libc::c_int = 1;
const API: u64 = 0xaa;
/// The kernel keeps writes by itself, and does so for files. Since Linux 6.7.
const WP_ASYNC: u64 = 1 << 15;
const MODE_WP: u64 = 1 << 1;
const UFFDIO_API: libc::Ioctl = libc::_IOWR::<Api>(API as u32, 0x3f);
const UFFDIO_REGISTER: libc::Ioctl = libc::_IOWR::<Register>(API as u32, 0);

/// `struct uffdio_api`.
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

/// What makes the kernel do so, until it is dropped.
#[derive(Debug)]
pub(super) struct SinglePages(OwnedFd);

impl SinglePages {
    /// # Errors
    ///
    /// Returns an error if this kernel cannot, or this process may not.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a call without memory.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | USER_MODE_ONLY) };
        let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made it, and nobody else knows it.
        let made = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        let mut api = Api {
            api: API,
            features: WP_ASYNC,
            ioctls: 0,
        };
        made.ask(UFFDIO_API, &mut api)?;
        Ok(made)
    }

    /// Has the kernel map single pages of so much memory from now on. What is mapped already stays.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub(super) fn map(&self, begin: usize, len: usize) -> io::Result<()> {
        let mut register = Register {
            start: begin as u64,
            len: len as u64,
            mode: MODE_WP,
            ioctls: 0,
        };
        self.ask(UFFDIO_REGISTER, &mut register)
    }

    /// Leaves it so for as long as the process runs.
    pub(super) fn keep(self) {
        let _ = self.0.into_raw_fd();
    }

    fn ask<T>(&self, request: libc::Ioctl, with: &mut T) -> io::Result<()> {
        // SAFETY: both requests are of a structure that `with` is, which the kernel reads and writes during the call. They change how pages
        // are mapped, and not what is in them.
        match unsafe { libc::ioctl(self.0.as_raw_fd(), request, std::ptr::from_mut(with)) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, ptr};

    use super::*;

    const LEN: usize = 1024 * 1024;

    /// Resident KiB of the mapping that begins there.
    fn resident(begin: usize) -> u64 {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let head = format!("{begin:x}-");
        let mut lines = maps.lines().skip_while(|line| !line.starts_with(&head));
        let line = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn only_the_page_that_is_used_is_mapped() {
        // Kernels before 6.7 cannot, and a container may not.
        let Ok(single) = SinglePages::new() else {
            return;
        };
        let program = File::open("/proc/self/exe").unwrap();
        // SAFETY: a new mapping of a file that nobody writes to, longer than that.
        let begin = unsafe {
            libc::mmap(
                ptr::null_mut(),
                LEN,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                program.as_raw_fd(),
                0,
            )
        };
        assert_ne!(begin, libc::MAP_FAILED);
        single.map(begin as usize, LEN).unwrap();
        // SAFETY: in the mapping.
        let byte = unsafe { begin.cast::<u8>().add(LEN / 2).read_volatile() };
        let resident = resident(begin as usize);
        // SAFETY: not used after this.
        unsafe { libc::munmap(begin, LEN) };
        // SAFETY: a call without memory.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64 / 1024;
        assert_eq!(resident, page, "{byte}");
    }
}
