//! A connection to a server in HTTP/1.1. The task of the request drives it, so that no response wakes another thread.

use std::{
    error::Error as StdError,
    future::poll_fn,
    io,
    os::fd::{AsRawFd as _, RawFd},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep};

use super::{
    super::{MAX_FIELDS, MAX_HEAD},
    IDLE_FOR,
    acked::bytes_acked,
    lenient::Lenient,
};
use crate::sources::proxy::{
    headers::{KEEP_ALIVE, list},
    stream::Stream,
    upload::{ClientBody, Progress},
};

/// One connection.
pub(in super::super) struct Http1 {
    sender: SendRequest<ClientBody>,
    /// `None` once it has ended.
    connection: Option<Connection<TokioIo<Lenient>, ClientBody>>,
    /// Kept from request to request: putting off a timer is cheaper than making one.
    timer: Pin<Box<Sleep>>,
    used: bool,
    /// Time that it may be idle until it is used again.
    idle_for: Duration,
    /// Open for as long as there is a connection.
    socket: RawFd,
}

/// What came of sending a request.
pub(in super::super) enum Exchanged {
    Answered(Response<Incoming>),
    /// The server speaks another protocol from here on: the stream, and what of it was read already.
    Switched(Response<Incoming>, Box<Stream>, Bytes),
    /// The connection ended without an answer.
    Failed {
        error: hyper::Error,
        /// The request, where none of it was sent.
        unsent: Option<Box<Request<ClientBody>>>,
        /// Whether the server had closed before any byte of it came.
        is_untouched: bool,
    },
    /// The server took too long.
    Late,
}

impl Http1 {
    pub(super) async fn start(stream: Stream) -> hyper::Result<Self> {
        let socket = stream.as_raw_fd();
        let (sender, connection) = Builder::new()
            .max_headers(MAX_FIELDS)
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(Lenient::new(stream)))
            .await?;
        Ok(Self {
            sender,
            connection: Some(connection),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            used: false,
            idle_for: IDLE_FOR,
            socket,
        })
    }

    /// Whether it has carried a request before: the server may have closed it since, unseen.
    pub(in super::super) fn is_used(&self) -> bool {
        self.used
    }

    /// Whether it is too old to be used again, once idle since then: the server may close it any moment.
    pub(super) fn is_stale(&self, since: Instant) -> bool {
        since.elapsed() >= self.idle_for
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
        // A server may close a connection just when it is used again, which costs only those requests that may not be sent twice
        // (RFC 9110 §9.2.2): of those it is noted whether any of it came.
        let is_watched = self.used && self.connection.is_some() && !request.method().is_idempotent();
        let before = is_watched.then(|| bytes_acked(self.socket)).flatten();
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
                let unsent = error.take_message().map(Box::new);
                let error = error.into_error();
                let is_open = self.connection.is_some();
                let is_untouched =
                    before.is_some() && was_closed(&error) && is_open && bytes_acked(self.socket) == before;
                Exchanged::Failed {
                    error,
                    unsent,
                    is_untouched,
                }
            }
            Some(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                match self.connection.take() {
                    Some(connection) => {
                        let parts = connection.into_parts();
                        Exchanged::Switched(
                            response,
                            Box::new(parts.io.into_inner().into_inner()),
                            parts.read_buf,
                        )
                    }
                    None => Exchanged::Answered(response),
                }
            }
            Some(Ok(response)) => {
                if ended {
                    self.connection = None;
                }
                self.idle_for = idle_for(response.headers());
                Exchanged::Answered(response)
            }
        }
    }
}

/// Returns how long a server keeps an idle connection open, if it says so (`Keep-Alive: timeout=5`), less a second, in which it
/// could cross a request.
fn idle_for(headers: &HeaderMap) -> Duration {
    let seconds = |parameter: &[u8]| {
        str::from_utf8(parameter.strip_prefix(b"timeout=")?)
            .ok()?
            .parse()
            .ok()
    };
    let says = list(headers, &KEEP_ALIVE).find_map(seconds);
    says.map_or(IDLE_FOR, |seconds: u64| {
        Duration::from_secs(seconds.saturating_sub(1)).min(IDLE_FOR)
    })
}

/// Whether the server has closed the connection in order. Its last word then says what of the request had come by then, which the reset
/// of a connection does not: a server may have read what its kernel has not yet acknowledged.
fn was_closed(error: &hyper::Error) -> bool {
    let broken_pipe = |cause: &(dyn StdError + 'static)| {
        let error = cause.downcast_ref::<io::Error>();
        // Of a reset after the close (tcp(7)).
        error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    error.is_incomplete_message() || error.source().is_some_and(broken_pipe)
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

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use hyper::Method;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn request(method: Method) -> Request<ClientBody> {
        let request = Request::builder().method(method).uri("/").header("host", "a");
        request.body(ClientBody::Empty).unwrap()
    }

    /// Reads a head.
    fn read(server: &mut TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            server.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
    }

    /// A connection that was used before, and its other end.
    async fn used() -> (Http1, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await;
        let mut connection = Http1::start(Stream::Plain(stream.unwrap())).await.unwrap();
        let answering = tokio::task::spawn_blocking(move || {
            let (mut server, _) = listener.accept().unwrap();
            read(&mut server);
            server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            server
        });
        let exchanged = connection.exchange(request(Method::GET), None, PATIENCE);
        assert!(matches!(exchanged.await, Exchanged::Answered(_)));
        assert!(connection.is_ready());
        (connection, answering.await.unwrap())
    }

    fn is_closed(server: std::net::SocketAddr) -> bool {
        let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
        let server = format!(":{:04X} 08 ", server.port());
        sockets.lines().any(|line| line.contains(&server))
    }

    /// Whether the server had closed before anything of a POST came.
    async fn is_untouched(connection: &mut Http1) -> bool {
        let exchanged = connection.exchange(request(Method::POST), None, PATIENCE);
        match exchanged.await {
            Exchanged::Failed {
                unsent, is_untouched, ..
            } => {
                assert!(unsent.is_none(), "it was sent");
                is_untouched
            }
            _ => panic!("nobody answers"),
        }
    }

    #[test]
    fn a_connection_is_not_kept_for_longer_than_its_server_says() {
        let kept =
            |value: &'static str| idle_for(&HeaderMap::from_iter([(KEEP_ALIVE, value.parse().unwrap())]));
        assert_eq!(kept("timeout=5, max=100"), Duration::from_secs(4));
        assert_eq!(kept("max=100,timeout=0"), Duration::ZERO);
        for other in [
            "timeout=9999999999999999",
            "timeout=99999999999999999999",
            "timeout=-1",
            "max=5",
        ] {
            assert_eq!(kept(other), IDLE_FOR, "{other}");
        }
        assert_eq!(idle_for(&HeaderMap::new()), IDLE_FOR);
    }

    #[tokio::test]
    async fn a_request_that_crosses_the_servers_close_was_not_touched() {
        let (mut connection, server) = used().await;
        let address = server.local_addr().unwrap();
        drop(server);
        // Without a turn of the runtime, so that the connection does not hear of it.
        let since = Instant::now();
        while !is_closed(address) {
            assert!(since.elapsed() < PATIENCE, "the close does not come");
            std::thread::yield_now();
        }
        assert!(is_untouched(&mut connection).await);
    }

    #[tokio::test]
    async fn a_request_that_the_server_has_read_was_touched() {
        let (mut connection, mut server) = used().await;
        let reading = tokio::task::spawn_blocking(move || read(&mut server));
        assert!(!is_untouched(&mut connection).await);
        reading.await.unwrap();
    }
}
