//! Positions up to which sources were read, kept over restarts.
//!
//! A checkpoint says nothing that has not left: it is written once the telemetry of all that it covers has gone to the bus.
//! So a daemon that is killed loses no line. What it had read since the last checkpoint, it reads again: at most the lines of
//! [`EVERY`] and of the time that a batch waits.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use secbeat_daemon::{
    time::wall_ms,
    whole_file::{Outlives, Readers, replace},
};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{config::Place, file::FileId, mark::SavedMark};
use crate::telemetry::TelemetryStats;

/// From one checkpoint to the next while lines come.
pub(super) const EVERY: Duration = Duration::from_millis(100);
/// Time that the end of the daemon waits for telemetry to leave.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

/// What is kept of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    /// Wall clock, milliseconds since the Unix epoch.
    pub(super) saved_at_ms: i64,
    #[serde(default)]
    pub(super) files: Vec<SavedFile>,
    #[serde(default)]
    pub(super) journal: Option<SavedJournal>,
    /// The formats that a line has brought into doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) in_doubt: Option<String>,
}

/// How far one file was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedFile {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) mark: SavedMark,
}

/// How far a unit's messages were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum SavedJournal {
    /// Wall clock of the first start, milliseconds since the Unix epoch: nothing was read yet.
    Since(i64),
    /// Of the last message read.
    Cursor(String),
}

/// How far what was reported has come.
pub(in crate::sources) trait Progress: Send + Sync {
    /// Reports taken in.
    fn recorded(&self) -> u64;
    /// Returns how many of them have left, in the order in which they came.
    fn settled(&self) -> u64;
}

impl Progress for TelemetryStats {
    fn recorded(&self) -> u64 {
        self.recorded()
    }

    fn settled(&self) -> u64 {
        self.settled()
    }
}

/// File of the checkpoints of one source.
pub(super) struct Store {
    path: PathBuf,
    progress: Arc<dyn Progress>,
    /// To be written once so many answers have left.
    pending: Option<(u64, Saved)>,
    written: Option<Saved>,
    taken: Instant,
    failed: bool,
}

impl Store {
    /// The store of `place` in the folder `state`, and what it holds. A checkpoint that cannot be read is none.
    ///
    /// # Errors
    ///
    /// Returns an error if the folder cannot be made.
    pub(super) fn open(
        state: &Path,
        place: &Place,
        progress: Arc<dyn Progress>,
    ) -> anyhow::Result<(Self, Option<Saved>)> {
        let folder = state.join("access_log");
        make_folder(&folder).with_context(|| format!("state_dir: making {}", folder.display()))?;
        let path = folder.join(file_name(&place.to_string()));
        let saved = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .inspect_err(|error| {
                    warn!(checkpoint = %path.display(), %error, "a checkpoint cannot be read; starting as if there were none");
                })
                .ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("state_dir: reading {}", path.display())),
        };
        let store = Self {
            path,
            progress,
            pending: None,
            written: None,
            taken: Instant::now(),
            failed: false,
        };
        Ok((store, saved))
    }

    /// Takes note of how far the source is read, and writes what has become due. Cheap when called often.
    pub(super) fn keep(&mut self, state: impl FnOnce() -> Saved) {
        let settled = self.progress.settled();
        if let Some((_, saved)) = self.pending.take_if(|(answers, _)| *answers <= settled) {
            self.write(saved);
        }
        if self.pending.is_none() && self.taken.elapsed() >= EVERY {
            self.taken = Instant::now();
            let state = state();
            if !self.is_written(&state) {
                self.pending = Some((self.progress.recorded(), state));
            }
        }
    }

    /// Writes the last checkpoint: as soon as all has left, but after a short while in any case what has left by then.
    pub(super) fn finish(&mut self, state: Saved) {
        let (answers, start) = (self.progress.recorded(), Instant::now());
        while self.progress.settled() < answers {
            if start.elapsed() > PATIENCE {
                return self.keep(|| state);
            }
            std::thread::sleep(POLL);
        }
        if !self.is_written(&state) {
            self.write(state);
        }
    }

    /// Returns how long until [`keep`](Self::keep) has something to do, if nothing more is read.
    pub(super) fn due(&self) -> Option<Duration> {
        self.pending.as_ref().map(|_| EVERY)
    }

    fn is_written(&self, state: &Saved) -> bool {
        let written = self.written.as_ref();
        written.is_some_and(|written| {
            let Saved {
                saved_at_ms: _,
                files,
                journal,
                in_doubt,
            } = written;
            *files == state.files && *journal == state.journal && *in_doubt == state.in_doubt
        })
    }

    fn write(&mut self, mut saved: Saved) {
        saved.saved_at_ms = wall_ms();
        match self.replace(&saved) {
            Ok(()) => self.failed = false,
            Err(error) if !self.failed => {
                self.failed = true;
                warn!(checkpoint = %self.path.display(), "cannot write a checkpoint; a restart will read again or skip: {error:#}");
            }
            Err(_) => {}
        }
        self.written = Some(saved);
    }

    /// By renaming, so that there is always a whole one. Not synced: after a power cut the lines of before are too old anyway.
    fn replace(&self, saved: &Saved) -> anyhow::Result<()> {
        let json = serde_json::to_vec(saved)?;
        replace(&self.path, &json, Readers::Owner, Outlives::Crash)
            .with_context(|| format!("writing {}", self.path.display()))
    }
}

/// Makes a folder that only its owner may look into, and its parents as they come.
fn make_folder(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        // Of an older release, which left it open.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match fs::metadata(folder)?.permissions().mode() & 0o077 {
                0 => Ok(()),
                _ => fs::set_permissions(folder, Permissions::from_mode(0o700)),
            }
        }
        made => made,
    }
}

/// A file name that stands for `place` alone: readable, and with a hash for what had to go.
fn file_name(place: &str) -> String {
    let readable: String = place
        .chars()
        .map(|char| {
            if char.is_ascii_alphanumeric() || char == '.' {
                char
            } else {
                '-'
            }
        })
        .take(100)
        .collect();
    format!(
        "{}-{:016x}.json",
        readable.trim_start_matches(['-', '.']),
        fnv_1a(place.as_bytes())
    )
}

/// FNV-1a of 64 bits (draft-eastlake-fnv): the same in every release, as the names of files have to be.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Settled;

    impl Progress for Settled {
        fn recorded(&self) -> u64 {
            0
        }

        fn settled(&self) -> u64 {
            0
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_checkpoint_is_its_owners_alone_also_where_an_older_release_left_it_open() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("access_log");
        let place = Place::Files(super::super::PathPattern::new("/var/log/a.log").unwrap());
        for has_older in [false, true] {
            let (mut store, _) = Store::open(state.path(), &place, Arc::new(Settled)).unwrap();
            let path = store.path.clone();
            if has_older {
                fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
                fs::write(format!("{}.new", path.display()), "").unwrap();
                fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
                store = Store::open(state.path(), &place, Arc::new(Settled)).unwrap().0;
            }
            store.finish(Saved {
                journal: Some(SavedJournal::Since(7)),
                ..Saved::default()
            });
            assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600), "{has_older}");
            let (_, saved) = Store::open(state.path(), &place, Arc::new(Settled)).unwrap();
            assert_eq!(saved.unwrap().journal, Some(SavedJournal::Since(7)));
        }
    }
}
