//! Files that are there whole or not at all.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
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

/// Puts a file of `bytes` in the place of `path`: the one who reads finds what was there or `bytes`. Makes its folder.
///
/// The new file is made beside it, in a folder that may be another user's: a link that this user left there leads nowhere.
///
/// # Errors
///
/// Returns an error if it cannot be written. What was there stays.
pub fn replace(path: &Path, bytes: &[u8], readers: Readers, outlives: Outlives) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    put(path, bytes, readers.mode(), outlives, |_| Ok(()))
}

/// Puts a file of `bytes` in the place of one that people keep: it belongs to whom it belonged to, with the mode that it had. Where `path`
/// is a link, what it leads to is replaced. A file that was not there may be read by everybody, and written by its owner.
///
/// # Errors
///
/// Returns an error if it cannot be written. What was there stays.
pub fn edit(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let found = match fs::canonicalize(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            return put(path, bytes, Readers::Owner.mode(), Outlives::PowerCut, |file| {
                file.set_permissions(Permissions::from_mode(0o644))
            });
        }
        Err(error) => return Err(error),
    };
    let before = fs::metadata(&found)?;
    put(&found, bytes, Readers::Owner.mode(), Outlives::PowerCut, |file| {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (before.uid(), before.gid()) {
            fchown(file, Some(before.uid()), Some(before.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(before.mode() & 0o7777))
    })
}

fn put(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    outlives: Outlives,
    finish: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let new = path.with_added_extension("new");
    // Of an earlier attempt: it would keep its mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    finish(&file)?;
    if outlives == Outlives::PowerCut {
        file.sync_all()?;
    }
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

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
    fn an_edited_file_keeps_its_owner_its_mode_and_the_link_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real.toml"), folder.path().join("link.toml"));
        fs::write(&file, "1").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        // Only root may give a file away.
        let is_root = std::os::unix::fs::chown(&file, Some(12_345), Some(54_321)).is_ok();
        let before = fs::metadata(&file).unwrap();
        symlink("real.toml", &link).unwrap();
        edit(&link, b"2").unwrap();
        let after = fs::metadata(&file).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"2");
        assert_eq!(
            (after.mode(), after.uid(), after.gid()),
            (before.mode(), before.uid(), before.gid())
        );
        assert!(!is_root || after.uid() == 12_345);
        let new = folder.path().join("etc/new.toml");
        edit(&new, b"3").unwrap();
        assert_eq!(fs::metadata(&new).unwrap().mode() & 0o777, 0o644);
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
