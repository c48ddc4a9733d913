//! Allowlist of this host's operators at run time, on disk: a restart or a reboot must not forget it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use secbeat_common::wire::AllowEntry;
use secbeat_daemon::whole_file::{Outlives, Readers, replace};
use secbeat_edge_core::{LocalAllowlist, LocalRefusal};

/// The file. The daemon changes it where one runs, else the command line.
#[derive(Clone, Debug)]
pub(crate) struct LocalAllowlistFile {
    path: PathBuf,
}

/// The reason why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotChanged {
    #[error(transparent)]
    Refused(#[from] LocalRefusal),
    #[error("{0:#}")]
    File(#[from] anyhow::Error),
}

impl LocalAllowlistFile {
    pub(crate) fn in_folder(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("local-allowlist.json"),
        }
    }

    /// The entries that hold at `now_ms`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is a file that cannot be read.
    pub(crate) fn read(&self, now_ms: i64) -> anyhow::Result<LocalAllowlist> {
        let json = match fs::read(&self.path) {
            Ok(json) => json,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LocalAllowlist::default()),
            Err(error) => return Err(error).with_context(|| format!("reading {}", self.path.display())),
        };
        let entries: Vec<AllowEntry> = serde_json::from_slice(&json).with_context(|| {
            format!(
                "{} holds no allowlist: remove it, and add its entries again",
                self.path.display()
            )
        })?;
        Ok(LocalAllowlist::new(entries, now_ms))
    }

    /// Changes it, and drops what has ended. Returns what `change` does, and the entries from now on.
    ///
    /// # Errors
    ///
    /// That of `change`, or when the file cannot be read or written.
    pub(crate) fn change<T>(
        &self,
        now_ms: i64,
        change: impl FnOnce(&mut LocalAllowlist) -> Result<T, LocalRefusal>,
    ) -> Result<(T, Vec<AllowEntry>), NotChanged> {
        let mut list = self.read(now_ms)?;
        let changed = change(&mut list)?;
        let entries: Vec<_> = list.entries().cloned().collect();
        let written = self.write(&entries);
        written.with_context(|| format!("writing {}", self.path.display()))?;
        Ok((changed, entries))
    }

    /// Replaces the file in one step. Root may write it for the daemon's user, who can then read it.
    fn write(&self, entries: &[AllowEntry]) -> io::Result<()> {
        let json = serde_json::to_vec(entries)?;
        replace(&self.path, &json, Readers::Everybody, Outlives::PowerCut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(network: &str, until_ms: Option<i64>) -> AllowEntry {
        AllowEntry {
            network: network.parse().unwrap(),
            comment: "exempt".to_owned(),
            until_ms,
            added_by: "root".to_owned(),
            added_at_ms: 0,
        }
    }

    #[test]
    fn entries_outlast_the_process_and_end() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let file = LocalAllowlistFile::in_folder(&state);
        assert_eq!(file.read(0).unwrap(), LocalAllowlist::default());
        let (lasting, ending) = (entry("192.0.2.1", None), entry("192.0.2.2", Some(50)));
        file.change(0, |list| list.add(lasting.clone())).unwrap();
        let ((), entries) = file.change(0, |list| list.add(ending.clone())).unwrap();
        assert_eq!(entries, [lasting.clone(), ending.clone()]);
        let again = LocalAllowlistFile::in_folder(&state);
        assert_eq!(again.read(49).unwrap(), LocalAllowlist::new(entries, 0));
        assert_eq!(again.read(50).unwrap(), LocalAllowlist::new([lasting.clone()], 0));
        let absent = again.change(50, |list| list.remove(&ending.network));
        assert!(matches!(
            absent,
            Err(NotChanged::Refused(LocalRefusal::NotThere(_)))
        ));
        let (removed, entries) = again.change(50, |list| list.remove(&lasting.network)).unwrap();
        assert_eq!((removed, entries), (lasting, Vec::new()));
    }

    #[test]
    fn a_link_in_place_of_what_is_written_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        fs::write(&other, "as it was").unwrap();
        std::os::unix::fs::symlink(&other, folder.path().join("local-allowlist.json.new")).unwrap();
        let file = LocalAllowlistFile::in_folder(folder.path());
        file.change(0, |list| list.add(entry("192.0.2.1", None))).unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"as it was");
        assert_eq!(file.read(0).unwrap().entries().count(), 1);
    }

    #[test]
    fn a_file_that_is_none_is_named_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("local-allowlist.json");
        fs::write(&path, "garbage").unwrap();
        let file = LocalAllowlistFile::in_folder(folder.path());
        let error = file
            .change(0, |list| list.add(entry("192.0.2.1", None)))
            .unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with(&format!("{} holds no allowlist", path.display())),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"garbage");
    }
}
