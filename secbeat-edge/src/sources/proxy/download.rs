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
    /// `None` once it is given back, and where another task drives the connection.
    lease: Option<Lease>,
    /// Whether it comes by HTTP/2.
    is_framed: bool,
    /// Whether its response can have none, whatever its server sends.
    is_none: bool,
    /// Told with the next poll, so that what came before it is on its way: hyper forgets what it has not flushed.
    failed: Option<BodyError>,
}

impl Download {
    pub(super) fn new(body: Incoming, idle: Duration, lease: Option<Lease>) -> Self {
        let mut download = Self {
            body,
            silence: Silence::new(idle),
            is_framed: matches!(lease, Some(Lease::Http2 { .. })),
            is_none: false,
            lease,
            failed: None,
        };
        if download.body.is_end_stream() {
            download.give_back();
        }
        download
    }

    /// That of a response which can have none.
    pub(super) fn none(self) -> Self {
        Self {
            is_none: true,
            ..self
        }
    }

    /// Returns how long nothing of it may move.
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
        if self.is_none {
            return Poll::Ready(None);
        }
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending()
            && let Some(lease) = &mut self.lease
        {
            lease.drive(cx);
            polled = Pin::new(&mut self.body).poll_frame(cx);
        }
        let error = match polled {
            // hyper takes a reset with NO_ERROR for the end, which only END_STREAM is (RFC 9113 §8.1).
            Poll::Ready(None) if self.is_framed && !self.body.is_end_stream() => BodyError::Reset,
            Poll::Ready(Some(Err(error))) => BodyError::Broken(error),
            Poll::Ready(Some(Ok(frame))) => {
                self.silence.broken();
                if self.body.is_end_stream() {
                    self.give_back();
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(None) => {
                self.give_back();
                return Poll::Ready(None);
            }
            Poll::Pending => {
                ready!(self.silence.poll(cx));
                return Poll::Ready(Some(Err(BodyError::Stalled)));
            }
        };
        self.failed = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.is_none || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.is_none {
            true => SizeHint::with_exact(0),
            false => self.body.size_hint(),
        }
    }
}
