//! Secrets in files that only the daemon can read.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use secbeat_daemon::credentials::Secret;

/// Longest secret, in bytes.
const MAX_SECRET: u64 = 8192;

/// Where a secret is, or the secret itself.
#[derive(Clone, Debug)]
pub(super) enum SecretSource {
    Given(Secret),
    File(PathBuf),
}

impl SecretSource {
    /// The secret, read again each time: files change.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, holds nothing, or is for others to read, without a word of what it holds.
    pub(super) fn read(&self) -> anyhow::Result<Secret> {
        let path = match self {
            Self::Given(secret) => return Ok(secret.clone()),
            Self::File(path) => path,
        };
        let shown = path.display();
        let metadata = fs::metadata(path).with_context(|| format!("reading {shown}"))?;
        ensure!(
            metadata.mode() & 0o007 == 0,
            "{shown}: all users may read or write the file (mode {:o}); it holds a secret, so make it 0640 or less",
            metadata.mode() & 0o777
        );
        ensure!(
            metadata.len() <= MAX_SECRET,
            "{shown}: it has more than {MAX_SECRET} bytes"
        );
        let text = fs::read_to_string(path).with_context(|| format!("reading {shown}"))?;
        let text = text.trim();
        ensure!(!text.is_empty(), "{shown}: it is empty");
        ensure!(
            !text.contains(char::is_control),
            "{shown}: it has more than one line"
        );
        Ok(Secret(text.to_owned()))
    }
}

/// The file that a config in `folder` calls `name`.
pub(super) fn place(name: &Path, folder: &Path) -> PathBuf {
    let loaded =
        std::env::var_os("CREDENTIALS_DIRECTORY").map(|credentials| Path::new(&credentials).join(name));
    let path = loaded.filter(|path| path.exists());
    path.unwrap_or_else(|| folder.join(name))
}
