//! What a server says of itself in HTTP/2 that hyper does not tell: how long a list of fields it takes (RFC 9113 §6.5.2). And its last
//! word, which h2 may forget.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::sources::proxy::stream::Stream;

/// What a connection and those who use it tell each other.
pub(super) struct Known {
    /// The longest list of fields that the server takes, in bytes.
    pub(super) longest: AtomicU32,
    /// Streams in use.
    pub(super) open: AtomicUsize,
    /// Whether the server has refused a stream, or closed: it gets no more.
    pub(super) retired: AtomicBool,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            longest: AtomicU32::new(u32::MAX),
            open: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
        }
    }
}

/// A stream of frames that notes how long a list may be, and that holds its end back while what came before it may not be read yet.
pub(super) struct Overheard {
    stream: Stream,
    frames: Frames,
    known: Arc<Known>,
    end: Option<End>,
}

/// How a stream ends, and until when that is held back.
struct End {
    timer: Pin<Box<Sleep>>,
    read: io::Result<()>,
}

/// Time in which those who wait for a response read it. h2 forgets, at the end of a connection, that a response has ended if its
/// request has not: it would be cut off.
const LAST_WORD: Duration = Duration::from_millis(50);

impl Overheard {
    pub(super) fn new(stream: Stream, known: Arc<Known>) -> Self {
        Self {
            stream,
            frames: Frames::default(),
            known,
            end: None,
        }
    }
}

/// Position of a server in its frames.
#[derive(Default)]
struct Frames {
    /// A frame's own head, or a setting, and how much of that is there.
    piece: [u8; HEAD],
    there: usize,
    /// Bytes to come of the frame's payload.
    left: u32,
    has_settings: bool,
}

/// Bytes of a frame's own head, and of a setting.
const HEAD: usize = 9;
const SETTING: u32 = 6;
const SETTINGS: u8 = 4;
const MAX_HEADER_LIST_SIZE: [u8; 2] = [0, 6];

impl Frames {
    /// Takes what has come. Returns the last word on how long a list may be, if there is any in it.
    fn take(&mut self, mut bytes: &[u8]) -> Option<u32> {
        let mut longest = None;
        while !bytes.is_empty() {
            if self.left > 0 && !self.has_settings {
                let taken = bytes.len().min(self.left as usize);
                bytes = &bytes[taken..];
                // At most `left`.
                self.left -= u32::try_from(taken).unwrap_or(self.left);
                continue;
            }
            let whole = match self.left {
                0 => HEAD,
                _ => SETTING as usize,
            };
            let taken = bytes.len().min(whole - self.there);
            self.piece[self.there..self.there + taken].copy_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            self.there += taken;
            if self.there == whole {
                self.there = 0;
                longest = self.piece_came().or(longest);
            }
        }
        longest
    }

    /// A frame's own head is there, or a setting.
    fn piece_came(&mut self) -> Option<u32> {
        let [a, b, c, d, e, f, ..] = self.piece;
        if self.left == 0 {
            self.left = u32::from_be_bytes([0, a, b, c]);
            // h2 ends the connection for any other length.
            self.has_settings = d == SETTINGS && self.left.is_multiple_of(SETTING);
            return None;
        }
        self.left -= SETTING;
        ([a, b] == MAX_HEADER_LIST_SIZE).then(|| u32::from_be_bytes([c, d, e, f]))
    }
}

impl AsyncRead for Overheard {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.end.is_none() {
            let before = (buffer.filled().len(), buffer.remaining());
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, buffer));
            if let Some(longest) = this.frames.take(&buffer.filled()[before.0..]) {
                this.known.longest.store(longest, Relaxed);
            }
            let has_ended = read.is_err() || (before.1 > 0 && buffer.remaining() == before.1);
            if !has_ended || this.known.open.load(SeqCst) == 0 {
                return Poll::Ready(read);
            }
            this.known.retired.store(true, Relaxed);
            let timer = Box::pin(sleep(LAST_WORD));
            this.end = Some(End { timer, read });
        }
        let Some(end) = &mut this.end else {
            return Poll::Ready(Ok(()));
        };
        ready!(end.timer.as_mut().poll(cx));
        Poll::Ready(std::mem::replace(&mut end.read, Ok(())))
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_list_is_heard_however_it_comes() {
        let frame = |kind: u8, payload: &[u8]| {
            let length = u8::try_from(payload.len()).unwrap();
            [&[0, 0, length, kind, 0, 0, 0, 0, 0], payload].concat()
        };
        let said = [
            frame(SETTINGS, &[0, 3, 0, 0, 0, 100, 0, 6, 0, 1, 0, 0]),
            frame(SETTINGS, &[]),
            // DATA that looks like it.
            frame(0, &frame(SETTINGS, &[0, 6, 0, 0, 0, 1])),
            frame(SETTINGS, &[0, 4, 0, 0, 0, 1]),
        ]
        .concat();
        for piece in [1, 2, 7, 9, said.len()] {
            let mut frames = Frames::default();
            let longest: Vec<_> = said
                .chunks(piece)
                .filter_map(|bytes| frames.take(bytes))
                .collect();
            assert_eq!(longest, [65536], "by {piece}");
        }
    }
}
