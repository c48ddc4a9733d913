//! One log file that is open, and how far it was read.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

use secbeat_logs::{OpenLines, Piece};
use serde::{Deserialize, Serialize};

use super::lines::{Place, split};

/// First bytes of a file that tell it from another with the same inode number. Lines carry their time and client, so no
/// two logs begin alike.
pub(super) const HEAD: usize = 256;

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

/// Where reading goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Bytes done with: the start of a line, or somewhere in one that comes in pieces.
    pub(super) offset: u64,
    /// Whether the offset is in a line that comes in pieces.
    pub(super) passing_over: bool,
    /// Of a container's log: for each stream, whether the offset is between two parts of a line.
    #[serde(default)]
    pub(super) divided: [bool; 2],
    /// The file's first bytes, at most [`HEAD`] and none beyond the offset.
    #[serde(with = "one_char_per_byte")]
    pub(super) head: Vec<u8>,
}

/// Bytes as text that says the same as a log of ASCII does: U+0000 to U+00FF.
mod one_char_per_byte {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&bytes.iter().copied().map(char::from).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes: Result<_, _> = text.chars().map(u8::try_from).collect();
        bytes.map_err(D::Error::custom)
    }
}

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
    /// Its length when it was looked at last, in bytes.
    size: u64,
    /// Nothing was read of it, so it may yet turn out to be a copy of another log.
    pub(super) unproven: bool,
    /// Lines before this offset were there before the daemon.
    backlog: u64,
    /// Since when no configured path leads to it.
    pub(super) replaced: Option<Instant>,
    /// When it was found to have grown last.
    pub(super) grown: Instant,
}

impl LogFile {
    /// Takes a file from `mark` on; what lies before `backlog` counts as old.
    pub(super) fn new(path: &Path, file: File, metadata: &Metadata, mark: Mark) -> Self {
        Self {
            path: path.to_owned(),
            id: metadata.into(),
            file,
            unproven: mark.offset == 0,
            open: OpenLines::unseen(mark.divided),
            mark,
            size: metadata.len(),
            backlog: 0,
            replaced: None,
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

    /// The path by which this very file can be watched, whatever its name.
    pub(super) fn descriptor_path(&self) -> PathBuf {
        use std::os::fd::AsRawFd as _;
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// Its first bytes, at most [`HEAD`].
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub(super) fn first_bytes(&self) -> io::Result<Vec<u8>> {
        let mut first = vec![0; HEAD];
        let read = read_at(&self.file, &mut first, 0)?;
        first.truncate(read);
        Ok(first)
    }

    /// See [`Birth`].
    ///
    /// # Errors
    ///
    /// Those of statx(2).
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
    /// Those of fstat(2).
    pub(super) fn is_deleted(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    /// Takes the whole lines out of what comes next, up to the size of `buffer`. `take` learns of each whether it was there
    /// before the daemon.
    ///
    /// # Errors
    ///
    /// Those of reading, and of `take`.
    pub(super) fn read<E: From<io::Error>>(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(Piece<'_>, bool, &mut OpenLines) -> Result<(), E>,
    ) -> Result<ReadOutcome, E> {
        // Not beyond what was there before the daemon, so that each line is on one side.
        let old = self.backlog.saturating_sub(self.mark.offset);
        let room = match usize::try_from(old) {
            Ok(old @ 1..) => old.min(buffer.len()),
            _ => buffer.len(),
        };
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
        let done = split(bytes, &mut place, |piece| take(piece, old > 0, &mut self.open))?;
        if done == 0 && old > 0 {
            // A line that ends later is new.
            self.backlog = 0;
        }
        let missing = HEAD.saturating_sub(self.mark.head.len());
        if self.mark.offset == self.mark.head.len() as u64 {
            self.mark.head.extend_from_slice(&bytes[..done.min(missing)]);
        }
        self.mark.offset += done as u64;
        self.mark.passing_over = place == Place::Within;
        self.mark.divided = self.open.divided();
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

    /// Takes a last line that never got its end.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(super) fn read_rest<E: From<io::Error>>(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(Piece<'_>, bool, &mut OpenLines) -> Result<(), E>,
    ) -> Result<(), E> {
        let read = read_at(&self.file, buffer, self.mark.offset)?;
        let rest = &buffer[..read];
        if self.mark.passing_over {
            take(Piece::End(rest), self.mark.offset < self.backlog, &mut self.open)?;
        } else if read > 0 {
            take(Piece::Line(rest), self.mark.offset < self.backlog, &mut self.open)?;
        }
        self.mark.offset += read as u64;
        Ok(())
    }

    fn was_truncated(&mut self) -> io::Result<bool> {
        self.size = self.file.metadata()?.len();
        Ok(self.size < self.mark.offset || !begins_with(&self.file, &self.mark.head)?)
    }

    /// Starts over at the beginning.
    pub(super) fn rewind(&mut self) {
        self.mark = Mark::default();
        self.open = OpenLines::default();
        self.backlog = 0;
    }
}

/// Whether a file's first bytes are these.
///
/// # Errors
///
/// Those of reading.
pub(super) fn begins_with(file: &File, head: &[u8]) -> io::Result<bool> {
    let mut first = [0; HEAD];
    let first = &mut first[..head.len().min(HEAD)];
    Ok(read_at(file, first, 0)? == first.len() && first == head)
}

/// The mark at the end of the last whole line among the first `size` bytes, so that a line which is being written is read
/// in one piece.
///
/// # Errors
///
/// Those of reading.
pub(super) fn end_mark(file: &File, size: u64, buffer: &mut [u8]) -> io::Result<Mark> {
    let from = size.saturating_sub(buffer.len() as u64);
    let tail_length = usize::try_from(size - from).unwrap_or(buffer.len());
    let read = read_at(file, &mut buffer[..tail_length], from)?;
    let end = memchr::memrchr(b'\n', &buffer[..read]);
    let passed = &buffer[..end.unwrap_or(0)];
    let divided = OpenLines::after(passed).divided();
    // Without any line feed in so much, the end of a long line is waited for.
    let (offset, passing_over) = match end {
        Some(end) => (from + end as u64 + 1, false),
        None if from == 0 => (0, false),
        None => (size, true),
    };
    let mut head = vec![0; HEAD.min(usize::try_from(offset).unwrap_or(HEAD))];
    let read = read_at(file, &mut head, 0)?;
    head.truncate(read);
    Ok(Mark {
        offset,
        passing_over,
        divided,
        head,
    })
}

/// Reads until `buffer` is full or the file ends.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
