//! A connection to a server in HTTP/2, which many requests share and a task of its own drives.

use std::{
    error::Error as _,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use h2::Reason;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{sync::Notify, time::timeout};

use super::super::MAX_HEAD;
use crate::sources::proxy::{stream::Stream, upload::ClientBody};

/// After this long without a byte a connection is pinged, and closed without an answer in the same time.
const PING: Duration = Duration::from_secs(20);
/// Streams before the server has said how many it allows.
const UNKNOWN: usize = 1;
/// How long that is waited for; one that allows as many says nothing new.
const SETTINGS: Duration = Duration::from_millis(100);
/// Bytes that a server may send ahead on each stream.
const STREAM_WINDOW: u32 = 256 * 1024;
/// And on all of them: no limit, or clients who take nothing of a few answers would hold up all others of the connection.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// One connection.
pub(super) struct Http2 {
    sender: SendRequest<ClientBody>,
    /// Streams that the server allows at a time.
    allowed: AtomicUsize,
    /// Told when the server says how many.
    told: Notify,
    open: AtomicUsize,
    /// Whether the server has refused a stream: it gets no more.
    retired: AtomicBool,
    /// Whether no stream was open at the last look.
    quiet: AtomicBool,
}

impl Http2 {
    pub(super) async fn start(stream: Stream) -> hyper::Result<Arc<Self>> {
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(UNKNOWN)
            .handshake(TokioIo::new(stream))
            .await?;
        let this = Arc::new(Self {
            sender,
            allowed: AtomicUsize::new(connection.current_max_send_streams()),
            told: Notify::new(),
            open: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
        });
        let known = Arc::downgrade(&this);
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let ended = poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                if let Some(known) = known.upgrade() {
                    let allowed = connection.current_max_send_streams();
                    if known.allowed.swap(allowed, Relaxed) != allowed {
                        known.told.notify_one();
                    }
                }
                polled
            });
            if let Err(error) = ended.await {
                tracing::trace!(%error, "a connection to a server ended badly");
            }
        });
        // Whoever waits for a stream asks for more than one, so first the server says how many it takes (RFC 9113 §3.4).
        let _ = timeout(SETTINGS, this.told.notified()).await;
        Ok(this)
    }

    /// Room for a stream, if there is any.
    pub(super) fn stream(self: &Arc<Self>) -> Option<Http2Stream> {
        if self.retired.load(Relaxed) || self.sender.is_closed() {
            return None;
        }
        // The kept connections of a worker are its own, so nobody is between the two.
        if self.open.load(SeqCst) >= self.allowed.load(Relaxed).max(1) {
            return None;
        }
        self.open.fetch_add(1, SeqCst);
        self.quiet.store(false, Relaxed);
        Some(Http2Stream(self.clone()))
    }

    /// Whether it can still carry requests.
    pub(super) fn is_of_use(&self) -> bool {
        !self.retired.load(Relaxed) && !self.sender.is_closed()
    }

    /// Whether no stream is open, and none was at the last look.
    pub(super) fn was_quiet(&self) -> bool {
        self.open.load(SeqCst) == 0 && self.quiet.swap(true, Relaxed)
    }
}

/// A place for one request and its answer.
pub(in super::super) struct Http2Stream(Arc<Http2>);

impl Http2Stream {
    /// To send the request.
    pub(in super::super) fn sender(&self) -> SendRequest<ClientBody> {
        self.0.sender.clone()
    }

    /// The server refuses streams here: no other request is to go this way.
    pub(in super::super) fn retire(&self) {
        self.0.retired.store(true, Relaxed);
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

/// Whether a server has certainly not processed a request: it refused the stream, or went away before it, for whatever reason (RFC
/// 9113 §6.8 and §8.7). Streams that a GOAWAY leaves to be answered fail otherwise when the connection then breaks off: with an I/O
/// error.
pub(in super::super) fn is_refused(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|error| error.downcast_ref::<h2::Error>()) else {
        return false;
    };
    error.is_remote()
        && (error.is_go_away() || (error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)))
}
