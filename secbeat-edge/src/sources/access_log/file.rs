//! One log file that is open, and how far it was read.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use memchr::{memchr, memmem, memrchr};
use secbeat_daemon::time::wall_ms;
use secbeat_logs::{MAX_LINE, OpenLines, Piece};
use serde::{Deserialize, Serialize};

use super::{
    copy,
    lines::{Place, split},
    mark::{HEAD, Mark, SavedMark, read_at},
    report::Arrival,
};

/// What is read has been written since the file was read to its end, if that is not longer ago.
const JUST_NOW: Duration = Duration::from_mins(1);

/// Bytes in which a header is looked for at a time.
const BLOCK: usize = 1024 * 1024;
/// Bytes of the first line of a log that is looked at.
const MAX_HEADER: usize = 4 * 1024;

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl From<&Metadata> for FileId {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// Which file it is, even when an inode's number is used again.
pub(super) type Birth = (FileId, Option<SystemTime>);

/// How far a reading of a file came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// All its whole lines are read.
    End,
    /// There is more.
    More,
    /// It is shorter than what was read of it, or begins otherwise: nothing was taken.
    Truncated,
}

/// A log file.
#[derive(Debug)]
pub(super) struct LogFile {
    /// The name under which it was found last.
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    file: File,
    mark: Mark,
    /// Lines that have begun and not ended.
    open: OpenLines,
    /// The line that says which fields the lines have, if it stands before where reading begins.
    header: Option<Vec<u8>>,
    /// The mark that a checkpoint had last; its hashes are not worked out again while nothing is read.
    saved: Option<SavedMark>,
    /// Its length when it was looked at last, in bytes.
    size: u64,
    /// Nothing was read of it, so it may yet turn out to be a copy of another log.
    pub(super) unproven: bool,
    /// Lines before this offset were there before the daemon.
    backlog: u64,
    /// Since when no configured path leads to it.
    pub(super) replaced: Option<Instant>,
    /// A copy has taken its place, which is read on from where this one ended then.
    pub(super) has_copy: bool,
    /// Time at which all that it held was read last.
    read_whole: Option<Instant>,
    /// Time at which it was found to have grown last.
    pub(super) grown: Instant,
}

impl LogFile {
    /// Takes a file from `mark` on; what lies before `backlog` counts as old.
    pub(super) fn new(path: &Path, file: File, metadata: &Metadata, mark: Mark) -> Self {
        Self {
            path: path.to_owned(),
            id: metadata.into(),
            header: find_header(&file, mark.offset).ok().flatten(),
            file,
            unproven: mark.offset == 0,
            saved: None,
            read_whole: (metadata.len() <= mark.offset).then(Instant::now),
            open: OpenLines::unseen(mark.divided).with_wrappers(mark.in_wrappers),
            mark,
            size: metadata.len(),
            backlog: 0,
            replaced: None,
            has_copy: false,
            grown: Instant::now(),
        }
    }

    /// All that it holds now was there before the daemon.
    pub(super) fn with_backlog(mut self) -> Self {
        self.backlog = self.size;
        self
    }

    /// No configured path leads to it.
    pub(super) fn into_replaced(mut self) -> Self {
        self.replaced = Some(Instant::now());
        self
    }

    pub(super) fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Returns what a checkpoint has to say of the mark.
    pub(super) fn saved_mark(&mut self) -> &SavedMark {
        let saved = self.saved.take().filter(|saved| saved.offset == self.mark.offset);
        self.saved.insert(saved.unwrap_or_else(|| self.mark.saved()))
    }

    /// The path by which this very file can be watched, whatever its name.
    pub(super) fn descriptor_path(&self) -> PathBuf {
        use std::os::fd::AsRawFd as _;
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// Its first bytes, at most [`HEAD`].
    ///
    /// # Errors
    ///
    /// Returns the errors of reading.
    pub(super) fn first_bytes(&self) -> io::Result<Vec<u8>> {
        let mut first = vec![0; HEAD];
        let read = read_at(&self.file, &mut first, 0)?;
        first.truncate(read);
        Ok(first)
    }

    /// Whether it holds what was read of `log`, whatever their names are.
    ///
    /// # Errors
    ///
    /// Returns the errors of reading.
    pub(super) fn is_copy_of(&self, log: &Self) -> io::Result<bool> {
        copy::holds(&self.file, &log.file, &log.mark)
    }

    /// Whether it has all that `copy` holds, or had it before it was truncated.
    ///
    /// # Errors
    ///
    /// Returns the errors of reading.
    pub(super) fn has_all_of(&self, copy: &File) -> io::Result<bool> {
        copy::is_part(copy, &self.file, &self.mark)
    }

    /// See [`Birth`].
    ///
    /// # Errors
    ///
    /// Returns the errors of statx(2).
    pub(super) fn birth(&self) -> io::Result<Birth> {
        Ok((self.id, self.file.metadata()?.created().ok()))
    }

    /// Bytes not yet read, as far as is known.
    pub(super) fn behind(&self) -> u64 {
        self.size.saturating_sub(self.mark.offset)
    }

    /// Whether it has no name any more.
    ///
    /// # Errors
    ///
    /// Returns the errors of fstat(2).
    pub(super) fn is_deleted(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    /// Takes the whole lines out of what comes next, up to the size of `buffer`. `take` learns of each whether it was there
    /// before the daemon.
    ///
    /// # Errors
    ///
    /// Returns the errors of reading, and of `take`.
    pub(super) fn read<E: From<io::Error>>(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(Piece<'_>, Arrival, &mut OpenLines) -> Result<(), E>,
    ) -> Result<ReadOutcome, E> {
        // Not beyond what was there before the daemon, so that each line is on one side.
        let old = self.backlog.saturating_sub(self.mark.offset);
        let room = match usize::try_from(old) {
            Ok(old @ 1..) => old.min(buffer.len()),
            _ => buffer.len(),
        };
        let (now, wall_ms) = (Instant::now(), wall_ms());
        let read = read_at(&self.file, &mut buffer[..room], self.mark.offset)?;
        // Looked at after reading: what was read before a truncation is not taken for what came after it.
        if self.was_truncated()? {
            return Ok(ReadOutcome::Truncated);
        }
        let bytes = &buffer[..read];
        let mut place = if self.mark.passing_over {
            Place::Within
        } else {
            Place::AtStart
        };
        let arrival = if old > 0 {
            Arrival::Old
        } else if self
            .read_whole
            .is_some_and(|at| now.duration_since(at) < JUST_NOW)
        {
            Arrival::At(wall_ms)
        } else {
            Arrival::Late
        };
        if let Some(header) = self.header.take() {
            take(Piece::Line(&header), arrival, &mut self.open)?;
        }
        let done = split(bytes, &mut place, |piece| take(piece, arrival, &mut self.open))?;
        if done == 0 && old > 0 {
            // A line that ends later is new.
            self.backlog = 0;
        }
        self.mark.advance(&bytes[..done]);
        self.mark.passing_over = place == Place::Within;
        self.mark.divided = self.open.divided();
        self.mark.in_wrappers = self.open.in_wrappers();
        if read < room || old > 0 && self.behind() == 0 {
            self.read_whole = Some(now);
        }
        if done > 0 {
            self.grown = Instant::now();
        }
        Ok(
            if read > 0 && self.behind() > 0 && (done > 0 || old > 0) && read == room {
                ReadOutcome::More
            } else {
                ReadOutcome::End
            },
        )
    }

    /// Takes a last line that never got its end. It has waited for that.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(super) fn read_rest<E: From<io::Error>>(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(Piece<'_>, Arrival, &mut OpenLines) -> Result<(), E>,
    ) -> Result<(), E> {
        let read = read_at(&self.file, buffer, self.mark.offset)?;
        let rest = &buffer[..read];
        let arrival = if self.mark.offset < self.backlog {
            Arrival::Old
        } else {
            Arrival::Late
        };
        if self.mark.passing_over {
            take(Piece::End(rest), arrival, &mut self.open)?;
        } else if read > 0 {
            take(Piece::Line(rest), arrival, &mut self.open)?;
        }
        self.mark.advance(&buffer[..read]);
        Ok(())
    }

    fn was_truncated(&mut self) -> io::Result<bool> {
        self.size = self.file.metadata()?.len();
        Ok(self.size < self.mark.offset || !self.begins_with_head()?)
    }

    fn begins_with_head(&self) -> io::Result<bool> {
        let head = &self.mark.head;
        let mut first = [0; HEAD];
        let first = &mut first[..head.len().min(HEAD)];
        Ok(read_at(&self.file, first, 0)? == first.len() && first == head)
    }

    /// Starts over: behind what was read last if the file still holds that, or else at the beginning. Returns whether it
    /// does.
    pub(super) fn rewind(&mut self) -> bool {
        let mark = copy::of_tail(&self.file, &self.mark).ok().flatten();
        let is_rewritten = mark.is_some();
        self.mark = mark.unwrap_or_default();
        if !is_rewritten {
            self.open = OpenLines::default();
        }
        self.saved = None;
        self.backlog = 0;
        is_rewritten
    }

    /// Leaves to `other`, if that is a copy of this file, whole or without its first lines, what both hold and is not yet
    /// read. Returns where to go on there.
    ///
    /// # Errors
    ///
    /// Returns the errors of reading.
    pub(super) fn leave_to(&mut self, other: &File) -> io::Result<Option<Mark>> {
        let Some(shared) = copy::of_log(&self.file, &self.mark, other)? else {
            return Ok(None);
        };
        self.has_copy = true;
        self.saved = None;
        self.mark = shared.log;
        Ok(Some(shared.copy))
    }
}

/// The mark at the end of the last whole line among the first `size` bytes, so that a line which is being written is read
/// in one piece.
///
/// # Errors
///
/// Returns the errors of reading.
pub(super) fn end_mark(file: &File, size: u64, buffer: &mut [u8]) -> io::Result<Mark> {
    let from = size.saturating_sub(buffer.len() as u64);
    let tail_length = usize::try_from(size - from).unwrap_or(buffer.len());
    let read = read_at(file, &mut buffer[..tail_length], from)?;
    let end = memrchr(b'\n', &buffer[..read]);
    let passed = &buffer[..end.unwrap_or(0)];
    let divided = OpenLines::after(passed).divided();
    // Without any line feed in so much, the end of a long line is waited for.
    let (offset, passing_over) = match end {
        Some(end) => (from + end as u64 + 1, false),
        None if from == 0 => (0, false),
        None => (size, true),
    };
    Ok(Mark {
        divided,
        ..Mark::at(file, offset, passing_over)?
    })
}

/// The last line before `offset` that says which fields the lines of IIS or CloudFront have, in wrappers or without. Such a log
/// begins with a header, and gets another one when its server starts again; others are not searched.
///
/// # Errors
///
/// Returns the errors of reading.
fn find_header(file: &File, offset: u64) -> io::Result<Option<Vec<u8>>> {
    let mut first = [0; MAX_HEADER];
    let read = read_at(file, &mut first, 0)?;
    let first = first[..read].split(|byte| *byte == b'\n').next();
    if !first.is_some_and(secbeat_logs::is_header) {
        return Ok(None);
    }
    let mut block = vec![0; BLOCK + MAX_LINE];
    let mut end = offset;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let room = usize::try_from(offset - start).map_or(block.len(), |left| left.min(block.len()));
        let read = read_at(file, &mut block[..room], start)?;
        if let Some(header) = last_header(&block[..read], start == 0) {
            return Ok(Some(header.to_vec()));
        }
        end = start;
    }
    Ok(None)
}

/// The last whole line of a block that says which fields there are. What a client wrote stands within a line.
fn last_header(block: &[u8], is_first: bool) -> Option<&[u8]> {
    let mut end = block.len();
    while let Some(at) = memmem::rfind(&block[..end], b"#Fields:") {
        let begin = memrchr(b'\n', &block[..at]).map_or(0, |newline| newline + 1);
        let line = memchr(b'\n', &block[at..]).map(|length| &block[begin..at + length]);
        if let Some(line) = line.filter(|line| (begin > 0 || is_first) && secbeat_logs::names_fields(line)) {
            return Some(line.trim_ascii_end());
        }
        end = begin;
    }
    None
}
