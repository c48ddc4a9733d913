//! The start: takes up what a checkpoint says, whatever happened to the files since.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs::File,
    path::PathBuf,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, UNIX_EPOCH},
};

use tracing::info;

use super::{BUFFER, Follower};
use crate::sources::access_log::{
    checkpoint::{Saved, SavedFile},
    claims::Claimant,
    config::{PathPattern, Start},
    file::{FileId, LogFile, end_mark},
    mark::Mark,
    open::Opened,
    report::Reporter,
    siblings::{self, Sibling},
};

impl Follower {
    /// Takes up where `saved` says. Files that were never read start as `start` says, unless the source was read before:
    /// then they are new, and read from their beginning.
    pub(in crate::sources::access_log) fn start(
        pattern: PathPattern,
        claimant: Claimant,
        start: Start,
        reporter: Reporter,
        saved: Option<Saved>,
    ) -> Self {
        let mut follower = Self {
            pattern,
            claimant,
            reporter,
            files: Vec::new(),
            seen: BTreeMap::new(),
            known: HashSet::new(),
            ignored: HashMap::new(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            trouble: None,
            skipped: BTreeSet::new(),
        };
        let was_read = saved.is_some();
        let saved = saved.unwrap_or_default();
        let mut copied = HashMap::new();
        for path in follower.paths() {
            let Some(opened) = follower.open(&path) else {
                continue;
            };
            let id = FileId::from(&opened.metadata);
            follower.seen.insert(path.clone(), id);
            if follower.position(id).is_some() {
                continue;
            }
            let (originals, found) = find_mark(&saved, &opened);
            copied.extend(originals);
            let mark = match found {
                Some(mark) => mark,
                None if let Some(known) = saved.files.iter().find(|known| known.id == id) => {
                    follower.reporter.health().truncations.fetch_add(1, Relaxed);
                    follower.find_rest(&known.path, &known.mark, true);
                    Mark::default()
                }
                None if was_read || start == Start::Beginning => Mark::default(),
                None => {
                    end_mark(&opened.file, opened.metadata.len(), &mut follower.buffer).unwrap_or_default()
                }
            };
            let Opened { file, metadata, path } = opened;
            follower.add(LogFile::new(&path, file, &metadata, mark).with_backlog());
        }
        follower.find_moved(&saved, copied);
        if was_read {
            follower.find_missed_since(&saved);
        }
        let generations = siblings::generations(follower.seen.keys().map(PathBuf::as_path));
        follower.known.extend(generations.iter().map(Sibling::birth));
        follower.look();
        follower
    }

    /// Finds files of the checkpoint that have other names now. What there is of those that were `copied` is known.
    fn find_moved(&mut self, saved: &Saved, mut copied: HashMap<FileId, Option<LogFile>>) {
        let mut gone = Vec::new();
        for known in &saved.files {
            if self.position(known.id).is_some() {
                continue;
            }
            let was_copied = copied.remove(&known.id);
            let has_copy = was_copied.is_some();
            match was_copied.unwrap_or_else(|| moved(known)) {
                Some(file) => self.add(file.with_backlog().into_replaced()),
                None if has_copy => {}
                None => gone.push(known),
            }
        }
        // After all that know themselves how far they were read.
        for known in gone {
            if !self.find_rest(&known.path, &known.mark, true) {
                info!(file = %known.path.display(), "a log that was read up to byte {} is gone", known.mark.offset);
            }
        }
    }

    /// Finds files that came and were moved away while the daemon did not run.
    fn find_missed_since(&mut self, saved: &Saved) {
        let since = Duration::from_millis(u64::try_from(saved.saved_at_ms).unwrap_or(0));
        let is_copy = |file: &File| {
            let mut heads = saved.files.iter().map(|known| &known.mark.head);
            heads.any(|head| !head.is_empty() && head.begins(file).unwrap_or(true))
        };
        for sibling in siblings::generations(self.seen.keys().map(PathBuf::as_path)) {
            let modified = sibling.metadata.modified().ok();
            let is_new = modified.is_some_and(|at| at >= UNIX_EPOCH + since);
            if is_new
                && self.position(sibling.id()).is_none()
                && let Some(opened) = sibling.open().filter(|opened| !is_copy(&opened.file))
            {
                let Opened { file, metadata, path } = opened;
                let file = LogFile::new(&path, file, &metadata, Mark::default());
                self.add(file.with_backlog().into_replaced());
            }
        }
    }
}

/// The file of a checkpoint under the name that it has now, if it holds what was read of it.
fn moved(known: &SavedFile) -> Option<LogFile> {
    let mut candidates = siblings::of(&known.path)
        .into_iter()
        .chain(Sibling::at(&known.path))
        .filter(|sibling| sibling.id() == known.id);
    let Opened { file, metadata, path } = candidates.find_map(|sibling| sibling.open())?;
    let mark = known.mark.find_in(&file).ok().flatten()?;
    Some(LogFile::new(&path, file, &metadata, mark))
}

/// Returns where to go on in a file, if a checkpoint knows it or those of which it is a copy: where the last of them was left.
/// Also says which files the copy has replaced, and what there is of them.
///
/// A copy may have the inode of an earlier one, which was deleted.
fn find_mark(saved: &Saved, opened: &Opened) -> (HashMap<FileId, Option<LogFile>>, Option<Mark>) {
    let (mut originals, mut last) = (HashMap::new(), None);
    let id = FileId::from(&opened.metadata);
    let known = saved.files.iter();
    for known in known.filter(|known| known.id == id || known.path == opened.path) {
        let mut original = if known.id == id { None } else { moved(known) };
        let mark = match &mut original {
            Some(original) => original.leave_to(&opened.file),
            None => known.mark.find_in(&opened.file),
        };
        if let Ok(Some(mark)) = mark {
            originals.insert(known.id, original);
            last = Some(mark);
        }
    }
    (originals, last)
}
