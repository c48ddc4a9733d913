//! Facts about a line of which only the beginning is kept.

use std::{mem, net::IpAddr};

use super::{
    LogError, LogLine,
    cut::CutLine,
    json::{
        LongObject, Table,
        text::{End, find_end, unescape, whole_len},
    },
    time::Zone,
    wrap,
};

/// Bytes of an object around a text that are kept.
const MAX_AROUND: usize = 256 * 1024;

/// What is known of a line once it is too long to be kept.
#[derive(Debug)]
pub(super) enum Rest {
    Object(Box<LongObject>),
    Text(Box<Result<CutLine, LogError>>),
    Shipped(Box<Shipped>),
}

/// An object that may be what ships a line, which only its end shows.
#[derive(Debug)]
pub(super) struct Shipped {
    /// The object as a line of its own.
    object: Rest,
    /// The line in it.
    text: Rest,
    /// The object with [`wrap::PLACE`] as its text, as far as it was read; `None` if it is too long.
    around: Option<Vec<u8>>,
    /// The beginning of an escape within the text.
    escape: Vec<u8>,
    has_ended: bool,
}

impl Shipped {
    /// Begins with what [`wrap::begin_shipped`] found; `read` reads the beginning of the text.
    pub(super) fn begin(
        object: Rest,
        [before, text, behind]: [&[u8]; 3],
        read: impl FnOnce(&[u8]) -> Rest,
    ) -> Self {
        let has_ended = !behind.is_empty();
        let whole = if has_ended { text.len() } else { whole_len(text) };
        Self {
            object,
            text: read(&unescape(&text[..whole])),
            around: Some([before, wrap::PLACE, behind].concat()),
            escape: text[whole..].to_vec(),
            has_ended,
        }
    }

    fn feed(&mut self, table: Option<&Table>, zone: &Zone, piece: &[u8]) {
        self.object.feed(table, zone, piece);
        if self.has_ended {
            self.keep(piece);
            return;
        }
        let mut raw = mem::take(&mut self.escape);
        raw.extend_from_slice(piece);
        let whole = match find_end(&raw, 0) {
            End::At(end, _) => {
                self.has_ended = true;
                self.keep(&raw[end..]);
                end
            }
            End::Beyond { .. } => {
                let whole = whole_len(&raw);
                self.escape = raw[whole..].to_vec();
                whole
            }
        };
        self.text.feed(table, zone, &unescape(&raw[..whole]));
    }

    fn keep(&mut self, behind: &[u8]) {
        let Some(around) = &mut self.around else { return };
        around.extend_from_slice(behind);
        if around.len() > MAX_AROUND {
            self.around = None;
        }
    }

    fn finish(self, table: Option<&Table>) -> Result<LogLine<'static>, LogError> {
        let Self {
            object,
            text,
            around,
            has_ended,
            ..
        } = self;
        let ships_text = || has_ended && around.as_deref().is_some_and(wrap::ships_place);
        match object.finish(table) {
            Err(_) if ships_text() => text.finish(table),
            read => read,
        }
    }
}

impl Rest {
    /// A line that is not read.
    pub(super) fn refused(error: LogError) -> Self {
        Self::Text(Box::new(Err(error)))
    }

    pub(super) fn feed(&mut self, table: Option<&Table>, zone: &Zone, piece: &[u8]) {
        match (self, table) {
            (Self::Object(object), Some(table)) => object.feed(piece, table, zone),
            (Self::Text(text), _) => {
                if let Ok(line) = &mut **text {
                    line.feed(piece);
                }
            }
            (Self::Shipped(shipped), table) => shipped.feed(table, zone, piece),
            (Self::Object(_), None) => {}
        }
    }

    pub(super) fn finish(self, table: Option<&Table>) -> Result<LogLine<'static>, LogError> {
        let mut line = match (self, table) {
            (Self::Object(object), Some(table)) => object.finish(table),
            (Self::Text(text), _) => text.map(CutLine::finish),
            (Self::Shipped(shipped), table) => shipped.finish(table),
            (Self::Object(_), None) => Err(LogError::Divided),
        }?;
        line.find_host();
        Ok(line)
    }

    /// Whether it is a line of text that names its client and lacks its end.
    pub(super) fn ends_early(&self) -> bool {
        match self {
            Self::Text(text) => text.as_ref().as_ref().is_ok_and(CutLine::ends_early),
            Self::Object(_) | Self::Shipped(_) => false,
        }
    }

    /// Whether what was read so far can be the beginning of a request.
    pub(super) fn is_understood(&self) -> bool {
        match self {
            Self::Shipped(shipped) => shipped.object.is_understood() || shipped.text.is_understood(),
            Self::Object(object) => object.is_one(),
            Self::Text(text) => text.is_ok(),
        }
    }

    /// The client of a line of text.
    pub(super) fn client(&self) -> Option<IpAddr> {
        Some(self.line()?.client)
    }

    /// The client of a line of text, if it was read from a list.
    pub(super) fn client_of_list(&self) -> Option<IpAddr> {
        let line = self.line().filter(|line| line.forwarded.is_some())?;
        Some(line.client)
    }

    fn line(&self) -> Option<&LogLine<'static>> {
        match self {
            Self::Text(text) => text.as_ref().as_ref().ok().map(CutLine::line),
            Self::Object(_) | Self::Shipped(_) => None,
        }
    }
}
