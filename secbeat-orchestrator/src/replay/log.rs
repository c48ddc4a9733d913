//! One log among those that are replayed together.

use std::{
    io::{self, Cursor, Read},
    path::PathBuf,
};

use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use secbeat_logs::{
    DETECTED_FROM, Detection, FormatChoice, Formats, Lines, LogError, LogLine, OpenLines, Piece,
};

use super::{Input, Reading, ReplayError};

/// When the next log's turn is: a time in milliseconds since the Unix epoch, and the place of that log in the list.
pub(super) type Due = (i64, usize);

/// A log whose beginning was looked at.
pub(super) struct Log {
    /// For people.
    name: String,
    format: Formats,
    /// Event time of its first request, milliseconds since the Unix epoch; the least if it begins with something else for
    /// long.
    pub(super) begins_ms: i64,
    rest: Rest,
}

/// Where the log itself is.
enum Rest {
    /// Not held open, since the turn of most logs of a long list comes late.
    File(PathBuf),
    Open(Box<dyn Read>),
}

impl Log {
    /// Looks at the beginning of `input`.
    pub(super) fn look(
        name: String,
        input: Input,
        choice: &FormatChoice,
        zone: &TimeZone,
        reads_user_agents: bool,
        progress: &ProgressBar,
    ) -> Result<Self, ReplayError> {
        let (begin, rest) = match input {
            Input::File(path) => Input::File(path.clone())
                .open(&ProgressBar::hidden())
                .and_then(begin)
                .map(|(begin, _)| (begin, Rest::File(path))),
            stream @ Input::Stream(_) => stream.open(progress).and_then(begin).map(|(begin, log)| {
                let whole = Cursor::new(begin.clone()).chain(log);
                (begin, Rest::Open(Box::new(whole)))
            }),
        }
        .map_err(|source| ReplayError::read(&name, source))?;
        let format = match choice {
            FormatChoice::Is(format) => format.clone(),
            FormatChoice::Auto => {
                let (detection, _) =
                    Detection::of(&begin[..]).map_err(|source| ReplayError::read(&name, source))?;
                match detection.chosen() {
                    Some(format) => format.clone().into(),
                    None if detection.lines() == 0 => Formats::default(),
                    None => {
                        if let Some(conflict) = detection.conflict() {
                            let conflict = conflict.to_string();
                            return Err(ReplayError::Conflict { name, conflict });
                        }
                        let lines = detection.lines();
                        return Err(ReplayError::UnknownFormat { name, lines });
                    }
                }
            }
        };
        let format = format.with_time_zone(zone);
        let format = match reads_user_agents {
            true => format,
            false => format.without_user_agent(),
        };
        let begins_ms = first_time(&begin, &format).map_err(|source| ReplayError::read(&name, source))?;
        Ok(Self {
            name,
            format,
            begins_ms,
            rest,
        })
    }

    /// Begins to read it. What is read moves `progress`.
    pub(super) fn open(self, progress: &ProgressBar) -> Result<Opened, ReplayError> {
        let Self {
            name, format, rest, ..
        } = self;
        let input = match rest {
            Rest::File(path) => Input::File(path)
                .open(progress)
                .map_err(|source| ReplayError::read(&name, source))?,
            Rest::Open(log) => log,
        };
        Ok(Opened {
            name,
            format,
            lines: Lines::new(input),
            open: OpenLines::default(),
            waiting: None,
            number: 0,
            requests: 0,
            texts: 0,
        })
    }
}

fn begin(mut log: Box<dyn Read>) -> io::Result<(Vec<u8>, Box<dyn Read>)> {
    let mut begin = Vec::new();
    log.by_ref().take(DETECTED_FROM as u64).read_to_end(&mut begin)?;
    Ok((begin, log))
}

fn first_time(begin: &[u8], format: &Formats) -> io::Result<i64> {
    let mut lines = Lines::new(begin);
    let mut open = OpenLines::default();
    while let Some(piece) = lines.next_piece()? {
        if let Some(Ok(request)) = format.read(piece, &mut open) {
            return Ok(request.at_ms);
        }
    }
    Ok(i64::MIN)
}

/// A log that is being read.
pub(super) struct Opened {
    name: String,
    format: Formats,
    lines: Lines<Box<dyn Read>>,
    /// Lines that have begun and not ended.
    open: OpenLines,
    /// The last request that was read, whose turn has not come.
    waiting: Option<Box<LogLine<'static>>>,
    /// The number of the last line, from 1.
    number: u64,
    requests: u64,
    /// Lines that are not empty.
    texts: u64,
}

impl Opened {
    /// Shows the lines that come before `next`, for a log in place `n`. Returns the time of the first one that does not;
    /// `None` at the end of the log.
    pub(super) fn read_until(
        &mut self,
        n: usize,
        next: Option<Due>,
        reading: &mut Reading,
        show: &mut impl FnMut(&LogLine<'_>) -> io::Result<()>,
    ) -> Result<Option<i64>, ReplayError> {
        let next = next.unwrap_or((i64::MAX, usize::MAX));
        if let Some(line) = self.waiting.take_if(|line| (line.at_ms, n) <= next) {
            self.requests += 1;
            reading.takes(&line);
            show(&line).map_err(ReplayError::Write)?;
        }
        if let Some(line) = &self.waiting {
            return Ok(Some(line.at_ms));
        }
        loop {
            let piece = match self.lines.next_piece() {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(None),
                Err(source) => return Err(ReplayError::read(&self.name, source)),
            };
            if matches!(piece, Piece::Line(_) | Piece::Begin(_)) {
                self.number += 1;
                reading.read += 1;
            }
            let Some(parsed) = self.format.read(piece, &mut self.open) else {
                continue;
            };
            self.format.doubt_if_called_for(&parsed);
            match parsed {
                Ok(line) => {
                    let at_ms = line.at_ms;
                    if (at_ms, n) > next {
                        self.waiting = Some(Box::new(line.into_owned()));
                        return Ok(Some(at_ms));
                    }
                    self.requests += 1;
                    reading.takes(&line);
                    show(&line).map_err(ReplayError::Write)?;
                }
                Err(reason) => {
                    self.texts += u64::from(reason != LogError::Empty);
                    reading.rejects(&self.name, self.number, reason);
                }
            }
        }
    }

    /// Whether a log that has ended had the format that it was read in.
    pub(super) fn check(self) -> Result<(), ReplayError> {
        if self.requests == 0 && self.texts > 0 {
            return Err(ReplayError::OtherFormat {
                name: self.name,
                lines: self.texts,
            });
        }
        Ok(())
    }
}
