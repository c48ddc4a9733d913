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
use tokio::time::{Instant, Sleep};

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("no byte of the body arrived in time")]
    Stalled,
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
}

/// A body that fails when its sender is silent for `idle`.
pub(super) struct TimedBody {
    body: Incoming,
    idle: Duration,
    /// Made when the sender first lets us wait, and kept for the next times.
    timer: Option<Pin<Box<Sleep>>>,
    silent: bool,
    progress: Option<Arc<Progress>>,
}

impl TimedBody {
    /// An upstream's body.
    pub(super) fn new(body: Incoming, idle: Duration) -> Self {
        Self {
            body,
            idle,
            timer: None,
            silent: false,
            progress: None,
        }
    }

    /// A client's body, which tells `progress` how far it is.
    pub(super) fn watched(body: Incoming, idle: Duration, progress: Arc<Progress>) -> Self {
        Self {
            progress: Some(progress),
            ..Self::new(body, idle)
        }
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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

impl Body for TimedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(progress) = &self.progress {
            progress.set(if polled.is_pending() {
                Waiting::ForClient
            } else {
                Waiting::ForUpstream
            });
        }
        match polled {
            Poll::Ready(frame) => {
                self.silent = false;
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
            }
            Poll::Pending => {
                ready!(self.poll_silence(cx));
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

/// Who has to act next on a request, so that an upload may take its time while an upstream may not.
pub(super) struct Progress {
    start: Instant,
    /// Milliseconds since `start` at which the upstream's turn began, or [`CLIENTS_TURN`].
    since: AtomicU64,
}

const CLIENTS_TURN: u64 = u64::MAX;

#[derive(Clone, Copy)]
enum Waiting {
    ForClient,
    ForUpstream,
}

impl Progress {
    /// The upstream's turn begins.
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            since: AtomicU64::new(0),
        }
    }

    fn set(&self, waiting: Waiting) {
        let since = match waiting {
            Waiting::ForClient => CLIENTS_TURN,
            Waiting::ForUpstream => u64::try_from(self.start.elapsed().as_millis()).unwrap_or(0),
        };
        self.since.store(since, Relaxed);
    }

    /// Completes when the upstream has let `timeout` pass in its turn.
    pub(super) async fn upstream_late(&self, timeout: Duration) {
        loop {
            let since = self.since.load(Relaxed);
            let turn = match since {
                CLIENTS_TURN => Instant::now(),
                since => self.start + Duration::from_millis(since),
            };
            tokio::time::sleep_until(turn + timeout).await;
            if since != CLIENTS_TURN && since == self.since.load(Relaxed) {
                return;
            }
        }
    }
}
