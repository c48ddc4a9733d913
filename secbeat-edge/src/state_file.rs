//! Files of the daemon's state that root writes, too.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Creates the file that will take the place of `path`, in its folder. That is the daemon's user's alone: a link that this user left
/// there leads root nowhere.
pub(crate) fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let new = path.with_extension("new");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = File::create_new(&new)?;
    Ok((new, file))
}
