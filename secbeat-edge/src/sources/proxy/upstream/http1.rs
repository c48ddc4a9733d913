//! A connection to a server in HTTP/1.1. The task of the request drives it, so that no response wakes another thread.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep};

use super::super::{MAX_FIELDS, MAX_HEAD};
use crate::sources::proxy::{
    stream::Stream,
    upload::{ClientBody, Progress},
};

/// One connection.
pub(in super::super) struct Http1 {
    sender: SendRequest<ClientBody>,
    /// `None` once it has ended.
    connection: Option<Connection<TokioIo<Stream>, ClientBody>>,
    /// Kept from request to request: putting off a timer is cheaper than making one.
    timer: Pin<Box<Sleep>>,
    used: bool,
}

/// What came of sending a request.
pub(in super::super) enum Exchanged {
    Answered(Response<Incoming>),
    /// The server speaks another protocol from here on: the stream, and what of it was read already.
    Switched(Response<Incoming>, Box<Stream>, Bytes),
    /// The connection ended without an answer; with the request where none of it was sent.
    Failed(hyper::Error, Option<Box<Request<ClientBody>>>),
    /// The server took too long.
    Late,
}

impl Http1 {
    pub(super) async fn start(stream: Stream) -> hyper::Result<Self> {
        let (sender, connection) = Builder::new()
            .max_headers(MAX_FIELDS)
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self {
            sender,
            connection: Some(connection),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            used: false,
        })
    }

    /// Whether it has carried a request before: the server may have closed it since, unseen.
    pub(in super::super) fn is_used(&self) -> bool {
        self.used
    }

    /// Whether it can carry a request now.
    pub(super) fn is_ready(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }

    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && connection.poll_without_shutdown(cx).is_ready()
        {
            self.connection = None;
        }
    }

    /// Sends `request` and waits for the head of the answer, `timeout` at most in the server's turns.
    pub(in super::super) async fn exchange(
        &mut self,
        request: Request<ClientBody>,
        progress: Option<&Progress>,
        timeout: Duration,
    ) -> Exchanged {
        self.used = true;
        self.timer.as_mut().reset(Instant::now() + timeout);
        let mut response = pin!(self.sender.try_send_request(request));
        let (connection, timer) = (&mut self.connection, &mut self.timer);
        let mut ended = false;
        let answer = poll_fn(|cx| {
            if let Some(connection) = connection
                && !ended
            {
                ended = connection.poll_without_shutdown(cx).is_ready();
            }
            if let Poll::Ready(answer) = response.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            poll_late(timer.as_mut(), progress, timeout, cx).map(|()| None)
        })
        .await;
        match answer {
            None => Exchanged::Late,
            Some(Err(mut error)) => {
                let request = error.take_message().map(Box::new);
                Exchanged::Failed(error.into_error(), request)
            }
            Some(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                match self.connection.take() {
                    Some(connection) => {
                        let parts = connection.into_parts();
                        Exchanged::Switched(response, Box::new(parts.io.into_inner()), parts.read_buf)
                    }
                    None => Exchanged::Answered(response),
                }
            }
            Some(Ok(response)) => {
                if ended {
                    self.connection = None;
                }
                Exchanged::Answered(response)
            }
        }
    }
}

/// Completes when a server has let `timeout` pass in its turn, from now on.
pub(in super::super) async fn wait_late(progress: Option<&Progress>, timeout: Duration) {
    let mut timer = pin!(tokio::time::sleep(timeout));
    poll_fn(|cx| poll_late(timer.as_mut(), progress, timeout, cx)).await;
}

fn poll_late(
    mut timer: Pin<&mut Sleep>,
    progress: Option<&Progress>,
    timeout: Duration,
    cx: &mut Context<'_>,
) -> Poll<()> {
    while timer.as_mut().poll(cx).is_ready() {
        let now = Instant::now();
        let Some(progress) = progress else {
            return Poll::Ready(());
        };
        let end = progress.upstreams_turn().unwrap_or(now) + timeout;
        if end <= now {
            return Poll::Ready(());
        }
        timer.as_mut().reset(end);
    }
    Poll::Pending
}
