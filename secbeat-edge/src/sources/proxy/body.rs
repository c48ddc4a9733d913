//! Bodies on their way through: frame by frame, and cut off when nothing moves.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

use super::upstream::Lease;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("no byte of the body arrived in time")]
    Stalled,
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
}

/// Fires once a sender was silent for a while.
struct Silence {
    idle: Duration,
    /// Made when the sender first lets us wait, and kept for the next times.
    timer: Option<Pin<Box<Sleep>>>,
    silent: bool,
}

impl Silence {
    fn new(idle: Duration) -> Self {
        Self {
            idle,
            timer: None,
            silent: false,
        }
    }

    fn broken(&mut self) {
        self.silent = false;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = Instant::now() + self.idle;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if !std::mem::replace(&mut self.silent, true) {
            timer.as_mut().reset(end);
        }
        timer.as_mut().poll(cx)
    }
}

/// A client's body on its way to a server.
pub(super) enum ClientBody {
    /// There is none.
    Empty,
    Upload(Upload),
}

impl ClientBody {
    pub(super) fn new(body: Incoming, idle: Duration) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        Self::Upload(Upload {
            body: Some(body),
            silence: Silence::new(idle),
            touched: false,
            progress: Arc::new(Progress::new()),
        })
    }

    /// How far it is, if there is one.
    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Empty => None,
            Self::Upload(upload) => Some(upload.progress.clone()),
        }
    }
}

/// A body that fails when its sender is silent for too long, and tells a [`Progress`] how far it is.
pub(super) struct Upload {
    body: Option<Incoming>,
    silence: Silence,
    touched: bool,
    progress: Arc<Progress>,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.touched {
            *self.progress.unread.lock() = self.body.take();
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Upload(upload) = self.get_mut() else {
            return Poll::Ready(None);
        };
        let Some(body) = &mut upload.body else {
            return Poll::Ready(None);
        };
        upload.touched = true;
        let polled = Pin::new(body).poll_frame(cx);
        upload.progress.set(if polled.is_pending() {
            Waiting::ForClient
        } else {
            Waiting::ForUpstream
        });
        match polled {
            Poll::Ready(frame) => {
                upload.silence.broken();
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
            }
            Poll::Pending => {
                ready!(upload.silence.poll(cx));
                Poll::Ready(Some(Err(BodyError::Stalled)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Upload(upload) => upload.body.as_ref().is_none_or(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Upload(Upload { body: Some(body), .. }) => body.size_hint(),
            _ => SizeHint::with_exact(0),
        }
    }
}

/// A server's body on its way to the client. Drives the connection that it comes from, and gives that back at its end.
pub(super) struct Download {
    body: Incoming,
    silence: Silence,
    /// `None` once it is given back, and where another task drives the connection (HTTP/2).
    lease: Option<Lease>,
    /// Told with the next poll, so that what came before it is on its way: hyper forgets what it has not flushed.
    failed: Option<hyper::Error>,
}

impl Download {
    pub(super) fn new(body: Incoming, idle: Duration, lease: Option<Lease>) -> Self {
        let mut download = Self {
            body,
            silence: Silence::new(idle),
            lease,
            failed: None,
        };
        if download.body.is_end_stream() {
            download.give_back();
        }
        download
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(BodyError::Broken(error))));
        }
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending()
            && let Some(lease) = &mut self.lease
        {
            lease.drive(cx);
            polled = Pin::new(&mut self.body).poll_frame(cx);
        }
        match polled {
            Poll::Ready(Some(Err(error))) => {
                self.failed = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(frame) => {
                self.silence.broken();
                if frame.is_none() || self.body.is_end_stream() {
                    self.give_back();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
            }
            Poll::Pending => {
                ready!(self.silence.poll(cx));
                Poll::Ready(Some(Err(BodyError::Stalled)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Who has to act next on a request with a body, so that an upload may take its time while an upstream may not.
pub(super) struct Progress {
    start: Instant,
    /// Milliseconds since `start` at which the upstream's turn began, or [`CLIENTS_TURN`].
    since: AtomicU64,
    /// The body, once its upstream has let go of it without having asked for any of it.
    unread: Mutex<Option<Incoming>>,
}

const CLIENTS_TURN: u64 = u64::MAX;

#[derive(Clone, Copy)]
enum Waiting {
    ForClient,
    ForUpstream,
}

impl Progress {
    /// The upstream's turn begins.
    fn new() -> Self {
        Self {
            start: Instant::now(),
            since: AtomicU64::new(0),
            unread: Mutex::default(),
        }
    }

    fn set(&self, waiting: Waiting) {
        let since = match waiting {
            Waiting::ForClient => CLIENTS_TURN,
            Waiting::ForUpstream => u64::try_from(self.start.elapsed().as_millis()).unwrap_or(0),
        };
        self.since.store(since, Relaxed);
    }

    /// Since when the upstream has had its turn; `None` in the client's.
    pub(super) fn upstreams_turn(&self) -> Option<Instant> {
        match self.since.load(Relaxed) {
            CLIENTS_TURN => None,
            since => Some(self.start + Duration::from_millis(since)),
        }
    }

    /// Takes the body for another attempt, if nobody has asked for any of it.
    pub(super) fn take_unread(&self) -> Option<Incoming> {
        self.unread.lock().take()
    }
}
