//! Tells when something happens to files and folders, by inotify(7).

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use inotify::{Inotify, WatchDescriptor, WatchMask};
use tracing::debug;

use super::file::{FileId, LogFile};
use crate::host::watch_points;

/// Room for some events with the longest names.
const BUFFER: usize = 4096;

/// Watches on log files and on the folders in which they appear.
pub(super) struct Watch {
    inotify: Inotify,
    files: HashMap<FileId, WatchDescriptor>,
    folders: HashMap<PathBuf, WatchDescriptor>,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Files were written to, or nothing happened.
    Contents,
    /// Names came or went.
    Names,
}

impl Watch {
    /// # Errors
    ///
    /// Returns an error if the user has too many already.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            inotify: Inotify::init()?,
            files: HashMap::new(),
            folders: HashMap::new(),
        })
    }

    pub(super) fn readable(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Watches these files and the folders that lead to these paths, and nothing else any more. What cannot be watched is
    /// looked at now and then all the same.
    pub(super) fn arm<'a>(&mut self, files: &[LogFile], paths: impl Iterator<Item = &'a Path>) {
        let mut watches = self.inotify.watches();
        let open: HashSet<FileId> = files.iter().map(|file| file.id).collect();
        for (_, closed) in self.files.extract_if(|id, _| !open.contains(id)) {
            // A file that is deleted takes its watch with it.
            let _ = watches.remove(closed);
        }
        for file in files {
            if let Entry::Vacant(entry) = self.files.entry(file.id) {
                match watches.add(file.descriptor_path(), WatchMask::MODIFY) {
                    Ok(watch) => drop(entry.insert(watch)),
                    Err(error) => debug!(file = %file.path.display(), %error, "cannot watch a log"),
                }
            }
        }
        let wanted: HashSet<PathBuf> = paths.flat_map(watch_points).map(|(place, _)| place).collect();
        for (_, left) in self.folders.extract_if(|folder, _| !wanted.contains(folder)) {
            let _ = watches.remove(left);
        }
        let names = WatchMask::ONLYDIR
            | WatchMask::CREATE
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF;
        for folder in wanted {
            // Anew each time: another folder may have come by this name.
            match watches.add(&folder, names) {
                Ok(watch) => drop(self.folders.insert(folder, watch)),
                Err(error) => debug!(folder = %folder.display(), %error, "not watched"),
            }
        }
    }

    /// Takes all that has happened.
    pub(super) fn drain(&mut self) -> Change {
        let mut buffer = [0; BUFFER];
        let mut change = Change::Contents;
        while let Ok(events) = self.inotify.read_events(&mut buffer) {
            for event in events {
                if !self.files.values().any(|watch| *watch == event.wd) {
                    change = Change::Names;
                }
            }
        }
        change
    }
}
