//! Bodies of requests on their way to a server, and whose turn it is meanwhile.

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
use tokio::time::Instant;

use super::silence::{BodyError, Silence};

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

    /// Takes the body for another attempt, if none of it was read.
    pub(super) fn take_unread(&self) -> Option<Incoming> {
        self.unread.lock().take()
    }
}
