//! Knows a copy of a log that takes the log's place, as rsync, `sed -i` and editors make.

use std::{fs::File, io, os::unix::fs::MetadataExt as _};

use memchr::{memmem, memrchr};

use super::mark::{HEAD, Mark, TAIL, read_at};

/// Bytes compared at a time.
const CHUNK: usize = 64 * 1024;

/// Where to go on in a log and in its copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shared {
    /// Behind all whole lines that the copy has, too.
    pub(super) log: Mark,
    /// Behind what was read of the log.
    pub(super) copy: Mark,
}

/// Returns where to go on if `copy` holds what was read of `log` up to `mark`, or begins as that did. What both hold beyond is
/// read in the copy: the log may be gone after a restart.
///
/// A server that begins a new log writes the same line again if a client asks for the same within a second. So fewer signs
/// are enough where `log` was deleted, as a copy that is renamed does it, than where a rotation keeps it.
///
/// # Errors
///
/// Returns the errors of reading.
pub(super) fn of_log(log: &File, mark: &Mark, copy: &File) -> io::Result<Option<Shared>> {
    let is_deleted = log.metadata()?.nlink() == 0;
    let shared = mark.offset.min(copy.metadata()?.len());
    let copy_at = if begin_alike(log, copy, shared)? {
        if !is_deleted && !is_telling(&Mark::at(copy, shared, false)?.tail) {
            return Ok(None);
        }
        shared
    } else if is_deleted && let Some(end) = end_of_tail(copy, mark)? {
        end
    } else {
        return Ok(None);
    };
    if shared < mark.offset && copy_at == shared {
        // A copy of a part, which may end within a line.
        return Ok(end_of_lines(copy, copy_at)?.map(|copy| Shared {
            log: mark.clone(),
            copy,
        }));
    }
    let more = shared_lines(log, mark.offset, copy, copy_at)?;
    if mark.offset + more == 0 {
        return Ok(None);
    }
    let in_line = mark.passing_over;
    Ok(Some(Shared {
        log: Mark::at(log, mark.offset + more, in_line && more == 0)?,
        copy: Mark {
            divided: mark.divided,
            ..Mark::at(copy, copy_at, in_line)?
        },
    }))
}

/// Whether `copy` holds what was read of `log` up to `mark`, or begins as that did. Two logs may begin with the same few lines, as
/// those of a monitor.
///
/// # Errors
///
/// Returns the errors of reading.
pub(super) fn holds(copy: &File, log: &File, mark: &Mark) -> io::Result<bool> {
    let shared = mark.offset.min(copy.metadata()?.len());
    if shared < HEAD as u64 {
        return Ok(false);
    }
    let copied = Mark::at(copy, shared, false)?;
    let is_alike = match shared == mark.offset {
        // The log may have been truncated since.
        true => copied.head == mark.head && copied.tail == mark.tail,
        false => begin_alike(log, copy, shared)?,
    };
    Ok(is_alike && (shared >= TAIL as u64 || is_telling(&copied.tail)))
}

/// Whether `copy` holds nothing but what `log`, which was read up to `mark`, holds or held before it was truncated.
///
/// # Errors
///
/// Returns the errors of reading.
pub(super) fn is_part(copy: &File, log: &File, mark: &Mark) -> io::Result<bool> {
    if begin_alike(log, copy, copy.metadata()?.len())? {
        return Ok(true);
    }
    let is_truncated =
        log.metadata()?.len() < mark.offset || Mark::at(log, mark.offset, false)?.head != mark.head;
    Ok(is_truncated && holds(copy, log, mark)?)
}

/// Returns where to go on in `file` behind the last whole line of its first `held` bytes.
///
/// # Errors
///
/// Returns the errors of reading.
pub(super) fn behind(file: &File, held: u64) -> io::Result<Mark> {
    match end_of_lines(file, held)? {
        Some(mark) => Ok(mark),
        None => Mark::at(file, held, held > 0),
    }
}

/// Returns where to go on in `file`, which was read up to `mark` and then written again, if it holds what was read last.
///
/// # Errors
///
/// Returns the errors of reading.
pub(super) fn of_tail(file: &File, mark: &Mark) -> io::Result<Option<Mark>> {
    match end_of_tail(file, mark)? {
        Some(end) => Ok(Some(Mark {
            divided: mark.divided,
            ..Mark::at(file, end, mark.passing_over)?
        })),
        None => Ok(None),
    }
}

/// Whether these last bytes of a log are in no other: some whole lines, of which no two are alike.
fn is_telling(tail: &[u8]) -> bool {
    let mut lines: Vec<&[u8]> = tail.split(|byte| *byte == b'\n').collect();
    let count = lines.len();
    lines.sort_unstable();
    lines.dedup();
    tail.len() >= HEAD && count > 2 && lines.len() == count
}

/// Whether the first `length` bytes of two files are the same, by the first and the last of them.
fn begin_alike(one: &File, other: &File, length: u64) -> io::Result<bool> {
    let (one, other) = (Mark::at(one, length, false)?, Mark::at(other, length, false)?);
    let is_whole = one.tail.len() as u64 == length.min(TAIL as u64);
    Ok(is_whole && one == other)
}

/// Returns where the last bytes before `mark` end in `file`, if it holds them, or the last lines of them.
fn end_of_tail(file: &File, mark: &Mark) -> io::Result<Option<u64>> {
    let tail = mark.tail.as_slice();
    let Some(before) = tail.len().checked_sub(HEAD) else {
        return Ok(None);
    };
    let last_lines = memrchr(b'\n', &tail[..before]).map_or(tail, |end| &tail[end + 1..]);
    if !is_telling(last_lines) {
        return Ok(None);
    }
    match end_of(tail, file)? {
        Some(end) => Ok(Some(end)),
        None => end_of(last_lines, file),
    }
}

/// Returns where the first occurrence of `text` in `file` ends.
fn end_of(text: &[u8], file: &File) -> io::Result<Option<u64>> {
    let finder = memmem::Finder::new(text);
    let (mut window, mut filled, mut offset) = (vec![0; CHUNK + TAIL], 0, 0);
    loop {
        let read = read_at(file, &mut window[filled..], offset + filled as u64)?;
        if let Some(at) = finder.find(&window[..filled + read]) {
            return Ok(Some(offset + (at + text.len()) as u64));
        }
        if read == 0 {
            return Ok(None);
        }
        // The next window begins with what may be the beginning of it.
        let done = (filled + read).saturating_sub(text.len() - 1);
        window.copy_within(done..filled + read, 0);
        filled = filled + read - done;
        offset += done as u64;
    }
}

/// The length of the whole lines that are the same in both files from these offsets on.
fn shared_lines(one: &File, one_at: u64, other: &File, other_at: u64) -> io::Result<u64> {
    let (mut lines, mut compared) = (0, 0);
    let (mut one_bytes, mut other_bytes) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let one_read = read_at(one, &mut one_bytes, one_at + compared)?;
        let other_read = read_at(other, &mut other_bytes, other_at + compared)?;
        let pairs = one_bytes[..one_read].iter().zip(&other_bytes[..other_read]);
        let same = pairs.take_while(|(one, other)| one == other).count();
        if let Some(end) = memrchr(b'\n', &one_bytes[..same]) {
            lines = compared + end as u64 + 1;
        }
        compared += same as u64;
        if same < CHUNK {
            return Ok(lines);
        }
    }
}

/// The mark at the end of the last whole line before `offset`.
fn end_of_lines(file: &File, offset: u64) -> io::Result<Option<Mark>> {
    let mark = Mark::at(file, offset, false)?;
    let Some(end) = memrchr(b'\n', &mark.tail) else {
        return Ok(None);
    };
    let partial = mark.tail.len() - end - 1;
    Mark::at(file, offset - partial as u64, false).map(Some)
}
