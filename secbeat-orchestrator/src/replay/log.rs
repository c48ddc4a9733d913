//! One log among those that are replayed together.

use std::{
    io::{self, Cursor, Read},
    path::PathBuf,
    sync::Arc,
};

use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use memchr::memrchr;
use secbeat_common::prefix::Prefix;
use secbeat_logs::{DETECTED_FROM, Detection, Format, FormatChoice, Formats, Lines, LogError, OpenLines};

use super::{
    EdgeConfig, Input, Reading, ReplayError,
    answer::{Answer, Told},
    blocks::{Blocks, Clients, Helpers, Taken},
};

/// When the next log's turn is: a time in milliseconds since the Unix epoch, and the place of that log in the list.
pub(super) type Due = (i64, usize);

/// How the lines of the logs are read.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReadAs {
    #[arg(long, short, value_name = "FORMAT", default_value_t, help = formats_help())]
    pub(super) format: FormatChoice,
    /// Time zone of times that are logged without one, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = TimeZone::get)]
    pub(super) time_zone: TimeZone,
    /// Whose lists of addresses are believed: the config says.
    #[arg(skip)]
    pub(super) trusted_proxies: Vec<Prefix>,
    /// Whose entries say how logs are read for which no format is stated.
    #[arg(skip)]
    pub(super) edge: Option<Arc<EdgeConfig>>,
}

fn formats_help() -> String {
    format!(
        "Format of the lines: auto, {}, several of them with commas between them, or a pattern such as `$remote_addr [$time_local] \
         \"$request\" $status`",
        Format::names()
    )
}

#[cfg(test)]
impl Default for ReadAs {
    fn default() -> Self {
        Self {
            format: FormatChoice::Auto,
            time_zone: TimeZone::UTC,
            trusted_proxies: Vec::new(),
            edge: None,
        }
    }
}

/// A log whose beginning was looked at.
pub(super) struct Log {
    /// For people.
    name: String,
    begin: Begin,
    clients: Clients,
    /// Names the server behind it, whose outages are nobody's errors.
    pub(super) upstream: String,
    /// Event time of its first request, milliseconds since the Unix epoch; the least if it begins with something else for
    /// long.
    pub(super) begins_ms: i64,
    rest: Rest,
}

/// Place of the log itself.
enum Rest {
    /// Not held open, since the turn of most logs of a long list comes late.
    File(PathBuf),
    Open(Box<dyn Read + Send>),
}

impl Log {
    /// Looks at the beginning of `input`.
    pub(super) fn look(
        name: String,
        input: Input,
        read: &ReadAs,
        reads_user_agents: bool,
        progress: &ProgressBar,
    ) -> Result<Self, ReplayError> {
        let path = match &input {
            Input::File(path) => path.clone(),
            Input::Stream(_) => PathBuf::from(&name),
        };
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
        let entry = match (&read.format, &read.edge) {
            (FormatChoice::Auto, Some(edge)) => match edge.entry(&path) {
                None => return Err(ReplayError::NoEntry { name }),
                entry => entry,
            },
            _ => None,
        };
        let format = match (entry, &read.format) {
            (Some(entry), _) => entry.formats.clone(),
            (None, FormatChoice::Is(format)) => format.clone().with_time_zone(&read.time_zone),
            (None, FormatChoice::Auto) => detected(&name, &begin)?.with_time_zone(&read.time_zone),
        };
        let format = match reads_user_agents {
            true => format,
            false => format.without_user_agent(),
        };
        let begin =
            Begin::of(whole_lines(&begin), &format).map_err(|source| ReplayError::read(&name, source))?;
        let begins_ms = begin.begins_ms;
        Ok(Self {
            name,
            begin,
            clients: Clients {
                trusted: read.trusted_proxies.as_slice().into(),
                are_last: entry.is_some_and(|entry| !entry.of_header),
            },
            upstream: entry.map_or_else(|| "log".to_owned(), |entry| entry.name.clone()),
            begins_ms,
            rest,
        })
    }

    /// Begins to read it, with `helpers` that are left. What is read moves `progress`; `told` says of which lines more counts than the status.
    pub(super) fn open(
        self,
        told: Told,
        progress: &ProgressBar,
        helpers: &Helpers,
    ) -> Result<Opened, ReplayError> {
        let Self {
            name,
            begin,
            clients,
            rest,
            ..
        } = self;
        let input = match rest {
            Rest::File(path) => Input::File(path)
                .open(progress)
                .map_err(|source| ReplayError::read(&name, source))?,
            Rest::Open(log) => log,
        };
        Ok(Opened {
            name,
            blocks: Blocks::of(input, begin.formats, clients, told, &begin.open, helpers),
            number: 0,
            requests: 0,
            texts: 0,
        })
    }
}

/// The format that fits the beginning of a log.
fn detected(name: &str, begin: &[u8]) -> Result<Formats, ReplayError> {
    let (detection, _) = Detection::of_fitting(begin).map_err(|source| ReplayError::read(name, source))?;
    match detection.chosen() {
        Some(format) => return Ok(format.clone().into()),
        None if detection.lines() == 0 => return Ok(Formats::default()),
        None => {}
    }
    let name = name.to_owned();
    Err(match detection.conflict() {
        Some(conflict) => ReplayError::Conflict {
            name,
            conflict: conflict.to_string(),
        },
        None => ReplayError::UnknownFormat {
            name,
            lines: detection.lines(),
        },
    })
}

fn begin(mut log: Box<dyn Read + Send>) -> io::Result<(Vec<u8>, Box<dyn Read + Send>)> {
    let mut begin = Vec::new();
    log.by_ref().take(DETECTED_FROM as u64).read_to_end(&mut begin)?;
    Ok((begin, log))
}

/// Without a last line that the end of the beginning cuts off, maybe within what its client wrote.
fn whole_lines(begin: &[u8]) -> &[u8] {
    match begin.len() < DETECTED_FROM {
        true => begin,
        false => &begin[..memrchr(b'\n', begin).map_or(0, |end| end + 1)],
    }
}

/// What the beginning of a log says of the rest.
struct Begin {
    /// With a doubt, if a line calls for one.
    formats: Formats,
    open: OpenLines,
    /// The time of the first request; the least if there is none.
    begins_ms: i64,
}

impl Begin {
    fn of(text: &[u8], formats: &Formats) -> io::Result<Self> {
        let (mut lines, mut open) = (Lines::new(text), OpenLines::default());
        let mut doubting = formats.clone();
        let mut first = None;
        while let Some(piece) = lines.next_piece()? {
            let Some(read) = formats.read(piece, &mut open) else {
                continue;
            };
            doubting.doubt_if_called_for(&read);
            if let (Ok(request), None) = (&read, first) {
                first = Some(request.at_ms);
            }
        }
        Ok(Self {
            formats: doubting,
            open: open.settled(),
            begins_ms: first.unwrap_or(i64::MIN),
        })
    }
}

/// A log that is being read.
pub(super) struct Opened {
    name: String,
    blocks: Blocks,
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
        show: &mut impl FnMut(&Answer<'_>) -> io::Result<()>,
    ) -> Result<Option<i64>, ReplayError> {
        let next = next.unwrap_or((i64::MAX, usize::MAX));
        let mut due = None;
        let Self {
            name,
            blocks,
            number,
            requests,
            texts,
        } = self;
        blocks.each(name, |step| {
            if let Some(Ok(answer)) = &step.read
                && (answer.at_ms, n) > next
            {
                due = Some(answer.at_ms);
                return Ok(Taken::NotYet);
            }
            *number += u64::from(step.begins);
            reading.read += u64::from(step.begins);
            match &step.read {
                None => {}
                Some(Ok(answer)) => {
                    *requests += 1;
                    reading.takes(answer);
                    show(answer).map_err(ReplayError::Write)?;
                }
                Some(Err(reason)) => {
                    *texts += u64::from(**reason != LogError::Empty);
                    reading.rejects(name, *number, reason);
                }
            }
            Ok(Taken::Yes)
        })?;
        Ok(due)
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
