//! Lines of text of which only the beginning is kept.

use super::{
    LogLine,
    json::text::{End, find_end},
    quoted::split_status,
};

/// Bytes of ` 404 `.
const STATUS: usize = 5;

/// Bytes of the shortest line that is taken for cut off. Every receiver of syslog takes messages of 480 bytes (RFC 5424, 6.1),
/// its own header among them.
pub(super) const SHORTEST_CUT: usize = 400;

/// A line whose beginning says whose it is.
#[derive(Debug)]
pub(super) struct CutLine {
    line: LogLine<'static>,
    place: Place,
}

/// Offset at which the beginning ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// After everything that counts, or where nothing that follows can be told apart.
    Anywhere,
    /// Before the last quote of a layout.
    InLayout,
    /// In the quoted request, whose status follows.
    InRequest { after_backslash: bool },
    /// Between the request and the end of its status; what is there of that.
    InStatus { read: usize, status: [u8; STATUS] },
}

impl Place {
    /// The place at the end of `request`, which has no quote at its end.
    pub(super) fn in_request(request: &[u8]) -> Self {
        Self::InRequest {
            after_backslash: find_end(request, 0)
                == End::Beyond {
                    after_backslash: true,
                },
        }
    }

    /// The place at the end of `text`, which follows a request.
    pub(super) fn in_status(text: &[u8]) -> Self {
        let mut place = Self::InStatus {
            read: 0,
            status: [0; STATUS],
        };
        place.feed(text);
        place
    }

    fn feed(&mut self, piece: &[u8]) {
        match self {
            Self::Anywhere | Self::InLayout => {}
            Self::InRequest { .. } if piece.is_empty() => {}
            Self::InRequest { after_backslash } => match find_end(piece, usize::from(*after_backslash)) {
                End::At(end, _) => *self = Self::in_status(&piece[end + 1..]),
                End::Beyond {
                    after_backslash: after,
                } => *after_backslash = after,
            },
            Self::InStatus { read, status } => {
                for (place, byte) in status[*read..].iter_mut().zip(piece) {
                    *place = *byte;
                    *read += 1;
                }
            }
        }
    }
}

impl CutLine {
    pub(super) fn new(line: LogLine<'_>, place: Place) -> Self {
        Self {
            line: line.into_owned(),
            place,
        }
    }

    pub(super) const fn line(&self) -> &LogLine<'static> {
        &self.line
    }

    /// Whether the line goes on, as long as its server wrote all of it.
    pub(super) fn ends_early(&self) -> bool {
        match &self.place {
            Place::Anywhere => false,
            Place::InLayout | Place::InRequest { .. } => true,
            Place::InStatus { read, status } => match status[..*read].split_first() {
                None => true,
                Some((first, digits)) => {
                    *first == b' ' && digits.len() < 3 && digits.iter().all(u8::is_ascii_digit)
                }
            },
        }
    }

    /// Takes the next piece of the line.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        self.place.feed(piece);
    }

    /// The line with its status, if that was found.
    pub(super) fn finish(self) -> LogLine<'static> {
        let Self { mut line, place } = self;
        if let Place::InStatus { read, status } = place
            && let Some((status, _)) = split_status(&status[..read])
        {
            line.status = status;
            line.unreadable = false;
        }
        line
    }
}
