//! Lines that are longer than what a reader holds at once, and lines that a container's runtime divided.

use std::{borrow::Cow, mem, sync::Arc};

use super::{
    Format, Formats, LogError, LogLine,
    format::{strip_padding_before, text_len},
    rest::Rest,
    services::{Containers, Doubt, Judged, Verdict},
    wrap::{self, Part, Seen, Unwrapped},
};

/// Bytes of a line that are kept. Docker writes down 16 KiB at a time, each byte as six at most.
const HEAD: usize = 128 * 1024;

/// Bytes behind a line that ended within what a client wrote in which nothing is believed, without the wrappers around them. A
/// header has 8 KiB at most in most servers.
const SUSPECT: usize = 8 * 1024;

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

/// Lines of one log that have begun and not ended, in bounded memory; and what earlier lines say of how to read the next.
#[derive(Debug, Default)]
pub struct OpenLines {
    /// A line that comes in pieces.
    long: Option<Box<LongLine>>,
    /// Lines that the runtime of a container divided, by its [streams](wrap::Stream).
    divided: [Option<Box<LongLine>>; 2],
    /// The same of a service's log.
    of_service: Containers,
    /// What a service's lines say of those that follow.
    doubt: Doubt,
    /// The last line that was read from more than one piece.
    last: Option<Box<LogLine<'static>>>,
    /// What lines show of wrappers which clients could write themselves.
    seen: Seen,
    /// The formats of the lines after a header; `None` within if those cannot be read.
    of_header: Option<Option<Arc<Formats>>>,
    /// Bytes that follow and that a client may have written as a whole.
    suspect: usize,
    /// Time of the last line that is believed, in milliseconds since the Unix epoch.
    last_ms: Option<i64>,
}

impl OpenLines {
    /// Whether a line has begun and not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.long.is_some() || self.is_divided()
    }

    fn is_divided(&self) -> bool {
        self.divided().contains(&true)
    }

    /// The service's own line in one of a log that is not of requests; `None` if more of it is to come, or if it is too long. Where a
    /// container's runtime divides a line is not the service's choice, so a part is never a line of its own.
    pub fn service_line<'a>(&mut self, line: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        self.divided = [None, None];
        self.of_service.take_off(line)
    }

    /// Returns what `judged` says of `line`, one that [`service_line`](Self::service_line) gave, after all that came before it:
    /// it blames nobody if a client may have written it, since a line before it may be the begin of a message which that client
    /// broke. To be asked of each line.
    #[must_use]
    pub fn after_broken_ones<'a>(&mut self, judged: Judged<'a>, line: &[u8]) -> Judged<'a> {
        if judged.verdict == Verdict::Foreign {
            return judged;
        }
        let is_doubted = self.doubt.take(judged.broken, line.len() + 1);
        match judged.verdict {
            Verdict::Blames(_) if is_doubted => Judged {
                verdict: Verdict::Doubted,
                ..judged
            },
            _ => judged,
        }
    }

    /// Whether a line has shown that the log's lines are in wrappers which clients could write themselves.
    #[must_use]
    pub const fn in_wrappers(&self) -> bool {
        matches!(self.seen, Seen::Wrapped)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) const fn seen(&self) -> Seen {
        self.seen
    }

    /// After a line that shows what [`in_wrappers`](Self::in_wrappers) says.
    #[must_use]
    pub fn with_wrappers(self, in_wrappers: bool) -> Self {
        let seen = Seen::wrapped(in_wrappers);
        Self { seen, ..self }
    }

    /// Returns what the lines so far say of how to read the next, without those that are open.
    #[must_use]
    pub fn settled(&self) -> Self {
        Self {
            seen: self.seen,
            of_header: self.of_header.clone(),
            suspect: self.suspect,
            ..Self::default()
        }
    }

    /// Whether what follows is read as after `other`, in which no line is open.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        !self.is_open()
            && self.seen == other.seen
            && self.of_header == other.of_header
            && self.suspect == other.suspect
    }

    /// Returns what is to be believed of a line; `len` says how many bytes of it a client may have written. A line without a time
    /// that names its client for certain is an error of that client.
    #[cold]
    fn judge<'a>(
        &mut self,
        len: impl FnOnce() -> usize,
        parsed: Result<LogLine<'a>, LogError>,
    ) -> Result<LogLine<'a>, LogError> {
        let is_suspect = self.suspect > 0;
        if matches!(&parsed, Err(error) if error.ends_in_text_of_client()) {
            self.suspect = SUSPECT;
        } else if is_suspect {
            self.suspect = self.suspect.saturating_sub(len() + 1);
        }
        match parsed {
            Ok(_) if is_suspect => Err(LogError::Behind),
            Ok(line) => {
                self.last_ms = Some(line.at_ms);
                Ok(line)
            }
            Err(error) if is_suspect => Err(error.of_nobody()),
            Err(error) => {
                let of_client = self.last_ms.and_then(|at_ms| error.of_client(at_ms));
                of_client.ok_or(error)
            }
        }
    }

    /// Whether there is something to [judge](Self::judge). If not, takes note of the line's time.
    #[inline]
    fn is_doubtful(&mut self, parsed: &Result<LogLine<'_>, LogError>) -> bool {
        match parsed {
            Ok(line) if self.suspect == 0 => {
                self.last_ms = Some(line.at_ms);
                false
            }
            _ => true,
        }
    }

    /// For each of a container's streams, whether a line of it goes on in a later part.
    #[must_use]
    pub fn divided(&self) -> [bool; 2] {
        let of_service = self.of_service.divided();
        [0, 1].map(|stream| self.divided[stream].is_some() || of_service[stream])
    }

    /// After lines of which only is known, as [`divided`](Self::divided) says, that they go on: what follows is not a line of
    /// its own.
    #[must_use]
    pub fn unseen(divided: [bool; 2]) -> Self {
        let unseen = |is_divided: bool| {
            is_divided.then(|| {
                Box::new(LongLine {
                    rests: vec![Rest::refused(LogError::Divided)],
                    ..LongLine::default()
                })
            })
        };
        Self {
            divided: divided.map(unseen),
            of_service: Containers::unseen(divided),
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

impl Formats {
    /// Reads the next piece of a log. `None` if no line ends with it.
    ///
    /// Of a line that is longer than 128 KiB, the beginning is kept if it is text; JSON is read up to 16 MiB. A line that
    /// names its client, and the rest of which cannot be read, is [`unreadable`](LogLine::unreadable). A header of IIS or
    /// CloudFront says what the lines after it have.
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
        match open.of_header.clone() {
            None => self.read_piece(piece, open),
            Some(formats) => self.read_after_header(formats.as_deref(), piece, open),
        }
    }

    /// As [`read`](Self::read); the line borrows from the piece alone, or from nothing.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    #[inline]
    pub fn read_apart<'a>(
        &self,
        piece: Piece<'a>,
        open: &mut OpenLines,
    ) -> Option<Result<LogLine<'a>, LogError>> {
        if let Piece::Line(line) = piece
            && !open.is_divided()
            && open.of_header.is_none()
        {
            let mut seen = open.seen;
            // In one place from here to where it is returned: it is too large to be moved at each step.
            let mut read = Some(self.parse_after(line, &mut seen));
            if !matches!(read, Some(Err(LogError::Divided | LogError::Header))) {
                open.seen = seen;
                if read.as_ref().is_some_and(|parsed| open.is_doubtful(parsed)) {
                    read = read.map(|parsed| open.judge(|| text_len(line), parsed));
                }
                return read;
            }
        }
        Some(self.read(piece, open)?.map(LogLine::into_owned))
    }

    #[inline]
    fn read_piece<'a>(
        &self,
        piece: Piece<'a>,
        open: &'a mut OpenLines,
    ) -> Option<Result<LogLine<'a>, LogError>> {
        match piece {
            Piece::Line(line) if !open.is_divided() => match self.parse_after(line, &mut open.seen) {
                Err(LogError::Divided) => self.read_part(line, open),
                Err(LogError::Header) => {
                    open.of_header = Some(self.after_header(line).ok().map(Arc::new));
                    Some(Err(LogError::Header))
                }
                parsed if open.is_doubtful(&parsed) => Some(open.judge(|| text_len(line), parsed)),
                parsed => Some(parsed),
            },
            Piece::Line(line) => self.read_part(line, open),
            Piece::Begin(begin) => {
                let is_certain = open.in_wrappers();
                let long = open.long.insert(Box::default());
                long.is_certain = is_certain;
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
                let parsed = long.finish(self, &mut open.seen);
                let parsed = open.judge(|| SUSPECT, parsed);
                Some(keep(&mut open.last, parsed))
            }
        }
    }

    /// Reads a line after a header, which another header may follow.
    #[cold]
    fn read_after_header<'a>(
        &self,
        formats: Option<&Self>,
        piece: Piece<'a>,
        open: &'a mut OpenLines,
    ) -> Option<Result<LogLine<'a>, LogError>> {
        match (formats, piece) {
            (None, Piece::Line(line)) => Some(Err(match self.parse(line) {
                Err(error @ (LogError::Header | LogError::Empty)) => {
                    if error == LogError::Header {
                        open.of_header = Some(self.after_header(line).ok().map(Arc::new));
                    }
                    error
                }
                _ => LogError::NoFields,
            })),
            (None, Piece::End(_)) => Some(Err(LogError::NoFields)),
            (None, _) => None,
            (Some(formats), piece) => formats.read_piece(piece, open),
        }
    }

    /// Reads a line while a part of one is waited for, or that is one.
    fn read_part<'a>(
        &self,
        line: &'a [u8],
        open: &'a mut OpenLines,
    ) -> Option<Result<LogLine<'a>, LogError>> {
        let Some((part, Unwrapped { text, quoted, .. })) = part_of(line) else {
            return Some(self.read_between(line, open));
        };
        if part.is_last && open.divided[part.stream as usize].is_none() {
            return Some(self.read_between(line, open));
        }
        let waiting = &mut open.divided[part.stream as usize];
        let waits = waiting.get_or_insert_default();
        waits.is_text = true;
        waits.is_certain = quoted || open.seen == Seen::Wrapped;
        waits.feed(self, &text);
        if !part.is_last {
            return None;
        }
        let whole = mem::take(waiting)?;
        let len = whole.head.len().max(text.len());
        let parsed = whole.finish(self, &mut open.seen);
        let parsed = open.judge(|| len, parsed);
        Some(keep(&mut open.last, parsed))
    }

    /// Reads a whole line while a part of another is waited for.
    fn read_between<'a>(&self, line: &'a [u8], open: &mut OpenLines) -> Result<LogLine<'a>, LogError> {
        let parsed = self.parse_after(line, &mut open.seen);
        open.judge(|| text_len(line), parsed)
    }
}

/// Returns what a line of a container is a part of, whole lines included.
fn part_of(line: &[u8]) -> Option<(Part, Unwrapped<'_>)> {
    let line = strip_padding_before(line);
    let unwrapped = wrap::unwrap(line.strip_suffix(b"\r").unwrap_or(line))?;
    Some((unwrapped.part?, unwrapped))
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
    /// What each of the formats reads of it, once it is longer.
    rests: Vec<Rest>,
    /// Whether it is what was in a wrapper.
    is_text: bool,
    /// Whether wrappers around it or in it are certain to be no client's.
    is_certain: bool,
}

impl LongLine {
    fn feed(&mut self, formats: &Formats, piece: &[u8]) {
        let mut piece = piece;
        if self.rests.is_empty() {
            let room = HEAD - self.head.len();
            let (kept, rest) = piece.split_at(piece.len().min(room));
            self.head.extend_from_slice(kept);
            if rest.is_empty() {
                return;
            }
            piece = rest;
            let head = mem::take(&mut self.head);
            let begin = |format: &Format| format.begin_long(&head, self.is_text, self.is_certain);
            self.rests = formats.iter().map(begin).collect();
        }
        for (rest, format) in self.rests.iter_mut().zip(formats.iter()) {
            rest.feed(format.table(), format.zone(), piece);
        }
    }

    /// The line, after others that show what `seen` says.
    fn finish(self, formats: &Formats, seen: &mut Seen) -> Result<LogLine<'static>, LogError> {
        if self.rests.is_empty() {
            let parse = |format: &Format| format.parse_text(&self.head, self.is_certain);
            let parsed = match self.is_text {
                true => Formats::agree(formats.iter().map(parse)),
                false => formats.parse_after(&self.head, seen),
            };
            return parsed.map(LogLine::into_owned);
        }
        let rests = self.rests.into_iter().zip(formats.iter());
        Formats::agree(rests.map(|(rest, format)| rest.finish(format.table())))
    }
}
