//! An answer's body that writes to the access log when it ends, and ends early if its client is banned.

use std::{
    error::Error as StdError,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::{
    super::client_address::Client,
    access_log::{AccessLog, Entry, Outcome},
    bans::Bans,
    silence::BodyError,
    taking::Taking,
    visit::Exchange,
};

type BoxError = Box<dyn StdError + Send + Sync>;

/// A body, and what to log of its answer.
pub(super) struct Logged<B> {
    body: B,
    end: Option<Box<End>>,
    /// Ends with the body.
    exchange: Exchange,
    watch: Watch,
    /// `None` over HTTP/1.
    taking: Option<Taking>,
    /// Bytes of the body so far.
    sent: u64,
}

/// Whether somebody looks for a ban of the client.
enum Watch {
    /// Of a client that is not known, or banned already.
    No,
    NotYet(Client),
    Yes(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Watch {
    /// Looks from now on, if there is whom to look for. Ready once the client is banned.
    fn poll(&mut self, bans: &Arc<Bans>, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::NotYet(client) = *self {
            let bans = bans.clone();
            *self = Self::Yes(Box::pin(async move { bans.until_refused(client).await }));
        }
        match self {
            Self::Yes(refused) => {
                ready!(refused.as_mut().poll(cx));
                *self = Self::No;
                Poll::Ready(())
            }
            Self::No | Self::NotYet(_) => Poll::Pending,
        }
    }
}

/// Bytes after which a body is a long one, although it never lets us wait.
const LONG: u64 = 1024 * 1024;

struct End {
    log: Arc<AccessLog>,
    entry: Option<Entry>,
    since: Instant,
    /// Whether all of the body went.
    is_whole: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(mut entry) = self.entry.take() {
            entry.took = self.since.elapsed();
            if !self.is_whole && entry.outcome == Outcome::Answered {
                entry.outcome = Outcome::CutOff;
            }
            self.log.write(entry);
        }
    }
}

impl<B: Body> Logged<B> {
    /// `watched` is whose ban ends the body.
    pub(super) fn new(
        body: B,
        end: Option<(Arc<AccessLog>, Entry, Instant)>,
        exchange: Exchange,
        watched: Option<Client>,
        taking: Option<Taking>,
    ) -> Self {
        let end = end.map(|(log, entry, since)| {
            Box::new(End {
                log,
                entry: Some(entry),
                since,
                is_whole: body.is_end_stream(),
            })
        });
        Self {
            body,
            end,
            exchange,
            watch: watched.map_or(Watch::No, Watch::NotYet),
            taking,
            sent: 0,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Logged<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Some(taking) = &this.taking {
            match polled {
                Poll::Ready(_) => taking.handed(),
                Poll::Pending => taking.asked(),
            }
        }
        let is_long = polled.is_pending() || this.sent > LONG;
        if is_long && this.watch.poll(this.exchange.bans(), cx).is_ready() {
            return Poll::Ready(Some(Err(BodyError::Banned.into())));
        }
        let frame = ready!(polled);
        // Trailers are the last of a body.
        let is_whole = match &frame {
            Some(Ok(frame)) => frame.is_trailers() || this.body.is_end_stream(),
            Some(Err(_)) => this.body.is_end_stream(),
            None => true,
        };
        if let Some(end) = &mut this.end {
            end.is_whole = is_whole;
        }
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.sent = this.sent.saturating_add(data.remaining() as u64);
            if let Some(end) = &mut this.end
                && let Some(entry) = &mut end.entry
            {
                entry.bytes = this.sent;
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(B::Error::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
