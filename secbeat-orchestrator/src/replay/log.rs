//! One log among those that are replayed together.

use std::{
    io::{self, Cursor, Read},
    mem,
    path::PathBuf,
};

use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use secbeat_logs::{DETECTED_FROM, Detection, FormatChoice, Formats, Line, Lines, LogError, LogLine};

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
            number: 0,
            seen: false,
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
    while let Some(line) = lines.next_line()? {
        if let Line::Text(text) = line
            && let Ok(request) = format.parse(text)
        {
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
    /// The number of the last line, from 1.
    number: u64,
    /// Whether the next line was seen before.
    seen: bool,
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
        loop {
            let line = match self.lines.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(None),
                Err(source) => return Err(ReplayError::read(&self.name, source)),
            };
            if !mem::take(&mut self.seen) {
                self.number += 1;
                reading.read += 1;
            }
            let parsed = match line {
                Line::Text(text) => self.format.parse(text),
                Line::TooLong => Err(LogError::TooLong),
            };
            match parsed {
                Ok(line) => {
                    if (line.at_ms, n) > next {
                        let at_ms = line.at_ms;
                        self.lines.again();
                        self.seen = true;
                        return Ok(Some(at_ms));
                    }
                    reading.parsed += 1;
                    self.requests += 1;
                    show(&line).map_err(ReplayError::Write)?;
                }
                Err(reason) => {
                    if let (Line::Text(text), LogError::Header) = (line, &reason)
                        && let Ok(learned) = self.format.after_header(text)
                    {
                        self.format = learned;
                    }
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
