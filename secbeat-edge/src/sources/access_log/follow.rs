//! Follows the files of one source through rotation, truncation, gaps and restarts.
//!
//! An open file is read to its end whatever it is called, for as long as its writer may have it. A name that leads to
//! another file than before makes two files of it. When a file was truncated, what had not been read is looked for in the
//! copy that copytruncate leaves.

mod resume;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use secbeat_logs::MAX_LINE;
use tracing::{debug, warn};

use super::{
    checkpoint::{Saved, SavedFile},
    claims::Claimant,
    config::{PathPattern, Place},
    copy,
    file::{Birth, FileId, LogFile, ReadOutcome},
    mark::{Mark, SavedMark},
    open::{OpenError, Opened, open_log},
    report::Reporter,
    siblings::{self, Sibling},
};
use crate::telemetry::Closed;

/// Bytes read of a file before the next one has its turn.
const BUFFER: usize = 256 * 1024;
const _: () = assert!(BUFFER > 2 * MAX_LINE);
/// Time that a file that was replaced must be quiet until its writer is believed to have left it; an Apache that was told to
/// restart gracefully writes into it until the last request has ended.
const LINGER: Duration = Duration::from_secs(600);
/// The same for one without a name, whose space on disk is free only then.
const LINGER_DELETED: Duration = Duration::from_secs(60);
/// Beyond so many replaced files, a short silence is enough.
const MAX_REPLACED: usize = 16;
const LINGER_AMONG_MANY: Duration = Duration::from_secs(2);

/// The reason why a file could not be read on.
enum ReadError {
    Io(io::Error),
    Closed,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Closed> for ReadError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// What a file is that nothing was read of.
enum Judged {
    /// A log of its own.
    Log,
    /// A copy of another log, or compressed.
    NoLog,
    /// It holds the so many bytes that were read of another log.
    Copy(u64),
    /// Not to be told apart from a copy that is being made.
    NotYet,
}

/// The files of one `[[access_log]]`.
pub(super) struct Follower {
    pattern: PathPattern,
    claimant: Claimant,
    reporter: Reporter,
    /// Replaced ones first, so that lines come in the order in which they were written.
    files: Vec<LogFile>,
    /// The file that each path led to when it last led to one.
    seen: BTreeMap<PathBuf, FileId>,
    /// What lay beside the paths at the last look.
    known: HashSet<Birth>,
    /// Compressed files and copies, which are not read; of a copy, what it held when that was found, in bytes.
    ignored: HashMap<Birth, Option<u64>>,
    buffer: Box<[u8]>,
    /// What could not be read since the last look.
    trouble: Option<String>,
    /// What was passed over at this look, and why.
    skipped: BTreeSet<String>,
}

impl Follower {
    /// Takes up the copy of a file that was read up to `mark` and then truncated. Returns whether there is one with more.
    fn find_rest(&mut self, path: &Path, mark: &SavedMark, old: bool) -> bool {
        let mut found = self.find_rest_in_logs(path, mark, old);
        for sibling in siblings::of(path) {
            let Some(Opened { file, metadata, path }) = sibling.open_copy(&mark.head) else {
                continue;
            };
            if self.position(sibling.id()).is_some() {
                continue;
            }
            self.known.insert(sibling.birth());
            if metadata.len() > mark.offset && !found {
                let Ok(mark) = Mark::at(&file, mark.offset, mark.passing_over) else {
                    continue;
                };
                found = true;
                debug!(copy = %path.display(), "reading the rest of a truncated log in its copy");
                let file = LogFile::new(&path, file, &metadata, mark).into_replaced();
                self.add(if old { file.with_backlog() } else { file });
            }
        }
        found
    }

    /// Finds the rest of a truncated log in copies that are logs by their paths, whatever their names. They go on where the file was left.
    fn find_rest_in_logs(&mut self, truncated: &Path, mark: &SavedMark, old: bool) -> bool {
        let mut found = false;
        for path in self.paths() {
            let Some(sibling) = Sibling::at(&path).filter(|_| path != truncated) else {
                continue;
            };
            let at = self.position(sibling.id());
            if at.is_some_and(|at| !self.files[at].unproven) {
                continue;
            }
            let Some(Opened { file, metadata, path }) = sibling.open_copy(&mark.head) else {
                continue;
            };
            let Ok(Some(mark)) = mark.find_in(&file) else {
                continue;
            };
            let has_more = metadata.len() > mark.offset;
            // What the first one has is read there.
            let mark = match found && has_more {
                true => copy::behind(&file, metadata.len()),
                false => Ok(mark),
            };
            let Ok(mark) = mark else { continue };
            found |= has_more;
            let file = LogFile::new(&path, file, &metadata, mark);
            let file = if old { file.with_backlog() } else { file };
            match at {
                Some(at) => self.files[at] = file,
                None => self.add(file),
            }
        }
        found
    }

    /// Looks what the paths lead to now.
    pub(super) fn look(&mut self) {
        let looked = Instant::now();
        let mut here = HashSet::new();
        let paths = self.paths();
        for path in &paths {
            let Some(metadata) = self.identify(path) else {
                continue;
            };
            let id = FileId::from(&metadata);
            here.insert(id);
            if self.is_read_elsewhere(path, &metadata) {
                continue;
            }
            let before = self.seen.get(path).copied().filter(|before| *before != id);
            if before.is_some() {
                self.reporter.health().rotations.fetch_add(1, Relaxed);
                debug!(path = %path.display(), "a log was replaced");
            }
            self.seen.insert(path.clone(), id);
            if let Some(at) = self.position(id) {
                self.files[at].path = real(path);
                self.files[at].replaced = None;
            } else if let Some(opened) = self.open(path) {
                let id = FileId::from(&opened.metadata);
                here.insert(id);
                self.seen.insert(path.clone(), id);
                let birth = (id, opened.metadata.created().ok());
                if self.position(id).is_some() {
                    continue;
                }
                let mark = match self.ignored.get(&birth).copied() {
                    Some(held) => held.and_then(|held| self.go_on_behind(held, birth, &opened)),
                    None => {
                        let mark = before.and_then(|before| self.go_on_in(before, &opened));
                        Some(mark.unwrap_or_default())
                    }
                };
                if let Some(mark) = mark {
                    self.add(LogFile::new(&opened.path, opened.file, &opened.metadata, mark));
                }
            }
        }
        for file in &mut self.files {
            if !here.contains(&file.id) && file.replaced.is_none() {
                file.replaced = Some(Instant::now());
            }
        }
        let open: HashSet<FileId> = self.files.iter().map(|file| file.id).collect();
        self.seen
            .retain(|path, id| paths.contains(path) || open.contains(id));
        self.find_missed(looked);
        self.files.sort_by_key(|file| file.replaced.is_none());
        self.ignored.retain(|birth, _| here.contains(&birth.0));
        self.claimant
            .keep_only(&self.files.iter().map(|file| file.id).collect());
        self.tell();
    }

    /// Returns where to go on in a file that has taken the name of `before`, if it is a copy of that.
    fn go_on_in(&mut self, before: FileId, opened: &Opened) -> Option<Mark> {
        let at = self.position(before)?;
        let mark = self.files[at].leave_to(&opened.file).ok().flatten()?;
        debug!(file = %opened.path.display(), from = mark.offset, "a log was replaced by a copy of itself");
        Some(mark)
    }

    /// Returns where to go on in a file that was a copy of another log when it `held` so many bytes, if it has become a log of
    /// its own.
    fn go_on_behind(&mut self, held: u64, birth: Birth, opened: &Opened) -> Option<Mark> {
        let length = opened.metadata.len();
        if length == held {
            return None;
        }
        let mut logs = self.files.iter();
        if length > held && logs.any(|log| log.has_all_of(&opened.file).unwrap_or(true)) {
            self.ignored.insert(birth, Some(length));
            return None;
        }
        // One that is shorter was written again.
        let mark = match length > held {
            true => copy::behind(&opened.file, held).ok()?,
            false => Mark::default(),
        };
        self.ignored.remove(&birth);
        debug!(file = %opened.path.display(), from = mark.offset, "a copy has become a log of its own");
        Some(mark)
    }

    /// Whether another source reads the file at `path`, or a link led to one that it reads.
    fn is_read_elsewhere(&mut self, path: &Path, metadata: &Metadata) -> bool {
        let reader = match self.claimant.precedence(path) {
            Some(reader) => Some(reader),
            None => self.claimant.other_reader(metadata.into()),
        };
        let Some(reader) = reader.map(Place::to_string) else {
            return false;
        };
        self.skip(path, &format!("the entry with path = \"{reader}\" reads it"));
        // Not from its beginning when that one leaves it.
        self.ignored
            .insert((metadata.into(), metadata.created().ok()), None);
        true
    }

    fn skip(&mut self, path: &Path, why: &str) {
        self.skipped
            .insert(format!("{} is not read: {why}", path.display()));
    }

    /// Tells of what is not read, once.
    fn tell(&mut self) {
        let trouble = self.trouble.take();
        if self.reporter.health().set_error(trouble.clone())
            && let Some(trouble) = trouble
        {
            warn!("{trouble}");
        }
        let skipped = std::mem::take(&mut self.skipped);
        for news in self.reporter.health().set_skipped(skipped) {
            warn!("{news}");
        }
    }

    /// Finds files that came after the last look and were moved away, or copied and truncated, before this one,
    /// which began at `looked`.
    fn find_missed(&mut self, looked: Instant) {
        let mut known = HashSet::new();
        for sibling in siblings::generations(self.seen.keys().map(PathBuf::as_path)) {
            let birth = sibling.birth();
            if self.known.contains(&birth) || self.position(sibling.id()).is_some() {
                known.insert(birth);
                continue;
            }
            let Some(Opened { file, metadata, path }) = sibling.open() else {
                continue;
            };
            // A copy that was moved away before it was seen in the place of the log.
            let mut gone = self.files.iter_mut().filter(|log| {
                let is_news = log.replaced.is_some_and(|since| since >= looked);
                is_news && !log.has_copy && log.is_deleted().unwrap_or(false)
            });
            if let Some(mark) = gone.find_map(|log| log.leave_to(&file).ok().flatten()) {
                known.insert(birth);
                let mut copy = LogFile::new(&path, file, &metadata, mark).into_replaced();
                // It has what was left to it, although it begins as another log.
                copy.unproven = false;
                self.add(copy);
                continue;
            }
            let file = LogFile::new(&path, file, &metadata, Mark::default());
            match self.judge(&file) {
                Judged::NotYet => {}
                Judged::NoLog | Judged::Copy(_) => drop(known.insert(birth)),
                Judged::Log => {
                    known.insert(birth);
                    self.add(file.with_backlog().into_replaced());
                }
            }
        }
        self.known = known;
    }

    /// Whether a file that nothing was read of is a log of its own.
    fn judge(&self, file: &LogFile) -> Judged {
        let first = file.first_bytes().unwrap_or_default();
        if first.is_empty() {
            return Judged::NotYet;
        }
        if is_compressed(&first) {
            return Judged::NoLog;
        }
        let begin_alike = |head: &[u8]| {
            let known = head.len().min(first.len());
            known > 0 && head[..known] == first[..known]
        };
        for log in self.files.iter().filter(|log| log.id != file.id) {
            if !is_named_after(&file.path, &log.path) {
                // What has taken a log's name is not a copy that was made of it.
                if file.path != log.path
                    && begin_alike(&log.mark().head)
                    && file.is_copy_of(log).unwrap_or(false)
                {
                    return Judged::Copy(log.mark().offset);
                }
                continue;
            }
            if begin_alike(&log.mark().head) {
                return Judged::NoLog;
            }
            // As long as nothing was read of the log, it can be truncated unseen, and only the copy holds what it held.
            if log.mark().head.is_empty() && begin_alike(&log.first_bytes().unwrap_or_default()) {
                return Judged::NotYet;
            }
        }
        Judged::Log
    }

    /// Reads a little of every file that has more. Returns whether there is more still.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the receiver of telemetry is gone.
    pub(super) fn read(&mut self) -> Result<bool, Closed> {
        let mut more = false;
        let mut at = 0;
        while at < self.files.len() {
            if self.files[at].unproven {
                match self.judge(&self.files[at]) {
                    Judged::Log => self.files[at].unproven = false,
                    Judged::NotYet => {
                        at += 1;
                        continue;
                    }
                    Judged::NoLog => {
                        self.forget(at, None);
                        continue;
                    }
                    Judged::Copy(held) => {
                        self.forget(at, Some(held));
                        continue;
                    }
                }
            }
            let (file, reporter) = (&mut self.files[at], &mut self.reporter);
            let name = file.path.to_string_lossy().into_owned();
            let found = file.read(&mut self.buffer, |piece, arrival, open| {
                reporter
                    .take(&name, piece, arrival, open)
                    .map_err(ReadError::from)
            });
            match found {
                Ok(ReadOutcome::More) => more = true,
                Ok(ReadOutcome::End) => {}
                Ok(ReadOutcome::Truncated) => {
                    more = true;
                    let (path, mark) = (file.path.clone(), file.mark().saved());
                    let is_rewritten = file.rewind();
                    self.reporter.health().truncations.fetch_add(1, Relaxed);
                    debug!(file = name, "a log was truncated");
                    if !is_rewritten {
                        self.find_rest(&path, &mark, false);
                    }
                }
                Err(ReadError::Closed) => return Err(Closed),
                Err(ReadError::Io(error)) => self.trouble = Some(format!("cannot read {name}: {error}")),
            }
            at += 1;
        }
        self.close_left()?;
        self.reporter.release(false)?;
        self.files.sort_by_key(|file| file.replaced.is_none());
        let health = self.reporter.health();
        let behind = self.files.iter().map(LogFile::behind).sum();
        for (gauge, value) in [
            (&health.files, self.files.len() as u64),
            (&health.bytes_behind, behind),
        ] {
            AtomicU64::store(gauge, value, Relaxed);
        }
        Ok(more)
    }

    /// Closes a file that is not a log: for good, unless it is a copy that `held` so many bytes, to which a server may write yet.
    fn forget(&mut self, at: usize, held: Option<u64>) {
        let file = self.files.remove(at);
        debug!(file = %file.path.display(), "not a log of its own");
        let held = held.map(|held| held.min(file.behind()));
        self.ignored.extend(file.birth().map(|birth| (birth, held)));
    }

    /// Closes replaced files whose writers have left them.
    fn close_left(&mut self) -> Result<(), Closed> {
        let mut replaced = self.files.iter().filter(|file| file.replaced.is_some()).count();
        let mut at = 0;
        while at < self.files.len() {
            let file = &self.files[at];
            let Some(quiet) = file.replaced.map(|since| since.max(file.grown).elapsed()) else {
                at += 1;
                continue;
            };
            let linger = match file.is_deleted() {
                Ok(true) => LINGER_DELETED,
                _ => LINGER,
            };
            // Where nothing has taken its name yet, it may come back.
            let has_successor = !self.seen.values().any(|id| *id == file.id);
            let has_left = has_successor && quiet > linger;
            let makes_room = replaced > MAX_REPLACED && quiet > LINGER_AMONG_MANY;
            if !has_left && !makes_room {
                at += 1;
                continue;
            }
            replaced -= 1;
            let mut file = self.files.remove(at);
            if file.has_copy {
                // Which has the end of the last line, too.
                continue;
            }
            let name = file.path.to_string_lossy().into_owned();
            let reporter = &mut self.reporter;
            let rest = file.read_rest(&mut self.buffer, |piece, arrival, open| {
                reporter
                    .take(&name, piece, arrival, open)
                    .map_err(ReadError::from)
            });
            if let Err(ReadError::Closed) = rest {
                return Err(Closed);
            }
        }
        Ok(())
    }

    /// Returns what the last checkpoint has to say: no line will come.
    pub(super) fn ended(&mut self) -> Saved {
        // Who is gone takes nothing.
        let _ = self.reporter.release(true);
        self.saved()
    }

    /// Returns what a checkpoint has to say.
    pub(super) fn saved(&mut self) -> Saved {
        let saved = |file: &mut LogFile| SavedFile {
            path: file.path.to_string_lossy().into_owned().into(),
            id: file.id,
            mark: file.saved_mark().clone(),
        };
        // What is deleted and has a copy is the copy's matter after a restart.
        let files = self.files.iter_mut();
        let files = files.filter(|file| !(file.has_copy && file.is_deleted().unwrap_or(false)));
        Saved {
            files: files.map(saved).collect(),
            in_doubt: self.reporter.in_doubt(),
            ..Saved::default()
        }
    }

    /// Returns what is open, and where files appear.
    pub(super) fn watched(&self) -> (&[LogFile], impl Iterator<Item = &Path>) {
        let paths = self.seen.keys().map(PathBuf::as_path);
        (&self.files, std::iter::once(self.pattern.literal()).chain(paths))
    }

    /// Begins to read a file, unless another source does.
    fn add(&mut self, file: LogFile) {
        if !self.claimant.claim(file.id) {
            debug!(file = %file.path.display(), "another entry reads this log");
            return;
        }
        debug!(file = %file.path.display(), from = file.mark().offset, "following a log");
        self.files.push(file);
    }

    fn position(&self, id: FileId) -> Option<usize> {
        self.files.iter().position(|file| file.id == id)
    }

    fn paths(&mut self) -> Vec<PathBuf> {
        let (paths, errors) = self.pattern.paths();
        if let Some(error) = errors.first() {
            self.trouble = Some(error.to_string());
        }
        paths
    }

    /// The regular file that `path` leads to.
    fn identify(&mut self, path: &Path) -> Option<Metadata> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => Some(metadata),
            // It is not read; this tells why.
            Ok(_) => self.open(path).map(|opened| opened.metadata),
            Err(error) => self.refuse(path, &OpenError::Io(error)),
        }
    }

    fn open(&mut self, path: &Path) -> Option<Opened> {
        let opened = match open_log(path) {
            Ok(opened) => opened,
            Err(error) => return self.refuse(path, &error),
        };
        if self.is_read_elsewhere(&opened.path, &opened.metadata) {
            return None;
        }
        Some(opened)
    }

    /// Takes note that `path` is not read. A log that is not there yet, or for the moment, is nothing to worry about.
    fn refuse<T>(&mut self, path: &Path, error: &OpenError) -> Option<T> {
        match error {
            _ if error.is_absence() => {}
            OpenError::Folder if self.pattern.is_glob() => {}
            OpenError::Kind(_) | OpenError::Descriptor(_) if self.pattern.is_glob() => {
                self.skip(path, &error.to_string());
            }
            _ => self.trouble = Some(format!("cannot follow {}: {error}", path.display())),
        }
        None
    }
}

/// The path without symbolic links, beside which a file's earlier generations lie.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Whether a file's name is that of `log` and more, as that of a copy is.
fn is_named_after(file: &Path, log: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    let name = |path: &Path| {
        path.file_name()
            .map(|name| name.as_bytes().to_vec())
            .unwrap_or_default()
    };
    let (own, log_name) = (name(file), name(log));
    file.parent() == log.parent() && own.len() > log_name.len() && own.starts_with(&log_name)
}

/// Whether a file begins as gzip's, bzip2's, xz's or zstd's do.
fn is_compressed(first: &[u8]) -> bool {
    let magic: [&[u8]; 4] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    magic.iter().any(|magic| first.starts_with(magic))
}
