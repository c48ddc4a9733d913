//! Lines, in wrappers and without.

use std::{borrow::Cow, mem};

use super::{Format, Kind, Named};
use crate::{
    LogError, LogLine,
    combined::{self, Doubt},
    cut::{CutLine, Place, SHORTEST_CUT},
    gin, haproxy,
    json::{self, LongObject},
    layout::{self, Layout},
    rest::{Rest, Shipped},
    time::Zone,
    uwsgi,
    wrap::{self, Seen, Unwrapped},
};

impl Format {
    /// Parses one line, without its line feed. What a container's runtime, syslog or the journal wrote around it is taken
    /// off.
    ///
    /// # Errors
    ///
    /// What keeps it from being a request of a known client at a known time with a known status.
    #[inline]
    pub fn parse<'a>(&self, line: &'a [u8]) -> Result<LogLine<'a>, LogError> {
        self.parse_after(line, &mut Seen::Nothing)
    }

    /// As [`parse`](Self::parse), after lines that have shown what `seen` says; it is set by what this line shows. Unless they are in
    /// wrappers which clients could write themselves, the text in such a wrapper is read [in doubt](Self::with_doubt): the log's
    /// first field may be a list that a client began with a wrapper. Among bare lines, it is the line of another program.
    #[inline]
    pub(crate) fn parse_after<'a>(&self, line: &'a [u8], seen: &mut Seen) -> Result<LogLine<'a>, LogError> {
        self.parse_nested(line, wrap::MAX_NESTED, self.doubt, seen)
    }

    /// Parses the text of a wrapper, in doubt unless that is certain to be one.
    pub(crate) fn parse_text<'a>(&self, text: &'a [u8], is_certain: bool) -> Result<LogLine<'a>, LogError> {
        let doubt = self.doubt_within(is_certain);
        let parsed = self.parse_nested(text, wrap::MAX_NESTED - 1, doubt, &mut Seen::wrapped(is_certain));
        parsed.map_err(|error| self.explain_doubt(error, is_certain))
    }

    /// As [`parse`](Self::parse), in so many wrappers at most.
    #[inline]
    fn parse_nested<'a>(
        &self,
        line: &'a [u8],
        wrappers: usize,
        doubt: Doubt,
        seen: &mut Seen,
    ) -> Result<LogLine<'a>, LogError> {
        let line = strip_padding(line);
        let is_docker = wrap::begins_as_docker(line);
        // In one place from here to where it is returned: it is too large to be moved at each step.
        let mut parsed = match is_docker {
            false => self.parse_plain(line, doubt),
            true => self.parse_docker(line, wrappers, doubt, seen),
        };
        if parsed.is_err() && line.len() >= SHORTEST_CUT {
            parsed = self.parse_cut_off(line, doubt).map_or(parsed, Ok);
        }
        // What is understood as it is has no wrapper, whatever it looks like, unless a list seems to begin with one.
        let may_be_in_wrapper = match &parsed {
            Ok(line) => line.forwarded.is_some() && self.may_begin_with_list(),
            Err(_) => !is_docker,
        };
        if may_be_in_wrapper {
            self.look_for_wrapper(&mut parsed, line, wrappers, doubt, seen);
        } else if !is_docker && *seen == Seen::Nothing {
            *seen = Seen::Bare;
        }
        if let Ok(line) = &mut parsed {
            line.find_host();
        }
        parsed
    }

    /// Parses a line whose end is missing: what carries logs, as syslog does, cuts long messages off. Otherwise, a client that
    /// asks for long paths would not be seen.
    #[cold]
    fn parse_cut_off(&self, line: &[u8], doubt: Doubt) -> Option<LogLine<'static>> {
        if self.table().is_some() {
            // Objects that end early are read as such.
            return None;
        }
        let rest = self.begin_plain(line, doubt);
        let cut = rest.ends_early().then(|| rest.finish(None));
        cut?.ok()
    }

    /// Parses a line that begins as Docker's do.
    #[cold]
    fn parse_docker<'a>(
        &self,
        line: &'a [u8],
        wrappers: usize,
        doubt: Doubt,
        seen: &mut Seen,
    ) -> Result<LogLine<'a>, LogError> {
        self.parse_wrapped(line, wrappers, doubt, seen)
            .unwrap_or_else(|| self.parse_plain(line, doubt))
    }

    /// Looks again at a line that is not understood as it is, or that is a list whose first entry may be a wrapper.
    #[cold]
    fn look_for_wrapper<'a>(
        &self,
        parsed: &mut Result<LogLine<'a>, LogError>,
        line: &'a [u8],
        wrappers: usize,
        doubt: Doubt,
        seen: &mut Seen,
    ) {
        if line.is_empty() {
            *parsed = Err(LogError::Empty);
            return;
        }
        *parsed = match mem::replace(parsed, Err(LogError::Empty)) {
            Ok(list) => self.check_list(list, line, wrappers, doubt, seen),
            Err(error) => self
                .parse_wrapped(line, wrappers, doubt, seen)
                .unwrap_or(Err(error)),
        };
    }

    /// Parses a line in a wrapper; `None` if it is in none.
    #[cold]
    fn parse_wrapped<'a>(
        &self,
        line: &'a [u8],
        wrappers: usize,
        doubt: Doubt,
        seen: &mut Seen,
    ) -> Option<Result<LogLine<'a>, LogError>> {
        let wrappers = wrappers.checked_sub(1)?;
        let unwrapped = self.unwrap(line);
        let unwrapped = unwrapped.filter(|unwrapped| unwrapped.quoted || *seen != Seen::Bare);
        let Unwrapped {
            text,
            part,
            quoted,
            may_go_on,
        } = unwrapped?;
        if part.is_some_and(|part| !part.is_last) {
            return Some(Err(LogError::Divided));
        }
        if may_go_on {
            let line = self.parse_nested(&text, wrappers, Doubt::Yes, &mut Seen::Nothing);
            let alone = line.ok().filter(|line| line.forwarded.is_none());
            return Some(Err(LogError::MayGoOn(alone.map(|line| line.client))));
        }
        let is_certain = quoted || *seen == Seen::Wrapped;
        let doubt = if is_certain { doubt } else { Doubt::Yes };
        // The text of a wrapper which clients could write shows of no line that it is bare.
        let mut seen_within = *seen;
        let within = if quoted { &mut *seen } else { &mut seen_within };
        let parsed = match text {
            Cow::Borrowed(text) => self.parse_nested(text, wrappers, doubt, within),
            Cow::Owned(text) => self
                .parse_nested(&text, wrappers, doubt, within)
                .map(LogLine::into_owned),
        };
        if let Ok(line) = &parsed
            && !quoted
            && line.forwarded.is_none()
        {
            *seen = Seen::Wrapped;
        }
        Some(parsed.map_err(|error| self.explain_doubt(error, is_certain)))
    }

    /// A list whose first entry begins with a wrapper: either the server's, or one that a client sent in the hope that more
    /// is taken off.
    #[cold]
    fn check_list<'a>(
        &self,
        list: LogLine<'a>,
        line: &'a [u8],
        wrappers: usize,
        doubt: Doubt,
        seen: &mut Seen,
    ) -> Result<LogLine<'a>, LogError> {
        match self.parse_wrapped(line, wrappers, doubt, seen) {
            None => Ok(list),
            Some(Err(LogError::Divided)) if *seen != Seen::Wrapped => Ok(list),
            Some(Ok(within)) if within.client == list.client => Ok(within),
            Some(Err(error)) if *seen == Seen::Wrapped => Err(error),
            Some(_) => Err(LogError::Wrapper),
        }
    }

    fn doubt_within(&self, is_certain: bool) -> Doubt {
        if is_certain { self.doubt } else { Doubt::Yes }
    }

    /// Two readings that only the doubt about a wrapper sees say nothing of the log's layout.
    fn explain_doubt(&self, error: LogError, is_certain: bool) -> LogError {
        match error {
            LogError::TwoReadings(..) if !is_certain && self.doubt == Doubt::No => LogError::Wrapper,
            error => error,
        }
    }

    /// Whether lines may begin with a list of addresses, of which clients write the first.
    fn may_begin_with_list(&self) -> bool {
        matches!(self.kind, Kind::Named(_)) && self.table().is_none()
    }

    /// Takes off a wrapper. Where a line begins with what a client wrote, only one with quotes, which no client can write.
    fn unwrap<'a>(&self, line: &'a [u8]) -> Option<Unwrapped<'a>> {
        let begins_with_server = match &self.kind {
            Kind::Layouts(_, layouts) => layouts.iter().all(Layout::begins_with_server),
            Kind::Pattern(layout) => layout.begins_with_server(),
            Kind::Named(_) | Kind::Json(_) => true,
        };
        wrap::unwrap(line).filter(|unwrapped| unwrapped.quoted || begins_with_server)
    }

    /// Parses a line as it is.
    #[inline]
    fn parse_plain<'a>(&self, line: &'a [u8], doubt: Doubt) -> Result<LogLine<'a>, LogError> {
        let zone = &self.zone;
        if let Kind::Named(Named::Combined) = self.kind {
            return combined::parse(line, zone, doubt);
        }
        if let Some(table) = self.table() {
            return json::parse(line, table, zone);
        }
        match &self.kind {
            Kind::Pattern(layout) => layout.parse(line, zone, doubt),
            Kind::Layouts(_, layouts) => parse_first(layouts, line, zone, doubt),
            Kind::Named(Named::Common) => combined::parse_common(line, zone, doubt),
            Kind::Named(Named::VhostCombined) => combined::parse_vhost(line, zone, doubt),
            Kind::Named(Named::PythonHttpServer) => combined::parse_unescaped(line, zone, doubt),
            Kind::Named(Named::Haproxy) => haproxy::parse(line, zone),
            Kind::Named(Named::Uwsgi) => uwsgi::parse(line, zone),
            Kind::Named(Named::Gin) => gin::parse(line, zone),
            // Those of the ingress controller have more fields behind those of combined.
            _ => combined::parse(line, zone, doubt),
        }
    }

    /// Reads the beginning of a line that is too long to be kept. `is_certain` says whether wrappers in it, or around it, are
    /// certain to be no client's.
    pub(crate) fn begin_long(&self, head: &[u8], is_around: bool, is_certain: bool) -> Rest {
        let doubt = self.doubt_within(!is_around || is_certain);
        self.begin_nested(head, wrap::MAX_NESTED, doubt, is_certain)
    }

    fn begin_nested(&self, head: &[u8], wrappers: usize, doubt: Doubt, in_wrappers: bool) -> Rest {
        let head = strip_padding_before(head);
        let read = self.begin_plain(head, doubt);
        if let (Some(within), Some(found)) = (wrappers.checked_sub(1), wrap::begin_shipped(head)) {
            let shipped = Shipped::begin(read, found, |text| {
                self.begin_nested(text, within, doubt, in_wrappers)
            });
            return Rest::Shipped(Box::new(shipped));
        }
        let of_list = read.client_of_list().filter(|_| self.may_begin_with_list());
        if wrappers == 0 || read.is_understood() && of_list.is_none() {
            return read;
        }
        // What is quoted does not end within the head.
        let Some(Unwrapped {
            text: Cow::Borrowed(text),
            quoted,
            ..
        }) = self.unwrap(head)
        else {
            return read;
        };
        let is_certain = quoted || in_wrappers;
        let doubt = if is_certain { doubt } else { Doubt::Yes };
        let within = self.begin_nested(text, wrappers - 1, doubt, in_wrappers);
        match (of_list, within) {
            (Some(client), within) if within.client() != Some(client) => Rest::refused(LogError::Wrapper),
            (_, Rest::Text(text)) => Rest::Text(Box::new(
                text.map_err(|error| self.explain_doubt(error, is_certain)),
            )),
            (_, within) => within,
        }
    }

    fn begin_plain(&self, head: &[u8], doubt: Doubt) -> Rest {
        let zone = &self.zone;
        if let Some(table) = self.table() {
            return Rest::Object(Box::new(LongObject::begin(head, table, zone)));
        }
        let whole = |head| {
            self.parse_plain(head, doubt)
                .map(|line| CutLine::new(line, Place::Anywhere))
        };
        Rest::Text(Box::new(match &self.kind {
            Kind::Pattern(layout) => layout.parse_cut(head, zone, doubt),
            Kind::Layouts(_, layouts) => first_of(layouts, |layout| layout.parse_cut(head, zone, doubt)),
            Kind::Named(Named::PythonHttpServer) => combined::parse_cut_unescaped(head, zone, doubt),
            Kind::Named(Named::Haproxy | Named::Uwsgi | Named::Gin) => whole(head),
            Kind::Named(Named::VhostCombined) => {
                whole(head).or_else(|_| combined::parse_cut_vhost(head, zone, doubt))
            }
            _ => whole(head).or_else(|_| combined::parse_cut(head, zone, doubt)),
        }))
    }
}

/// Of the first layout that understands a line; why not, of the first.
fn parse_first<'a>(
    layouts: &[Layout],
    line: &'a [u8],
    zone: &Zone,
    doubt: Doubt,
) -> Result<LogLine<'a>, LogError> {
    // What begins so is never a request's line in a layout with a name.
    if line.first() == Some(&b'#') {
        return Err(LogError::Header);
    }
    first_of(layouts, |layout| layout.parse(line, zone, doubt))
}

fn first_of<T>(layouts: &[Layout], parse: impl Fn(&Layout) -> Result<T, LogError>) -> Result<T, LogError> {
    let mut first = None;
    for layout in layouts {
        match parse(layout) {
            Ok(line) => return Ok(line),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(LogError::Empty))
}

/// A line that begins with `#`, without the wrappers that it is in.
pub(crate) fn header(line: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut line: Cow<'_, [u8]> = strip_padding(line).into();
    for _ in 0..=wrap::MAX_NESTED {
        if line.starts_with(b"#") {
            return Some(line);
        }
        line = strip_padding(&wrap::unwrap(&line)?.text).to_vec().into();
    }
    None
}

/// Bytes of a line without the wrappers that it is in.
#[cold]
pub(crate) fn text_len(line: &[u8]) -> usize {
    let mut line: Cow<'_, [u8]> = strip_padding(line).into();
    for _ in 0..wrap::MAX_NESTED {
        let text = match wrap::unwrap(&line) {
            Some(unwrapped) => strip_padding(&unwrapped.text).to_vec(),
            None => break,
        };
        line = text.into();
    }
    line.len()
}

/// Returns what a header of IIS or CloudFront says of the fields of the lines after it.
pub(crate) fn fields_of_header(line: &[u8]) -> Option<String> {
    layout::fields_of_header(&header(line)?).map(str::to_owned)
}

/// Without what no server writes: space and NUL bytes around a line, as in a hole of a file, and a byte order mark.
#[inline]
pub(super) fn strip_padding(line: &[u8]) -> &[u8] {
    let mut line = strip_padding_before(line);
    while let [rest @ .., 0 | b' ' | b'\t' | b'\r' | b'\n'] = line {
        line = rest;
    }
    line
}

/// As [`strip_padding`], before a line only.
#[inline]
pub(crate) fn strip_padding_before(mut line: &[u8]) -> &[u8] {
    while let [0 | b' ' | b'\t' | b'\r' | b'\n', rest @ ..] | [0xef, 0xbb, 0xbf, rest @ ..] = line {
        line = rest;
    }
    line
}
