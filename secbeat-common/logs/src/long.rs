//! Lines that are longer than what a reader holds at once, and lines that a container's runtime divided.

use std::{borrow::Cow, mem};

use super::{
    Format, LogError, LogLine,
    cut::CutLine,
    json::LongObject,
    wrap::{self, Part},
};

/// Bytes of a line that are kept. Docker writes down 16 KiB at a time, each byte as six at most.
const HEAD: usize = 128 * 1024;

/// A line of a log, or a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole line without its line feed.
    Line(&'a [u8]),
    /// The beginning of a longer one, if only of no bytes.
    Begin(&'a [u8]),
    /// What follows.
    More(&'a [u8]),
    /// The last of it, if only of no bytes.
    End(&'a [u8]),
}

/// Lines of one log that have begun and not ended, in bounded memory.
#[derive(Debug, Default)]
pub struct OpenLines {
    /// A line that comes in pieces.
    long: Option<Box<LongLine>>,
    /// Lines that the runtime of a container divided, by its [streams](wrap::Stream).
    divided: [Option<Box<LongLine>>; 2],
    /// The last line that was read from more than one piece.
    last: Option<Box<LogLine<'static>>>,
}

impl OpenLines {
    /// Whether a line has begun and not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.long.is_some() || self.is_divided()
    }

    fn is_divided(&self) -> bool {
        self.divided.iter().any(Option::is_some)
    }

    /// For each of a container's streams, whether a line of it goes on in a later part.
    #[must_use]
    pub fn divided(&self) -> [bool; 2] {
        [self.divided[0].is_some(), self.divided[1].is_some()]
    }

    /// After lines of which only is known, as [`divided`](Self::divided) says, that they go on: what follows is no line of
    /// its own.
    #[must_use]
    pub fn unseen(divided: [bool; 2]) -> Self {
        let unseen = |is_divided: bool| {
            is_divided.then(|| {
                Box::new(LongLine {
                    head: Vec::new(),
                    rest: Some(Rest::Text(Box::new(Err(LogError::Divided)))),
                })
            })
        };
        Self {
            divided: divided.map(unseen),
            ..Self::default()
        }
    }

    /// After the whole lines of `text`, which nobody read.
    #[must_use]
    pub fn after(text: &[u8]) -> Self {
        let mut divided = [false; 2];
        for line in text.split(|byte| *byte == b'\n') {
            if let Some((part, _)) = part_of(line) {
                divided[part.stream as usize] = !part.is_last;
            }
        }
        Self::unseen(divided)
    }
}

impl Format {
    /// Reads the next piece of a log. `None` if no line ends with it.
    ///
    /// Of a line that is longer than 128 KiB, the beginning is kept if it is text; JSON is read up to 16 MiB. A line that
    /// names its client, and the rest of which cannot be read, is [`unreadable`](LogLine::unreadable).
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    #[inline]
    pub fn read<'a>(
        &self,
        piece: Piece<'a>,
        open: &'a mut OpenLines,
    ) -> Option<Result<LogLine<'a>, LogError>> {
        match piece {
            Piece::Line(line) if !open.is_divided() => match self.parse(line) {
                Err(LogError::Divided) => self.read_part(line, open),
                parsed => Some(parsed),
            },
            Piece::Line(line) => self.read_part(line, open),
            Piece::Begin(begin) => {
                let long = open.long.insert(Box::default());
                long.feed(self, begin);
                None
            }
            Piece::More(more) => {
                open.long.as_mut()?.feed(self, more);
                None
            }
            Piece::End(end) => {
                let mut long = open.long.take()?;
                long.feed(self, end);
                Some(keep(&mut open.last, long.finish(self)))
            }
        }
    }

    /// Reads a line while a part of one is waited for, or that is one.
    fn read_part<'a>(
        &self,
        line: &'a [u8],
        open: &'a mut OpenLines,
    ) -> Option<Result<LogLine<'a>, LogError>> {
        let Some((part, text)) = part_of(line) else {
            return Some(self.parse(line));
        };
        let waiting = &mut open.divided[part.stream as usize];
        if waiting.is_none() && part.is_last {
            return Some(self.parse(line));
        }
        let waits = waiting.get_or_insert_default();
        waits.feed(self, &text);
        if !part.is_last {
            return None;
        }
        let whole = mem::take(waiting)?;
        Some(keep(&mut open.last, whole.finish(self)))
    }
}

/// What a line of a container is a part of, whole lines included, and its text.
fn part_of(line: &[u8]) -> Option<(Part, Cow<'_, [u8]>)> {
    let line = line.trim_ascii_start();
    let unwrapped = wrap::unwrap(line.strip_suffix(b"\r").unwrap_or(line))?;
    Some((unwrapped.part?, unwrapped.text))
}

/// Keeps a line where it can be borrowed from.
fn keep<'a>(
    last: &'a mut Option<Box<LogLine<'static>>>,
    parsed: Result<LogLine<'static>, LogError>,
) -> Result<LogLine<'a>, LogError> {
    Ok(LogLine::borrow(last.insert(Box::new(parsed?))))
}

/// A line that comes in pieces.
#[derive(Debug, Default)]
struct LongLine {
    /// The line, as long as it is not longer than [`HEAD`].
    head: Vec<u8>,
    rest: Option<Rest>,
}

/// What is known of a line once it is too long to be kept.
#[derive(Debug)]
pub(super) enum Rest {
    Object(Box<LongObject>),
    Text(Box<Result<CutLine, LogError>>),
}

impl LongLine {
    fn feed(&mut self, format: &Format, piece: &[u8]) {
        if self.rest.is_some() {
            return self.feed_rest(format, piece);
        }
        let room = HEAD - self.head.len();
        let (kept, rest) = piece.split_at(piece.len().min(room));
        self.head.extend_from_slice(kept);
        if !rest.is_empty() {
            self.rest = Some(format.begin_long(&mem::take(&mut self.head)));
            self.feed_rest(format, rest);
        }
    }

    fn feed_rest(&mut self, format: &Format, piece: &[u8]) {
        match (&mut self.rest, format.table()) {
            (Some(Rest::Object(object)), Some(table)) => object.feed(piece, table, format.zone()),
            (Some(Rest::Text(text)), _) => {
                if let Ok(line) = &mut **text {
                    line.feed(piece);
                }
            }
            _ => {}
        }
    }

    fn finish(self, format: &Format) -> Result<LogLine<'static>, LogError> {
        match (self.rest, format.table()) {
            (Some(Rest::Object(object)), Some(table)) => object.finish(table),
            (Some(Rest::Text(text)), _) => text.map(CutLine::finish),
            _ => format.parse(&self.head).map(LogLine::into_owned),
        }
    }
}

impl Rest {
    /// Whether what was read so far can be the beginning of a request.
    pub(super) const fn is_understood(&self) -> bool {
        match self {
            Self::Object(object) => object.is_one(),
            Self::Text(text) => text.is_ok(),
        }
    }
}
