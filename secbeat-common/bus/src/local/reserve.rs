//! Room on the disk that is kept for bans: a disk that others have filled costs records, and no ban.
//!
//! Blocks are allocated behind the ends of the database and of its write-ahead log (`FALLOC_FL_KEEP_SIZE` of fallocate(2)), which
//! SQLite then writes into. File systems that cannot do that, or that never overwrite in place, give no such promise.
//!
//! The files are opened once, and closed after the database. POSIX drops all locks that a process holds on a file as soon as it
//! closes any descriptor of it, SQLite's among them: <https://www.sqlite.org/howtocorrupt.html>, section 2.2. A second process could
//! then open the database beside this one, and destroy it.

use std::{
    fs::{File, OpenOptions},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
    sys::statvfs::fstatvfs,
};
use tracing::debug;

/// What is kept behind the end of each file, in bytes.
const ROOM: u64 = 8 << 20;
/// Less than this is not worth keeping, in bytes.
const LEAST: u64 = 1 << 20;
/// With less room than this on the disk, in bytes, what is kept is used.
const TIGHT: u64 = 4 << 20;
/// Interval at which the disk is asked.
const LOOK: Duration = Duration::from_secs(1);
/// The unit of `st_blocks`: stat(2).
const BLOCK: u64 = 512;

/// What a log is worth, where room is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// What was decided is written down for people.
    Record,
    /// What decisions are made of.
    Evidence,
}

/// The room that is kept for one database.
#[derive(Debug)]
pub(super) struct Reserve {
    /// The database, which must stay open as long as SQLite has it.
    database: File,
    /// Its write-ahead log, once that is there.
    log: Option<File>,
    log_path: PathBuf,
    looked: Option<Instant>,
    is_tight: bool,
    is_half_used: bool,
}

impl Reserve {
    /// For the `database` at `path`, which SQLite has not opened yet.
    pub(super) fn of(database: File, path: &Path) -> Self {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        Self {
            database,
            log: None,
            log_path: log.into(),
            looked: None,
            is_tight: false,
            is_half_used: false,
        }
    }

    /// Keeps room again, as far as there is some.
    pub(super) fn renew(&mut self) {
        if self.log.is_none() {
            self.log = OpenOptions::new().write(true).open(&self.log_path).ok();
        }
        for file in self.files() {
            if left(file) < ROOM / 2
                && let Err(error) = keep(file)
            {
                debug!(%error, "no room can be kept for bans");
            }
        }
        self.looked = None;
    }

    /// Whether a log may not grow now, so that there is room for bans.
    pub(super) fn refuses(&mut self, worth: Worth) -> bool {
        let now = Instant::now();
        if self
            .looked
            .is_none_or(|looked| now.duration_since(looked) >= LOOK)
        {
            self.looked = Some(now);
            self.look();
        }
        self.is_tight && (worth == Worth::Record || self.is_half_used)
    }

    fn look(&mut self) {
        let room = fstatvfs(self.database.as_fd()).ok();
        let room = room.map(|disk| disk.blocks_available() * disk.fragment_size());
        self.is_tight = room.is_some_and(|room| room < TIGHT);
        let is_half_used = self.files().any(|file| left(file) < ROOM / 2);
        self.is_half_used = is_half_used;
    }

    fn files(&self) -> impl Iterator<Item = &File> {
        [Some(&self.database), self.log.as_ref()].into_iter().flatten()
    }

    #[cfg(test)]
    pub(super) fn pretend(&mut self, is_half_used: bool) {
        self.looked = Some(Instant::now() + Duration::from_secs(3600));
        (self.is_tight, self.is_half_used) = (true, is_half_used);
    }
}

/// Bytes that are allocated behind the end of a file.
fn left(file: &File) -> u64 {
    let told = file.metadata();
    told.map_or(0, |told| (told.blocks() * BLOCK).saturating_sub(told.len()))
}

/// As much as there is room for, up to [`ROOM`]. A checkpoint cuts the database to its length, and gives back what was kept.
fn keep(file: &File) -> std::io::Result<()> {
    let length = file.metadata()?.len();
    let mut room = ROOM;
    loop {
        let [from, bytes] = [length, room].map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        match fallocate(file.as_fd(), FallocateFlags::FALLOC_FL_KEEP_SIZE, from, bytes) {
            Err(Errno::ENOSPC) if room > LEAST => room /= 2,
            kept => return Ok(kept?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_kept_behind_the_end_and_the_file_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        std::fs::write(&path, [7; 5000]).unwrap();
        let database = OpenOptions::new().write(true).open(&path).unwrap();
        let mut reserve = Reserve::of(database, &path);
        assert!(!reserve.refuses(Worth::Record) && left(&File::open(&path).unwrap()) < ROOM);
        reserve.renew();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 5000);
        assert!(
            left(&File::open(&path).unwrap()) >= ROOM / 2,
            "is this a file system that cannot?"
        );
        reserve.pretend(false);
        assert!(reserve.refuses(Worth::Record) && !reserve.refuses(Worth::Evidence));
        reserve.pretend(true);
        assert!(reserve.refuses(Worth::Evidence));
        reserve.renew();
        assert!(!reserve.refuses(Worth::Record), "there is room");
    }
}
