//! An answer's body that writes to the access log when it ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::access_log::{AccessLog, Entry};

/// A body, and what to log of its answer.
pub(super) struct Logged<B> {
    body: B,
    end: Option<Box<End>>,
}

struct End {
    log: Arc<AccessLog>,
    entry: Option<Entry>,
    since: Instant,
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(mut entry) = self.entry.take() {
            entry.took = self.since.elapsed();
            self.log.write(entry);
        }
    }
}

impl<B> Logged<B> {
    pub(super) fn new(body: B, end: Option<(Arc<AccessLog>, Entry, Instant)>) -> Self {
        let end = end.map(|(log, entry, since)| {
            Box::new(End {
                log,
                entry: Some(entry),
                since,
            })
        });
        Self { body, end }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Logged<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(end) = &mut self.end
            && let Some(entry) = &mut end.entry
            && let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            entry.bytes = entry.bytes.saturating_add(data.remaining() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
