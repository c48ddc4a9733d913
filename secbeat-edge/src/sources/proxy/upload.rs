//! Bodies of requests on their way to a server, and whose turn it is meanwhile.

use std::{
    collections::VecDeque,
    error::Error as _,
    future::pending,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::Reason;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    time::{Instant, timeout},
};

use super::{
    config::HeaderRules,
    copies::{BodyCopy, Room},
    headers::clean_trailers,
    hearing::{Hearing, UNWANTED},
    silence::{BodyError, Silence},
};

/// A client's body on its way to a server.
pub(super) enum ClientBody {
    /// There is none.
    Empty,
    Upload(Upload),
}

impl ClientBody {
    /// Of at most so many bytes, with trailers as the owner's `rules` allow.
    pub(super) fn new(mut body: Whole, idle: Duration, most: u64, rules: &Arc<HeaderRules>) -> Self {
        if body.is_over() {
            return Self::Empty;
        }
        body.room = most;
        body.rules = Some(rules.clone());
        Self::again(body, idle)
    }

    /// One that was on its way before.
    pub(super) fn again(whole: Whole, idle: Duration) -> Self {
        Self::Upload(Upload {
            rest: whole,
            hold: None,
            silence: Silence::new(idle),
            progress: Arc::new(Progress::new()),
        })
    }

    /// Has it wait until `asked` for, but not for long: a server may know nothing of that (RFC 9110 §10.1.1).
    pub(super) fn hold(&mut self, asked: oneshot::Receiver<()>) {
        if let Self::Upload(upload) = self {
            upload.progress.is_held.store(true, Relaxed);
            upload.hold = Some(Box::pin(async {
                let _ = timeout(HOLD, async {
                    // Once there is an answer, nobody asks any more.
                    if asked.await.is_err() {
                        pending::<()>().await;
                    }
                })
                .await;
            }));
        }
    }

    /// Returns how far it is, if there is one.
    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Empty => None,
            Self::Upload(upload) => Some(upload.progress.clone()),
        }
    }
}

/// All of a body: what was read of it, and the rest. What nobody has read of it when it is dropped is taken from the client for a
/// while: one that still sends would not find its answer, but a connection that is reset.
#[derive(Default)]
pub(super) struct Whole {
    ahead: VecDeque<Bytes>,
    /// `None` once it has ended.
    body: Option<Incoming>,
    /// Bytes that may still come.
    room: u64,
    /// For its trailers, once it is known where it goes.
    rules: Option<Arc<HeaderRules>>,
    /// Of the client's connection, until the body's last byte was read.
    hearing: Option<Arc<Hearing>>,
    /// Whether its client is refused; `None` of a request without a body.
    refused: Option<Refused>,
}

/// Whether a client was refused while its body was on its way: what is left is let go at once then.
#[derive(Clone, Default)]
pub(super) struct Refused(Arc<AtomicBool>);

impl Refused {
    pub(super) fn tell(&self) {
        self.0.store(true, Relaxed);
    }
}

/// Bytes that are taken of a body that nobody wants. What is left then, or after [`UNWANTED`], ends the connection.
const TAKEN: usize = 64 * 1024 * 1024;

impl Whole {
    /// A body that comes by the connection that `hearing` knows of. To be made before anything of it is read.
    pub(super) fn new(body: Incoming, hearing: &Arc<Hearing>) -> Self {
        let comes = !body.is_end_stream();
        if comes {
            hearing.upload_began();
        }
        Self {
            ahead: VecDeque::new(),
            body: Some(body),
            room: u64::MAX,
            rules: None,
            hearing: comes.then(|| hearing.clone()),
            refused: comes.then(Refused::default),
        }
    }

    /// Returns whom to tell when its client is refused, wherever it is by then.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused.clone()
    }

    /// The last byte was read.
    fn ended(&mut self) {
        if let Some(hearing) = self.hearing.take() {
            hearing.upload_ended();
        }
    }

    /// Whether there is nothing (more) of it.
    pub(super) fn is_over(&self) -> bool {
        self.ahead.is_empty() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Returns how large it is at least.
    pub(super) fn least(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.size_hint().lower())
    }

    /// Lets it go at once, as of a client to whom no answer matters.
    pub(super) fn refuse(mut self) {
        if let Some(hearing) = self.hearing.take() {
            hearing.upload_dropped();
        }
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        let Some(hearing) = self.hearing.take() else {
            return;
        };
        let (Some(body), Ok(runtime)) = (self.body.take(), Handle::try_current()) else {
            return hearing.upload_dropped();
        };
        if body.is_end_stream() {
            return hearing.upload_ended();
        }
        if self.refused.take().is_some_and(|refused| refused.0.load(Relaxed)) {
            return hearing.upload_dropped();
        }
        runtime.spawn(async move {
            let mut body = Limited::new(body, TAKEN);
            let is_over = timeout(UNWANTED, drained(&mut body)).await;
            // Before hyper hears that nobody wants it: it would read on.
            match is_over.unwrap_or(false) {
                true => hearing.upload_ended(),
                false => hearing.upload_dropped(),
            }
            drop(body);
        });
    }
}

/// Takes what is left of a body. Returns whether that came to its end.
async fn drained(body: &mut Limited<Incoming>) -> bool {
    loop {
        match body.frame().await {
            Some(Ok(_)) => {}
            Some(Err(_)) => return false,
            None => return true,
        }
    }
}

/// Time that a body waits for the server to ask for it.
const HOLD: Duration = Duration::from_secs(1);

/// A body that fails when its sender is silent for too long, and tells a [`Progress`] how far it is. When it is dropped, that gets
/// the whole body, if it keeps what was sent.
pub(super) struct Upload {
    rest: Whole,
    /// Until when it is not asked for.
    hold: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    silence: Silence,
    progress: Arc<Progress>,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(sent) = self.progress.copy.lock().take() {
            let mut whole = std::mem::take(&mut self.rest);
            let sent = sent.into_bytes();
            if !sent.is_empty() {
                whole.ahead.push_front(sent);
            }
            *self.progress.whole.lock() = Some(whole);
        }
        self.progress.over.notify_one();
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
        if let Some(hold) = &mut upload.hold {
            ready!(hold.as_mut().poll(cx));
            upload.hold = None;
            upload.progress.is_held.store(false, Relaxed);
        }
        if let Some(data) = upload.rest.ahead.pop_front() {
            upload.progress.sent(&data);
            upload.progress.set(Waiting::ForUpstream);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(body) = &mut upload.rest.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        let hearing = upload.rest.hearing.as_ref();
        upload.progress.set(if polled.is_pending() {
            Waiting::ForClient
        } else {
            Waiting::ForUpstream
        });
        match polled {
            // hyper takes a reset with NO_ERROR for the end, which only END_STREAM is (RFC 9113 §8.1).
            Poll::Ready(None)
                if !body.is_end_stream() && hearing.is_some_and(|hearing| hearing.is_framed()) =>
            {
                upload.progress.fail(Trouble::Gone);
                Poll::Ready(Some(Err(BodyError::Reset)))
            }
            Poll::Ready(mut frame) => {
                upload.silence.broken();
                let has_trailers = matches!(&frame, Some(Ok(frame)) if frame.is_trailers());
                if frame.is_none() || has_trailers || body.is_end_stream() {
                    upload.rest.ended();
                }
                match &mut frame {
                    None => upload.rest.body = None,
                    Some(Ok(frame)) => match frame.data_ref() {
                        Some(data) => match upload.rest.room.checked_sub(data.len() as u64) {
                            Some(room) => {
                                upload.rest.room = room;
                                upload.progress.sent(data);
                            }
                            None => {
                                upload.progress.fail(Trouble::TooLarge);
                                return Poll::Ready(Some(Err(BodyError::TooLarge)));
                            }
                        },
                        None => {
                            upload.progress.forget();
                            if let Some(trailers) = frame.trailers_mut() {
                                clean_trailers(trailers, upload.rest.rules.as_deref());
                            }
                        }
                    },
                    Some(Err(error)) => {
                        upload.progress.fail(match has_gone(error) {
                            true => Trouble::Gone,
                            false => Trouble::Malformed,
                        });
                    }
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
            }
            Poll::Pending => {
                ready!(upload.silence.poll(cx));
                upload.progress.fail(Trouble::Stalled);
                Poll::Ready(Some(Err(BodyError::Stalled)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Upload(Upload { rest, .. }) => {
                rest.ahead.is_empty() && rest.body.as_ref().is_none_or(Body::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let Self::Upload(Upload { rest, .. }) = self else {
            return SizeHint::with_exact(0);
        };
        let ahead = rest.ahead.iter().map(|data| data.len() as u64).sum();
        let body = rest
            .body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(ahead));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(ahead));
        }
        hint
    }
}

/// What can be wrong with a client's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It stopped coming.
    Stalled,
    /// It is larger than may be.
    TooLarge,
    /// It is framed wrongly.
    Malformed,
    /// The client has gone, or has given it up.
    Gone,
}

/// Whether a client has gone, or has given its request up, and not sent what makes no sense.
fn has_gone(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            // Whatever the code of a reset: it is the client's.
            return error.is_io()
                || error.is_go_away()
                || error.is_remote()
                || error.reason() == Some(Reason::CANCEL);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return !matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other
            );
        }
        cause = error.source();
    }
    error.is_incomplete_message() || error.is_canceled() || error.is_closed()
}

/// Who has to act next on a request with a body, so that an upload may take its time while an upstream may not.
pub(super) struct Progress {
    start: Instant,
    /// Milliseconds since `start` at which the upstream's turn began, or [`CLIENTS_TURN`].
    since: AtomicU64,
    trouble: Mutex<Option<Trouble>>,
    /// Whether nobody has asked for it yet.
    is_held: AtomicBool,
    /// What was sent; `None` where that is not kept, or became too much.
    copy: Mutex<Option<BodyCopy>>,
    /// The body, once its upstream has let go of it.
    whole: Mutex<Option<Whole>>,
    over: Notify,
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
            trouble: Mutex::default(),
            is_held: AtomicBool::new(false),
            copy: Mutex::default(),
            whole: Mutex::default(),
            over: Notify::new(),
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

    fn fail(&self, trouble: Trouble) {
        *self.trouble.lock() = Some(trouble);
        self.forget();
    }

    /// Keeps a copy of what is sent from here on, which nothing was yet.
    pub(super) fn keep(&self, room: Arc<Room>) {
        *self.copy.lock() = Some(BodyCopy::new(room));
    }

    fn sent(&self, data: &Bytes) {
        let mut copy = self.copy.lock();
        *copy = copy.take().and_then(|copy| copy.with(data));
    }

    /// Keeps nothing (more): the body is not sent again.
    pub(super) fn forget(&self) {
        *self.copy.lock() = None;
    }

    /// Whether the client still waits to be asked for it.
    pub(super) fn is_held(&self) -> bool {
        self.is_held.load(Relaxed)
    }

    /// Returns what was wrong with the body, if anything was.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        *self.trouble.lock()
    }

    /// The whole body for another attempt, if it is still there. Waits for the upstream to let go of it.
    pub(super) async fn take_whole(&self) -> Option<Whole> {
        let _ = timeout(LETTING_GO, self.over.notified()).await;
        self.whole.lock().take()
    }
}

/// Time that a connection that has failed a request may keep its body.
const LETTING_GO: Duration = Duration::from_secs(1);
