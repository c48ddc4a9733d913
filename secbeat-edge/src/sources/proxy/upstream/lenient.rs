//! A stream whose other end may close before it has taken everything.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::sources::proxy::stream::Stream;

/// A server's stream. What the server takes no more of goes nowhere: it may have answered before it closed, and hyper, told of a failure,
/// would not look. Who has read all that the server said is told of the failure.
pub(super) struct Lenient {
    stream: Stream,
    /// The reason why the server takes no more.
    failed: Option<io::ErrorKind>,
    /// What is read before anything that still comes.
    ahead: Bytes,
    writes: Writes,
}

/// What becomes of what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    /// It is for the server.
    Sent,
    /// It goes nowhere. Nothing is read before it: hyper takes an answer before a request for an error.
    Awaited,
    /// It goes nowhere, and some was written.
    Dropped,
}

impl Lenient {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            failed: None,
            ahead: Bytes::new(),
            writes: Writes::Sent,
        }
    }

    /// The same stream for another reader, which begins with `ahead`. What that writes goes nowhere: the server has got it before.
    pub(super) fn read_again(self, ahead: Bytes) -> Self {
        Self {
            ahead,
            writes: Writes::Awaited,
            ..self
        }
    }

    /// The stream, and what is to be read before anything that still comes.
    pub(super) fn into_inner(self) -> (Stream, Bytes) {
        (self.stream, self.ahead)
    }

    /// Returns what becomes of an attempt to write so many bytes.
    fn written(
        &mut self,
        bytes: usize,
        write: impl FnOnce(Pin<&mut Stream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.writes != Writes::Sent {
            if bytes > 0 {
                self.writes = Writes::Dropped;
            }
            return Poll::Ready(Ok(bytes));
        }
        if self.failed.is_some() {
            return Poll::Ready(Ok(bytes));
        }
        match ready!(write(Pin::new(&mut self.stream))) {
            Err(error) if is_close(&error) => {
                self.failed = Some(error.kind());
                Poll::Ready(Ok(bytes))
            }
            other => Poll::Ready(other),
        }
    }
}

fn is_close(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl AsyncRead for Lenient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.writes == Writes::Awaited {
            // It is written in this very turn, and the task that writes is the one that reads.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !self.ahead.is_empty() {
            let some = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(some));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        match self.failed {
            Some(failed) if buffer.filled().len() == before => Poll::Ready(Err(failed.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Lenient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written(bytes.len(), |stream| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        self.written(bytes, |stream| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // With TLS, this writes.
        let flushed = self.written(0, |stream| stream.poll_flush(cx).map_ok(|()| 0));
        flushed.map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[tokio::test]
    async fn what_a_server_said_before_it_closed_is_read_and_then_the_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, accepted) = tokio::join!(connecting, listener.accept());
        let (mut stream, mut server) = (Lenient::new(Stream::Plain(stream.unwrap())), accepted.unwrap().0);
        stream.write_all(b"part of a request").await.unwrap();
        server.write_all(b"answer").await.unwrap();
        // What it has not read makes this a reset.
        server.readable().await.unwrap();
        drop(server);
        while stream.failed.is_none() {
            stream.write_all(b"the rest").await.unwrap();
        }
        stream.write_all(b"more").await.unwrap();
        let mut said = Vec::new();
        let ended = stream.read_to_end(&mut said).await;
        assert_eq!(said, b"answer");
        assert!(is_close(&ended.unwrap_err()));
    }
}
