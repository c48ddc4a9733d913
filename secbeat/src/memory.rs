//! A config that lies in memory and is read as a file is, whatever folders can be written.

use std::{
    fs::File,
    io::Write as _,
    os::fd::{AsRawFd as _, OwnedFd},
    path::PathBuf,
};

use anyhow::Context as _;
use nix::sys::memfd::{MFdFlags, memfd_create};

/// A file that nobody else sees, and that ends with this value.
#[derive(Debug)]
pub(crate) struct InMemory(File);

impl InMemory {
    /// One with this text.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel gives no memory for it.
    pub(crate) fn new(text: &str) -> anyhow::Result<Self> {
        let file: OwnedFd =
            memfd_create("secbeat.toml", MFdFlags::MFD_CLOEXEC).context("making a file in memory")?;
        let mut file = File::from(file);
        file.write_all(text.as_bytes())
            .context("writing a file in memory")?;
        Ok(Self(file))
    }

    /// Returns where this process, and no other, reads it.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_again_and_again() {
        let file = InMemory::new("[ban]\n").unwrap();
        for _ in 0..2 {
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "[ban]\n");
        }
    }
}
