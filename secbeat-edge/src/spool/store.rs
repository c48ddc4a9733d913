//! The segments of a spool: appended to at one end, read and removed at the other.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use tracing::warn;
use uuid::Uuid;

use super::{
    EncodedBatch, SpoolConfig,
    segment::{self, HEAD, Next},
};
use crate::telemetry::{Loss, TelemetryStats};

/// A full spool goes in so many steps.
const SEGMENTS: u64 = 16;
/// Segments at most, whatever their size: each restart of the edge may leave a small one.
const MAX_SEGMENTS: usize = 256;
/// Largest segment in bytes, unless a single record is larger.
const MAX_SEGMENT: u64 = 4 * 1024 * 1024;

/// One file, and what of it waits to be read.
#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    batches: u64,
    answers: u64,
    /// Time at which its youngest batch was closed.
    youngest_ms: u64,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    max_bytes: u64,
    segment_bytes: u64,
    max_age_ms: u64,
    boot: Uuid,
    /// Oldest first; the last is the one that `writer` writes.
    segments: VecDeque<Segment>,
    writer: Option<File>,
    /// Reads the first segment.
    reader: Option<BufReader<File>>,
    next_number: u64,
    stats: Arc<TelemetryStats>,
    _lock: Flock<File>,
}

impl Store {
    /// Opens the folder, or makes it. What an earlier process left is taken up if it is of this `boot`, and otherwise
    /// discarded and counted.
    pub(super) fn open(
        config: &SpoolConfig,
        boot: Uuid,
        now_ms: u64,
        stats: Arc<TelemetryStats>,
    ) -> io::Result<Self> {
        let folder = config.folder.clone();
        // Its parents are others' too: nats-server's files are below them, as another user.
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join("lock"))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
            Errno::EWOULDBLOCK => io::Error::other("another edge uses it"),
            error => error.into(),
        })?;
        let mut store = Self {
            max_bytes: config.max_bytes,
            segment_bytes: (config.max_bytes / SEGMENTS).min(MAX_SEGMENT),
            max_age_ms: u64::try_from(config.max_age.as_millis()).unwrap_or(u64::MAX),
            boot,
            segments: VecDeque::new(),
            writer: None,
            reader: None,
            next_number: 0,
            stats,
            _lock: lock,
            folder,
        };
        store.take_up(now_ms)?;
        Ok(store)
    }

    fn take_up(&mut self, now_ms: u64) -> io::Result<()> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            numbers.extend(number_of(&entry?.path()));
        }
        numbers.sort_unstable();
        for number in numbers {
            self.next_number = number + 1;
            let mut file = BufReader::new(File::open(self.path(number))?);
            let boot = segment::read_head(&mut file)?;
            let mut segment = Segment {
                number,
                bytes: file.get_ref().metadata()?.len(),
                batches: 0,
                answers: 0,
                youngest_ms: 0,
            };
            while let Next::Record(batch) = segment::read_record(&mut file)? {
                segment.batches += 1;
                segment.answers += batch.answers;
                segment.youngest_ms = segment.youngest_ms.max(batch.closed_ms);
            }
            self.segments.push_back(segment);
            self.count();
            // A clock that has not come as far yet is of another boot, whatever the head says.
            let of_this_boot = boot == Some(self.boot)
                && self
                    .segments
                    .back()
                    .is_some_and(|segment| segment.youngest_ms <= now_ms);
            if !of_this_boot && let Some(segment) = self.segments.pop_back() {
                self.discard(&segment, Loss::TooOld);
            }
        }
        self.make_room(0, now_ms);
        Ok(())
    }

    /// Writes `batch` to the end; the oldest make room for it.
    ///
    /// # Errors
    ///
    /// Returns an error if it was not written. Others are unharmed.
    pub(super) fn append(&mut self, batch: &EncodedBatch, now_ms: u64) -> io::Result<()> {
        let record = segment::record(batch);
        let bytes = record.len() as u64;
        if self
            .segments
            .back()
            .is_some_and(|last| last.bytes + bytes > self.segment_bytes)
        {
            self.writer = None;
        }
        self.make_room(bytes + HEAD as u64, now_ms);
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.begin()?,
        };
        if let Err(error) = writer.write_all(&record) {
            // What was written of it would end the segment; a new one follows where even that cannot be taken back.
            if let Some(last) = self.segments.back()
                && writer.set_len(last.bytes).is_ok()
            {
                self.writer = Some(writer);
            }
            return Err(error);
        }
        self.writer = Some(writer);
        if let Some(last) = self.segments.back_mut() {
            last.bytes += bytes;
            last.batches += 1;
            last.answers += batch.answers;
            last.youngest_ms = last.youngest_ms.max(batch.closed_ms);
        }
        self.stats.spool().written.fetch_add(1, Relaxed);
        self.count();
        Ok(())
    }

    /// Takes the oldest batch that is not too old. Its segment stays until the next call that finds it read to its end,
    /// so that what is killed in between sends it again.
    pub(super) fn next(&mut self, now_ms: u64) -> Option<EncodedBatch> {
        loop {
            let next = match self.read() {
                Ok(next) => next?,
                Err(error) => {
                    warn!(folder = %self.folder.display(), %error, "a segment of the spool cannot be read");
                    Next::Torn
                }
            };
            match next {
                Next::Record(batch) => {
                    if let Some(first) = self.segments.front_mut() {
                        first.batches = first.batches.saturating_sub(1);
                        first.answers = first.answers.saturating_sub(batch.answers);
                    }
                    self.count();
                    if now_ms.saturating_sub(batch.closed_ms) <= self.max_age_ms {
                        return Some(batch);
                    }
                    self.stats.lose(Loss::TooOld, batch.answers);
                }
                Next::Torn => {
                    self.stats.spool().torn.fetch_add(1, Relaxed);
                    self.drop_first(Loss::Disk);
                }
                Next::End => self.drop_first(Loss::Disk),
            }
        }
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn read(&mut self) -> io::Result<Option<Next>> {
        let Some(first) = self.segments.front() else {
            return Ok(None);
        };
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => {
                let mut reader = BufReader::new(File::open(self.path(first.number))?);
                segment::read_head(&mut reader)?;
                reader
            }
        };
        let next = segment::read_record(&mut reader)?;
        self.reader = Some(reader);
        Ok(Some(next))
    }

    /// Drops the oldest: those of which nothing is young enough, and as many as `bytes` more need.
    fn make_room(&mut self, bytes: u64, now_ms: u64) {
        let stale = |first: &Segment, max_age_ms| now_ms.saturating_sub(first.youngest_ms) > max_age_ms;
        while let Some(first) = self.segments.front() {
            if stale(first, self.max_age_ms) {
                self.drop_first(Loss::TooOld);
            } else if self.bytes() + bytes > self.max_bytes || self.segments.len() > MAX_SEGMENTS {
                self.drop_first(Loss::SpoolFull);
            } else {
                break;
            }
        }
    }

    /// Begins a segment.
    fn begin(&mut self) -> io::Result<File> {
        let number = self.next_number;
        let path = self.path(number);
        let mut file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(&path)?;
        self.next_number += 1;
        if let Err(error) = file.write_all(&segment::head(self.boot)) {
            // Nothing is in it; where it cannot be removed either, it is found without a head at the next start.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        self.segments.push_back(Segment {
            number,
            bytes: HEAD as u64,
            batches: 0,
            answers: 0,
            youngest_ms: 0,
        });
        Ok(file)
    }

    fn drop_first(&mut self, loss: Loss) {
        self.reader = None;
        if self.segments.len() <= 1 {
            self.writer = None;
        }
        if let Some(first) = self.segments.pop_front() {
            self.discard(&first, loss);
        }
    }

    fn discard(&self, segment: &Segment, loss: Loss) {
        self.stats.lose(loss, segment.answers);
        if let Err(error) = fs::remove_file(self.path(segment.number)) {
            warn!(folder = %self.folder.display(), %error, "a segment of the spool cannot be removed");
        }
        self.count();
    }

    /// Tells the statistics how much there is.
    fn count(&self) {
        let spool = self.stats.spool();
        let batches = self.segments.iter().map(|segment| segment.batches).sum();
        spool.bytes.store(self.bytes(), Relaxed);
        spool.batches.store(batches, Relaxed);
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}.seg"))
    }
}

#[cfg(test)]
impl Store {
    pub(super) fn write_to(&mut self, file: File) {
        self.writer = Some(file);
    }
}

fn number_of(path: &Path) -> Option<u64> {
    if path.extension()? != "seg" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}
