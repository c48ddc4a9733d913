//! The archive that a kernel unpacks as its first file system: cpio's `newc` format
//! (Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's sources).

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::io::Write;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const DEVICE: u32 = 0o020_600;
const END: &str = "TRAILER!!!";

/// Writes an archive; the folders above a file come by themselves.
pub(super) struct Archive<W> {
    to: W,
    folders: BTreeSet<String>,
    files: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W) -> Self {
        Self {
            to,
            folders: BTreeSet::new(),
            files: 0,
        }
    }

    /// Adds a folder, named without a leading slash.
    pub(super) fn folder(&mut self, name: &str) -> Result<()> {
        let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
        for end in ends {
            let folder = &name[..end];
            if self.folders.insert(folder.to_owned()) {
                self.entry(folder, DIRECTORY, (0, 0), &[])?;
            }
        }
        Ok(())
    }

    /// Adds a file that everybody may run.
    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if let Some((folder, _)) = name.rsplit_once('/') {
            self.folder(folder)?;
        }
        self.entry(name, PROGRAM, (0, 0), bytes)
    }

    /// Adds a character device; it needs no root, for it is only described.
    pub(super) fn device(&mut self, name: &str, major: u32, minor: u32) -> Result<()> {
        self.entry(name, DEVICE, (major, minor), &[])
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> Result<()> {
        self.entry(END, 0, (0, 0), &[])?;
        self.to.flush().context("cannot write the initramfs")
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), bytes: &[u8]) -> Result<()> {
        let size =
            u32::try_from(bytes.len()).with_context(|| format!("{name} is too large for an initramfs"))?;
        let name_size = u32::try_from(name.len() + 1).context("a name is too long for an initramfs")?;
        self.files += 1;
        // Inode, mode, owner, group, links, time, size, device, device it stands for, length of the name, checksum.
        let fields = [
            self.files, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0,
        ];
        let mut header = b"070701".to_vec();
        for field in fields {
            header.extend(format!("{field:08X}").bytes());
        }
        header.extend(name.bytes());
        header.push(0);
        pad(&mut header);
        self.to.write_all(&header)?;
        self.to.write_all(bytes)?;
        self.to.write_all(&[0; 3][..bytes.len().wrapping_neg() % 4])?;
        Ok(())
    }
}

/// Header and name together, and the file, each end on a multiple of four bytes.
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn an_archive_is_as_the_kernel_documents_it() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file("a/b", b"hello").unwrap();
        archive.file("a/c", b"").unwrap();
        archive.finish().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let names: Vec<_> = text
            .split("070701")
            .skip(1)
            .map(|entry| entry[104..].trim_end_matches('\0'))
            .collect();
        assert_eq!(names, ["a", "a/b\0\0\0hello", "a/c", "TRAILER!!!"]);
        let second = text.split("070701").nth(2).unwrap();
        assert_eq!(&second[8..16], "000081ED", "mode");
        assert_eq!(&second[48..56], "00000005", "size");
        assert_eq!(&second[88..96], "00000004", "size of the name");
        assert_eq!(text.len() % 4, 0);
    }
}
