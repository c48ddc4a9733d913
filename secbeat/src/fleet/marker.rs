//! A file that says that the daemon was an edge of a fleet when it ran last, and since which boot of the host.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use secbeat_daemon::{
    time::{now_ms, rfc3339},
    whole_file::{Outlives, Readers, replace},
};
use serde::{Deserialize, Serialize};

/// A UUID that is another one after each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The file, which may not be there.
#[derive(Clone, Debug)]
pub(crate) struct Marker(PathBuf);

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    /// The edge's name.
    edge: String,
    boot_id: String,
    since: String,
}

impl Marker {
    #[must_use]
    pub(crate) fn in_folder(state_dir: &Path) -> Self {
        Self(state_dir.join("fleet.json"))
    }

    /// Whether the daemon was an edge of a fleet when it ran last.
    #[must_use]
    pub(crate) fn is_there(&self) -> bool {
        self.0.exists()
    }

    /// Whether the daemon has been the edge of this name since the host booted, so that the kernel has all that it took along.
    #[must_use]
    pub(crate) fn is_of_this_boot(&self, edge: &str) -> bool {
        let saved = fs::read(&self.0).ok();
        let saved: Option<Saved> = saved.and_then(|text| serde_json::from_slice(&text).ok());
        saved.is_some_and(|saved| saved.edge == edge && boot_id().is_ok_and(|boot| boot == saved.boot_id))
    }

    /// Notes that the daemon is the edge of this name, and that the kernel has all that it took along.
    ///
    /// # Errors
    ///
    /// Returns an error if that cannot be written.
    pub(crate) fn set(&self, edge: &str) -> anyhow::Result<()> {
        let boot_id = boot_id().with_context(|| format!("reading {BOOT_ID}"))?;
        let saved = Saved {
            edge: edge.to_owned(),
            boot_id,
            since: rfc3339(now_ms()),
        };
        let text = serde_json::to_vec(&saved).context("writing JSON")?;
        let written = replace(&self.0, &text, Readers::Everybody, Outlives::Crash);
        written.with_context(|| format!("writing {}", self.0.display()))
    }

    /// Notes that the daemon decides by itself.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be removed.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.0.display()))
            }
            _ => Ok(()),
        }
    }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string(BOOT_ID)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_for_one_edge_until_a_reboot_or_until_it_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let marker = Marker::in_folder(folder.path());
        assert!(!marker.is_there() && !marker.is_of_this_boot("web-1"));
        marker.clear().unwrap();
        marker.set("web-1").unwrap();
        assert!(marker.is_there() && marker.is_of_this_boot("web-1"));
        assert!(!marker.is_of_this_boot("web-2"));
        let path = folder.path().join("fleet.json");
        let rebooted = fs::read_to_string(&path)
            .unwrap()
            .replace(&boot_id().unwrap(), "another");
        fs::write(&path, rebooted).unwrap();
        assert!(marker.is_there() && !marker.is_of_this_boot("web-1"));
        marker.clear().unwrap();
        assert!(!marker.is_there());
    }
}
