//! Whether a client takes its answer. Over HTTP/1 the kernel sees to that; an HTTP/2 client can keep a connection alive and let a stream
//! wait for ever, with a window that never opens (CVE-2019-9517).

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

use super::hearing::Hearing;

tokio::task_local! {
    /// Of the stream whose task this is.
    static OWN: Arc<Turn>;
}

/// Since when a client lets a part of its answer lie, and for how long it may; `None` while that waits for the server.
#[derive(Default)]
struct Turn(Mutex<Option<(Instant, Duration)>>);

/// What an answer's body tells of how it is taken.
pub(super) struct Taking {
    turn: Arc<Turn>,
    idle: Duration,
}

impl Taking {
    /// Of the answer that is made by this task, which the client has to take from here on. `None` over HTTP/1.
    pub(super) fn begin(idle: Duration) -> Option<Self> {
        let turn = OWN.try_with(Arc::clone).ok()?;
        let taking = Self { turn, idle };
        taking.handed();
        Some(taking)
    }

    /// The client is to take what was handed over.
    pub(super) fn handed(&self) {
        *self.turn.0.lock() = Some((Instant::now(), self.idle));
    }

    /// The client has taken all there is.
    pub(super) fn asked(&self) {
        *self.turn.0.lock() = None;
    }
}

/// Runs what hyper does for each stream of an HTTP/2 connection, and drops it when its client takes nothing for too long: the stream
/// is reset then.
#[derive(Clone)]
pub(super) struct Streams(pub(super) Arc<Hearing>);

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        tokio::spawn(watched(stream, self.0.clone()));
    }
}

async fn watched(stream: impl Future, hearing: Arc<Hearing>) {
    let mut stream = pin!(stream);
    let turn = Arc::<Turn>::default();
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        if OWN.sync_scope(turn.clone(), || stream.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(());
        }
        let Some((since, idle)) = *turn.0.lock() else {
            return Poll::Pending;
        };
        let mut end = since + idle;
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if end <= now {
                // A slow network lets it lie as well, for as long as the kernel says (tcp(7), TCP_USER_TIMEOUT).
                if !hearing.is_blocked() {
                    return Poll::Ready(());
                }
                end = now + idle;
            }
            timer.as_mut().reset(end);
        }
        Poll::Pending
    })
    .await;
}
