//! What is known of a line of which only the beginning is kept.

use std::net::IpAddr;

use super::{
    LogError, LogLine,
    cut::CutLine,
    json::{LongObject, Table},
    time::Zone,
};

/// What is known of a line once it is too long to be kept.
#[derive(Debug)]
pub(super) enum Rest {
    Object(Box<LongObject>),
    Text(Box<Result<CutLine, LogError>>),
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
            (Self::Object(_), None) => {}
        }
    }

    pub(super) fn finish(self, table: Option<&Table>) -> Result<LogLine<'static>, LogError> {
        let mut line = match (self, table) {
            (Self::Object(object), Some(table)) => object.finish(table),
            (Self::Text(text), _) => text.map(CutLine::finish),
            (Self::Object(_), None) => Err(LogError::Divided),
        }?;
        line.find_host();
        Ok(line)
    }

    /// Whether it is a line of text that names its client and lacks its end.
    pub(super) fn ends_early(&self) -> bool {
        match self {
            Self::Text(text) => text.as_ref().as_ref().is_ok_and(CutLine::ends_early),
            Self::Object(_) => false,
        }
    }

    /// Whether what was read so far can be the beginning of a request.
    pub(super) const fn is_understood(&self) -> bool {
        match self {
            Self::Object(object) => object.is_one(),
            Self::Text(text) => text.is_ok(),
        }
    }

    /// The client of a line of text.
    pub(super) fn client(&self) -> Option<IpAddr> {
        Some(self.line()?.client)
    }

    /// The same, if it was read from a list.
    pub(super) fn client_of_list(&self) -> Option<IpAddr> {
        let line = self.line().filter(|line| line.forwarded.is_some())?;
        Some(line.client)
    }

    fn line(&self) -> Option<&LogLine<'static>> {
        match self {
            Self::Text(text) => text.as_ref().as_ref().ok().map(CutLine::line),
            Self::Object(_) => None,
        }
    }
}
