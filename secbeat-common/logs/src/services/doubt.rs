//! Lines that a client may have written: those that follow a message which it broke.

/// How far a message can reach that a client broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// So many of the lines behind its first one.
    Lines(u8),
    /// So many bytes from its begin.
    Bytes(usize),
}

/// What the lines of one log say of those that follow. Only lines with a head of the service's count: what stands between them can be of
/// others, and then what a client wrote reaches further.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubt {
    lines: u8,
    bytes: usize,
}

impl Doubt {
    /// Whether a client may have written the line that comes, of `bytes` with its line feed; `broken` says how far it reaches if it is
    /// only the begin of a message.
    pub(crate) fn take(&mut self, broken: Option<Reach>, bytes: usize) -> bool {
        let is_doubted = self.lines > 0 || self.bytes > 0;
        self.lines = self.lines.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        match broken {
            Some(Reach::Lines(lines)) => self.lines = lines,
            Some(Reach::Bytes(longest)) => self.bytes = self.bytes.max(longest.saturating_sub(bytes)),
            None => {}
        }
        is_doubted
    }
}
