//! What one run needs below `target/vm`, and nobody after it.

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A folder for what one run needs, removed after it. Runs that meet would be in each other's way.
pub(super) struct Scratch {
    path: PathBuf,
    /// Holds the lock, which ends with the process at the latest.
    _lock: File,
}

impl Scratch {
    pub(super) fn new() -> Result<Self> {
        let home = workspace::vm();
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        let lock = File::create(home.join("lock")).context("cannot create the lock of `vm`")?;
        if lock.try_lock().is_err() {
            bail!("another `cargo xtask vm` is running in this folder");
        }
        let path = home.join("scratch");
        // Of a run that was killed.
        remove(&path)?;
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            eprintln!("vm: {error:#}");
        }
    }
}

/// Removes a folder with all that is in it, if there is one.
pub(super) fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    Ok(())
}
