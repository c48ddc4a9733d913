//! Layouts of text logs: literal text and fields, each with a role and a kind.
//!
//! Servers escape quotes (and tabs) in everything that a client sends, so a line is split at its unescaped quotes, and a
//! layout at its own; each part of the layout is read in its part of the line. Within a part, fields with a known shape are
//! read from the left up to the first field that a client may write, and from the right up to the last one. A client, time
//! or status that stands in between could be moved by a client: such a layout is refused.

mod apache;
mod compile;
mod field;
mod haproxy;
mod named;
mod nginx;
mod segment;
mod statement;
mod values;
mod w3c;

pub use self::compile::PatternError;
pub(super) use self::{
    named::{Row, rows},
    w3c::{fields_of_header, layout as of_header},
};
use self::{segment::Segment, values::Values};
use super::{
    LogError, LogLine,
    combined::{self, Doubt},
    cut::{CutLine, Place},
    time::Zone,
};

/// Literal text or a field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(field::Field),
}

/// What a server does with a quote that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    /// A backslash stands before it, or it is written as its number.
    Escaped,
    /// It is written as its number; a backslash means nothing.
    Encoded,
    /// Nothing, so that a line with more quotes than the layout has none of its fields for certain.
    Bare,
}

/// What the lines of a text log look like.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// As it was written.
    text: String,
    segments: Vec<Segment>,
    /// Whether tabs end segments, as quotes do.
    has_tabs: bool,
    quotes: Quotes,
    /// Whether a time must be a date: no number since the epoch.
    needs_date: bool,
}

/// Returns whose syntax a text has that is not a pattern, and what to state.
#[cold]
fn foreign(format: &str) -> Option<PatternError> {
    const PROGRAMS: [(&str, &str, &str); 6] = [
        (
            "%(",
            "gunicorn",
            "`combined`, which its default is, or the same fields as `%h %t`",
        ),
        ("%REQ(", "Envoy", "`envoy` or `envoy-json`"),
        ("%START_TIME", "Envoy", "`envoy` or `envoy-json`"),
        (
            "%{i,",
            "Undertow",
            "`combined`, or the same fields as `%{Referer}i`",
        ),
        ("%^", "GoAccess", "the format of the server that writes the log"),
        ("%[u", "Squid", "`squid`"),
    ];
    let mut programs = PROGRAMS.iter();
    let (_, program, instead) = *programs.find(|(begin, ..)| format.contains(begin))?;
    Some(PatternError::Foreign { program, instead })
}

impl Layout {
    /// Compiles a format in the syntax of nginx's `log_format`, of Apache's `LogFormat` or of HAProxy's `log-format`.
    ///
    /// The statement of a config that names the format will do, too.
    pub(super) fn new(text: &str) -> Result<Self, PatternError> {
        let format = statement::format(text)?;
        let parsed = if format.contains('$') {
            nginx::parse(&format).map(|parts| (parts, Quotes::Escaped))
        } else if haproxy::is_format(&format) {
            haproxy::parse(&format).map(|parts| (parts, Quotes::Encoded))
        } else {
            apache::parse(&format).map(|parts| (parts, Quotes::Escaped))
        };
        let (parts, quotes) = parsed.map_err(|error| match error {
            PatternError::NoName('%') => foreign(&format).unwrap_or(error),
            error => error,
        })?;
        compile::compile(text, parts, quotes)
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Parses one line without surrounding space. Once client, time and status are known, what does not follow the layout
    /// is left out, as in a line that is cut off.
    pub(super) fn parse<'a>(
        &self,
        line: &'a [u8],
        zone: &Zone,
        doubt: Doubt,
    ) -> Result<LogLine<'a>, LogError> {
        let (values, error) = self
            .read_all(line, zone, doubt)
            .map_err(|error| self.no_time(line, zone, error))?;
        if let Some(error) = error.filter(|_| !values.is_request()) {
            return Err(self.no_time(line, zone, self.blame(line, error)));
        }
        if self.quotes == Quotes::Bare && self.delimiters(line) != self.segments.len() - 1 {
            return Err(LogError::BareQuotes);
        }
        if self.needs_date && !values.has_date() {
            return Err(LogError::BadTime);
        }
        values.finish()
    }

    /// Parses the beginning of a line whose end is not known, as far as it says whose it is.
    pub(super) fn parse_cut(&self, head: &[u8], zone: &Zone, doubt: Doubt) -> Result<CutLine, LogError> {
        if self.quotes == Quotes::Bare {
            // Those in the rest would have to be counted.
            return Err(LogError::BareQuotes);
        }
        match self.read_all(head, zone, doubt)? {
            (values, _) if self.needs_date && !values.has_date() => Err(LogError::BadTime),
            (values, None | Some(LogError::Literal { .. })) => {
                let place = match self.delimiters(head) + 1 < self.segments.len() {
                    true => Place::InLayout,
                    false => Place::Anywhere,
                };
                Ok(CutLine::new(values.finish_cut()?, place))
            }
            (_, Some(error)) => Err(error),
        }
    }

    /// Whether the client is that of a header.
    pub(super) fn reads_client_from_header(&self) -> bool {
        let mut fields = self.segments.iter().flat_map(|segment| &segment.fields);
        fields.any(|placed| placed.field.is_forwarded_client())
    }

    /// Whether a field is the request, its method or its path.
    pub(super) fn reads_request(&self) -> bool {
        let mut fields = self.segments.iter().flat_map(|segment| &segment.fields);
        fields.any(|placed| placed.field.role.is_of_request())
    }

    /// Whether a line begins with something that no client writes: a text of the layout, or a field of the server's own.
    pub(super) fn begins_with_server(&self) -> bool {
        self.segments.first().is_some_and(Segment::begins_with_server)
    }

    /// Reads fields as far as the line follows the layout; also returns why it does not, if so.
    fn read_all<'a, 'z>(
        &self,
        line: &'a [u8],
        zone: &'z Zone,
        doubt: Doubt,
    ) -> Result<(Values<'a, 'z>, Option<LogError>), LogError> {
        let mut values = Values::new(zone, self.reads_request());
        let mut rest = line;
        for segment in &self.segments {
            match self.read(segment, rest, doubt, &mut values) {
                Ok(after) => rest = after,
                Err(error @ (LogError::TwoReadings(..) | LogError::UserReadsTwice(..))) => return Err(error),
                Err(error) => return Ok((values, Some(error))),
            }
        }
        Ok((values, None))
    }

    /// Reads a segment; returns what follows it.
    fn read<'a>(
        &self,
        segment: &Segment,
        text: &'a [u8],
        doubt: Doubt,
        values: &mut Values<'a, '_>,
    ) -> Result<&'a [u8], LogError> {
        let from = if self.has_tabs {
            segment.time_len(text, values.zone())
        } else {
            0
        };
        let end = match self.find_end(segment, text, from) {
            Ok(end) => end,
            Err(error) => {
                // A line that is cut off has all of a field if it has what follows it.
                segment.read_begin(text, doubt, values)?;
                return Err(error);
            }
        };
        let error = match segment.read(&text[..end], doubt, values) {
            Ok(()) => return Ok(text.get(end + 1..).unwrap_or_default()),
            Err(error) => error,
        };
        // Apache writes an empty user name as two quotes.
        if segment.closes_with(b'"') && text[end..].starts_with(b"\"\"") {
            let end = self.find_end(segment, text, end + 2)?;
            segment.read(&text[..end], doubt, values)?;
            return Ok(text.get(end + 1..).unwrap_or_default());
        }
        Err(error)
    }

    /// Returns where the segment's part of a text ends.
    fn find_end(&self, segment: &Segment, text: &[u8], from: usize) -> Result<usize, LogError> {
        let Some(close) = segment.close() else {
            return Ok(text.len());
        };
        let quotes = segment.quotes.unwrap_or(self.quotes);
        let found = self
            .find_delimiter(text, from, quotes)
            .filter(|at| text[*at] == close);
        found.ok_or_else(|| segment.not_closed())
    }

    /// The first quote that no backslash escapes, or the first tab if the layout has any.
    fn find_delimiter(&self, text: &[u8], mut from: usize, quotes: Quotes) -> Option<usize> {
        loop {
            let at = from + memchr::memchr3(b'"', b'\\', b'\t', text.get(from..)?)?;
            match text[at] {
                b'"' => return Some(at),
                b'\t' if self.has_tabs => return Some(at),
                b'\\' if quotes == Quotes::Escaped => from = at + 2,
                _ => from = at + 1,
            }
        }
    }

    fn delimiters(&self, line: &[u8]) -> usize {
        let next = |at: &usize| self.find_delimiter(line, at + 1, self.quotes);
        std::iter::successors(self.find_delimiter(line, 0, self.quotes), next).count()
    }

    /// Returns why a line is not a request: `error`, unless it ends within its user name.
    #[cold]
    fn no_time(&self, line: &[u8], zone: &Zone, error: LogError) -> LogError {
        let begin = self.segments.first();
        match begin.and_then(Segment::fields_before_client_and_user) {
            Some(fields_before) => combined::no_time(line, fields_before, zone, error),
            None => error,
        }
    }

    /// A client that is not an address, in a line that has all quotes, may be that of another layout.
    fn blame(&self, line: &[u8], error: LogError) -> LogError {
        match error {
            LogError::Field(field) if self.delimiters(line) + 1 >= self.segments.len() => {
                let before = memchr::memchr(b'[', line).map(|open| &line[..open]);
                match before.is_some_and(combined::is_of_other_layout) {
                    true => LogError::OtherLayout(field),
                    false => LogError::NotFirst(field),
                }
            }
            error => error,
        }
    }
}
