//! A daemon's view of `/etc`, `/run` and `/var/lib`: folders of its own, mounted over this machine's where nobody else sees
//! it, so that tests can change resolvers and login sessions through the very paths that a real host has.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::lab::{
    executable::{Executable as _, Program},
    netns::Namespace,
};

/// Mounts, by the program `$0`, `$1` over `/etc`, `$2` over `/run` and `$3` over `/var/lib`, and becomes the rest of its
/// arguments.
const MOUNT_AND_RUN: &str = r#""$0" --rbind "$1" /etc && "$0" --rbind "$2" /run && "$0" --rbind "$3" /var/lib && shift 3 && exec "$@""#;

/// The folders, empty at first. Dropped, they are removed.
#[derive(Debug)]
pub struct HostFiles {
    root: TempDir,
}

impl HostFiles {
    #[must_use]
    pub fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("secbeat-files-")
            .tempdir()
            .expect("making a folder for a host's files");
        for folder in ["etc", "run", "var/lib"] {
            fs::create_dir_all(root.path().join(folder)).expect("making a folder for a host's files");
        }
        Self { root }
    }

    /// A command that will run `program` in `namespace` and with these files.
    #[must_use]
    pub fn command(&self, namespace: &Namespace, program: &Path) -> Command {
        let mut command = namespace.command(Program::Unshare);
        command
            .args(["--mount", "--propagation", "private", "--"])
            .arg(Program::Shell.file())
            .args(["-c", MOUNT_AND_RUN])
            .arg(Program::Mount.file());
        let folders = ["/etc", "/run", "/var/lib"].map(|folder| self.path(folder));
        command.args(folders).arg(program);
        command
    }

    /// Where a daemon's `path` lies for everybody else.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// Writes a daemon's `path`, and makes the folders that it lies in.
    pub fn write(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("making folders");
        fs::write(path, contents).expect("writing a host's file");
    }

    /// Replaces a daemon's `path` as careful programs do: at once, by renaming.
    pub fn replace(&self, path: &str, contents: impl AsRef<[u8]>) {
        let new = format!("{path}.new");
        self.write(&new, contents);
        fs::rename(self.path(&new), self.path(path)).expect("replacing a host's file");
    }

    /// Removes a daemon's `path`.
    pub fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).expect("removing a host's file");
    }
}

impl Default for HostFiles {
    fn default() -> Self {
        Self::new()
    }
}
