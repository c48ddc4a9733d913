//! The messages of systemd units, read from the journal's files as they are written.
//!
//! journald writes an entry to a file that is mapped into memory, and tells of it 250 ms later; `journalctl --follow` shows it
//! then. So the end of the files is looked at all the time. A look takes a microsecond and no system call.

use std::{
    collections::VecDeque,
    ffi::CStr,
    io,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use secbeat_daemon::time::wall_ms;
use secbeat_logs::{MAX_LINE, OpenLines, Piece};
use tracing::{debug, warn};

use super::{
    checkpoint::{Saved, SavedJournal, Store},
    config::{JournalMatch, Start},
    report::{Arrival, EntryFields, Reporter},
    sd_journal::SdJournal,
    stop::{Stop, Woken},
};
use crate::telemetry::Closed;

/// Longest message, in bytes.
const MAX_MESSAGE: usize = 5 * MAX_LINE;
/// Until the journal is opened again.
const RESTART: Duration = Duration::from_secs(1);
/// From one look at the end to the next, for a while after an entry: entries come in company.
const SOON: Duration = Duration::from_millis(10);
/// Time after an entry in which the next is expected soon.
const COMPANY: Duration = Duration::from_secs(5);
/// From one look to the next while nothing comes.
const IDLE: Duration = Duration::from_millis(50);
/// From one search for overlooked entries to the next, while the journal changes. journald adds an entry first, and then makes it
/// be found by its fields; who looks in between does not find it, and would not look again before the next entry.
const SEARCH: Duration = Duration::from_secs(1);
/// Entries that are read before the next question whether to stop.
const AT_ONCE: usize = 256;
/// Lines that were divided and have not ended, at most; more forget the oldest.
const MAX_DIVIDED: usize = 64;
/// Time after a part that ends with a NUL in which what follows it may come, in microseconds. journald reads both at once; a line
/// that ends with a NUL has no rest.
const AFTER_NUL_US: i64 = 1_000_000;

/// Follows units, or what goes by some names.
pub(super) struct Journal {
    wanted: JournalMatch,
    /// Its name for people.
    name: String,
    reporter: Reporter,
    /// Position at which to go on.
    after: SavedJournal,
    /// Lines that have begun, which say how to read the next one.
    open: OpenLines,
    divided: Divided,
    /// Entries of before are old, microseconds since the Unix epoch.
    started_us: i64,
    /// Time at which the last entry came.
    came: Option<Instant>,
}

/// The reason why the journal is read no further.
enum Ended {
    Stopped,
    Closed,
    Failed(io::Error),
}

impl From<Closed> for Ended {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Journal {
    pub(super) fn new(wanted: JournalMatch, start: Start, reporter: Reporter, saved: Option<Saved>) -> Self {
        // As the journal does.
        let now_ms = wall_ms();
        let fresh = SavedJournal::Since(if start == Start::Beginning { 0 } else { now_ms });
        Self {
            name: wanted.to_string(),
            wanted,
            reporter,
            after: saved.and_then(|saved| saved.journal).unwrap_or(fresh),
            open: OpenLines::default(),
            divided: Divided::default(),
            started_us: now_ms.saturating_mul(1000),
            came: None,
        }
    }

    /// Reads until `stop`.
    pub(super) fn run(mut self, mut store: Store, stop: &Stop) {
        loop {
            match self.follow(&mut store, stop) {
                Ok(()) | Err(Ended::Stopped) => break,
                Err(Ended::Closed) => return,
                Err(Ended::Failed(error)) => {
                    let why = format!("cannot read the journal: {error}");
                    self.reporter.health().restarts.fetch_add(1, Relaxed);
                    if self.reporter.health().set_error(Some(why.clone())) {
                        warn!(log = self.name, "{why}; opening it again");
                    }
                }
            }
            if matches!(stop.wait(None, RESTART), Ok(Woken::Stopped)) {
                break;
            }
            if self.reporter.release(false).is_err() {
                return;
            }
        }
        // Who is gone takes nothing.
        let _ = self.reporter.release(true);
        store.finish(self.saved());
    }

    /// Ends only with an error.
    fn follow(&mut self, store: &mut Store, stop: &Stop) -> Result<(), Ended> {
        let mut journal = SdJournal::open(&self.wanted.matches()?, MAX_MESSAGE)?;
        debug!(log = self.name, "following the journal");
        loop {
            self.search(&mut journal, store, stop)?;
            self.reporter.health().set_error(None);
            self.watch(&mut journal, store, stop)?;
        }
    }

    /// Reads what is there and comes after the last entry that was read.
    fn search(&mut self, journal: &mut SdJournal, store: &mut Store, stop: &Stop) -> Result<(), Ended> {
        let is_there = match &self.after {
            SavedJournal::Cursor(cursor) => journal.seek_after(cursor)?,
            SavedJournal::Since(at_ms) => {
                journal.seek_time(u64::try_from(*at_ms).unwrap_or_default().saturating_mul(1000))?;
                journal.next()?
            }
        };
        match is_there {
            true => self.read(journal, store, stop),
            false => Ok(()),
        }
    }

    /// Reads what comes, until it is time for another [search](SEARCH).
    fn watch(&mut self, journal: &mut SdJournal, store: &mut Store, stop: &Stop) -> Result<(), Ended> {
        let searched = Instant::now();
        let mut has_changed = false;
        while !has_changed || searched.elapsed() < SEARCH {
            let is_soon = self.came.is_some_and(|came| came.elapsed() < COMPANY);
            let pause = if is_soon { SOON } else { IDLE };
            match stop.wait(Some(journal.changes()?), pause)? {
                Woken::Stopped => return Err(Ended::Stopped),
                Woken::Readable => {
                    journal.take_changes()?;
                    has_changed = true;
                }
                Woken::Timeout => {}
            }
            if journal.next()? {
                self.read(journal, store, stop)?;
            }
            self.reporter.release(false)?;
            store.keep(|| self.saved());
        }
        Ok(())
    }

    /// Reads the entry on which `journal` stands, and those after it.
    fn read(&mut self, journal: &mut SdJournal, store: &mut Store, stop: &Stop) -> Result<(), Ended> {
        for number in 1.. {
            self.take(journal)?;
            self.reporter.release(false)?;
            store.keep(|| self.saved());
            if !journal.next()? {
                break;
            }
            if number % AT_ONCE == 0 && stop.is_stopped() {
                return Err(Ended::Stopped);
            }
        }
        self.came = Some(Instant::now());
        Ok(())
    }

    /// Reports the entry on which `journal` stands. One that cannot be read is skipped, since those after it may be.
    fn take(&mut self, journal: &mut SdJournal) -> Result<(), Ended> {
        match self.report(journal) {
            Err(Ended::Failed(error)) => {
                let reason = format!("an entry of the journal cannot be read: {error}");
                self.reporter.health().add_reason(reason);
                Ok(())
            }
            reported => reported,
        }
    }

    fn report(&mut self, journal: &mut SdJournal) -> Result<(), Ended> {
        let at_us = i64::try_from(journal.realtime_us()?).unwrap_or(i64::MAX);
        let arrival = match at_us < self.started_us {
            true => Arrival::Old,
            false => Arrival::At(at_us / 1000),
        };
        let mut text = |name: &'static CStr| -> io::Result<String> {
            let bytes = journal.field(name)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(bytes).into_owned())
        };
        self.reporter.begin_entry(EntryFields {
            identifier: &text(c"SYSLOG_IDENTIFIER")?,
            pid: &text(c"_PID")?,
            at_ms: at_us / 1000,
        });
        let part = self.divided.part_of(at_us, text)?;
        let cursor = journal.cursor()?;
        let message = journal.field(c"MESSAGE")?.unwrap_or_default();
        // What is longer may be cut.
        if part == Part::Rest {
            self.reporter.health().too_long.fetch_add(1, Relaxed);
            let reason = "an entry of the journal is the rest of a line that was divided".to_owned();
            self.reporter.health().add_reason(reason);
        } else if message.len() < MAX_MESSAGE {
            self.report_lines(message, part == Part::Begin, arrival)?;
        } else {
            self.reporter.health().too_long.fetch_add(1, Relaxed);
            let reason = format!("a message of the journal is longer than {MAX_MESSAGE} bytes");
            self.reporter.health().add_reason(reason);
        }
        self.after = SavedJournal::Cursor(cursor);
        Ok(())
    }

    /// Reports the lines of an entry. Of one that `is_divided`, the rest is in the next: it is read as far as a line that is too long.
    fn report_lines(&mut self, message: &[u8], is_divided: bool, arrival: Arrival) -> Result<(), Closed> {
        let is_whole = self.reporter.takes_whole_entries();
        for line in message.split(|byte| *byte == b'\n' && !is_whole) {
            let pieces = match is_divided || line.len() > MAX_LINE {
                true => &[Piece::Begin(line), Piece::End(b"")][..],
                false => &[Piece::Line(line)],
            };
            for piece in pieces {
                self.reporter.take(&self.name, *piece, arrival, &mut self.open)?;
            }
        }
        Ok(())
    }

    fn saved(&self) -> Saved {
        Saved {
            journal: Some(self.after.clone()),
            in_doubt: self.reporter.in_doubt(),
            ..Saved::default()
        }
    }
}

/// Lines that were divided into several entries, and have not ended. A client can make a line so long, and so choose how a part begins.
#[derive(Debug, Default)]
struct Divided {
    /// The oldest first.
    open: VecDeque<Open>,
}

/// A line that was divided.
#[derive(Debug)]
struct Open {
    /// Id of the stream that its parts have in common.
    stream: String,
    /// Until then what comes is its rest, microseconds since the Unix epoch.
    until_us: i64,
}

/// Part of a line that an entry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Begin,
    /// The rest of a line: not a line of the service itself.
    Rest,
}

/// End of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Line,
    /// Its line goes on.
    Length,
    /// Its line goes on, unless this was all of it.
    Nul,
}

impl Divided {
    /// Returns what the entry of `at_us` is, whose fields are `text`. journald says of a stream's line why it ended without a
    /// line feed (`_LINE_BREAK`, systemd.journal-fields(7)); Docker names each divided line and marks all of its parts but the
    /// last; Podman only marks these.
    fn part_of(
        &mut self,
        at_us: i64,
        mut text: impl FnMut(&'static CStr) -> io::Result<String>,
    ) -> io::Result<Part> {
        let line = text(c"CONTAINER_PARTIAL_ID")?;
        let end = match text(c"CONTAINER_PARTIAL_MESSAGE")?.as_str() {
            "true" => End::Length,
            _ => End::Line,
        };
        if !line.is_empty() {
            return Ok(self.take(&line, end, at_us));
        }
        if end == End::Length || !self.open.is_empty() {
            let container = text(c"CONTAINER_ID_FULL")?;
            if !container.is_empty() {
                // Standard output and standard error.
                let stream = format!("{container} {}", text(c"PRIORITY")?);
                return Ok(self.take(&stream, end, at_us));
            }
        }
        let end = match text(c"_LINE_BREAK")?.as_str() {
            "line-max" | "pid-change" => End::Length,
            "nul" => End::Nul,
            _ => end,
        };
        if end == End::Line && self.open.is_empty() {
            return Ok(Part::Whole);
        }
        // Several processes may write to one stream, and journald ends the line of one before that of another.
        let stream = match text(c"_STREAM_ID")? {
            stream if stream.is_empty() => stream,
            stream => format!("{stream} {}", text(c"_PID")?),
        };
        Ok(self.take(&stream, end, at_us))
    }

    /// Returns what the next entry of `stream` is, which ends so. An entry without a stream is never a rest.
    fn take(&mut self, stream: &str, end: End, at_us: i64) -> Part {
        let known = self.open.iter().position(|open| open.stream == stream);
        let open = known.and_then(|at| self.open.remove(at));
        if end != End::Line && !stream.is_empty() {
            self.open.push_back(Open {
                stream: stream.to_owned(),
                until_us: match end {
                    End::Nul => at_us.saturating_add(AFTER_NUL_US),
                    End::Line | End::Length => i64::MAX,
                },
            });
            if self.open.len() > MAX_DIVIDED {
                self.open.pop_front();
            }
        }
        match open {
            Some(open) if at_us <= open.until_us => Part::Rest,
            _ if end == End::Line => Part::Whole,
            _ => Part::Begin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_divided_line_is_told_from_lines() {
        let mut divided = Divided::default();
        for (stream, end, at_us, part) in [
            ("a", End::Line, 0, Part::Whole),
            ("a", End::Length, 0, Part::Begin),
            ("b", End::Line, 0, Part::Whole),
            ("", End::Line, 0, Part::Whole),
            ("a", End::Length, 0, Part::Rest),
            ("b", End::Length, 0, Part::Begin),
            ("a", End::Line, 9 * AFTER_NUL_US, Part::Rest),
            ("a", End::Line, 0, Part::Whole),
            ("b", End::Line, 0, Part::Rest),
            ("", End::Length, 0, Part::Begin),
            ("", End::Line, 0, Part::Whole),
            ("a", End::Nul, 0, Part::Begin),
            ("a", End::Nul, 9, Part::Rest),
            ("a", End::Line, 9, Part::Rest),
            // What ends with a NUL has no rest, and a later line is one.
            ("a", End::Nul, 0, Part::Begin),
            ("a", End::Line, 2 * AFTER_NUL_US, Part::Whole),
            ("a", End::Nul, 2 * AFTER_NUL_US, Part::Begin),
            ("a", End::Nul, 4 * AFTER_NUL_US, Part::Begin),
            ("a", End::Line, 6 * AFTER_NUL_US, Part::Whole),
        ] {
            assert_eq!(
                divided.take(stream, end, at_us),
                part,
                "{stream}, {end:?}, {at_us}"
            );
        }
        for stream in 0..2 * MAX_DIVIDED {
            let stream = stream.to_string();
            assert_eq!(divided.take(&stream, End::Length, 0), Part::Begin);
        }
        assert_eq!(divided.open.len(), MAX_DIVIDED);
    }

    #[test]
    fn each_runtime_says_in_its_own_way_that_a_line_goes_on() {
        let podman = "CONTAINER_ID_FULL=aa PRIORITY=6";
        let mut divided = Divided::default();
        for (fields, part) in [
            (format!("{podman} CONTAINER_PARTIAL_MESSAGE=true"), Part::Begin),
            ("CONTAINER_ID_FULL=aa PRIORITY=3".to_owned(), Part::Whole),
            ("CONTAINER_ID_FULL=bb PRIORITY=6".to_owned(), Part::Whole),
            ("_STREAM_ID=s _PID=1".to_owned(), Part::Whole),
            (format!("{podman} CONTAINER_PARTIAL_MESSAGE=true"), Part::Rest),
            (podman.to_owned(), Part::Rest),
            (podman.to_owned(), Part::Whole),
            (
                format!("{podman} CONTAINER_PARTIAL_ID=7 CONTAINER_PARTIAL_MESSAGE=true"),
                Part::Begin,
            ),
            (podman.to_owned(), Part::Whole),
            (format!("{podman} CONTAINER_PARTIAL_ID=7"), Part::Rest),
            ("_STREAM_ID=s _PID=1 _LINE_BREAK=line-max".to_owned(), Part::Begin),
            ("_STREAM_ID=s _PID=2".to_owned(), Part::Whole),
            ("_STREAM_ID=s _PID=1 _LINE_BREAK=nul".to_owned(), Part::Rest),
            ("_STREAM_ID=s _PID=1".to_owned(), Part::Rest),
            ("_STREAM_ID=s _PID=1 _LINE_BREAK=eof".to_owned(), Part::Whole),
        ] {
            let text = |name: &'static CStr| {
                let known = fields.split(' ').filter_map(|field| field.split_once('='));
                let mut values = known.filter(|(known, _)| known.as_bytes() == name.to_bytes());
                Ok(values
                    .next()
                    .map_or_else(String::new, |(_, value)| value.to_owned()))
            };
            assert_eq!(divided.part_of(0, text).unwrap(), part, "{fields}");
        }
        assert!(divided.open.is_empty());
    }
}
