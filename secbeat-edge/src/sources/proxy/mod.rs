//! A streaming HTTP/1.1 reverse proxy that reports every answer and asks a gate on every request.
//!
//! Framing follows RFC 9112: what hyper's parser takes in two readings is refused or, as §6.1 allows for
//! Content-Length beside Transfer-Encoding, read as chunked alone and the connection closed after the answer; the upstream
//! gets framing of the proxy's own making. There are no upgrades, so no WebSocket.

mod body;
mod config;
mod forward;
mod headers;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Context;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use self::forward::Forwarder;
pub use self::{
    config::{ProxyConfig, Upstream, UpstreamError},
    forward::ProxyStats,
};
use super::client_address::{Client, ClientStats, Connection, proxied_client};
use crate::{l7::Admission, telemetry::Recorder};

/// How long open requests may take when the proxy stops.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Largest head, in bytes, of a request or of an upstream's answer; also the read buffer of a connection.
const MAX_HEAD: usize = 64 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// Idle connections to the upstream that are kept, and for how long: less than the usual upstream does.
const POOL: (usize, Duration) = (256, Duration::from_secs(30));
/// Pause after `accept` failed for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Knows who is banned.
pub trait Gate: Send + Sync {
    /// Asked on every request, of every connection.
    fn admission(&self, client: Client) -> Admission;
}

/// A proxy that listens.
pub struct Proxy {
    listener: TcpListener,
    local_addr: SocketAddr,
    forwarder: Arc<Forwarder>,
}

impl Proxy {
    /// Takes over a socket made by [`listen`]. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the runtime cannot take the socket.
    pub fn new(
        listener: std::net::TcpListener,
        config: ProxyConfig,
        gate: Arc<dyn Gate>,
        recorder: Recorder,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::from_std(listener).context("taking the listening socket")?;
        let local_addr = listener.local_addr().context("reading the address listened on")?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.connect_timeout));
        connector.set_tcp_user_timeout(Some(config.idle_timeout));
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(POOL.0)
            .pool_idle_timeout(POOL.1)
            .http1_max_buf_size(MAX_HEAD)
            .build(connector);
        let forwarder = Forwarder {
            config,
            gate,
            recorder,
            stats: Arc::default(),
            clients: Arc::default(),
            client,
        };
        Ok(Self {
            listener,
            local_addr,
            forwarder: Arc::new(forwarder),
        })
    }

    /// The address listened on, with the port that the system chose for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> Arc<ProxyStats> {
        self.forwarder.stats.clone()
    }

    /// Counters of clients behind proxies.
    #[must_use]
    pub fn client_stats(&self) -> Arc<ClientStats> {
        self.forwarder.clients.clone()
    }

    /// Serves until `shutdown` completes; then stops to listen and gives open requests [`DRAIN`] to end.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listener, forwarder, ..
        } = self;
        let most = usize::try_from(forwarder.config.max_connections.get()).unwrap_or(usize::MAX);
        let slots = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                accepted = accept(&listener, &slots) => accepted,
            };
            let Some((stream, client, slot)) = accepted else {
                continue;
            };
            let (forwarder, watcher) = (forwarder.clone(), graceful.watcher());
            connections.spawn(async move {
                serve(&forwarder, stream, client, watcher).await;
                drop(slot);
            });
        }
        drop(listener);
        if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!(
                open = connections.len(),
                "requests were cut off: they did not end in time"
            );
        }
        connections.shutdown().await;
    }
}

/// The next connection, once there is room for one; `None` after an error that the next call may not meet.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer.ip().to_canonical(), slot)),
        // The client was gone before it was accepted.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => None,
        Err(error) => {
            tracing::warn!(%error, "cannot accept connections");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn serve(forwarder: &Forwarder, mut stream: TcpStream, peer: IpAddr, watcher: Watcher) {
    forwarder.stats.connections.fetch_add(1, Relaxed);
    // A client that takes nothing of its answer is cut off by the kernel (tcp(7), TCP_USER_TIMEOUT).
    let options = SockRef::from(&stream).set_tcp_user_timeout(Some(forwarder.config.idle_timeout));
    if let Err(error) = options.and_then(|()| stream.set_nodelay(true)) {
        tracing::debug!(%error, "cannot set socket options");
    }
    let mut connection = Connection::direct(peer);
    if forwarder.config.proxy_protocol {
        let (trusted, patience) = (&forwarder.config.clients.trusted, forwarder.config.header_timeout);
        match proxied_client(&mut stream, peer, trusted, patience).await {
            Ok(from) => connection.from = from,
            Err(error) => {
                tracing::debug!(%error, "a connection is refused");
                return forwarder.clients.count_refused();
            }
        }
    }
    let service =
        service_fn(async |request| Ok::<_, Infallible>(forwarder.answer(connection, request).await));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        // Whoever sends and hangs up at once is answered and reported like anybody else.
        .half_close(true)
        .header_read_timeout(forwarder.config.header_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(serving).await {
        tracing::trace!(%error, "a connection ended badly");
        forwarder.record_malformed(&connection, &error);
    }
}

/// Listens on `addr`, without blocking; on `[::]` also for IPv4.
///
/// # Errors
///
/// When the address cannot be listened on; the error names it.
pub fn listen(addr: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    bound(addr).with_context(|| format!("listening on {addr}"))
}

fn bound(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
