//! Files that are there whole or not at all.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// What the new file outlives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlives {
    /// A crash of the program.
    Crash,
    /// A power cut, too: replacing waits for the disk.
    PowerCut,
}

/// Who may read the new file, as far as the umask allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    Everybody,
    Group,
    Owner,
}

impl Readers {
    /// The mode of a file, as in `open(2)`.
    fn mode(self) -> u32 {
        match self {
            Self::Everybody => 0o666,
            Self::Group => 0o640,
            Self::Owner => 0o600,
        }
    }
}

/// Puts a file of `bytes` in the place of `path`: whoever reads finds what was there or `bytes`. Makes its folder.
///
/// The new file is made beside it, in a folder that may be another user's: a link that this user left there leads nowhere.
///
/// # Errors
///
/// When it cannot be written. What was there stays.
pub fn replace(path: &Path, bytes: &[u8], readers: Readers, outlives: Outlives) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = path.with_added_extension("new");
    // Of an earlier attempt: it would keep its mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(readers.mode());
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    if outlives == Outlives::PowerCut {
        file.sync_all()?;
    }
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("state/a.json"), folder.path().join("other"));
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        replace(&path, b"1", Readers::Group, Outlives::Crash).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode()), (b"1".to_vec(), 0o640));
        fs::write(&other, "untouched").unwrap();
        symlink(&other, folder.path().join("state/a.json.new")).unwrap();
        replace(&path, b"2", Readers::Owner, Outlives::PowerCut).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode()), (b"2".to_vec(), 0o600));
        assert_eq!(fs::read(&other).unwrap(), b"untouched");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_there_stays_when_there_is_no_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "1").unwrap();
        fs::create_dir(folder.path().join("a.new")).unwrap();
        replace(&path, b"2", Readers::Everybody, Outlives::Crash).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"1");
    }
}
