//! Bytes of a client between two requests: whether a head is under way, since when, and of a trusted proxy its bytes.

use std::{
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
    time::Duration,
};

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::{sync::Notify, time::Instant};

use super::{MAX_HEAD, interim::Interims};

/// Requests that an HTTP/2 client may have open at a time.
pub(super) const STREAMS: u32 = 128;
/// Time that the rest of a body is taken that nobody wants: a client that still sends would not find its answer otherwise.
pub(super) const UNWANTED: Duration = Duration::from_secs(10);

/// What is known of one connection. The stream writes it, and the requests do.
pub(super) struct Hearing {
    start: Instant,
    /// Requests under way, to the last byte of their answers.
    open: AtomicU32,
    /// Milliseconds since `start` at which the last request ended, or the rest of its body came; 0 before the first one.
    ended: AtomicU64,
    /// Milliseconds since `start`, and one more, at which the first byte since the last request came; 0 for none.
    since: AtomicU64,
    /// Whether HTTP/2 is spoken, where a head may come beside open requests.
    is_framed: AtomicBool,
    /// In HTTP/2, whole heads of which it shows what became, and requests that were made of heads or are known to have failed.
    heads: (AtomicU32, AtomicU32),
    /// Bodies of requests whose last byte was not read yet, whatever became of their answers. In HTTP/1, no head comes before that.
    uploads: AtomicU32,
    /// Whether nothing more is to be read, in HTTP/1: the rest of a body that nobody takes stands before the next head.
    closed: AtomicBool,
    /// Told of that, and of the end of a request after it.
    shut: Notify,
    /// Whether a head has begun behind the request under way, in HTTP/1.
    has_next: AtomicBool,
    /// Whether the client went away before its answer.
    gone: AtomicBool,
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
            is_framed: AtomicBool::new(false),
            heads: (AtomicU32::new(0), AtomicU32::new(0)),
            uploads: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            shut: Notify::new(),
            has_next: AtomicBool::new(false),
            gone: AtomicBool::new(false),
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

    /// A head has become a request.
    pub(super) fn came(&self) {
        self.heads.1.fetch_add(1, Relaxed);
    }

    /// So many heads of HTTP/2 were answered, or reset by this side, or came before such a one. Those beyond the number of streams are
    /// none of them: they are to be sent again (RFC 9113 §8.7), and the client may not have heard of the limit in time.
    pub(super) fn decided(&self, heads: u32) {
        self.heads.0.fetch_add(heads, Relaxed);
    }

    /// Returns how many heads of HTTP/2 have become none since the last call. To be asked when hyper waits: then all that it has
    /// read as requests are known. One that has not been answered yet may hide a refused one before it until it is.
    pub(super) fn refused(&self) -> u32 {
        let (heads, known) = (self.heads.0.load(Relaxed), self.heads.1.load(Relaxed));
        let refused = heads.saturating_sub(known);
        self.heads.1.fetch_add(refused, Relaxed);
        refused
    }

    /// A request begins.
    pub(super) fn begin(&self) {
        self.open.fetch_add(1, SeqCst);
        self.has_next.store(false, Relaxed);
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
        let goes_on = !self.gone.load(Relaxed) && !self.switched.load(SeqCst);
        if self.has_next.swap(false, Relaxed) && goes_on {
            self.since.store(self.now() + 1, Relaxed);
        }
        self.open.fetch_sub(1, SeqCst);
        if self.is_closed() {
            self.shut.notify_one();
        }
    }

    /// A request has a body, of which the end is still to be read.
    pub(super) fn upload_began(&self) {
        self.uploads.fetch_add(1, SeqCst);
    }

    /// The last byte of such a body was read.
    pub(super) fn upload_ended(&self) {
        self.uploads.fetch_sub(1, SeqCst);
    }

    fn is_uploading(&self) -> bool {
        self.uploads.load(SeqCst) > 0
    }

    /// Nobody takes the rest of a body: in HTTP/1, nothing that comes is read any more. In HTTP/2 a reset ends the body.
    pub(super) fn upload_dropped(&self) {
        match self.is_framed() {
            true => self.upload_ended(),
            false => {
                self.closed.store(true, SeqCst);
                self.shut.notify_one();
            }
        }
    }

    /// Whether nothing that comes is to be read any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Completes when nothing is to be read any more, and again when an answer is over then. For one that waits.
    pub(super) async fn shut(&self) {
        self.shut.notified().await;
    }

    /// Whether a request is under way, to the last byte of its answer.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(SeqCst) > 0
    }

    /// Whether all of a request is there, and not all of its answer.
    pub(super) fn is_answering(&self) -> bool {
        self.is_open() && !self.is_uploading() && !self.switched.load(SeqCst)
    }

    /// A head has begun behind the request under way.
    pub(super) fn next_began(&self) {
        self.has_next.store(true, Relaxed);
    }

    /// The client has gone away before its answer.
    pub(super) fn went(&self) {
        self.gone.store(true, Relaxed);
    }

    fn forget(&self) {
        if self.is_framed.load(Relaxed) {
            return;
        }
        self.since.store(0, Relaxed);
        if let Some(head) = &self.head {
            head.lock().clear();
        }
    }

    /// What comes from now on is not HTTP.
    pub(super) fn switch(&self) {
        self.switched.store(true, SeqCst);
    }

    /// Whether what comes is a head, by the framing of messages: an answer may be over long before its request's body.
    fn may_begin(&self) -> bool {
        !self.is_open() && !self.is_uploading() && !self.switched.load(SeqCst)
    }

    /// Whether no request is under way, nor the head of one.
    pub(super) fn is_between(&self) -> bool {
        self.may_begin() && self.since.load(Relaxed) == 0
    }

    /// Something has come. Amid a body whose answer is over, the time for the next request has not begun.
    fn moved(&self) {
        if !self.is_open() && self.is_uploading() {
            self.ended.store(self.now().max(1), Relaxed);
        }
    }

    /// Bytes have come, in HTTP/1.
    pub(super) fn heard(&self, bytes: &[u8]) {
        self.moved();
        if !self.may_begin() {
            return;
        }
        if self.since.load(Relaxed) == 0 {
            if is_blank(bytes) {
                return;
            }
            self.since.store(self.now() + 1, Relaxed);
        }
        if let Some(head) = &self.head {
            let mut head = head.lock();
            let room = MAX_HEAD.saturating_sub(head.len());
            head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// Whether HTTP/2 is spoken.
    pub(super) fn is_framed(&self) -> bool {
        self.is_framed.load(Relaxed)
    }

    /// Frames of HTTP/2 have come, and so many whole heads in them. The last one `is_amid` its way.
    pub(super) fn framed(&self, heads: u32, is_amid: bool) {
        self.is_framed.store(true, Relaxed);
        self.moved();
        match is_amid {
            false => self.since.store(0, Relaxed),
            true if heads > 0 || self.since.load(Relaxed) == 0 => self.since.store(self.now() + 1, Relaxed),
            true => {}
        }
    }

    /// Returns when the head under way began.
    pub(super) fn head_since(&self) -> Option<Instant> {
        let since = self.since.load(Relaxed).checked_sub(1)?;
        let is_head = self.is_framed.load(Relaxed) || self.may_begin();
        is_head.then(|| self.start + Duration::from_millis(since))
    }

    /// The head under way has taken too long.
    pub(super) fn set_slow(&self) {
        self.slow.store(true, Relaxed);
    }

    /// Whether a head took too long.
    pub(super) fn was_slow(&self) -> bool {
        self.slow.load(Relaxed)
    }

    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Relaxed);
    }

    /// Whether what is written waits for the client's kernel, which has its own time limit.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    /// Completes when no request was under way for `first` from the start, or for `between` after another one.
    pub(super) async fn idle(&self, first: Duration, between: Duration) {
        loop {
            // The stream sees to the time of a head.
            let is_busy = self.open.load(SeqCst) > 0 || self.since.load(Relaxed) > 0;
            let now = Instant::now();
            let kept = match self.is_uploading() {
                true => between.max(UNWANTED),
                false => between,
            };
            let end = match self.ended.load(Relaxed) {
                _ if is_busy => now + between,
                0 => self.start + first,
                ended => self.start + Duration::from_millis(ended) + kept,
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

/// Whether these are empty lines, which are not part of the head that they stand before (RFC 9112 §2.2).
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
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

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_not_idle_while_the_rest_of_a_body_comes() {
        const BETWEEN: Duration = Duration::from_secs(5);
        for is_framed in [false, true] {
            let hearing = Hearing::new(false);
            hearing.begin();
            hearing.upload_began();
            hearing.end();
            let mut idle = pin!(hearing.idle(BETWEEN, BETWEEN));
            for _ in 0..9 {
                assert!(timeout(UNWANTED * 4 / 5, idle.as_mut()).await.is_err());
                match is_framed {
                    true => hearing.framed(0, false),
                    false => hearing.heard(b"body"),
                }
            }
            hearing.upload_ended();
            assert!(timeout(BETWEEN / 2, idle.as_mut()).await.is_err());
            assert!(timeout(BETWEEN, idle).await.is_ok());
            // One that stalls ends the connection.
            hearing.upload_began();
            hearing.framed(0, false);
            assert!(
                timeout(UNWANTED * 2, hearing.idle(BETWEEN, BETWEEN))
                    .await
                    .is_ok()
            );
        }
    }

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
