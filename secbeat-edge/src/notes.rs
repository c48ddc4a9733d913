//! Notes of bans that were made on this host. The kernel keeps such bans while no daemon runs; this file keeps their notes.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use parking_lot::Mutex;
use secbeat_common::prefix::Prefix;
use secbeat_daemon::whole_file::{Outlives, Readers, replace};
use secbeat_edge_core::{BootTime, LocalNotes};
use serde::{Deserialize, Serialize};

use crate::spool::boot_id;

/// The file. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    /// Locked while it is written.
    path: Arc<Mutex<PathBuf>>,
}

/// Its contents, which hold until the host reboots, as the bans do.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    boot_id: String,
    bans: BTreeMap<String, Noted>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    /// Time at which the ban ends, in nanoseconds since boot. Another ban of the target ends at another time.
    ends_ns: u64,
    note: String,
}

impl Notes {
    pub(crate) fn in_folder(state_dir: &Path) -> Self {
        let path = Mutex::new(state_dir.join("notes.json"));
        Self { path: Arc::new(path) }
    }

    /// Those of bans that have not ended; none if the file cannot be read, for they matter to nothing but listings.
    pub(crate) fn read(&self, now: BootTime) -> LocalNotes {
        let bans = read(&self.path.lock(), now).bans.into_iter();
        bans.filter_map(|(target, Noted { ends_ns, note })| {
            Some((target.parse().ok()?, BootTime(ends_ns), note.into()))
        })
        .collect()
    }

    /// Adds one, and drops those of bans that have ended.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written.
    pub(crate) fn remember(
        &self,
        target: &Prefix,
        ends: BootTime,
        note: &str,
        now: BootTime,
    ) -> anyhow::Result<()> {
        let path = self.path.lock();
        let mut saved = read(&path, now);
        let noted = Noted {
            ends_ns: ends.0,
            note: note.to_owned(),
        };
        saved.bans.insert(target.to_string(), noted);
        write(&path, &saved).with_context(|| format!("writing {}", path.display()))
    }
}

fn read(path: &Path, now: BootTime) -> Saved {
    let boot_id = boot_id().to_string();
    let saved = fs::read(path).ok();
    let saved: Option<Saved> = saved.and_then(|text| serde_json::from_slice(&text).ok());
    let mut bans = saved
        .filter(|saved| saved.boot_id == boot_id)
        .unwrap_or_default()
        .bans;
    bans.retain(|_, noted| noted.ends_ns > now.0);
    Saved { boot_id, bans }
}

/// Replaces the file in one step. Root may write it for the daemon's user, who can then read it.
fn write(path: &Path, saved: &Saved) -> io::Result<()> {
    let json = serde_json::to_vec(saved)?;
    replace(path, &json, Readers::Everybody, Outlives::Crash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_last_as_long_as_their_bans() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::in_folder(&folder.path().join("state"));
        let (one, other): (Prefix, Prefix) =
            ("192.0.2.1/32".parse().unwrap(), "192.0.2.0/24".parse().unwrap());
        assert!(notes.read(BootTime(0)) == LocalNotes::default());
        notes.remember(&one, BootTime(50), "first", BootTime(0)).unwrap();
        notes
            .remember(&one, BootTime(100), "scanner", BootTime(0))
            .unwrap();
        notes
            .remember(&other, BootTime(200), "n\u{f6}", BootTime(0))
            .unwrap();
        let read = Notes::in_folder(&folder.path().join("state")).read(BootTime(99));
        assert_eq!(read.of(&one, BootTime(100)), Some("scanner"));
        assert_eq!(read.of(&one, BootTime(9_000_000_000)), None, "another ban");
        assert_eq!(read.of(&other, BootTime(200)), Some("n\u{f6}"));
        assert_eq!(notes.read(BootTime(100)).of(&one, BootTime(100)), None);

        let path = folder.path().join("state/notes.json");
        let of_another_boot = fs::read_to_string(&path)
            .unwrap()
            .replace(&boot_id().to_string(), "another");
        fs::write(&path, of_another_boot).unwrap();
        assert!(notes.read(BootTime(0)) == LocalNotes::default());
        fs::write(&path, "garbage").unwrap();
        assert!(notes.read(BootTime(0)) == LocalNotes::default());
        notes.remember(&one, BootTime(100), "again", BootTime(0)).unwrap();
        assert_eq!(notes.read(BootTime(0)).of(&one, BootTime(100)), Some("again"));
    }
}
