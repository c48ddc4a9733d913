//! One server of an upstream: its idle connections, and whether it is up.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use secbeat_common::prefix::Prefix;
use tokio::time::{Instant, timeout};

use super::{
    ClientTls, ConnectError, IDLE,
    connect::{Alpn, connect},
    http1::{Fields, Http1},
    http2::{Http2, Http2Stream},
};
use crate::sources::proxy::{
    config::{ProxyConfig, ServerUrl, Transport},
    stream::Negotiated,
    workers,
};

/// Time that a server that could not be reached is passed over.
const PAUSE: Duration = Duration::from_secs(2);

/// A server.
pub(in super::super) struct Server {
    pub(in super::super) url: ServerUrl,
    tls: ClientTls,
    connect_timeout: Duration,
    idle_timeout: Duration,
    /// One for each worker.
    kept: Box<[WorkerConnections]>,
    /// What its health checks say.
    healthy: AtomicBool,
    start: Instant,
    /// Milliseconds since `start` until which it is passed over.
    paused_until: AtomicU64,
    /// Whether it has spoken HTTP/2 before.
    speaks_http2: AtomicBool,
    /// Whether an answer in HTTP/1 had more than a few fields before.
    has_many_fields: AtomicBool,
}

/// The connections of one worker.
#[derive(Default)]
struct WorkerConnections {
    idle: Mutex<Vec<(Box<Http1>, Instant)>>,
    http2: Mutex<Vec<Arc<Http2>>>,
    /// Held by who opens another connection in HTTP/2, so that those who wait for it open none of their own. What the last attempt
    /// came to, if it failed.
    opening: tokio::sync::Mutex<Option<Unreached>>,
}

/// A connection that could not be opened.
#[derive(Clone, Copy)]
struct Unreached {
    at: Instant,
    /// Whether the server took too long.
    is_late: bool,
}

/// A connection that can carry a request.
pub(in super::super) enum Connection {
    Http1(Box<Http1>),
    Http2(Http2Stream),
}

/// What kind of connection a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum ConnectionPolicy {
    Any,
    /// One that was not used before, as the server cannot have closed it meanwhile; or one in HTTP/2, which many share.
    Fresh,
    /// A fresh one that can switch protocols.
    Http1,
    /// One of its own, which is not kept.
    Alone,
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
            kept: (0..config.workers.get())
                .map(|_| WorkerConnections::default())
                .collect(),
            healthy: AtomicBool::new(true),
            start: Instant::now(),
            paused_until: AtomicU64::new(0),
            speaks_http2: AtomicBool::new(false),
            has_many_fields: AtomicBool::new(false),
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

    /// Notes what a health check found. Returns whether that is news.
    pub(super) fn set_healthy(&self, healthy: bool) -> bool {
        if healthy {
            self.paused_until.store(0, Relaxed);
        }
        self.healthy.swap(healthy, Relaxed) != healthy
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }

    /// An idle connection for a request of `client`, or a new one.
    ///
    /// # Errors
    ///
    /// Returns an error if the server cannot be reached.
    pub(in super::super) async fn connection(
        &self,
        policy: ConnectionPolicy,
        client: Option<Prefix>,
    ) -> Result<Connection, ConnectError> {
        if matches!(policy, ConnectionPolicy::Any | ConnectionPolicy::Fresh) {
            if let Some(connection) = self.kept(policy, client) {
                return Ok(connection);
            }
            if self.speaks_http2.load(Relaxed) {
                return self.next_in_http2(policy, client).await;
            }
        }
        self.open(policy, client).await
    }

    /// A connection that another request opens meanwhile, or else one of its own. Waits for its turn no longer than a connection may
    /// take. What another one has just failed at fails for all who wait for it, so that they try another server at once.
    async fn next_in_http2(
        &self,
        policy: ConnectionPolicy,
        client: Option<Prefix>,
    ) -> Result<Connection, ConnectError> {
        let start = Instant::now();
        let opening = self.of_this_worker().opening.lock();
        let Ok(mut opening) = timeout(self.connect_timeout, opening).await else {
            return Err(ConnectError::Busy);
        };
        if let Some(connection) = self.kept(policy, client) {
            return Ok(connection);
        }
        if let Some(unreached) = opening.filter(|unreached| unreached.at >= start) {
            return Err(match unreached.is_late {
                true => ConnectError::Late,
                false => ConnectError::Unreached,
            });
        }
        // Connections that others got meanwhile took none of its time.
        let opened = self.open(policy, client).await;
        *opening = opened.as_ref().err().map(|error| Unreached {
            at: Instant::now(),
            is_late: matches!(error, ConnectError::Late),
        });
        opened
    }

    async fn open(
        &self,
        policy: ConnectionPolicy,
        client: Option<Prefix>,
    ) -> Result<Connection, ConnectError> {
        let alpn = match policy {
            ConnectionPolicy::Http1 => Alpn::Http1,
            ConnectionPolicy::Any | ConnectionPolicy::Fresh | ConnectionPolicy::Alone => Alpn::Both,
        };
        let (within, idle) = (self.connect_timeout, self.idle_timeout);
        let stream = connect(&self.url, &self.tls, alpn, within, idle).await?;
        let is_http2 = match self.url.transport() {
            Transport::Plain => false,
            Transport::H2c => policy != ConnectionPolicy::Http1,
            Transport::Tls => stream.negotiated() == Negotiated::Http2,
        };
        if !is_http2 {
            let fields = match self.has_many_fields.load(Relaxed) {
                true => Fields::Many,
                false => Fields::Few,
            };
            return Ok(Connection::Http1(Box::new(Http1::start(stream, fields).await?)));
        }
        let connection = Http2::start(stream).await?;
        let stream = connection.stream(client).ok_or(ConnectError::Closed)?;
        if policy != ConnectionPolicy::Alone {
            self.speaks_http2.store(true, Relaxed);
            self.of_this_worker().http2.lock().push(connection);
        }
        Ok(Connection::Http2(stream))
    }

    fn of_this_worker(&self) -> &WorkerConnections {
        &self.kept[workers::current()]
    }

    fn kept(&self, policy: ConnectionPolicy, client: Option<Prefix>) -> Option<Connection> {
        let kept = self.of_this_worker();
        let next_idle = || match policy {
            ConnectionPolicy::Any => kept.idle.lock().pop(),
            _ => None,
        };
        while let Some((mut connection, since)) = next_idle() {
            if !connection.is_stale(since) && connection.is_ready() {
                return Some(Connection::Http1(connection));
            }
        }
        let http2 = kept.http2.lock();
        let stream = http2.iter().find_map(|connection| connection.stream(client))?;
        Some(Connection::Http2(stream))
    }

    /// Keeps an idle connection for a while.
    pub(super) fn keep(&self, connection: Box<Http1>) {
        if connection.is_reread() {
            return self.has_many_fields.store(true, Relaxed);
        }
        let mut idle = self.of_this_worker().idle.lock();
        if idle.len() < IDLE {
            idle.push((connection, Instant::now()));
        }
    }

    /// Closes what has been idle for too long, or was closed by the server, but for one connection in HTTP/2.
    fn reap(&self) {
        for WorkerConnections { idle, http2, .. } in &self.kept {
            idle.lock()
                .retain_mut(|(connection, since)| !connection.is_stale(*since) && connection.is_ready());
            let mut others = false;
            http2.lock().retain(|connection| {
                let stays = connection.is_of_use() && !(connection.was_quiet() && others);
                others |= stays;
                stays
            });
        }
    }
}

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
