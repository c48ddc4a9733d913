//! What a client says between two requests: whether a head is under way, since when, and of a trusted proxy its bytes. And its
//! stream, which tells that.

use std::{
    io,
    pin::Pin,
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, Sleep},
};

use super::{MAX_HEAD, interim::Interims, stream::Stream};

/// What is known of one connection. The stream writes it, and the requests do.
pub(super) struct Hearing {
    start: Instant,
    /// Requests under way, to the last byte of their answers.
    open: AtomicU32,
    /// Milliseconds since `start` at which the last request ended; 0 before the first one.
    ended: AtomicU64,
    /// Milliseconds since `start`, and one more, at which the first byte since the last request came; 0 for none.
    since: AtomicU64,
    /// Whether what comes between two requests is the begin of a head: not so in HTTP/2.
    is_timed: AtomicBool,
    /// Whether no more requests come, since another protocol is spoken.
    switched: AtomicBool,
    /// Whether a head took too long.
    slow: AtomicBool,
    /// Whether the client's kernel takes no more for the time being.
    blocked: AtomicBool,
    /// Told of the first request.
    first: Notify,
    pub(super) interims: Arc<Interims>,
    /// What has come since the last request; `None` of a client that speaks for itself.
    head: Option<Mutex<Vec<u8>>>,
}

impl Hearing {
    /// With `keeps_heads`, what comes before a request is kept until it is one.
    pub(super) fn new(keeps_heads: bool) -> Self {
        Self {
            start: Instant::now(),
            open: AtomicU32::new(0),
            ended: AtomicU64::new(0),
            since: AtomicU64::new(0),
            is_timed: AtomicBool::new(false),
            switched: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            first: Notify::new(),
            interims: Arc::default(),
            head: keeps_heads.then(Mutex::default),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// A request begins.
    pub(super) fn begin(&self) {
        self.open.fetch_add(1, SeqCst);
        self.forget();
        if self.ended.load(Relaxed) == 0 {
            self.first.notify_one();
        }
    }

    /// Completes when the first request has begun. For one that waits.
    pub(super) async fn first(&self) {
        self.first.notified().await;
    }

    /// A request and its answer are over.
    pub(super) fn end(&self) {
        self.forget();
        self.ended.store(self.now().max(1), Relaxed);
        self.open.fetch_sub(1, SeqCst);
    }

    fn forget(&self) {
        self.since.store(0, Relaxed);
        if let Some(head) = &self.head {
            head.lock().clear();
        }
    }

    /// What comes from now on is no HTTP.
    pub(super) fn switch(&self) {
        self.switched.store(true, SeqCst);
    }

    /// Bytes have come.
    fn heard(&self, bytes: &[u8]) {
        if bytes.is_empty() || self.open.load(SeqCst) > 0 || self.switched.load(SeqCst) {
            return;
        }
        if self.since.load(Relaxed) == 0 {
            self.since.store(self.now() + 1, Relaxed);
        }
        if let Some(head) = &self.head {
            let mut head = head.lock();
            let room = MAX_HEAD.saturating_sub(head.len());
            head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// When the head under way began.
    fn head_since(&self) -> Option<Instant> {
        let since = self.since.load(Relaxed).checked_sub(1)?;
        (self.open.load(SeqCst) == 0).then(|| self.start + Duration::from_millis(since))
    }

    /// Whether a head took too long.
    pub(super) fn was_slow(&self) -> bool {
        self.slow.load(Relaxed)
    }

    /// Whether what is written waits for the client's kernel, which has its own time limit.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    /// Completes when no request was under way for `first` from the start, or for `between` after another one.
    pub(super) async fn idle(&self, first: Duration, between: Duration) {
        loop {
            let is_busy = self.open.load(SeqCst) > 0
                // The stream sees to that.
                || (self.is_timed.load(Relaxed) && self.since.load(Relaxed) > 0);
            let now = Instant::now();
            let end = match self.ended.load(Relaxed) {
                _ if is_busy => now + between,
                0 => self.start + first,
                ended => self.start + Duration::from_millis(ended) + between,
            };
            if end <= now {
                return;
            }
            // A request may come and go meanwhile.
            tokio::time::sleep_until(end.min(now + between)).await;
        }
    }

    /// The fields of the head that never became a request. Empty where there is none, or one that two readers could divide
    /// into other lines: nobody is to be blamed by what a client hides in it (RFC 9112 §2.2).
    pub(super) fn fields(&self) -> HeaderMap {
        match &self.head {
            Some(head) => fields(&head.lock()),
            None => HeaderMap::new(),
        }
    }
}

fn fields(head: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let is_request = lines.next().is_some_and(is_request_line);
    for line in lines {
        let Some(line) = line.strip_suffix(b"\r\n").filter(|_| is_request) else {
            return HeaderMap::new();
        };
        if line.is_empty() {
            return fields;
        }
        if line.contains(&b'\r') || line[0].is_ascii_whitespace() {
            return HeaderMap::new();
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            let _ = fields.try_append(name, value);
        }
    }
    // It never ended, so more of the same field could have come.
    HeaderMap::new()
}

fn is_request_line(line: &[u8]) -> bool {
    let parts: Vec<_> = line.split(|byte| *byte == b' ').collect();
    matches!(parts.as_slice(), [method, target, version]
        if !method.is_empty() && method.iter().all(u8::is_ascii_uppercase) && !target.is_empty()
            && matches!(*version, b"HTTP/1.1\r\n" | b"HTTP/1.0\r\n"))
}

/// A client's stream that tells what comes, and fails when the head of an HTTP/1 request takes too long.
pub(super) struct Heard {
    stream: Stream,
    hearing: Arc<Hearing>,
    /// For a head; `None` where its bytes say nothing of when it began, as in HTTP/2.
    patience: Option<Duration>,
    /// Made for the first head that does not come at once.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Heard {
    /// `patience` is for the head of an HTTP/1 request.
    pub(super) fn new(stream: Stream, hearing: Arc<Hearing>, patience: Option<Duration>) -> Self {
        hearing.is_timed.store(patience.is_some(), Relaxed);
        Self {
            stream,
            hearing,
            patience,
            timer: None,
        }
    }

    fn poll_interims(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.hearing.interims.poll_write(Pin::new(&mut self.stream), cx)
    }

    fn noted<T>(&self, written: Poll<T>) -> Poll<T> {
        self.hearing.blocked.store(written.is_pending(), Relaxed);
        written
    }

    /// Ready when the head under way has taken too long.
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(patience), Some(since)) = (self.patience, self.hearing.head_since()) else {
            return Poll::Pending;
        };
        let end = since + patience;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if timer.deadline() != end {
            timer.as_mut().reset(end);
        }
        ready!(timer.as_mut().poll(cx));
        self.hearing.slow.store(true, Relaxed);
        Poll::Ready(())
    }
}

/// How an HTTP/2 client begins (RFC 9113 §3.4); no HTTP/1 request does.
const PREFACE: &[u8] = b"PRI ";

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                let bytes = &buffer.filled()[before..];
                self.hearing.heard(bytes);
                if self.patience.is_some() && bytes.starts_with(PREFACE) {
                    self.patience = None;
                    self.hearing.is_timed.store(false, Relaxed);
                }
                Poll::Ready(read)
            }
            Poll::Pending => {
                ready!(self.poll_slow(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_interims(cx))?;
        self.hearing.interims.written();
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
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
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
    use super::*;

    #[test]
    fn a_head_names_a_client_only_if_all_read_it_alike() {
        let forwarded = |head: &str| {
            let fields = fields(head.as_bytes());
            fields
                .get("x-forwarded-for")
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let named = Some("203.0.113.7".to_owned());
        let field = "X-Forwarded-For: 203.0.113.7\r\n";
        for (head, expected) in [
            (format!("GET / HTTP/1.1\r\nBad : 1\r\n{field}\r\n"), &named),
            (format!("GET / HTTP/1.1\r\nno colon\r\n{field}\r\nmore"), &named),
            (format!("{field}\r\n"), &None),
            (format!("GET / HTTP/9\r\n{field}\r\n"), &None),
            (format!("GET / HTTP/1.1\r\n{field}"), &None),
            (format!("GET / HTTP/1.1\r\nA: b\n{field}\r\n"), &None),
            (format!("GET / HTTP/1.1\r\nA: b\r{field}\r\n"), &None),
            (format!("GET / HTTP/1.1\r\nA: b\r\n {field}\r\n"), &None),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), &None),
            (String::new(), &None),
        ] {
            assert_eq!(forwarded(&head), *expected, "{head:?}");
        }
    }
}
