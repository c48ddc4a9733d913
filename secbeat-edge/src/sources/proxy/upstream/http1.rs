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
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{Builder, Connection, SendRequest},
    },
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
    /// How many fields an answer may have.
    fields: Fields,
    /// Time that it may be idle until it is used again.
    idle_for: Duration,
    /// Open for as long as there is a connection.
    socket: RawFd,
}

/// How many fields of an answer hyper has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    /// Up to 100, at no cost.
    Few,
    /// Up to [`MAX_FIELDS`]. The room for them is made for each answer.
    Many,
    /// [`Fields::Many`], from the answer on that had more than a few. Nothing more can be sent.
    Reread,
}

/// The answer to a request; `None` if it took too long.
type Answer = Option<Result<Response<Incoming>, TrySendError<Request<ClientBody>>>>;

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
    pub(super) async fn start(stream: Stream, fields: Fields) -> hyper::Result<Self> {
        let socket = stream.as_raw_fd();
        let io = TokioIo::new(Lenient::new(stream));
        let (sender, connection) = builder(fields).handshake(io).await?;
        Ok(Self {
            sender,
            connection: Some(connection),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            used: false,
            fields,
            idle_for: IDLE_FOR,
            socket,
        })
    }

    /// Whether it has carried a request before: the server may have closed it since, unseen.
    pub(in super::super) fn is_used(&self) -> bool {
        self.used
    }

    /// Whether an answer had more fields than it was made for: it cannot carry another request.
    pub(super) fn is_reread(&self) -> bool {
        self.fields == Fields::Reread
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
        let method = request.method().clone();
        let (mut answer, mut ended) = self.sent(request, progress, timeout).await;
        let has_many = matches!(&answer, Some(Err(error)) if error.error().is_parse_too_large());
        if has_many && self.fields == Fields::Few && self.read_again().await {
            // The rest of an upload does not reach the server any more: it is the server's turn.
            (answer, ended) = self.sent(placeholder(method), None, timeout).await;
        }
        match answer {
            None => Exchanged::Late,
            Some(Err(mut error)) => {
                let unsent = error.take_message().filter(|_| !self.is_reread()).map(Box::new);
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
                        let (stream, later) = parts.io.into_inner().into_inner();
                        let ahead = match later.is_empty() {
                            true => parts.read_buf,
                            false => Bytes::from([&parts.read_buf[..], &later[..]].concat()),
                        };
                        Exchanged::Switched(response, Box::new(stream), ahead)
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

    /// Sends `request` and waits for the head of its answer. Returns whether the connection has ended, too.
    async fn sent(
        &mut self,
        request: Request<ClientBody>,
        progress: Option<&Progress>,
        timeout: Duration,
    ) -> (Answer, bool) {
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
        (answer, ended)
    }

    /// Begins again with an answer that has more than a few fields: hyper leaves a head that it has no room for as it was. Returns
    /// whether that was possible.
    async fn read_again(&mut self) -> bool {
        let Some(connection) = self.connection.take() else {
            return false;
        };
        let parts = connection.into_parts();
        let io = TokioIo::new(parts.io.into_inner().read_again(parts.read_buf));
        let Ok((sender, connection)) = builder(Fields::Reread).handshake(io).await else {
            return false;
        };
        self.sender = sender;
        self.connection = Some(connection);
        self.fields = Fields::Reread;
        true
    }
}

fn builder(fields: Fields) -> Builder {
    let mut builder = Builder::new();
    builder.max_buf_size(MAX_HEAD);
    if fields != Fields::Few {
        builder.max_headers(MAX_FIELDS);
    }
    builder
}

/// Stands for a request that the server has got: hyper reads no answer without one, and how by its method.
fn placeholder(method: Method) -> Request<ClientBody> {
    let mut request = Request::new(ClientBody::Empty);
    *request.method_mut() = method;
    request
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

    use http_body_util::BodyExt as _;
    use hyper::body::Body as _;

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
        let mut connection = Http1::start(Stream::Plain(stream.unwrap()), Fields::Few)
            .await
            .unwrap();
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

    /// An answer of so many fields.
    fn answer(fields: usize, body: &str) -> Vec<u8> {
        let others: String = (1..fields).map(|i| format!("X-{i}: {i}\r\n")).collect();
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\n{others}Content-Length: {length}\r\n\r\n{body}").into_bytes()
    }

    /// What comes of a request that a server answers with that, so many bytes at a time. It returns how many more bytes it got.
    async fn exchanged(
        method: Method,
        answer: Vec<u8>,
        piece: usize,
    ) -> (Http1, Exchanged, tokio::task::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await;
        let stream = Stream::Plain(stream.unwrap());
        let mut connection = Http1::start(stream, Fields::Few).await.unwrap();
        let answering = tokio::task::spawn_blocking(move || {
            let (mut server, _) = listener.accept().unwrap();
            server.set_nodelay(true).unwrap();
            read(&mut server);
            for piece in answer.chunks(piece) {
                server.write_all(piece).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            server.read(&mut [0]).unwrap_or(0)
        });
        let exchanged = connection.exchange(request(method), None, PATIENCE).await;
        (connection, exchanged, answering)
    }

    /// Reads the body of an answer.
    async fn body(connection: &mut Http1, response: Response<Incoming>) -> Bytes {
        let mut collecting = pin!(response.into_body().collect());
        let collected = poll_fn(|cx| {
            connection.drive(cx);
            collecting.as_mut().poll(cx)
        });
        collected.await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn an_answer_has_as_many_fields_as_fit() {
        // What looks like more fields is a body.
        let lines = "A: b\r\n".repeat(5000);
        for (fields, is_reread) in [
            (1, false),
            (100, false),
            (101, true),
            (500, true),
            (MAX_FIELDS, true),
        ] {
            for piece in [250, usize::MAX] {
                let answer = answer(fields, &lines);
                let (mut connection, exchanged, answering) = exchanged(Method::GET, answer, piece).await;
                let Exchanged::Answered(response) = exchanged else {
                    panic!("no answer of {fields} fields");
                };
                assert_eq!(response.headers().len(), fields);
                assert_eq!(body(&mut connection, response).await, lines);
                assert_eq!(connection.is_reread(), is_reread, "{fields} fields");
                drop(connection);
                assert_eq!(answering.await.unwrap(), 0, "the request came twice");
            }
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_read_again_fits_the_method() {
        let mut head = answer(101, "body");
        head.truncate(head.len() - 4);
        let (_connection, exchanged, _) = exchanged(Method::HEAD, head, usize::MAX).await;
        let Exchanged::Answered(response) = exchanged else {
            panic!("no answer");
        };
        assert!(response.body().is_end_stream());
    }

    #[tokio::test]
    async fn an_answer_of_too_many_fields_fails_and_is_not_repeated_without_its_body() {
        let answer = answer(MAX_FIELDS + 1, "");
        let (_connection, exchanged, _) = exchanged(Method::POST, answer, usize::MAX).await;
        match exchanged {
            Exchanged::Failed { error, unsent, .. } => {
                assert!(error.is_parse_too_large());
                assert!(unsent.is_none());
            }
            _ => panic!("it is too large"),
        }
    }

    #[tokio::test]
    async fn a_request_that_the_server_has_read_was_touched() {
        let (mut connection, mut server) = used().await;
        let reading = tokio::task::spawn_blocking(move || read(&mut server));
        assert!(!is_untouched(&mut connection).await);
        reading.await.unwrap();
    }
}
