//! One server of an upstream: its idle connections, and whether it is up.

use std::{
    sync::{
        Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    ClientTls, ConnectError, IDLE, IDLE_FOR,
    connect::{Alpn, connect},
    http1::Http1,
};
use crate::sources::proxy::{
    MAX_HEAD,
    config::{ProxyConfig, ServerUrl},
    stream::Negotiated,
    upload::ClientBody,
    workers,
};

/// Sends requests on an HTTP/2 connection, which a task of its own drives.
pub(in super::super) type Http2 = SendRequest<ClientBody>;

/// How long a server that could not be reached is passed over.
const PAUSE: Duration = Duration::from_secs(2);
/// After this long without a byte an HTTP/2 connection is pinged, and closed without an answer in the same time.
const PING: Duration = Duration::from_secs(20);

/// A server.
pub(in super::super) struct Server {
    pub(in super::super) url: ServerUrl,
    tls: ClientTls,
    connect_timeout: Duration,
    idle_timeout: Duration,
    /// One for each worker.
    kept: Box<[Kept]>,
    /// What its health checks say.
    healthy: AtomicBool,
    start: Instant,
    /// Milliseconds since `start` until which it is passed over.
    paused_until: AtomicU64,
}

/// The connections of one worker.
#[derive(Default)]
struct Kept {
    idle: Mutex<Vec<(Box<Http1>, Instant)>>,
    http2: Mutex<Option<Http2>>,
}

/// A connection that can carry a request.
pub(in super::super) enum Connection {
    Http1(Box<Http1>),
    Http2(Http2),
}

/// What kind of connection a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum ConnectionPolicy {
    Any,
    /// One that was not used before: the server cannot have closed it meanwhile.
    Fresh,
    /// A fresh one that can switch protocols.
    Http1,
}

impl Connection {
    /// Whether it has carried a request before: the server may have closed it since, unseen.
    pub(in super::super) fn is_used(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_used(),
            Self::Http2(_) => true,
        }
    }
}

impl Server {
    pub(super) fn new(url: ServerUrl, tls: ClientTls, config: &ProxyConfig) -> Self {
        Self {
            url,
            tls,
            connect_timeout: config.connect_timeout,
            idle_timeout: config.idle_timeout,
            kept: (0..config.workers.get()).map(|_| Kept::default()).collect(),
            healthy: AtomicBool::new(true),
            start: Instant::now(),
            paused_until: AtomicU64::new(0),
        }
    }

    /// Whether it should get requests.
    pub(in super::super) fn is_up(&self) -> bool {
        self.healthy.load(Relaxed) && self.paused_until.load(Relaxed) <= self.millis(Instant::now())
    }

    /// Passes it over for a while.
    pub(in super::super) fn pause(&self) {
        self.paused_until
            .store(self.millis(Instant::now() + PAUSE), Relaxed);
    }

    /// What a health check found. Returns whether that is news.
    pub(super) fn set_healthy(&self, healthy: bool) -> bool {
        if healthy {
            self.paused_until.store(0, Relaxed);
        }
        self.healthy.swap(healthy, Relaxed) != healthy
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }

    /// An idle connection, or a new one.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached.
    pub(in super::super) async fn connection(
        &self,
        policy: ConnectionPolicy,
    ) -> Result<Connection, ConnectError> {
        if policy == ConnectionPolicy::Any
            && let Some(connection) = self.kept()
        {
            return Ok(connection);
        }
        let alpn = match policy {
            ConnectionPolicy::Http1 => Alpn::Http1,
            ConnectionPolicy::Any | ConnectionPolicy::Fresh => Alpn::Both,
        };
        let stream = connect(
            &self.url,
            &self.tls,
            alpn,
            self.connect_timeout,
            self.idle_timeout,
        )
        .await?;
        match stream.negotiated() {
            Negotiated::Http1 => Ok(Connection::Http1(Box::new(Http1::start(stream).await?))),
            Negotiated::Http2 => {
                let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
                    .keep_alive_interval(PING)
                    .keep_alive_timeout(PING)
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .handshake(TokioIo::new(stream))
                    .await?;
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::trace!(%error, "a connection to a server ended badly");
                    }
                });
                *self.of_this_worker().http2.lock() = Some(sender.clone());
                Ok(Connection::Http2(sender))
            }
        }
    }

    fn of_this_worker(&self) -> &Kept {
        &self.kept[workers::current()]
    }

    fn kept(&self) -> Option<Connection> {
        let kept = self.of_this_worker();
        loop {
            let Some((mut connection, since)) = kept.idle.lock().pop() else {
                break;
            };
            if since.elapsed() < IDLE_FOR && connection.is_ready() {
                return Some(Connection::Http1(connection));
            }
        }
        let http2 = kept.http2.lock().clone()?;
        (!http2.is_closed()).then_some(Connection::Http2(http2))
    }

    /// Keeps an idle connection for a while.
    pub(super) fn keep(&self, connection: Box<Http1>) {
        let mut idle = self.of_this_worker().idle.lock();
        if idle.len() < IDLE {
            idle.push((connection, Instant::now()));
        }
    }

    /// Closes what has been idle for too long, or was closed by the server.
    fn reap(&self) {
        for Kept { idle, http2 } in &self.kept {
            idle.lock()
                .retain_mut(|(connection, since)| since.elapsed() < IDLE_FOR && connection.is_ready());
            http2.lock().take_if(|http2| http2.is_closed());
        }
    }
}

/// Bytes that a server may send ahead on all streams of an HTTP/2 connection.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Closes idle connections in time, for as long as the server is in use.
pub(super) async fn reap(server: Weak<Server>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        match server.upgrade() {
            Some(server) => server.reap(),
            None => return,
        }
    }
}
