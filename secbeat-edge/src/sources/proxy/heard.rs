//! A client's stream that tells what comes, fails when the head of a request takes too long, and notices who goes away meanwhile.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::{
    frames::{Frames, PREFACE},
    hearing::{Hearing, is_blank},
    stream::Stream,
    target,
};

/// Bytes that are taken from a client of HTTP/1 while it waits for an answer.
const MEANWHILE: usize = 16 * 1024;

/// What a client speaks.
pub(super) enum Speech {
    Http1,
    Http2(Box<Frames>),
    /// HTTP/2 if its first bytes are the preface, of which so many have come.
    Either(usize),
}

impl Speech {
    pub(super) fn http2() -> Self {
        Self::Http2(Box::new(Frames::new()))
    }

    /// Takes further `bytes` into account.
    fn with(&mut self, bytes: &[u8]) {
        let Self::Either(there) = *self else { return };
        let rest = &PREFACE[there..];
        let same = bytes.len().min(rest.len());
        *self = match bytes[..same] == rest[..same] {
            false => Self::Http1,
            true if same < rest.len() => Self::Either(there + same),
            true => {
                let mut frames = Frames::new();
                frames.take(&PREFACE[..there]);
                Self::Http2(Box::new(frames))
            }
        };
    }
}

/// A client's connection, with the time limits of heads.
pub(super) struct ClientStream {
    stream: Stream,
    hearing: Arc<Hearing>,
    speech: Speech,
    /// For a head.
    patience: Duration,
    /// Made for the first head that does not come at once.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether hyper waits for bytes.
    listens: bool,
    /// What came when it did not, and what it had no room for.
    ahead: BytesMut,
    /// Whether hyper has used all that it got, but for empty lines: what comes next begins a head, where one may come.
    is_used_up: bool,
    /// Whether what it got last ends as a head does: nothing is half there, or empty lines alone.
    is_even: bool,
}

impl ClientStream {
    pub(super) fn new(stream: Stream, hearing: Arc<Hearing>, speech: Speech, patience: Duration) -> Self {
        Self {
            stream,
            hearing,
            speech,
            patience,
            timer: None,
            listens: false,
            ahead: BytesMut::new(),
            is_used_up: true,
            is_even: false,
        }
    }

    fn poll_interims(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.hearing.interims.poll_write(Pin::new(&mut self.stream), cx)
    }

    /// Looks at what was written of `slices`: it shows what became of heads.
    fn wrote<'a>(&mut self, written: &Poll<io::Result<usize>>, slices: impl IntoIterator<Item = &'a [u8]>) {
        let (Speech::Http2(frames), Poll::Ready(Ok(written))) = (&mut self.speech, written) else {
            return;
        };
        let mut left = *written;
        for slice in slices {
            let some = slice.len().min(left);
            left -= some;
            self.hearing.decided(frames.replies.wrote(&slice[..some]));
        }
    }

    fn noted<T>(&self, written: Poll<T>) -> Poll<T> {
        self.hearing.set_blocked(written.is_pending());
        written
    }

    /// Ready when the head under way has taken too long.
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(since) = self.hearing.head_since() else {
            return Poll::Pending;
        };
        let end = since + self.patience;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if timer.deadline() != end {
            timer.as_mut().reset(end);
        }
        ready!(timer.as_mut().poll(cx));
        self.hearing.set_slow();
        Poll::Ready(())
    }

    /// Takes what comes while a request is answered and hyper does not listen, as it has bytes of the next one: it would not notice
    /// that the client has gone.
    ///
    /// # Errors
    ///
    /// Returns an error if it has.
    fn listen(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.listens || !matches!(self.speech, Speech::Http1) || !self.hearing.is_answering() {
            return Ok(());
        }
        if !self.is_even {
            self.hearing.next_began();
        }
        while self.ahead.len() < MEANWHILE {
            let mut space = [MaybeUninit::uninit(); 1024];
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.ahead.extend_from_slice(buffer.filled());
                }
                Poll::Ready(ended) => {
                    self.hearing.went();
                    return Err(ended.err().unwrap_or(io::ErrorKind::ConnectionAborted.into()));
                }
            }
        }
        Ok(())
    }

    /// Notes what hyper is to get of what has come: `buffer` behind its first bytes.
    fn told(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let bytes = &buffer.filled()[before..];
        if bytes.is_empty() {
            return;
        }
        self.speech.with(bytes);
        if let Speech::Http2(frames) = &mut self.speech {
            let heads = frames.take(bytes);
            return self.hearing.framed(heads, frames.is_amid());
        }
        let begins = self.is_used_up && self.hearing.is_between();
        self.is_used_up &= is_blank(bytes);
        self.is_even = self.is_used_up || bytes.ends_with(b"\n\r\n");
        // The length of anything else stays as it is: what follows a body is found by that.
        if begins {
            target::lower_version(&mut buffer.filled_mut()[before..]);
        }
        if begins && let Some(encoded) = target::encoded(&buffer.filled()[before..]) {
            buffer.set_filled(before);
            let (now, later) = encoded.split_at(encoded.len().min(buffer.remaining()));
            buffer.put_slice(now);
            if !later.is_empty() {
                let mut ahead = BytesMut::from(later);
                ahead.extend_from_slice(&self.ahead);
                self.ahead = ahead;
            }
        }
        self.hearing.heard(&buffer.filled()[before..]);
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let heard = self.get_mut();
        if heard.hearing.is_closed() {
            // An answer under way is to be seen through.
            return match heard.hearing.is_open() {
                true => Poll::Pending,
                false => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            };
        }
        // Amid a message hyper reads when it has nothing left, and not to complete the head of the next one.
        heard.is_used_up |= heard.hearing.is_open();
        let before = buffer.filled().len();
        if heard.ahead.is_empty() {
            match Pin::new(&mut heard.stream).poll_read(cx, buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    heard.listens = true;
                    ready!(heard.poll_slow(cx));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        } else {
            let some = heard.ahead.len().min(buffer.remaining());
            buffer.put_slice(&heard.ahead.split_to(some));
        }
        heard.listens = false;
        heard.told(buffer, before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_interims(cx))?;
        self.hearing.interims.written();
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(&written, [bytes]);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interims(cx))?;
        self.hearing.interims.written();
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(&written, slices.iter().map(|slice| &slice[..]));
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.listen(cx)?;
        ready!(self.poll_interims(cx))?;
        self.hearing.interims.flushed();
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.noted(flushed)
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
        time::timeout,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);
    const HEAD: &[u8] = b"GET /<a>?\xe9 HTTP/1.1\r\nX: <";

    /// A stream of a connection that `hearing` knows of, and its other end.
    async fn heard(hearing: &Arc<Hearing>) -> (ClientStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(connecting, listener.accept());
        let stream = Stream::Plain(accepted.unwrap().0);
        let heard = ClientStream::new(stream, hearing.clone(), Speech::Http1, PATIENCE);
        (heard, client.unwrap())
    }

    /// Returns what is read of `bytes`, by `room` at a time.
    async fn read(heard: &mut ClientStream, client: &mut TcpStream, bytes: &[u8], room: usize) -> String {
        client.write_all(bytes).await.unwrap();
        let (mut all, mut buffer) = (Vec::new(), vec![0; room]);
        while !all.ends_with(&bytes[bytes.len() - 2..]) {
            let count = timeout(PATIENCE, heard.read(&mut buffer)).await.unwrap().unwrap();
            all.extend(&buffer[..count]);
        }
        all.escape_ascii().to_string()
    }

    #[tokio::test]
    async fn the_begin_of_a_head_is_encoded_and_nothing_else() {
        let hearing = Arc::new(Hearing::new(false));
        let (mut heard, mut client) = heard(&hearing).await;
        let encoded = "GET /%3Ca%3E?%E9 HTTP/1.1\\r\\nX: <";
        let raw = HEAD.escape_ascii().to_string();
        assert_eq!(read(&mut heard, &mut client, HEAD, 1024).await, encoded);
        assert_eq!(
            read(&mut heard, &mut client, HEAD, 1024).await,
            raw,
            "amid a head"
        );
        hearing.begin();
        hearing.upload_began();
        assert_eq!(
            read(&mut heard, &mut client, HEAD, 1024).await,
            raw,
            "amid a body"
        );
        hearing.end();
        assert_eq!(
            read(&mut heard, &mut client, HEAD, 1024).await,
            raw,
            "its answer is over"
        );
        hearing.upload_ended();
        assert_eq!(
            read(&mut heard, &mut client, HEAD, 1024).await,
            raw,
            "some is left"
        );
        hearing.begin();
        let asked = timeout(Duration::from_millis(10), heard.read_u8()).await;
        assert!(asked.is_err());
        hearing.end();
        assert_eq!(read(&mut heard, &mut client, b"\r\n\n", 1024).await, "\\r\\n\\n");
        // With less room than it needs.
        assert_eq!(read(&mut heard, &mut client, HEAD, HEAD.len()).await, encoded);
        hearing.begin();
        hearing.upload_began();
        hearing.upload_dropped();
        hearing.end();
        client.write_all(HEAD).await.unwrap();
        assert!(heard.read_u8().await.is_err(), "nobody takes what is left");
    }
}
