//! A connection to a server in HTTP/2, which many requests share and a task of its own drives.

use std::{
    error::Error as _,
    future::poll_fn,
    io,
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
use parking_lot::Mutex;
use secbeat_common::prefix::Prefix;
use tokio::{sync::Notify, time::timeout};

use super::{
    super::MAX_HEAD,
    settings::{Known, Overheard},
};
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
    known: Arc<Known>,
    /// For whom the first stream is since none was open.
    of: Mutex<Option<Prefix>>,
    /// Whether streams of two clients were open at a time since none was.
    shared: AtomicBool,
    /// Whether no stream was open at the last look.
    quiet: AtomicBool,
}

impl Http2 {
    pub(super) async fn start(stream: Stream) -> hyper::Result<Arc<Self>> {
        let known = Arc::<Known>::default();
        let stream = Overheard::new(stream, known.clone());
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
            known,
            of: Mutex::default(),
            shared: AtomicBool::new(false),
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
        // Anyone who waits for a stream asks for more than one, so first the server says how many it takes (RFC 9113 §3.4).
        let _ = timeout(SETTINGS, this.told.notified()).await;
        Ok(this)
    }

    /// Room for a stream of `client`, if there is any.
    pub(super) fn stream(self: &Arc<Self>, client: Option<Prefix>) -> Option<Http2Stream> {
        if !self.is_of_use() {
            return None;
        }
        // The kept connections of a worker are its own, so nobody is between the two.
        if self.known.open.load(SeqCst) >= self.allowed.load(Relaxed).max(1) {
            return None;
        }
        let others = self.known.open.fetch_add(1, SeqCst);
        let mut of = self.of.lock();
        if others == 0 {
            *of = client;
        }
        let shared = others > 0 && (self.shared.load(Relaxed) || *of != client);
        self.shared.store(shared, Relaxed);
        self.quiet.store(false, Relaxed);
        Some(Http2Stream(self.clone()))
    }

    /// Whether it can still carry requests.
    pub(super) fn is_of_use(&self) -> bool {
        !self.known.retired.load(Relaxed) && !self.sender.is_closed()
    }

    /// Whether no stream is open, and none was at the last look.
    pub(super) fn was_quiet(&self) -> bool {
        self.known.open.load(SeqCst) == 0 && self.quiet.swap(true, Relaxed)
    }
}

/// A place for one request and its answer.
pub(in super::super) struct Http2Stream(Arc<Http2>);

impl Http2Stream {
    /// To send the request.
    pub(in super::super) fn sender(&self) -> SendRequest<ClientBody> {
        self.0.sender.clone()
    }

    /// Whether the server takes a list of fields of so many bytes.
    pub(in super::super) fn takes(&self, list: usize) -> bool {
        list <= self.0.known.longest.load(Relaxed) as usize
    }

    /// Whether requests of other clients go this way, too, or have since it was last empty.
    pub(in super::super) fn is_shared(&self) -> bool {
        self.0.shared.load(Relaxed)
    }

    /// The server refuses streams here: no other request is to go this way.
    pub(in super::super) fn retire(&self) {
        self.0.known.retired.store(true, Relaxed);
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        self.0.known.open.fetch_sub(1, SeqCst);
    }
}

/// What the end of a stream without an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Verdict {
    /// The server has certainly not processed the request: it refused the stream, or went away before it (RFC 9113 §6.8 and §8.7).
    Refused,
    /// It has not processed it either, but ended the connection for an error that this very request may have made.
    Accused,
    /// The connection broke off. Streams that a GOAWAY leaves to be answered fail so, with an I/O error.
    Broken,
    /// This stream alone.
    Failed,
}

/// Finds out what a request's failure says.
pub(in super::super) fn verdict(error: &hyper::Error) -> Verdict {
    let Some(cause) = error.source() else {
        return Verdict::Failed;
    };
    let Some(error) = cause.downcast_ref::<h2::Error>() else {
        // hyper takes it out of h2's.
        return match cause.is::<io::Error>() {
            true => Verdict::Broken,
            false => Verdict::Failed,
        };
    };
    match error.reason() {
        Some(Reason::REFUSED_STREAM) if error.is_remote() && error.is_reset() => Verdict::Refused,
        Some(Reason::NO_ERROR) if error.is_remote() && error.is_go_away() => Verdict::Refused,
        _ if error.is_remote() && error.is_go_away() => Verdict::Accused,
        _ if error.is_go_away() || error.is_io() => Verdict::Broken,
        _ => Verdict::Failed,
    }
}
