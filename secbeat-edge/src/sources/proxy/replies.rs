//! What this side of HTTP/2 writes, as far as it shows what became of heads that came: a request, or none. hyper tells of none that
//! makes no request, and nobody else knows how far it has read.

use std::collections::VecDeque;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
/// Such a request may be sent again, as if it had never been (RFC 9113 §8.7).
const REFUSED_STREAM: u32 = 7;
/// Bytes of a frame's own head.
const HEAD: usize = 9;
/// Heads whose fate may be open. Of more, the oldest are taken for requests.
const MOST: usize = 4096;

/// What was written so far, as far as it matters.
pub(super) struct Replies {
    /// Streams whose heads are whole, in their order. hyper decodes them in that order, so a reply to one tells of those before it, too.
    open: VecDeque<u32>,
    /// A frame's own head and the code of a reset, and how much of that is there.
    start: [u8; HEAD + 4],
    there: usize,
    /// Bytes to come of a frame's payload.
    left: u32,
}

impl Replies {
    pub(super) fn new() -> Self {
        Self {
            open: VecDeque::new(),
            start: [0; HEAD + 4],
            there: 0,
            left: 0,
        }
    }

    /// A whole head has come.
    pub(super) fn heard(&mut self, stream: u32) {
        if self.open.len() == MOST {
            self.open.pop_front();
        }
        self.open.push_back(stream);
    }

    /// Takes what was written. Returns how many heads have become a request by that, or are known to be none, but for those that are to
    /// be sent again.
    pub(super) fn wrote(&mut self, mut bytes: &[u8]) -> u32 {
        let mut decided = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let taken = bytes.len().min(self.left as usize);
                bytes = &bytes[taken..];
                // At most `left`.
                self.left -= u32::try_from(taken).unwrap_or(self.left);
                continue;
            }
            let taken = bytes.len().min(self.needed() - self.there);
            self.start[self.there..self.there + taken].copy_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            self.there += taken;
            if self.there == self.needed() {
                decided += self.begin();
            }
        }
        decided
    }

    /// Bytes that tell what a frame is.
    fn needed(&self) -> usize {
        match self.there >= HEAD && self.start[3] == RST_STREAM {
            true => self.start.len(),
            false => HEAD,
        }
    }

    /// A frame's own head is there, and the code of a reset.
    fn begin(&mut self) -> u32 {
        let [a, b, c, kind, _, rest @ ..] = self.start;
        let number = |at: usize| u32::from_be_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let (stream, code) = (number(0), number(4));
        self.there = 0;
        let is_reset = kind == RST_STREAM;
        self.left = match is_reset {
            true => 0,
            false => u32::from_be_bytes([0, a, b, c]),
        };
        if !is_reset && kind != HEADERS {
            return 0;
        }
        let is_refused = is_reset && code == REFUSED_STREAM;
        let mut decided = 0;
        while let Some(head) = self.open.pop_front_if(|head| *head <= stream) {
            decided += u32::from(!(is_refused && head == stream));
        }
        decided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_tells_of_the_heads_up_to_its_own() {
        let frame = |kind: u8, stream: u8, payload: &[u8]| {
            let length = u8::try_from(payload.len()).unwrap();
            [&[0, 0, length, kind, 4, 0, 0, 0, stream], payload].concat()
        };
        let (data, refused, protocol_error) = (0, [0, 0, 0, 7], [0, 0, 0, 1]);
        let written = [
            // SETTINGS and DATA, which tell of none.
            (frame(4, 0, b"123456"), 0),
            (frame(data, 9, &frame(HEADERS, 9, b"")), 0),
            (frame(HEADERS, 3, b"answer"), 2),
            (frame(HEADERS, 1, b"trailers"), 0),
            (frame(RST_STREAM, 7, &refused), 1),
            (frame(RST_STREAM, 9, &protocol_error), 1),
            (frame(RST_STREAM, 9, &protocol_error), 0),
        ];
        let heads = [1, 3, 5, 7, 9, 11];
        let mut replies = Replies::new();
        for stream in heads {
            replies.heard(stream);
        }
        for (frame, decided) in &written {
            assert_eq!(replies.wrote(frame), *decided, "{frame:?}");
        }
        let all: Vec<u8> = written.iter().flat_map(|(frame, _)| frame.clone()).collect();
        let sum: u32 = written.iter().map(|(_, decided)| *decided).sum();
        for piece in [1, 2, 9, 10, all.len()] {
            let mut replies = Replies::new();
            for stream in heads {
                replies.heard(stream);
            }
            let decided: u32 = all.chunks(piece).map(|bytes| replies.wrote(bytes)).sum();
            assert_eq!(decided, sum, "by {piece}");
        }
    }

    #[test]
    fn heads_without_an_answer_take_little_room() {
        let mut replies = Replies::new();
        for stream in 0..100_000 {
            replies.heard(stream);
        }
        assert_eq!(replies.open.len(), MOST);
    }
}
