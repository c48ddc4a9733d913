//! Bodies of responses on their way to the client.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{
    silence::{BodyError, Silence},
    upstream::Lease,
};

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

    /// How long nothing of it may move.
    pub(super) fn idle(&self) -> Duration {
        self.silence.idle
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
