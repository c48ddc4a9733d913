//! The start: takes up what a checkpoint says, whatever happened to the files since.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{File, Metadata},
    path::PathBuf,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, UNIX_EPOCH},
};

use tracing::info;

use super::{BUFFER, Follower, real};
use crate::sources::access_log::{
    checkpoint::Saved,
    config::{PathPattern, Start},
    file::{FileId, LogFile, Mark, begins_with, end_mark},
    report::Reporter,
    siblings::{self, Sibling},
};

impl Follower {
    /// Takes up where `saved` says. Files that were never read start as `start` says, unless the source was read before:
    /// then they are new, and read from their beginning.
    pub(in crate::sources::access_log) fn start(
        pattern: PathPattern,
        start: Start,
        reporter: Reporter,
        saved: Option<Saved>,
    ) -> Self {
        let mut follower = Self {
            pattern,
            reporter,
            files: Vec::new(),
            seen: BTreeMap::new(),
            known: HashSet::new(),
            ignored: HashSet::new(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            trouble: None,
        };
        let was_read = saved.is_some();
        let saved = saved.unwrap_or_default();
        for path in follower.paths() {
            let Some((file, metadata)) = follower.open(&path) else {
                continue;
            };
            let id = FileId::from(&metadata);
            follower.seen.insert(path.clone(), id);
            if follower.position(id).is_some() {
                continue;
            }
            let known = saved.files.iter().find(|known| known.id == id);
            let mark = match known {
                Some(known) if holds(&file, &metadata, &known.mark) => known.mark.clone(),
                Some(known) => {
                    follower.reporter.health().truncations.fetch_add(1, Relaxed);
                    follower.find_rest(&known.path, &known.mark, true);
                    Mark::default()
                }
                None if was_read || start == Start::Beginning => Mark::default(),
                None => end_mark(&file, metadata.len(), &mut follower.buffer).unwrap_or_default(),
            };
            follower.add(LogFile::new(&real(&path), file, &metadata, mark).with_backlog());
        }
        follower.find_moved(&saved);
        if was_read {
            follower.find_missed_since(&saved);
        }
        let generations = siblings::generations(follower.seen.keys().map(PathBuf::as_path));
        follower.known.extend(generations.iter().map(Sibling::birth));
        follower.look();
        follower
    }

    /// Finds files of the checkpoint that have other names now.
    fn find_moved(&mut self, saved: &Saved) {
        for known in &saved.files {
            if self.position(known.id).is_some() {
                continue;
            }
            let moved = siblings::of(&known.path)
                .into_iter()
                .chain(Sibling::at(&known.path))
                .filter(|sibling| sibling.id() == known.id)
                .find_map(|sibling| Some((sibling.open()?, sibling.path)));
            match moved {
                Some(((file, metadata), path)) if holds(&file, &metadata, &known.mark) => {
                    let file = LogFile::new(&path, file, &metadata, known.mark.clone());
                    self.add(file.with_backlog().into_replaced());
                }
                _ => {
                    if !self.find_rest(&known.path, &known.mark, true) {
                        info!(file = %known.path.display(), "a log is gone that was read up to byte {}", known.mark.offset);
                    }
                }
            }
        }
    }

    /// Finds files that came and were moved away while the daemon did not run.
    fn find_missed_since(&mut self, saved: &Saved) {
        let since = Duration::from_millis(u64::try_from(saved.saved_at_ms).unwrap_or(0));
        let is_copy = |file: &File| {
            let mut heads = saved.files.iter().map(|known| &known.mark.head);
            heads.any(|head| !head.is_empty() && begins_with(file, head).unwrap_or(true))
        };
        for sibling in siblings::generations(self.seen.keys().map(PathBuf::as_path)) {
            let modified = sibling.metadata.modified().ok();
            let is_new = modified.is_some_and(|at| at >= UNIX_EPOCH + since);
            if is_new
                && self.position(sibling.id()).is_none()
                && let Some((file, metadata)) = sibling.open().filter(|(file, _)| !is_copy(file))
            {
                let file = LogFile::new(&sibling.path, file, &metadata, Mark::default());
                self.add(file.with_backlog().into_replaced());
            }
        }
    }
}

/// Whether a file is the one that was read up to `mark`.
fn holds(file: &File, metadata: &Metadata, mark: &Mark) -> bool {
    metadata.len() >= mark.offset && begins_with(file, &mark.head).unwrap_or(false)
}
