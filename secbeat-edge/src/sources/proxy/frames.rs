//! Position of an HTTP/2 client in its frames (RFC 9113 §4.1): between frames, in a body, or in a request's head that is to be
//! whole in time. And which heads were whole.

use super::replies::Replies;

/// How a client begins (RFC 9113 §3.4); no HTTP/1 request does.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// None of a frame: the preface.
const NO_FRAME: u8 = u8::MAX;

/// What a client has said so far, as far as it matters.
pub(super) struct Frames {
    /// Bytes to come of the preface, or of a frame's payload.
    left: u32,
    kind: u8,
    /// A frame's own head, and how much of it is there.
    head: [u8; 9],
    there: usize,
    /// Whether a block of headers is to go on in the next frame.
    goes_on: bool,
    /// Whether that block begins a request, and does not end one.
    opens: bool,
    /// The highest stream so far.
    newest: u32,
    /// What becomes of the heads.
    pub(super) replies: Replies,
}

impl Frames {
    /// Before the preface.
    pub(super) fn new() -> Self {
        Self {
            left: 24,
            kind: NO_FRAME,
            head: [0; 9],
            there: 0,
            goes_on: false,
            opens: false,
            newest: 0,
            replies: Replies::new(),
        }
    }

    /// Takes what has come. Returns how many heads of requests are whole by that.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> u32 {
        let mut heads = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let taken = bytes.len().min(self.left as usize);
                bytes = &bytes[taken..];
                // At most `left`.
                self.left -= u32::try_from(taken).unwrap_or(self.left);
            } else {
                let taken = bytes.len().min(self.head.len() - self.there);
                self.head[self.there..self.there + taken].copy_from_slice(&bytes[..taken]);
                bytes = &bytes[taken..];
                self.there += taken;
                if self.there < self.head.len() {
                    return heads;
                }
                self.begin();
            }
            if self.left == 0 && matches!(self.kind, HEADERS | CONTINUATION) && !self.goes_on && self.opens {
                self.opens = false;
                self.replies.heard(self.newest);
                heads += 1;
            }
        }
        heads
    }

    /// A frame's own head is there.
    fn begin(&mut self) {
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        self.there = 0;
        self.left = u32::from_be_bytes([0, a, b, c]);
        self.kind = kind;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.goes_on = flags & END_HEADERS == 0;
        }
        // The first bit says nothing.
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        if kind == HEADERS && stream > self.newest {
            self.newest = stream;
            self.opens = true;
        }
    }

    /// Whether something is half said that is not a body.
    pub(super) fn is_amid(&self) -> bool {
        self.there > 0 || self.goes_on || (self.left > 0 && self.kind != DATA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    #[test]
    fn heads_are_counted_and_timed_however_they_come() {
        const SETTINGS: u8 = 4;
        let said = [
            PREFACE.to_vec(),
            frame(SETTINGS, 0, 0, b"123456"),
            frame(HEADERS, END_HEADERS, 1, b"whole"),
            frame(DATA, 0, 1, b"body"),
            frame(HEADERS, 0, 3, b"in"),
            frame(CONTINUATION, 0, 3, b""),
            frame(CONTINUATION, END_HEADERS, 3, b"pieces"),
            frame(HEADERS, END_HEADERS, 1, b"trailers"),
            frame(HEADERS, END_HEADERS, 5, b""),
        ]
        .concat();
        for piece in [1, 2, 7, 9, said.len()] {
            let mut frames = Frames::new();
            let heads: u32 = said.chunks(piece).map(|bytes| frames.take(bytes)).sum();
            assert_eq!((heads, frames.is_amid()), (3, false), "by {piece}");
        }
        for (more, amid) in [
            (&b"\0"[..], true),
            (&frame(HEADERS, 0, 7, b"to go on"), true),
            (&frame(HEADERS, END_HEADERS, 7, b"half")[..11], true),
            (&frame(DATA, 0, 1, b"half")[..11], false),
        ] {
            let mut frames = Frames::new();
            assert_eq!(frames.take(&said), 3);
            assert_eq!(frames.take(more), 0);
            assert_eq!(frames.is_amid(), amid, "{more:?}");
        }
        let mut frames = Frames::new();
        frames.take(&PREFACE[..10]);
        assert!(frames.is_amid());
    }
}
